#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Second copies of return addresses: on a shadow call stack, or as signatures. A lie
# that rows, frame records and instructions can't tell from the truth has to be
# refused, and nothing else.

. "$(dirname "$0")"/functions.sh

CORRUPT=$DEBUGFS/test_orc_corrupt

# The kernel counts the shadow call stacks that it has allocated.
shadow_in_use() {
	[ "$(awk '$1 == "ShadowCallStack:" { print $2 }' /proc/meminfo)" -gt 0 ] 2> /dev/null
}

# CONFIG_UNWIND_ORC_PAC, on CPUs that sign.
signatures_in_use() {
	grep -qw unwind_orc_sign_as /proc/kallsyms && grep -qw paca /proc/cpuinfo
}

# Each task, so many times. Other refusals are not looked at here.
reliable_walks() {
	local round dir n=0

	for ((round = 0; round < $1; round++)); do
		for dir in /proc/[0-9]*; do
			[ "$(verdict "${dir#/proc/}")" = reliable ] && n=$((n + 1))
		done
	done
	echo $n
}

# No task is refused for the reason, and many are reliable.
nobody_refused() {
	local before walks

	before=$(stat_of "$reason")
	walks=$(reliable_walks "$1")
	note "reliable walks: $walks"
	at_least $(($1 * 20)) "$walks" && equal "$before" "$(stat_of "$reason")"
}

refused_blocked() {
	local line

	echo "$pid ra-twin" > $CORRUPT/doctor || return 1
	line=$(verdict "$pid")
	echo > $CORRUPT/repair
	matches "^unreliable: $reason at " "$line" && equal reliable "$(verdict "$pid")"
}

refused_preempted() {
	local before

	before=$(stat_of "$reason")
	if taskset -c 0 bash -c "echo $pid ra-twin > $CORRUPT/once" 2> /dev/null; then
		echo "believed"
		return 1
	fi
	equal $((before + 1)) "$(stat_of "$reason")" && chain_is_reliable
}

# On functions that tasks sleep in.
graph() {
	echo 'schedule* __arm64_sys_* kthread*' > $TRACING/set_ftrace_filter
	echo "$1" > $TRACING/current_tracer
}

test_cleanup() {
	graph nop
	echo > $TRACING/set_ftrace_filter
	echo > $TRACING/kprobe_events
}

kretprobe() {
	echo 'r:witness do_sys_openat2' > $TRACING/kprobe_events &&
		echo "$1" > $TRACING/events/kprobes/witness/enable
}

if signatures_in_use; then
	reason='return address not authentic'
elif shadow_in_use; then
	reason='shadow call stack entry without a frame'
else
	ktap_print_header
	skip_all "neither signed return addresses nor shadow call stacks in use"
fi

start_tests 8
load test_orc_lib && load test_orc_relay && load test_orc_chain &&
	load test_orc_corrupt

chain block
pid=$(cat $CHAIN/pid)
check "no lie: reliable" equal reliable "$(verdict "$pid")"
check "blocked, another call of the same function: refused" refused_blocked
chain stop

chain spin
pid=$(cat $CHAIN/pid)
sleep 0.3
check "no lie, preempted: reliable" chain_is_reliable
check "preempted, another call of the same function: refused" refused_preempted
chain stop

hog
check "nobody else refused" nobody_refused 3
kretprobe 1
check "nobody else refused, with a kretprobe" nobody_refused 2
graph function_graph
check "nobody else refused, with the function graph tracer" nobody_refused 2
check "kernel log" healthy
ktap_finished
