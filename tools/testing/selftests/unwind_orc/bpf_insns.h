/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_INSNS_H
#define BPF_INSNS_H

/* BPF programs, written down instruction by instruction. */

#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_INSNS	64
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define INSN(c, d, s, o, i)						\
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s),	\
			    .off = (o), .imm = (i) })
#define MOV(d, s)	INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOV_IMM(d, i)	INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD_IMM(d, i)	INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define LOAD(d, s, o)	INSN(BPF_LDX | BPF_MEM | BPF_DW, d, s, o, 0)
#define STORE(d, s, o)	INSN(BPF_STX | BPF_MEM | BPF_DW, d, s, o, 0)
#define STORE_IMM(d, i, o) INSN(BPF_ST | BPF_MEM | BPF_DW, d, 0, o, i)
#define JUMP(o)		INSN(BPF_JMP | BPF_JA, 0, 0, o, 0)
#define MAY_JUMP(o)	INSN(BPF_JMP | BPF_JCOND, 0, BPF_MAY_GOTO, o, 0)
#define JUMP_IF_NOT_0(d, o) INSN(BPF_JMP | BPF_JNE | BPF_K, d, 0, o, 0)
#define HELPER(id)	INSN(BPF_JMP | BPF_CALL, 0, 0, 0, id)
#define CALL(o)		INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, o)
#define EXIT()		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define KFUNC(id)	INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, id)
#define SHIFT_RIGHT(d, i) INSN(BPF_ALU64 | BPF_RSH | BPF_K, d, 0, 0, i)
#define JUMP_IF(d, i, o) INSN(BPF_JMP | BPF_JEQ | BPF_K, d, 0, o, i)

struct code {
	struct bpf_insn insns[MAX_INSNS];
	unsigned int len;
};

static inline int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline void emit(struct code *code, struct bpf_insn insn)
{
	if (code->len == MAX_INSNS)
		abort();
	code->insns[code->len++] = insn;
}

static inline void emit_load64(struct code *code, int reg, __u64 value)
{
	emit(code, INSN(BPF_LD | BPF_IMM | BPF_DW, reg, 0, 0, (__u32)value));
	emit(code, INSN(0, 0, 0, 0, (__u32)(value >> 32)));
}

/* Until the kernel says that it took too long. */
static inline void emit_spin(struct code *code, int stack)
{
	emit(code, MAY_JUMP(2));
	emit(code, STORE_IMM(BPF_REG_10, 0, -stack));
	emit(code, JUMP(-3));
	emit(code, MOV_IMM(BPF_REG_0, 0));
	emit(code, EXIT());
}

#endif /* BPF_INSNS_H */
