# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Which compilers and tools are used, and from which version on. Chooses among
# what is there; installs nothing. Sourced after lib.sh.

# A cross compiler given by name means a GCC build; else clang, 19 by default.
if [ -n "${CROSS_COMPILE:-}" ]; then
	LLVM=
	COMPILER=gcc
else
	LLVM=${LLVM:--19}
	COMPILER=clang
fi
export LLVM CROSS_COMPILE=${CROSS_COMPILE:-}

MIN_CLANG=17.0.1
MIN_GCC=8.1.0
MIN_RUSTC=1.85.0
MIN_BINDGEN=0.71.1
MIN_CARGO=1.85.0
# Older ones fail where some of the compilation units are Rust's.
MIN_PAHOLE=1.26
# The one that is installed when there is none that is new enough.
BINDGEN_VERSION=0.72.1

# Objects of a GCC build must not overwrite those of a clang build: two
# compilers in one object directory would rebuild everything at each change.
KERNEL_OUT=$BUILD/kernel-$KERNEL_SERIES
[ "$COMPILER" = clang ] || KERNEL_OUT=$KERNEL_OUT-gcc
# A variant of the kernel, with flags of its own, has a directory of its own.
KERNEL_VARIANT=${KERNEL_VARIANT:-}
KERNEL_OUT=$KERNEL_OUT$KERNEL_VARIANT
ORCTOOL=$BUILD/orctool/release/orctool
# Crates from the registry are compiled once for all clones.
CARGO_TARGET=$CACHE/target

first_number() { # of the output of a --version
	grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1
}

tool_version() {
	"$1" --version 2>/dev/null | first_number || true
}

# LLVM=-19 -> clang-19; LLVM=1 -> clang; LLVM=/opt/llvm/bin/ -> /opt/llvm/bin/clang
llvm_tool() {
	case $LLVM in
	*/) echo "$LLVM$1" ;;
	-*) echo "$1$LLVM" ;;
	*) echo "$1" ;;
	esac
}

kernel_cc() {
	if [ "$COMPILER" = gcc ]; then echo "${CROSS_COMPILE}gcc"; else llvm_tool clang; fi
}

# The kernel's rustc needs the library's source beside it, which rustup's
# toolchains have only with the rust-src component.
find_rustc() {
	local r root
	for r in "${RUSTC:-}" /usr/bin/rustc "$(command -v rustc || true)"; do
		[ -n "$r" ] && have "$r" || continue
		at_least "$(tool_version "$r")" $MIN_RUSTC || continue
		root=$("$r" --print sysroot 2>/dev/null) || continue
		[ -d "${RUST_LIB_SRC:-$root/lib/rustlib/src/rust/library}" ] || continue
		echo "$r" && return
	done
}

# A tool that belongs to the rustc found: the one beside it.
rust_companion() { # NAME
	local r
	r=$(find_rustc)
	[ -n "$r" ] && [ -x "$(dirname "$r")/$1" ] || return 0
	echo "$(dirname "$r")/$1"
}

find_bindgen() {
	local b
	for b in "${BINDGEN:-}" "$(command -v bindgen || true)" "$CACHE/bindgen/bin/bindgen"; do
		[ -n "$b" ] && have "$b" || continue
		at_least "$(tool_version "$b")" $MIN_BINDGEN || continue
		echo "$b" && return
	done
}

find_cargo() {
	local c
	for c in "$(command -v cargo || true)" /usr/bin/cargo; do
		[ -n "$c" ] && have "$c" || continue
		at_least "$(tool_version "$c")" $MIN_CARGO || continue
		echo "$c" && return
	done
}
