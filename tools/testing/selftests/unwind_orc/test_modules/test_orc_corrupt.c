// SPDX-License-Identifier: GPL-2.0
/*
 * Changes to the stack of a task off the CPU, one lie at a time.
 *
 * /sys/kernel/debug/test_orc_corrupt/
 *   doctor  write "PID CASE": make the change, and leave it; the task must be
 *           blocked for good, as the "block" thread of test_orc_chain is
 *   repair  write anything: take the change back
 *   once    write "PID CASE": change, walk and repair while the task is held
 *           off the CPU; the write fails with the errno of the walk
 *
 * The stack must be that of test_orc_chain: the record of chain_middle() is
 * what most cases change. For each case, what the stock walker would say is of
 * interest too: where the lie leaves the chain of frame records intact it
 * believes it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitops.h>
#include <linux/debugfs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/processor.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/string.h>

#include <asm/insn.h>
#include <asm/pointer_auth.h>
#include <asm/stacktrace.h>

#include "test_orc.h"

/**
 * struct victim - the places on a stack that the cases change
 * @record:	frame record of chain_middle(): x29 and return address of chain_outer()
 * @end:	registers at the end of the stack, with the final record
 * @last:	frame record of the function that entry code called, at the end
 * @irq:	registers of the first exception on the stack; NULL if there is none
 * @handler:	frame record of the function that entry code called for @irq
 * @context:	what cpu_switch_to() saved
 */
struct victim {
	struct frame_record *record;
	struct frame_record *last;
	struct pt_regs *end;
	struct pt_regs *irq;
	struct frame_record *handler;
	struct cpu_context *context;
};

static DEFINE_MUTEX(lock);		/* of all below, and one change at a time */
static struct task_struct *doctored;

static struct {
	void *where;
	unsigned long was;
} undo[2];
static unsigned int nr_undo;

static unsigned long outer_addr, return_to_handler_addr, init_text_addr;
static unsigned long other_ra;
static struct kprobe slot_probe;

static void poke(void *where, unsigned long value)
{
	undo[nr_undo].where = where;
	undo[nr_undo++].was = *(unsigned long *)where;
	*(unsigned long *)where = value;
}

static void undo_all(void)
{
	while (nr_undo--)
		*(unsigned long *)undo[nr_undo].where = undo[nr_undo].was;
	nr_undo = 0;
}

/* A frame of another size than any of test_orc_chain's, to return into. */
static noinline void note_other(void)
{
	other_ra = (unsigned long)__builtin_return_address(0);
}

static noinline void other(void)
{
	u64 buf[90] __uninitialized;

	barrier_data(buf);
	note_other();
	barrier_data(buf);
}

static void lie_fp(struct victim *v)
{
	poke(&v->record->fp, v->record->fp + 8);
}

/* A valid record, but the next but one: chain_outer()'s caller disappears. */
static void lie_fp_skip(struct victim *v)
{
	poke(&v->record->fp, ((struct frame_record *)v->record->fp)->fp);
}

static void lie_fp_cycle(struct victim *v)
{
	poke(&v->record->fp, (unsigned long)v->record);
}

static void lie_fp_data(struct victim *v)
{
	poke(&v->record->fp, (unsigned long)&undo);
}

static void lie_ra_null(struct victim *v)
{
	poke(&v->record->lr, 0);
}

static void lie_ra_odd(struct victim *v)
{
	poke(&v->record->lr, ptrauth_strip_kernel_insn_pac(v->record->lr) + 2);
}

static void lie_ra_data(struct victim *v)
{
	poke(&v->record->lr, (unsigned long)&undo);
}

/* Text, a place a call returns to, and not the one that called. */
static void lie_ra_other(struct victim *v)
{
	poke(&v->record->lr, other_ra);
}

/* Where the BL at @pc goes; 0 for other instructions. */
static unsigned long call_target(unsigned long pc)
{
	u32 insn = le32_to_cpu(*(__le32 *)pc);

	if (!aarch64_insn_is_bl(insn))
		return 0;
	return pc + 4 * sign_extend64(insn & GENMASK(25, 0), 25);
}

/* Where another call of the same function by the same function returns to; 0 if none. */
static unsigned long twin_of(unsigned long ra)
{
	unsigned long callee = call_target(ra - 4), start, size, pc;

	if (!callee || !test_orc_function(ra - 4, &start, &size))
		return 0;
	for (pc = start; pc < start + size; pc += 4)
		if (pc + 4 != ra && call_target(pc) == callee)
			return pc + 4;
	return 0;
}

/*
 * What row, frame record and instructions say is right; even the pointer
 * authentication code is there, though it is another address's.
 */
static void lie_ra_twin(struct victim *v)
{
	unsigned long ra = ptrauth_strip_kernel_insn_pac(v->record->lr);
	unsigned long twin = twin_of(ra);

	poke(&v->record->lr, twin ? v->record->lr ^ ra ^ twin : 0);
}

/* Inside, not at its start, which would be a pending return address. */
static void lie_ra_handler(struct victim *v)
{
	poke(&v->record->lr, return_to_handler_addr + 8);
}

static void lie_ra_slot(struct victim *v)
{
	poke(&v->record->lr, (unsigned long)(slot_probe.ainsn.xol_insn + 1));
}

static void lie_record_zero(struct victim *v)
{
	poke(&v->record->fp, 0);
	poke(&v->record->lr, 0);
}

static void lie_sp(struct victim *v)
{
	poke(&v->context->sp, v->context->sp + 16);
}

static void lie_sp_odd(struct victim *v)
{
	poke(&v->context->sp, v->context->sp + 8);
}

static void lie_sp_null(struct victim *v)
{
	poke(&v->context->sp, 0);
}

static void lie_final_type(struct victim *v)
{
	poke(&v->end->stackframe.type, 7);
}

/* Where the stack ends, nothing but the place itself tells this from the truth. */
static void lie_end_ra_other(struct victim *v)
{
	poke(&v->last->lr, other_ra);
}

static void lie_end_ra_data(struct victim *v)
{
	poke(&v->last->lr, (unsigned long)&undo);
}

/* Of what has no rows only entry code may be there. */
static void lie_end_ra_handler(struct victim *v)
{
	poke(&v->last->lr, return_to_handler_addr + 8);
}

/* Where only the idle task of the boot CPU was entered from. */
static void lie_end_ra_init(struct victim *v)
{
	poke(&v->last->lr, init_text_addr + 8);
}

static void lie_entry_ra_other(struct victim *v)
{
	poke(&v->handler->lr, other_ra);
}

static void lie_entry_ra_data(struct victim *v)
{
	poke(&v->handler->lr, (unsigned long)&undo);
}

static void lie_entry_ra_handler(struct victim *v)
{
	poke(&v->handler->lr, return_to_handler_addr + 8);
}

static void lie_regs_sp(struct victim *v)
{
	poke(&v->irq->sp, v->irq->sp + 16);
}

static void lie_regs_fp(struct victim *v)
{
	poke(&v->irq->regs[29], ((struct frame_record *)v->irq->regs[29])->fp);
}

static void lie_regs_user(struct victim *v)
{
	poke(&v->irq->pstate, v->irq->pstate & ~(unsigned long)PSR_MODE_MASK);
}

static void lie_regs_pc_other(struct victim *v)
{
	poke(&v->irq->pc, other_ra);
}

static void lie_regs_pc_null(struct victim *v)
{
	poke(&v->irq->pc, 0);
}

static const struct lie {
	const char *name;
	void (*tell)(struct victim *v);
	bool irq;			/* needs an exception on the stack */
} lies[] = {
	{ "fp", lie_fp },
	{ "fp-skip", lie_fp_skip },
	{ "fp-cycle", lie_fp_cycle },
	{ "fp-data", lie_fp_data },
	{ "ra-null", lie_ra_null },
	{ "ra-odd", lie_ra_odd },
	{ "ra-data", lie_ra_data },
	{ "ra-other", lie_ra_other },
	{ "ra-twin", lie_ra_twin },
	{ "ra-handler", lie_ra_handler },
	{ "ra-slot", lie_ra_slot },
	{ "record-zero", lie_record_zero },
	{ "sp", lie_sp },
	{ "sp-odd", lie_sp_odd },
	{ "sp-null", lie_sp_null },
	{ "final-type", lie_final_type },
	{ "end-ra-other", lie_end_ra_other },
	{ "end-ra-data", lie_end_ra_data },
	{ "end-ra-handler", lie_end_ra_handler },
	{ "end-ra-init", lie_end_ra_init },
	{ "regs-sp", lie_regs_sp, true },
	{ "regs-fp", lie_regs_fp, true },
	{ "regs-user", lie_regs_user, true },
	{ "regs-pc-other", lie_regs_pc_other, true },
	{ "regs-pc-null", lie_regs_pc_null, true },
	{ "entry-ra-other", lie_entry_ra_other, true },
	{ "entry-ra-data", lie_entry_ra_data, true },
	{ "entry-ra-handler", lie_entry_ra_handler, true },
};

/* Find the places, by frame records; nobody has lied yet. */
static int find_victim(struct task_struct *task, struct victim *v)
{
	unsigned long low = (unsigned long)task_stack_page(task);
	unsigned long fp = thread_saved_fp(task);
	struct frame_record *callee = NULL;

	*v = (struct victim){
		.end = task_pt_regs(task),
		.context = &task->thread.cpu_context,
	};
	while (!(fp & 7) && fp - low <= THREAD_SIZE - sizeof(struct frame_record_meta)) {
		struct frame_record_meta *meta = (void *)fp;
		unsigned long lr = ptrauth_strip_kernel_insn_pac(meta->record.lr);

		if (test_orc_in(lr, outer_addr))
			v->record = &meta->record;
		if (meta->record.fp || lr) {
			callee = &meta->record;
			fp = meta->record.fp;
			continue;
		}
		if (meta->type == FRAME_META_TYPE_FINAL) {
			v->last = callee;
			return v->record && v->last ? 0 : -ENOENT;
		}
		if (meta->type != FRAME_META_TYPE_PT_REGS || v->irq || !callee)
			return -ENOENT;
		v->irq = container_of(meta, struct pt_regs, stackframe);
		v->handler = callee;
		callee = NULL;
		fp = v->irq->regs[29];
	}
	return -ENOENT;
}

static int lie_to(struct task_struct *task, void *arg)
{
	const struct lie *lie = arg;
	struct victim v;
	int err = find_victim(task, &v);

	if (err)
		return err;
	if (lie->irq && !v.irq)
		return -ENODATA;
	lie->tell(&v);
	return 0;
}

static int lie_once(struct task_struct *task, void *arg)
{
	static struct test_orc_trace trace;
	int err = lie_to(task, arg);

	if (err)
		return err;
	test_orc_save(task, &trace);
	undo_all();
	return trace.err;
}

static struct task_struct *get_task(pid_t nr)
{
	struct pid *pid = find_get_pid(nr);
	struct task_struct *task = get_pid_task(pid, PIDTYPE_PID);

	put_pid(pid);
	return task;
}

static const struct lie *parse(const char __user *buf, size_t len,
			       struct task_struct **task)
{
	const struct lie *lie = NULL;
	char line[64], name[32];
	unsigned int i;
	pid_t pid;

	if (len >= sizeof(line) || copy_from_user(line, buf, len))
		return NULL;
	line[len] = '\0';
	if (sscanf(line, "%d %31s", &pid, name) != 2)
		return NULL;
	for (i = 0; i < ARRAY_SIZE(lies); i++)
		if (!strcmp(lies[i].name, name))
			lie = &lies[i];
	if (!lie)
		return NULL;
	*task = get_task(pid);
	return *task ? lie : NULL;
}

static void repair(void)
{
	undo_all();
	if (doctored)
		put_task_struct(doctored);
	doctored = NULL;
}

static ssize_t doctor_write(struct file *file, const char __user *buf,
			    size_t len, loff_t *pos)
{
	struct task_struct *task;
	const struct lie *lie = parse(buf, len, &task);
	int err;

	if (!lie)
		return -EINVAL;
	mutex_lock(&lock);
	repair();
	err = test_orc_pin(task, lie_to, (void *)lie);
	if (err)
		put_task_struct(task);
	else
		doctored = task;
	mutex_unlock(&lock);
	return err ?: len;
}

static ssize_t once_write(struct file *file, const char __user *buf,
			  size_t len, loff_t *pos)
{
	struct task_struct *task;
	const struct lie *lie = parse(buf, len, &task);
	int err;

	if (!lie)
		return -EINVAL;
	mutex_lock(&lock);
	repair();
	err = test_orc_pin(task, lie_once, (void *)lie);
	mutex_unlock(&lock);
	put_task_struct(task);
	return err ?: len;
}

static ssize_t repair_write(struct file *file, const char __user *buf,
			    size_t len, loff_t *pos)
{
	guard(mutex)(&lock);
	repair();
	return len;
}

static const struct file_operations doctor_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = doctor_write,
};

static const struct file_operations once_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = once_write,
};

static const struct file_operations repair_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = repair_write,
};

static struct dentry *dir;

/* A probe whose instruction executes in a slot of its own, anywhere. */
static int __init make_slot(void)
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		memset(&slot_probe, 0, sizeof(slot_probe));
		slot_probe.addr = (kprobe_opcode_t *)other + i;
		if (register_kprobe(&slot_probe))
			continue;
		if (slot_probe.ainsn.xol_insn)
			return 0;
		unregister_kprobe(&slot_probe);
	}
	pr_err("no instruction of other() takes a probe with a slot\n");
	return -ENOENT;
}

static int __init corrupt_init(void)
{
	int err;

	outer_addr = test_orc_symbol("chain_outer");
	return_to_handler_addr = test_orc_symbol("return_to_handler");
	init_text_addr = test_orc_symbol("_sinittext");
	if (!outer_addr || !return_to_handler_addr || !init_text_addr) {
		pr_err("test_orc_chain is not loaded, or there is no function graph tracer\n");
		return -ENOENT;
	}
	err = make_slot();
	if (err)
		return err;
	other();

	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("doctor", 0200, dir, NULL, &doctor_fops);
	debugfs_create_file("once", 0200, dir, NULL, &once_fops);
	debugfs_create_file("repair", 0200, dir, NULL, &repair_fops);
	return 0;
}

static void __exit corrupt_exit(void)
{
	debugfs_remove(dir);
	repair();
	unregister_kprobe(&slot_probe);
}

module_init(corrupt_init);
module_exit(corrupt_exit);
MODULE_DESCRIPTION("Stacks that lie, for the tests of the ORC unwinder");
MODULE_LICENSE("GPL");
