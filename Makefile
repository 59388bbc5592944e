# SPDX-License-Identifier: GPL-2.0
#
# Entry points for people and CI. The work is in scripts/.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Options, as described by "make help".
export KERNEL LLVM CROSS_COMPILE JOBS VMLINUX COMPILERS TABLES ORACLE_MINUTES FUZZ_SECONDS FUZZ_TARGETS INJECT_CHANGES INJECT_SEED

# One at a time: every target has a lock and a parallel build of its own.
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

.PHONY: help
help:
	@scripts/help.sh

.PHONY: doctor setup run test test-debug test-trampolines bench inject kernel install-tree series check clean check-compilers check-distro check-sancov oracle fuzz
doctor setup run test test-debug test-trampolines bench inject install-tree series check clean check-compilers check-distro check-sancov fuzz:
	@scripts/$@.sh

kernel: setup
	@scripts/kernel.sh

oracle: kernel
	@scripts/oracle.sh
