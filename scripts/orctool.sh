#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds orctool into build/orctool.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"

cargo=$(find_cargo)
[ -n "$cargo" ] || die "no cargo >= $MIN_CARGO: run make setup"
take_lock "$CARGO_TARGET.lock" orctool
need_space "$CACHE" 500 "building orctool"
step "orctool: building" orctool env CARGO_TARGET_DIR="$CARGO_TARGET" \
	"$cargo" build --release --locked --manifest-path "$TOP/tools/orc/Cargo.toml"
# A new time stamp would have the kernel's tables made anew.
if ! cmp -s "$CARGO_TARGET/release/orctool" "$ORCTOOL"; then
	mkdir -p "$(dirname "$ORCTOOL")"
	cp "$CARGO_TARGET/release/orctool" "$ORCTOOL.tmp"
	mv "$ORCTOOL.tmp" "$ORCTOOL"
fi
