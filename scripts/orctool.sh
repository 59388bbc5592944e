#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds orctool into build/orctool.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"

cargo=$(find_cargo)
[ -n "$cargo" ] || die "no cargo >= $MIN_CARGO: run make setup"
take_lock "$BUILD/.orctool.lock" orctool
step "orctool: building" orctool env CARGO_TARGET_DIR="$BUILD/orctool" \
	"$cargo" build --release --locked --manifest-path "$TOP/tools/orc/Cargo.toml"
[ -x "$ORCTOOL" ] || die "cargo built no $ORCTOOL"
