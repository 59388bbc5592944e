// SPDX-License-Identifier: GPL-2.0
/*
 * BPF programs and trampolines. No table describes them: the JIT says of each from
 * where to where it has its frame, and how large that is (struct bpf_ksym).
 * Dispatchers say nothing, nor do prologues and epilogues.
 */
#include <linux/bpf.h>
#include <linux/kprobes.h>
#include <linux/uaccess.h>

#include "edge.h"

/*
 * The part of unwind_orc_find() that is BPF. RCU keeps the symbol in place while
 * it is looked at, even if the code is on its way out; numbers are copied from it,
 * and nothing is kept. The symbol of a trampoline is there for as long as a task may
 * be in it, also when nothing is attached to the function any more.
 */
enum unwind_orc_lookup unwind_orc_find_bpf(unsigned long pc, u32 *frame_size)
{
	const struct bpf_ksym *ksym = bpf_ksym_find(pc);
	unsigned long offset;

	if (!ksym)
		return UNWIND_ORC_NOT_TEXT;
	offset = pc - ksym->start;
	if (offset < ksym->entry_end)
		return UNWIND_ORC_BPF_ENTRY;
	if (offset < ksym->fp_start || offset >= ksym->fp_end)
		return UNWIND_ORC_BPF_OTHER;
	*frame_size = ksym->frame_size;
	return ksym->callsite ? UNWIND_ORC_BPF_TRAMPOLINE : UNWIND_ORC_BPF_BODY;
}
NOKPROBE_SYMBOL(unwind_orc_find_bpf);

/*
 * The instruction at an address in a trampoline. Other than a program, that may be
 * freed as soon as its symbol is not found any more: for a task that is in it, it is
 * there, but on a stack may be anything.
 */
bool unwind_orc_bpf_instruction(unsigned long pc, u32 *instruction)
{
	pagefault_disable();
	__get_kernel_nofault(instruction, (const u32 *)pc, u32, fault);
	pagefault_enable();
	return true;
fault:
	pagefault_enable();
	return false;
}
NOKPROBE_SYMBOL(unwind_orc_bpf_instruction);
