/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the edge share. The interface to everybody else is
 * <asm/unwind_orc.h>.
 */
#ifndef __UNWIND_ORC_EDGE_H
#define __UNWIND_ORC_EDGE_H

#include <linux/mutex.h>

#include <asm/unwind_orc.h>

/* walk.c */
extern struct mutex unwind_orc_lock;
const struct unwind_orc_ops *unwind_orc_current_ops(void);

/* vmlinux.lds; what is between the latter two is from orctool */
extern const char __start_notes[], __stop_notes[];
extern const char __start_orc_unwind[], __stop_orc_unwind[];

/* entry-ftrace.S */
extern const char ftrace_caller_return[], return_to_handler_end[];

/* tables.c */
bool unwind_orc_accept(const struct unwind_orc_ops *ops, const char *name,
		       const struct unwind_orc_region *region);
int unwind_orc_accept_all(const struct unwind_orc_ops *ops);

/* pac.c */
unsigned long unwind_orc_sign_as(const struct task_struct *task,
				 unsigned long address, unsigned long modifier);

/* task.c */
void unwind_orc_start_task(struct unwind_orc_start *start,
			   struct task_struct *task);
void unwind_orc_end_task(const struct unwind_orc_start *start,
			 struct task_struct *task);

/* modules.c */
#ifdef CONFIG_MODULES
void unwind_orc_accept_modules(const struct unwind_orc_ops *ops);
bool unwind_orc_tables_missing(void);
enum unwind_orc_lookup
unwind_orc_find_module(unsigned long pc,
		       const struct unwind_orc_region **region);
#else
static inline void unwind_orc_accept_modules(const struct unwind_orc_ops *ops)
{
}

static inline bool unwind_orc_tables_missing(void)
{
	return false;
}

static inline enum unwind_orc_lookup
unwind_orc_find_module(unsigned long pc,
		       const struct unwind_orc_region **region)
{
	return UNWIND_ORC_NOT_TEXT;
}
#endif /* CONFIG_MODULES */

/* bpf.c */
#ifdef CONFIG_BPF_JIT
enum unwind_orc_lookup unwind_orc_find_bpf(unsigned long pc, u32 *frame_size);
bool unwind_orc_bpf_instruction(unsigned long pc, u32 *instruction);
#else
static inline bool unwind_orc_bpf_instruction(unsigned long pc, u32 *instruction)
{
	return false;
}

static inline enum unwind_orc_lookup
unwind_orc_find_bpf(unsigned long pc, u32 *frame_size)
{
	return UNWIND_ORC_NOT_TEXT;
}
#endif /* CONFIG_BPF_JIT */

#endif /* __UNWIND_ORC_EDGE_H */
