# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Where things are, how messages look, and how a long step is run: sourced by
# every script here. Nothing in this file changes the machine.

set -euo pipefail
export LC_ALL=C
# depmod and others are not in a user's PATH.
PATH=$PATH:/usr/sbin:/sbin

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=$TOP/build
LOG_DIR=$BUILD/log
# What a fresh clone can use again lives outside the checkout.
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/unwind-orc
JOBS=${JOBS:-$(nproc)}
export JOBS
# What "make" tells the makes below it (our options, a job server) is not for
# the kernel's.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL

# The kernel series the patches are for.
KERNEL_SERIES=7.3
KERNEL_SRC=$BUILD/linux-$KERNEL_SERIES

# Elapsed time counts from the command the user typed, not from each script.
: "${ORC_START:=$(date +%s)}"
export ORC_START

elapsed() { # seconds -> 1m02s
	local s=$1
	((s >= 60)) && printf '%dm%02ds' $((s / 60)) $((s % 60)) || printf '%ds' "$s"
}

say() {
	printf '[%6s] %s\n' "$(elapsed $(($(date +%s) - ORC_START)))" "$*"
}

warn() {
	printf 'warning: %s\n' "$*" >&2
}

# Exit code 2: it cannot be done here; 1 is for a test or a check that failed.
die() {
	printf 'error: %s\n' "$*" >&2
	exit 2
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# The number of a dotted version, for comparing: 1.85.0 -> 1085000.
version_number() {
	local IFS=.
	# shellcheck disable=SC2086 # split at the dots
	set -- ${1%%[!0-9.]*}
	echo $((10#${1:-0} * 1000000 + 10#${2:-0} * 1000 + 10#${3:-0}))
}

at_least() { # VERSION MINIMUM
	[ "$(version_number "$1")" -ge "$(version_number "$2")" ]
}

# The sum that names a set of inputs: of standard input, or of the arguments.
digest_input() { sha256sum | cut -c1-16; }
digest() { printf '%s\n' "$@" | digest_input; }

need_space() { # DIRECTORY MEBIBYTES WHAT
	local dir=$1 free
	mkdir -p "$dir" || die "cannot create $dir ($3)"
	free=$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')
	((free >= $2)) || die "$3 needs $2 MiB free in $dir; there are $free MiB"
}

# Only one run at a time may change a directory; the kernel drops the lock when
# the holder dies, so an interrupted run leaves nothing to clean up.
take_lock() { # FILE WHAT
	local fd
	mkdir -p "$(dirname "$1")"
	exec {fd}>"$1"
	flock --nonblock "$fd" && return
	say "waiting: another run is working on $2"
	flock "$fd"
}

# shellcheck source=scripts/step.sh
. "$TOP/scripts/step.sh"
