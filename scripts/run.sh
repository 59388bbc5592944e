#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The demonstration: builds what is missing, boots the guest and runs
# samples/unwind_orc/demo.sh in it, whose output appears as it comes.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/kernel-make.sh"
. "$TOP/scripts/stage.sh"

bash "$TOP/scripts/setup.sh"
bash "$TOP/scripts/kernel.sh"
kernel_make_args
stage_new run
stage_modules "$STAGE"
stage_job "$STAGE" "$TOP/samples/unwind_orc/demo.sh"

out=$LOG_DIR/run-guest.log
mkdir -p "$LOG_DIR"
: >"$out"
say "guest: booting; the demonstration takes about two minutes"
echo
# Ends with this script; the guest's exit line is ours, not the reader's.
tail -n +1 -f --pid=$$ "$out" | sed -u -e 's/\r$//' -e '/^ORC-GUEST-EXIT/d' &
rc=0
bash "$TOP/scripts/guest.sh" "$KERNEL_OUT/arch/arm64/boot/Image" run-guest "$STAGE" \
	"${GUEST_SECONDS:-600}" >"$LOG_DIR/run-boot.log" 2>&1 || rc=$?
# tail looks once a second.
sleep 1.5
if ((rc)); then
	cat "$LOG_DIR/run-boot.log" >&2
	echo "error: the demonstration failed; its output is in $out, the kernel's in $LOG_DIR/run-guest.console.log" >&2
	exit 1
fi
echo
say "done; the kernel's own messages are in $LOG_DIR/run-guest.console.log"
