/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fault injection: words of real stacks are changed, and the walks of the changed
 * stack are compared with those before the change. run.c says how it is used.
 */
#ifndef TEST_ORC_INJECT_H
#define TEST_ORC_INJECT_H

#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/types.h>

#include "../test_orc.h"

#define INJECT_MAX_RECORDS	64
#define INJECT_MAX_WORDS	320
#define INJECT_MAX_REGION	64	/* words */
#define INJECT_MAX_EXHIBITS	48
#define INJECT_EXHIBITS_EACH	3
#define INJECT_MAX_DISPUTED	8
#define INJECT_MAX_REASONS	64
#define INJECT_MAX_REFUSED	64

/* add_random_kstack_offset() moves SP by up to this many bytes. */
#define INJECT_RANDOM_OFFSET	0x3f0

/* What is changed; inject_word_names. */
enum inject_word {
	INJECT_RECORD_FP,
	INJECT_RECORD_LR,
	INJECT_REGS_PC,
	INJECT_REGS_SP,
	INJECT_REGS_FP,
	INJECT_REGS_LR,
	INJECT_REGS_PSTATE,
	INJECT_REGS_OTHER,
	INJECT_META,
	INJECT_FREGS_PC,
	INJECT_FREGS_OTHER,
	INJECT_CONTEXT_PC,
	INJECT_CONTEXT_SP,
	INJECT_CONTEXT_FP,
	INJECT_OTHER,		/* a word in use that is none of the above */
	INJECT_ANY,		/* a word in use */
	INJECT_RECORD,		/* both words of a frame record */
	INJECT_REGION,		/* up to INJECT_MAX_REGION words */
	INJECT_WORDS,
};

/* What it becomes; inject_how_names. */
enum inject_how {
	INJECT_RANDOM,		/* a random value */
	INJECT_FLIP,		/* itself but for one bit */
	INJECT_COPY,		/* another word in use of this stack */
	INJECT_TEXT,		/* the address of any instruction of the kernel's */
	INJECT_CALLSITE,	/* the return address of any call of the kernel's */
	INJECT_OTHER_RECORD,	/* another frame record, or its address */
	INJECT_NOISE,		/* a region: random values */
	INJECT_STALE,		/* a region: words below SP */
	INJECT_OLD_STACK,	/* a region: another task's words, its addresses made ours */
	INJECT_HOWS,
};

/* How the instruction before a return address fits the function that it calls. */
enum inject_call {
	INJECT_NO_CALL,
	INJECT_INDIRECT,
	INJECT_CALLEE,		/* direct, and the inner frame is in that function */
	INJECT_OTHER_CALLEE,	/* direct, and it is not */
	INJECT_CALLS,
};

/**
 * struct inject_stack - where the words of a task's stack are
 * @task:	the task, off the CPU
 * @low:	lowest address of the stack
 * @sp:		the words in use begin here
 * @end:	and end here, at task_pt_regs()
 * @records:	frame records, innermost first
 * @words:	all words that the unwinder or the kernel has a use for
 */
struct inject_stack {
	struct task_struct *task;
	unsigned long low, sp, end;
	unsigned int nr_records, nr_words;
	unsigned long records[INJECT_MAX_RECORDS];
	struct {
		unsigned long *where;
		enum inject_word word;
	} words[INJECT_MAX_WORDS];
};

/**
 * struct inject_tally - outcomes of one walker
 * @changes:	changed stacks
 * @refused:	unreliable
 * @moved:	reliable, the same functions, but another instruction of one of them
 * @wrong:	reliable, and other functions than before the change
 * @lost:	of these, a function of the true trace is in none of the entries
 */
struct inject_tally {
	u64 changes, refused, moved, wrong, lost;
};

/**
 * struct inject_cell - outcomes of one kind of change
 * @ours:	the kernel's reliable walker
 * @stock:	the rules of 7.3, wherever they call the unchanged stack reliable
 * @calls:	of @ours.wrong: the call before the first entry that differs
 * @random_offset: of @ours.wrong: what is lost would fit in the random offset of a
 *		system call's stack
 * @exhibits:	how many were kept
 */
struct inject_cell {
	struct inject_tally ours, stock;
	u64 calls[INJECT_CALLS];
	u64 random_offset;
	unsigned int exhibits;
};

struct inject_undo {
	unsigned long *where, was;
};

/**
 * struct inject_run - all of a run's state
 * @random:	generator, seeded once
 * @tasks:	those whose stacks are changed
 * @stack:	the one at hand
 * @undo:	what was changed
 * @distance:	bytes between the records of the change at hand, or 0
 * @before:	traces of the unchanged stack
 * @after:	traces of the changed one
 * @reason:	of the last refusal of the ORC walker
 * @pc:		where that was
 * @refused:	refusals of unchanged stacks, by reason and place
 */
struct inject_run {
	struct rnd_state random;
	struct task_struct **tasks;
	unsigned int nr_tasks;
	struct inject_stack stack;
	struct inject_undo undo[INJECT_MAX_REGION];
	unsigned int nr_undo;
	unsigned long distance;
	struct { struct test_orc_trace ours, stock; } before, after;
	u32 reason;
	unsigned long pc;
	struct inject_refused {
		u32 reason;
		unsigned long pc;
		u64 seen;
	} refused[INJECT_MAX_REFUSED];
	struct inject_cell cells[INJECT_WORDS][INJECT_HOWS];
	u64 reasons[INJECT_WORDS][INJECT_MAX_REASONS];
};

/* layout.c */
int inject_layout_init(void);
bool inject_lay_out(struct inject_stack *stack, struct task_struct *task);

/* change.c */
extern const u32 inject_hows[INJECT_WORDS];
u32 inject_below(struct inject_run *run, u32 limit);
bool inject_change(struct inject_run *run, enum inject_word word, enum inject_how how);
void inject_undo(struct inject_run *run);

/* outcome.c */
void inject_judge(struct inject_run *run, enum inject_word word, enum inject_how how);
void inject_show(struct inject_run *run, struct seq_file *m);
void inject_note_refused(struct inject_run *run);
void inject_show_reasons(struct inject_run *run, struct seq_file *m);
void inject_note_disputed(struct inject_run *run);
void inject_show_exhibits(struct seq_file *m);
void inject_show_disputed(struct seq_file *m);
int inject_reasons_init(struct inject_run *run);
void inject_reasons_exit(struct inject_run *run);

/* calls.c */
int inject_calls_init(void);
void inject_calls_exit(void);
unsigned long inject_text(struct inject_run *run);
unsigned long inject_callsite(struct inject_run *run);
enum inject_call inject_call_of(unsigned long pc, unsigned long inner);
void inject_note_calls(const struct inject_stack *stack, const struct test_orc_trace *trace);
void inject_show_calls(struct seq_file *m);

#endif /* TEST_ORC_INJECT_H */
