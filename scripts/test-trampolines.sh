#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests of BPF trampolines, in a kernel that has its types in it: what programs are
# attached to functions with.

export KERNEL_VARIANT=-trampolines
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/kernel-make.sh"
. "$TOP/scripts/results.sh"
. "$TOP/scripts/stage.sh"
. "$TOP/scripts/guest-tests.sh"

[ "$COMPILER" = clang ] || die "this kernel is built by clang alone: not with CROSS_COMPILE="
export KERNEL_FRAGMENT=$TOP/scripts/kernel-trampolines.config
bash "$TOP/scripts/setup.sh"
PAHOLE=$(bash "$TOP/scripts/pahole.sh")
export PAHOLE
results_begin
bash "$TOP/scripts/kernel.sh"
kernel_make_args
guest_tests test-trampolines "${SECTIONS:-kunit trampolines}"
results_close
