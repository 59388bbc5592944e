/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reliable ORC unwinding: the interface between the kernel proper (the "edge",
 * always built in when there are tables) and the walker (Rust, perhaps a
 * module).
 *
 * The edge knows tasks, stacks, modules and where the tables are. The walker
 * knows what the tables mean, walks, and gives a verdict. Everything that a
 * walk calls here may be called with IRQs off and a runqueue lock held; it
 * neither sleeps nor allocates, and is neither traced nor probed.
 */
#ifndef __ASM_UNWIND_ORC_H
#define __ASM_UNWIND_ORC_H

#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/ftrace.h>
#include <linux/stacktrace.h>
#include <linux/types.h>

#include <asm/ptrace.h>
#include <asm/stacktrace/common.h>

struct elf64_hdr;
struct elf64_shdr;
struct llist_node;
struct module;
struct task_struct;

/*
 * Offsets into struct pt_regs, in bytes, for a walker that reads registers
 * from a stack through checked reads rather than through a pointer.
 */
enum unwind_orc_regs {
	UNWIND_ORC_REGS_X9 = offsetof(struct pt_regs, regs[9]),
	UNWIND_ORC_REGS_FP = offsetof(struct pt_regs, regs[29]),
	UNWIND_ORC_REGS_LR = offsetof(struct pt_regs, regs[30]),
	UNWIND_ORC_REGS_SP = offsetof(struct pt_regs, sp),
	UNWIND_ORC_REGS_PC = offsetof(struct pt_regs, pc),
	UNWIND_ORC_REGS_PSTATE = offsetof(struct pt_regs, pstate),
	UNWIND_ORC_REGS_STACKFRAME = offsetof(struct pt_regs, stackframe),
	UNWIND_ORC_REGS_SIZE = sizeof(struct pt_regs),
};

/*
 * The same for struct ftrace_regs, which ftrace_caller has at SP while it calls.
 * All zero in a kernel that has no such structure, nor an ftrace_caller with rows.
 * Without direct calls there is no pending one either: its offset is 0.
 */
#ifdef CONFIG_DYNAMIC_FTRACE_WITH_ARGS
#define FTRACE_REGS_OFFSET(member)	offsetof(struct __arch_ftrace_regs, member)
#define FTRACE_REGS_BYTES		sizeof(struct __arch_ftrace_regs)
#else
#define FTRACE_REGS_OFFSET(member)	0
#define FTRACE_REGS_BYTES		0
#endif

enum unwind_orc_ftrace_regs {
	UNWIND_ORC_FTRACE_REGS_FP = FTRACE_REGS_OFFSET(fp),
	UNWIND_ORC_FTRACE_REGS_LR = FTRACE_REGS_OFFSET(lr),
	UNWIND_ORC_FTRACE_REGS_SP = FTRACE_REGS_OFFSET(sp),
	UNWIND_ORC_FTRACE_REGS_PC = FTRACE_REGS_OFFSET(pc),
#ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS
	UNWIND_ORC_FTRACE_REGS_DIRECT = FTRACE_REGS_OFFSET(direct_tramp),
#else
	UNWIND_ORC_FTRACE_REGS_DIRECT = 0,
#endif
	UNWIND_ORC_FTRACE_REGS_SIZE = FTRACE_REGS_BYTES,
};

#undef FTRACE_REGS_OFFSET
#undef FTRACE_REGS_BYTES

/**
 * struct unwind_orc_region - one text section and the table that describes it
 * @text:       start of the text; offsets in the table count from here
 * @table:      the table, 4-byte aligned, read only, as long-lived as the text
 * @build_id:   20 bytes, the build ID of the vmlinux or module of the text; NULL
 *              if it has none
 * @text_size:  bytes of text
 * @table_size: bytes of table
 * @padding:    as many bytes of text may be without description, at its end
 * @is_patch:   functions in it stand in for others: a live patch
 */
struct unwind_orc_region {
	const void *text;
	const void *table;
	const u8 *build_id;
	u32 text_size;
	u32 table_size;
	u32 padding;
	bool is_patch;
};

/**
 * struct unwind_orc_places - what stays the same from boot on
 * @pac_mask:         bits of an address that a pointer authentication code may be in;
 *                    without one, all of them are as bit 55
 * @graph_return:     where the function graph tracer makes functions return to, or 0
 * @graph_return_end: where that code ends
 * @ftrace_return:    the instruction of ftrace_caller that goes to the callsite, or 0
 * @kretprobe:        where kretprobes make functions return to, or 0
 */
struct unwind_orc_places {
	unsigned long pac_mask;
	unsigned long graph_return;
	unsigned long graph_return_end;
	unsigned long ftrace_return;
	unsigned long kretprobe;
};

extern struct unwind_orc_places unwind_orc_places;

/**
 * enum unwind_orc_lookup - what unwind_orc_find() says about a PC
 * @UNWIND_ORC_FOUND:    in a region whose table the walker has accepted before
 * @UNWIND_ORC_NO_TABLE: text of a module that has no valid tables
 * @UNWIND_ORC_NOT_TEXT: not text that a task may be found in: no module, a
 *                       module's init text, a kprobe slot, user space, NULL
 * @UNWIND_ORC_INIT_TEXT: vmlinux's own init text, freed or about to be: no task
 *                       runs there, but the idle task of the boot CPU was
 *                       entered from there
 * @UNWIND_ORC_VENEER:   a module's PLT: branches to functions that are out of
 *                       reach, which leave SP, x29 and x30 as they are
 * @UNWIND_ORC_FTRACE_VENEER: the same of ftrace_caller, which the entry of a traced
 *                       function calls, with its return address in x9
 * @UNWIND_ORC_BPF_ENTRY: a BPF program that has not changed SP, x29 or x30 yet
 * @UNWIND_ORC_BPF_BODY: a BPF program, or a trampoline that was called like one,
 *                       between its prologue and its epilogue: x29 is at the frame
 *                       record, which is at the upper end of the frame; the size
 *                       of the frame was filled in, from SP to the caller's SP, or
 *                       0 if SP may be elsewhere
 * @UNWIND_ORC_BPF_TRAMPOLINE: the same of a trampoline that the entry of a function
 *                       calls: the frame record of that function is at the upper
 *                       end, and its own, where x29 is, below that
 * @UNWIND_ORC_BPF_OTHER: other code of BPF's, of which nothing is known
 */
enum unwind_orc_lookup {
	UNWIND_ORC_FOUND,
	UNWIND_ORC_NO_TABLE,
	UNWIND_ORC_NOT_TEXT,
	UNWIND_ORC_INIT_TEXT,
	UNWIND_ORC_VENEER,
	UNWIND_ORC_FTRACE_VENEER,
	UNWIND_ORC_BPF_ENTRY,
	UNWIND_ORC_BPF_BODY,
	UNWIND_ORC_BPF_TRAMPOLINE,
	UNWIND_ORC_BPF_OTHER,
};

/**
 * enum unwind_orc_kind - where a walk starts
 * @UNWIND_ORC_CURRENT: @task is current: PC, SP, x29 and x30 are those of one
 *                      instruction, exactly (as after an exception)
 * @UNWIND_ORC_BLOCKED: @task is in cpu_switch_to(): PC is a return address,
 *                      LR is not known
 * @UNWIND_ORC_RUNNING: @task runs on a CPU: refuse, the registers are not set
 * @UNWIND_ORC_GONE:    @task has no stack any more: refuse likewise
 */
enum unwind_orc_kind {
	UNWIND_ORC_CURRENT,
	UNWIND_ORC_BLOCKED,
	UNWIND_ORC_RUNNING,
	UNWIND_ORC_GONE,
};

/**
 * struct unwind_orc_start - the state that a walk starts from
 * @pc:       see enum unwind_orc_kind for the meaning of the registers
 * @sp:       stack pointer at @pc
 * @fp:       x29 at @pc
 * @lr:       x30 at @pc, valid for UNWIND_ORC_CURRENT only
 * @shadow:   x18 at @pc, if that is where the shadow call stack ends
 * @switches: context switches of the task when the state was taken
 * @kind:     enum unwind_orc_kind
 */
struct unwind_orc_start {
	unsigned long pc;
	unsigned long sp;
	unsigned long fp;
	unsigned long lr;
	unsigned long shadow;
	unsigned long switches;
	u32 kind;
};

/* All stacks a reliable walk may meet: task, IRQ, overflow. */
#define UNWIND_ORC_MAX_STACKS	3

/**
 * struct unwind_orc_recovery - which kept return addresses a walk has used
 * @kretprobe:  the last of the kretprobe instances that was used
 * @graph_used: entries of the function graph tracer that were used
 *
 * All zero at the start of a walk, opaque to the walker. Both tracers keep the
 * addresses in the order of the calls, and a walk meets the frames in the same
 * order, so each has to be for the next frame that wants one.
 */
struct unwind_orc_recovery {
	struct llist_node *kretprobe;
	int graph_used;
};

/**
 * struct unwind_orc_shadow - the shadow call stack that belongs to a walk
 * @task:    entries of the task, the outermost function's first
 * @irq:     entries of the CPU's IRQ stack, the outermost function's first
 * @nr_task: how many entries of the task there are
 * @nr_irq:  how many entries of the IRQ stack there are; they come after those of
 *           the task
 */
struct unwind_orc_shadow {
	const unsigned long *task;
	const unsigned long *irq;
	u32 nr_task;
	u32 nr_irq;
};

/* Bytes of a reason's text, its terminating NUL included. */
#define UNWIND_ORC_NAME_LEN	48

/*
 * After as many entries a walk gives up where the caller sets it no limit: it may
 * run under a runqueue lock. More than livepatch has room for (MAX_STACK_ENTRIES).
 */
#define UNWIND_ORC_MAX_ENTRIES	128U

/**
 * struct unwind_orc_outcome - what a walk found, in short
 * @reason: 0 for a reliable trace, else the code of the reason
 * @frame:  number of the frame that was refused, or of frames if reliable
 * @pc:     PC of the refused frame
 */
struct unwind_orc_outcome {
	u32 reason;
	u32 frame;
	unsigned long pc;
};

/**
 * struct unwind_orc_verdict - what a walk found, for people
 * @reason: 0 for a reliable trace, else the code of the reason
 * @frame:  number of the frame that was refused, or of frames if reliable
 * @pc:     PC of the refused frame
 * @name:   text of the reason, NUL terminated, without a newline
 *
 * A copy, not pointers: the walker may be gone when it is printed.
 */
struct unwind_orc_verdict {
	u32 reason;
	u32 frame;
	unsigned long pc;
	char name[UNWIND_ORC_NAME_LEN];
};

/**
 * struct unwind_orc_sink - who gets the PCs of a walk
 * @consume: called for each, as arch_stack_walk() does; NULL if nobody does, in a
 *           walk that only looks whether there is text without a table
 * @cookie:  its first argument
 *
 * A structure, and not two arguments: kCFI has a type for each function that is
 * called through a pointer, and for one that takes such a pointer itself, Rust and
 * C do not agree on it.
 */
struct unwind_orc_sink {
	stack_trace_consume_fn consume;
	void *cookie;
};

/**
 * struct unwind_orc_ops - the walker
 * @check: Checks all of a table, once, before the first walk may see it. May
 *         sleep. Returns 0 or a negative errno; then a NUL terminated text of
 *         at most @len bytes says why. The edge logs it.
 * @walk:  Walks the stack of @task from @start and tells @sink each PC; of
 *         current's all but the first, which is in the function that captured the
 *         state and is not counted either. Called under RCU, possibly with IRQs
 *         off. Always fills in the outcome. Returns 0 if the trace is reliable,
 *         -ENODATA if text without a table was met (another unwinder may answer),
 *         -EINVAL for any other unreliable trace.
 * @name:  Fills in the text for a reason, NUL terminated, in at most @len bytes.
 */
struct unwind_orc_ops {
	int (*check)(const struct unwind_orc_region *region, char *why,
		     size_t len);
	int (*walk)(const struct unwind_orc_start *start,
		    struct task_struct *task, const struct unwind_orc_sink *sink,
		    struct unwind_orc_outcome *outcome);
	void (*name)(u32 reason, char *name, size_t len);
};

/*
 * The kernel's own unwinder: what arch_stack_walk_reliable() does without a walker.
 * To be called in its place, and not by a tail call.
 */
int arch_stack_walk_conservative(stack_trace_consume_fn consume, void *cookie,
				 struct task_struct *task);

#ifdef CONFIG_UNWIND_ORC_TABLES

/* For the walker: there is at most one. */
int unwind_orc_register(const struct unwind_orc_ops *ops);
void unwind_orc_unregister(const struct unwind_orc_ops *ops);

/* For the walker, during a walk. */
enum unwind_orc_lookup unwind_orc_find(unsigned long pc,
				       const struct unwind_orc_region **region,
				       u32 *frame_size);
bool unwind_orc_is_entry_text(unsigned long pc);
unsigned int unwind_orc_stacks(const struct task_struct *task,
			       struct stack_info stacks[UNWIND_ORC_MAX_STACKS]);
unsigned long unwind_orc_task_regs(const struct task_struct *task);
bool unwind_orc_is_boot_idle(const struct task_struct *task);
bool unwind_orc_recover(struct task_struct *task,
			struct unwind_orc_recovery *recovery,
			unsigned long fp, unsigned long *pc);
void unwind_orc_pass_entered(struct task_struct *task,
			     struct unwind_orc_recovery *recovery,
			     unsigned long lr, unsigned long fp);
bool unwind_orc_all_recovered(struct task_struct *task,
			      const struct unwind_orc_recovery *recovery);
bool unwind_orc_shadow(const struct task_struct *task,
		       const struct unwind_orc_start *start,
		       struct unwind_orc_shadow *shadow);
bool unwind_orc_is_authentic(const struct task_struct *task, unsigned long raw,
			     unsigned long cfa);
bool unwind_orc_instruction(unsigned long pc, u32 *instruction);
bool unwind_orc_undisturbed(const struct task_struct *task,
			    const struct unwind_orc_start *start);
void unwind_orc_count(atomic64_t *counter, u64 n);

/* For users that want to know why, not only whether. */
int unwind_orc_trace_task(struct task_struct *task, unsigned long *entries,
			  unsigned int size,
			  struct unwind_orc_verdict *verdict);

/* For arch_stack_walk_reliable() and the module loader. */
int unwind_orc_walk(struct unwind_orc_start *start,
		    stack_trace_consume_fn consume, void *cookie,
		    struct task_struct *task);
int unwind_orc_module_finalize(const struct elf64_hdr *hdr,
			       const struct elf64_shdr *sechdrs,
			       struct module *mod);
void unwind_orc_module_free_init(struct module *mod);
void unwind_orc_module_cleanup(struct module *mod);

/**
 * unwind_orc_capture() - take the state of the caller, at one instruction
 * @start: where to put it
 *
 * Inlined, so that the state is that of the function which uses it. The
 * instructions below change neither SP nor x29, and the compiler may only put
 * a result into x30 where the return address is not in x30 any more. The
 * function must still be active, hence must not tail-call, when the stack is
 * walked from @start; handing @start to the walk by address ensures that.
 */
static __always_inline void unwind_orc_capture(struct unwind_orc_start *start)
{
	asm volatile("adr	%0, .\n\t"
		     "mov	%1, sp\n\t"
		     "mov	%2, x29\n\t"
		     "mov	%3, x30"
		     : "=&r" (start->pc), "=&r" (start->sp),
		       "=&r" (start->fp), "=r" (start->lr)
		     : : "memory");
#ifdef CONFIG_SHADOW_CALL_STACK
	/* The same in all of a function, after its push and before its pop. */
	asm volatile("mov	%0, x18" : "=r" (start->shadow) : : "memory");
#else
	start->shadow = 0;
#endif
}

#else /* !CONFIG_UNWIND_ORC_TABLES */

static __always_inline void unwind_orc_capture(struct unwind_orc_start *start)
{
}

static inline int unwind_orc_walk(struct unwind_orc_start *start,
				  stack_trace_consume_fn consume, void *cookie,
				  struct task_struct *task)
{
	return -EOPNOTSUPP;
}

static inline int unwind_orc_module_finalize(const struct elf64_hdr *hdr,
					     const struct elf64_shdr *sechdrs,
					     struct module *mod)
{
	return 0;
}

static inline void unwind_orc_module_free_init(struct module *mod)
{
}

static inline void unwind_orc_module_cleanup(struct module *mod)
{
}

#endif /* CONFIG_UNWIND_ORC_TABLES */

#endif /* __ASM_UNWIND_ORC_H */
