#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Instructions for each frame of a reliable walk, the stock walker's and ours,
# on the same stack in one guest. The guest's clock counts instructions (-icount
# shift=0): one nanosecond is one.

. "$(dirname "$0")/../lib.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/kernel-make.sh"
. "$TOP/scripts/stage.sh"

log=$LOG_DIR/bench-walk.log
kernel_make_args
stage_new bench
stage_modules "$STAGE"
stage_selftests "$STAGE" unwind_orc
stage_job "$STAGE" "$TOP/scripts/guest/bench-job"
GUEST_CPUS=1 GUEST_ICOUNT=1 STEP_WATCH=$log step "bench: walks in the guest" bench-boot \
	bash "$TOP/scripts/guest.sh" "$IMAGE" bench-walk "$STAGE" 600

awk '
/^bench/ { frames[$2] = $3; cost[$2] = $5 }
END {
	if (!cost["stock"] || !cost["orc"]) { print "bench: no figures; see the log"; exit 1 }
	printf "a reliable walk of a blocked task: stock %d instructions a frame (%d frames), ORC %d (%d frames), ratio %.1f\n",
		cost["stock"] / frames["stock"], frames["stock"], cost["orc"] / frames["orc"], frames["orc"],
		(cost["orc"] / frames["orc"]) / (cost["stock"] / frames["stock"])
}' "$log"
