#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tasks that wait: a kthread with a known chain, a user process, this one; a
# task that runs on another CPU and one that has exited, which must be refused;
# and that the verdicts come from the ORC walker, and go with it.

. "$(dirname "$0")"/functions.sh

start_tests 12
load test_orc_lib && load test_orc_relay && load test_orc_chain

before=$(stat_of reliable)
chain block
pid=$(cat $CHAIN/pid)
check "blocked kthread: trace is the known chain" chain_is_reliable
check "blocked kthread: verdict in /proc" equal reliable "$(verdict "$pid")"
check "reliable walks are counted" at_least $((before + 2)) "$(stat_of reliable)"
chain stop

start sleep 1000
sleep 0.2
check "sleeping process: verdict" equal reliable "$(verdict $!)"
check "current: verdict" equal reliable "$(verdict self)"

# Its parent does not ask for it, so that it stays, without a stack.
start bash -c 'sleep 2 & exec sleep 1000'
parent=$!
has_zombie() { zombie=$(pgrep -P $parent -r Z); }
has_no_stack() {
	wait_for 30 has_zombie > /dev/null &&
		matches '^unreliable: task has no stack at ' "$(verdict "$zombie")"
}
check "exited task is refused" has_no_stack

last_put() {
	insmod test_modules/test_orc_pin.ko && rmmod test_orc_pin && return
	dmesg | tail -n 1
	return 1
}
check "task exits while walked: its stack is not freed under locks" last_put

if [ "$(getconf _NPROCESSORS_ONLN)" -lt 2 ]; then
	skip "running task is refused" "one CPU"
	skip "running task: reason" "one CPU"
else
	before=$(stat_of 'task running on another cpu')
	chain spin
	walks=$(taskset -c 1 cat $CHAIN/running)
	note "${walks//$'\n'/, }"
	running_refused() {
		matches '^reliable: 0$' "$walks" &&
			! matches '^refused: 0$' "$walks" > /dev/null
	}
	check "running task is refused" running_refused
	after=$(stat_of 'task running on another cpu')
	check "running task: reason" at_least $((before + 100)) "$after"
	chain stop
fi

if walker_builtin; then
	skip "without the walker: no verdict" "the walker is built in"
	skip "without the walker: no counter" "the walker is built in"
else
	unload_walker
	chain block
	check "without the walker: no verdict" equal "" "$(verdict "$(cat $CHAIN/pid)")"
	check "without the walker: no counter" equal "" "$(statistics)"
	chain stop
fi

check "kernel log" healthy
ktap_finished
