#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# guest.sh IMAGE NAME DIRECTORY SECONDS
#
# Boots the kernel IMAGE under QEMU (GUEST_CPU, GUEST_CPUS, GUEST_MEMORY name another
# machine than the usual one) with DIRECTORY laid over the guest's root
# file system and runs its /orc/job. Leaves build/log/NAME.console.log (kernel)
# and build/log/NAME.log (the job). Exit status: the job's; 124 when the guest
# had to be killed after SECONDS, 125 when it ended without finishing the job,
# 126 when the kernel complained (oops, BUG, warning, lockup).

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/debian.sh"
. "$TOP/scripts/guest-paths.sh"

(($# == 4)) || die "usage: guest.sh IMAGE NAME DIRECTORY SECONDS"
image=$1 name=$2 overlay=$3 seconds=$4
console=$LOG_DIR/$name.console.log
out=$LOG_DIR/$name.log
initrd=$BUILD/guest/$name.cpio

# What a healthy kernel does not say.
COMPLAINTS='Kernel panic|Internal error: |Unable to handle kernel|BUG: |kernel BUG at|WARNING: |rcu: INFO: .*stall|blocked for more than|soft lockup|hard LOCKUP|list_add corruption|refcount_t: |Bad mode in|scheduling while atomic|sleeping function called|KASAN: |UBSAN: |possible .*deadlock|suspicious RCU usage'

pack() {
	mkdir -p "$BUILD/guest" "$LOG_DIR"
	# The kernel unpacks one archive after the other; the later wins.
	cp --reflink=auto "$ROOTFS_IMAGE" "$initrd"
	(cd "$overlay" && find . -mindepth 1 -print0 | sort -z |
		cpio --null --quiet -o -H newc --owner 0:0) >>"$initrd"
	(cd "$TOP/scripts/guest" && echo init | cpio --quiet -o -H newc --owner 0:0) >>"$initrd"
}

# GUEST_ICOUNT=1: the clock counts instructions, and each boot is like the last.
# GUEST_SEED=N: the same random numbers from QEMU, the kernel's place (KASLR) too.
accelerator() {
	if [ -n "${GUEST_ICOUNT:-}" ]; then
		echo "-accel tcg,thread=single -icount shift=0,sleep=off -rtc base=2026-01-01,clock=vm -seed ${GUEST_SEED:-1}"
	else
		echo "-accel tcg,thread=multi ${GUEST_SEED:+-seed $GUEST_SEED}"
	fi
}

boot() {
	: >"$console"
	: >"$out"
	# shellcheck disable=SC2046 # options, to be split
	timeout --foreground --kill-after=10 "$seconds" \
		qemu-system-aarch64 -M virt,gic-version=3 -cpu "${GUEST_CPU:-max}" $(accelerator) \
		-smp "${GUEST_CPUS:-2}" -m "${GUEST_MEMORY:-2G}" -nic none -display none -no-reboot \
		-monitor none -serial "file:$console" \
		-device virtio-serial-pci -chardev "file,id=job,path=$out" -device virtconsole,chardev=job \
		-kernel "$image" -initrd "$initrd" \
		-append "console=ttyAMA0 panic=-1 oops=panic rdinit=/init ${GUEST_APPEND:-}" </dev/null
}

complaint() {
	grep -m1 -E "$COMPLAINTS" "$console" | tr -d '\r'
}

verdict() { # QEMU's status -> ours, with a line that says why
	local line
	if line=$(complaint) && [ -n "$line" ]; then
		echo "guest: the kernel complained: $line (see $console)"
		return 126
	elif (($1 == 124 || $1 == 137)); then
		echo "guest: killed after $seconds s (see $console and $out)"
		return 124
	elif ! line=$(grep -a -m1 -oE 'ORC-GUEST-EXIT [0-9]+' "$out"); then
		echo "guest: ended without finishing its job (QEMU status $1, see $console)"
		return 125
	fi
	return "${line##* }"
}

[ -s "$ROOTFS_IMAGE" ] || die "no guest root file system: run make setup"
[ -s "$image" ] || die "no kernel image $image: run make kernel"
pack
status=0
boot || status=$?
rm -f "$initrd"
verdict "$status"
