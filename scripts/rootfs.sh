#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The guest's root file system: a few Debian arm64 packages, unpacked without
# running anything of theirs, trimmed, and packed as an initramfs in the cache.
# Nothing to do when it is there already; guest-paths.sh says where.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/debian.sh"
. "$TOP/scripts/guest-paths.sh"

work=$CACHE/rootfs/work

fetch() {
	private_apt_setup "$work/apt" arm64 "$GUEST_SUITE"
	step "guest packages: lists ($GUEST_SUITE arm64)" rootfs-lists \
		private_apt "$work/apt" update
	# shellcheck disable=SC2086 # a list of words
	step "guest packages: download" rootfs-download \
		private_apt "$work/apt" install --download-only $GUEST_PACKAGES
}

[ ! -s "$ROOTFS_IMAGE" ] || exit 0
take_lock "$CACHE/rootfs.lock" "the guest's root file system"
[ ! -s "$ROOTFS_IMAGE" ] || exit 0
need_space "$CACHE/rootfs" 600 "the guest's root file system"
fetch
step "guest root file system: unpacking" rootfs-tree \
	bash "$TOP/scripts/rootfs-tree.sh" "$work" "$ROOTFS_IMAGE.tmp"
mv "$ROOTFS_IMAGE.tmp" "$ROOTFS_IMAGE"
rm -rf "$work"
say "guest root file system: $(du -m "$ROOTFS_IMAGE" | cut -f1) MiB, $ROOTFS_IMAGE"
