# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# One list of results over everything that a command runs, and its closing
# line. Sourced after lib.sh. A line is: pass|fail|skip, what, why; with tabs.

RESULTS=${ORC_RESULTS:-$BUILD/results.tsv}

# A caller that runs several commands gives ORC_RESULTS and closes by itself.
results_begin() {
	mkdir -p "$(dirname "$RESULTS")"
	[ -n "${ORC_RESULTS:-}" ] || : >"$RESULTS"
}

result() { # pass|fail|skip WHAT [WHY]
	printf '%s\t%s\t%s\n' "$1" "$2" "${3:-}" >>"$RESULTS"
	[ "$1" = pass ] || printf '    %s: %s%s\n' "$1" "$2" "${3:+: $3}"
}

# Adds the lines on standard input, with the failures and skips named.
results_add() {
	local outcome what why
	while IFS=$'\t' read -r outcome what why; do
		result "$outcome" "$what" "$why"
	done
}

results_count() { # pass|fail|skip
	grep -c "^$1	" "$RESULTS" || true
}

# The closing line, alone and last; status 1 when something failed or nothing
# ran.
results_close() {
	local failed passed skipped
	passed=$(results_count pass) failed=$(results_count fail) skipped=$(results_count skip)
	if [ -z "${ORC_RESULTS:-}" ]; then
		echo
		grep -E '^(fail|skip)	' "$RESULTS" | sort |
			awk -F'\t' '{ printf "%s: %s%s\n", $1, $2, ($3 == "" ? "" : ": " $3) }' || true
		echo "$passed passed, $failed failed, $skipped skipped"
	fi
	((failed == 0 && passed > 0))
}
