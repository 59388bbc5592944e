#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The walker comes and goes while stacks are walked, by transitions that would
# not end without it and by readers of /proc.

. "$(dirname "$0")"/functions.sh

ROUNDS=5
PATCH=test_orc_livepatch

read_stacks() {
	while true; do
		cat /proc/[0-9]*/stack
	done > /dev/null 2>&1
}

transition_survives() {
	local took

	insmod test_modules/$PATCH.ko || return 1
	unload_walker && load_walker && unload_walker && load_walker || return 1
	took=$(wait_for $TRANSITION_BOUND transition_done $PATCH) || {
		echo "still pending after $TRANSITION_BOUND s"
		return 1
	}
	note "transition: $took ms"
	remove_patch $PATCH
}

reload_quickly() {
	local i

	for ((i = 0; i < 20; i++)); do
		unload_walker && load_walker || return 1
	done
}

start_tests $((ROUNDS + 4))
if walker_builtin; then
	for ((i = 0; i < ROUNDS + 4; i++)); do
		skip "walker reloaded" "the walker is built in"
	done
	ktap_finished
fi

load test_orc_lib && load test_orc_relay && load test_orc_chain
hog || note "cannot load the hogs"
start read_stacks
for ((i = 1; i <= ROUNDS; i++)); do
	check "transition $i while the walker comes and goes" transition_survives
done
check "reloaded many times while stacks are read" reload_quickly
sleep 2
check "walks are counted again" at_least 10 "$(stat_of reliable)"
stop_background
chain block
check "afterwards: trace is the known chain" chain_is_reliable
chain stop
check "kernel log" healthy
ktap_finished
