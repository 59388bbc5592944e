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
# VmHWM and seconds of one run, from the kernel's own accounting.
python3 - "$ORCTOOL" "$vmlinux" "$scratch/orc.o" <<'PY'
import resource, subprocess, sys, time
tool, elf, out = sys.argv[1:]
start = time.monotonic()
subprocess.run([tool, "gen", "-q", elf, "-o", out], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"orctool gen: {time.monotonic() - start:.2f} s, {used.ru_utime + used.ru_stime:.2f} s of CPU, "
      f"peak memory {used.ru_maxrss / 1024:.0f} MiB")
PY
