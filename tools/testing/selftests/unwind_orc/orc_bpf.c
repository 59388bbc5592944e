// SPDX-License-Identifier: GPL-2.0
/*
 * orc_bpf KIND fault|wait|spin
 *
 * Runs a BPF program that
 *
 *   fault  sleeps in a page fault below bpf_copy_from_user() until told to go
 *          on; see page_fault.h
 *   wait   waits for RCU a few times, as an update of a map of maps does:
 *          without an exception in between
 *   spin   is busy with itself for a quarter of a second
 *
 * The latter two begin again until they are killed, at times in programs that
 * are loaded anew, so that programs come and go.
 *
 * KIND says what is between the system call and the code that does this:
 *
 *   main     nothing: that is the program
 *   deep     the same, with all the stack and callee-saved registers there are
 *   subprog  the program, which calls a function of its own
 *   tail     the program, which goes to another by a tail call; that one has a
 *            tail call, too, and so no frame of fixed size
 *
 * Exit 4: this kernel has no userfaultfd.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf_insns.h"
#include "page_fault.h"

/* Runs of a program before it is loaded anew: loading takes its time, too. */
#define RUNS		10
/* In one run: more than a few take long on a busy machine. */
#define WAITS		20

/* Bytes of stack: what all do with, and the most, with 16 for the time. */
#define STACK		48
#define DEEP_STACK	(512 - 16)

/* Emits what a program ends in, with its context in r1. */
typedef void (*action_fn)(struct code *code, int stack);

/* What the program is given: a map of maps and one to put into it. */
static struct context {
	__u64 user_ptr;
	__u64 outer;
	__u64 inner;
} context;

static int prog;

static void emit_fault(struct code *code, int stack)
{
	emit(code, LOAD(BPF_REG_3, BPF_REG_1, offsetof(struct context, user_ptr)));
	emit(code, MOV(BPF_REG_1, BPF_REG_10));
	emit(code, ADD_IMM(BPF_REG_1, -stack));
	emit(code, MOV_IMM(BPF_REG_2, 8));
	emit(code, HELPER(BPF_FUNC_copy_from_user));
	emit(code, EXIT());
}

/* Key, value, and attr.{map_fd,key,value,flags} at the low end of the stack. */
static void emit_wait(struct code *code, int stack)
{
	unsigned int loop;

	emit(code, LOAD(BPF_REG_6, BPF_REG_1, offsetof(struct context, outer)));
	emit(code, LOAD(BPF_REG_7, BPF_REG_1, offsetof(struct context, inner)));
	emit(code, MOV_IMM(BPF_REG_8, WAITS));
	loop = code->len;
	emit(code, STORE_IMM(BPF_REG_10, 0, -stack));
	emit(code, STORE(BPF_REG_10, BPF_REG_7, -stack + 8));
	emit(code, STORE(BPF_REG_10, BPF_REG_6, -stack + 16));
	emit(code, MOV(BPF_REG_2, BPF_REG_10));
	emit(code, ADD_IMM(BPF_REG_2, -stack));
	emit(code, STORE(BPF_REG_10, BPF_REG_2, -stack + 24));
	emit(code, ADD_IMM(BPF_REG_2, 8));
	emit(code, STORE(BPF_REG_10, BPF_REG_2, -stack + 32));
	emit(code, STORE_IMM(BPF_REG_10, 0, -stack + 40));
	emit(code, ADD_IMM(BPF_REG_2, 8));
	emit(code, MOV_IMM(BPF_REG_1, BPF_MAP_UPDATE_ELEM));
	emit(code, MOV_IMM(BPF_REG_3, 32));
	emit(code, HELPER(BPF_FUNC_sys_bpf));
	emit(code, JUMP_IF_NOT_0(BPF_REG_0, 2));
	emit(code, ADD_IMM(BPF_REG_8, -1));
	emit(code, JUMP_IF_NOT_0(BPF_REG_8, (int)loop - (int)code->len - 1));
	emit(code, EXIT());
}

/* Leaves r1, the context, as it was. */
static void emit_tail_call(struct code *code, int map, int index)
{
	emit(code, MOV(BPF_REG_6, BPF_REG_1));
	emit(code, INSN(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_2, BPF_PSEUDO_MAP_FD, 0, map));
	emit(code, INSN(0, 0, 0, 0, 0));
	emit(code, MOV_IMM(BPF_REG_3, index));
	emit(code, HELPER(BPF_FUNC_tail_call));
	emit(code, MOV(BPF_REG_1, BPF_REG_6));
}

static int load(const struct code *code, const char *name)
{
	static char log[65536];
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SYSCALL,
		.prog_flags = BPF_F_SLEEPABLE,
		.insns = (unsigned long)code->insns,
		.insn_cnt = code->len,
		.license = (unsigned long)"GPL",
		.log_level = 1,
		.log_buf = (unsigned long)log,
		.log_size = sizeof(log),
	};
	int fd;

	snprintf(attr.prog_name, sizeof(attr.prog_name), "orc_%s", name);
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0) {
		fputs(log, stderr);
		die(name);
	}
	return fd;
}

static int create_map(enum bpf_map_type type, int inner)
{
	union bpf_attr attr = {
		.map_type = type,
		.key_size = 4,
		.value_size = 4,
		.max_entries = 2,
		.inner_map_fd = inner,
	};
	int fd = bpf(BPF_MAP_CREATE, &attr);

	if (fd < 0)
		die("BPF_MAP_CREATE");
	return fd;
}

/* Slot 0 for the program to go to; slot 1 stays empty. */
static void set_target(int map, int target)
{
	__u32 key = 0;
	union bpf_attr attr = {
		.map_fd = map,
		.key = (unsigned long)&key,
		.value = (unsigned long)&target,
	};

	if (bpf(BPF_MAP_UPDATE_ELEM, &attr))
		die("BPF_MAP_UPDATE_ELEM");
}

static int load_main(action_fn emit_action)
{
	struct code code = {};

	emit_action(&code, STACK);
	return load(&code, "main");
}

static int load_deep(action_fn emit_action)
{
	struct code code = {};

	for (int reg = BPF_REG_6; reg <= BPF_REG_9; reg++)
		emit(&code, MOV_IMM(reg, 0));
	emit_action(&code, DEEP_STACK);
	return load(&code, "deep");
}

static int load_subprog(action_fn emit_action)
{
	struct code code = {};

	emit(&code, CALL(1));
	emit(&code, EXIT());
	emit_action(&code, STACK);
	return load(&code, "subprog");
}

static int load_tail(action_fn emit_action)
{
	struct code code = {}, target = {};
	int map = create_map(BPF_MAP_TYPE_PROG_ARRAY, 0);

	emit_tail_call(&target, map, 1);
	emit_action(&target, STACK);
	set_target(map, load(&target, "target"));

	emit_tail_call(&code, map, 0);
	/* Not reached */
	emit(&code, MOV_IMM(BPF_REG_0, 1));
	emit(&code, EXIT());
	return load(&code, "tail");
}

/* Return: what the program returned, 0 unless something went wrong. */
static long run(void *page)
{
	union bpf_attr attr = {
		.test.prog_fd = prog,
		.test.ctx_in = (unsigned long)&context,
		.test.ctx_size_in = sizeof(context),
	};

	context.user_ptr = (unsigned long)page;
	if (bpf(BPF_PROG_TEST_RUN, &attr))
		return -errno;
	return (int)attr.test.retval;
}

static int run_over_and_over(int (*load_kind)(action_fn), action_fn emit_action)
{
	long ret = 0;

	while (!ret) {
		context.inner = create_map(BPF_MAP_TYPE_ARRAY, 0);
		context.outer = create_map(BPF_MAP_TYPE_ARRAY_OF_MAPS, context.inner);
		prog = load_kind(emit_action);
		for (int i = 0; i < RUNS && !ret; i++)
			ret = run(NULL);
		/* All programs and maps. */
		syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0);
	}
	fprintf(stderr, "the program returned %ld\n", ret);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct kind {
		const char *name;
		int (*load)(action_fn emit_action);
	} kinds[] = {
		{ "main", load_main },
		{ "deep", load_deep },
		{ "subprog", load_subprog },
		{ "tail", load_tail },
	};

	for (unsigned int i = 0; argc == 3 && i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].name, argv[1]))
			continue;
		if (!strcmp(argv[2], "wait"))
			return run_over_and_over(kinds[i].load, emit_wait);
		if (!strcmp(argv[2], "spin"))
			return run_over_and_over(kinds[i].load, emit_spin);
		prog = kinds[i].load(emit_fault);
		return sleep_in_page_fault(run);
	}
	fprintf(stderr, "usage: orc_bpf KIND fault|wait|spin\n");
	return 1;
}
