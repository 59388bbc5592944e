// SPDX-License-Identifier: GPL-2.0
/*
 * From arch_stack_walk_reliable() to the walker and back.
 *
 * The walker may come and go while others walk: it is reached through an RCU
 * pointer, and no walk outlives the read side. Without a walker, and where it
 * has no table to go by, the conservative unwinder answers.
 */
#include <linux/kprobes.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/string.h>

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

/* The verdict in full, for those who want to know: a name needs room. */
static void explain(const struct unwind_orc_ops *ops,
		    const struct unwind_orc_outcome *outcome,
		    struct unwind_orc_verdict *verdict)
{
	verdict->reason = outcome->reason;
	verdict->frame = outcome->frame;
	verdict->pc = outcome->pc;
	memset(verdict->name, 0, sizeof(verdict->name));
	if (outcome->reason)
		ops->name(outcome->reason, verdict->name, sizeof(verdict->name));
}
NOKPROBE_SYMBOL(explain);

/* Not inlined: a walk that nobody looks at does without the verdict's room. */
static noinline void report_unreliable(const struct unwind_orc_ops *ops,
				       struct task_struct *task,
				       const struct unwind_orc_outcome *outcome)
{
	struct unwind_orc_verdict verdict;

	explain(ops, outcome, &verdict);
	trace_unwind_orc_unreliable(task, &verdict);
}
NOKPROBE_SYMBOL(report_unreliable);

/*
 * A trace that the conservative unwinder is to give must not have been begun
 * by the walker: look first, where there is text that has no table.
 *
 * That is done under a runqueue lock, so the look has an end of its own, after
 * UNWIND_ORC_MAX_ENTRIES. Text without a table that is met only later makes the
 * trace unreliable. Nobody has room for as many entries, so that it would be
 * with the conservative unwinder, too.
 */
static __always_inline int walk_from(const struct unwind_orc_ops *ops,
				     const struct unwind_orc_start *start,
				     const struct unwind_orc_sink *sink,
				     struct task_struct *task,
				     struct unwind_orc_outcome *outcome)
{
	static const struct unwind_orc_sink look_only = {};

	if (unwind_orc_tables_missing() &&
	    ops->walk(start, task, &look_only, outcome) == -ENODATA)
		return -ENODATA;

	if (!ops->walk(start, task, sink, outcome))
		return 0;

	if (trace_unwind_orc_unreliable_enabled())
		report_unreliable(ops, task, outcome);
	return -EINVAL;
}

/*
 * Walk @task and tell why as well as whether. @start holds what
 * unwind_orc_capture() took, for the case that @task is current. @verdict may be
 * NULL.
 *
 * Return: 0 or -EINVAL, with the outcome; -EOPNOTSUPP without a walker;
 * -ENODATA, with the outcome and nothing consumed, if a table misses.
 */
static __always_inline int walk_task(struct unwind_orc_start *start,
				     const struct unwind_orc_sink *sink,
				     struct task_struct *task,
				     struct unwind_orc_verdict *verdict)
{
	struct unwind_orc_outcome outcome;
	const struct unwind_orc_ops *ops;
	int ret;

	if (!rcu_is_watching())
		return -EOPNOTSUPP;

	guard(rcu)();
	ops = rcu_dereference(walker);
	if (!ops)
		return -EOPNOTSUPP;

	if (task == current)
		start->kind = UNWIND_ORC_CURRENT;
	else
		unwind_orc_start_task(start, task);
	ret = walk_from(ops, start, sink, task, &outcome);
	if (task != current)
		unwind_orc_end_task(start, task);
	if (verdict)
		explain(ops, &outcome, verdict);
	return ret;
}

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
	int ret;

	ret = walk_task(start, &sink, task, NULL);
	return ret == -ENODATA ? -EOPNOTSUPP : ret;
}
NOKPROBE_SYMBOL(unwind_orc_walk);

struct trace_request {
	unsigned long *entries;
	unsigned int size;
	unsigned int limit;
	unsigned int nr;
	struct unwind_orc_verdict *verdict;
};

static bool store_entry(void *cookie, unsigned long pc)
{
	struct trace_request *request = cookie;

	if (request->nr == request->limit)
		return false;
	if (request->nr < request->size)
		request->entries[request->nr] = pc;
	request->nr++;
	return true;
}
NOKPROBE_SYMBOL(store_entry);

/* Runs with the task pinned. Not to be inlined: it captures its own state. */
static noinline int trace_pinned(struct task_struct *task, void *arg)
{
	struct trace_request *request = arg;
	const struct unwind_orc_sink sink = { store_entry, request };
	struct unwind_orc_start start = {};
	int ret;

	unwind_orc_capture(&start);
	ret = walk_task(&start, &sink, task, request->verdict);
	if (ret != -ENODATA)
		return ret;

	/* What livepatch believes in this case. */
	ret = arch_stack_walk_conservative(store_entry, request, task);
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
 * is not reliable are what the walk saw before it gave up; it gives up after
 * @size or UNWIND_ORC_MAX_ENTRIES entries, whichever is more. May sleep.
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
		.limit = max(size, UNWIND_ORC_MAX_ENTRIES),
		.verdict = verdict,
	};
	bool has_stack;
	int ret;

	/*
	 * The walk has a reference to the stack of its own. Where the task exits
	 * meanwhile, and that was the last, the stack would be freed under the
	 * runqueue lock; so the last is held here.
	 */
	has_stack = try_get_task_stack(task);
	ret = task_call_func(task, trace_pinned, &request);
	if (has_stack)
		put_task_stack(task);
	return ret == -EOPNOTSUPP ? ret : request.nr;
}
EXPORT_SYMBOL_GPL(unwind_orc_trace_task);
