#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tasks in BPF programs: asleep in a page fault below one; waiting below one
# without an exception, where the stock walker knows its way; preempted in one.
# The programs come and go all the while.

. "$(dirname "$0")"/functions.sh

JIT=/proc/sys/net/core/bpf_jit_enable
KINDS='main deep subprog tail'
# Seconds in which a task has to be seen in a state.
PATIENCE=20
# Looks at all programs that come and go: one by one, and at all at once.
LOOKS=10
ROUNDS=100

# The programs in the stack of each kind, innermost first.
declare -A programs=(
	[main]=orc_main
	[deep]=orc_deep
	[subprog]='F orc_subprog'
	[tail]=orc_target
)
declare -A pids

# programs_in STACK
programs_in() {
	sed -nE 's/^\[<0>\] bpf_prog_[0-9a-f]+_([A-Za-z_]+)\+.*/\1/p' <<< "$1" |
		tr '\n' ' ' | sed 's/ $//'
}

# in_fault KIND: all there is to say of a task in a page fault
in_fault() {
	local kind=$1 fault to from tid stack

	coproc ./orc_bpf "$kind" fault
	fault=$COPROC_PID to=${COPROC[1]} from=${COPROC[0]}
	if ! read -r -t 10 -u "$from" tid; then
		wait "$fault"
		if [ $? = "$KSFT_SKIP" ]; then
			skip "$kind: programs in a page fault" "no userfaultfd"
			skip "$kind: verdict in a page fault" "no userfaultfd"
		else
			fail "$kind: programs in a page fault"
			fail "$kind: verdict in a page fault"
		fi
		return
	fi
	stack=$(cat "/proc/$tid/stack")
	check "$kind: programs in a page fault" \
		equal "${programs[$kind]}" "$(programs_in "$stack")"
	check "$kind: verdict in a page fault" equal reliable "${stack##*$'\n'}"
	exec {to}>&-
	wait "$fault" || note "orc_bpf $kind fault ended with $?"
}

# seen KIND ACTION HOW: reliable, with the programs there should be
seen() {
	local stack

	stack=$(taskset -c 0 cat "/proc/${pids[$1 $2]}/stack")
	[ "${stack##*$'\n'}" = reliable ] && "$3" "$stack" &&
		[ "$(programs_in "$stack")" = "${programs[$1]}" ]
}

# The innermost exception is right in a program, or in what it called to loop.
preempted() {
	grep -A1 ' el1h_64_irq' <<< "$1" |
		grep -Eq ' (bpf_prog_|arch_bpf_|bpf_check_timed)'
}

waiting() { ! grep -q ' el1h_64_' <<< "$1"; }

# Looks at all that come and go. At their entry and end they are refused.
look_around() {
	local i key

	for ((i = 0; i < LOOKS; i++)); do
		for key in "${!pids[@]}"; do
			count_verdict "${pids[$key]}" "$key" "bpf code outside a program's body"
			[ $refused -gt 10 ] && return
		done
	done
}

[ "$(cat $JIT 2> /dev/null)" -ge 1 ] 2> /dev/null || {
	ktap_print_header
	skip_all "no BPF JIT"
}
start_tests 22

for kind in $KINDS; do
	in_fault "$kind"
done

load test_orc_lib && load test_orc_differ
for kind in $KINDS; do
	for action in wait spin; do
		# They make way for whoever looks at them.
		start nice -n 19 ./orc_bpf "$kind" $action
		pids[$kind $action]=$!
	done
done
for kind in $KINDS; do
	check "$kind: waiting, reliable" \
		wait_for $PATIENCE seen "$kind" wait waiting
	check "$kind: preempted, reliable" \
		wait_for $PATIENCE seen "$kind" spin preempted
done

reliable=0 awake=0 expected=0 refused=0
look_around
note "$reliable reliable, $expected entering or leaving, $refused refused, $awake awake"
check "all others are reliable" equal 0 $refused
check "most are in the body of a program" most_follow

run_differ $ROUNDS
check_differ
check "kernel log" healthy
ktap_finished
