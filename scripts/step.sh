# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Runs one long step: output to a log, progress and elapsed time on the
# terminal, and a failure that names the log and shows its end. Sourced by lib.sh.

# A pipe nobody writes to, so that "read -t" sleeps without a child process
# that would outlive the step and hold the caller's output open.
exec {STEP_IDLE}<> <(:)

# What the log says now: the count of lines that look like one built file, or
# else the last line. EXPECTED is how many the whole step has, 0 if unknown.
step_progress() { # LOG EXPECTED
	local done_ line
	done_=$(grep -cE '^ +([A-Z]+ ){1,2} *[^ ]+$' "$1" 2>/dev/null) || true
	if ((${done_:-0} > 20)); then
		(($2 > done_)) && printf '%d of about %d files' "$done_" "$2" ||
			printf '%d files' "$done_"
		return
	fi
	line=$(tail -c 400 "$1" 2>/dev/null | tr '\r' '\n' | grep -v '^ *$' | tail -n 1) || true
	printf '%.60s' "${line//[^[:print:]]/}"
}

step_ticker() { # TITLE LOG EXPECTED START
	local every=30
	trap 'exit 0' TERM
	[ -t 1 ] && every=1
	while ! read -r -t "$every" -u "$STEP_IDLE"; do
		local text
		text="  $(elapsed $(($(date +%s) - $4))) $1: $(step_progress "$2" "$3")"
		if [ -t 1 ]; then printf '\r\033[K%.100s' "$text"; else echo "$text"; fi
	done
}

# step TITLE NAME COMMAND... runs COMMAND with its output in build/log/NAME.log.
# STEP_EXPECTED is how many files it builds; STEP_WATCH another file whose end
# tells how far it is; STEP_MAY_FAIL=1 returns the status instead of ending the
# script.
step() {
	local title=$1 log=$LOG_DIR/$2.log start ticker rc=0
	shift 2
	mkdir -p "$LOG_DIR"
	: >"$log"
	start=$(date +%s)
	say "$title"
	step_ticker "$title" "${STEP_WATCH:-$log}" "${STEP_EXPECTED:-0}" "$start" &
	ticker=$!
	"$@" >>"$log" 2>&1 </dev/null || rc=$?
	kill "$ticker" 2>/dev/null || true
	wait "$ticker" 2>/dev/null || true
	[ ! -t 1 ] || printf '\r\033[K'
	if ((rc)) && [ -z "${STEP_MAY_FAIL:-}" ]; then
		step_failed "$title" "$log" "$rc"
	fi
	((rc)) || say "$title: done in $(elapsed $(($(date +%s) - start)))"
	return "$rc"
}

step_failed() { # TITLE LOG STATUS
	{
		echo "error: $1 failed (exit status $3); the end of $2:"
		tail -n "${STEP_TAIL:-25}" "$2" | sed 's/^/    /'
		step_hint "$2"
	} >&2
	exit 2
}

# The few causes that are the machine's and not the command's.
step_hint() { # LOG
	if grep -qiE 'no space left on device' "$1"; then
		echo "hint: the disk is full; free space:"
		df -Ph "$BUILD" "$CACHE" | sed 's/^/    /'
	elif grep -qiE 'could not resolve|temporary failure (in name|resolving)|network is unreachable|failed to fetch|could not connect|connection timed out|spurious network error' "$1"; then
		echo "hint: no network, or the server cannot be reached; run the command again when it can: what is there already is kept"
	elif grep -qE 'Killed|out of memory|Cannot allocate memory' "$1"; then
		echo "hint: out of memory; try JOBS=1"
	fi
}
