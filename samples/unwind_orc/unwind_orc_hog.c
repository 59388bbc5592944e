// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel threads that compute and never sleep.
 *
 * Load it with more threads than CPUs, and at any moment all but a few of them
 * are preempted in the kernel: runnable, off the CPU, with an exception boundary
 * on the stack. A livepatch transition has to find each of these stacks
 * reliable before it can finish. Unloading the module ends the threads.
 *
 * demo.sh beside this file and the kselftests in
 * tools/testing/selftests/unwind_orc are the users.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

static unsigned int count;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "number of threads, 0 (the default): twice the online CPUs");

/* Looks at its stop flag every so many rounds: well under a scheduler tick. */
#define ROUNDS	4096

/* A ceiling against a mistyped parameter, not a limit of anything below. */
#define MAX_HOGS	1024

static struct task_struct **hogs;

/*
 * Two functions, so that an interrupted hog has a caller to unwind to whichever
 * of the two the interrupt finds. They are not inlined, and what they compute
 * is stored by the caller, so that no compiler drops the work.
 */
static noinline u64 hog_mix(u64 x)
{
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static noinline u64 hog_crunch(u64 seed)
{
	unsigned int i;

	for (i = 0; i < ROUNDS; i++)
		seed = hog_mix(seed + i);

	return seed;
}

static int hog_thread(void *unused)
{
	u64 seed = 1;

	while (!kthread_should_stop()) {
		if (kthread_should_park())
			kthread_parkme();
		WRITE_ONCE(seed, hog_crunch(READ_ONCE(seed)));
		/*
		 * Not a point to schedule at. Removing a livepatch frees an
		 * ftrace trampoline, and synchronize_rcu_tasks() waits until
		 * each task has said that it is on none: without this the
		 * removal would hang, whatever the stacks look like.
		 */
		rcu_tasks_qs(current, false);
	}

	return 0;
}

static void hog_stop(unsigned int n)
{
	while (n--)
		kthread_stop(hogs[n]);
	kfree(hogs);
}

static int __init hog_init(void)
{
	unsigned int i;

	if (!count)
		count = 2 * num_online_cpus();
	if (count > MAX_HOGS) {
		pr_err("count=%u is more than %u\n", count, MAX_HOGS);
		return -EINVAL;
	}

	hogs = kcalloc(count, sizeof(*hogs), GFP_KERNEL);
	if (!hogs)
		return -ENOMEM;

	for (i = 0; i < count; i++) {
		hogs[i] = kthread_run(hog_thread, NULL, "orc_hog/%u", i);
		if (IS_ERR(hogs[i])) {
			int err = PTR_ERR(hogs[i]);

			hog_stop(i);
			return err;
		}
	}

	pr_info("%u threads on %u CPUs\n", count, num_online_cpus());
	return 0;
}

static void __exit hog_exit(void)
{
	hog_stop(count);
}

module_init(hog_init);
module_exit(hog_exit);
MODULE_DESCRIPTION("CPU-bound kernel threads, for livepatch transitions");
MODULE_LICENSE("GPL");
