#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The figures in README.md: whatever is in scripts/bench/, one script a figure.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"

mapfile -t figures < <(compgen -G "$TOP/scripts/bench/*.sh" || true)
((${#figures[@]})) || die "no benchmarks in scripts/bench yet"
bash "$TOP/scripts/setup.sh"
bash "$TOP/scripts/kernel.sh"
export KERNEL_OUT ORCTOOL
for figure in "${figures[@]}"; do
	bash "$figure"
done
