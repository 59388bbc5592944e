// SPDX-License-Identifier: GPL-2.0
/*
 * Reliable walks for test modules.
 *
 * Nothing that a livepatch uses to look at a stack is exported to modules, and
 * tests are no reason to export it. This module finds the functions by name
 * instead, so that the tests also load, and fail, on a kernel without the ORC
 * unwinder.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ftrace.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched/task_stack.h>
#include <linux/stacktrace.h>

#include <asm/insn.h>
#include <asm/pointer_auth.h>
#include <asm/stacktrace.h>

#include "test_orc.h"

typedef int (*task_fn)(struct task_struct *task, void *arg);

static unsigned long (*lookup_name)(const char *name);
static int (*lookup_size)(unsigned long addr, unsigned long *size,
			  unsigned long *offset);
static int (*save_reliable)(struct task_struct *task, unsigned long *store,
			    unsigned int size);
static int (*call_func)(struct task_struct *task, task_fn fn, void *arg);
static int (*runs)(const struct task_struct *task);
static void (*put_stack)(struct task_struct *task);
#ifdef CONFIG_FUNCTION_GRAPH_TRACER
static unsigned long (*graph_ret_addr)(struct task_struct *task, int *idx,
				       unsigned long ret, unsigned long *retp);
#endif
static unsigned long return_to_handler_addr;
#ifdef CONFIG_KRETPROBES
static unsigned long (*kretprobe_ret_addr)(struct task_struct *task, void *fp,
					   struct llist_node **cur);
#endif
static unsigned long kretprobe_trampoline;

unsigned long test_orc_symbol(const char *name)
{
	return lookup_name(name);
}
EXPORT_SYMBOL_GPL(test_orc_symbol);

bool test_orc_function(unsigned long pc, unsigned long *start, unsigned long *size)
{
	unsigned long offset;

	if (!lookup_size(pc, size, &offset))
		return false;
	*start = pc - offset;
	return true;
}
EXPORT_SYMBOL_GPL(test_orc_function);

bool test_orc_in(unsigned long pc, unsigned long function)
{
	unsigned long start, size;

	return test_orc_function(pc, &start, &size) && start == function;
}
EXPORT_SYMBOL_GPL(test_orc_in);

bool test_orc_after_call(unsigned long pc)
{
	unsigned long start, size;
	u32 insn;

	if (!test_orc_function(pc - AARCH64_INSN_SIZE, &start, &size))
		return false;
	insn = le32_to_cpup((__le32 *)(pc - AARCH64_INSN_SIZE));
	return aarch64_insn_is_bl(insn) || aarch64_insn_is_blr(insn);
}
EXPORT_SYMBOL_GPL(test_orc_after_call);

void test_orc_save(struct task_struct *task, struct test_orc_trace *trace)
{
	int ret = save_reliable(task, trace->pcs, TEST_ORC_ENTRIES);

	trace->err = min(ret, 0);
	trace->nr = max(ret, 0);
}
EXPORT_SYMBOL_GPL(test_orc_save);

struct pin {
	task_fn fn;
	void *arg;
};

void test_orc_put_stack(struct task_struct *task)
{
	put_stack(task);
}
EXPORT_SYMBOL_GPL(test_orc_put_stack);

bool test_orc_runs(const struct task_struct *task)
{
	return runs(task);
}
EXPORT_SYMBOL_GPL(test_orc_runs);

static int pinned(struct task_struct *task, void *arg)
{
	struct pin *pin = arg;

	if (runs(task) && task != current)
		return -EBUSY;
	return pin->fn(task, pin->arg);
}

int test_orc_pin(struct task_struct *task, task_fn fn, void *arg)
{
	struct pin pin = { .fn = fn, .arg = arg };

	return call_func(task, pinned, &pin);
}
EXPORT_SYMBOL_GPL(test_orc_pin);

static int save_one(struct task_struct *task, void *trace)
{
	test_orc_save(task, trace);
	return 0;
}

void test_orc_save_pinned(struct task_struct *task, struct test_orc_trace *trace)
{
	int err = test_orc_pin(task, save_one, trace);

	if (err) {
		trace->err = err;
		trace->nr = 0;
	}
}
EXPORT_SYMBOL_GPL(test_orc_save_pinned);

struct fp_walk {
	struct unwind_state common;
	struct task_struct *task;
	int graph_idx;
	struct llist_node *kr_cur;
	bool through_regs;
	struct test_orc_trace *trace;
};

static int fp_recover(struct fp_walk *walk)
{
	unsigned long pc = walk->common.pc;

#ifdef CONFIG_FUNCTION_GRAPH_TRACER
	if (walk->task->ret_stack && pc == return_to_handler_addr) {
		pc = graph_ret_addr(walk->task, &walk->graph_idx, pc,
				    (void *)walk->common.fp);
		if (pc == walk->common.pc)
			return -EINVAL;
	}
#endif
#ifdef CONFIG_KRETPROBES
	if (pc == kretprobe_trampoline) {
		pc = kretprobe_ret_addr(walk->task, (void *)walk->common.fp,
					&walk->kr_cur);
		if (!pc)
			return -EINVAL;
	}
#endif
	walk->common.pc = pc;
	return 0;
}

/* -ENOENT: the end of the stack, as it should be. */
static int fp_metadata(struct fp_walk *walk)
{
	struct frame_record_meta *meta = (void *)walk->common.fp;
	struct stack_info *info;
	struct pt_regs *regs;

	if (!unwind_find_stack(&walk->common, walk->common.fp, sizeof(*meta)))
		return -EINVAL;
	if (meta->type == FRAME_META_TYPE_FINAL)
		return meta == &task_pt_regs(walk->task)->stackframe ?
			-ENOENT : -EINVAL;
	if (meta->type != FRAME_META_TYPE_PT_REGS || !walk->through_regs)
		return -EINVAL;

	regs = container_of(meta, struct pt_regs, stackframe);
	info = unwind_find_stack(&walk->common, (unsigned long)regs, sizeof(*regs));
	if (!info)
		return -EINVAL;
	unwind_consume_stack(&walk->common, info, (unsigned long)regs, sizeof(*regs));
	walk->common.pc = regs->pc;
	walk->common.fp = regs->regs[29];
	return 0;
}

static int fp_next(struct fp_walk *walk)
{
	unsigned long fp = walk->common.fp;
	struct frame_record *record = (void *)fp;
	struct stack_info *info;
	int err;

	if (fp & 7)
		return -EINVAL;
	info = unwind_find_stack(&walk->common, fp, sizeof(*record));
	if (!info)
		return -EINVAL;

	if (!record->fp && !record->lr) {
		err = fp_metadata(walk);
		if (err)
			return err;
	} else {
		unwind_consume_stack(&walk->common, info, fp, sizeof(*record));
		walk->common.fp = record->fp;
		walk->common.pc = record->lr;
	}
	walk->common.pc = ptrauth_strip_kernel_insn_pac(walk->common.pc);
	return fp_recover(walk);
}

static int fp_run(struct fp_walk *walk)
{
	struct test_orc_trace *trace = walk->trace;
	int err = fp_recover(walk);

	while (!err) {
		if (trace->nr == TEST_ORC_ENTRIES)
			return -EINVAL;
		trace->pcs[trace->nr++] = walk->common.pc;
		err = fp_next(walk);
	}
	return err == -ENOENT ? 0 : err;
}

static void fp_save(struct task_struct *task, struct test_orc_trace *trace,
		    bool through_regs)
{
	struct stack_info stack = stackinfo_get_task(task);
	struct fp_walk walk = {
		.common.stacks = &stack,
		.common.nr_stacks = 1,
		.common.fp = thread_saved_fp(task),
		.common.pc = thread_saved_pc(task),
		.task = task,
		.through_regs = through_regs,
		.trace = trace,
	};

	trace->nr = 0;
	trace->err = 0;
	/* As stack_trace_save_tsk_reliable(): no stack, nothing on it. */
	if (!try_get_task_stack(task))
		return;
	trace->err = fp_run(&walk);
	put_stack(task);
}

void test_orc_save_stock(struct task_struct *task, struct test_orc_trace *trace)
{
	fp_save(task, trace, false);
}
EXPORT_SYMBOL_GPL(test_orc_save_stock);

void test_orc_save_ordinary(struct task_struct *task, struct test_orc_trace *trace)
{
	fp_save(task, trace, true);
}
EXPORT_SYMBOL_GPL(test_orc_save_ordinary);

static int __init find_lookup(void)
{
	struct kprobe kp = { .symbol_name = "kallsyms_lookup_name" };
	int err = register_kprobe(&kp);

	if (err)
		return err;
	lookup_name = (void *)kp.addr;
	unregister_kprobe(&kp);
	return 0;
}

static int __init find(void *function, const char *name)
{
	unsigned long addr = lookup_name(name);

	if (!addr) {
		pr_err("no symbol %s\n", name);
		return -ENOENT;
	}
	*(unsigned long *)function = addr;
	return 0;
}

static int __init test_orc_init(void)
{
	int err = find_lookup();

	if (err) {
		pr_err("cannot find kallsyms_lookup_name: %d\n", err);
		return err;
	}
	if (find(&lookup_size, "kallsyms_lookup_size_offset") ||
	    find(&save_reliable, "stack_trace_save_tsk_reliable") ||
	    find(&call_func, "task_call_func") ||
	    find(&runs, "task_curr") ||
	    find(&put_stack, "put_task_stack"))
		return -ENOENT;
#ifdef CONFIG_FUNCTION_GRAPH_TRACER
	if (find(&graph_ret_addr, "ftrace_graph_ret_addr") ||
	    find(&return_to_handler_addr, "return_to_handler"))
		return -ENOENT;
#endif
#ifdef CONFIG_KRETPROBES
	if (find(&kretprobe_ret_addr, "kretprobe_find_ret_addr") ||
	    find(&kretprobe_trampoline, "__kretprobe_trampoline"))
		return -ENOENT;
#endif
	return 0;
}

static void __exit test_orc_exit(void)
{
}

module_init(test_orc_init);
module_exit(test_orc_exit);
MODULE_DESCRIPTION("Stack walks for the tests of the ORC unwinder");
MODULE_LICENSE("GPL");
