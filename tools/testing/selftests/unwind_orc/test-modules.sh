#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Stacks that go through two modules, and modules that come and go while stacks
# are walked.

. "$(dirname "$0")"/functions.sh

ROUNDS=30
INIT_ROUNDS=20

walk_everybody() {
	while true; do
		cat /proc/[0-9]*/stack $DEBUGFS/test_orc_differ/run
	done > /dev/null 2>&1
}

come_and_go() {
	local i

	for ((i = 0; i < ROUNDS; i++)); do
		load test_orc_relay && load test_orc_chain || return 1
		chain relay && chain_is_reliable && chain stop || return 1
		rmmod test_orc_chain test_orc_relay || return 1
	done
}

# parameter NAME: of test_orc_init
parameter() { cat "/sys/module/test_orc_init/parameters/$1"; }

init_text_gone() { [ "$(parameter gone)" -gt 0 ]; }

init_text_goes() {
	local i

	for ((i = 0; i < INIT_ROUNDS; i++)); do
		insmod test_modules/test_orc_init.ko || return 1
		wait_for 10 init_text_gone > /dev/null || { echo "still found"; return 1; }
		at_least 1 "$(parameter found)" && equal 0 "$(parameter wrong)" || return 1
		rmmod test_orc_init || return 1
	done
}

start_tests 7
load test_orc_lib && load test_orc_relay && load test_orc_chain

chain relay
pid=$(cat $CHAIN/pid)
stack=$(cat "/proc/$pid/stack")
check "two modules: trace is the known chain" chain_is_reliable
check "two modules: both are on the stack" matches '\[test_orc_relay\]' "$stack"
check "two modules: verdict in /proc" equal reliable "$(verdict "$pid")"
chain stop
rmmod test_orc_chain test_orc_relay

check "init text is found until it goes, $INIT_ROUNDS times" init_text_goes

load test_orc_differ
before=$(stat_of reliable)
start walk_everybody
start walk_everybody
check "$ROUNDS loads and unloads while stacks are walked" come_and_go
stop_background
check "these walks are counted" at_least $((before + ROUNDS)) "$(stat_of reliable)"
check "kernel log" healthy
ktap_finished
