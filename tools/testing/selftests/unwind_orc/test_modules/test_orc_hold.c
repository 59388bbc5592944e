// SPDX-License-Identifier: GPL-2.0
/*
 * A task that is held in an ftrace callback, after the callback has decided where
 * the task goes on.
 *
 * /sys/kernel/debug/test_orc_hold/
 *   hold   write where to: "on" (as if not traced), "other" (as a live patch),
 *          "back" (as error injection: the function is not executed), "direct" (a
 *          trampoline); nothing lets the task go
 *   trace  read: the verdict on its stack, then the entries from ftrace_caller()
 *          outward, as symbols
 *   ran    read: which function ran, after it was let go
 *   pid    of the task
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/ftrace.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "test_orc.h"
#include "test_orc_hold.h"

static DEFINE_MUTEX(lock);	/* of all below but what the task uses */
static struct task_struct *task;
static struct completion there;
static struct completion go;
static unsigned long target;
static bool is_direct;
static const char *ran = "nothing";

static noinline void hold_me(void)
{
	ran = "hold_me";
	barrier();
}

static noinline void hold_other(void)
{
	ran = "hold_other";
	barrier();
}

/* Entered with the return address of the traced function in x9: goes on in that. */
asm("	.pushsection .text, \"ax\", @progbits\n"
"	.type test_orc_hold_direct, %function\n"
"test_orc_hold_direct:\n"
"	hint	#34\n"
"	mov	x10, x30\n"
"	mov	x30, x9\n"
"	ret	x10\n"
"	.size test_orc_hold_direct, . - test_orc_hold_direct\n"
"	.popsection\n");

/* Called by ftrace_caller(), with preemption enabled. */
static void hold(unsigned long ip, unsigned long parent_ip,
		 struct ftrace_ops *op, struct ftrace_regs *fregs)
{
	if (is_direct)
		arch_ftrace_set_direct_caller(fregs, (unsigned long)test_orc_hold_direct);
	else if (target == 1)
		ftrace_override_function_with_return(fregs);
	else if (target)
		ftrace_regs_set_instruction_pointer(fregs, target);
	complete(&there);
	wait_for_completion(&go);
}

static struct ftrace_ops ops = {
	.func = hold,
	.flags = FTRACE_OPS_FL_IPMODIFY,
};

static int call_it(void *arg)
{
	ran = "nothing";
	hold_me();
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void let_go(void)
{
	if (!task)
		return;
	complete(&go);
	kthread_stop(task);
	put_task_struct(task);
	task = NULL;
}

static int start(const char *where)
{
	struct task_struct *new;

	is_direct = !strcmp(where, "direct");
	if (!strcmp(where, "other"))
		target = (unsigned long)hold_other;
	else
		target = !strcmp(where, "back");
	if (!is_direct && !target && strcmp(where, "on"))
		return -EINVAL;

	init_completion(&there);
	init_completion(&go);
	new = kthread_create(call_it, NULL, "orc_hold");
	if (IS_ERR(new))
		return PTR_ERR(new);
	task = get_task_struct(new);
	wake_up_process(new);
	wait_for_completion(&there);
	while (test_orc_runs(new))
		schedule_timeout_uninterruptible(1);
	return 0;
}

static ssize_t hold_write(struct file *file, const char __user *buf, size_t size,
			  loff_t *pos)
{
	char word[16] = "";
	int err = 0;

	if (size >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, buf, size))
		return -EFAULT;
	guard(mutex)(&lock);
	let_go();
	if (*strim(word))
		err = start(strim(word));
	return err ?: size;
}

static const struct file_operations hold_fops = {
	.owner = THIS_MODULE,
	.write = hold_write,
};

static int trace_show(struct seq_file *m, void *v)
{
	unsigned long caller = test_orc_symbol("ftrace_caller");
	struct test_orc_trace *trace __free(kfree) = kzalloc_obj(*trace);
	bool seen = false;

	if (!trace)
		return -ENOMEM;
	guard(mutex)(&lock);
	if (!task)
		return -ENOENT;
	test_orc_save_pinned(task, trace);
	seq_printf(m, "%s\n", trace->err ? "unreliable" : "reliable");
	for (unsigned int i = 0; i < trace->nr; i++) {
		if (seen)
			seq_printf(m, "%ps%s\n", (void *)trace->pcs[i],
				   trace->pcs[i] == (unsigned long)hold_other ?
				   " entered" : "");
		seen |= test_orc_in(trace->pcs[i], caller);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(trace);

static int ran_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%s\n", ran);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(ran);

static int pid_show(struct seq_file *m, void *v)
{
	guard(mutex)(&lock);
	seq_printf(m, "%d\n", task ? task_pid_nr(task) : 0);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pid);

static struct dentry *dir;

static int __init test_orc_hold_init(void)
{
	int err;

	err = ftrace_set_filter_ip(&ops, (unsigned long)hold_me, 0, 0);
	if (err)
		return err;
	err = register_ftrace_function(&ops);
	if (err)
		return err;
	dir = debugfs_create_dir("test_orc_hold", NULL);
	debugfs_create_file("hold", 0200, dir, NULL, &hold_fops);
	debugfs_create_file("trace", 0400, dir, NULL, &trace_fops);
	debugfs_create_file("ran", 0400, dir, NULL, &ran_fops);
	debugfs_create_file("pid", 0400, dir, NULL, &pid_fops);
	return 0;
}

static void __exit test_orc_hold_exit(void)
{
	debugfs_remove(dir);
	let_go();
	unregister_ftrace_function(&ops);
}

module_init(test_orc_hold_init);
module_exit(test_orc_hold_exit);
MODULE_DESCRIPTION("A task held in an ftrace callback, for the tests of the ORC unwinder");
MODULE_LICENSE("GPL");
