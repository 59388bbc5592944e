// SPDX-License-Identifier: GPL-2.0
/*
 * What a reliable walk needs to know of a task: where to start, which stacks
 * there are, and which return addresses a tracer has taken away.
 */
#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/scs.h>

#include <asm/pointer_auth.h>
#include <asm/stacktrace.h>

#include "edge.h"

static unsigned long context_switches(const struct task_struct *task)
{
	return READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw);
}

/*
 * Take the state that @task was left in by cpu_switch_to(), and hold on to its
 * stack until unwind_orc_end_task().
 *
 * A caller that really needs the answer pins the task: livepatch does, with
 * task_call_func(). Here nobody is trusted to. __schedule() counts the switch
 * before it clears on_cpu (release), and sets on_cpu before the task may touch
 * its stack. So the same count before and after, and on_cpu clear both times,
 * mean that the task did not run in between: unwind_orc_undisturbed().
 */
void unwind_orc_start_task(struct unwind_orc_start *start,
			   struct task_struct *task)
{
	if (!try_get_task_stack(task)) {
		start->kind = UNWIND_ORC_GONE;
		return;
	}

	start->switches = context_switches(task);
	smp_rmb(); /* count, then on_cpu: see unwind_orc_undisturbed() */
	if (smp_load_acquire(&task->on_cpu)) {
		start->kind = UNWIND_ORC_RUNNING;
		return;
	}

	start->kind = UNWIND_ORC_BLOCKED;
	start->pc = READ_ONCE(task->thread.cpu_context.pc);
	start->sp = READ_ONCE(task->thread.cpu_context.sp);
	start->fp = READ_ONCE(task->thread.cpu_context.fp);
	start->lr = 0;
#ifdef CONFIG_SHADOW_CALL_STACK
	start->shadow = (unsigned long)READ_ONCE(task_scs_sp(task));
#else
	start->shadow = 0;
#endif
}
NOKPROBE_SYMBOL(unwind_orc_start_task);

void unwind_orc_end_task(const struct unwind_orc_start *start,
			 struct task_struct *task)
{
	if (start->kind != UNWIND_ORC_GONE)
		put_task_stack(task);
}
NOKPROBE_SYMBOL(unwind_orc_end_task);

/**
 * unwind_orc_undisturbed() - has the task stayed where it was?
 * @task:  the task that was walked
 * @start: the state that the walk started from
 *
 * To be asked after the last read from the stack and before anybody is told
 * that the trace is reliable.
 *
 * Return: true if @task is current, or has not run since @start was taken.
 */
bool unwind_orc_undisturbed(const struct task_struct *task,
			    const struct unwind_orc_start *start)
{
	if (start->kind == UNWIND_ORC_CURRENT)
		return task == current;
	if (start->kind != UNWIND_ORC_BLOCKED)
		return false;

	smp_rmb(); /* the stack, then on_cpu */
	if (smp_load_acquire(&task->on_cpu))
		return false;
	return context_switches(task) == start->switches;
}
EXPORT_SYMBOL_GPL(unwind_orc_undisturbed);
NOKPROBE_SYMBOL(unwind_orc_undisturbed);

/**
 * unwind_orc_stacks() - the stacks that a walk may read
 * @task:   the task to be walked
 * @stacks: filled in, the task's own stack first
 *
 * The stacks of this CPU belong to the walk only if the CPU can't change
 * under it. SDEI and EFI stacks are left out: nothing on them can be walked
 * reliably.
 *
 * Return: how many of @stacks were filled in, at least one.
 */
unsigned int unwind_orc_stacks(const struct task_struct *task,
			       struct stack_info stacks[UNWIND_ORC_MAX_STACKS])
{
	unsigned int nr = 0;

	stacks[nr++] = stackinfo_get_task(task);
	if (task == current && !preemptible()) {
		stacks[nr++] = stackinfo_get_irq();
		stacks[nr++] = stackinfo_get_overflow();
	}
	return nr;
}
EXPORT_SYMBOL_GPL(unwind_orc_stacks);
NOKPROBE_SYMBOL(unwind_orc_stacks);

/**
 * unwind_orc_task_regs() - address of task_pt_regs()
 * @task: the task to be walked
 *
 * Every complete trace ends in the metadata record of these registers.
 */
unsigned long unwind_orc_task_regs(const struct task_struct *task)
{
	return (unsigned long)task_pt_regs(task);
}
EXPORT_SYMBOL_GPL(unwind_orc_task_regs);
NOKPROBE_SYMBOL(unwind_orc_task_regs);

/**
 * unwind_orc_is_boot_idle() - is this the idle task of the boot CPU?
 * @task: the task to be walked
 *
 * It alone was entered from init text.
 */
bool unwind_orc_is_boot_idle(const struct task_struct *task)
{
	return task == &init_task;
}
EXPORT_SYMBOL_GPL(unwind_orc_is_boot_idle);
NOKPROBE_SYMBOL(unwind_orc_is_boot_idle);
