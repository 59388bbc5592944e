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

unpack() {
	local deb dir
	rm -rf "$work/root"
	mkdir -p "$work/root"
	# Debian's own layout since 12: /bin, /sbin and /lib are links into /usr.
	for dir in bin sbin lib; do
		mkdir -p "$work/root/usr/$dir"
		ln -s "usr/$dir" "$work/root/$dir"
	done
	for deb in "$work"/apt/cache/archives/*.deb; do
		# Not dpkg -x: a package that ships /lib as a directory would
		# replace the link.
		dpkg-deb --fsys-tarfile "$deb" |
			tar -C "$work/root" -x --keep-directory-symlink --no-same-owner
	done
}

trim() {
	(
		cd "$work/root" || exit
		rm -rf usr/share/{doc,man,info,locale,lintian,bash-completion,bug,common-licenses,doc-base,menu,gcc,perl*,zoneinfo,i18n,terminfo} \
			var usr/lib/{systemd,udev,locale} etc/{systemd,init.d,cron*,default} \
			usr/lib/aarch64-linux-gnu/{gconv,perl*,e2fsprogs} usr/bin/perl* usr/games
		mkdir -p proc sys dev tmp run root var/tmp etc orc
		echo 'root:x:0:0:root:/root:/bin/bash' >etc/passwd
		echo 'root:x:0:' >etc/group
		ln -sf /proc/self/mounts etc/mtab
		# Where the dynamic linker is looked for, on a merged-usr tree.
		[ -e lib/ld-linux-aarch64.so.1 ] ||
			ln -s aarch64-linux-gnu/ld-linux-aarch64.so.1 usr/lib/ld-linux-aarch64.so.1
		[ -e usr/bin/awk ] || ln -s gawk usr/bin/awk
		ln -sf bash usr/bin/sh
	)
}

pack() {
	(cd "$work/root" && find . -print0 | LC_ALL=C sort -z |
		cpio --null --quiet -o -H newc --owner 0:0 --reproducible) >"$ROOTFS_IMAGE.tmp"
	mv "$ROOTFS_IMAGE.tmp" "$ROOTFS_IMAGE"
}

[ ! -s "$ROOTFS_IMAGE" ] || exit 0
take_lock "$CACHE/rootfs.lock" "the guest's root file system"
[ ! -s "$ROOTFS_IMAGE" ] || exit 0
need_space "$CACHE/rootfs" 600 "the guest's root file system"
fetch
say "guest root file system: unpacking"
unpack
trim
pack
rm -rf "$work"
say "guest root file system: $(du -m "$ROOTFS_IMAGE" | cut -f1) MiB, $ROOTFS_IMAGE"
