#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Every task of a busy machine, walked by both walkers at the same moment:
# wherever stock says reliable, the ORC walker does, with the same PCs.

. "$(dirname "$0")"/functions.sh

ROUNDS=100
DIFFER=$DEBUGFS/test_orc_differ

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

value() { sed -n "s/^$1: *//p" <<< "$walks"; }

run_differ() {
	echo $ROUNDS > /sys/module/test_orc_differ/parameters/rounds
	walks=$(cat $DIFFER/run)
	grep '^#' <<< "$walks"
	note "$(grep -v '^#' <<< "$walks" | tr '\n' ' ')"
}

more_than_stock() {
	[ "$(value reliable)" -gt "$(value stock)" ] && return
	echo "reliable $(value reliable), stock $(value stock)"
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
	run_differ
	agree() {
		at_least 1 "$(value stock)" &&
			equal "$(value stock)" "$(value reliable)" &&
			equal 0 "$(value 'stock only')" && equal 0 "$(value different)"
	}
	check "the stock rules are those of the stock walker" agree
fi

load_walker
before=$(stat_of reliable)
run_differ
check "walked $(value tasks) stacks" at_least 1000 "$(value tasks)"
check "nothing that stock alone calls reliable" equal 0 "$(value 'stock only')"
check "same PCs wherever stock says reliable" equal 0 "$(value different)"
check "no PC missing that the ordinary walker has" equal 0 "$(value less)"
check "reliable: $(value reliable), more than stock: $(value stock)" more_than_stock
check "these walks are counted" at_least $((before + $(value reliable) + 0)) "$(stat_of reliable)"
check "kernel log" healthy
kill "$COPROC_PID" 2> /dev/null
ktap_finished
