#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# other-gcc.sh VERSION: a cross GCC that this Debian release does not have, from
# a later one, unpacked into the cache. Prints the directory to put first in
# PATH; it has aarch64-linux-gnu-gcc and the binutils that belong to it. Nothing
# is installed. Its programs are made to use the C library that came with them.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/debian.sh"

(($# == 1)) || die "usage: other-gcc.sh VERSION"
version=$1
SUITES='trixie forky sid'
dir=$CACHE/compilers/gcc-$version
work=$dir.new

# The place is the final one, so the directory is moved before.
use_own_library() {
	local lib=$dir/usr/lib/x86_64-linux-gnu file
	while IFS= read -r file; do
		patchelf --print-interpreter "$file" >/dev/null 2>&1 || continue
		patchelf --set-interpreter "$lib/ld-linux-x86-64.so.2" \
			--force-rpath --set-rpath "$lib" "$file" || return
	done < <(find "$dir/usr/bin" "$dir/usr/libexec" -type f)
	ln -sfn "aarch64-linux-gnu-gcc-$version" "$dir/usr/bin/aarch64-linux-gnu-gcc"
	"$dir/usr/bin/aarch64-linux-gnu-gcc" -c -x c -o /dev/null - <<<'int answer;'
}

take_lock "$dir.lock" "gcc-$version" >&2
if [ ! -e "$dir/.complete" ]; then
	have patchelf || die "no patchelf: OTHER_GCC=1 make setup installs it"
	need_space "$CACHE" 600 "gcc-$version"
	rm -rf "$dir" "$work"
	mkdir -p "$work"
	# shellcheck disable=SC2086 # one word a suite
	fetch_tree "$work" "gcc-$version" "gcc-$version" "gcc-$version-aarch64-linux-gnu" $SUITES >&2
	mv "$work" "$dir"
	step "gcc-$version: relinking" "gcc-$version-relink" use_own_library >&2
	touch "$dir/.complete"
fi
echo "$dir/usr/bin"
