#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tasks below BPF trampolines: asleep in a program that is attached to a function, or
# in the function that the trampoline has called, also after the program was detached;
# preempted in either, and at any instruction of a trampoline. The stock walker knows its way where no exception is.

. "$(dirname "$0")"/functions.sh

BTF=/sys/kernel/btf/vmlinux
KINDS='fentry fexit fmod_ret fsession lsm struct_ops prog throw'
# The trampoline calls the function.
CALLERS='fexit fmod_ret fsession'
PATIENCE=120
LOOKS=40
ROUNDS=100
# Looks at a task that is preempted anywhere in a short system call, and traces there
# that have the trampoline.
GLANCES=3000
ENOUGH=20

# What the stack of each kind has, innermost first: the program, the trampoline, the
# function it is attached to, and that one's caller.
SYSCALL='bpf_trampoline_[0-9]+ __arm64_sys_nanosleep invoke_syscall'
declare -A chains=(
	[fentry]="bpf_prog_[0-9a-f]+_orc_fentry $SYSCALL"
	[fexit]="bpf_prog_[0-9a-f]+_orc_fexit $SYSCALL"
	[fmod_ret]="bpf_prog_[0-9a-f]+_orc_fmod_ret $SYSCALL"
	[fsession]="bpf_prog_[0-9a-f]+_orc_fsession $SYSCALL"
	[lsm]='bpf_prog_[0-9a-f]+_orc_lsm bpf_trampoline_[0-9]+ bpf_lsm_file_lock security_file_lock'
	[struct_ops]='bpf_prog_[0-9a-f]+_orc_struct_ops bpf__bpf_dummy_ops_test bpf_struct_ops_test_run'
	[prog]='bpf_prog_[0-9a-f]+_traced bpf_trampoline_[0-9]+ bpf_prog_[0-9a-f]+_traced( bpf_prog_run_pin_on_cpu)? bpf_prog_test_run_syscall'
	[throw]='bpf_prog_[0-9a-f]+_callback( bpf_prog_run_pin_on_cpu)? bpf_prog_test_run_syscall'
)
BODY="__arm64_sys_nanosleep $SYSCALL"
declare -A pids

# functions_in STACK: on one line, innermost first
functions_in() {
	sed -nE 's/^\[<0>\] ([^+ ]+)\+.*/\1/p' <<< "$1" | tr '\n' ' '
}

# follows CHAIN STACK: reliable, with these functions side by side
follows() {
	equal reliable "${2##*$'\n'}" && matches " $1 " " $(functions_in "$2")" && return
	printf '%s\n' "$2"
	return 1
}

# begin KIND ACTION [NICE]: as coprocess; its first line is in $tid
begin() {
	coproc nice -n "${3:-0}" ./orc_trampoline "$1" "$2"
	child=$COPROC_PID to=${COPROC[1]} from=${COPROC[0]}
	read -r -t 10 -u "$from" tid
}

# did_not_begin WHAT: it ended instead
did_not_begin() {
	wait "$child"
	if [ $? = "$KSFT_SKIP" ]; then
		skip "$1" "not in this kernel"
	else
		fail "$1"
	fi
}

finish() {
	exec {to}>&-
	wait "$child" || note "orc_trampoline ended with $?"
}

# bpf_throw() leaves functions behind that keep their return addresses on the shadow
# call stack, and does not tell it: what the program returns to would crash.
may_throw() {
	[ "$(sed -nE 's/^ShadowCallStack: *([0-9]+) kB/\1/p' /proc/meminfo)" -gt 0 ] 2> /dev/null &&
		return 1
	return 0
}

# A page fault is an exception: the walk goes on below it.
in_fault() {
	if begin "$1" fault; then
		check "$1: in a page fault" follows "${chains[$1]}" "$(cat "/proc/$tid/stack")"
		finish
	else
		did_not_begin "$1: in a page fault"
	fi
}

asleep() { grep -q ' hrtimer_nanosleep+' "/proc/$tid/stack"; }

in_nap() {
	local what line

	if ! begin "$1" nap; then
		did_not_begin "$1: function asleep"
		did_not_begin "$1: function asleep, program detached"
		return
	fi
	wait_for $PATIENCE asleep > /dev/null
	check "$1: function asleep" follows "$BODY" "$(cat "/proc/$tid/stack")"
	echo >&"$to"
	read -r -t 10 -u "$from" line || note "no answer"
	# Time for what is to be freed to be freed.
	sleep 1
	check "$1: function asleep, program ${line:-attached}" \
		follows "$BODY" "$(cat "/proc/$tid/stack")"
	finish
}

# seen KIND: preempted in its program, or in what that has called to loop
seen() {
	local stack

	stack=$(taskset -c 0 cat "/proc/${pids[$1]}/stack")
	grep -A1 ' el1h_64_irq' <<< "$stack" |
		grep -Eq ' (bpf_prog_|arch_bpf_|bpf_check_timed)' &&
		follows "${chains[$1]}" "$stack" > /dev/null
}

look_around() {
	local i key

	for ((i = 0; i < LOOKS; i++)); do
		for key in "${!pids[@]}"; do
			count_verdict "${pids[$key]}" "$key" "bpf code outside a program's body"
			[ $refused -gt 10 ] && return
		done
	done
}

# Traces of a task that goes through a trampoline all the time, on the CPU that the
# looks come from: $complete of them are reliable, with the trampoline on them. The
# entries are the kernel's own, of a moment before; that none is missing from ours is
# asked by run_differ.
glance() {
	local i lines text

	complete=0
	for ((i = 0; i < GLANCES; i++)); do
		mapfile -t lines 2> /dev/null < "/proc/$1/stack"
		text=${lines[*]}
		[ "${lines[-1]-}" = reliable ] &&
			[[ $text =~ bpf_trampoline.*__arm64_sys_nanosleep.*invoke_syscall ]] &&
			complete=$((complete + 1))
	done
}

jit=$(cat /proc/sys/net/core/bpf_jit_enable 2> /dev/null)
if [ "${jit:-0}" = 0 ] || [ ! -r $BTF ]; then
	ktap_print_header
	skip_all "no BPF JIT, or no types of the kernel"
fi
start_tests 32

if ! may_throw; then
	KINDS=${KINDS% throw}
	skip "throw: in a page fault" "a shadow call stack is in use"
	skip "throw: preempted" "a shadow call stack is in use"
fi

for kind in $KINDS; do
	in_fault "$kind"
done
for kind in $CALLERS; do
	in_nap "$kind"
done

taskset -cp 0 $$ > /dev/null
for kind in fentry fexit; do
	# It begins when the program is attached, and makes way for the looks.
	begin $kind run 19 || note "orc_trampoline $kind run did not begin"
	glance "$child"
	kill "$child" && wait "$child" 2> /dev/null
	note "$kind: $complete reliable traces with the trampoline"
	check "$kind: preempted in a trampoline" at_least $ENOUGH $complete
done
taskset -cp "0-$(($(nproc --all) - 1))" $$ > /dev/null

load test_orc_lib && load test_orc_differ
for kind in $KINDS; do
	start nice -n 19 ./orc_trampoline "$kind" spin
	pids[$kind]=$!
done
# An input that never ends.
exec {silence}<> <(:)
for kind in $CALLERS; do
	start ./orc_trampoline "$kind" nap <&"$silence" > /dev/null
done
for kind in $KINDS; do
	check "$kind: preempted" wait_for $PATIENCE seen "$kind"
done

reliable=0 awake=0 expected=0 refused=0
look_around
note "$reliable reliable, $expected entering or leaving, $refused refused, $awake awake"
check "all others are reliable" equal 0 $refused
check "most are behind the prologue" most_follow

run_differ $ROUNDS
check_differ
check "some of them are known to stock" at_least 1 "$(differ stock)"
check "the kernel's walker knows more" at_least "$(differ stock)" "$(differ reliable)"
check "kernel log" healthy
ktap_finished
