/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the test modules of the ORC unwinder share; test_orc_lib.c is behind it.
 */
#ifndef TEST_ORC_H
#define TEST_ORC_H

#include <linux/sched.h>
#include <linux/types.h>

#define TEST_ORC_ENTRIES	96

/**
 * struct test_orc_trace - a stack trace and what the walker said about it
 * @err:	0 for reliable, else the errno the walker returned
 * @nr:		number of valid entries in @pcs
 * @pcs:	innermost first
 */
struct test_orc_trace {
	int err;
	unsigned int nr;
	unsigned long pcs[TEST_ORC_ENTRIES];
};

/* Address of a kernel symbol, exported or not; 0 if there is none. */
unsigned long test_orc_symbol(const char *name);

/* Start and size of the function around @pc; false outside known text. */
bool test_orc_function(unsigned long pc, unsigned long *start, unsigned long *size);

/* Is @pc in the function that begins at @function? */
bool test_orc_in(unsigned long pc, unsigned long function);

/* Does a call instruction end at @pc, as at each return address it must? */
bool test_orc_after_call(unsigned long pc);

/*
 * Walk @task with the kernel's reliable walker, whichever it is. The caller
 * sees to it that @task is current, or off the CPU and stays there.
 */
void test_orc_save(struct task_struct *task, struct test_orc_trace *trace);

/*
 * The same through task_call_func() and task_curr(), as livepatch does it;
 * @trace->err is -EBUSY for a task that runs on a CPU.
 */
void test_orc_save_pinned(struct task_struct *task, struct test_orc_trace *trace);

/* put_task_stack(), after try_get_task_stack(). */
void test_orc_put_stack(struct task_struct *task);

/* Is @task on a CPU, or was so just now? */
bool test_orc_runs(const struct task_struct *task);

/* @fn on @task in a fixed state; -EBUSY without a call if it is on a CPU. */
int test_orc_pin(struct task_struct *task,
		 int (*fn)(struct task_struct *task, void *arg), void *arg);

/*
 * Walk @task by frame records alone, by the rules of arch_stack_walk_reliable()
 * of 7.3 without the ORC walker. @task must not be current.
 */
void test_orc_save_stock(struct task_struct *task, struct test_orc_trace *trace);

/*
 * The same, but through exception boundaries: what the ordinary walker, of
 * which nobody asks that it be right, would print.
 */
void test_orc_save_ordinary(struct task_struct *task, struct test_orc_trace *trace);

#endif /* TEST_ORC_H */
