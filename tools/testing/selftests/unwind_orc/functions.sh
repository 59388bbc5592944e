#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What the tests of the ORC unwinder share. A test sources this, calls
# start_tests with the number of its tests, gives each result with pass, fail or
# skip (or check, which decides), and ends with ktap_finished.
#
# The tests run, and fail, on a kernel without the ORC unwinder too.

export LC_ALL=C

WALKER=unwind_orc
DEBUGFS=/sys/kernel/debug
STATS=$DEBUGFS/unwind_orc/stats
KLP=/sys/kernel/livepatch
TRACING=/sys/kernel/tracing
# used by the tests
# shellcheck disable=SC2034
CHAIN=$DEBUGFS/test_orc_chain

# Guest seconds in which a livepatch transition has to finish.
TRANSITION_BOUND=30

TEST_DIR=$(dirname "$(readlink -f "$0")")
cd "$TEST_DIR" || exit 1
# shellcheck source=/dev/null
. ../kselftest/ktap_helpers.sh || exit 1

background=()
marker=
walker_at_start=0

note() { printf '# %s\n' "$*"; }

pass() { ktap_test_pass "$1"; }
skip() { ktap_test_skip "$1 ($2)"; }

# fail DESCRIPTION [WHY...]
fail() {
	ktap_test_fail "$1"
	shift
	while [ $# -gt 0 ]; do
		printf '%s\n' "$1" | sed 's/^/#   /'
		shift
	done
}

# check DESCRIPTION COMMAND...: the command's output is shown if it fails, and
# if it passes the lines of it that are notes
check() {
	local what=$1 output

	shift
	if output=$("$@" 2>&1); then
		pass "$what"
		grep '^#' <<< "$output"
	else
		fail "$what" "$output"
	fi
	return 0
}

# equal WANT HAVE
equal() {
	[ "$1" = "$2" ] && return
	printf "expected '%s', got '%s'\n" "$1" "$2"
	return 1
}

# matches PATTERN TEXT: an extended regular expression, on any line
matches() {
	grep -Eq -- "$1" <<< "$2" && return
	printf "nothing like '%s' in:\n%s\n" "$1" "$2"
	return 1
}

# at_least LIMIT HAVE
at_least() {
	[ "$2" -ge "$1" ] 2> /dev/null && return
	printf "expected %s or more, got '%s'\n" "$1" "$2"
	return 1
}

skip_all() {
	ktap_skip_all "$*"
	exit "$KSFT_SKIP"
}

loaded() { [ -d "/sys/module/$1" ]; }

# The walker proper. A kernel may have it built in: there is nothing to unload.
walker_builtin() {
	grep -qs "/$WALKER\.ko\$" "/lib/modules/$(uname -r)/modules.builtin"
}

walker_loaded() { walker_builtin || loaded $WALKER; }

load_walker() {
	walker_loaded || modprobe $WALKER
}

unload_walker() {
	! walker_builtin && loaded $WALKER && rmmod $WALKER
}

# load MODULE [PARAMETER...]: one of test_modules, to be unloaded at the end
load() {
	local module=$1

	shift
	loaded "$module" && return
	insmod "test_modules/$module.ko" "$@" || {
		note "cannot load test_modules/$module.ko"
		return 1
	}
}

# A process in the background, ended with the test.
start() {
	# In a check it would hold the pipe that the check reads, and nobody would stop it.
	[ "$BASHPID" = $$ ] || { echo "start $*: not within a check"; return 1; }
	"$@" &
	background+=($!)
}

stop_background() {
	[ ${#background[@]} -eq 0 ] && return
	kill "${background[@]}" 2> /dev/null
	wait "${background[@]}" 2> /dev/null
	background=()
}

cleanup() {
	local module

	stop_background
	declare -F test_cleanup > /dev/null && test_cleanup
	loaded test_orc_hog && rmmod test_orc_hog
	remove_patch test_orc_livepatch
	# Users first.
	for module in cases corrupt differ inject init probe step chain relay lib; do
		loaded "test_orc_$module" && rmmod "test_orc_$module"
	done
	if [ $walker_at_start = 1 ]; then
		load_walker
	else
		unload_walker
	fi
}

# start_tests COUNT
start_tests() {
	ktap_print_header
	[ "$(uname -m)" = aarch64 ] || skip_all "not arm64"
	[ "$(id -u)" = 0 ] || skip_all "must be run as root"
	mountpoint -q $DEBUGFS || mount -t debugfs none $DEBUGFS 2> /dev/null
	mountpoint -q $DEBUGFS || skip_all "no debugfs"
	[ -d test_modules ] || skip_all "no test modules beside $0"
	walker_loaded && walker_at_start=1
	trap cleanup EXIT
	trap 'exit 1' INT TERM HUP
	load_walker || note "cannot load $WALKER: is this a kernel with CONFIG_UNWIND_ORC?"
	marker="unwind_orc selftest: ${0##*/} $$ $(cut -d' ' -f1 /proc/uptime)"
	echo "$marker" > /dev/kmsg
	ktap_set_plan "$1"
}

# The kernel's messages since start_tests.
messages() {
	dmesg | awk -v marker="$marker" 'seen; index($0, marker) { seen = 1 }'
}

# No oops, warning, lockdep report... in the log since start_tests.
healthy() {
	! messages | grep -E \
		'BUG:|WARNING:|Oops|Unable to handle|Internal error|Call trace:|INFO: |panic'
}

# stat_of NAME: a counter of the walker's; 0 without it. They begin at 0 when it
# is loaded.
stat_of() {
	awk -F': *' -v name="$1" '$1 == name { n = $2 } END { print n + 0 }' \
		$STATS 2> /dev/null || echo 0
}

# Reasons whose counters differ between two copies of the statistics.
moved() {
	diff <(echo "$1") <(echo "$2") | sed -n 's/^> \(.*\): *[0-9]*$/\1/p' |
		grep -v '^frames$'
}

statistics() { cat $STATS 2> /dev/null; }

# verdict PID: the last line of its stack file; nothing without the walker
verdict() {
	local lines

	# No process of its own for it: some tests ask thousands of times.
	mapfile -t lines 2> /dev/null < "/proc/$1/stack"
	case ${lines[-1]-} in
	reliable | unreliable:*) printf '%s\n' "${lines[-1]}" ;;
	esac
}

# count_verdict PID NAME [REASON]: one more in $reliable, in $awake (it was not
# asleep), in $expected (refused for this reason) or in $refused, with a note
count_verdict() {
	local line

	line=$(verdict "$1")
	case $line in
	reliable)
		reliable=$((reliable + 1)) ;;
	'unreliable: task running on another cpu'* | 'unreliable: task ran during'*)
		awake=$((awake + 1)) ;;
	"unreliable: ${3-none} at "*)
		expected=$((expected + 1)) ;;
	*)
		refused=$((refused + 1))
		note "$2: ${line:-no verdict}" ;;
	esac
}

# now: milliseconds since boot
now() {
	local up

	read -r up _ < /proc/uptime
	echo $(( ${up%.*} * 1000 + 10#${up#*.} * 10 ))
}

# wait_for SECONDS COMMAND...: prints the milliseconds it took
wait_for() {
	local begin end

	begin=$(now)
	end=$((begin + $1 * 1000))
	shift
	until "$@"; do
		[ "$(now)" -lt $end ] || return 1
		sleep 0.1
	done
	echo $(($(now) - begin))
}

transition_done() { [ "$(cat "$KLP/$1/transition" 2> /dev/null)" = 0 ]; }
patch_gone() { [ ! -e "$KLP/$1" ]; }

# remove_patch NAME: whatever state it is in, if it is there at all
remove_patch() {
	loaded "$1" || return 0
	[ "$(cat "$KLP/$1/enabled" 2> /dev/null)" = 1 ] &&
		echo 0 > "$KLP/$1/enabled"
	wait_for $TRANSITION_BOUND patch_gone "$1" > /dev/null || return 1
	rmmod "$1"
}

# No tracer, no probe.
untrace() {
	echo 0 > $TRACING/events/kprobes/enable
	echo > $TRACING/kprobe_events
	echo nop > $TRACING/current_tracer
	echo > $TRACING/set_ftrace_filter
	echo > $TRACING/trace
} 2> /dev/null

# trace_with TRACER PATTERN...: on these functions
trace_with() {
	printf '%s\n' "${@:2}" > $TRACING/set_ftrace_filter &&
		echo "$1" > $TRACING/current_tracer
}

# chain WHAT: start the thread of test_orc_chain, or stop it
chain() { echo "$1" > $CHAIN/control; }

# The trace of the chain, from CPU 0, where its "spin" then can't be running.
chain_check() { taskset -c 0 cat $CHAIN/check; }

chain_is_reliable() { matches '^reliable: ' "$(chain_check)"; }

# run_differ ROUNDS: all tasks, walked by the walkers at the same moments
run_differ() {
	echo "$1" > /sys/module/test_orc_differ/parameters/rounds
	walks=$(cat $DEBUGFS/test_orc_differ/run)
	grep '^#' <<< "$walks"
	note "$(grep -v '^#' <<< "$walks" | tr '\n' ' ')"
}

# differ NAME: a count of the last run_differ
differ() { sed -n "s/^$1: *//p" <<< "$walks"; }

# none_differ NAME: of traces that were reliable, if there were any
none_differ() {
	at_least 1 "$(differ reliable)" && equal 0 "$(differ "$1")"
}

# most_follow: ten of $reliable for each of $expected
most_follow() {
	at_least $((expected * 10)) $reliable && at_least 1 $reliable
}

# Three results.
check_differ() {
	check "nothing that stock alone calls reliable" none_differ 'stock only'
	check "same PCs wherever stock says reliable" none_differ different
	check "no PC missing that the ordinary walker has" none_differ less
}

# CPU-bound kthreads, twice the CPUs.
hog() { load test_orc_hog; }
