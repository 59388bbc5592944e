#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make install-tree KERNEL=DIR: puts the overlay and the patches into a kernel
# tree of the user's. Everything is tried on copies first: either all of it goes
# in, or DIR is as it was.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/kernel-paths.sh"
. "$TOP/scripts/overlay.sh"

[ -n "${KERNEL:-}" ] || die "say which tree: make install-tree KERNEL=DIR"
release=$(kernel_dir_release "$KERNEL")
[ -w "$KERNEL" ] || die "$KERNEL cannot be written to"
tree=$(realpath "$KERNEL")
scratch=$BUILD/.install-tree
mapfile -t list < <(patch_files)

# The patched files as they are in the tree.
copy_out() {
	rm -rf "$scratch"
	mkdir -p "$scratch"
	patched_paths "${list[@]}" | while IFS= read -r path; do
		[ ! -e "$tree/$path" ] || (cd "$tree" && cp --parents -p "$path" "$scratch/")
	done
}

# Are all the patches in already? Then they come out again, last first.
installed() {
	local i
	copy_out
	for ((i = ${#list[@]} - 1; i >= 0; i--)); do
		GIT_CEILING_DIRECTORIES=$BUILD git -C "$scratch" apply --reverse "${list[i]}" 2>/dev/null || return 1
	done
}

put_back() {
	patched_paths "${list[@]}" | while IFS= read -r path; do
		if [ -e "$scratch/$path" ]; then
			mkdir -p "$(dirname "$tree/$path")"
			cmp -s "$scratch/$path" "$tree/$path" || cp "$scratch/$path" "$tree/$path"
		else
			rm -f "$tree/$path"
		fi
	done
}

if ((${#list[@]})) && installed; then
	say "the ${#list[@]} patches are in $tree already"
else
	copy_out
	apply_patches "$scratch" "${list[@]}" ||
		die "$tree (Linux $release) was not changed"
	put_back
	say "${#list[@]} patches applied to $tree (Linux $release)"
fi
rm -rf "$scratch"
say "$(copy_overlay "$tree" | grep -vc '/$' || true) of $(overlay_places | wc -l) new files copied"
say "next: build orctool (cargo build --release in tools/orc), then the kernel with ORCTOOL=$BUILD/orctool/release/orctool and CONFIG_UNWIND_ORC"
