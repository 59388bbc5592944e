/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM unwind_orc

#if !defined(_TRACE_UNWIND_ORC_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_UNWIND_ORC_H

#include <linux/sched.h>
#include <linux/tracepoint.h>

struct unwind_orc_verdict;

/**
 * unwind_orc_unreliable - a reliable walk was refused
 * @task:    the task whose stack was walked
 * @verdict: where, and why
 *
 * May be fired with the task's runqueue locked.
 */
TRACE_EVENT(unwind_orc_unreliable,
	    TP_PROTO(struct task_struct *task,
		     const struct unwind_orc_verdict *verdict),
	    TP_ARGS(task, verdict),
	    TP_STRUCT__entry(__array(char, comm, TASK_COMM_LEN)
			     __field(pid_t, pid)
			     __field(u32, frame)
			     __field(unsigned long, pc)
			     __string(reason, verdict->name)),
	    TP_fast_assign(memcpy(__entry->comm, task->comm, TASK_COMM_LEN);
			   __entry->pid = task->pid;
			   __entry->frame = verdict->frame;
			   __entry->pc = verdict->pc;
			   __assign_str(reason);),
	    TP_printk("pid=%d comm=%s pc=%pS frame=%u reason=\"%s\"",
		      __entry->pid, __entry->comm, (void *)__entry->pc,
		      __entry->frame, __get_str(reason))
);

#endif /* _TRACE_UNWIND_ORC_H */

#include <trace/define_trace.h>
