// SPDX-License-Identifier: GPL-2.0
/*
 * Offsets into structures of this kernel, for the oracle: each a variable, which it
 * reads out of the object file. Never linked.
 */
#include <linux/bpf.h>
#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/sched.h>

#define OFFSET(name, type, member) \
	const u64 oracle_##name = offsetof(type, member)

#ifdef CONFIG_FUNCTION_GRAPH_TRACER
OFFSET(ret_stack, struct task_struct, ret_stack);
OFFSET(curr_ret_stack, struct task_struct, curr_ret_stack);
OFFSET(graph_ret, struct ftrace_ret_stack, ret);
OFFSET(graph_retp, struct ftrace_ret_stack, retp);
#endif

#ifdef CONFIG_KRETPROBES
OFFSET(kretprobes, struct task_struct, kretprobe_instances);
OFFSET(kretprobe_next, struct kretprobe_instance, llist);
OFFSET(kretprobe_ret, struct kretprobe_instance, ret_addr);
OFFSET(kretprobe_fp, struct kretprobe_instance, fp);
#endif

#ifdef CONFIG_BPF_JIT
OFFSET(ksym_start, struct bpf_ksym, start);
OFFSET(ksym_end, struct bpf_ksym, end);
OFFSET(ksym_entry_end, struct bpf_ksym, entry_end);
OFFSET(ksym_callsite, struct bpf_ksym, callsite);
OFFSET(ksym_fp_start, struct bpf_ksym, fp_start);
OFFSET(ksym_fp_end, struct bpf_ksym, fp_end);
OFFSET(ksym_frame_size, struct bpf_ksym, frame_size);
#endif
