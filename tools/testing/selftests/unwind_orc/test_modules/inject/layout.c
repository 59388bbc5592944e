// SPDX-License-Identifier: GPL-2.0
/*
 * Which word of a stack is what. Found by frame records alone: nothing of the
 * walker under test has a part in it.
 */
#include <linux/ftrace.h>
#include <linux/sched/task_stack.h>

#include <asm/ptrace.h>
#include <asm/stacktrace.h>

#include "inject.h"

static unsigned long ftrace_caller_addr;

int inject_layout_init(void)
{
	ftrace_caller_addr = test_orc_symbol("ftrace_caller");
	return ftrace_caller_addr ? 0 : -ENOENT;
}

static void add(struct inject_stack *stack, enum inject_word word, void *where)
{
	if (stack->nr_words == INJECT_MAX_WORDS)
		return;
	stack->words[stack->nr_words].where = where;
	stack->words[stack->nr_words++].word = word;
}

static void add_record(struct inject_stack *stack, struct frame_record *record)
{
	if (stack->nr_records == INJECT_MAX_RECORDS)
		return;
	stack->records[stack->nr_records++] = (unsigned long)record;
	add(stack, INJECT_RECORD_FP, &record->fp);
	add(stack, INJECT_RECORD_LR, &record->lr);
}

static void add_meta(struct inject_stack *stack, struct frame_record_meta *meta)
{
	add(stack, INJECT_META, &meta->record.fp);
	add(stack, INJECT_META, &meta->record.lr);
	add(stack, INJECT_META, &meta->type);
}

static void add_regs(struct inject_stack *stack, struct pt_regs *regs)
{
	unsigned int i;

	for (i = 0; i < 29; i++)
		add(stack, INJECT_REGS_OTHER, &regs->regs[i]);
	add(stack, INJECT_REGS_FP, &regs->regs[29]);
	add(stack, INJECT_REGS_LR, &regs->regs[30]);
	add(stack, INJECT_REGS_SP, &regs->sp);
	add(stack, INJECT_REGS_PC, &regs->pc);
	add(stack, INJECT_REGS_PSTATE, &regs->pstate);
}

/* ftrace_caller() has them at SP, below its own frame record. */
static void add_ftrace_regs(struct inject_stack *stack, unsigned long record)
{
#ifdef CONFIG_DYNAMIC_FTRACE_WITH_ARGS
	struct __arch_ftrace_regs *fregs = (void *)(record - sizeof(*fregs));
	unsigned long *word = (unsigned long *)fregs;

	for (; word < (unsigned long *)record; word++)
		add(stack, word == &fregs->pc ? INJECT_FREGS_PC : INJECT_FREGS_OTHER, word);
#endif
}

/* What cpu_switch_to() saved: no words of the stack, but the walk starts there. */
static void add_context(struct inject_stack *stack, struct cpu_context *context)
{
	add(stack, INJECT_CONTEXT_PC, &context->pc);
	add(stack, INJECT_CONTEXT_SP, &context->sp);
	add(stack, INJECT_CONTEXT_FP, &context->fp);
}

/**
 * inject_lay_out() - find the words of a task's stack
 * @stack:	filled in
 * @task:	off the CPU, with a stack that is held, and a chain of frame records
 *		that nobody has changed
 *
 * Return: false if the records do not lead to the end of the stack.
 */
bool inject_lay_out(struct inject_stack *stack, struct task_struct *task)
{
	struct cpu_context *context = &task->thread.cpu_context;
	unsigned long fp = context->fp, returns_to = 0;

	stack->task = task;
	stack->low = (unsigned long)task_stack_page(task);
	stack->sp = context->sp;
	stack->end = (unsigned long)task_pt_regs(task);
	stack->nr_records = 0;
	stack->nr_words = 0;
	add_context(stack, context);

	while (!(fp & 7) && fp >= stack->sp &&
	       fp - stack->low <= THREAD_SIZE - sizeof(struct frame_record_meta)) {
		struct frame_record_meta *meta = (void *)fp;
		struct pt_regs *regs = container_of(meta, struct pt_regs, stackframe);

		if (meta->record.fp || meta->record.lr) {
			if (test_orc_in(returns_to, ftrace_caller_addr))
				add_ftrace_regs(stack, fp);
			add_record(stack, &meta->record);
			returns_to = ptrauth_strip_kernel_insn_pac(meta->record.lr);
			fp = meta->record.fp;
			continue;
		}
		add_meta(stack, meta);
		if (meta->type == FRAME_META_TYPE_FINAL)
			return (unsigned long)regs == stack->end;
		if (meta->type != FRAME_META_TYPE_PT_REGS)
			return false;
		add_regs(stack, regs);
		returns_to = 0;
		fp = regs->regs[29];
	}
	return false;
}
