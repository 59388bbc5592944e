#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Return addresses that a tracer replaced, on stacks of blocked and of preempted
# tasks: function graph, kretprobes, both; and the function tracer.

. "$(dirname "$0")"/functions.sh

SAMPLES=50
MOST=$((SAMPLES * 4 / 5))

# All but the function that the spinning thread calls over and over.
CALLERS=(chain_outer chain_middle chain_inner)

test_cleanup() { untrace; }

kretprobe() {
	echo 'r:orc_middle test_orc_chain:chain_middle' > $TRACING/kprobe_events &&
		echo 'r:orc_outer test_orc_chain:chain_outer' >> $TRACING/kprobe_events &&
		echo 1 > $TRACING/events/kprobes/enable
}

# in_use WHAT: the tracer really has its hands on the chain
in_use() {
	case $1 in
	graph) grep -q 'chain_middle' $TRACING/trace ;;
	function) grep -q 'chain_middle' $TRACING/trace ;;
	kretprobe) grep -q 'test_orc_chain:chain_middle\|chain_middle+0x0' \
		$DEBUGFS/kprobes/list ;;
	esac && return
	echo "$1 does not see chain_middle"
	return 1
}

blocked_is_reliable() {
	chain block || return 1
	chain_is_reliable && equal reliable "$(verdict "$(cat $CHAIN/pid)")"
}

# Many moments of a preempted chain: no trace may be reliable and wrong, and of
# all LIMIT or more have to be reliable.
preempted_is_right() {
	local i line reliable=0 refused=0 limit=$1 before

	before=$(statistics)
	chain spin || return 1
	sleep 0.2
	for ((i = 0; i < SAMPLES; i++)); do
		line=$(chain_check)
		case $line in
		reliable:*) reliable=$((reliable + 1)) ;;
		unreliable:*) refused=$((refused + 1)) ;;
		running*) ;;
		*) echo "$line"; return 1 ;;
		esac
	done
	chain stop
	note "$reliable reliable, $refused refused;" \
		"counted: $(moved "$before" "$(statistics)" | paste -sd,)"
	at_least "$limit" $reliable
}

start_tests 16
load test_orc_lib && load test_orc_relay && load test_orc_chain traced=1
if [ ! -w $TRACING/current_tracer ] ||
	! grep -qw function_graph $TRACING/available_tracers; then
	note "no function graph tracer in $TRACING"
fi

# What the return addresses are while nobody replaces them.
for mode in block spin; do
	chain $mode
	sleep 0.2
	check "not traced, $mode: trace is the known chain" wait_for 5 chain_is_reliable
	chain stop
done

trace_with function_graph "${CALLERS[@]}"
check "function graph, blocked" blocked_is_reliable
check "function graph is in use" in_use graph
echo nop > $TRACING/current_tracer
check "function graph gone, still pending" chain_is_reliable
chain stop
trace_with function_graph "${CALLERS[@]}"
check "function graph, preempted" preempted_is_right $MOST
untrace

kretprobe || note "cannot set kretprobes"
check "kretprobe, blocked" blocked_is_reliable
check "kretprobe is in use" in_use kretprobe
chain stop
check "kretprobe, preempted" preempted_is_right $MOST
trace_with function_graph "${CALLERS[@]}"
check "both, blocked" blocked_is_reliable
chain stop
check "both, preempted" preempted_is_right $MOST
untrace

trace_with function "${CALLERS[@]}"
check "function tracer, preempted" preempted_is_right $MOST
check "function tracer is in use" in_use function
untrace

# The tracer disables preemption while it works, and what was held up happens
# when it is done: the thread is preempted in the tracer, nearly always.
for tracer in function_graph function; do
	trace_with $tracer chain_leaf
	check "$tracer, preempted in the tracer" preempted_is_right $MOST
	untrace
done
check "kernel log" healthy
ktap_finished
