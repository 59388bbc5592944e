# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The lints that need the kernel's tree or its objects. Each prints what it
# found and fails if it found anything. Sourced by check.sh.

. "$TOP/scripts/scratch-tree.sh"

# What of checkpatch does not apply here:
# FILE_PATH_CHANGES asks for MAINTAINERS lines, which are for a submission.
# SPDX_LICENSE_TAG: rust/orc is "GPL-2.0 OR MIT", as the host tools use it too.
# EMAIL_SUBJECT, COMMIT_MESSAGE, NO_AUTHOR_SIGN_OFF, MISSING_SIGN_OFF: who sends
# the series signs it off.
CHECKPATCH_IGNORE=FILE_PATH_CHANGES,SPDX_LICENSE_TAG,NO_AUTHOR_SIGN_OFF,MISSING_SIGN_OFF

checkpatch() {
	(cd "$KERNEL_SRC" && perl scripts/checkpatch.pl --strict --quiet --no-summary --show-types \
		--max-line-length=100 --ignore "$CHECKPATCH_IGNORE" "$@")
}

checkpatch_patches() {
	local p rc=0
	while IFS= read -r p; do
		checkpatch "$p" || rc=1
	done < <(patch_files)
	return "$rc"
}

# C, headers, Kconfig and make files of ours; checkpatch has no rules for .rst,
# and rustfmt and clippy look after .rs.
checkpatch_files() {
	local f rc=0
	while IFS= read -r f; do
		case $f in
		*.c | *.h | */Kconfig | */Makefile) checkpatch --file "$TOP/$f" || rc=1 ;;
		esac
	done < <(overlay_files)
	[ ! -f "$TOP/Kconfig" ] || checkpatch --file "$KERNEL_SRC/$KCONFIG_PLACE" || rc=1
	return "$rc"
}

# git am onto pristine files gives exactly the tree that was built.
series_applies() {
	local repo=$BUILD/.series-check path rc=0
	bash "$TOP/scripts/series.sh" || return 1
	mapfile -t list < <(patch_files)
	scratch_tree "$repo" "${list[@]}"
	git -C "$repo" am --quiet "$BUILD"/series/*.patch || return 1
	while IFS= read -r path; do
		cmp "$repo/$path" "$KERNEL_SRC/$path" || rc=1
	done < <(git -C "$repo" ls-files)
	rm -rf "$repo"
	return "$rc"
}

# The objects of the walker and of the core crate.
unwinder_objects() {
	find "$KERNEL_OUT/arch/arm64/kernel/unwind_orc" "$KERNEL_OUT/rust" \
		-name '*.o' ! -name '*.mod.o' ! -name 'built-in*' \
		\( -path '*/unwind_orc/*' -o -name 'orc*.o' \) ! -name '*kunit*' 2>/dev/null
}

PANICS='panick|unwrap_failed|expect_failed|slice.*_fail|slice_.*index|rust_begin_unwind|handle_alloc_error|__rust_alloc'

panic_symbols() {
	local objects found
	mapfile -t objects < <(unwinder_objects)
	((${#objects[@]})) || { echo "no object of the unwinder found" && return 1; }
	printf 'looked at %s\n' "${objects[@]}"
	found=$("$(binutil nm)" -A -u "${objects[@]}" | grep -E "$PANICS" || true)
	found+=$(panics_in_kernel_crate)
	[ -z "$found" ] || { printf 'panic symbol: %s\n' "$found" && return 1; }
}

binutil() { # NAME
	if [ "$COMPILER" = clang ]; then llvm_tool "llvm-$1"; else echo "$CROSS_COMPILE$1"; fi
}

# Bytes of stack that a walk may take, from arch_stack_walk_reliable() down: it is done in
# __schedule(), on a stack that may be nearly full. Without the unwinder it is 288. The
# goal is 768; this only keeps it from growing.
WALK_STACK=976

walk_calls() {
	python3 "$TOP/scripts/walk-calls.py" "$(binutil objdump)" "$KERNEL_OUT" "$WALK_STACK"
}

# rust/kernel is one object, and most of it is not ours: by function. Tests may
# panic.
panics_in_kernel_crate() {
	"$(binutil objdump)" -dr "$KERNEL_OUT/rust/kernel.o" | awk -v panics="$PANICS" '
		/^[0-9a-f]+ <.*>:$/ { function_ = $2; seen += function_ ~ /unwind_orc/ }
		/R_AARCH64_(CALL|JUMP)26/ && function_ ~ /unwind_orc/ && function_ !~ /5tests|kunit_rust/ &&
			$NF ~ panics { print " in rust/kernel: " function_ " " $NF }
		END { if (!seen) print " none of our functions is in rust/kernel.o" }'
}

# The objects are copied, because clippy compiles with other settings and would
# have the next build start over.
kernel_clippy() {
	local out=$BUILD/clippy-$KERNEL_SERIES make=() word log
	mkdir -p "$out"
	rsync -a --delete --exclude='*.ko' --exclude='vmlinux*' "$KERNEL_OUT/" "$out/" || return 1
	for word in "${KERNEL_MAKE[@]}"; do
		make+=("${word/#O=*/O=$out}")
	done
	log=$LOG_DIR/clippy-kernel-make.log
	"${make[@]}" CLIPPY=1 rust/ arch/arm64/kernel/unwind_orc/ samples/unwind_orc/ 2>&1 | tee "$log"
	[ "${PIPESTATUS[0]}" = 0 ] || return 1
	# The kernel crate has warnings of its own; ours are those in our files.
	! grep -A3 -E '^(warning|error)' "$log" | grep -E -- '--> .*(unwind_orc|/orc/)'
}
