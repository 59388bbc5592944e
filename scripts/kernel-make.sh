# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# How the kernel's make is called: compiler cache, toolchain and everything
# else that goes into an object, so that one that was built in another clone is
# found in the cache. Sourced after toolchain.sh.

CCACHE_BIN=$BUILD/.ccache-bin

# CC="ccache clang" would break the linker argument of Rust's proc macros, so
# the cache is a link that has the compiler's name.
ccache_links() {
	local name
	have ccache || return 0
	mkdir -p "$CCACHE_BIN"
	for name in "$(kernel_cc)" aarch64-linux-gnu-gcc gcc; do
		case $name in
		*/*) ;; # called by its path: cannot be cached this way
		*) ln -sfn "$(command -v ccache)" "$CCACHE_BIN/$name" ;;
		esac
	done
	PATH=$CCACHE_BIN:$PATH
	export PATH
	# Paths below build/ become relative, so that they are equal in every
	# clone; the compiler is known by its content, not by its time stamp.
	export CCACHE_BASEDIR=$BUILD CCACHE_NOHASHDIR=1 CCACHE_COMPILERCHECK=content
	export CCACHE_SLOPPINESS=time_macros
}

# Nothing of the moment or the machine goes into the image.
export KBUILD_BUILD_TIMESTAMP=2026-01-01 KBUILD_BUILD_USER=orc KBUILD_BUILD_HOST=orc

# kernel_make_args: sets KERNEL_MAKE to the words that every call has.
kernel_make_args() {
	local rustc dir
	rustc=$(find_rustc)
	[ -n "$rustc" ] || die "no rustc >= $MIN_RUSTC with its library source: run make setup"
	rustc=$(command -v "$rustc")
	dir=$(dirname "$rustc")
	KERNEL_MAKE=(make -C "$KERNEL_SRC" "O=$KERNEL_OUT" ARCH=arm64 "-j$JOBS"
		"RUSTC=$rustc" "RUSTDOC=$dir/rustdoc" "RUSTFMT=$(rust_companion rustfmt)"
		"CLIPPY_DRIVER=$(rust_companion clippy-driver)"
		"BINDGEN=$(find_bindgen)" "ORCTOOL=$ORCTOOL")
	if [ "$COMPILER" = gcc ]; then
		KERNEL_MAKE+=("CROSS_COMPILE=$CROSS_COMPILE")
	else
		KERNEL_MAKE+=("LLVM=$LLVM")
	fi
	[ -z "$KERNEL_VARIANT" ] ||
		KERNEL_MAKE+=("KCFLAGS=${KERNEL_CFLAGS:-}" "KRUSTFLAGS=${KERNEL_RUSTFLAGS:-}")
	[ -z "${PAHOLE:-}" ] || KERNEL_MAKE+=("PAHOLE=$PAHOLE")
	ccache_links
}
