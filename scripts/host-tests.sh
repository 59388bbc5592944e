# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The Cargo tests, counted into the results. Sourced after results.sh.

# Lines of a cargo test log -> result lines.
cargo_results() { # NAME LOG
	awk -v crate="$1" '
		/^test .* \.\.\. ok$/ { print "pass\t" crate ": " name() "\t"; next }
		/^test .* \.\.\. FAILED$/ { print "fail\t" crate ": " name() "\t"; next }
		/^test .* \.\.\. ignored/ {
			why = $0; sub(/^.*\.\.\. ignored,? */, "", why)
			print "skip\t" crate ": " name() "\t" why
		}
		function name(    n) { n = $0; sub(/^test /, "", n); sub(/ \.\.\. [^.]*$/, "", n); return n }
	' "$2"
}

cargo_tests() { # NAME DIRECTORY [ARGUMENT...]
	local log=$LOG_DIR/cargo-$1.log rc=0
	STEP_MAY_FAIL=1 step "host tests: $1" "cargo-$1" \
		env CARGO_TARGET_DIR="$CARGO_TARGET" CARGO_TERM_COLOR=never \
		"$(find_cargo)" test --workspace --locked --no-fail-fast --manifest-path "$2/Cargo.toml" "${@:3}" || rc=$?
	cargo_results "$1" "$log" | results_add
	if ((rc)) && ! grep -q '^test .* FAILED$' "$log"; then
		result fail "$1" "cargo test ended with status $rc: $(grep -m1 -E '^error' "$log" || tail -n 1 "$log") (see $log)"
	elif ! grep -q '^test ' "$log"; then
		result fail "$1" "no test ran (see $log)"
	fi
}

# Those of orctool that want a kernel: its instructions decoded by somebody else,
# its rows compared with what they do when they are run, and 10,000 faults in it.
cargo_kernel_tests() { # VMLINUX
	ORC_TEST_ELF=$1 ORC_TEST_MUTANTS=10000 cargo_tests orctool-kernel "$TOP/tools/orc" \
		--release --test decoder --test mutation -- kernel
}
