#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Makes build/linux-7.3: pristine source, then patches, then the overlay. Run
# again, it touches only the files whose content changes, so that the kernel is
# rebuilt only where it has to be. What it needs for that is in
# build/.linux-7.3: the originals of patched files and the list of ours.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/kernel-paths.sh"
. "$TOP/scripts/overlay.sh"

state=$BUILD/.linux-$KERNEL_SERIES
orig=$state/orig
changed=0

# Names the source, so that another one is noticed.
identity() {
	if [ -z "${KERNEL:-}" ]; then
		stat -c 'tarball %s %Y' "$KERNEL_TARBALL"
	else
		realpath "$KERNEL"
		find "$KERNEL" -name .git -prune -o -type f -printf '%P %s %T@\n' | sort
	fi | digest_input
}

unpack_tarball() { # DIR
	step "kernel source: unpacking" unpack-kernel tar -C "$1" -xf "$KERNEL_TARBALL" --strip-components=1
}

copy_kernel_dir() { # DIR
	step "kernel source: copying $KERNEL" copy-kernel rsync -a --exclude=.git "$KERNEL/" "$1/"
	# Built in place? The copy must be clean for a build outside of it.
	if [ -e "$1/.config" ] || [ -d "$1/include/config" ]; then
		step "kernel source: cleaning the copy" clean-kernel \
			make -C "$1" ARCH=arm64 mrproper
	fi
}

pristine() {
	local id new=$KERNEL_SRC.new
	if [ -n "${KERNEL:-}" ]; then
		kernel_dir_release "$KERNEL" >/dev/null
	elif [ ! -s "$KERNEL_TARBALL" ]; then
		die "no kernel source: run make setup"
	fi
	id=$(identity)
	[ "$(cat "$state/source" 2>/dev/null)" != "$id" ] || return 0
	need_space "$BUILD" 2000 "the kernel source"
	rm -rf "$new" "$state"
	mkdir -p "$new"
	if [ -n "${KERNEL:-}" ]; then copy_kernel_dir "$new"; else unpack_tarball "$new"; fi
	kernel_dir_release "$new" >/dev/null
	if [ -d "$KERNEL_SRC" ]; then
		# Objects of what stays equal remain valid.
		step "kernel source: updating" update-kernel \
			rsync -rlp --checksum --delete "$new/" "$KERNEL_SRC/"
		rm -rf "$new"
	else
		mv "$new" "$KERNEL_SRC"
	fi
	mkdir -p "$orig"
	: >"$state/overlay"
	echo "$id" >"$state/source"
}

# The original of a file is saved once, before the first change to it.
save_original() { # PATH
	[ ! -e "$orig/$1" ] && [ ! -e "$orig/$1.absent" ] || return 0
	mkdir -p "$(dirname "$orig/$1")"
	if [ -e "$KERNEL_SRC/$1" ]; then
		cp "$KERNEL_SRC/$1" "$orig/$1.tmp"
		mv "$orig/$1.tmp" "$orig/$1"
	else
		: >"$orig/$1.absent"
	fi
}

# put FROM PATH: PATH in the tree becomes equal to FROM, or goes away if there
# is no FROM. A new time stamp only where the content changes.
put() {
	local to=$KERNEL_SRC/$2
	if [ ! -e "$1" ]; then
		[ -e "$to" ] || return 0
		rm -f "$to"
	else
		! cmp -s "$1" "$to" || return 0
		mkdir -p "$(dirname "$to")"
		cp --preserve=mode "$1" "$to.tmp"
		mv "$to.tmp" "$to"
	fi
	changed=$((changed + 1))
}

patches() {
	local list=() scratch=$state/scratch path
	mapfile -t list < <(patch_files)
	rm -rf "$scratch"
	mkdir -p "$scratch"
	while IFS= read -r path; do
		save_original "$path"
		[ ! -e "$orig/$path" ] || {
			mkdir -p "$(dirname "$scratch/$path")"
			cp --preserve=mode "$orig/$path" "$scratch/$path"
		}
	done < <(patched_paths "${list[@]}")
	apply_patches "$scratch" "${list[@]}" || exit 2
	# Every file ever patched: as patched now, or as it was.
	while IFS= read -r path; do
		path=${path%.absent}
		if patched_paths "${list[@]}" | grep -qxF "$path"; then
			put "$scratch/$path" "$path"
		else
			put "$orig/$path" "$path"
		fi
	done < <(cd "$orig" && find . -type f -printf '%P\n')
	rm -rf "$scratch"
}

overlay() {
	local path n
	overlay_places | sort >"$state/overlay.new"
	# An edit to a file of the kernel's must be a patch.
	comm -13 "$state/overlay" "$state/overlay.new" | while IFS= read -r path; do
		[ ! -e "$KERNEL_SRC/$path" ] || cmp -s "$TOP/$path" "$KERNEL_SRC/$path" ||
			[ "$path" = "$KCONFIG_PLACE" ] ||
			die "$path is a file of the kernel's: change it by a patch in patches/$KERNEL_SERIES"
	done
	comm -23 "$state/overlay" "$state/overlay.new" | while IFS= read -r path; do
		rm -f "$KERNEL_SRC/$path"
	done
	# Recorded first: a copy cut short is then still known as ours.
	sort -u "$state/overlay" "$state/overlay.new" >"$state/overlay.both"
	mv "$state/overlay.both" "$state/overlay"
	n=$(copy_overlay "$KERNEL_SRC" | grep -vc '/$' || true)
	mv "$state/overlay.new" "$state/overlay"
	changed=$((changed + n))
}

take_lock "$BUILD/.prepare.lock" "$KERNEL_SRC"
pristine
patches
overlay
say "kernel source: $(kernel_dir_release "$KERNEL_SRC"), $(patch_files | wc -l) patches, $(wc -l <"$state/overlay") new files; $changed changed"
