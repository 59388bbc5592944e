// SPDX-License-Identifier: GPL-2.0
/*
 * Where the last reference to a stack is put when its task exits while it is walked.
 *
 * The task has exited, and this module has the last reference; it lets go of that
 * amid unwind_orc_trace_task(), when a reference of the walk's is about to be put.
 * Loads only if no stack would be freed under the locks that pin a task.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>

#include <asm/unwind_orc.h>

static struct task_struct *task;
static bool let_go;
static bool last_under_lock;
static unsigned int puts;

static int on_put(struct kprobe *p, struct pt_regs *regs)
{
	if ((struct task_struct *)regs->regs[0] != task)
		return 0;
	puts++;
	if (!let_go) {
		let_go = true;
		refcount_dec(&task->stack_refcount);
	}
	if (refcount_read(&task->stack_refcount) == 1 &&
	    raw_spin_is_locked(&task->pi_lock))
		last_under_lock = true;
	return 0;
}

static struct kprobe probe = {
	.symbol_name = "put_task_stack",
	.pre_handler = on_put,
};

static int thread(void *unused)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

/* A task without any reference to its stack but ours. */
static int make_exited_task(void)
{
	unsigned int i;

	task = kthread_run(thread, NULL, "orc_pin");
	if (IS_ERR(task))
		return PTR_ERR(task);
	get_task_struct(task);
	if (!try_get_task_stack(task))
		return -ESRCH;
	kthread_stop(task);
	for (i = 0; i < 100 && refcount_read(&task->stack_refcount) > 1; i++)
		msleep(20);
	return i < 100 ? 0 : -ETIMEDOUT;
}

static int __init pin_init(void)
{
	struct unwind_orc_verdict verdict;
	int err;

	err = make_exited_task();
	if (err)
		return err;
	err = register_kprobe(&probe);
	if (err)
		return err;
	unwind_orc_trace_task(task, NULL, 0, &verdict);
	unregister_kprobe(&probe);
	put_task_struct(task);

	pr_info("%u put, the last %s\n", puts,
		last_under_lock ? "under the locks" : "outside of the locks");
	return !puts || last_under_lock ? -EIO : 0;
}

static void __exit pin_exit(void)
{
}

module_init(pin_init);
module_exit(pin_exit);
MODULE_DESCRIPTION("Exits a task while its stack is walked");
MODULE_LICENSE("GPL");
