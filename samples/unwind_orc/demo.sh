#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A livepatch transition with more CPU-bound kthreads than CPUs, first with the
# conservative stack walker of arm64, then with the ORC walker.
#
# Needs root, an arm64 kernel with CONFIG_UNWIND_ORC=m (with =y the first half
# is left out and that is said), CONFIG_SAMPLE_LIVEPATCH=m and
# CONFIG_SAMPLE_UNWIND_ORC=m, and the modules where modprobe finds them. Leaves
# the machine as it found it.

set -u
export LC_ALL=C

HOG=unwind_orc_hog
PATCH=livepatch-sample
PATCH_NAME=livepatch_sample
WALKER=unwind_orc
KLP=/sys/kernel/livepatch/$PATCH_NAME
STATS=/sys/kernel/debug/unwind_orc/stats

bound=30
finish_bound=120
count=$((2 * $(getconf _NPROCESSORS_ONLN)))
walker_was_loaded=0
walker_builtin=0

usage() {
	cat <<-END
	usage: ${0##*/} [-b SECONDS] [-f SECONDS] [-n THREADS]
	  -b  how long the transition may stay pending without the walker ($bound)
	  -f  how long it may take with it, before it counts as failed ($finish_bound)
	  -n  number of CPU-bound kthreads (twice the CPUs: $count)
	END
}

say() { printf '%s\n' "$*"; }

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

number() {
	[[ $2 =~ ^[1-9][0-9]*$ ]] || die "$1 wants a whole number, not '$2'"
	printf '%s' "$2"
}

loaded() { [[ -d /sys/module/${1//-/_} ]]; }

# Milliseconds since boot: not moved by anybody who sets the clock.
now_ms() {
	local up rest

	read -r up rest < /proc/uptime
	printf '%s' "$(( ${up%.*} * 1000 + 10#${up#*.} * 10 ))"
}

seconds() { printf '%d.%02d s' $(( $1 / 1000 )) $(( $1 % 1000 / 10 )); }

is_builtin() {
	grep -qs "/$WALKER\.ko\$" "/lib/modules/$(uname -r)/modules.builtin"
}

check_machine() {
	local module

	[[ $(uname -m) == aarch64 ]] || die "this is $(uname -m), not arm64"
	[[ $(id -u) == 0 ]] || die "must be run as root"
	[[ -d /sys/kernel/livepatch ]] ||
		die "no /sys/kernel/livepatch: CONFIG_LIVEPATCH is off"
	mountpoint -q /sys/kernel/debug ||
		mount -t debugfs none /sys/kernel/debug ||
		die "cannot mount debugfs on /sys/kernel/debug"
	is_builtin && walker_builtin=1
	for module in $HOG $PATCH $WALKER; do
		[[ $module == "$WALKER" && $walker_builtin == 1 ]] && continue
		modprobe -n -q "$module" ||
			die "modprobe does not find $module for $(uname -r)"
	done
	loaded $PATCH && die "$PATCH is loaded already"
	loaded $HOG && die "$HOG is loaded already"
	loaded $WALKER && walker_was_loaded=1
	return 0
}

# Wait up to $1 seconds for the command in the other arguments; print how many
# milliseconds that took, or fail.
wait_for() {
	local start end

	start=$(now_ms)
	end=$((start + $1 * 1000))
	shift
	until "$@"; do
		[[ $(now_ms) -lt $end ]] || return 1
		sleep 0.1
	done
	printf '%s' "$(( $(now_ms) - start ))"
}

patch_done() { [[ $(cat $KLP/transition 2> /dev/null) == 0 ]]; }
patch_gone() { [[ ! -e $KLP ]]; }

pending_tasks() {
	local file state n=0

	for file in /proc/[0-9]*/task/[0-9]*/patch_state; do
		state=$(cat "$file" 2> /dev/null) && [[ $state == 0 ]] && n=$((n + 1))
	done
	printf '%s' "$n"
}

unpatch() {
	loaded $PATCH || return 0
	if [[ -e $KLP && $(cat $KLP/enabled 2> /dev/null) == 1 ]]; then
		echo 0 > $KLP/enabled || return 1
	fi
	wait_for "$finish_bound" patch_gone > /dev/null || return 1
	rmmod $PATCH_NAME
}

cleanup() {
	# The hogs first: without them any transition ends.
	loaded $HOG && rmmod $HOG
	unpatch || say "$PATCH could not be removed" >&2
	if [[ $walker_builtin == 0 ]]; then
		if [[ $walker_was_loaded == 1 ]]; then
			loaded $WALKER || modprobe $WALKER
		else
			loaded $WALKER && rmmod $WALKER
		fi
	fi
}

stat_of() { sed -n "s/^$1: *//p" "$STATS"; }

# Every count of the statistics but the frames: the walks there were.
walks() { awk -F': *' '$1 != "frames" { n += $2 } END { print n + 0 }' "$STATS"; }

# Show a hog that is preempted, the exception boundary on its stack, and the
# verdict. One that is running just then is not shown, so ask a few times.
show_preempted() {
	local pid text try

	for try in {1..200}; do
		for pid in $(pgrep '^orc_hog/'); do
			text=$(cat "/proc/$pid/stack" 2> /dev/null)
			grep -q 'el1h_64_irq' <<< "$text" || continue
			grep -q '^reliable' <<< "${text##*$'\n'}" || continue
			say "/proc/$pid/stack of $(cat "/proc/$pid/comm"), preempted:"
			say "    ${text//$'\n'/$'\n'    }"
			return 0
		done
		[[ $try == 200 ]] || sleep 0.05
	done
	return 1
}

without_walker() {
	if [[ $walker_builtin == 1 ]]; then
		say "The walker is built in, so the conservative one can't be shown."
		without="not shown: the walker is built in"
		return
	fi
	loaded $WALKER && { rmmod $WALKER || die "cannot unload $WALKER"; }
	say "Without the ORC walker: applying $PATCH, waiting up to $bound s"
	modprobe $PATCH || die "cannot load $PATCH"
	if took=$(wait_for "$bound" patch_done); then
		without="$(seconds "$took")"
	else
		without="still pending after $bound s, $(pending_tasks) tasks unswitched"
	fi
	say "  $without"
	unpatch || die "$PATCH could not be reverted"
	say "  reverted"
}

with_walker() {
	[[ $walker_builtin == 1 ]] || modprobe $WALKER || die "cannot load $WALKER"
	[[ -r $STATS ]] || die "the walker is loaded, and there is no $STATS"
	frames_before=$(stat_of frames)
	reliable_before=$(stat_of reliable)
	walks_before=$(walks)
	say "With the ORC walker: applying $PATCH"
	modprobe $PATCH || die "cannot load $PATCH"
	took=$(wait_for "$finish_bound" patch_done) ||
		die "still pending after $finish_bound s, $(pending_tasks) tasks unswitched"
	with=$(seconds "$took")
	frames=$(stat_of frames)
	[[ -n $frames ]] && frames=$((frames - frames_before))
	reliable=$(( $(stat_of reliable) - reliable_before ))
	unreliable=$(( $(walks) - walks_before - reliable ))
	say "  finished after $with"
	say "  /proc/cmdline now says: $(cat /proc/cmdline)"
	show_preempted || die "found no preempted hog with a reliable stack"
	unpatch || die "$PATCH could not be removed"
	say "  removed"
}

while getopts b:f:n:h option; do
	case $option in
	b) bound=$(number -b "$OPTARG") || exit 1 ;;
	f) finish_bound=$(number -f "$OPTARG") || exit 1 ;;
	n) count=$(number -n "$OPTARG") || exit 1 ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 1 ;;
	esac
done

check_machine
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

modprobe $HOG "count=$count" || die "cannot load $HOG"
say "$count CPU-bound kthreads on $(getconf _NPROCESSORS_ONLN) CPUs, $(uname -r)"
without_walker
with_walker

cat <<END

                                  conservative walker  | ORC walker
  transition of $PATCH    $without | $with
  frames walked                     ${frames:-not counted}
  verdicts: reliable                $reliable
            unreliable, tried again $unreliable
END
