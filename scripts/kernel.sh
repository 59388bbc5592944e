#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The patched kernel with its tables and modules: orctool, source,
# configuration, build. What is up to date is left alone. KERNEL_TARGETS names
# other targets than the image and the modules, KERNEL_FRAGMENT a file with further
# options.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/kernel-make.sh"

# Files that a build from nothing compiles, for the progress line.
EXPECTED=2150
selftests=$KERNEL_SRC/tools/testing/selftests

fragments() {
	local f
	for f in "$TOP/scripts/kernel.config" "$selftests/livepatch/config" "$selftests/unwind_orc/config" \
		"${KERNEL_FRAGMENT:-}"; do
		[ ! -f "$f" ] || cat "$f"
	done
}

check_toolchain() {
	local v
	have "$(kernel_cc)" || die "no $(kernel_cc): run make setup, or give LLVM= or CROSS_COMPILE="
	v=$(tool_version "$(kernel_cc)")
	if [ "$COMPILER" = gcc ]; then
		at_least "$v" "$MIN_GCC" || die "$(kernel_cc) is $v; the kernel needs $MIN_GCC or newer"
	else
		at_least "$v" "$MIN_CLANG" || die "$(kernel_cc) is $v; the kernel needs $MIN_CLANG or newer"
	fi
}

# Options asked for that the configuration dropped: a dependency is missing.
lost_options() {
	grep -vxFf "$KERNEL_OUT/.config" <(grep '^CONFIG_' "$1") || true
}

# allnoconfig alone, then the options wanted, and the kernel's defaults for what
# these make visible: sysctl, the mitigations and the like stay as they ship.
configure_from() { # FRAGMENT
	"${KERNEL_MAKE[@]}" allnoconfig || return
	(cd "$KERNEL_OUT" && "$KERNEL_SRC/scripts/kconfig/merge_config.sh" -m .config "$1") || return
	"${KERNEL_MAKE[@]}" olddefconfig
}

configure() {
	local wanted=$KERNEL_OUT/.wanted.config id lost
	mkdir -p "$KERNEL_OUT"
	fragments >"$wanted"
	id=$({
		cat "$wanted" "$0"
		"$(kernel_cc)" --version
		"$(find_rustc)" --version
		find "$KERNEL_SRC" -name 'Kconfig*' -print0 | sort -z | xargs -0 cat
	} | digest_input)
	if [ "$(cat "$KERNEL_OUT/.configured" 2>/dev/null)" = "$id" ] && [ -s "$KERNEL_OUT/.config" ]; then
		return
	fi
	step "kernel: configuring" kernel-config configure_from "$wanted"
	lost=$(lost_options "$wanted")
	if [ -n "$lost" ]; then
		if grep -q RUST <<<"$lost"; then
			STEP_MAY_FAIL=1 step "kernel: is Rust usable?" rustavailable \
				"${KERNEL_MAKE[@]}" rustavailable || tail -n 15 "$LOG_DIR/rustavailable.log" >&2
		fi
		die "the kernel's configuration dropped: $(tr '\n' ' ' <<<"$lost")"
	fi
	echo "$id" >"$KERNEL_OUT/.configured"
}

check_toolchain
bash "$TOP/scripts/orctool.sh"
bash "$TOP/scripts/prepare-kernel.sh"
take_lock "$KERNEL_OUT.lock" "$KERNEL_OUT"
need_space "$BUILD" 2500 "the kernel's objects"
kernel_make_args
configure
# kbuild does not know that tables are out of date when orctool is.
find "$KERNEL_OUT" "$selftests" \( -name '*.ko' -o -name vmlinux -o -name vmlinux.unstripped \) -type f \
	! -newer "$ORCTOOL" -delete
# shellcheck disable=SC2086 # a list of words
STEP_EXPECTED=$EXPECTED step "kernel: building with $(kernel_cc)" "kernel-$COMPILER$KERNEL_VARIANT" \
	"${KERNEL_MAKE[@]}" ${KERNEL_TARGETS:-Image modules}
