// SPDX-License-Identifier: GPL-2.0
/*
 * From arch_stack_walk_reliable() to the walker and back.
 *
 * The walker may come and go while others walk: it is reached through an RCU
 * pointer, and no walk outlives the read side. Without a walker, and where it
 * has no table to go by, the conservative unwinder answers.
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include "edge.h"

#define CREATE_TRACE_POINTS
#include <trace/events/unwind_orc.h>

/* Guards the walker, and what it thinks of the tables. */
DEFINE_MUTEX(unwind_orc_lock);
static const struct unwind_orc_ops __rcu *walker;

/* The walker, for those who hold unwind_orc_lock; NULL if there is none. */
const struct unwind_orc_ops *unwind_orc_current_ops(void)
{
	return rcu_dereference_protected(walker,
					 lockdep_is_held(&unwind_orc_lock));
}

/**
 * unwind_orc_register() - let a walker answer
 * @ops: the walker; has to stay until unwind_orc_unregister() returns
 *
 * Has it check all tables before the first walk.
 *
 * Return: 0; -EBUSY if there is a walker; -EINVAL if it refuses the table of
 * vmlinux, whereupon the conservative unwinder stays in charge.
 */
int unwind_orc_register(const struct unwind_orc_ops *ops)
{
	int err;

	guard(mutex)(&unwind_orc_lock);
	if (unwind_orc_current_ops())
		return -EBUSY;
	err = unwind_orc_accept_all(ops);
	if (err)
		return err;
	rcu_assign_pointer(walker, ops);
	return 0;
}
EXPORT_SYMBOL_GPL(unwind_orc_register);

/**
 * unwind_orc_unregister() - take a walker away
 * @ops: what unwind_orc_register() was given; anything else is ignored
 *
 * Waits until no walk is under way in it.
 */
void unwind_orc_unregister(const struct unwind_orc_ops *ops)
{
	guard(mutex)(&unwind_orc_lock);
	if (unwind_orc_current_ops() != ops)
		return;
	RCU_INIT_POINTER(walker, NULL);
	synchronize_rcu();
}
EXPORT_SYMBOL_GPL(unwind_orc_unregister);

struct skip_first {
	const struct unwind_orc_sink *sink;
	bool skipped;
};

/* The first PC is that of the function which captured the state. */
static bool consume_but_first(void *cookie, unsigned long pc)
{
	struct skip_first *skip = cookie;

	if (!skip->skipped) {
		skip->skipped = true;
		return true;
	}
	return skip->sink->consume(skip->sink->cookie, pc);
}
NOKPROBE_SYMBOL(consume_but_first);

static bool consume_nothing(void *cookie, unsigned long pc)
{
	return true;
}
NOKPROBE_SYMBOL(consume_nothing);

static int walk_current(const struct unwind_orc_ops *ops,
			const struct unwind_orc_start *start,
			const struct unwind_orc_sink *sink,
			struct unwind_orc_verdict *verdict)
{
	struct skip_first skip = { .sink = sink };
	const struct unwind_orc_sink rest = { consume_but_first, &skip };
	int ret;

	ret = ops->walk(start, current, &rest, verdict);
	if (verdict->frame)
		verdict->frame--;
	return ret;
}
NOKPROBE_SYMBOL(walk_current);

/*
 * A trace that the conservative unwinder is to give must not have been begun
 * by the walker: look first, where there is text that has no table.
 */
static int walk_from(const struct unwind_orc_ops *ops,
		     const struct unwind_orc_start *start,
		     const struct unwind_orc_sink *sink,
		     struct task_struct *task,
		     struct unwind_orc_verdict *verdict)
{
	static const struct unwind_orc_sink nobody = { consume_nothing };
	int ret;

	if (unwind_orc_tables_missing() &&
	    ops->walk(start, task, &nobody, verdict) == -ENODATA)
		return -ENODATA;

	if (task == current)
		ret = walk_current(ops, start, sink, verdict);
	else
		ret = ops->walk(start, task, sink, verdict);
	if (!ret)
		return 0;

	trace_unwind_orc_unreliable(task, verdict);
	return -EINVAL;
}
NOKPROBE_SYMBOL(walk_from);

/*
 * Walk @task and tell why as well as whether. @start holds what
 * unwind_orc_capture() took, for the case that @task is current.
 *
 * Return: 0 or -EINVAL, with the verdict; -EOPNOTSUPP without a walker;
 * -ENODATA, with the verdict and nothing consumed, if a table misses.
 */
static int verdict_on(struct unwind_orc_start *start,
		      const struct unwind_orc_sink *sink,
		      struct task_struct *task,
		      struct unwind_orc_verdict *verdict)
{
	const struct unwind_orc_ops *ops;
	int ret;

	if (!rcu_is_watching())
		return -EOPNOTSUPP;

	guard(rcu)();
	ops = rcu_dereference(walker);
	if (!ops)
		return -EOPNOTSUPP;

	if (task == current) {
		start->kind = UNWIND_ORC_CURRENT;
		return walk_from(ops, start, sink, task, verdict);
	}

	unwind_orc_start_task(start, task);
	ret = walk_from(ops, start, sink, task, verdict);
	unwind_orc_end_task(start, task);
	return ret;
}
NOKPROBE_SYMBOL(verdict_on);

/**
 * unwind_orc_walk() - the reliable walk, for arch_stack_walk_reliable()
 * @start:   captured in the caller by unwind_orc_capture()
 * @consume: as in arch_stack_walk_reliable()
 * @cookie:  as in arch_stack_walk_reliable()
 * @task:    as in arch_stack_walk_reliable()
 *
 * Return: 0 if the trace is reliable, -EINVAL if it is not, -EOPNOTSUPP if
 * the conservative unwinder has to answer; then nothing has been consumed.
 */
int unwind_orc_walk(struct unwind_orc_start *start,
		    stack_trace_consume_fn consume, void *cookie,
		    struct task_struct *task)
{
	const struct unwind_orc_sink sink = { consume, cookie };
	struct unwind_orc_verdict verdict;
	int ret;

	ret = verdict_on(start, &sink, task, &verdict);
	return ret == -ENODATA ? -EOPNOTSUPP : ret;
}
NOKPROBE_SYMBOL(unwind_orc_walk);

struct trace_request {
	unsigned long *entries;
	unsigned int size;
	unsigned int nr;
	struct unwind_orc_verdict *verdict;
};

static bool store_entry(void *cookie, unsigned long pc)
{
	struct trace_request *request = cookie;

	if (request->nr < request->size)
		request->entries[request->nr] = pc;
	request->nr++;
	return true;
}

/* Runs with the task pinned. Not to be inlined: it captures its own state. */
static noinline int trace_pinned(struct task_struct *task, void *arg)
{
	struct trace_request *request = arg;
	const struct unwind_orc_sink sink = { store_entry, request };
	struct unwind_orc_start start = {};
	int ret;

	unwind_orc_capture(&start);
	ret = verdict_on(&start, &sink, task, request->verdict);
	if (ret != -ENODATA)
		return ret;

	/* What livepatch believes in this case. */
	request->nr = 0;
	ret = arch_stack_walk_reliable(store_entry, request, task);
	if (!ret) {
		request->verdict->reason = 0;
		request->verdict->frame = request->nr;
	}
	return ret;
}

/**
 * unwind_orc_trace_task() - reliable trace of a task, with the verdict
 * @task:    any task the caller holds a reference to, current included
 * @entries: filled in with the PCs, innermost first, as far as they go; may be
 *           NULL if @size is 0
 * @size:    how many @entries there is room for
 * @verdict: filled in, if the return value is not negative
 *
 * The task is pinned meanwhile, as livepatch pins it. Entries of a trace that
 * is not reliable are what the walk saw before it gave up.
 *
 * Return: how many PCs the walk saw, which may be more than @size; -EOPNOTSUPP
 * if there is no walker.
 */
int unwind_orc_trace_task(struct task_struct *task, unsigned long *entries,
			  unsigned int size,
			  struct unwind_orc_verdict *verdict)
{
	struct trace_request request = {
		.entries = entries,
		.size = size,
		.verdict = verdict,
	};
	int ret;

	ret = task_call_func(task, trace_pinned, &request);
	return ret == -EOPNOTSUPP ? ret : request.nr;
}
EXPORT_SYMBOL_GPL(unwind_orc_trace_task);
