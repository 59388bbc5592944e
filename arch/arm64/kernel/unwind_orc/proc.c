// SPDX-License-Identifier: GPL-2.0
/*
 * The last line of /proc/<pid>/stack: would livepatch believe this trace?
 */
#include <linux/seq_file.h>
#include <linux/stacktrace.h>

#include <asm/unwind_orc.h>

/**
 * arch_stack_show_verdict() - say whether a task's stack is reliable, and why
 * @m:    where to
 * @task: the task, pinned meanwhile but not stopped
 *
 * Without a walker the file stays as it is.
 */
void arch_stack_show_verdict(struct seq_file *m, struct task_struct *task)
{
	struct unwind_orc_verdict verdict;

	if (unwind_orc_trace_task(task, NULL, 0, &verdict) < 0)
		return;

	if (!verdict.reason)
		seq_puts(m, "reliable\n");
	else
		seq_printf(m, "unreliable: %s at %pB\n", verdict.name,
			   (void *)verdict.pc);
}
