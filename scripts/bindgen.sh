#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds bindgen into the cache when no bindgen that is new enough is there.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"

[ -z "$(find_bindgen)" ] || exit 0
take_lock "$CACHE/bindgen.lock" "bindgen"
[ -z "$(find_bindgen)" ] || exit 0
cargo=$(find_cargo)
[ -n "$cargo" ] || die "no bindgen >= $MIN_BINDGEN, and no cargo >= $MIN_CARGO to build it with"
need_space "$CACHE" 500 "building bindgen"
# cargo install puts the program in place only when it is complete.
step "bindgen $BINDGEN_VERSION: building (about 2 minutes)" bindgen \
	env CARGO_TARGET_DIR="$CACHE/bindgen/target" "$cargo" install bindgen-cli \
	--version "$BINDGEN_VERSION" --locked --root "$CACHE/bindgen"
rm -rf "$CACHE/bindgen/target"
