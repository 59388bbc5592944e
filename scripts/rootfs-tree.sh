#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# rootfs-tree.sh WORK IMAGE: unpacks the packages that rootfs.sh downloaded
# below WORK, trims them to what the guest uses and packs them as IMAGE.

set -euo pipefail
work=$1 image=$2

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
		cpio --null --quiet -o -H newc --owner 0:0 --reproducible) >"$image"
}

unpack
trim
pack
