// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of a stack's words, and taking them back. A changed stack is real but for
 * the change: the new value is noise, or what else was in the kernel's memory.
 */
#include <linux/sched/task_stack.h>

#include <asm/compiler.h>

#include "inject.h"

#define ONE_WORD	(BIT(INJECT_RANDOM) | BIT(INJECT_FLIP) | BIT(INJECT_COPY))
#define ADDRESS		(ONE_WORD | BIT(INJECT_TEXT) | BIT(INJECT_CALLSITE))

/* What each kind of word becomes, a bit for each enum inject_how. */
const u32 inject_hows[INJECT_WORDS] = {
	[INJECT_RECORD_FP]	= ONE_WORD | BIT(INJECT_OTHER_RECORD),
	[INJECT_RECORD_LR]	= ADDRESS,
	[INJECT_REGS_PC]	= ADDRESS,
	[INJECT_REGS_SP]	= ONE_WORD,
	[INJECT_REGS_FP]	= ONE_WORD | BIT(INJECT_OTHER_RECORD),
	[INJECT_REGS_LR]	= ADDRESS,
	[INJECT_REGS_PSTATE]	= ONE_WORD,
	[INJECT_REGS_OTHER]	= ONE_WORD,
	[INJECT_META]		= ONE_WORD,
	[INJECT_FREGS_PC]	= ADDRESS,
	[INJECT_FREGS_OTHER]	= ONE_WORD,
	[INJECT_CONTEXT_PC]	= ADDRESS,
	[INJECT_CONTEXT_SP]	= ONE_WORD,
	[INJECT_CONTEXT_FP]	= ONE_WORD | BIT(INJECT_OTHER_RECORD),
	[INJECT_OTHER]		= ONE_WORD,
	[INJECT_ANY]		= ONE_WORD,
	[INJECT_RECORD]		= BIT(INJECT_OTHER_RECORD),
	[INJECT_REGION]		= BIT(INJECT_NOISE) | BIT(INJECT_STALE) | BIT(INJECT_OLD_STACK),
};

u32 inject_below(struct inject_run *run, u32 limit)
{
	return prandom_u32_state(&run->random) % limit;
}

static u64 random_word(struct inject_run *run)
{
	u64 high = prandom_u32_state(&run->random);

	return high << 32 | prandom_u32_state(&run->random);
}

static void poke(struct inject_run *run, unsigned long *where, unsigned long value)
{
	run->undo[run->nr_undo].where = where;
	run->undo[run->nr_undo++].was = READ_ONCE(*where);
	WRITE_ONCE(*where, value);
}

void inject_undo(struct inject_run *run)
{
	while (run->nr_undo) {
		struct inject_undo *undo = &run->undo[--run->nr_undo];

		WRITE_ONCE(*undo->where, undo->was);
	}
}

static unsigned long *any_word(struct inject_run *run)
{
	const struct inject_stack *stack = &run->stack;
	u32 words = (stack->end - stack->sp) / sizeof(long);

	return (unsigned long *)stack->sp + inject_below(run, words);
}

static bool is_known(const struct inject_stack *stack, unsigned long *where)
{
	unsigned int i;

	for (i = 0; i < stack->nr_words; i++)
		if (stack->words[i].where == where)
			return true;
	return false;
}

/* A word of this kind; NULL if the stack has none. */
static unsigned long *find_word(struct inject_run *run, enum inject_word word)
{
	const struct inject_stack *stack = &run->stack;
	unsigned int i, nr = 0, tries = 16;
	unsigned long *where;

	if (word == INJECT_ANY)
		return any_word(run);
	if (word == INJECT_OTHER) {
		do
			where = any_word(run);
		while (is_known(stack, where) && --tries);
		return tries ? where : NULL;
	}
	for (i = 0; i < stack->nr_words; i++)
		nr += stack->words[i].word == word;
	if (!nr)
		return NULL;
	nr = inject_below(run, nr);
	for (i = 0; stack->words[i].word != word || nr--; i++)
		;
	return stack->words[i].where;
}

/* With the authentication code, if any, of the address that it stands in for. */
static unsigned long with_pac(unsigned long address, unsigned long was)
{
	return address ^ was ^ ptrauth_strip_kernel_insn_pac(was);
}

static unsigned long other_record(struct inject_run *run, unsigned long was)
{
	const struct inject_stack *stack = &run->stack;
	unsigned long record;

	if (!stack->nr_records)
		return was;
	record = stack->records[inject_below(run, stack->nr_records)];
	run->distance = record > was ? record - was : was - record;
	return record;
}

static unsigned long new_value(struct inject_run *run, unsigned long was, enum inject_how how)
{
	switch (how) {
	case INJECT_RANDOM:
		return random_word(run);
	case INJECT_FLIP:
		return was ^ BIT(inject_below(run, 64));
	case INJECT_COPY:
		return READ_ONCE(*any_word(run));
	case INJECT_TEXT:
		return with_pac(inject_text(run), was);
	case INJECT_CALLSITE:
		return with_pac(inject_callsite(run), was);
	case INJECT_OTHER_RECORD:
		return other_record(run, was);
	default:
		return was;
	}
}

static void change_word(struct inject_run *run, enum inject_word word, enum inject_how how)
{
	unsigned long *where = find_word(run, word);

	if (where)
		poke(run, where, new_value(run, READ_ONCE(*where), how));
}

/* A record becomes a copy of another. */
static void change_record(struct inject_run *run)
{
	const struct inject_stack *stack = &run->stack;
	unsigned long *to, *from;

	if (!stack->nr_records)
		return;
	to = (void *)stack->records[inject_below(run, stack->nr_records)];
	from = (void *)other_record(run, (unsigned long)to);
	poke(run, to, READ_ONCE(from[0]));
	poke(run, to + 1, READ_ONCE(from[1]));
}

/* Words of another task's stack, moved to where they are as far from the top of ours. */
static void copy_old_stack(struct inject_run *run, unsigned long *to, unsigned int nr)
{
	struct task_struct *other = run->tasks[inject_below(run, run->nr_tasks)];
	unsigned long shift, *from;

	if (other == run->stack.task || test_orc_runs(other) || !try_get_task_stack(other))
		return;
	shift = run->stack.low - (unsigned long)task_stack_page(other);
	for (from = (void *)to - shift; nr--; from++, to++) {
		unsigned long value = READ_ONCE(*from);

		if (value + shift - run->stack.low < THREAD_SIZE)
			value += shift;
		poke(run, to, value);
	}
	test_orc_put_stack(other);
}

static void change_region(struct inject_run *run, enum inject_how how)
{
	const struct inject_stack *stack = &run->stack;
	unsigned int nr = 2 + inject_below(run, INJECT_MAX_REGION - 1);
	unsigned long *to = any_word(run);
	unsigned long *from = (unsigned long *)stack->sp - nr - inject_below(run, 512);

	nr = min_t(unsigned int, nr, (unsigned long *)stack->end - to);
	if (how == INJECT_OLD_STACK) {
		copy_old_stack(run, to, nr);
		return;
	}
	if ((unsigned long)from < stack->low + sizeof(long))
		return;
	for (; nr--; from++, to++)
		poke(run, to, how == INJECT_NOISE ? random_word(run) : READ_ONCE(*from));
}

/**
 * inject_change() - change the stack at hand
 * @run:	its stack is laid out and unchanged
 * @word:	what to change
 * @how:	what it becomes, of inject_hows
 *
 * Return: false if nothing was changed: there is no such word here, or it was so
 * before. Else inject_undo() takes it back.
 */
bool inject_change(struct inject_run *run, enum inject_word word, enum inject_how how)
{
	unsigned int i;

	run->distance = 0;
	if (word == INJECT_RECORD)
		change_record(run);
	else if (word == INJECT_REGION)
		change_region(run, how);
	else
		change_word(run, word, how);

	for (i = 0; i < run->nr_undo; i++)
		if (READ_ONCE(*run->undo[i].where) != run->undo[i].was)
			return true;
	inject_undo(run);
	return false;
}
