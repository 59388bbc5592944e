#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What the tables of the built vmlinux take, beside .eh_frame and other formats,
# and what it takes to make them.

. "$(dirname "$0")/../lib.sh"
. "$TOP/scripts/toolchain.sh"

vmlinux=$KERNEL_OUT/vmlinux.unstripped
[ -s "$vmlinux" ] || die "no $vmlinux: run make kernel"
"$ORCTOOL" stat "$vmlinux"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 "$TOP/scripts/measure.py" 1 "$scratch/cost" "$ORCTOOL" gen -q "$vmlinux" -o "$scratch/orc.o"
read -r seconds cpu peak <"$scratch/cost"
echo "orctool gen: $seconds s, $cpu s of CPU, peak memory $peak MiB"
