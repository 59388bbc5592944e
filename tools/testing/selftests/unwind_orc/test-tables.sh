#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tables of a module with one bit flipped, or cut off, or not those of its text: the
# module loads, its table is refused with one line that says why, and the stock
# walker answers for stacks that go through it. Nothing worse. What table is of what
# text is said by a link, not by names.

. "$(dirname "$0")"/functions.sh

VICTIM=test_orc_relay
DAMAGED=/tmp/$VICTIM.$$.ko

test_cleanup() { rm -f "$DAMAGED"; }

# Lines about the victim's table since the marker in $1.
refusals() {
	dmesg | awk -v marker="$1" 'seen; index($0, marker) { seen = 1 }' |
		grep "unwind_orc: $VICTIM: "
}

# Load the module in $DAMAGED; one refusal expected, and no more.
refused_with_reason() {
	local mark lines

	mark="unwind_orc selftest: damage $RANDOM$RANDOM"
	echo "$mark" > /dev/kmsg
	insmod "$DAMAGED" || return 1
	lines=$(refusals "$mark")
	rmmod $VICTIM
	if [ "$(grep -c . <<< "$lines")" != 1 ]; then
		printf "not one line but: '%s'\n" "$lines"
		return 1
	fi
	reasons=$(printf '%s\n%s' "$reasons" "${lines##*not used: }")
	matches 'not used: [a-z0-9]' "$lines"
}

# flips STEP: a bit in each word of the header, and every STEP bytes
flips() {
	local at n=0

	for ((at = 0; at < size; at += at < 64 ? 4 : $1)); do
		./orc_table flip test_modules/$VICTIM.ko "$DAMAGED" "$section" \
			"$at" $((at / 4 % 8)) || return 1
		refused_with_reason || { echo "bit $((at / 4 % 8)) of byte $at"; return 1; }
		n=$((n + 1))
	done
	note "$n tables"
	[ $n -gt 16 ]
}

cuts() {
	local at n=0

	for at in 0 1 4 63 64 65 $((size / 2)) $((size - 4)) $((size - 1)); do
		./orc_table cut test_modules/$VICTIM.ko "$DAMAGED" "$section" "$at" ||
			return 1
		refused_with_reason || { echo "cut at $at of $size"; return 1; }
		n=$((n + 1))
	done
	note "$n tables"
}

# changed WHY COMMAND OPERAND...: a change that leaves the bytes of the tables alone
changed() {
	local why=$1 command=$2

	shift 2
	./orc_table "$command" test_modules/$VICTIM.ko "$DAMAGED" "$@" &&
		refused_with_reason && matches "$why" "$reasons"
}

# With the tables' names changed for one another each is still that of its text.
links_count() {
	local mark="unwind_orc selftest: names $RANDOM$RANDOM" before

	./orc_table swap test_modules/$VICTIM.ko "$DAMAGED" \
		.orc_unwind.text .orc_unwind.text_relay || return 1
	echo "$mark" > /dev/kmsg
	insmod "$DAMAGED" && load test_orc_chain && chain relay || return 1
	before=$(stat_of reliable)
	chain_is_reliable && equal "" "$(refusals "$mark")" &&
		at_least $((before + 1)) "$(stat_of reliable)" || return 1
	chain stop
	rmmod test_orc_chain $VICTIM
}

# Blocked with the damaged module on the stack: stock calls that reliable, and
# the trace is right. Preempted, it would not.
stock_answers() {
	local before after

	insmod "$DAMAGED" && load test_orc_chain && chain relay || return 1
	before=$(stat_of 'no valid table')
	chain_is_reliable || return 1
	after=$(stat_of 'no valid table')
	chain stop
	rmmod test_orc_chain $VICTIM || return 1
	at_least $((before + 1)) "$after"
}

# While a module without tables is loaded, a walk looks before it begins. It is one
# walk all the same, and no longer than others.
one_walk_is_one() {
	local name=$1 pid=$2 want=$3 before i

	before=$(stat_of "$name")
	for ((i = 0; i < 10; i++)); do
		matches "$want" "$(verdict "$pid")" || return 1
	done
	equal $((before + 10)) "$(stat_of "$name")"
}

deep_stack() {
	load $VICTIM && load test_orc_chain && chain deep || return 1
	matches '^unreliable: trace buffer full at ' "$(verdict "$(cat $CHAIN/pid)")"
}

# counted_once PID: of a task that sleeps
counted_once() {
	insmod "$DAMAGED" || return 1
	one_walk_is_one reliable "$1" '^reliable$' || return 1
	load test_orc_chain && chain relay || return 1
	one_walk_is_one 'no valid table' "$(cat $CHAIN/pid)" '^reliable$' || return 1
	chain stop
	one_walk_is_one 'trace buffer full' "$(chain deep && cat $CHAIN/pid)" \
		'^unreliable: trace buffer full at ' || return 1
	chain stop
	rmmod test_orc_chain $VICTIM
}

undamaged_is_used() {
	local mark="unwind_orc selftest: no damage $RANDOM$RANDOM" before

	echo "$mark" > /dev/kmsg
	load $VICTIM && load test_orc_chain && chain relay || return 1
	before=$(stat_of reliable)
	chain_is_reliable || return 1
	equal "" "$(refusals "$mark")" &&
		at_least $((before + 1)) "$(stat_of reliable)"
}

start_tests 12
reasons=
load test_orc_lib
read -r section size <<< "$(./orc_table list test_modules/$VICTIM.ko)"
note "${section:-no table} ${size:=0} bytes"

check "the module has a table" matches '^\.orc_unwind\.text$' "$section"
if [ "$size" = 0 ]; then
	fail "flipped bits: refused, with the reason" "no table to damage"
	fail "cut tables: refused, with the reason" "no table to damage"
	fail "the stock walker answers" "no table to damage"
	fail "a walk is counted once" "no table to damage"
else
	# The reasons are collected, so not in the subshell of check.
	output=$(mktemp)
	if flips $(((size / 64 + 1) * 4)) > "$output" 2>&1; then
		pass "flipped bits: refused, with the reason"
	else
		fail "flipped bits: refused, with the reason" "$(cat "$output")"
	fi
	if cuts > "$output" 2>&1; then
		pass "cut tables: refused, with the reason"
	else
		fail "cut tables: refused, with the reason" "$(cat "$output")"
	fi
	rm -f "$output"
	sort <<< "$reasons" | uniq -c | grep -v '^ *[0-9]* *$' | sed 's/^/#/'
	check "the stock walker answers" stock_answers
	start sleep 1000
	sleeper=$!
	sleep 0.2
	check "a walk is counted once" counted_once "$sleeper"
fi
check "two tables linked to one text section: refused" \
	changed 'not one table for each text section' \
	link .orc_unwind.text_relay .text
check "text that goes on after its table: refused" \
	changed 'not all text described' grow .text 4
check "module without a build-id: refused" \
	changed 'no build-id' swap .note.gnu.build-id .note.Linux
check "tables go by their links, whatever their names" links_count
check "a stack too deep for anybody's buffer" deep_stack
chain stop
check "an undamaged table is used" undamaged_is_used
check "kernel log" healthy
ktap_finished
