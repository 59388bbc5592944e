#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Processes that sleep in system calls, many times over, with a random offset
# of the stack pointer for each call; and one whose copy_from_user() faults and
# sleeps, so that the call chain goes through an exception.

. "$(dirname "$0")"/functions.sh

ROUNDS=40

coproc_done() {
	# Its input ends, so it does.
	exec {to}>&-
	wait "$1"
}

# All verdicts on the sleepers: reliable, or that they were not asleep.
count_verdicts() {
	local i pid

	for ((i = 0; i < ROUNDS; i++)); do
		for pid in "${pids[@]}"; do
			count_verdict "$pid" "${names[$pid]}"
			[ $refused -gt 10 ] && return
		done
	done
}

start_tests 7
declare -A names
pids=()
reliable=0 refused=0 awake=0

coproc ./orc_sleepers
sleepers=$COPROC_PID
to=${COPROC[1]} from=${COPROC[0]}
while read -r -u "$from" pid name && [ "$pid" != ready ]; do
	pids+=("$pid")
	names[$pid]=$name
done
count_verdicts
note "$reliable reliable, $refused unreliable, $awake not asleep"
wanted=$((${#pids[@]} * ROUNDS / 2))
if grep -q ' randomize_kstack_offset$' /proc/kallsyms; then
	check "${#pids[@]} system calls: all verdicts reliable" equal 0 $refused
	check "$wanted of them or more" at_least $((wanted > 0 ? wanted : 1)) $reliable
else
	skip "system calls: all verdicts reliable" "no RANDOMIZE_KSTACK_OFFSET"
	skip "system calls: enough of them" "no RANDOMIZE_KSTACK_OFFSET"
fi

# Before livepatch begins to poke tasks with signals, after 15 s.
insmod test_modules/test_orc_livepatch.ko
check "transition with sleepers" wait_for 12 transition_done test_orc_livepatch
remove_patch test_orc_livepatch
coproc_done "$sleepers"

coproc ./orc_fault
fault=$COPROC_PID
to=${COPROC[1]} from=${COPROC[0]}
if read -r -t 10 -u "$from" tid; then
	stack=$(cat "/proc/$tid/stack")
	check "copy_from_user: it sleeps in a fault" matches 'handle_userfault' "$stack"
	check "copy_from_user: through an exception" matches 'el1h_64_sync' "$stack"
	check "copy_from_user: verdict" equal reliable "$(verdict "$tid")"
	echo >&"$to"
	coproc_done "$fault" || note "orc_fault ended with $?"
else
	wait "$fault"
	why="no fault: orc_fault ended with $?"
	for what in "it sleeps in a fault" "through an exception" verdict; do
		if [[ $why == *4 ]]; then
			skip "copy_from_user: $what" "no userfaultfd"
		else
			fail "copy_from_user: $what" "$why"
		fi
	done
fi
check "kernel log" healthy
ktap_finished
