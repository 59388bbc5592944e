// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel threads in rare places, and walks of the current task in rare exceptions.
 *
 * /sys/kernel/debug/test_orc_cases/
 *   place  write where a thread is to sleep: "direct" (in what the trampoline of an
 *          ftrace direct call has called), "noreturn" (in a call that its caller
 *          ends with); nothing ends it
 *   pid    of that thread
 *   init   pid of a thread that sleeps below init text, which is freed by now
 *   trace  read: the verdict on the thread of "place", then the entries, as symbols
 *   slot   read: the same of the current task while its PC is in a kprobe's
 *          single-step slot
 *   null   read: the same after it has called a NULL pointer
 *   race   read: the number of walks that were reliable, of a thread that sleeps and
 *          wakes up all the time, and that nobody keeps from it
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/jiffies.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/brk-imm.h>
#include <asm/esr.h>
#include <asm/insn.h>
#include <asm/pointer_auth.h>

#include "test_orc.h"
#include "test_orc_cases.h"

#define RACE_SECONDS	5

static DEFINE_MUTEX(lock);	/* of all below but what the threads use */
static struct task_struct *task;
static struct task_struct *init_task_below;
static DECLARE_COMPLETION(there);
static DECLARE_COMPLETION(go);
static DECLARE_COMPLETION(init_go);

/* Direct calls, with the trampoline of samples/ftrace/ftrace-direct.c. */

noinline void direct_sleep(void)
{
	complete(&there);
	wait_for_completion(&go);
	barrier();
}

asm(".pushsection .text, \"ax\", @progbits\n"
	".type direct_tramp, %function\n"
	"direct_tramp:\n"
	"	hint	#34\n"
	"	sub	sp, sp, #32\n"
	"	stp	x9, x30, [sp]\n"
	"	str	x0, [sp, #16]\n"
	"	bl	direct_sleep\n"
	"	ldp	x30, x9, [sp]\n"
	"	ldr	x0, [sp, #16]\n"
	"	add	sp, sp, #32\n"
	"	ret	x9\n"
	".size direct_tramp, . - direct_tramp\n"
	".popsection\n");

static noinline void direct_traced(void)
{
	barrier();
}

static noinline void direct_caller(void)
{
	direct_traced();
	barrier();
}

static int wait_to_stop(void)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static int direct_thread(void *unused)
{
	direct_caller();
	return wait_to_stop();
}

static struct ftrace_ops direct_ops;

static int direct_begin(void)
{
	int err = ftrace_set_filter_ip(&direct_ops, (unsigned long)direct_traced, 0, 0);

	return err ?: register_ftrace_direct(&direct_ops, (unsigned long)direct_tramp);
}

static void direct_end(void)
{
	unregister_ftrace_direct(&direct_ops, (unsigned long)direct_tramp, true);
}

/* A function that ends with a call: no code of its own is at the return address. */

static noinline void __noreturn sleep_and_exit(void)
{
	complete(&there);
	wait_for_completion(&go);
	wait_to_stop();
	kthread_complete_and_exit(NULL, 0);
}

static int noreturn_thread(void *unused)
{
	sleep_and_exit();
}

/* Does nothing return behind the return address in noreturn_thread()? */
static bool ends_with_call(const struct test_orc_trace *trace)
{
	unsigned long pc, start, size;

	for (unsigned int i = 0; i < trace->nr; i++) {
		pc = trace->pcs[i];
		if (!test_orc_in(pc - AARCH64_INSN_SIZE, (unsigned long)noreturn_thread))
			continue;
		test_orc_function(pc - AARCH64_INSN_SIZE, &start, &size);
		for (; pc < start + size; pc += AARCH64_INSN_SIZE)
			if (aarch64_insn_is_ret(le32_to_cpup((__le32 *)pc)))
				return false;
		return true;
	}
	return false;
}

/* Init text: its last use is before it is freed, when the thread is asleep. */

static noinline void __noreturn sleep_below_init(void)
{
	complete(&there);
	wait_for_completion(&init_go);
	wait_to_stop();
	kthread_complete_and_exit(NULL, 0);
}

static int __init init_thread(void *unused)
{
	sleep_below_init();
	return 0;
}

static struct task_struct *begin(int (*fn)(void *unused))
{
	struct task_struct *new;

	reinit_completion(&there);
	reinit_completion(&go);
	new = kthread_create(fn, NULL, "orc_cases");
	if (IS_ERR(new))
		return new;
	get_task_struct(new);
	wake_up_process(new);
	wait_for_completion(&there);
	while (test_orc_runs(new))
		schedule_timeout_uninterruptible(1);
	return new;
}

static void end(struct task_struct **which, struct completion *wait)
{
	if (!*which)
		return;
	complete(wait);
	kthread_stop(*which);
	put_task_struct(*which);
	*which = NULL;
}

static bool is_direct;

static void leave(void)
{
	end(&task, &go);
	if (is_direct)
		direct_end();
	is_direct = false;
}

static ssize_t place_write(struct file *file, const char __user *buf, size_t size,
			   loff_t *pos)
{
	struct task_struct *new;
	char word[16] = "";
	int err;

	if (size >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, buf, size))
		return -EFAULT;
	guard(mutex)(&lock);
	leave();
	if (!*strim(word))
		return size;
	if (!strcmp(strim(word), "direct")) {
		err = direct_begin();
		if (err)
			return err;
		is_direct = true;
		new = begin(direct_thread);
	} else {
		new = begin(noreturn_thread);
	}
	if (IS_ERR(new)) {
		leave();
		return PTR_ERR(new);
	}
	task = new;
	return size;
}

static const struct file_operations place_fops = {
	.owner = THIS_MODULE,
	.write = place_write,
};

static int pid_show(struct seq_file *m, void *v)
{
	guard(mutex)(&lock);
	seq_printf(m, "%d\n", task ? task_pid_nr(task) : 0);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pid);

static int init_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%d\n", task_pid_nr(init_task_below));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(init);

static void show_trace(struct seq_file *m, const struct test_orc_trace *trace)
{
	seq_printf(m, "%s\n", trace->err ? "unreliable" : "reliable");
	for (unsigned int i = 0; i < TEST_ORC_ENTRIES && trace->pcs[i]; i++)
		seq_printf(m, "%ps\n", (void *)trace->pcs[i]);
}

static int trace_show(struct seq_file *m, void *v)
{
	struct test_orc_trace *trace __free(kfree) = kzalloc_obj(*trace);

	if (!trace)
		return -ENOMEM;
	guard(mutex)(&lock);
	if (!task)
		return -ENOENT;
	test_orc_save_pinned(task, trace);
	show_trace(m, trace);
	if (ends_with_call(trace))
		seq_puts(m, "a call at the end of a function\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(trace);

/* Exceptions: a callback of ftrace looks at the stack amid their handling. */

static struct test_orc_trace exception_trace;
static struct task_struct *watched;
static unsigned int watched_times;

static void watch_slot(unsigned long ip, unsigned long parent_ip,
		       struct ftrace_ops *op, struct ftrace_regs *fregs)
{
	unsigned long esr = ftrace_regs_get_argument(fregs, 0);

	if (current != watched || esr_brk_comment(esr) != KPROBES_BRK_SS_IMM)
		return;
	watched_times++;
	test_orc_save(current, &exception_trace);
}

/* Goes on as if the function that was called had returned. */
static void watch_null(unsigned long ip, unsigned long parent_ip,
		       struct ftrace_ops *op, struct ftrace_regs *fregs)
{
	struct pt_regs *regs = (void *)ftrace_regs_get_argument(fregs, 2);

	if (current != watched || regs->pc)
		return;
	watched_times++;
	test_orc_save(current, &exception_trace);
	regs->pc = ptrauth_strip_kernel_insn_pac(regs->regs[30]);
	ftrace_override_function_with_return(fregs);
}

static struct ftrace_ops slot_ops = { .func = watch_slot };
static struct ftrace_ops null_ops = {
	.func = watch_null,
	.flags = FTRACE_OPS_FL_IPMODIFY,
};

/* @action, while @ops look at @function */
static int watch(struct seq_file *m, struct ftrace_ops *ops, const char *function,
		 void (*action)(void))
{
	int err;

	guard(mutex)(&lock);
	memset(&exception_trace, 0, sizeof(exception_trace));
	watched_times = 0;
	watched = current;
	err = ftrace_set_filter_ip(ops, test_orc_symbol(function), 0, 0);
	if (err)
		return err;
	err = register_ftrace_function(ops);
	if (err)
		return err;
	action();
	unregister_ftrace_function(ops);
	if (!watched_times)
		return -ENOENT;
	show_trace(m, &exception_trace);
	return 0;
}

static noinline unsigned long slot_probed(unsigned long x)
{
	return x * 3 + 1;
}

static int do_nothing(struct kprobe *p, struct pt_regs *regs)
{
	return 0;
}

static unsigned long result;

/* Past what is simulated or patched: the first instruction of the body. */
static void step_in_slot(void)
{
	struct kprobe probe = { .pre_handler = do_nothing };
	unsigned long start, size, at;

	test_orc_function((unsigned long)slot_probed, &start, &size);
	for (at = start; at < start + size; at += AARCH64_INSN_SIZE)
		if (!aarch64_insn_is_nop(le32_to_cpup((__le32 *)at)) &&
		    !aarch64_insn_is_steppable_hint(le32_to_cpup((__le32 *)at)))
			break;
	probe.addr = (kprobe_opcode_t *)at;
	if (register_kprobe(&probe))
		return;
	result = slot_probed(result);
	unregister_kprobe(&probe);
}

static int slot_show(struct seq_file *m, void *v)
{
	return watch(m, &slot_ops, "do_el1_brk64", step_in_slot);
}
DEFINE_SHOW_ATTRIBUTE(slot);

static void (*null_function)(void);

static noinline void call_null(void)
{
	READ_ONCE(null_function)();
	barrier();
}

static int null_show(struct seq_file *m, void *v)
{
	return watch(m, &null_ops, "do_mem_abort", call_null);
}
DEFINE_SHOW_ATTRIBUTE(null);

static int restless_thread(void *unused)
{
	while (!kthread_should_stop())
		usleep_range(20, 40);
	return 0;
}

static int race_show(struct seq_file *m, void *v)
{
	struct test_orc_trace *trace __free(kfree) = kzalloc_obj(*trace);
	struct task_struct *restless;
	unsigned int reliable = 0;
	unsigned long end;

	if (!trace)
		return -ENOMEM;
	restless = kthread_create(restless_thread, NULL, "orc_restless");
	if (IS_ERR(restless))
		return PTR_ERR(restless);
	kthread_bind(restless, 1);
	wake_up_process(restless);
	end = jiffies + RACE_SECONDS * HZ;
	while (time_before(jiffies, end)) {
		test_orc_save(restless, trace);
		reliable += !trace->err;
		cond_resched();
	}
	kthread_stop(restless);
	seq_printf(m, "reliable: %u\n", reliable);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(race);

static struct dentry *dir;

static int __init cases_init(void)
{
	struct task_struct *new = begin(init_thread);

	if (IS_ERR(new))
		return PTR_ERR(new);
	init_task_below = new;

	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("place", 0200, dir, NULL, &place_fops);
	debugfs_create_file("pid", 0400, dir, NULL, &pid_fops);
	debugfs_create_file("init", 0400, dir, NULL, &init_fops);
	debugfs_create_file("trace", 0400, dir, NULL, &trace_fops);
	debugfs_create_file("slot", 0400, dir, NULL, &slot_fops);
	debugfs_create_file("null", 0400, dir, NULL, &null_fops);
	debugfs_create_file("race", 0400, dir, NULL, &race_fops);
	return 0;
}

static void __exit cases_exit(void)
{
	debugfs_remove(dir);
	leave();
	end(&init_task_below, &init_go);
}

module_init(cases_init);
module_exit(cases_exit);
MODULE_DESCRIPTION("Threads in rare places, for the tests of the ORC unwinder");
MODULE_LICENSE("GPL");
