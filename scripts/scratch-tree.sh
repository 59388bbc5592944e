# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A git repository with only those pristine kernel files that the patches
# change: enough for git am, and made at once. Sourced after overlay.sh.

# scratch_tree DIR PATCH... ; the originals are those that prepare-kernel.sh
# saved.
scratch_tree() {
	local dir=$1 orig=$BUILD/.linux-$KERNEL_SERIES/orig path
	shift
	[ -d "$orig" ] || bash "$TOP/scripts/prepare-kernel.sh"
	rm -rf "$dir"
	mkdir -p "$dir"
	while IFS= read -r path; do
		[ ! -e "$orig/$path" ] || (cd "$orig" && cp --parents -p "$path" "$dir/")
	done < <(patched_paths "$@")
	git -C "$dir" init -q -b pristine
	git -C "$dir" config user.name "$(git -C "$TOP" config user.name || echo unwind-orc)"
	git -C "$dir" config user.email "$(git -C "$TOP" config user.email || echo unwind-orc@localhost)"
	git -C "$dir" config commit.gpgsign false
	git -C "$dir" add --all --force
	# The same input makes the same mails.
	export GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z'
	git -C "$dir" commit -q --allow-empty -m "Linux $KERNEL_SERIES, the files that are patched"
}
