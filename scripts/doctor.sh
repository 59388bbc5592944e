#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Says what is there and what is not. Changes nothing.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/debian.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/packages.sh"
. "$TOP/scripts/kernel-paths.sh"
. "$TOP/scripts/guest-paths.sh"

bad=0
line() { printf '  %-8s %-28s %s\n' "$1" "$2" "$3"; }
ok() { line ok "$1" "$2"; }
missing() {
	line MISSING "$1" "$2"
	bad=$((bad + 1))
}
later() { line later "$1" "$2"; }

packages() {
	local names probe why
	while IFS='|' read -r names probe why; do
		if $probe; then ok "$names" "$why"; else missing "$names" "$why"; fi
	done < <(package_table)
}

versions() {
	ok compiler "$(kernel_cc) $(tool_version "$(kernel_cc)")"
	ok rustc "$(find_rustc) $(tool_version "$(find_rustc)")"
	ok cargo "$(find_cargo) $(tool_version "$(find_cargo)")"
}

made_by_setup() {
	local b
	b=$(find_bindgen)
	if [ -n "$b" ]; then ok bindgen "$b $(tool_version "$b")"; else later bindgen "make setup builds $BINDGEN_VERSION"; fi
	if [ -n "${KERNEL:-}" ]; then
		ok "kernel source" "$KERNEL, $(kernel_dir_release "$KERNEL")"
	elif [ -s "$KERNEL_TARBALL" ]; then
		ok "kernel source" "$KERNEL_TARBALL"
	else
		later "kernel source" "make setup fetches it"
	fi
	if [ -s "$ROOTFS_IMAGE" ]; then ok "guest" "$ROOTFS_IMAGE"; else later "guest" "make setup makes it"; fi
}

space() { # DIRECTORY MEBIBYTES
	local dir=$1 free
	while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
	free=$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')
	if ((free >= $2)); then ok "disk" "$free MiB free in $dir"; else missing "disk" "$2 MiB wanted in $dir, $free free"; fi
}

echo "machine: $(. /etc/os-release && echo "$PRETTY_NAME"), $(uname -m), $(nproc) CPUs, $(awk '/MemTotal/ { print int($2 / 1048576) }' /proc/meminfo) GiB"
case $(debian_codename) in
bookworm | trixie) ;;
*) later "system" "only Debian 12 and 13 are set up by make setup" ;;
esac
packages
versions
made_by_setup
space "$BUILD" 6000
space "$CACHE" 1500
if ((bad)); then
	echo "$bad missing: make setup installs what it may, and says what it may not"
	exit 2
fi
echo "all there"
