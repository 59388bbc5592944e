# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Where pristine kernel source comes from, and what release a tree is.
# Sourced after lib.sh.

KERNEL_CACHE=$CACHE/kernel
KERNEL_TARBALL=$KERNEL_CACHE/linux-$KERNEL_SERIES.tar.xz

# Prints the release of the tree DIR; refuses what is not of the series.
kernel_dir_release() { # DIR
	local release
	[ -f "$1/Makefile" ] && [ -f "$1/arch/arm64/kernel/stacktrace.c" ] ||
		die "$1 is not a kernel source tree (no Makefile, or no arch/arm64)"
	release=$(awk '$2 == "=" && $1 ~ /^(VERSION|PATCHLEVEL|SUBLEVEL)$/ { v[$1] = $3 }
		END { print v["VERSION"] "." v["PATCHLEVEL"] "." v["SUBLEVEL"] }' <(head -n 12 "$1/Makefile"))
	case $release in
	"$KERNEL_SERIES".*) echo "$release" ;;
	*) die "$1 is Linux $release; the patches are for $KERNEL_SERIES" ;;
	esac
}
