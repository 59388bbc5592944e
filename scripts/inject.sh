#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Fault injection: the selftest test-inject.sh with many changes, in a guest of one
# CPU (the changes hold all others), and its counts as a table. INJECT_CHANGES says
# how many changes, INJECT_SEED which.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/kernel-make.sh"
. "$TOP/scripts/stage.sh"

changes=${INJECT_CHANGES:-1000000}
log=$LOG_DIR/inject-guest.log
rc=0

bash "$TOP/scripts/setup.sh"
bash "$TOP/scripts/kernel.sh"
kernel_make_args
stage_new inject
stage_modules "$STAGE"
stage_selftests "$STAGE" unwind_orc
stage_job "$STAGE" "$TOP/scripts/guest/inject-job"
echo "INJECT_CHANGES=$changes INJECT_SEED=${INJECT_SEED:-0}" >"$STAGE/orc/inject"
# About 2,000 changes a second on a busy machine, and the phases.
STEP_MAY_FAIL=1 STEP_WATCH=$log step "inject: $changes changes in the guest" inject-boot \
	env GUEST_CPUS=1 bash "$TOP/scripts/guest.sh" "$IMAGE" inject-guest "$STAGE" \
	$((900 + changes / 200)) || rc=$?
grep -aE '^(ok|not ok|#) ' "$log" || true
python3 "$TOP/scripts/inject-table.py" ${INJECT_FORMAT:+"--$INJECT_FORMAT"} "$log"
((rc == 0)) || die "the guest: $(tail -n 1 "$LOG_DIR/inject-boot.log")"
