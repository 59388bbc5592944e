#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Compiles objects of the built kernel once more, with the list of their control
# flow that LLVM makes, and compares the rows with it. OBJECTS= names others than
# those in scripts/sancov-objects. A build variant for checking: a kernel is not
# linked of such objects.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"

# A store at each function's entry is the least that comes with the list; the
# default is a call in each block.
FLAG=-fsanitize-coverage=func,inline-bool-flag,control-flow
OUT=$BUILD/sancov

objects() {
	if [ -n "${OBJECTS:-}" ]; then
		tr -s ' ' '\n' <<<"$OBJECTS"
	else
		grep -v '^#' "$TOP/scripts/sancov-objects"
	fi
}

# The command that compiled an object, as kbuild saved it, but with the flag, to
# another file, and without leaving dependencies behind.
command_of() { # OBJECT OUTPUT
	local saved=${1%/*}/.${1##*/}.cmd
	[ -r "$KERNEL_OUT/$saved" ] || die "$1 was not built: no $KERNEL_OUT/$saved"
	sed -n -e '1s/^savedcmd_[^ ]* := //' -e "1s| -c -o $1 | $FLAG -c -o $2 |" \
		-e '1s/ -Wp,-MMD,[^ ]*//' -e '1s/ ; .*//' -e 1p "$KERNEL_OUT/$saved"
}

compile() { # OBJECT
	local command output=$OUT/$1
	command=$(command_of "$1" "$output")
	case $command in
	*"$FLAG"*) ;;
	*) die "$1 is not compiled from C by clang" ;;
	esac
	mkdir -p "${output%/*}"
	echo "  CC $1"
	(cd "$KERNEL_OUT" && eval "$command") || die "$1: the compiler failed"
}

compile_all() {
	export -f compile command_of die
	export KERNEL_OUT OUT FLAG
	# shellcheck disable=SC2016 # expanded by the shell that xargs starts
	objects | xargs -P "$JOBS" -I{} bash -euc 'compile "$1"' _ {}
}

[ "$COMPILER" = clang ] || die "only clang lists control flow: not with CROSS_COMPILE="
bash "$TOP/scripts/setup.sh"
bash "$TOP/scripts/kernel.sh"
mapfile -t files < <(objects)
rm -rf "$OUT"
mkdir -p "$OUT"
STEP_EXPECTED=${#files[@]} step "kernel: compiling ${#files[@]} objects with $FLAG" sancov compile_all
rc=0
(cd "$OUT" && "$ORCTOOL" check --json "${files[@]}") >"$OUT/check.json" || rc=$?
((rc <= 1)) || die "orctool check could not check these objects"
python3 "$TOP/scripts/sancov-table.py" "$OUT/check.json"
