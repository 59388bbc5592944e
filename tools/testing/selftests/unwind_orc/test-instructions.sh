#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A walk at every instruction of functions of several shapes: prologue, body and
# epilogue, a leaf, a large frame, a frame of variable size, an early return.
# See test_modules/test_orc_step.c.

. "$(dirname "$0")"/functions.sh

RUN=$DEBUGFS/test_orc_step/run
SHAPES="plain big alloca early leaf"

# walks_are_right SHAPE WAY: all walks reliable, with the trace that is known
walks_are_right() {
	awk -v shape="$1" -v way="$2" '
		$1 == shape && $2 == way {
			seen = 1
			print "reliable " $3 ", refused " $4 ", wrong " $5 ", PCs " $6 " of " $7
			bad = $3 == 0 || $4 || $5
		}
		END { exit !seen || bad }' <<< "$walks"
}

# No instruction of the function was left out, but for what a sanitizer or the stack
# protector has put there for a fault that does not happen.
covered() {
	awk -v shape="$1" '
		/^# with code that is executed on a fault only/ { unused = 0.2 }
		$1 == shape && $2 == "all" {
			print $6 " of " $7
			good = $7 && $6 >= $7 * (1 - unused)
		}
		END { exit !good }' <<< "$walks"
}

start_tests 22
load test_orc_lib && load test_orc_step
before=$(stat_of reliable)
statistics=$(statistics)
walks=$(cat $RUN)
total=$(awk '$2 == "all" { n += $3 } END { print n + 0 }' <<< "$walks")
grep '^#' <<< "$walks"
note "counted: $(moved "$statistics" "$(statistics)" | paste -sd,)"

for shape in $SHAPES; do
	check "$shape: current, in the exception" walks_are_right "$shape" exception
	check "$shape: current, in the interrupt" walks_are_right "$shape" interrupt
	check "$shape: preempted" walks_are_right "$shape" preempted
	check "$shape: at every instruction" covered "$shape"
done
# These walks are the walker's, and nothing else answered.
wanted=$((before + (total > 0 ? total : 1)))
check "$total reliable walks are counted" at_least $wanted "$(stat_of reliable)"
check "kernel log" healthy
ktap_finished
