// SPDX-License-Identifier: GPL-2.0
/*
 * What a reliable walk costs: walks a blocked kthread many times with the
 * kernel's reliable walker, whichever it is, and says how long that took.
 *
 * In a guest whose clock advances by one nanosecond for each instruction
 * (QEMU's -icount shift=0), the nanoseconds are instructions; elsewhere they
 * are time, and noisy.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "test_orc.h"

#define WALKS	2000

static int depth = 16;
module_param(depth, int, 0444);
MODULE_PARM_DESC(depth, "functions on the stack, besides those of the kernel");

static DECLARE_COMPLETION(finish);

/* Not to be a loop: each level shall have a frame. */
static noinline int descend(int levels)
{
	int ret = 0;

	if (levels <= 1)
		wait_for_completion(&finish);
	else
		ret = descend(levels - 1);
	barrier();
	return ret + levels;
}

static int sleeper(void *unused)
{
	descend(depth);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static u64 time_walks(struct task_struct *task, struct test_orc_trace *trace)
{
	unsigned long flags;
	u64 start, end;

	local_irq_save(flags);
	start = local_clock();
	for (int i = 0; i < WALKS; i++)
		test_orc_save(task, trace);
	end = local_clock();
	local_irq_restore(flags);
	return end - start;
}

static int measure(struct task_struct *task)
{
	struct test_orc_trace *trace = kzalloc_obj(*trace);
	u64 ns;

	if (!trace)
		return -ENOMEM;
	/* The first walk finds the caches cold, the task maybe not asleep yet. */
	while (test_orc_save_pinned(task, trace), trace->err == -EBUSY)
		schedule_timeout_uninterruptible(1);
	ns = time_walks(task, trace);
	if (trace->err || !trace->nr)
		pr_info("not reliable: %d\n", trace->err);
	else
		pr_info("%u frames, %d walks, %llu ns, %llu ns a walk, %llu ns a frame\n",
			trace->nr, WALKS, ns, ns / WALKS, ns / WALKS / trace->nr);
	kfree(trace);
	return 0;
}

static int __init test_orc_bench_init(void)
{
	struct task_struct *task;
	int err;

	if (depth < 1 || depth > 64)
		return -EINVAL;
	task = kthread_run(sleeper, NULL, "orc-bench");
	if (IS_ERR(task))
		return PTR_ERR(task);
	schedule_timeout_uninterruptible(HZ / 10);
	err = measure(task);
	complete(&finish);
	kthread_stop(task);
	return err;
}

static void __exit test_orc_bench_exit(void)
{
}

module_init(test_orc_bench_init);
module_exit(test_orc_bench_exit);
MODULE_DESCRIPTION("Cost of reliable stack walks");
MODULE_LICENSE("GPL");
