// SPDX-License-Identifier: GPL-2.0
/*
 * Fault injection on real stacks: words of the stacks of all tasks that are off the
 * CPU are changed, one change at a time, and the kernel's reliable walker and the
 * rules of 7.3 are asked about each changed stack. What they said before the change
 * is the truth, where the frame records agree.
 *
 * Changes are made and taken back while stop_machine() holds all CPUs: nobody runs
 * on a changed stack, and nobody sees one, not even through a list that has its
 * nodes there.
 *
 * /sys/kernel/debug/test_orc_inject/
 *   run      write N: make N changes more
 *   survey   write N: look at the calls on all stacks, unchanged, N times more
 *   cells    read: outcomes by kind of change; inject_show()
 *   reasons  read: why the ORC walker refused, by kind of word, and where unchanged
 *   calls    read: calls on unchanged stacks; inject_show_calls()
 *   wrong    read: traces that were wrong, a few of each kind
 *   disputed read: unchanged stacks, a few, of which the two walks differ
 *   stacks   read: how many stacks were looked at, and why not
 *
 * The seed names a run, but for what the tasks do meanwhile.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/stop_machine.h>
#include <linux/vmalloc.h>

#include "inject.h"

#define MAX_TASKS	512
#define CHANGES_A_STOP	128
#define CHANGES_A_LIST	8192	/* then the tasks are listed anew */

static unsigned long long seed;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "of the random changes; 0: a random one (0)");

static DEFINE_MUTEX(lock);		/* of all below */
static struct inject_run *run;
static u64 nr_changed, nr_stacks, nr_running, nr_refused, nr_strange, nr_disputed;

static void forget_tasks(void)
{
	while (run->nr_tasks)
		put_task_struct(run->tasks[--run->nr_tasks]);
}

static void list_tasks(void)
{
	struct task_struct *process, *task;

	forget_tasks();
	guard(rcu)();
	for_each_process_thread(process, task)
		if (run->nr_tasks < MAX_TASKS)
			run->tasks[run->nr_tasks++] = get_task_struct(task);
}

static void change_some(void)
{
	unsigned int i;

	for (i = 0; i < CHANGES_A_STOP; i++) {
		enum inject_word word = inject_below(run, INJECT_WORDS);
		enum inject_how how;

		do
			how = inject_below(run, INJECT_HOWS);
		while (!(inject_hows[word] & BIT(how)));
		if (!inject_change(run, word, how))
			continue;
		inject_judge(run, word, how);
		inject_undo(run);
		nr_changed++;
	}
}

/* All entries of @few are among those of @all, in order. */
static bool is_part(const struct test_orc_trace *few, const struct test_orc_trace *all)
{
	unsigned int i, found = 0;

	for (i = 0; i < all->nr && found < few->nr; i++)
		found += all->pcs[i] == few->pcs[found];
	return found == few->nr;
}

/*
 * What the kernel's walker says of the unchanged stack is the truth only if the
 * frame records say so, too: the ordinary walk of them has no function more.
 */
static bool is_true(struct task_struct *task)
{
	struct test_orc_trace *records = &run->after.stock;

	test_orc_save_ordinary(task, records);
	return !records->err && is_part(records, &run->before.ours) &&
	       (run->before.stock.err || records->nr == run->before.ours.nr);
}

/* The unchanged stack of a task; false if it can't be told what is true of it. */
static bool look_at(struct task_struct *task)
{
	if (test_orc_runs(task)) {
		nr_running++;
		return false;
	}
	run->stack.task = task;
	run->reason = 0;
	test_orc_save(task, &run->before.ours);
	test_orc_save_stock(task, &run->before.stock);
	if (run->before.ours.err || !run->before.ours.nr) {
		nr_refused++;
		inject_note_refused(run);
		return false;
	}
	if (!inject_lay_out(&run->stack, task)) {
		nr_strange++;
		return false;
	}
	/* It has never run: there is no word to change. */
	if (run->stack.sp >= run->stack.end)
		return false;
	if (!is_true(task)) {
		nr_disputed++;
		inject_note_disputed(run);
		return false;
	}
	inject_note_calls(&run->stack, &run->before.ours);
	nr_stacks++;
	return true;
}

/* On one CPU, with the others stopped. */
static int inject_stopped(void *unused)
{
	struct task_struct *task = run->tasks[inject_below(run, run->nr_tasks)];

	if (!try_get_task_stack(task))
		return 0;
	if (look_at(task))
		change_some();
	test_orc_put_stack(task);
	return 0;
}

static int survey_stopped(void *unused)
{
	unsigned int i;

	for (i = 0; i < run->nr_tasks; i++) {
		if (!try_get_task_stack(run->tasks[i]))
			continue;
		look_at(run->tasks[i]);
		test_orc_put_stack(run->tasks[i]);
	}
	return 0;
}

static int make_changes(u64 changes)
{
	u64 target = nr_changed + changes, listed = 0, idle = 0;

	while (nr_changed < target) {
		u64 before = nr_changed;

		if (!run->nr_tasks || nr_changed - listed >= CHANGES_A_LIST) {
			list_tasks();
			listed = nr_changed;
		}
		stop_machine(inject_stopped, NULL, NULL);
		cond_resched();
		/* Nothing is reliable, before a change: there is no end of it. */
		idle = nr_changed == before ? idle + 1 : 0;
		if (idle > 100 * MAX_TASKS)
			return -ENODATA;
		if (signal_pending(current))
			return -EINTR;
	}
	return 0;
}

static ssize_t run_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	unsigned long long changes;
	int err = kstrtoull_from_user(buf, len, 0, &changes);

	if (err)
		return err;
	guard(mutex)(&lock);
	err = make_changes(changes);
	forget_tasks();
	return err ?: len;
}

static ssize_t survey_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	unsigned int rounds;
	int err = kstrtouint_from_user(buf, len, 0, &rounds);

	if (err)
		return err;
	guard(mutex)(&lock);
	while (rounds-- && !signal_pending(current)) {
		list_tasks();
		stop_machine(survey_stopped, NULL, NULL);
		forget_tasks();
		cond_resched();
	}
	return len;
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = run_write,
};

static const struct file_operations survey_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = survey_write,
};

static int cells_show(struct seq_file *m, void *unused)
{
	guard(mutex)(&lock);
	inject_show(run, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(cells);

static int reasons_show(struct seq_file *m, void *unused)
{
	guard(mutex)(&lock);
	inject_show_reasons(run, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(reasons);

static int calls_show(struct seq_file *m, void *unused)
{
	guard(mutex)(&lock);
	inject_show_calls(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(calls);

static int wrong_show(struct seq_file *m, void *unused)
{
	guard(mutex)(&lock);
	inject_show_exhibits(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(wrong);

static int disputed_show(struct seq_file *m, void *unused)
{
	guard(mutex)(&lock);
	inject_show_disputed(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(disputed);

static int stacks_show(struct seq_file *m, void *unused)
{
	guard(mutex)(&lock);
	seq_printf(m, "seed: %llu\nchanges: %llu\nstacks: %llu\nrunning: %llu\n",
		   seed, nr_changed, nr_stacks, nr_running);
	seq_printf(m, "refused unchanged: %llu\nnot laid out: %llu\ndisputed: %llu\n",
		   nr_refused, nr_strange, nr_disputed);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stacks);

static struct dentry *dir;

static void free_all(void)
{
	inject_calls_exit();
	if (run)
		vfree(run->tasks);
	vfree(run);
}

static int __init inject_init(void)
{
	int err = -ENOMEM;

	run = vzalloc(sizeof(*run));
	if (!run)
		return err;
	run->tasks = vcalloc(MAX_TASKS, sizeof(*run->tasks));
	if (run->tasks)
		err = inject_layout_init() ?: inject_calls_init() ?: inject_reasons_init(run);
	if (err) {
		free_all();
		return err;
	}
	while (!seed)
		seed = get_random_u64();
	prandom_seed_state(&run->random, seed);
	pr_info("seed %llu\n", seed);

	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("run", 0200, dir, NULL, &run_fops);
	debugfs_create_file("survey", 0200, dir, NULL, &survey_fops);
	debugfs_create_file("cells", 0400, dir, NULL, &cells_fops);
	debugfs_create_file("reasons", 0400, dir, NULL, &reasons_fops);
	debugfs_create_file("calls", 0400, dir, NULL, &calls_fops);
	debugfs_create_file("wrong", 0400, dir, NULL, &wrong_fops);
	debugfs_create_file("disputed", 0400, dir, NULL, &disputed_fops);
	debugfs_create_file("stacks", 0400, dir, NULL, &stacks_fops);
	return 0;
}

static void __exit inject_exit(void)
{
	debugfs_remove(dir);
	inject_reasons_exit(run);
	free_all();
}

module_init(inject_init);
module_exit(inject_exit);
MODULE_DESCRIPTION("Changes of real stacks, for the tests of the ORC unwinder");
MODULE_LICENSE("GPL");
