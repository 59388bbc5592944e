#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Words of real stacks are changed at random, and the walk of each changed stack is
# compared with the one before: test_modules/inject/run.c. A change must be refused
# or make no difference.
#
# INJECT_CHANGES (20000) says how many changes, INJECT_SEED names them. With
# INJECT_REPORT=1 all counts are printed after the results.

. "$(dirname "$0")"/functions.sh

CHANGES=${INJECT_CHANGES:-20000}
INJECT=$DEBUGFS/test_orc_inject
PHASES=4
SURVEYS=$((CHANGES / 20000 + 5))

CHAIN_FUNCTIONS=(chain_outer chain_middle chain_inner)

test_cleanup() {
	untrace
	kill "${coprocs[@]}" 2> /dev/null
}

keep_busy() {
	while true; do
		dd if=/dev/zero bs=64k count=16 2> /dev/null | md5sum
		find /proc/self /sys/kernel -maxdepth 2 > /dev/null 2>&1
	done > /dev/null
}

# Ahead of all that keeps the CPU busy meanwhile, which must not starve, though: a
# task that is preempted in a read-side section holds up RCU.
write() {
	nice -n -5 sh -c "echo $1 > $INJECT/$2"
}

# A part of all changes, on the stacks that there are now.
inject() {
	write $((CHANGES / PHASES)) run || note "$1: no changes"
	write $SURVEYS survey
	note "$1: $(tr '\n' ' ' < $INJECT/stacks)"
	[ -z "${INJECT_REPORT:-}" ] || sed "s/^/cells	/" $INJECT/cells
}

blocked() {
	chain block
	sleep 0.2
	inject blocked
	chain stop
}

preempted() {
	hog
	start nice -n 10 bash -c "$(declare -f keep_busy); keep_busy"
	start nice -n 10 bash -c "$(declare -f keep_busy); keep_busy"
	chain spin
	sleep 0.3
	inject preempted
	chain stop
	stop_background
	rmmod test_orc_hog
}

returns_replaced() {
	printf 'r:orc_%s test_orc_chain:chain_%s\n' middle middle outer outer \
		> $TRACING/kprobe_events && echo 1 > $TRACING/events/kprobes/enable
	trace_with function_graph "${CHAIN_FUNCTIONS[@]}" 'do_sys*' '__arm64_sys_*'
	chain relay
	sleep 0.2
	inject "function graph, kretprobes"
	chain stop
	untrace
}

# Preempted at the end of the callback, nearly always, in ftrace_caller.
traced() {
	trace_with function chain_leaf
	chain spin
	sleep 0.3
	inject "function tracer"
	chain stop
	untrace
}

# sum COLUMN CHANGE...: of the cells of these changes (all, if none); a change is
# "word/how" as in unwind_orc's cells, or one of the two
sum() {
	local column=$1

	shift
	awk -F'\t' -v column="$column" -v changes="$(printf '%s\n' "$@")" '
		BEGIN { n = split(changes, change, "\n") }
		$1 != "cell" { next }
		changes == "" { total += $column; next }
		{
			for (i = 1; i <= n; i++)
				if (change[i] == $2 || change[i] == $3 ||
				    change[i] == $2 "/" $3) {
					total += $column
					break
				}
		}
		END { print total + 0 }' <<< "$cells"
}

# Columns: changes, refused, moved, wrong, lost; then stock's.
OURS=4 REFUSED=5 MOVED=6 WRONG=7 STOCK=9 STOCK_REFUSED=10 STOCK_MOVED=11 STOCK_WRONG=12

# at_most_per_mille LIMIT CHANGE...: unseen, of all that were made
at_most_per_mille() {
	local limit=$1 wrong made

	shift
	wrong=$(sum $WRONG "$@")
	made=$(sum $OURS "$@")
	echo "# $wrong of $made unseen, $(sum $MOVED "$@") in the same functions; stock: $(sum $STOCK_WRONG "$@") of $(sum $STOCK "$@")"
	[ "$made" -gt 0 ] && [ $((wrong * 1000)) -le $((made * limit)) ] && return
	echo "more than $limit of 1000, or none was made"
	return 1
}

one_word() {
	mapfile -t one < <(awk -F'\t' '$1 == "cell" && $2 != "frame record" &&
		$2 != "region" && $2 !~ /^cpu_context/ { print $2 "/" $3 }' <<< "$cells")
	at_most_per_mille 1 "${one[@]}"
}

# A walk that refuses everything would pass the rest.
few_refused() {
	local refused made

	refused=$(sum $REFUSED locals)
	made=$(sum $OURS locals)
	echo "# $refused of $made refused"
	[ "$made" -gt 0 ] && [ $((refused * 100)) -le "$made" ]
}

# The truth is known, and the changes do break traces.
believed_by_stock() {
	at_least 1 "$(sum $STOCK_WRONG "return address/another call site")" &&
		at_least 1 "$(sum $STOCK_WRONG "frame record")" &&
		equal 0 "$(sed -n 's/^disputed: *//p' $INJECT/stacks)" && return
	sed 's/^/# disputed: /' $INJECT/disputed
	return 1
}

# Without the walker, what the kernel says is what the stock rules say.
stock_is_stock() {
	cells=$(cat $INJECT/cells)
	at_least 1000 "$(sum $OURS)" && equal "$(sum $OURS)" "$(sum $STOCK)" &&
		equal "$(sum $REFUSED)" "$(sum $STOCK_REFUSED)" &&
		equal "$(sum $MOVED)" "$(sum $STOCK_MOVED)" &&
		equal "$(sum $WRONG)" "$(sum $STOCK_WRONG)"
}

start_tests 9
coprocs=()
load test_orc_lib && load test_orc_relay && load test_orc_chain traced=1
# They wake every few milliseconds, which is all that a slow machine can do.
coproc nice -n 10 ./orc_sleepers
coprocs+=("$COPROC_PID")

if walker_builtin; then
	skip "the stock rules are those of the stock walker" "the walker is built in"
else
	unload_walker
	load test_orc_inject seed="${INJECT_SEED:-0}"
	write 2000 run
	check "the stock rules are those of the stock walker" stock_is_stock
	rmmod test_orc_inject
	load_walker
fi

load test_orc_inject seed="${INJECT_SEED:-0}"
for phase in blocked preempted returns_replaced traced; do
	$phase
done
cells=$(cat $INJECT/cells)

check "changes made" at_least $((CHANGES / PHASES * PHASES)) "$(sum $OURS)"
check "changes that the stock rules do not see are seen here" believed_by_stock
check "a word of no use to a walk changed: reliable still" few_refused
check "one word of the stack changed: 1 of 1000 unseen, or less" one_word
check "a return address changed: 1 of 1000 unseen, or less" \
	at_most_per_mille 1 "return address"
check "a frame record made a copy of another: none unseen" \
	at_most_per_mille 0 "frame record"
# The old stack of another task, moved here, is one that could be: signatures tell.
region=5
grep -qw paca /proc/cpuinfo && region=1
check "a region changed: $region of 1000 unseen, or less" at_most_per_mille $region region
check "kernel log" healthy
if [ -n "${INJECT_REPORT:-}" ]; then
	for file in stacks disputed cells reasons calls wrong; do
		sed "s/^/$file	/" $INJECT/$file
	done
fi
ktap_finished
