#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Every task of a busy machine, walked by both walkers at the same moment:
# wherever stock says reliable, the ORC walker does, with the same PCs.

. "$(dirname "$0")"/functions.sh

ROUNDS=100

keep_busy() {
	while true; do
		dd if=/dev/zero bs=64k count=64 2> /dev/null | md5sum
		find /proc/self /sys/kernel -maxdepth 2 > /dev/null 2>&1
	done > /dev/null
}

# One with bash -c so that the pipe has its reader: forks, pipes, waits.
keep_piping() {
	while true; do
		(echo a; echo b) | sort | cat
	done > /dev/null
}

more_than_stock() {
	[ "$(differ reliable)" -gt "$(differ stock)" ] && return
	echo "reliable $(differ reliable), stock $(differ stock)"
	return 1
}

start_tests 8
load test_orc_lib && load test_orc_differ
hog || note "cannot load the hogs"
start keep_busy
start keep_piping
coproc ./orc_sleepers
sleep 1

if walker_builtin; then
	skip "the stock rules are those of the stock walker" "the walker is built in"
else
	unload_walker
	run_differ $ROUNDS
	agree() {
		at_least 1 "$(differ stock)" &&
			equal "$(differ stock)" "$(differ reliable)" &&
			equal 0 "$(differ 'stock only')" && equal 0 "$(differ different)"
	}
	check "the stock rules are those of the stock walker" agree
fi

load_walker
before=$(stat_of reliable)
run_differ $ROUNDS
check "walked $(differ tasks) stacks" at_least 1000 "$(differ tasks)"
check_differ
check "reliable: $(differ reliable), more than stock: $(differ stock)" more_than_stock
counted=$(differ reliable)
check "these walks are counted" \
	at_least $((before + (counted > 0 ? counted : 1))) "$(stat_of reliable)"
check "kernel log" healthy
kill "$COPROC_PID" 2> /dev/null
ktap_finished
