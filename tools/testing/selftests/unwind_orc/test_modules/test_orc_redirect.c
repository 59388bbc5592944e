// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that call a function which a live patch replaces, over and over, so that
 * many are preempted between the patch's choice of a function and the jump to it.
 *
 * /sys/module/test_orc_redirect/parameters/
 *   calls_old, calls_new  calls of the function, and of what replaces it
 *   wrong     calls of what replaces it by tasks that livepatch takes for
 *             unpatched. Beside a first patch, or the end of the last: each was
 *             switched while it was about to run it
 */
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include "test_orc_redirect.h"

#define THREADS	8

static struct task_struct *threads[THREADS];

struct test_orc_redirect_calls test_orc_redirect_calls;
EXPORT_SYMBOL_GPL(test_orc_redirect_calls);
module_param_named(calls_old, test_orc_redirect_calls.old, ulong, 0444);
module_param_named(calls_new, test_orc_redirect_calls.new, ulong, 0444);
module_param_named(wrong, test_orc_redirect_calls.wrong, ulong, 0444);

static unsigned int cpu;
module_param(cpu, uint, 0444);
MODULE_PARM_DESC(cpu, "where the threads run (0)");

/* The one that is patched: neither inlined nor specialised. */
noinline unsigned long orc_redirected(unsigned long x)
{
	WRITE_ONCE(test_orc_redirect_calls.old,
		   READ_ONCE(test_orc_redirect_calls.old) + 1);
	OPTIMIZER_HIDE_VAR(x);
	return x + 1;
}

static int call_it(void *arg)
{
	unsigned long x = 0;

	while (!kthread_should_stop()) {
		for (int i = 0; i < 2000; i++) {
			x = orc_redirected(x);
			for (int j = 0; j < 300; j++)
				barrier();
		}
		cond_resched_tasks_rcu_qs();
	}
	return 0;
}

static void stop_all(void)
{
	for (int i = 0; i < THREADS && threads[i]; i++)
		kthread_stop(threads[i]);
}

static int __init test_orc_redirect_init(void)
{
	for (int i = 0; i < THREADS; i++) {
		struct task_struct *task;

		task = kthread_create(call_it, NULL, "orc_redirect/%d", i);
		if (IS_ERR(task)) {
			stop_all();
			return PTR_ERR(task);
		}
		kthread_bind(task, cpu);
		threads[i] = task;
		wake_up_process(task);
	}
	return 0;
}

static void __exit test_orc_redirect_exit(void)
{
	stop_all();
}

module_init(test_orc_redirect_init);
module_exit(test_orc_redirect_exit);
MODULE_DESCRIPTION("Threads that call a patched function, for the tests of the ORC unwinder");
MODULE_LICENSE("GPL");
