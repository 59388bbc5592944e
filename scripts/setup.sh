#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Makes this machine ready: packages, bindgen, kernel source, guest. Says what
# it installs and why before it does; where it may not, says what to install.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/debian.sh"
. "$TOP/scripts/toolchain.sh"
. "$TOP/scripts/packages.sh"

list_missing() { # lines of missing_packages
	local names why
	while IFS='|' read -r names why; do
		printf '    %-34s %s\n' "$names" "$why"
	done <<<"$1"
}

can_install() {
	case $(debian_codename) in bookworm | trixie) ;; *) return 1 ;; esac
	[ "$(id -u)" = 0 ] && have apt-get
}

explain() { # lines NAMES
	if [ -z "$(debian_codename)" ]; then
		echo "error: this is not Debian 12 or 13, so nothing was installed; Debian's names are given above"
	else
		echo "error: these have to be installed, and only root may do that:"
		echo "    sudo apt-get install --no-install-recommends $2"
	fi >&2
	exit 2
}

install_packages() {
	local missing names
	missing=$(missing_packages)
	[ -n "$missing" ] || return 0
	say "packages that are missing, and what each is for:"
	list_missing "$missing"
	names=$(cut -d'|' -f1 <<<"$missing" | tr '\n' ' ')
	can_install || explain "$missing" "$names"
	export DEBIAN_FRONTEND=noninteractive
	STEP_MAY_FAIL=1 step "packages: refreshing apt's lists" apt-update \
		apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 update ||
		warn "apt-get update failed ($LOG_DIR/apt-update.log); trying with the lists there are"
	# shellcheck disable=SC2086 # a list of words
	step "packages: installing" apt-install \
		apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 \
		install --no-install-recommends $names
	missing=$(missing_packages)
	[ -z "$missing" ] || {
		list_missing "$missing" >&2
		die "still missing after installing: an older version earlier in PATH?"
	}
}

install_packages
bash "$TOP/scripts/bindgen.sh"
bash "$TOP/scripts/kernel-source.sh"
bash "$TOP/scripts/rootfs.sh"
