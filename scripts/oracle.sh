#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The oracle: a guest runs for ORACLE_MINUTES, and at every instruction boundary of its
# kernel the walk is asked what it would say, and judged by what was executed.
# tools/oracle/README.md says how. Options:
#
#   ORACLE_MINUTES=10     how long
#   ORACLE_DAMAGE=next    rows are damaged before the walk sees them (next, previous,
#                         cfa16, return-address, register, frame-pointer): it is an
#                         error if neither a wrong verdict is found nor all refused
#   ORACLE_PARTS="livepatch calm"   parts of the guest's job (scripts/guest/oracle-job)
#   ORACLE_JOB=FILE       another job for the guest
#   ORACLE_WALK=DIR       another rust/orc than the one here (ORACLE_FEATURES=before:
#                         one that has no look at what a task is about to run)
#   ORACLE_SEED=1         which instructions stand alone
#   ORACLE_KASLR=N        the kernel runs where the random numbers of seed N put it, its
#                         modules out of reach of a branch (it is where it was linked)
#   GUEST_CPU=max GUEST_CPUS=1 QEMU=PROGRAM

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/debian.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/kernel-make.sh"
. "$TOP/scripts/stage.sh"

minutes=${ORACLE_MINUTES:-10}
damage=${ORACLE_DAMAGE:-none}
name=oracle${ORACLE_NAME:+-$ORACLE_NAME}
out=$BUILD/oracle/$name
memory=1024
target=$CARGO_TARGET/oracle

build_plugin() {
	local cargo dir=$TOP/tools/oracle
	cargo=$(find_cargo)
	[ -n "$cargo" ] || die "no cargo >= $MIN_CARGO: run make setup"
	if [ -n "${ORACLE_WALK:-}" ]; then
		dir=$BUILD/oracle/other/tools/oracle
		mkdir -p "$dir" "$BUILD/oracle/other/rust"
		rm -rf "$dir" "$BUILD/oracle/other/rust/orc"
		cp -a "$TOP/tools/oracle" "$dir"
		cp -a "$ORACLE_WALK" "$BUILD/oracle/other/rust/orc"
		target+=-other
	fi
	step "oracle: building the plugin" oracle-plugin env CARGO_TARGET_DIR="$target" \
		"$cargo" build --release --locked --manifest-path "$dir/Cargo.toml" \
		${ORACLE_FEATURES:+--features "$ORACLE_FEATURES"}
}

# Where things are in the kernel's structures, by the kernel's own headers.
build_offsets() {
	local dir=$BUILD/oracle/offsets
	mkdir -p "$dir"
	cp "$TOP/tools/oracle/offsets/"{Makefile,offsets.c} "$dir"
	step "oracle: offsets of the kernel's structures" oracle-offsets \
		"${KERNEL_MAKE[@]}" "M=$dir" offsets.o
}

# guest.sh calls QEMU by its name: here it finds one that loads the plugin.
starter() {
	local dir=$BUILD/oracle/bin
	mkdir -p "$dir"
	cat >"$dir/qemu-system-aarch64" <<-STARTER
		#!/bin/bash
		exec "$qemu" "\$@" \\
			-object memory-backend-file,id=oracle,size=${memory}M,mem-path="$ram",share=on \\
			-machine memory-backend=oracle ${ICOUNT:+-icount shift=$ICOUNT,sleep=off} \\
			-plugin "$target/release/liboracle.so,build=$KERNEL_OUT,offsets=$BUILD/oracle/offsets/offsets.o,ram=$ram,out=$out,damage=$damage,seed=${ORACLE_SEED:-1},slide=$slide"
	STARTER
	chmod +x "$dir/qemu-system-aarch64"
	PATH=$dir:$PATH
}

# One CPU: the clock counts instructions, four nanoseconds each, and a seed gives one
# run. With more, CPUs run beside each other, and time is the machine's.
clock() {
	if [ "${GUEST_CPUS:=1}" = 1 ]; then
		export GUEST_ICOUNT=1 ICOUNT=2
	else
		unset GUEST_ICOUNT ICOUNT
	fi
	export GUEST_CPUS
}

# Where does the seed put the kernel? One boot tells, without the plugin.
find_slide() {
	local linked runs log=$LOG_DIR/$name-slide.log
	stage_new "$name-slide"
	stage_job "$STAGE" "$TOP/scripts/guest/slide-job"
	step "oracle: where seed $GUEST_SEED puts the kernel" "$name-slide-boot" env PATH="$(dirname "$qemu"):$PATH" \
		bash "$TOP/scripts/guest.sh" "$IMAGE" "$name-slide" "$STAGE" 300
	linked=$(awk '$3 == "_text" { print $1 }' "$KERNEL_OUT/System.map")
	runs=$(sed -nE 's/^runs at ([0-9a-f]{16})\r?$/\1/p' "$log")
	[ -n "$linked" ] && [ -n "$runs" ] || die "no address of _text ($log)"
	slide=$(printf %x $((0x$runs - 0x$linked)))
	[ "$slide" != 0 ] || die "the kernel runs where it was linked: no KASLR in it?"
	say "oracle: the kernel runs 0x$slide above where it was linked"
}

guest() {
	local rc=0
	local place=nokaslr
	# The trampoline for entries from user space has an address of its own.
	[ -z "${ORACLE_KASLR:-}" ] || place=kpti=off
	GUEST_MEMORY=${memory}M GUEST_APPEND="$place ${GUEST_APPEND:-}" STEP_MAY_FAIL=1 \
		STEP_WATCH=$LOG_DIR/$name.log step "oracle: the guest, $minutes minutes" "$name-boot" \
		bash "$TOP/scripts/guest.sh" "$IMAGE" "$name" "$STAGE" $((minutes * 60)) || rc=$?
	rm -f "$ram"
	# It is ended when its time is over.
	case $rc in
	0 | 124) ;;
	*) die "$(tail -n 1 "$LOG_DIR/$name-boot.log")" ;;
	esac
	[ -s "$out.json" ] || die "the oracle gave no report ($LOG_DIR/$name-boot.log)"
}

number() { # NAME
	local n
	n=$(grep -oE "\"$1\":[0-9]+" "$out.json" | head -n 1 | cut -d: -f2) || true
	echo "${n:-0}"
}

qemu=$(bash "$TOP/scripts/oracle-qemu.sh")
kernel_make_args
build_plugin
build_offsets
mkdir -p "$BUILD/oracle"
rm -f "$out".{json,txt,log}
ram=$(mktemp -p /dev/shm oracle.XXXXXX)
trap 'rm -f "$ram"' EXIT
clock
slide=0
if [ -n "${ORACLE_KASLR:-}" ]; then
	export GUEST_SEED=$ORACLE_KASLR
	find_slide
fi
stage_new "$name"
stage_modules "$STAGE"
stage_selftests "$STAGE" unwind_orc
stage_job "$STAGE" "${ORACLE_JOB:-$TOP/scripts/guest/oracle-job}"
[ -z "${ORACLE_PARTS:-}" ] || echo "$ORACLE_PARTS" >"$STAGE/orc/parts"
starter
guest
cat "$out.txt"
# Reliable and not the truth; frames that went on elsewhere than their traces said;
# remembered verdicts that a whole walk did not confirm.
wrong=$(($(number wrong) + $(number switched_wrong) + $(number elsewhere) + $(number differing)))
if [ "$damage" != none ]; then
	# Some damage the walk finds itself, and refuses all.
	((wrong || $(number right) * 100 < $(number refused))) ||
		die "rows are damaged, and nothing was found: the oracle is blind"
	say "oracle: damaged rows ($damage): $wrong wrong verdicts found, $(number right) right, $(number refused) refused"
	exit 0
fi
((wrong == 0)) || { say "oracle: $wrong wrong verdicts; see $out.log" && exit 1; }
say "oracle: nothing wrong"
