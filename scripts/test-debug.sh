#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Our tests in a kernel that is instrumented: KASAN, KCOV, UBSAN, lockdep, kCFI. It
# keeps return addresses on a shadow stack where the machine has no pointer
# authentication, and is booted on such a one, so that this is patched in.

export KERNEL_VARIANT=-debug
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/kernel-make.sh"
. "$TOP/scripts/results.sh"
. "$TOP/scripts/stage.sh"
. "$TOP/scripts/guest-tests.sh"

[ "$COMPILER" = clang ] || die "this kernel is built by clang alone: not with CROSS_COMPILE="
export KERNEL_FRAGMENT=$TOP/scripts/kernel-debug.config
bash "$TOP/scripts/setup.sh"
results_begin
bash "$TOP/scripts/kernel.sh"
kernel_make_args
export GUEST_CPU=max,pauth=off GUEST_MEMORY=4G
GUEST_SECONDS=7200 TEST_SECONDS=3000 guest_tests test-debug "shadow_stack kunit unwind_orc"
results_close
