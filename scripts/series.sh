#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# build/series: everything as a series of mails for git am. New files first, in
# an order in which every commit builds, then the patches that wire them up.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/kernel-paths.sh"
. "$TOP/scripts/overlay.sh"
. "$TOP/scripts/scratch-tree.sh"

out=$BUILD/series
repo=$BUILD/.series

# paths (a pattern over the places), subject, body
commits() {
	cat <<-'EOF'
		rust/orc/*|rust: add the orc crate|Tables of stack unwinding rules, and the walk that follows them and says|whether the stack may be called reliable. No kernel type is used, so that|the same files are tested on the host.
		rust/*|rust: kernel: add safe access to stacks and unwind tables|What the arm64 ORC walker needs of the kernel crate.|
		arch/*|arm64: add a reliable stack walker based on ORC tables|The walker, its interface to the kernel and its options. Nothing is built|yet.
		include/*|tracing: add an event for unreliable stack walks||
		samples/*|samples: add users of the arm64 ORC walker|A livepatch demonstration, and a module that prints the frames and the|verdict of one task.
		tools/testing/*|selftests: add tests of the arm64 ORC walker||
		Documentation/*|Documentation: describe the arm64 ORC walker||
		*|Add files for the arm64 ORC walker||
	EOF
}

commit_overlay() {
	local left pattern subject body mine path
	left=$(overlay_places)
	while IFS='|' read -r pattern subject body; do
		mine=
		while IFS= read -r path; do
			# shellcheck disable=SC2053 # a pattern
			[[ $path != $pattern ]] || mine+=$path$'\n'
		done <<<"$left"
		[ -n "$mine" ] || continue
		left=$(grep -vxFf <(printf '%s' "$mine") <<<"$left" || true)
		(
			cd "$repo" || exit
			printf '%s' "$mine" | tr '\n' '\0' | xargs -0 git add --force --
			printf '%s\n\n%s\n' "$subject" "${body//|/$'\n'}" | git commit -q -F -
		)
		[ -n "$left" ] || break
	done < <(commits)
}

mapfile -t list < <(patch_files)
((${#list[@]})) || die "no patches in $PATCH_DIR"
scratch_tree "$repo" "${list[@]}"
base=$(git -C "$repo" rev-parse HEAD)
copy_overlay "$repo" >/dev/null
commit_overlay
step "series: applying the patches" series git -C "$repo" am --quiet "${list[@]}"
rm -rf "$out"
git -C "$repo" format-patch -q -o "$out" --no-signature --zero-commit "$base"
rm -rf "$repo"
say "series: $(find "$out" -name '*.patch' | wc -l) mails in $out, for Linux $KERNEL_SERIES: git am $out/*.patch"
