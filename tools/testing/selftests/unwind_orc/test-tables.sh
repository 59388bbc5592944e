#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tables of a module with one bit flipped, or cut off: the module loads, its
# table is refused with one line that says why, and the stock walker answers for
# stacks that go through it. Nothing worse.

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

undamaged_is_used() {
	local mark="unwind_orc selftest: no damage $RANDOM$RANDOM" before

	echo "$mark" > /dev/kmsg
	load $VICTIM && load test_orc_chain && chain relay || return 1
	before=$(stat_of reliable)
	chain_is_reliable || return 1
	equal "" "$(refusals "$mark")" &&
		at_least $((before + 1)) "$(stat_of reliable)"
}

start_tests 6
reasons=
load test_orc_lib
read -r section size <<< "$(./orc_table list test_modules/$VICTIM.ko)"
note "${section:-no table} ${size:=0} bytes"

check "the module has a table" matches '^\.orc_unwind\.text$' "$section"
if [ "$size" = 0 ]; then
	fail "flipped bits: refused, with the reason" "no table to damage"
	fail "cut tables: refused, with the reason" "no table to damage"
	fail "the stock walker answers" "no table to damage"
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
fi
check "an undamaged table is used" undamaged_is_used
check "kernel log" healthy
ktap_finished
