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
. "$TOP/scripts/damaged-tables.sh"

# The livepatch selftests alone take 222 s on two CPUs.
GUEST_SECONDS=${GUEST_SECONDS:-2400}

# The kernel's livepatch tests skip themselves when something that they need is
# missing; in our guest nothing is, but what arm64 does not have.
unexpected_skips() {
	awk -F'\t' -v OFS='\t' '
		$1 == "skip" && $2 ~ /^livepatch: / && $2 != "livepatch: test-kprobe.sh" {
			$1 = "fail"
			$3 = "skipped, which it must not be here: " $3
		}
		{ print }'
}

guest_tests() {
	local log=$LOG_DIR/test-guest.log rc=0
	stage_new test
	stage_modules "$STAGE"
	stage_selftests "$STAGE" "livepatch unwind_orc"
	stage_job "$STAGE" "$TOP/scripts/guest/test-job"
	STEP_MAY_FAIL=1 STEP_WATCH=$log step "guest tests: KUnit, livepatch, unwind_orc" test-boot \
		bash "$TOP/scripts/guest.sh" "$IMAGE" test-guest "$STAGE" "$GUEST_SECONDS" || rc=$?
	awk -f "$TOP/scripts/ktap.awk" "$log" | unexpected_skips | results_add
	if ((rc)); then
		result fail "guest" "$(tail -n 1 "$LOG_DIR/test-boot.log")"
	else
		result pass "guest: the kernel made no complaint"
	fi
	sed -n '/^ORC-SECTION-END/,/^ORC-GUEST-EXIT/{/^ORC/!p}' "$log"
}

bash "$TOP/scripts/setup.sh"
results_begin
cargo_tests orc "$TOP/rust/orc"
cargo_tests orctool "$TOP/tools/orc"
bash "$TOP/scripts/kernel.sh"
kernel_make_args
cargo_kernel_tests "$KERNEL_OUT/vmlinux.unstripped"
guest_tests
damaged_table_tests
results_close
