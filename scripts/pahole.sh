#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Prints a pahole that is new enough to make BTF beside Rust: the machine's own, or one
# of a later Debian release, unpacked into the cache with its C library. Nothing is
# installed.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/debian.sh"
. "$TOP/scripts/toolchain.sh"

SUITES='trixie forky sid'
dir=$CACHE/pahole
work=$dir.new

# It runs with the libraries that came with it, wherever the cache is.
wrap() {
	mkdir -p "$work/bin-wrapped"
	cat >"$work/bin-wrapped/pahole" <<-'EOF'
		#!/bin/sh
		usr=$(dirname "$(dirname "$(readlink -f "$0")")")/usr
		lib=$usr/lib/x86_64-linux-gnu
		exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$usr/bin/pahole" "$@"
	EOF
	chmod +x "$work/bin-wrapped/pahole"
	at_least "$("$work/bin-wrapped/pahole" --version | first_number)" $MIN_PAHOLE
}

for own in "${PAHOLE:-}" pahole; do
	[ -n "$own" ] && have "$own" || continue
	at_least "$(tool_version "$own")" $MIN_PAHOLE || continue
	command -v "$own"
	exit 0
done
take_lock "$dir.lock" "pahole" >&2
if [ ! -x "$dir/bin-wrapped/pahole" ]; then
	need_space "$CACHE" 200 "pahole"
	rm -rf "$dir" "$work"
	mkdir -p "$work"
	# shellcheck disable=SC2086 # one word a suite
	fetch_tree "$work" pahole pahole pahole $SUITES >&2
	step "pahole: does it run" pahole-run wrap >&2
	mv "$work" "$dir"
fi
echo "$dir/bin-wrapped/pahole"
