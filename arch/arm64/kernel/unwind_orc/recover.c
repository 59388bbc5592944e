// SPDX-License-Identifier: GPL-2.0
/*
 * Return addresses that a tracer has taken away, and instructions that a probe has
 * replaced.
 *
 * A tracer keeps the addresses in a list of its own. The kernel's unwinder looks
 * there for an entry with the frame pointer that it is at, and takes the first. That
 * is a guess: while ftrace_push_return_trace() makes a new entry, the frame pointer
 * in it is that of an earlier call. A reliable walk takes the entries one by one, each
 * for the frame that comes next, and is refused if one does not fit or is left.
 */
#include <linux/cpufeature.h>
#include <linux/ftrace.h>
#include <linux/init.h>
#include <linux/kprobes.h>
#include <linux/sched.h>

#include <asm/debug-monitors.h>
#include <asm/insn-def.h>
#include <asm/pointer_auth.h>
#include <asm/stacktrace.h>

#include "edge.h"

#ifdef CONFIG_FUNCTION_GRAPH_TRACER
static struct ftrace_ret_stack *
next_graph(struct task_struct *task, const struct unwind_orc_recovery *recovery)
{
	return ftrace_graph_get_ret_stack(task, recovery->graph_used);
}
NOKPROBE_SYMBOL(next_graph);

/*
 * A function that was called by the last jump of another has an entry that says
 * return_to_handler; both are for one frame.
 */
static bool recover_graph(struct task_struct *task,
			  struct unwind_orc_recovery *recovery,
			  unsigned long fp, unsigned long *pc)
{
	const struct ftrace_ret_stack *entry;

	do {
		entry = next_graph(task, recovery);
		if (!entry || entry->retp != (unsigned long *)fp)
			return false;
		recovery->graph_used++;
	} while (entry->ret == (unsigned long)return_to_handler);

	*pc = entry->ret;
	return true;
}
NOKPROBE_SYMBOL(recover_graph);

static bool is_graph_return(unsigned long pc)
{
	return pc == (unsigned long)return_to_handler;
}
NOKPROBE_SYMBOL(is_graph_return);
#else
static struct ftrace_ret_stack *
next_graph(struct task_struct *task, const struct unwind_orc_recovery *recovery)
{
	return NULL;
}

static bool recover_graph(struct task_struct *task,
			  struct unwind_orc_recovery *recovery,
			  unsigned long fp, unsigned long *pc)
{
	return false;
}

static bool is_graph_return(unsigned long pc)
{
	return false;
}
#endif /* CONFIG_FUNCTION_GRAPH_TRACER */

#ifdef CONFIG_KRETPROBES
static struct llist_node *
next_kretprobe(const struct task_struct *task,
	       const struct unwind_orc_recovery *recovery)
{
	return recovery->kretprobe ? recovery->kretprobe->next :
				     task->kretprobe_instances.first;
}
NOKPROBE_SYMBOL(next_kretprobe);

static bool recover_kretprobe(struct task_struct *task,
			      struct unwind_orc_recovery *recovery,
			      unsigned long fp, unsigned long *pc)
{
	const struct kretprobe_instance *ri;
	struct llist_node *node;

	do {
		node = next_kretprobe(task, recovery);
		if (!node)
			return false;
		ri = container_of(node, struct kretprobe_instance, llist);
		if (ri->fp != (void *)fp)
			return false;
		recovery->kretprobe = node;
	} while (is_kretprobe_trampoline((unsigned long)ri->ret_addr));

	*pc = (unsigned long)ri->ret_addr;
	return true;
}
NOKPROBE_SYMBOL(recover_kretprobe);
#else
static struct llist_node *
next_kretprobe(const struct task_struct *task,
	       const struct unwind_orc_recovery *recovery)
{
	return NULL;
}

static bool recover_kretprobe(struct task_struct *task,
			      struct unwind_orc_recovery *recovery,
			      unsigned long fp, unsigned long *pc)
{
	return false;
}
#endif /* CONFIG_KRETPROBES */

/**
 * unwind_orc_recover() - the return address that a tracer has replaced
 * @task:     the task being walked
 * @recovery: progress so far in this walk
 * @fp:       x29 of the frame that is returned to, the key of the tracers
 * @pc:       return address, without PAC; replaced where a tracer had taken it.
 *            It may be the other tracer's then.
 *
 * Return: false if the address can't be recovered, so the trace is not
 * reliable.
 */
bool unwind_orc_recover(struct task_struct *task,
			struct unwind_orc_recovery *recovery,
			unsigned long fp, unsigned long *pc)
{
	if (is_graph_return(*pc))
		return recover_graph(task, recovery, fp, pc);
	if (is_kretprobe_trampoline(*pc))
		return recover_kretprobe(task, recovery, fp, pc);
	return true;
}
EXPORT_SYMBOL_GPL(unwind_orc_recover);
NOKPROBE_SYMBOL(unwind_orc_recover);

struct unwind_orc_places unwind_orc_places __ro_after_init;
EXPORT_SYMBOL_GPL(unwind_orc_places);

static int __init unwind_orc_init_places(void)
{
	if (IS_ENABLED(CONFIG_ARM64_PTR_AUTH_KERNEL) &&
	    system_supports_address_auth())
		unwind_orc_places.pac_mask = ptrauth_kernel_pac_mask();
#ifdef CONFIG_FUNCTION_GRAPH_TRACER
	unwind_orc_places.graph_return = (unsigned long)return_to_handler;
	unwind_orc_places.graph_return_end = (unsigned long)return_to_handler_end;
#endif
#ifdef CONFIG_DYNAMIC_FTRACE_WITH_ARGS
	unwind_orc_places.ftrace_return = (unsigned long)ftrace_caller_return;
#endif
#ifdef CONFIG_KRETPROBES
	unwind_orc_places.kretprobe = (unsigned long)__kretprobe_trampoline;
#endif
	return 0;
}
early_initcall(unwind_orc_init_places);

/**
 * unwind_orc_pass_entered() - an address that is in place, and may be kept, too
 * @task:     the task being walked
 * @recovery: progress so far in this walk
 * @lr:       return address of a function that ftrace holds up at its entry, or of
 *            one that return_to_handler returns for
 * @fp:       x29 at its entry
 *
 * ftrace_graph_func() keeps the address before it replaces it.
 * ftrace_return_to_handler() puts it into its registers before it forgets it.
 */
void unwind_orc_pass_entered(struct task_struct *task,
			     struct unwind_orc_recovery *recovery,
			     unsigned long lr, unsigned long fp)
{
	const struct ftrace_ret_stack *entry = next_graph(task, recovery);

	if (entry && entry->ret == lr && entry->retp == (unsigned long *)fp)
		recovery->graph_used++;
}
EXPORT_SYMBOL_GPL(unwind_orc_pass_entered);
NOKPROBE_SYMBOL(unwind_orc_pass_entered);

/**
 * unwind_orc_all_recovered() - has a walk used every address that was kept?
 * @task:     the task that was walked
 * @recovery: progress of the walk, at the end of the stack
 *
 * One that is left belongs to a frame that the walk has missed.
 */
bool unwind_orc_all_recovered(struct task_struct *task,
			      const struct unwind_orc_recovery *recovery)
{
	return !next_graph(task, recovery) && !next_kretprobe(task, recovery);
}
EXPORT_SYMBOL_GPL(unwind_orc_all_recovered);
NOKPROBE_SYMBOL(unwind_orc_all_recovered);

/* The instruction that a kprobe has replaced by a breakpoint. */
static u32 probed_instruction(unsigned long pc, u32 instruction)
{
#ifdef CONFIG_KPROBES
	if (instruction == BRK64_OPCODE_KPROBES) {
		const struct kprobe *p = get_kprobe((void *)pc);

		/* Gone meanwhile: a breakpoint, which is no call. */
		if (p)
			return le32_to_cpu(p->opcode);
	}
#endif
	return instruction;
}
NOKPROBE_SYMBOL(probed_instruction);

/**
 * unwind_orc_instruction() - the instruction at an address in kernel text
 * @pc:          any value
 * @instruction: filled in: what is there, or what a kprobe has replaced
 *
 * To be called under RCU, which keeps the text in place.
 *
 * Return: false if there is no text that a task may be found in.
 */
bool unwind_orc_instruction(unsigned long pc, u32 *instruction)
{
	const struct unwind_orc_region *region;
	u32 frame_size;

	if (!IS_ALIGNED(pc, AARCH64_INSN_SIZE))
		return false;
	switch (unwind_orc_find(pc, &region, &frame_size)) {
	case UNWIND_ORC_FOUND:
	case UNWIND_ORC_VENEER:
	case UNWIND_ORC_FTRACE_VENEER:
	case UNWIND_ORC_BPF_BODY:
		break;
	case UNWIND_ORC_BPF_TRAMPOLINE:
		return unwind_orc_bpf_instruction(pc, instruction);
	default:
		return false;
	}
	*instruction = probed_instruction(pc,
					  le32_to_cpu(READ_ONCE(*(__le32 *)pc)));
	return true;
}
EXPORT_SYMBOL_GPL(unwind_orc_instruction);
NOKPROBE_SYMBOL(unwind_orc_instruction);
