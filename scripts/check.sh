#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The lints. Each is one result; the last line counts them.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/kernel-make.sh"
. "$TOP/scripts/overlay.sh"
. "$TOP/scripts/results.sh"
. "$TOP/scripts/check-kernel.sh"

# check WHAT NAME COMMAND...: a result from the command's status.
check() {
	local what=$1 log=$LOG_DIR/$2.log
	shift
	if STEP_MAY_FAIL=1 step "check: $what" "$@"; then
		result pass "check: $what"
	else
		result fail "check: $what" "see $log"
		tail -n 20 "$log" | sed 's/^/        /'
	fi
}

rust_files() { # of the kernel side: Cargo formats its own
	cd "$TOP" && overlay_files | grep '\.rs$' | grep -v '^rust/orc/'
}

format_kernel_rust() {
	local files=()
	mapfile -t files < <(rust_files)
	((${#files[@]})) || return 0
	(cd "$TOP" && "$(rust_companion rustfmt)" --check --edition 2021 \
		--config-path "$KERNEL_SRC/.rustfmt.toml" --config skip_children=true "${files[@]}")
}

shell_files() {
	git -C "$TOP" ls-files 2>/dev/null | while IFS= read -r f; do
		case $f in
		*.sh) echo "$TOP/$f" ;;
		*) ! head -n 1 "$TOP/$f" 2>/dev/null | grep -q '^#!.*\bbash\b' || echo "$TOP/$f" ;;
		esac
	done
}

check_shell() { # selftests source the kernel's files, which stand elsewhere
	shell_files | xargs shellcheck -x -e SC1091 --severity=warning
}

host_crates() {
	local name dir cargo
	cargo=$(find_cargo)
	for name in orc orctool klp-why fuzz; do
		case $name in
		orc) dir=$TOP/rust/orc ;;
		orctool) dir=$TOP/tools/orc ;;
		klp-why) dir=$TOP/tools/livepatch/klp-why ;;
		fuzz) dir=$TOP/tools/fuzz ;;
		esac
		check "$name: rustfmt" "fmt-$name" \
			env RUSTFMT="$(rust_companion rustfmt)" "$cargo" fmt --all --check --manifest-path "$dir/Cargo.toml"
		check "$name: clippy" "clippy-$name" \
			env CARGO_TARGET_DIR="$CARGO_TARGET" "$cargo" clippy --workspace --all-targets --locked \
			--manifest-path "$dir/Cargo.toml" -- -D warnings
	done
}

bash "$TOP/scripts/setup.sh"
results_begin
check "shellcheck" shellcheck check_shell
check "the counting of results" ktap-counting bash "$TOP/scripts/tests/ktap.sh"
host_crates
bash "$TOP/scripts/kernel.sh"
kernel_make_args
check "kernel side: rustfmt" fmt-kernel format_kernel_rust
check "kernel side: clippy" clippy-kernel kernel_clippy
check "checkpatch: patches" checkpatch-patches checkpatch_patches
check "checkpatch: new files" checkpatch-files checkpatch_files
check "the series applies to pristine source" series-applies series_applies
check "no panic is linked in" panic-symbols panic_symbols
check "a walk's stack, and no probe in it" walk-calls walk_calls
results_close
