#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Every test: on this machine with Cargo, in the guest with KUnit and
# kselftest. The last line counts them all.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/kernel-make.sh"
. "$TOP/scripts/results.sh"
. "$TOP/scripts/host-tests.sh"
. "$TOP/scripts/stage.sh"
. "$TOP/scripts/guest-tests.sh"
. "$TOP/scripts/damaged-tables.sh"
. "$TOP/scripts/fuzz-targets.sh"

bash "$TOP/scripts/setup.sh"
results_begin
cargo_tests orc "$TOP/rust/orc"
cargo_tests orctool "$TOP/tools/orc"
cargo_tests klp-why "$TOP/tools/livepatch/klp-why"
fuzz_sample
bash "$TOP/scripts/kernel.sh"
kernel_make_args
cargo_kernel_tests "$KERNEL_OUT/vmlinux.unstripped"
guest_tests test "kunit livepatch unwind_orc"
damaged_table_tests
results_close
