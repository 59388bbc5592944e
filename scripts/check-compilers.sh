#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The same kernel configuration, built by several compilers, with asynchronous
# unwind tables and with synchronous ones, and what orctool check finds in each.
# COMPILERS names them: clang-N, or gcc-N (of this machine, or else unpacked
# from a later Debian release). A build takes as long as the kernel does.
# The result is build/compilers.rst, and the reports are beside it.

. "$(dirname "$0")/lib.sh"

COMPILERS=${COMPILERS:-clang-19 gcc-12 gcc-14}
TABLES=${TABLES:-async sync}
out=$BUILD/compilers
SYNC_CFLAGS='-fno-asynchronous-unwind-tables -funwind-tables'
SYNC_RUSTFLAGS='-Zuse-sync-unwind=y'

# Sets what toolchain.sh reads, for one compiler.
use_compiler() { # NAME
	local version=${1##*-}
	case $1 in
	clang-*) export LLVM=-$version CROSS_COMPILE= ;;
	gcc-*)
		export CROSS_COMPILE=aarch64-linux-gnu-
		[ "$(gcc_major)" = "$version" ] || use_other_gcc "$version"
		;;
	*) die "COMPILERS: $1 is neither clang-N nor gcc-N" ;;
	esac
}

gcc_major() {
	aarch64-linux-gnu-gcc -dumpversion 2>/dev/null | cut -d. -f1
}

# Is there one among them that this machine does not have?
needs_other_gcc() {
	local compiler
	for compiler in $COMPILERS; do
		case $compiler in
		"gcc-$(gcc_major)" | clang-*) ;;
		*) [ -e "$CACHE/compilers/$compiler/.complete" ] || return 0 ;;
		esac
	done
	return 1
}

use_other_gcc() { # VERSION
	local bin
	bin=$(bash "$TOP/scripts/other-gcc.sh" "$1") || exit
	PATH=$bin:$PATH
}

# The variant that "make kernel" builds anyway is not built twice.
variant_of() { # NAME TABLES
	case $1-$2 in
	clang-19-async | "gcc-$(PATH=$own_path gcc_major)-async") ;;
	*) echo "-$1-$2" ;;
	esac
}

build() ( # NAME TABLES -> path of the vmlinux that still has its CFI
	use_compiler "$1"
	KERNEL_VARIANT=$(variant_of "$1" "$2")
	export KERNEL_VARIANT
	if [ "$2" = sync ]; then
		export KERNEL_CFLAGS=$SYNC_CFLAGS KERNEL_RUSTFLAGS=$SYNC_RUSTFLAGS
	fi
	KERNEL_TARGETS=vmlinux bash "$TOP/scripts/kernel.sh" >&2 || exit
	. "$TOP/scripts/toolchain.sh"
	echo "$KERNEL_OUT/vmlinux.unstripped"
)

check() { # NAME VMLINUX
	local rc=0
	"$BUILD/orctool/release/orctool" check --json --report "$out/$1.md" "$2" >"$out/$1.json" || rc=$?
	# 1 is for findings, which is what is asked for here.
	((rc < 2)) || die "orctool check failed on $2 (status $rc)"
}

own_path=$PATH
case $TABLES in async | sync | "async sync") ;; *) die "TABLES is async, sync or both, not '$TABLES'" ;; esac
if needs_other_gcc; then export OTHER_GCC=1; fi
bash "$TOP/scripts/setup.sh"
mkdir -p "$out"
names=()
for compiler in $COMPILERS; do
	for tables in $TABLES; do
		name=$compiler-$tables
		vmlinux=$(build "$compiler" "$tables") || exit
		check "$name" "$vmlinux"
		names+=("$out/$name.json")
		say "$name: report in $out/$name.md"
	done
done
python3 "$TOP/scripts/compilers-table.py" "${names[@]}" | tee "$BUILD/compilers.rst"
