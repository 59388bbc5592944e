#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tasks that are preempted between the choice of a function, by a live patch or
# another ftrace callback, and the jump to it. What they are about to run is on no
# frame, and has to be on the trace all the same: else livepatch unloads a function
# that a task then jumps into, and the kernel oopses.
#
# ROUNDS=50 repeats what ends in an oops more often.

. "$(dirname "$0")"/functions.sh

HOLD=$DEBUGFS/test_orc_hold
COUNTS=/sys/module/test_orc_redirect/parameters
ROUNDS=${ROUNDS:-6}
# The CPU of the threads, and of what holds them up.
CPU=1
# Transitions of the second part, which need all threads on good stacks.
SWITCHES=4
# Livepatch looks once a second, and switches those that it finds off the CPU and not in
# the function. How often it has to look is chance, and the host's load.
SWITCH_BOUND=$((4 * TRANSITION_BOUND))

test_cleanup() {
	loaded test_orc_hold && rmmod test_orc_hold
	remove_patch test_orc_replace_a
	remove_patch test_orc_replace_b
	loaded test_orc_redirect && rmmod test_orc_redirect
}

# held WHERE VERDICT RAN ENTRY...: the verdict on a task that is held, the first
# entries after ftrace_caller(), and what the task ran when it was let go
held() {
	local where=$1 verdict=$2 ran=$3 lines

	shift 3
	echo "$where" > $HOLD/hold || return 1
	mapfile -t lines < <(sed 's/ \[.*\]//' $HOLD/trace)
	echo > $HOLD/hold
	equal "$verdict" "${lines[0]}" && equal "$ran" "$(cat $HOLD/ran)" || return 1
	[ "$verdict" = unreliable ] || equal "$*" "${lines[*]:1:$#}"
}

# The same without the walker, which has to refuse what it can't know.
stock_refuses() {
	local verdict

	unload_walker || return 1
	echo "$1" > $HOLD/hold && verdict=$(head -n 1 $HOLD/trace)
	echo > $HOLD/hold
	load_walker
	equal unreliable "$verdict"
}

stock_follows() {
	unload_walker || return 1
	held on reliable hold_me hold_me
	local ret=$?
	load_walker
	return $ret
}

# Keeps the threads of CPU off it.
occupy() {
	# shellcheck disable=SC2016 # for the other shell
	taskset -c $CPU nice -n -20 bash -c 'while :; do :; done' &
	occupier=$!
}

release() {
	kill "$occupier"
	wait "$occupier" 2> /dev/null
}

# replace OLD NEW: NEW takes the place of OLD, which is unloaded, while the
# threads are where they were preempted. Counts in $finished if that was possible.
replace() {
	local ret=0

	occupy
	sleep 0.4
	insmod "test_modules/$2.ko"
	if wait_for 6 transition_done "$2" > /dev/null; then
		finished=$((finished + 1))
	else
		release
		wait_for $SWITCH_BOUND transition_done "$2" > /dev/null || ret=1
		occupy
	fi
	wait_for 10 patch_gone "$1" > /dev/null && rmmod "$1" || ret=1
	release
	sleep 1
	return $ret
}

replace_all() {
	local old=test_orc_replace_a new=test_orc_replace_b i

	finished=0
	insmod test_modules/$old.ko &&
		wait_for $SWITCH_BOUND transition_done $old > /dev/null ||
			{ show_waiting; return 1; }
	for ((i = 0; i < ROUNDS; i++)); do
		replace $old $new || return 1
		set -- $old $new
		old=$2 new=$1
	done
	note "$finished of $ROUNDS transitions finished while the threads were held up"
	remove_patch $old && at_least $((ROUNDS / 2)) $finished
}

# Transitions while the threads run; each has to end.
switch_all() {
	local i

	for ((i = 0; i < SWITCHES; i++)); do
		insmod test_modules/test_orc_replace_a.ko || return 1
		wait_for $SWITCH_BOUND transition_done test_orc_replace_a > /dev/null ||
			{ show_waiting; return 1; }
		echo 0 > $KLP/test_orc_replace_a/enabled
		wait_for $SWITCH_BOUND patch_gone test_orc_replace_a > /dev/null ||
			{ show_waiting; return 1; }
		remove_patch test_orc_replace_a || return 1
	done
}

# The threads that a transition waits for, and where they are.
show_waiting() {
	local pid

	for pid in $(pgrep orc_redirect); do
		echo "$pid: patch_state $(cat "/proc/$pid/patch_state")"
		cat "/proc/$pid/stack"
	done
}

count() { cat "$COUNTS/$1"; }

start_tests 12
load test_orc_lib
load test_orc_hold
check "held, goes on" held on reliable hold_me hold_me call_it
check "held, goes to another function" \
	held other reliable hold_other "hold_other entered" call_it
check "held, goes back" held back reliable nothing call_it
check "held, direct call pending: refused" held direct unreliable hold_me
if walker_builtin; then
	skip "stock walker: goes on" "the walker is built in"
	skip "stock walker: another function refused" "the walker is built in"
	skip "stock walker: direct call refused" "the walker is built in"
else
	check "stock walker: goes on" stock_follows
	check "stock walker: another function refused" stock_refuses other
	check "stock walker: direct call refused" stock_refuses direct
fi
load test_orc_redirect cpu=$CPU
check "patches replaced and unloaded, $ROUNDS rounds" replace_all
# With one patch alone: a task that is not switched yet runs what was there before.
before=$(count wrong)
check "transitions beside running threads" switch_all
after=$(count wrong)
check "both functions were called" at_least 1000 \
	"$(($(count calls_old) < $(count calls_new) ? $(count calls_old) : $(count calls_new)))"
check "no task was switched that was about to run the new function" \
	equal 0 $((after - before))
check "kernel log" healthy
ktap_finished
