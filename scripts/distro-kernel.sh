#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Puts a distribution's vmlinux with debug information into the cache: that of
# Debian's arm64 cloud kernel, any release of the series. distro-paths.sh says
# where it then is.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/debian.sh"
. "$TOP/scripts/distro-paths.sh"

# Backports first: there it is kept longest.
SUITES='trixie-backports trixie forky sid'
work=$DISTRO_CACHE/work
tried=()

extract() {
	local deb
	deb=$(compgen -G "$work/*.deb")
	dpkg-deb --fsys-tarfile "$deb" |
		tar -x -C "$work" --wildcards './usr/lib/debug/lib/modules/*/vmlinux'
	basename "$deb" .deb >"$DISTRO_PACKAGE"
	mv "$work"/usr/lib/debug/lib/modules/*/vmlinux "$DISTRO_VMLINUX"
}

[ ! -s "$DISTRO_VMLINUX" ] || exit 0
take_lock "$CACHE/distro.lock" "the distribution's kernel"
[ ! -s "$DISTRO_VMLINUX" ] || exit 0
need_space "$DISTRO_CACHE" 900 "the distribution's kernel"
have dpkg-deb || die "no dpkg-deb: install the package dpkg"
mkdir -p "$work"
series=${KERNEL_SERIES//./\\.}
# shellcheck disable=SC2086 # one word a suite
if fetch_package "$work" arm64 "distribution's kernel" distro-kernel \
	"linux-image-$series\.[0-9]+\+deb[0-9]+-cloud-arm64-dbg" $SUITES; then
	step "distribution's kernel: unpacking vmlinux" distro-extract extract
	rm -rf "$work"
	exit 0
fi
{
	echo "error: no kernel $KERNEL_SERIES with debug information to be had; tried:"
	printf '    %s\n' "${tried[@]}"
	echo "give one with VMLINUX=FILE"
} >&2
exit 2
