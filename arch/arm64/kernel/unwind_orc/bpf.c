// SPDX-License-Identifier: GPL-2.0
/*
 * BPF programs. No table describes them: the JIT says of each from where to
 * where it has its frame, and how large that is (struct bpf_ksym). Trampolines
 * and dispatchers say nothing, nor do prologues and epilogues.
 */
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/kprobes.h>

#include "edge.h"

/*
 * The part of unwind_orc_find() that is BPF. RCU keeps the symbol in place while
 * it is looked at, even if the program is on its way out; numbers are copied
 * from it, and nothing is kept.
 */
enum unwind_orc_lookup unwind_orc_find_bpf(unsigned long pc, u32 *frame_size)
{
	const struct bpf_prog *prog = bpf_prog_ksym_find(pc);
	const struct bpf_ksym *ksym;

	if (!prog)
		return is_bpf_text_address(pc) ? UNWIND_ORC_BPF_OTHER :
						 UNWIND_ORC_NOT_TEXT;
	ksym = &prog->aux->ksym;
	if (pc - ksym->start < ksym->fp_start ||
	    pc - ksym->start >= ksym->fp_end)
		return UNWIND_ORC_BPF_OTHER;
	*frame_size = ksym->frame_size;
	return UNWIND_ORC_BPF_BODY;
}
NOKPROBE_SYMBOL(unwind_orc_find_bpf);
