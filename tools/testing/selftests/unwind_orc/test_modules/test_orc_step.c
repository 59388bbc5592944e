// SPDX-License-Identifier: GPL-2.0
/*
 * A reliable walk at every instruction of a function.
 *
 * A kprobe on each instruction of a few small functions stops a thread at each
 * PC of their prologues, bodies and epilogues, and the stack is walked
 *
 *   - in the handler: current, across the exception that the BRK makes;
 *   - at the next PC, from the interrupt that the handler raises and that is
 *     taken as soon as the exception returns: current, from the IRQ stack;
 *   - at the same PC, by a thread of higher priority that the interrupt wakes:
 *     a task preempted at exactly that PC.
 *
 * No unwind table has a part in the expected trace. It is the PC of the
 * exception, x30 as it was at the function's first instruction, which is where
 * the ABI promises the return address, and what the callers noted.
 *
 * Reading /sys/kernel/debug/test_orc_step/run does all this and prints a line
 * for each function and way:
 *   <function> <way> <reliable> <refused> <wrong> <PCs> <instructions>
 * ("refused" without those that are excused, see excused() below)
 * and one for each function, "<function> all ...", in which <PCs> is how many
 * of its instructions were interrupted in one way or another. No kprobe goes
 * onto some instructions, AUTIASP for one; the interrupt comes there all the
 * same, after the instruction before it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/irq_work.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include <asm/insn.h>
#include <asm/irq_regs.h>
#include <asm/pointer_auth.h>

#include "test_orc.h"
#include "test_orc_relay.h"

#define MAX_INSNS	256
#define MAX_COMPLAINTS	3

enum way { EXCEPTION, INTERRUPT, PREEMPTED, NR_WAYS };

static const char * const way_names[] = { "exception", "interrupt", "preempted" };

struct result {
	unsigned int reliable, refused, wrong, excused;
	DECLARE_BITMAP(seen, MAX_INSNS);
};

static struct step {
	struct mutex lock;		/* one run at a time */
	unsigned long start, insns;	/* of the function under test */
	unsigned long leaf, leaf_insns;
	u64 (*fn)(u64 x);
	unsigned long fn_ra, leaf_ra;	/* x30 at the first instruction */
	struct test_orc_notes notes;
	struct kprobe *probes;
	unsigned int nr_probes;
	struct task_struct *task;
	struct task_struct *observer;
	struct irq_work irq_work;
	struct completion done;
	unsigned long next_pc;		/* where the interrupt was asked for */
	unsigned long irq_pc;		/* where it came; 0: nothing to observe */
	struct result results[NR_WAYS];
	struct test_orc_trace trace;
	struct test_orc_trace complaints[MAX_COMPLAINTS];
	unsigned int nr_complaints;
} step = {
	.lock = __MUTEX_INITIALIZER(step.lock),
};

static unsigned long el1_sync, el1_irq, ret_from_fork_addr;

/* Without a call to memset() where the kernel is built to clear what it uses. */
#if __has_builtin(__builtin_alloca_uninitialized)
#define alloca_plain __builtin_alloca_uninitialized
#else
#define alloca_plain __builtin_alloca
#endif

/*
 * The functions under test. Not traced: ftrace owns the first instructions of
 * those that are, and lets no kprobe in.
 */
static noinline notrace u64 step_leaf(u64 x)
{
	x ^= x << 13;
	x ^= x >> 7;
	return x ^ (x << 17);
}

static noinline notrace u64 step_plain(u64 x)
{
	u64 a = step_leaf(x), b = step_leaf(a + 1);

	return step_leaf(a ^ b) + a + b;
}

static noinline notrace u64 step_big(u64 x)
{
	u64 buf[80] __uninitialized;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(buf); i += 20)
		buf[i] = step_leaf(x + i);
	barrier_data(buf);
	return buf[x % 4 * 20];
}

static noinline notrace u64 step_alloca(u64 x)
{
	u64 *buf = alloca_plain((x + 1) * 48);

	barrier_data(buf);
	buf[0] = step_leaf(x);
	barrier_data(buf);
	return buf[0] + step_leaf(x + 1);
}

static noinline notrace u64 step_early(u64 x)
{
	u64 y;

	if (x & 1)
		return x + 5;
	y = step_leaf(x);
	if (x & 2)
		return y + 3;
	return step_leaf(y) ^ y;
}

static const struct specimen {
	const char *name;
	u64 (*fn)(u64 x);
} specimens[] = {
	{ "plain", step_plain },
	{ "big", step_big },
	{ "alloca", step_alloca },
	{ "early", step_early },
	{ "leaf", step_leaf },
};

static noinline notrace void step_call(u64 x)
{
	test_orc_note(&step.notes);
	step.fn(x);
	barrier();
}

static bool in_fn(unsigned long pc)
{
	return pc - step.start < step.insns * AARCH64_INSN_SIZE;
}

static bool in_leaf(unsigned long pc)
{
	return pc - step.leaf < step.leaf_insns * AARCH64_INSN_SIZE;
}

/* A kprobe may be hit before the first note, and by nobody else's thread. */
static bool mine(void)
{
	return current == step.task;
}

static void complain(unsigned long pc)
{
	struct test_orc_trace *to;

	if (step.nr_complaints == MAX_COMPLAINTS)
		return;
	to = &step.complaints[step.nr_complaints++];
	*to = step.trace;
	if (to->err)
		to->pcs[0] = pc;
}

/*
 * Between the LDP that pops x29 and x30 and the AUTIASP after it, clang 19 says
 * that both are still in their stack slots. These are below SP by then, where an
 * exception puts its registers: the claim is not proved, and a walk that starts
 * there may be refused. It may not be anywhere else.
 */
static bool excused(unsigned long pc)
{
	u32 insn = le32_to_cpup((__le32 *)pc);

	return aarch64_insn_is_hint(insn) &&
	       (insn & 0xfe0) == AARCH64_INSN_HINT_AUTIASP;
}

/* The trace from the interrupted PC on, innermost first. */
static unsigned int expected(unsigned long *want, unsigned long pc)
{
	unsigned int n = 0, i;

	want[n++] = pc;
	if (in_leaf(pc) && !in_fn(pc) && step.leaf_ra != step.fn_ra)
		want[n++] = step.leaf_ra;
	if (in_leaf(pc) || in_fn(pc))
		want[n++] = step.fn_ra;
	for (i = step.notes.nr; i--;)
		want[n++] = step.notes.ra[i];
	return n;
}

static void check(enum way way, unsigned long pc)
{
	const struct test_orc_trace *trace = &step.trace;
	struct result *result = &step.results[way];
	unsigned long want[4 + ARRAY_SIZE(step.notes.ra)];
	unsigned int n = expected(want, pc), at;

	if (in_fn(pc))
		__set_bit((pc - step.start) / AARCH64_INSN_SIZE, result->seen);
	if (trace->err && way != EXCEPTION && excused(pc)) {
		result->excused++;
		return;
	}
	if (trace->err) {
		result->refused++;
		complain(pc);
		return;
	}

	/* One more at the end, ret_from_fork, and an exception at the start. */
	at = trace->nr - n - 1;
	if (trace->nr < n + 2 ||
	    memcmp(&trace->pcs[at], want, n * sizeof(*want)) ||
	    !test_orc_in(trace->pcs[trace->nr - 1], ret_from_fork_addr) ||
	    !test_orc_in(trace->pcs[at - 1], way == EXCEPTION ? el1_sync : el1_irq)) {
		result->wrong++;
		complain(pc);
		return;
	}
	result->reliable++;
}

static void note_entry(const struct pt_regs *regs)
{
	unsigned long ra = ptrauth_strip_kernel_insn_pac(regs->regs[30]);

	if (regs->pc == step.start)
		step.fn_ra = ra;
	if (regs->pc == step.leaf)
		step.leaf_ra = ra;
}

static int step_pre(struct kprobe *p, struct pt_regs *regs)
{
	if (!mine())
		return 0;
	note_entry(regs);
	test_orc_save(current, &step.trace);
	check(EXCEPTION, regs->pc);
	return 0;
}

static void step_post(struct kprobe *p, struct pt_regs *regs, unsigned long flags)
{
	if (!mine())
		return;
	note_entry(regs);
	step.next_pc = regs->pc;
	irq_work_queue(&step.irq_work);
}

static void step_irq(struct irq_work *work)
{
	struct pt_regs *regs = get_irq_regs();

	/* Late, or in a place of which nothing is known. */
	if (!mine() || !regs || regs->pc != step.next_pc)
		return;
	if (!in_fn(regs->pc) && !in_leaf(regs->pc) &&
	    !test_orc_in(regs->pc, (unsigned long)step_call))
		return;
	test_orc_save(current, &step.trace);
	check(INTERRUPT, regs->pc);
	step.irq_pc = regs->pc;
	wake_up_process(step.observer);
}

static int step_observer(void *unused)
{
	for (;;) {
		set_current_state(TASK_IDLE);
		if (kthread_should_stop())
			break;
		if (!step.irq_pc) {
			schedule();
			continue;
		}
		__set_current_state(TASK_RUNNING);
		test_orc_save(step.task, &step.trace);
		check(PREEMPTED, step.irq_pc);
		step.irq_pc = 0;
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static noinline notrace void step_driver(void)
{
	u64 x;

	test_orc_note(&step.notes);
	for (x = 0; x < 4; x++) {
		step.notes.nr = 2;	/* this one and the thread's stay */
		step_call(x);
	}
}

static int step_thread(void *unused)
{
	step.notes.nr = 0;
	step.notes.open = true;
	test_orc_note(&step.notes);
	step_driver();
	step.notes.open = false;
	complete(&step.done);

	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void unprobe(void)
{
	while (step.nr_probes)
		unregister_kprobe(&step.probes[--step.nr_probes]);
	kfree(step.probes);
	step.probes = NULL;
}

static int probe_all(unsigned long start, unsigned long insns)
{
	unsigned long i;
	int err;

	for (i = 0; i < insns; i++) {
		struct kprobe *p = &step.probes[step.nr_probes];

		p->addr = (kprobe_opcode_t *)(start + i * AARCH64_INSN_SIZE);
		p->pre_handler = step_pre;
		p->post_handler = step_post;
		err = register_kprobe(p);
		if (err && err != -EINVAL)
			return err;
		if (err)
			memset(p, 0, sizeof(*p));
		else
			step.nr_probes++;
	}
	return 0;
}

/*
 * Start and number of instructions. kallsyms counts what lies between a
 * function and the next one in, so ask the symbol table of this module.
 */
static int find_function(u64 (*fn)(u64 x), unsigned long *start, unsigned long *insns)
{
	const struct mod_kallsyms *syms;
	unsigned int i;

	guard(rcu)();
	syms = rcu_dereference(THIS_MODULE->kallsyms);
	for (i = 0; i < syms->num_symtab; i++) {
		if (syms->symtab[i].st_value != (unsigned long)fn ||
		    !syms->symtab[i].st_size)
			continue;
		*start = (unsigned long)fn;
		*insns = syms->symtab[i].st_size / AARCH64_INSN_SIZE;
		return *insns <= MAX_INSNS ? 0 : -E2BIG;
	}
	return -ENOENT;
}

static int prepare(u64 (*fn)(u64 x))
{
	int err;

	step.fn = fn;
	err = find_function(step_leaf, &step.leaf, &step.leaf_insns) ?:
	      find_function(fn, &step.start, &step.insns);
	if (err)
		return err;

	memset(step.results, 0, sizeof(step.results));
	step.nr_complaints = 0;
	step.nr_probes = 0;
	step.probes = kzalloc_objs(*step.probes, 2 * MAX_INSNS);
	if (!step.probes)
		return -ENOMEM;
	err = probe_all(step.start, step.insns);
	if (!err && step.start != step.leaf)
		err = probe_all(step.leaf, step.leaf_insns);
	if (err)
		unprobe();
	return err;
}

static int run(u64 (*fn)(u64 x))
{
	int err = prepare(fn);

	if (err)
		return err;
	init_completion(&step.done);
	step.irq_pc = 0;
	step.task = kthread_create(step_thread, NULL, "orc_step");
	if (IS_ERR(step.task)) {
		err = PTR_ERR(step.task);
		goto out;
	}
	step.observer = kthread_create(step_observer, NULL, "orc_observer");
	if (IS_ERR(step.observer)) {
		err = PTR_ERR(step.observer);
		kthread_stop(step.task);
		goto out;
	}
	kthread_bind(step.task, 0);
	kthread_bind(step.observer, 0);
	sched_set_fifo(step.observer);
	wake_up_process(step.observer);
	wake_up_process(step.task);
	wait_for_completion(&step.done);
	irq_work_sync(&step.irq_work);
	kthread_stop(step.observer);
	kthread_stop(step.task);
out:
	unprobe();
	return err;
}

static void print_result(struct seq_file *m, const char *name, const char *way,
			 const struct result *r)
{
	seq_printf(m, "%s %s %u %u %u %u %lu\n", name, way, r->reliable, r->refused,
		   r->wrong, bitmap_weight(r->seen, MAX_INSNS), step.insns);
}

static void print(struct seq_file *m, const char *name)
{
	struct result all = {};
	unsigned int i, j;

	for (i = 0; i < NR_WAYS; i++) {
		const struct result *r = &step.results[i];

		print_result(m, name, way_names[i], r);
		all.reliable += r->reliable;
		all.refused += r->refused;
		all.wrong += r->wrong;
		all.excused += r->excused;
		bitmap_or(all.seen, all.seen, r->seen, MAX_INSNS);
	}
	print_result(m, name, "all", &all);
	if (all.excused)
		seq_printf(m, "# %s: %u walks refused at AUTIASP\n", name, all.excused);
	for (i = 0; i < step.nr_complaints; i++) {
		const struct test_orc_trace *t = &step.complaints[i];

		seq_printf(m, "# %s: %s\n", name, t->err ? "refused at" : "not the chain:");
		for (j = 0; j < (t->err ? 1 : t->nr); j++)
			seq_printf(m, "#   %pS\n", (void *)t->pcs[j]);
	}
}

static int run_show(struct seq_file *m, void *unused)
{
	unsigned int i;
	int err;

	guard(mutex)(&step.lock);
	/* Calls of what reports a fault, and what leads to them: never executed. */
	if (IS_ENABLED(CONFIG_STACKPROTECTOR) || IS_ENABLED(CONFIG_KASAN) ||
	    IS_ENABLED(CONFIG_UBSAN))
		seq_puts(m, "# with code that is executed on a fault only\n");
	for (i = 0; i < ARRAY_SIZE(specimens); i++) {
		err = run(specimens[i].fn);
		if (err)
			return err;
		print(m, specimens[i].name);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(run);

static struct dentry *dir;

static int __init step_init(void)
{
	el1_sync = test_orc_symbol("el1h_64_sync");
	el1_irq = test_orc_symbol("el1h_64_irq");
	ret_from_fork_addr = test_orc_symbol("ret_from_fork");
	if (!el1_sync || !el1_irq || !ret_from_fork_addr)
		return -ENOENT;

	step.irq_work = IRQ_WORK_INIT_HARD(step_irq);
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("run", 0400, dir, NULL, &run_fops);
	return 0;
}

static void __exit step_exit(void)
{
	debugfs_remove(dir);
}

module_init(step_init);
module_exit(step_exit);
MODULE_DESCRIPTION("A reliable stack walk at every instruction of a function");
MODULE_LICENSE("GPL");
