// SPDX-License-Identifier: GPL-2.0
/*
 * Init text is text for as long as it is there. A thread asks for an address in this
 * module's all the time, also while the loader gives it up.
 */
#include <linux/completion.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include <asm/unwind_orc.h>

static unsigned int found;
module_param(found, uint, 0444);
MODULE_PARM_DESC(found, "lookups that found the init text");

static unsigned int gone;
module_param(gone, uint, 0444);
MODULE_PARM_DESC(gone, "lookups that found nothing");

static unsigned int wrong;
module_param(wrong, uint, 0444);
MODULE_PARM_DESC(wrong, "lookups that found something else, or text that had gone");

static unsigned long init_pc;
static struct task_struct *task;
static DECLARE_COMPLETION(running);

static enum unwind_orc_lookup look(void)
{
	const struct unwind_orc_region *region;
	u32 frame_size;

	guard(rcu)();
	return unwind_orc_find(init_pc, &region, &frame_size);
}

static int thread(void *unused)
{
	while (!kthread_should_stop()) {
		switch (look()) {
		case UNWIND_ORC_FOUND:
			if (gone)
				wrong++;
			found++;
			break;
		case UNWIND_ORC_NOT_TEXT:
			gone++;
			break;
		default:
			wrong++;
		}
		complete(&running);
		cond_resched();
	}
	return 0;
}

static int __init init_init(void)
{
	init_pc = _THIS_IP_;
	task = kthread_run(thread, NULL, "orc_init");
	if (IS_ERR(task))
		return PTR_ERR(task);
	wait_for_completion(&running);
	return 0;
}

static void __exit init_exit(void)
{
	kthread_stop(task);
}

module_init(init_init);
module_exit(init_exit);
MODULE_DESCRIPTION("Looks for init text that is freed meanwhile");
MODULE_LICENSE("GPL");
