# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Makes the directory that is laid over the guest's root: modules, selftests,
# the job. Sourced after kernel-make.sh, with KERNEL_MAKE set.

IMAGE=$KERNEL_OUT/arch/arm64/boot/Image

stage_modules() { # DIRECTORY
	local release
	# Below usr/: /lib is a link there, and an archive with a directory of
	# that name would replace it.
	step "guest: installing modules" modules-install \
		"${KERNEL_MAKE[@]}" "INSTALL_MOD_PATH=$1/usr" modules_install
	release=$(cat "$KERNEL_OUT/include/config/kernel.release")
	# The livepatch selftests skip themselves unless this is a directory.
	rm -f "$1/usr/lib/modules/$release/build"
	mkdir -p "$1/usr/lib/modules/$release/build"
}

stage_selftests() { # DIRECTORY TARGETS
	step "guest: building selftests ($2)" selftests \
		"${KERNEL_MAKE[@]}" -C "$KERNEL_SRC/tools/testing/selftests" \
		"O=$KERNEL_OUT" "KDIR=$KERNEL_OUT" "TARGETS=$2" SKIP_TARGETS= FORCE_TARGETS=1 \
		"INSTALL_PATH=$1/orc/kselftest" install
}

stage_job() { # DIRECTORY FILE
	mkdir -p "$1/orc"
	cp "$2" "$1/orc/job"
	chmod +x "$1/orc/job"
}

# What differs from run to run is small; what the kernel build left is copied
# anew each time, so that nothing of an earlier kernel stays.
stage_new() { # NAME -> STAGE
	STAGE=$BUILD/guest/$1
	rm -rf "$STAGE"
	mkdir -p "$STAGE"
}
