// SPDX-License-Identifier: GPL-2.0
/*
 * Two walkers, one stack, one moment, all tasks.
 *
 * Reading /sys/kernel/debug/test_orc_differ/run walks each task that is off the
 * CPU three times while it is held there: with the kernel's reliable walker,
 * whichever that is; as arch_stack_walk_reliable() of 7.3 does without the ORC
 * walker; and as the ordinary walker does, which goes through exceptions but
 * misses the caller of a function that has no frame record yet. It prints:
 *
 *   tasks          walked (the running ones are not)
 *   running        not walked
 *   reliable       for the kernel's walker
 *   stock          reliable for the stock rules
 *   stock only     reliable for the stock rules alone
 *   different      reliable for both, with different PCs
 *   same           reliable, PCs as the ordinary walker has them
 *   more           reliable, and besides these one or more that it missed
 *   less           reliable, and the ordinary walker has PCs that it lacks
 *
 * followed by the traces of the first few of "stock only", "different" and
 * "less", on lines that begin with "#".
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include "test_orc.h"

#define MAX_EXHIBITS	4

static unsigned int rounds = 1;
module_param(rounds, uint, 0644);
MODULE_PARM_DESC(rounds, "walks of all tasks for one read (1)");

struct walks {
	struct test_orc_trace ours, stock, ordinary;
};

static struct {
	struct mutex lock;		/* of all below */
	struct walks now;
	unsigned int tasks, running, reliable, stock;
	unsigned int stock_only, different, same, more, less;
	unsigned int nr_exhibits;
	struct exhibit {
		const char *what;
		char comm[TASK_COMM_LEN];
		pid_t pid;
		struct walks walks;
	} exhibits[MAX_EXHIBITS];
} differ = {
	.lock = __MUTEX_INITIALIZER(differ.lock),
};

static int walk_thrice(struct task_struct *task, void *arg)
{
	struct walks *walks = arg;

	test_orc_save(task, &walks->ours);
	test_orc_save_stock(task, &walks->stock);
	test_orc_save_ordinary(task, &walks->ordinary);
	return 0;
}

static bool same(const struct test_orc_trace *a, const struct test_orc_trace *b)
{
	return a->nr == b->nr && !memcmp(a->pcs, b->pcs, a->nr * sizeof(*a->pcs));
}

/* Are all entries of @few among those of @many, in their order? */
static bool contains(const struct test_orc_trace *many, const struct test_orc_trace *few)
{
	unsigned int i, j = 0;

	for (i = 0; i < many->nr && j < few->nr; i++)
		if (many->pcs[i] == few->pcs[j])
			j++;
	return j == few->nr;
}

static void exhibit(struct task_struct *task, const char *what)
{
	struct exhibit *e;

	if (differ.nr_exhibits == MAX_EXHIBITS)
		return;
	e = &differ.exhibits[differ.nr_exhibits++];
	e->what = what;
	strscpy(e->comm, task->comm);
	e->pid = task_pid_nr(task);
	e->walks = differ.now;
}

/* A zombie has no stack, and each walker says that it is empty, reliably. */
static bool had_no_stack(const struct test_orc_trace *trace)
{
	return !trace->err && !trace->nr;
}

static void compare(struct task_struct *task)
{
	const struct walks *w = &differ.now;

	/* The stack of a dead task goes at any moment: not all walked the same. */
	if (had_no_stack(&w->ours) || had_no_stack(&w->stock) ||
	    had_no_stack(&w->ordinary))
		return;

	differ.tasks++;
	if (!w->stock.err)
		differ.stock++;
	if (w->ours.err) {
		if (!w->stock.err) {
			differ.stock_only++;
			exhibit(task, "stock only");
		}
		return;
	}

	differ.reliable++;
	if (!w->stock.err && !same(&w->ours, &w->stock)) {
		differ.different++;
		exhibit(task, "different");
	}
	if (same(&w->ours, &w->ordinary)) {
		differ.same++;
	} else if (contains(&w->ours, &w->ordinary)) {
		differ.more++;
	} else {
		differ.less++;
		exhibit(task, "less");
	}
}

static void walk_all(void)
{
	struct task_struct *group, *task;

	guard(rcu)();
	for_each_process_thread(group, task) {
		if (task == current)
			continue;
		if (test_orc_pin(task, walk_thrice, &differ.now))
			differ.running++;
		else
			compare(task);
	}
}

static void print_trace(struct seq_file *m, const char *name,
			const struct test_orc_trace *trace)
{
	unsigned int i;

	seq_printf(m, "#  %s: %d\n", name, trace->err);
	for (i = 0; i < trace->nr; i++)
		seq_printf(m, "#    %pS\n", (void *)trace->pcs[i]);
}

static void print(struct seq_file *m)
{
	unsigned int i;

	seq_printf(m, "tasks: %u\nrunning: %u\nreliable: %u\nstock: %u\n",
		   differ.tasks, differ.running, differ.reliable, differ.stock);
	seq_printf(m, "stock only: %u\ndifferent: %u\nsame: %u\nmore: %u\nless: %u\n",
		   differ.stock_only, differ.different, differ.same, differ.more,
		   differ.less);
	for (i = 0; i < differ.nr_exhibits; i++) {
		const struct exhibit *e = &differ.exhibits[i];

		seq_printf(m, "# %s: %s %d\n", e->what, e->comm, e->pid);
		print_trace(m, "the kernel's walker", &e->walks.ours);
		print_trace(m, "by the stock rules", &e->walks.stock);
		print_trace(m, "the ordinary walker", &e->walks.ordinary);
	}
}

static int run_show(struct seq_file *m, void *unused)
{
	unsigned int i;

	guard(mutex)(&differ.lock);
	/* seq_file calls again with a larger buffer: those walks don't count. */
	memset(&differ.tasks, 0, sizeof(differ) - offsetof(typeof(differ), tasks));
	for (i = 0; i < rounds; i++) {
		walk_all();
		cond_resched();
	}
	print(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(run);

static struct dentry *dir;

static int __init differ_init(void)
{
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("run", 0400, dir, NULL, &run_fops);
	return 0;
}

static void __exit differ_exit(void)
{
	debugfs_remove(dir);
}

module_init(differ_init);
module_exit(differ_exit);
MODULE_DESCRIPTION("Compares the reliable walkers on all tasks");
MODULE_LICENSE("GPL");
