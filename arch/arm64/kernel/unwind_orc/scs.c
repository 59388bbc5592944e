// SPDX-License-Identifier: GPL-2.0
/*
 * The shadow call stack, a second witness for the return addresses of a walk.
 *
 * A task has one of its own, which lives as long as the task_struct (free_task()
 * releases it). A CPU has one for its IRQ stack; call_on_irq_stack() saves x18 of
 * the task before it changes over. Entry from user space starts at the base,
 * entry from the kernel leaves x18 alone, and cpu_switch_to() saves it.
 */
#include <linux/kprobes.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/scs.h>

#include "edge.h"

#ifdef CONFIG_SHADOW_CALL_STACK
DECLARE_PER_CPU(unsigned long *, irq_shadow_call_stack_ptr);

/*
 * How many entries are on the shadow call stack at @base if @top is where the next
 * one is to be pushed. False if it is on another one, or there is none.
 */
static bool count_entries(const unsigned long *base, unsigned long top, u32 *nr)
{
	unsigned long used = top - (unsigned long)base;

	/* The last word is the mark at the end. */
	if (!base || used >= SCS_SIZE || !IS_ALIGNED(used, sizeof(*base)))
		return false;
	*nr = used / sizeof(*base);
	return true;
}
NOKPROBE_SYMBOL(count_entries);

/**
 * unwind_orc_shadow() - the shadow call stack that belongs to a walk
 * @task:   the task to be walked
 * @start:  where the walk starts
 * @shadow: filled in, with no entries if this kernel keeps no shadow call stacks
 *
 * Return: false if x18 is on none that the walk can know.
 */
bool unwind_orc_shadow(const struct task_struct *task,
		       const struct unwind_orc_start *start,
		       struct unwind_orc_shadow *shadow)
{
	unsigned long top = start->shadow;

	*shadow = (struct unwind_orc_shadow){};
	if (!scs_is_enabled())
		return true;

	/* As in unwind_orc_stacks(): only if the CPU can't change meanwhile. */
	if (task == current && !preemptible()) {
		shadow->irq = raw_cpu_read(irq_shadow_call_stack_ptr);
		if (count_entries(shadow->irq, top, &shadow->nr_irq))
			top = (unsigned long)task_scs_sp(task);
	}
	shadow->task = task_scs(task);
	return count_entries(shadow->task, top, &shadow->nr_task);
}
#else
bool unwind_orc_shadow(const struct task_struct *task,
		       const struct unwind_orc_start *start,
		       struct unwind_orc_shadow *shadow)
{
	*shadow = (struct unwind_orc_shadow){};
	return true;
}
#endif /* CONFIG_SHADOW_CALL_STACK */
EXPORT_SYMBOL_GPL(unwind_orc_shadow);
NOKPROBE_SYMBOL(unwind_orc_shadow);
