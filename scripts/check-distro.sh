#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Proves every row of a distribution's kernel, says what was found, and measures
# what that takes. VMLINUX=FILE checks that file instead of Debian's.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/distro-paths.sh"

# Of a whole run on two cores: reading, proving, and writing the report.
MOST_SECONDS=2
MOST_MEBIBYTES=1536

out=$BUILD/distro
bash "$TOP/scripts/orctool.sh"
vmlinux=${VMLINUX:-$DISTRO_VMLINUX}
if [ -z "${VMLINUX:-}" ]; then
	bash "$TOP/scripts/distro-kernel.sh"
	say "distribution's kernel: $(<"$DISTRO_PACKAGE")"
fi
[ -r "$vmlinux" ] || die "cannot read $vmlinux"
mkdir -p "$out"

# 0 is fine, 1 findings; anything else is no result.
rc=0
"$ORCTOOL" check --json "$vmlinux" >"$out/check.json" || rc=$?
((rc <= 1)) || die "orctool check could not check $vmlinux"
python3 "$TOP/scripts/measure.py" 3 "$out/cost" \
	"$ORCTOOL" check -q --report "$out/report.md" "$vmlinux" || true
"$ORCTOOL" stat "$vmlinux" >"$out/stat.txt"

# The table of the report, and what is without a row.
grep '^|' "$out/report.md" || echo "no divergence"
grep 'without a usable row' "$out/stat.txt"
read -r seconds cpu peak <"$out/cost"
say "report: $out/report.md, for machines: $out/check.json"
say "orctool check: $seconds s (the best of three runs), $cpu s of CPU, peak memory $peak MiB"
awk -v s="$seconds" -v m="$peak" -v most="$MOST_SECONDS" -v mem="$MOST_MEBIBYTES" \
	'BEGIN { exit !(s < most && m < mem) }' || {
	echo "FAILED: $MOST_SECONDS s or $MOST_MEBIBYTES MiB exceeded"
	exit 1
}
