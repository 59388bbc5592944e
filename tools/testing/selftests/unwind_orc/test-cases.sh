#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Cases that come up seldom: in a kprobe's single-step slot, after a call of a NULL
# pointer, below freed init text, below the trampoline of a direct call, in a call that
# ends its caller, a task that has never run, a task that runs during the walk.
# See test_modules/test_orc_cases.c.

. "$(dirname "$0")"/functions.sh

CASES=$DEBUGFS/test_orc_cases

# refused_at FILE REASON SYMBOL: for this reason and no other, with this in the trace
refused_at() {
	local before lines

	before=$(statistics)
	lines=$(cat "$CASES/$1") || return 1
	equal unreliable "${lines%%$'\n'*}" &&
		matches "^$3" "$lines" &&
		equal "$2" "$(moved "$before" "$(statistics)")"
}

sleeps_in() { echo "$1" > $CASES/place && pid=$(cat $CASES/pid); }

direct_is_refused() {
	sleeps_in direct || return 1
	matches "^\[<0>\] direct_sleep" "$(cat "/proc/$pid/stack")" &&
		matches '^unreliable: no call frame information at direct_tramp' "$(verdict "$pid")"
}

# The trampoline makes no frame record, so the caller of the traced function is left out.
stock_is_wrong() {
	local lines

	unload_walker || return 1
	lines=$(cat $CASES/trace)
	load_walker
	matches '^reliable' "$lines" && ! grep -q '^direct_caller' <<< "$lines"
}

noreturn_is_reliable() {
	local lines

	sleeps_in noreturn || return 1
	lines=$(cat $CASES/trace)
	matches '^reliable' "$lines" && matches '^sleep_and_exit' "$lines" &&
		matches '^a call at the end of a function' "$lines" &&
		equal reliable "$(verdict "$pid")"
}

# Its parent has the CPU that both are bound to, and does not leave it. The entry is the
# first instruction of ret_from_fork(), which /proc names after what is before it.
never_ran() {
	local text

	# shellcheck disable=SC2016 # for the other shell
	text=$(taskset -c 0 chrt -f 50 bash -c '
		sleep 0 &
		mapfile -t stack < "/proc/$!/stack"
		mapfile -t status < "/proc/$!/status"
		printf "%s\n" "${stack[@]}" "${status[@]}"')
	equal 2 "$(grep -c 'ctxt_switches:.0$' <<< "$text")" || return 1
	equal 1 "$(grep -c '^\[<0>\]' <<< "$text")" && matches '^reliable$' "$text"
}

init_is_refused() {
	matches "^unreliable: ($1) at " "$(verdict "$(cat $CASES/init)")"
}

race_is_seen() {
	local before lines

	before=$(stat_of 'task ran during the walk')
	lines=$(cat $CASES/race) || return 1
	note "$lines, ran: $(($(stat_of 'task ran during the walk') - before))"
	at_least $((before + 1)) "$(stat_of 'task ran during the walk')" &&
		matches '^reliable: [1-9][0-9]' "$lines"
}

start_tests 10
load test_orc_lib && load test_orc_cases
check "kprobe's single-step slot: refused" refused_at slot 'not kernel text' el1h_64_sync
check "NULL pointer called: refused" refused_at null 'null pc' el1h_64_sync
# What is freed is freed a moment after the module was loaded.
sleep 1
check "below freed init text: refused" init_is_refused 'not kernel text|text freed after boot'
check "below a direct call's trampoline: refused" direct_is_refused
if walker_builtin; then
	skip "stock leaves out a function there" "the walker is built in"
else
	check "stock leaves out a function there" stock_is_wrong
fi
check "call at the end of a function" noreturn_is_reliable
echo > $CASES/place
check "a task that has never run" never_ran
if [ "$(getconf _NPROCESSORS_ONLN)" -lt 2 ]; then
	skip "a task that runs during the walk" "one CPU"
else
	check "a task that runs during the walk" race_is_seen
fi
check "the module goes" rmmod test_orc_cases
check "kernel log" healthy
ktap_finished
