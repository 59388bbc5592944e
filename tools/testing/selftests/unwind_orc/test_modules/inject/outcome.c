// SPDX-License-Identifier: GPL-2.0
/*
 * What the walkers made of a changed stack, counted.
 */
#include <linux/string.h>
#include <linux/tracepoint.h>

#include <asm/unwind_orc.h>

#include "inject.h"

static const char * const inject_word_names[INJECT_WORDS] = {
	[INJECT_RECORD_FP]	= "saved x29",
	[INJECT_RECORD_LR]	= "return address",
	[INJECT_REGS_PC]	= "pt_regs pc",
	[INJECT_REGS_SP]	= "pt_regs sp",
	[INJECT_REGS_FP]	= "pt_regs x29",
	[INJECT_REGS_LR]	= "pt_regs x30",
	[INJECT_REGS_PSTATE]	= "pt_regs pstate",
	[INJECT_REGS_OTHER]	= "pt_regs x0-x28",
	[INJECT_META]		= "metadata record",
	[INJECT_FREGS_PC]	= "ftrace_regs pc",
	[INJECT_FREGS_OTHER]	= "ftrace_regs other",
	[INJECT_CONTEXT_PC]	= "cpu_context pc",
	[INJECT_CONTEXT_SP]	= "cpu_context sp",
	[INJECT_CONTEXT_FP]	= "cpu_context x29",
	[INJECT_OTHER]		= "locals",
	[INJECT_ANY]		= "any word",
	[INJECT_RECORD]		= "frame record",
	[INJECT_REGION]		= "region",
};

static const char * const inject_how_names[INJECT_HOWS] = {
	[INJECT_RANDOM]		= "random value",
	[INJECT_FLIP]		= "one bit",
	[INJECT_COPY]		= "another word",
	[INJECT_TEXT]		= "any instruction",
	[INJECT_CALLSITE]	= "another call site",
	[INJECT_OTHER_RECORD]	= "another record",
	[INJECT_NOISE]		= "noise",
	[INJECT_STALE]		= "stale words",
	[INJECT_OLD_STACK]	= "old stack",
};

static struct exhibit {
	enum inject_word word;
	enum inject_how how;
	char comm[TASK_COMM_LEN];
	unsigned long distance;
	struct test_orc_trace before, after;
} exhibits[INJECT_MAX_EXHIBITS];
static unsigned int nr_exhibits;

static struct disputed {
	char comm[TASK_COMM_LEN];
	struct test_orc_trace ours, records;
} disputed[INJECT_MAX_DISPUTED];
static unsigned int nr_disputed;

static unsigned long invoke_syscall;
static struct tracepoint *refusals;
static char reason_names[INJECT_MAX_REASONS][UNWIND_ORC_NAME_LEN];

static bool same(const struct test_orc_trace *a, const struct test_orc_trace *b)
{
	return a->nr == b->nr && !memcmp(a->pcs, b->pcs, a->nr * sizeof(*a->pcs));
}

static bool same_functions(const struct test_orc_trace *a, const struct test_orc_trace *b)
{
	unsigned long start, size;
	unsigned int i;

	if (a->nr != b->nr)
		return false;
	for (i = 0; i < a->nr; i++)
		if (a->pcs[i] != b->pcs[i] &&
		    (!test_orc_function(a->pcs[i], &start, &size) ||
		     !test_orc_in(b->pcs[i], start)))
			return false;
	return true;
}

static bool has_function(const struct test_orc_trace *trace, unsigned long function)
{
	unsigned int i;

	for (i = 0; i < trace->nr; i++)
		if (test_orc_in(trace->pcs[i], function))
			return true;
	return false;
}

static bool has_lost(const struct test_orc_trace *before, const struct test_orc_trace *after)
{
	unsigned long start, size;
	unsigned int i;

	for (i = 0; i < before->nr; i++)
		if (test_orc_function(before->pcs[i], &start, &size) &&
		    !has_function(after, start))
			return true;
	return false;
}

/* True for a wrong trace. */
static bool count(struct inject_tally *tally, const struct test_orc_trace *before,
		  const struct test_orc_trace *after)
{
	tally->changes++;
	if (after->err) {
		tally->refused++;
		return false;
	}
	if (same(before, after))
		return false;
	if (same_functions(before, after)) {
		tally->moved++;
		return false;
	}
	tally->wrong++;
	tally->lost += has_lost(before, after);
	return true;
}

static void keep(struct inject_run *run, enum inject_word word, enum inject_how how)
{
	struct exhibit *exhibit = &exhibits[nr_exhibits];

	if (nr_exhibits == INJECT_MAX_EXHIBITS ||
	    run->cells[word][how].exhibits == INJECT_EXHIBITS_EACH)
		return;
	run->cells[word][how].exhibits++;
	exhibit->word = word;
	exhibit->how = how;
	exhibit->distance = run->distance;
	strscpy(exhibit->comm, run->stack.task->comm);
	exhibit->before = run->before.ours;
	exhibit->after = run->after.ours;
	nr_exhibits++;
}

/* The ordinary walk of this unchanged stack, in run->after.stock, has another trace. */
void inject_note_disputed(struct inject_run *run)
{
	struct disputed *kept = &disputed[nr_disputed];

	if (nr_disputed == INJECT_MAX_DISPUTED)
		return;
	strscpy(kept->comm, run->stack.task->comm);
	kept->ours = run->before.ours;
	kept->records = run->after.stock;
	nr_disputed++;
}

/* Where a wrong trace leaves the true one, what kind of call is said to be there? */
static void classify(struct inject_run *run, struct inject_cell *cell)
{
	const struct test_orc_trace *before = &run->before.ours, *after = &run->after.ours;
	unsigned int i = 0;

	while (i < before->nr && i < after->nr && before->pcs[i] == after->pcs[i])
		i++;
	if (i == after->nr)
		return;
	cell->calls[inject_call_of(after->pcs[i], i ? after->pcs[i - 1] : 0)]++;
	if (run->distance && run->distance <= INJECT_RANDOM_OFFSET &&
	    test_orc_in(after->pcs[i], invoke_syscall))
		cell->random_offset++;
}

/**
 * inject_judge() - walk the changed stack and count the outcomes
 * @run:	its stack is changed, and @before are the traces before that
 * @word:	what was changed
 * @how:	and how
 */
void inject_judge(struct inject_run *run, enum inject_word word, enum inject_how how)
{
	struct inject_cell *cell = &run->cells[word][how];

	run->reason = 0;
	test_orc_save(run->stack.task, &run->after.ours);
	if (run->after.ours.err)
		run->reasons[word][run->reason % INJECT_MAX_REASONS]++;
	if (count(&cell->ours, &run->before.ours, &run->after.ours)) {
		classify(run, cell);
		keep(run, word, how);
	}

	if (run->before.stock.err)
		return;
	test_orc_save_stock(run->stack.task, &run->after.stock);
	count(&cell->stock, &run->before.stock, &run->after.stock);
}

static void show_tally(struct seq_file *m, const struct inject_tally *tally)
{
	seq_printf(m, "\t%llu\t%llu\t%llu\t%llu\t%llu", tally->changes, tally->refused,
		   tally->moved, tally->wrong, tally->lost);
}

/*
 * "cell", what and how, then changes, refused, moved, wrong and lost of the kernel's
 * walker and of stock; of the wrong ones how many have no call, an indirect one, a
 * call of the inner function, of another one; how many fit in the random offset.
 */
void inject_show(struct inject_run *run, struct seq_file *m)
{
	unsigned int word, how, call;

	for (word = 0; word < INJECT_WORDS; word++) {
		for (how = 0; how < INJECT_HOWS; how++) {
			const struct inject_cell *cell = &run->cells[word][how];

			if (!cell->ours.changes)
				continue;
			seq_printf(m, "cell\t%s\t%s", inject_word_names[word],
				   inject_how_names[how]);
			show_tally(m, &cell->ours);
			show_tally(m, &cell->stock);
			for (call = 0; call < INJECT_CALLS; call++)
				seq_printf(m, "\t%llu", cell->calls[call]);
			seq_printf(m, "\t%llu\n", cell->random_offset);
		}
	}
}

/* The last walk was of an unchanged stack, and refused. The last place has all others. */
void inject_note_refused(struct inject_run *run)
{
	struct inject_refused *refused = run->refused;

	while (refused < &run->refused[INJECT_MAX_REFUSED - 1] && refused->seen &&
	       (refused->reason != run->reason || refused->pc != run->pc))
		refused++;
	refused->reason = run->reason;
	refused->pc = run->pc;
	refused->seen++;
}

static const char *reason_name(u32 reason)
{
	return reason_names[reason][0] ? reason_names[reason] : "not known";
}

void inject_show_reasons(struct inject_run *run, struct seq_file *m)
{
	const struct inject_refused *refused;
	unsigned int word, reason;

	for (refused = run->refused; refused < &run->refused[INJECT_MAX_REFUSED]; refused++)
		if (refused->seen)
			seq_printf(m, "unchanged\t%s\t%pS\t%llu\n", reason_name(refused->reason),
				   (void *)refused->pc, refused->seen);
	for (word = 0; word < INJECT_WORDS; word++)
		for (reason = 0; reason < INJECT_MAX_REASONS; reason++)
			if (run->reasons[word][reason])
				seq_printf(m, "reason\t%s\t%s\t%llu\n", inject_word_names[word],
					   reason_name(reason), run->reasons[word][reason]);
}

static void show_trace(struct seq_file *m, const char *name, const struct test_orc_trace *trace)
{
	unsigned int i;

	seq_printf(m, "  %s:", name);
	for (i = 0; i < trace->nr; i++)
		seq_printf(m, " %pS", (void *)trace->pcs[i]);
	seq_putc(m, '\n');
}

void inject_show_exhibits(struct seq_file *m)
{
	unsigned int i;

	for (i = 0; i < nr_exhibits; i++) {
		const struct exhibit *exhibit = &exhibits[i];

		seq_printf(m, "%s: %s, %s, distance %lu\n", exhibit->comm,
			   inject_word_names[exhibit->word], inject_how_names[exhibit->how],
			   exhibit->distance);
		show_trace(m, "true", &exhibit->before);
		show_trace(m, "said", &exhibit->after);
	}
}

void inject_show_disputed(struct seq_file *m)
{
	const struct disputed *kept;

	for (kept = disputed; kept < &disputed[nr_disputed]; kept++) {
		seq_printf(m, "%s: the ordinary walk gives %d\n", kept->comm, kept->records.err);
		show_trace(m, "ours", &kept->ours);
		show_trace(m, "ordinary", &kept->records);
	}
}

static void on_refusal(void *data, struct task_struct *task,
		       const struct unwind_orc_verdict *verdict)
{
	struct inject_run *run = data;

	if (task != run->stack.task || verdict->reason >= INJECT_MAX_REASONS)
		return;
	run->reason = verdict->reason;
	run->pc = verdict->pc;
	strscpy(reason_names[verdict->reason], verdict->name);
}

static void find_refusals(struct tracepoint *tp, void *unused)
{
	if (!strcmp(tp->name, "unwind_orc_unreliable"))
		refusals = tp;
}

/* Without the tracepoint there are no reasons, and all else works. */
int inject_reasons_init(struct inject_run *run)
{
	invoke_syscall = test_orc_symbol("invoke_syscall");
	for_each_kernel_tracepoint(find_refusals, NULL);
	return refusals ? tracepoint_probe_register(refusals, on_refusal, run) : 0;
}

void inject_reasons_exit(struct inject_run *run)
{
	if (!refusals)
		return;
	tracepoint_probe_unregister(refusals, on_refusal, run);
	tracepoint_synchronize_unregister();
}
