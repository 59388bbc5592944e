#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Puts the pristine kernel source into the cache as one tarball, when it is not
# there and no KERNEL=DIR is given: from the Debian package linux-source, else
# from kernel.org. Any release of the series will do.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/debian.sh"
. "$TOP/scripts/kernel-paths.sh"

# Newer suites last: what is nearest to a stable release is the least surprise.
SUITES='trixie trixie-backports forky sid'
# Tried on kernel.org, where a directory cannot be asked for its newest file.
RELEASES="$KERNEL_SERIES.4 $KERNEL_SERIES"
SITE=https://cdn.kernel.org/pub/linux/kernel/v${KERNEL_SERIES%%.*}.x
work=$KERNEL_CACHE/work
tried=()

from_debian() {
	local tar=usr/src/linux-source-$KERNEL_SERIES.tar.xz
	# shellcheck disable=SC2086 # one word a suite
	fetch_package "$work" amd64 "kernel source" kernel-source "linux-source-${KERNEL_SERIES//./\\.}" $SUITES || return 1
	dpkg-deb --fsys-tarfile "$work"/linux-source-*.deb |
		tar -x -C "$work" "./$tar" || return 1
	mv "$work/$tar" "$KERNEL_TARBALL"
}

from_kernel_org() {
	local release file
	have curl || { tried+=("kernel.org: no curl on this machine") && return 1; }
	for release in $RELEASES; do
		file=linux-$release.tar.xz
		if STEP_MAY_FAIL=1 step "kernel source: $file from kernel.org" kernel-source \
			curl -fsS --retry 2 --connect-timeout 15 -C - -o "$work/$file" "$SITE/$file" &&
			xz --test "$work/$file"; then
			mv "$work/$file" "$KERNEL_TARBALL"
			return 0
		fi
		tried+=("kernel.org: $file: $(tail -n 1 "$LOG_DIR/kernel-source.log")")
	done
	return 1
}

if [ -n "${KERNEL:-}" ]; then
	kernel_dir_release "$KERNEL" >/dev/null
	exit 0
fi
[ ! -s "$KERNEL_TARBALL" ] || exit 0
take_lock "$CACHE/kernel.lock" "the kernel source"
[ ! -s "$KERNEL_TARBALL" ] || exit 0
need_space "$KERNEL_CACHE" 600 "the kernel source"
mkdir -p "$work"
if from_debian || from_kernel_org; then
	rm -rf "$work"
	say "kernel source: $KERNEL_TARBALL"
	exit 0
fi
{
	echo "error: no source of Linux $KERNEL_SERIES to be had; tried:"
	printf '    %s\n' "${tried[@]}"
	echo "give a tree of your own with KERNEL=DIR (it is copied, never changed)"
} >&2
exit 2
