#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# No function of a walk can be traced or probed, but what a walk asks of the kernel's
# own: a tracer that walks stacks would walk itself.

. "$(dirname "$0")"/functions.sh

# Functions of the unwinder that are not part of a walk: who loads, registers, shows.
OUTSIDE='^(unwind_orc_(register|unregister|current_ops|accept(_all|_modules)?|init_vmlinux|module_(finalize|free_init|cleanup)|trace_task)|.*_?(raw|trace)_?.*unwind_orc_unreliable.*|arch_stack_show_verdict)$'

# Of Rust all that is in the walker's own code but its start and end, its check of a
# table and the text for people; and of the kernel crate the wrappers around a walk.
RUST_OUTSIDE='(init_module|cleanup_module|4init|4drop|drop_in_place|5write|5check|4name|copy_name|3fmt|fmt_|7Counter3get|5Table3new|check_r|check_i|decode$|6encode|StatsFile|5stats|5trace|3new$|tests|kunit)'

walk_functions() {
	# All have that in their line; awk alone takes minutes for all symbols.
	grep unwind_orc /proc/kallsyms | awk -v outside="$OUTSIDE" -v rust="$RUST_OUTSIDE" '
		$2 !~ /^[tT]$/ || $3 ~ /^__(pfx|cfi|UNIQUE|initcall|export)/ || $3 ~ /^\.|\$/ { next }
		$4 == "[unwind_orc]" { if ($3 !~ rust) print $3; next }
		$4 != "" { next }
		$3 ~ /^_R.*10unwind_orc/ { if ($3 !~ rust) print $3; next }
		$3 ~ /^unwind_orc_/ { if ($3 !~ outside) print $3 }' | sort -u
}

# Prints the functions that the tracer offers.
traced() {
	local found

	found=$(cut -d' ' -f1 $TRACING/available_filter_functions |
		grep -xF "$functions")
	[ -z "$found" ] && return
	printf 'can be traced:\n%s\n' "$found"
	return 1
}

probe() { echo "$1" 2> /dev/null > /sys/module/test_orc_probe/parameters/function; }

probed() {
	local function n=0 found=0

	for function in $functions; do
		n=$((n + 1))
		probe "$function" || continue
		echo "can be probed: $function"
		found=$((found + 1))
	done
	note "$n functions"
	[ $found = 0 ]
}

start_tests 5
mountpoint -q $TRACING || mount -t tracefs tracefs $TRACING 2> /dev/null
load test_orc_probe || skip_all "no probes"
functions=$(walk_functions)

check "functions of a walk are known" at_least 20 "$(grep -c . <<< "$functions")"
check "probes work on others" probe unwind_orc_trace_task
check "none of a walk can be traced" traced
check "none of a walk can be probed" probed
check "kernel log" healthy
ktap_finished
