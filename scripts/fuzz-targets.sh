# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Builds the fuzz targets of tools/fuzz and runs them. Sourced after lib.sh,
# toolchain.sh and, for fuzz_sample, results.sh.

FUZZ_DIR=$TOP/tools/fuzz
FUZZ_ALL="walk table table_walk rule cfi elf explain baseline"
# What was found and not committed: inputs, and crashes.
FUZZ_OUT=$BUILD/fuzz

fuzz_host() {
	"${RUSTC:-rustc}" -vV | sed -n 's/^host: //p'
}

fuzz_binary() { # TARGET
	echo "$CARGO_TARGET/$(fuzz_host)/release/$1"
}

# With --target, what cargo compiles for its own use is compiled once for all.
fuzz_build() { # TARGET...
	step "fuzz targets" fuzz-build \
		env CARGO_TARGET_DIR="$CARGO_TARGET" RUSTC_WRAPPER="$TOP/scripts/fuzz-rustc.sh" CARGO_TERM_COLOR=never \
		"$(find_cargo)" build --release --locked --features engine --target "$(fuzz_host)" \
		--manifest-path "$FUZZ_DIR/Cargo.toml" "${@/#/--bin=}"
}

# The longest input that is made. Files are larger than what else is read.
fuzz_max_len() { # TARGET
	case $1 in
	elf) echo 12288 ;;
	cfi | table | table_walk) echo 1024 ;;
	*) echo 512 ;;
	esac
}

# Inputs that are new and interesting go to the first directory.
fuzz_run() { # TARGET SECONDS
	local out=$FUZZ_OUT/$1 log=$LOG_DIR/fuzz-$1.log
	mkdir -p "$out/corpus" "$LOG_DIR"
	"$(fuzz_binary "$1")" -max_total_time="$2" -max_len="$(fuzz_max_len "$1")" \
		-timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$out/" \
		"$out/corpus" "$FUZZ_DIR/corpus/$1" >"$log" 2>&1 </dev/null
}

fuzz_figure() { # LOG PATTERN: the last number after it
	grep -oE "$2 *[0-9]+" "$1" | tail -n 1 | grep -oE '[0-9]+$' || echo 0
}

# The walks of an input are counted one by one, unless the target crashed.
fuzz_executions() { # TARGET
	local log=$LOG_DIR/fuzz-$1.log count
	count=$(fuzz_figure "$log" tally::executions:)
	((count)) || count=$(fuzz_figure "$log" stat::number_of_executed_units:)
	echo "$count"
}

fuzz_report() { # TARGET: one line of figures, or what crashed and how to see it again
	local log=$LOG_DIR/fuzz-$1.log input inputs reliable
	inputs=$(fuzz_figure "$log" stat::number_of_executed_units:)
	((inputs)) || inputs=1
	reliable=$(fuzz_figure "$log" tally::reliable:)
	printf '%-12s %12d executions %9d/s %6d edges' "$1" "$(fuzz_executions "$1")" \
		"$(($(fuzz_executions "$1") * $(fuzz_figure "$log" stat::average_exec_per_sec:) / inputs))" \
		"$(fuzz_figure "$log" cov:)"
	[ "$reliable" = 0 ] || printf '%12d reliable' "$reliable"
	echo
	input=$(sed -n 's/^.*Test unit written to //p' "$log" | tail -n 1)
	[ -z "$input" ] || printf '  crash: %s\n  again: %s %s\n' \
		"$(grep -m1 -A1 -E 'panicked at|^==.*ERROR' "$log" | tr '\n' ' ')" "$(fuzz_binary "$1")" "$input"
}

# Runs all, as many at a time as there are jobs. Calls DONE with each target and
# its status.
fuzz_all() { # SECONDS DONE TARGET...
	local seconds=$1 done_=$2 target
	shift 2
	rm -rf "$FUZZ_OUT/status"
	mkdir -p "$FUZZ_OUT/status"
	for target; do
		while (($(jobs -rp | wc -l) >= JOBS)); do wait -n || true; done
		(
			rc=0
			fuzz_run "$target" "$seconds" || rc=$?
			echo "$rc" >"$FUZZ_OUT/status/$target"
		) &
	done
	wait
	for target; do
		"$done_" "$target" "$(cat "$FUZZ_OUT/status/$target" 2>/dev/null || echo 2)"
	done
}

# For test.sh: each target for as long as CI has time.
fuzz_sample() {
	local targets
	read -ra targets <<<"$FUZZ_ALL"
	if STEP_MAY_FAIL=1 fuzz_build "${targets[@]}"; then
		say "fuzzing ${#targets[@]} targets, 30 s each"
		fuzz_all 30 fuzz_result "${targets[@]}"
	else
		result fail "fuzz" "not built, see $LOG_DIR/fuzz-build.log"
	fi
}

fuzz_result() { # TARGET STATUS
	local line
	line=$(fuzz_report "$1")
	printf '    %s\n' "$line"
	if (($2)); then
		result fail "fuzz: $1" "status $2, see $LOG_DIR/fuzz-$1.log"
	else
		result pass "fuzz: $1"
	fi
}
