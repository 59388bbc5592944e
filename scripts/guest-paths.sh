# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the guest is made of, and where its image is kept: sourced after
# debian.sh by whatever makes or boots it.

# The machine's own release, so that programs linked here against the cross
# compiler's libc find the same one in the guest.
GUEST_SUITE=$(debian_codename)
case $GUEST_SUITE in bookworm | trixie) ;; *) GUEST_SUITE=bookworm ;; esac

# What the kernel's livepatch selftests and ours call, and the shell.
GUEST_PACKAGES='bash coreutils grep sed gawk kmod util-linux mount findutils procps diffutils libc-bin'

# The list and the way the tree is made name the image, so either one's change
# makes a new one.
ROOTFS_IMAGE=$CACHE/rootfs/$GUEST_SUITE-$(digest "$GUEST_PACKAGES" "$(cat "$TOP/scripts/rootfs-tree.sh")").cpio
