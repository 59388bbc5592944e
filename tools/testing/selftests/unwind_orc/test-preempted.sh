#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A livepatch transition with twice as many CPU-bound kthreads as CPUs. The
# stock walker does not let it finish; the ORC walker has to, both ways.

. "$(dirname "$0")"/functions.sh

# How long the stock walker is watched. It would take for ever.
STOCK_BOUND=10

PATCH=test_orc_livepatch

preempted_hog() {
	local pid text

	for pid in $(pgrep '^orc_hog/'); do
		text=$(taskset -c 0 cat "/proc/$pid/stack")
		[[ $text == *el1h_64_irq* && ${text##*$'\n'} == reliable ]] || continue
		note "/proc/$pid/stack:"
		printf '%s\n' "$text" | sed 's/^/#   /'
		return 0
	done
	return 1
}

start_tests 8
[ -d $KLP ] || note "no $KLP: is this a kernel with CONFIG_LIVEPATCH?"
load test_orc_lib && load test_orc_relay && load test_orc_chain

chain spin
sleep 0.3
check "preempted kthread: trace is the known chain" wait_for 5 chain_is_reliable
chain stop

hog || fail "hogs" "cannot load them"

if walker_builtin; then
	skip "stock walker: transition pending" "the walker is built in"
	skip "stock walker: patch reverted" "the walker is built in"
else
	unload_walker
	insmod test_modules/$PATCH.ko
	if took=$(wait_for $STOCK_BOUND transition_done $PATCH); then
		fail "stock walker: transition pending" "done after $took ms"
	else
		pass "stock walker: transition pending"
	fi
	check "stock walker: patch reverted" remove_patch $PATCH
fi

load_walker
before=$(stat_of reliable)
insmod test_modules/$PATCH.ko
if took=$(wait_for $TRANSITION_BOUND transition_done $PATCH); then
	pass "transition finishes within $TRANSITION_BOUND s"
	note "transition took $took ms"
else
	fail "transition finishes within $TRANSITION_BOUND s" \
		"$(grep -c '^0$' /proc/[0-9]*/patch_state | grep -c ':1$') tasks unswitched"
fi
check "transition used the walker" at_least $((before + 10)) "$(stat_of reliable)"
check "preempted hog: verdict in /proc" wait_for 10 preempted_hog
begin=$(now)
check "transition back finishes within $TRANSITION_BOUND s" remove_patch $PATCH
note "transition back took $(($(now) - begin)) ms"
check "kernel log" healthy
ktap_finished
