# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The tests that run in the guest, counted into the results. Sourced after
# stage.sh and results.sh.

# The livepatch selftests alone take 222 s on two CPUs.
GUEST_SECONDS=${GUEST_SECONDS:-3000}

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

# TEST_SECONDS is the time that each of our selftests may take, if not what its
# settings say. SECTIONS are of scripts/guest/test-job, some of them directories of selftests.
guest_tests() { # NAME SECTIONS
	local log=$LOG_DIR/$1-guest.log rc=0 targets='' section
	stage_new "$1"
	stage_modules "$STAGE"
	for section in $2; do
		[ "$section" != trampolines ] || section=unwind_orc
		[ ! -d "$KERNEL_SRC/tools/testing/selftests/$section" ] || targets+="${targets:+ }$section"
	done
	stage_selftests "$STAGE" "$targets"
	stage_job "$STAGE" "$TOP/scripts/guest/test-job"
	echo "$2" >"$STAGE/orc/sections"
	[ -z "${TEST_SECONDS:-}" ] || echo "$TEST_SECONDS" >"$STAGE/orc/timeout"
	STEP_MAY_FAIL=1 STEP_WATCH=$log step "guest tests: $2" "$1-boot" \
		bash "$TOP/scripts/guest.sh" "$IMAGE" "$1-guest" "$STAGE" "$GUEST_SECONDS" || rc=$?
	awk -f "$TOP/scripts/ktap.awk" "$log" | unexpected_skips | results_add
	if ((rc)); then
		result fail "guest" "$(tail -n 1 "$LOG_DIR/$1-boot.log")"
	else
		result pass "guest: the kernel made no complaint"
	fi
	sed -n '/^ORC-SECTION-END/,/^ORC-GUEST-EXIT/{/^ORC/!p}' "$log"
}
