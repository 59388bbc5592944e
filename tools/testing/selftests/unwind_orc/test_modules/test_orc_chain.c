// SPDX-License-Identifier: GPL-2.0
/*
 * A kthread whose call chain is known, and a check of its reliable trace.
 *
 * Each function of the chain notes its return address as the compiler reads it,
 * __builtin_return_address(0), which no unwind table has a part in. The trace
 * of the thread has to end in exactly these.
 *
 * /sys/kernel/debug/test_orc_chain/
 *   control  write "block", "relay" (through test_orc_relay), "deep" (more functions
 *            than anybody has room for) or "spin" to start the thread, "stop" to
 *            end it
 *   pid      of the thread
 *   check    read: walk it, and say whether the trace is the known one
 *   running  read: walk it while it runs, many times, and count the verdicts
 *
 * The notes of the first run stay: start a chain once before a tracer that
 * replaces return addresses is on, and again after that.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "test_orc.h"
#include "test_orc_relay.h"

#define RUNNING_WALKS	2000

#define DEEP		160

enum mode { BLOCK, RELAY, DEEP_BLOCK, SPIN, NR_MODES };

static const char * const mode_names[] = { "block", "relay", "deep", "spin" };

static struct chain {
	struct mutex lock;	/* of all below but what the thread uses */
	struct task_struct *task;
	enum mode mode;
	struct test_orc_notes notes[NR_MODES];
	struct completion there;
	struct completion go;
	bool stop;
	u64 sum;
} chain = {
	.lock = __MUTEX_INITIALIZER(chain.lock),
};

static unsigned int spin_cpu;
module_param(spin_cpu, uint, 0444);
MODULE_PARM_DESC(spin_cpu, "CPU on which \"spin\" runs (0)");

static bool traced;
module_param(traced, bool, 0644);
MODULE_PARM_DESC(traced, "the chain's functions are traced: a tracer may be innermost (N)");

static unsigned long el1_irq;

static noinline u64 chain_leaf(u64 x)
{
	x ^= x << 13;
	x ^= x >> 7;
	return x ^ (x << 17);
}

static noinline void chain_inner(struct test_orc_notes *notes)
{
	test_orc_note(notes);
	complete(&chain.there);
	if (chain.mode == SPIN) {
		while (!READ_ONCE(chain.stop)) {
			WRITE_ONCE(chain.sum, chain_leaf(READ_ONCE(chain.sum) + 1));
			rcu_tasks_qs(current, false);	/* tracers wait for it */
		}
	} else {
		wait_for_completion(&chain.go);
	}
	barrier();
}

static noinline void chain_middle(void *notes)
{
	test_orc_note(notes);
	chain_inner(notes);
	barrier();
}

static noinline void chain_deep(unsigned int more, struct test_orc_notes *notes)
{
	if (more)
		chain_deep(more - 1, notes);
	else
		chain_middle(notes);
	barrier();
}

/* Of two of these the compiler must not make one call. */
static __always_inline void call_middle(struct test_orc_notes *notes, const int number)
{
	asm volatile("" : : "i" (number) : "memory");
	chain_middle(notes);
	asm volatile("" : : "i" (number) : "memory");
}

/* Calls chain_middle() in two places: test_orc_corrupt exchanges the return addresses. */
static noinline void chain_outer(struct test_orc_notes *notes)
{
	test_orc_note(notes);
	if (chain.mode == RELAY)
		test_orc_relay(chain_middle, notes, notes);
	else if (chain.mode == DEEP_BLOCK)
		chain_deep(DEEP, notes);
	else if (chain.mode == SPIN)
		call_middle(notes, SPIN);
	else
		call_middle(notes, BLOCK);
	barrier();
}

static int chain_thread(void *unused)
{
	struct test_orc_notes *notes = &chain.notes[chain.mode];

	test_orc_note(notes);
	chain_outer(notes);
	notes->open = false;

	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static int chain_start(enum mode mode)
{
	struct task_struct *task;

	if (chain.task)
		return -EBUSY;

	chain.mode = mode;
	chain.notes[mode].open = !chain.notes[mode].nr;
	init_completion(&chain.there);
	init_completion(&chain.go);
	chain.stop = false;

	task = kthread_create(chain_thread, NULL, "orc_chain");
	if (IS_ERR(task))
		return PTR_ERR(task);
	if (mode == SPIN)
		kthread_bind(task, spin_cpu);
	chain.task = task;
	wake_up_process(task);
	wait_for_completion(&chain.there);
	return 0;
}

static int chain_stop(void)
{
	if (!chain.task)
		return -ESRCH;
	WRITE_ONCE(chain.stop, true);
	complete_all(&chain.go);
	kthread_stop(chain.task);
	chain.task = NULL;
	return 0;
}

static ssize_t control_write(struct file *file, const char __user *buf,
			     size_t len, loff_t *pos)
{
	char word[16];
	int err;

	if (len >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, buf, len))
		return -EFAULT;
	word[len] = '\0';

	mutex_lock(&chain.lock);
	err = match_string(mode_names, NR_MODES, strim(word));
	if (err >= 0)
		err = chain_start(err);
	else if (!strcmp(strim(word), "stop"))
		err = chain_stop();
	mutex_unlock(&chain.lock);
	return err ?: len;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = control_write,
};

static int pid_show(struct seq_file *m, void *unused)
{
	guard(mutex)(&chain.lock);
	if (!chain.task)
		return -ESRCH;
	seq_printf(m, "%d\n", task_pid_nr(chain.task));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pid);

static void wrong(struct seq_file *m, const struct test_orc_trace *trace,
		  unsigned int i, const char *want)
{
	seq_printf(m, "not the chain: entry %u of %u is %pS, not %s\n", i, trace->nr,
		   (void *)trace->pcs[i], want);
	for (i = 0; i < trace->nr; i++)
		seq_printf(m, "  %pS\n", (void *)trace->pcs[i]);
}

/* What is below the notes, chain_inner() first: how the thread came off the CPU. */
static bool check_innermost(struct seq_file *m, const struct test_orc_trace *trace,
			    unsigned int i)
{
	bool leaf = chain.mode == SPIN && i &&
		    test_orc_in(trace->pcs[i - 1], (unsigned long)chain_leaf);

	if (traced)
		return true;
	if ((chain.mode != SPIN || leaf) && !test_orc_after_call(trace->pcs[i])) {
		wrong(m, trace, i, "after a call");
		return false;
	}
	if (leaf)
		i--;
	/* The callback of each basic block, or the branch to it in our PLT. */
	if (IS_ENABLED(CONFIG_KCOV) && chain.mode == SPIN && i &&
	    !test_orc_in(trace->pcs[i - 1], el1_irq))
		i--;
	if (chain.mode == SPIN && (!i || !test_orc_in(trace->pcs[i - 1], el1_irq))) {
		wrong(m, trace, i ? i - 1 : i, "in el1h_64_irq");
		return false;
	}
	return true;
}

static bool check_trace(struct seq_file *m, const struct test_orc_trace *trace)
{
	const struct test_orc_notes *notes = &chain.notes[chain.mode];
	unsigned int i, n = trace->nr;
	char want[128];

	if (n < notes->nr + 2) {
		seq_printf(m, "not the chain: only %u entries\n", n);
		return false;
	}
	if (!test_orc_in(trace->pcs[--n], test_orc_symbol("ret_from_fork"))) {
		wrong(m, trace, n, "in ret_from_fork");
		return false;
	}
	for (i = 0; i < notes->nr; i++) {
		if (trace->pcs[--n] == notes->ra[i])
			continue;
		snprintf(want, sizeof(want), "%pS", (void *)notes->ra[i]);
		wrong(m, trace, n, want);
		return false;
	}
	if (!test_orc_in(trace->pcs[--n], (unsigned long)chain_inner)) {
		wrong(m, trace, n, "in chain_inner");
		return false;
	}
	return check_innermost(m, trace, n);
}

static int check_show(struct seq_file *m, void *unused)
{
	struct test_orc_trace *trace __free(kfree) = kzalloc_obj(*trace);

	if (!trace)
		return -ENOMEM;

	guard(mutex)(&chain.lock);
	if (!chain.task)
		return -ESRCH;
	test_orc_save_pinned(chain.task, trace);
	if (trace->err == -EBUSY)
		seq_puts(m, "running\n");
	else if (trace->err)
		seq_printf(m, "unreliable: %d\n", trace->err);
	else if (check_trace(m, trace))
		seq_printf(m, "reliable: %u entries\n", trace->nr);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(check);

static unsigned long switches(const struct task_struct *task)
{
	return READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw);
}

static int running_show(struct seq_file *m, void *unused)
{
	struct test_orc_trace *trace __free(kfree) = kzalloc_obj(*trace);
	unsigned int i, reliable = 0, refused = 0, other = 0;
	unsigned long before;

	if (!trace)
		return -ENOMEM;

	guard(mutex)(&chain.lock);
	if (!chain.task || chain.mode != SPIN)
		return -ESRCH;
	for (i = 0; i < RUNNING_WALKS; i++) {
		bool ran = test_orc_runs(chain.task);

		before = switches(chain.task);
		test_orc_save(chain.task, trace);
		if (!ran || !test_orc_runs(chain.task) || before != switches(chain.task))
			other++;
		else if (trace->err)
			refused++;
		else
			reliable++;
	}
	seq_printf(m, "refused: %u\nreliable: %u\nnot running: %u\n",
		   refused, reliable, other);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(running);

static struct dentry *dir;

static int __init chain_init(void)
{
	el1_irq = test_orc_symbol("el1h_64_irq");
	if (!el1_irq)
		return -ENOENT;
	if (spin_cpu >= nr_cpu_ids || !cpu_online(spin_cpu))
		return -EINVAL;

	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("control", 0200, dir, NULL, &control_fops);
	debugfs_create_file("pid", 0400, dir, NULL, &pid_fops);
	debugfs_create_file("check", 0400, dir, NULL, &check_fops);
	debugfs_create_file("running", 0400, dir, NULL, &running_fops);
	return 0;
}

static void __exit chain_exit(void)
{
	debugfs_remove(dir);
	chain_stop();
}

module_init(chain_init);
module_exit(chain_exit);
MODULE_DESCRIPTION("A kthread with a known call chain");
MODULE_LICENSE("GPL");
