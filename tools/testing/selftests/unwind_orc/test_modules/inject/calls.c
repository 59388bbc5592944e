// SPDX-License-Identifier: GPL-2.0
/*
 * Calls: the return addresses of all calls in the kernel's text, and whether the
 * call before a return address is one of the function that the inner frame is in.
 */
#include <linux/hash.h>
#include <linux/vmalloc.h>

#include <asm/insn.h>
#include <asm/stacktrace.h>

#include "inject.h"

#define PAIR_BITS	13

/* Calls on unchanged stacks: distinct return addresses with the function inside. */
static struct pair {
	unsigned long pc, inner;
	u64 seen;
	enum inject_call call;
} pairs[1 << PAIR_BITS];

static unsigned long image, image_end, text, text_words;
static u32 *callsites;			/* return addresses, in words from text */
static u32 nr_callsites;

static u32 instruction(unsigned long address)
{
	return le32_to_cpup((__le32 *)address);
}

/* Text that can be read: the kernel's init text has gone, but not its symbols. */
static bool is_there(unsigned long address)
{
	unsigned long start, size;

	if (address >= image && address < image_end)
		return address - text < text_words * AARCH64_INSN_SIZE;
	return test_orc_function(address, &start, &size);
}

static bool is_call(u32 insn)
{
	/* blraa and its like are no blr to aarch64_insn_is_blr(). */
	return aarch64_insn_is_bl(insn) || aarch64_insn_is_blr(insn) ||
	       (insn & 0xfefff800) == 0xd63f0800;
}

int inject_calls_init(void)
{
	unsigned long end = test_orc_symbol("_etext"), i;

	image = test_orc_symbol("_text");
	image_end = test_orc_symbol("_end");
	text = test_orc_symbol("_stext");
	if (!image || !image_end || !text || end <= text)
		return -ENOENT;
	text_words = (end - text) / AARCH64_INSN_SIZE;
	callsites = vmalloc_array(text_words, sizeof(*callsites));
	if (!callsites)
		return -ENOMEM;
	for (i = 0; i + 1 < text_words; i++)
		if (is_call(instruction(text + i * AARCH64_INSN_SIZE)))
			callsites[nr_callsites++] = i + 1;
	return nr_callsites ? 0 : -ENOENT;
}

void inject_calls_exit(void)
{
	vfree(callsites);
}

unsigned long inject_text(struct inject_run *run)
{
	return text + AARCH64_INSN_SIZE * inject_below(run, text_words);
}

unsigned long inject_callsite(struct inject_run *run)
{
	return text + AARCH64_INSN_SIZE * callsites[inject_below(run, nr_callsites)];
}

/* In the function at @start, or called by the last instruction of it. */
static bool is_in(unsigned long pc, unsigned long start)
{
	return test_orc_in(pc, start) || test_orc_in(pc - AARCH64_INSN_SIZE, start);
}

/**
 * inject_call_of() - does the call before a return address lead to the inner frame?
 * @pc:		the return address
 * @inner:	PC of the frame inside, or 0 if there is none
 */
enum inject_call inject_call_of(unsigned long pc, unsigned long inner)
{
	unsigned long site = pc - AARCH64_INSN_SIZE, start, size, callee;
	u32 insn;

	if (pc % AARCH64_INSN_SIZE || !is_there(site))
		return INJECT_NO_CALL;
	insn = instruction(site);
	if (!is_call(insn))
		return INJECT_NO_CALL;
	if (!aarch64_insn_is_bl(insn))
		return INJECT_INDIRECT;
	callee = site + 4 * (long)sign_extend32(insn, 25);
	if (!test_orc_function(callee, &start, &size))
		return INJECT_OTHER_CALLEE;
	return is_in(inner, start) ? INJECT_CALLEE : INJECT_OTHER_CALLEE;
}

static void note_pair(unsigned long pc, unsigned long inner)
{
	unsigned long start, size;
	unsigned int at, i;

	if (!test_orc_function(inner, &start, &size))
		return;
	at = hash_long(pc ^ start, PAIR_BITS);
	for (i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct pair *pair = &pairs[(at + i) % ARRAY_SIZE(pairs)];

		if (!pair->seen) {
			pair->pc = pc;
			pair->inner = start;
			pair->call = inject_call_of(pc, inner);
		}
		if (pair->pc == pc && pair->inner == start) {
			pair->seen++;
			return;
		}
	}
}

static bool is_saved(const struct inject_stack *stack, unsigned long pc)
{
	unsigned int i;

	for (i = 0; i < stack->nr_words; i++)
		if (stack->words[i].word == INJECT_RECORD_LR &&
		    ptrauth_strip_kernel_insn_pac(*stack->words[i].where) == pc)
			return true;
	return false;
}

/**
 * inject_note_calls() - note the calls of an unchanged stack
 * @stack:	its words
 * @trace:	its reliable trace
 *
 * An entry is a return address if a frame record has it; an interrupted PC has
 * no call before it, and an address that a tracer replaced is left out.
 */
void inject_note_calls(const struct inject_stack *stack, const struct test_orc_trace *trace)
{
	unsigned int i;

	for (i = 1; i < trace->nr; i++)
		if (is_saved(stack, trace->pcs[i]))
			note_pair(trace->pcs[i], trace->pcs[i - 1]);
}

/* Totals of distinct pairs and of calls, and each pair that does not fit. */
void inject_show_calls(struct seq_file *m)
{
	static const char * const names[] = {
		[INJECT_NO_CALL]	= "no call",
		[INJECT_INDIRECT]	= "indirect",
		[INJECT_CALLEE]		= "callee",
		[INJECT_OTHER_CALLEE]	= "other callee",
	};
	u64 seen[INJECT_CALLS] = {};
	unsigned int distinct[INJECT_CALLS] = {}, i;

	for (i = 0; i < ARRAY_SIZE(pairs); i++) {
		const struct pair *pair = &pairs[i];

		if (!pair->seen)
			continue;
		seen[pair->call] += pair->seen;
		distinct[pair->call]++;
		if (pair->call == INJECT_OTHER_CALLEE || pair->call == INJECT_NO_CALL)
			seq_printf(m, "pair\t%s\t%pS\t%ps\t%llu\n", names[pair->call],
				   (void *)pair->pc, (void *)pair->inner, pair->seen);
	}
	seq_printf(m, "callsites\t%u\n", nr_callsites);
	for (i = 0; i < INJECT_CALLS; i++)
		seq_printf(m, "calls\t%s\t%u\t%llu\n", names[i], distinct[i], seen[i]);
}
