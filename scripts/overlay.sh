# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What this repository adds to a kernel tree: new files (the overlay) and
# patches to existing ones. Sourced after lib.sh.

# New files stand here at the path they have in a kernel tree.
OVERLAY_DIRS='arch Documentation drivers include kernel lib rust samples tools/testing'
PATCH_DIR=$TOP/patches/$KERNEL_SERIES
# The repository's Kconfig has its place beside the code it configures.
KCONFIG_PLACE=arch/arm64/kernel/unwind_orc/Kconfig

# Paths of the overlay's files, from the top of the repository, sorted.
# Uncommitted files count; what git ignores does not, nor does what only Cargo
# needs.
overlay_files() {
	local dirs=() d
	for d in $OVERLAY_DIRS; do
		[ ! -d "$TOP/$d" ] || dirs+=("$d")
	done
	((${#dirs[@]})) || return 0
	(
		cd "$TOP" || exit
		git ls-files --cached --others --exclude-standard -- "${dirs[@]}" 2>/dev/null ||
			find "${dirs[@]}" -name target -prune -o -type f -print
	) | grep -vE '(^|/)(Cargo\.lock|\..*)$|\.(orig|rej|o|ko|cmd)$' | sort -u |
		while IFS= read -r d; do [ ! -f "$TOP/$d" ] || echo "$d"; done
}

patch_files() {
	{ compgen -G "$PATCH_DIR/*.patch" || true; } | sort
}

# Paths that the patches given change, create or delete.
patched_paths() { # PATCH...
	(($#)) || return 0
	sed -nE -e 's,^(---|\+\+\+) [ab]/([^\t]*).*,\2,p' "$@" | sort -u
}

# apply_patches DIR PATCH... ; git, for its strictness: no fuzz. DIR must not be
# taken for a part of the repository around it.
apply_patches() {
	local dir=$1 p
	shift
	for p in "$@"; do
		GIT_CEILING_DIRECTORIES=$(dirname "$dir") git -C "$dir" apply --whitespace=nowarn "$p" ||
			{
				echo "error: $(basename "$p") does not apply to this kernel tree" >&2
				return 1
			}
	done
}

# copy_overlay TREE: new and changed files only, so that nothing else is rebuilt.
copy_overlay() {
	overlay_files | rsync -rlp --checksum --files-from=- --out-format='%n' "$TOP/" "$1/"
	[ ! -f "$TOP/Kconfig" ] || {
		mkdir -p "$1/$(dirname "$KCONFIG_PLACE")"
		rsync -lp --checksum --out-format="$KCONFIG_PLACE" "$TOP/Kconfig" "$1/$KCONFIG_PLACE"
	}
}

# The overlay's files by the path they have in the kernel tree.
overlay_places() {
	overlay_files
	[ ! -f "$TOP/Kconfig" ] || echo "$KCONFIG_PLACE"
}
