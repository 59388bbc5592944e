#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Stacks that lie: each has to be refused, for its own reason, and the same stack
# has to be reliable again when the lie is taken back. What the lies are says
# test_modules/test_orc_corrupt.c.

. "$(dirname "$0")"/functions.sh

CORRUPT=$DEBUGFS/test_orc_corrupt

# Of checks that all see the same lie, the first to look reports it.
mismatch='frame pointer mismatch'
misplaced="$mismatch|misaligned frame|frame outside the stack|frame below the stack pointer"
misplaced="$misplaced|saved register outside its frame"
# Also where the call before it is of another function than the frame below is in.
elsewhere="$misplaced|not the function that was called"

# lie and reasons (alternatives): told to a blocked task
blocked_lies=(
	"fp|$misplaced"
	"fp-skip|$mismatch"
	"fp-cycle|$misplaced"
	"fp-data|$misplaced"
	"ra-null|null pc"
	"ra-odd|misaligned pc"
	"ra-data|not kernel text"
	"ra-other|$elsewhere"
	"ra-handler|no call before the return address|code with other conventions"
	"ra-slot|not kernel text"
	"record-zero|null pc"
	"sp|$misplaced"
	"sp-odd|misaligned stack pointer"
	"sp-null|stack pointer on no known stack"
	"final-type|unknown frame record type"
	"end-ra-other|$elsewhere"
	"end-ra-data|not kernel text"
	"end-ra-handler|no call before the return address"
	"end-ra-init|text freed after boot"
)

# and to one that was preempted
preempted_lies=(
	"regs-sp|saved stack pointer mismatch"
	"regs-fp|$misplaced"
	"regs-user|saved registers not of kernel code"
	"regs-pc-other|$misplaced"
	"regs-pc-null|null pc"
	"entry-ra-other|$elsewhere"
	"entry-ra-data|not kernel text"
	"entry-ra-handler|no call before the return address"
)

# Both in /proc, and by the counter of that reason.
refused_in_proc() {
	local lie=$1 reasons=$2 before line

	before=$(statistics)
	echo "$pid $lie" > $CORRUPT/doctor || return 1
	line=$(verdict "$pid")
	echo > $CORRUPT/repair
	matches "^unreliable: ($reasons) at " "$line" &&
		matches "^($reasons)$" "$(moved "$before" "$(statistics)")" &&
		equal reliable "$(verdict "$pid")"
}

# The task can't be left like that: one walk, and the counter says why. On CPU 0
# because the task is bound to it, hence not running meanwhile.
refused_once() {
	local lie=$1 reasons=$2 before

	before=$(statistics)
	if taskset -c 0 bash -c "echo $pid $lie > $CORRUPT/once" 2> /dev/null; then
		echo "believed"
		return 1
	fi
	matches "^($reasons)$" "$(moved "$before" "$(statistics)")" &&
		chain_is_reliable
}

start_tests $((${#blocked_lies[@]} + ${#preempted_lies[@]} + 3))
load test_orc_lib && load test_orc_relay && load test_orc_chain &&
	load test_orc_corrupt

chain block
pid=$(cat $CHAIN/pid)
check "no lie: reliable" equal reliable "$(verdict "$pid")"
for entry in "${blocked_lies[@]}"; do
	check "blocked, ${entry%%|*}: refused" refused_in_proc "${entry%%|*}" "${entry#*|}"
done
chain stop

chain spin
pid=$(cat $CHAIN/pid)
sleep 0.3
check "no lie, preempted: reliable" chain_is_reliable
for entry in "${preempted_lies[@]}"; do
	check "preempted, ${entry%%|*}: refused" refused_once "${entry%%|*}" "${entry#*|}"
done
chain stop
check "kernel log" healthy
ktap_finished
