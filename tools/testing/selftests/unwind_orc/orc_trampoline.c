// SPDX-License-Identifier: GPL-2.0
/*
 * orc_trampoline KIND fault|nap|spin|run
 *
 * Attaches a BPF program, which does something for this process alone:
 *
 *   fault  sleeps in a page fault until told to go on; see page_fault.h
 *   nap    nothing: it is the function that sleeps, for good. Prints the TID of
 *          the task; detaches the program when a line comes in, and prints
 *          "detached"; ends with its input
 *   spin   is busy with itself for a quarter of a second, over and over
 *   run    nothing, and nor does the system call: over and over
 *
 * KIND says how it is attached:
 *
 *   fentry, fexit, fmod_ret, fsession  to a system call. But for the first, the
 *                    trampoline calls the system call in turn
 *   lsm        to the security hook of flock()
 *   struct_ops it is a function of a kernel's struct that is made for tests
 *   prog       to another program, which does it in its place: fexit
 *   throw      not at all: a program throws an exception, whose callback does it
 *
 * Exit 4: this kernel can't do that.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bpf_insns.h"
#include "page_fault.h"
#include "prog_types.h"
#include "vmlinux_btf.h"

#define KSFT_SKIP	4
#define STACK		16
#define TRACED		"__arm64_sys_nanosleep"
#define HOOK		"bpf_lsm_file_lock"
#define NAP_SECONDS	100000

enum action { FAULT, NOTHING, SPIN };

static const struct kind {
	const char *name;
	enum bpf_prog_type type;
	enum bpf_attach_type attach;
	/* What it is attached to: a function, or a struct and a member of it */
	const char *target;
	const char *member;
} kinds[] = {
	{ "fentry", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, TRACED },
	{ "fexit", BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, TRACED },
	{ "fmod_ret", BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN, TRACED },
	{ "fsession", BPF_PROG_TYPE_TRACING, BPF_TRACE_FSESSION, TRACED },
	{ "lsm", BPF_PROG_TYPE_LSM, BPF_LSM_MAC, HOOK },
	{ "struct_ops", BPF_PROG_TYPE_STRUCT_OPS, 0, "bpf_dummy_ops", "test_sleepable" },
	{ "prog", BPF_PROG_TYPE_SYSCALL },
	{ "throw", BPF_PROG_TYPE_SYSCALL },
};

static const struct kind *kind;
static int prog, attachment;
static const struct timespec moment = { .tv_nsec = 1 };

static void skip(const char *what)
{
	fprintf(stderr, "%s: not in this kernel\n", what);
	exit(KSFT_SKIP);
}

static int btf_id(unsigned int btf_kind, const char *name)
{
	int id = vmlinux_btf_id(btf_kind, name);

	if (!id)
		skip(name);
	return id;
}

/* Goes on for this process, and returns 0 for any other. */
static void emit_is_mine(struct code *code)
{
	emit(code, HELPER(BPF_FUNC_get_current_pid_tgid));
	emit(code, SHIFT_RIGHT(BPF_REG_0, 32));
	emit(code, JUMP_IF(BPF_REG_0, getpid(), 2));
	emit(code, MOV_IMM(BPF_REG_0, 0));
	emit(code, EXIT());
}

/* A function of the kernel's, since not all of these may use the helper. */
static void emit_read_user(struct code *code, void *page)
{
	emit(code, MOV(BPF_REG_1, BPF_REG_10));
	emit(code, ADD_IMM(BPF_REG_1, -STACK));
	emit(code, MOV_IMM(BPF_REG_2, 8));
	emit_load64(code, BPF_REG_3, (unsigned long)page);
	emit(code, MOV_IMM(BPF_REG_4, 0));
	emit(code, KFUNC(btf_id(BTF_KIND_FUNC, "bpf_copy_from_user_str")));
	emit(code, MOV_IMM(BPF_REG_0, 0));
	emit(code, EXIT());
}

static void emit_action(struct code *code, enum action action, void *page)
{
	if (kind->type == BPF_PROG_TYPE_TRACING || kind->type == BPF_PROG_TYPE_LSM)
		emit_is_mine(code);
	switch (action) {
	case FAULT:
		emit_read_user(code, page);
		break;
	case SPIN:
		emit_spin(code, STACK);
		break;
	case NOTHING:
		emit(code, MOV_IMM(BPF_REG_0, 0));
		emit(code, EXIT());
	}
}

static int load(union bpf_attr *attr, const struct code *code, const char *name)
{
	static char log[65536];
	int fd;

	attr->insns = (unsigned long)code->insns;
	attr->insn_cnt = code->len;
	attr->license = (unsigned long)"GPL";
	attr->log_level = 1;
	attr->log_buf = (unsigned long)log;
	attr->log_size = sizeof(log);
	snprintf(attr->prog_name, sizeof(attr->prog_name), "orc_%s", name);
	fd = bpf(BPF_PROG_LOAD, attr);
	if (fd < 0) {
		fputs(log, stderr);
		die(name);
	}
	return fd;
}

static int attach(int program)
{
	union bpf_attr attr = { .raw_tracepoint.prog_fd = program };
	int fd = bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);

	if (fd < 0)
		die("BPF_RAW_TRACEPOINT_OPEN");
	return fd;
}

static void load_attached(enum action action, void *page)
{
	union bpf_attr attr = {
		.prog_type = kind->type,
		.expected_attach_type = kind->attach,
		.prog_flags = BPF_F_SLEEPABLE,
	};
	struct code code = {};

	emit_action(&code, action, page);
	attr.attach_btf_id = btf_id(kind->member ? BTF_KIND_STRUCT : BTF_KIND_FUNC,
				    kind->target);
	if (kind->member)
		attr.expected_attach_type = vmlinux_btf_member(attr.attach_btf_id,
							       kind->member);
	prog = load(&attr, &code, kind->name);
	if (!kind->member)
		attachment = attach(prog);
}

/* The code as a function, or two, of a program with types. */
static void load_with_types(const struct code *code, unsigned int callback, bool throws)
{
	const struct bpf_func_info functions[] = {
		{ .type_id = TRACED_TYPE_ID },
		{ .type_id = CALLBACK_TYPE_ID, .insn_off = callback },
	};
	union bpf_attr attr = {
		.prog_type = kind->type,
		.prog_flags = BPF_F_SLEEPABLE,
		.prog_btf_fd = load_prog_types(throws),
		.func_info_rec_size = sizeof(functions[0]),
		.func_info = (unsigned long)functions,
		.func_info_cnt = throws ? 2 : 1,
	};

	prog = load(&attr, code, kind->name);
}

/* Traced by another one, which does nothing after it. */
static void load_traced(enum action action, void *page)
{
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_TRACING,
		.expected_attach_type = BPF_TRACE_FEXIT,
		.attach_btf_id = TRACED_TYPE_ID,
	};
	struct code code = {}, tracer = {};

	emit_action(&code, action, page);
	load_with_types(&code, 0, false);
	attr.attach_prog_fd = prog;
	emit(&tracer, MOV_IMM(BPF_REG_0, 0));
	emit(&tracer, EXIT());
	attachment = attach(load(&attr, &tracer, "tracer"));
}

/* Throws an exception, and has a callback for it. */
static void load_throwing(enum action action, void *page)
{
	struct code code = {};
	unsigned int callback;

	emit(&code, MOV_IMM(BPF_REG_1, 0));
	emit(&code, KFUNC(btf_id(BTF_KIND_FUNC, "bpf_throw")));
	emit(&code, EXIT());
	callback = code.len;
	emit_action(&code, action, page);
	load_with_types(&code, callback, true);
}

static void load_kind(enum action action, void *page)
{
	if (kind->type != BPF_PROG_TYPE_SYSCALL)
		load_attached(action, page);
	else if (!strcmp(kind->name, "throw"))
		load_throwing(action, page);
	else
		load_traced(action, page);
}

static long test_run(void)
{
	__u64 args[1] = {};
	int state = 0;
	union bpf_attr attr = { .test.prog_fd = prog };

	if (kind->member) {
		args[0] = (unsigned long)&state;
		attr.test.ctx_in = (unsigned long)args;
		attr.test.ctx_size_in = sizeof(args);
	}
	return bpf(BPF_PROG_TEST_RUN, &attr) ? -errno : 0;
}

/* Makes the kernel call what the program is attached to. */
static long call(const struct timespec *time)
{
	int fd;

	switch (kind->type) {
	case BPF_PROG_TYPE_TRACING:
		return syscall(SYS_nanosleep, time, NULL);
	case BPF_PROG_TYPE_LSM:
		fd = open("/proc/self/exe", O_RDONLY);
		if (fd < 0 || flock(fd, LOCK_SH))
			return -errno;
		close(fd);
		return 0;
	default:
		return test_run();
	}
}

static long fault(void *page)
{
	load_kind(FAULT, page);
	return call(&moment);
}

static int spin(void)
{
	long ret;

	load_kind(SPIN, NULL);
	do
		ret = call(&moment);
	while (!ret);
	fprintf(stderr, "the call returned %ld\n", ret);
	return 1;
}

/* It has no time that is valid to sleep for. */
static int run(void)
{
	const struct timespec never = { .tv_nsec = -1 };

	load_kind(NOTHING, NULL);
	printf("%d\n", getpid());
	fflush(stdout);
	while (call(&never) && errno == EINVAL)
		;
	perror("the call");
	return 1;
}

static void *napper(void *tid)
{
	const struct timespec time = { .tv_sec = NAP_SECONDS };

	__atomic_store_n((pid_t *)tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	call(&time);
	return NULL;
}

static int nap(void)
{
	pthread_t thread;
	pid_t tid = 0;
	char c;

	load_kind(NOTHING, NULL);
	if (pthread_create(&thread, NULL, napper, &tid))
		die("pthread_create");
	while (!__atomic_load_n(&tid, __ATOMIC_SEQ_CST))
		usleep(1000);
	printf("%d\n", tid);
	fflush(stdout);
	if (read(STDIN_FILENO, &c, 1) != 1)
		return 0;
	close(attachment);
	printf("detached\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) == 1)
		;
	return 0;
}

int main(int argc, char **argv)
{
	for (unsigned int i = 0; argc == 3 && i < ARRAY_SIZE(kinds); i++) {
		kind = &kinds[i];
		if (strcmp(kind->name, argv[1]))
			continue;
		if (!strcmp(argv[2], "fault"))
			return sleep_in_page_fault(fault);
		if (!strcmp(argv[2], "nap"))
			return nap();
		if (!strcmp(argv[2], "spin"))
			return spin();
		if (!strcmp(argv[2], "run"))
			return run();
	}
	fprintf(stderr, "usage: orc_trampoline KIND fault|nap|spin|run\n");
	return 1;
}
