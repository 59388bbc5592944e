# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Where a distribution's kernel is kept. Sourced after lib.sh.

DISTRO_CACHE=$CACHE/distro
DISTRO_VMLINUX=$DISTRO_CACHE/vmlinux-$KERNEL_SERIES
# The name of the package that it is from.
DISTRO_PACKAGE=$DISTRO_CACHE/package-$KERNEL_SERIES
