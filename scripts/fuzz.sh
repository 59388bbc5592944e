#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Fuzzes the walk, the tables and the inputs of orctool; exit status 1 when
# something crashed.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/fuzz-targets.sh"

crashes=0
read -ra targets <<<"${FUZZ_TARGETS:-$FUZZ_ALL}"
seconds=${FUZZ_SECONDS:-600}

done_with() { # TARGET STATUS
	fuzz_report "$1"
	(($2 == 0)) || crashes=$((crashes + 1))
}

for target in "${targets[@]}"; do
	[[ " $FUZZ_ALL " == *" $target "* ]] || die "no fuzz target $target; there are: $FUZZ_ALL"
done
have c++ || die "no C++ compiler, which libFuzzer is built with: install g++"
take_lock "$FUZZ_OUT/lock" "$FUZZ_OUT"
fuzz_build "${targets[@]}"
say "fuzzing ${#targets[@]} targets, $(elapsed "$seconds") each, $JOBS at a time; logs in build/log/fuzz-*.log"
fuzz_all "$seconds" done_with "${targets[@]}"
echo "$crashes of ${#targets[@]} targets crashed"
((crashes == 0))
