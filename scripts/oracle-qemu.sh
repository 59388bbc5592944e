#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A QEMU whose plugins can read registers and memory (10.0 or newer), from a later
# Debian release where this one's is older, unpacked into the cache with the
# libraries that it was made with. Nothing is installed. Prints the program to run.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/debian.sh"

SUITES='trixie bookworm-backports forky sid'
MINIMUM=10.0
dir=$CACHE/oracle-qemu
work=$dir.new

arch() { dpkg --print-architecture; }

fetch() { # SUITE
	private_apt_setup "$work/apt" "$(arch)" "$1"
	private_apt "$work/apt" update || return
	at_least "$(version)" "$MINIMUM" || { echo "$1 has qemu $(version)" && return 1; }
	private_apt "$work/apt" install --download-only qemu-system-arm
}

version() {
	apt-cache -c "$work/apt/apt.conf" show --no-all-versions qemu-system-arm |
		sed -n 's/^Version: \([0-9]*:\)\?\([0-9.]*\).*/\2/p'
}

from_suites() {
	local suite
	for suite in $SUITES; do
		if STEP_MAY_FAIL=1 step "QEMU $MINIMUM for the oracle: looking in $suite, 60 MiB" oracle-qemu fetch "$suite" >&2; then
			return
		fi
	done
	die "no suite of $SUITES has QEMU $MINIMUM or newer ($LOG_DIR/oracle-qemu.log); give QEMU=PROGRAM"
}

unpack() {
	local d deb
	for d in bin lib lib64 sbin; do
		mkdir -p "$work/usr/$d"
		ln -sfn "usr/$d" "$work/$d"
	done
	for deb in "$work"/apt/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$work" || return
	done
	rm -rf "$work/apt" "$work"/usr/share/{doc,man,locale,info}
}

# By its own loader, so that the libraries of this machine do not matter.
starter() {
	cat <<-'STARTER'
		#!/bin/bash
		here=$(dirname "$(readlink -f "$0")")
		loader=$(compgen -G "$here/usr/lib64/ld-linux*.so*" || compgen -G "$here/usr/lib/ld-linux*.so*")
		libs=$here/usr/lib/$(cat "$here/triplet")
		export QEMU_MODULE_DIR=$libs/qemu
		exec "$loader" --library-path "$libs:$libs/pulseaudio" "$here/usr/bin/qemu-system-aarch64" -L "$here/usr/share/qemu" "$@"
	STARTER
}

# Where the system's own is new enough, that one.
own() {
	local found=${QEMU:-$(command -v qemu-system-aarch64 || true)} is
	[ -n "$found" ] || return 1
	is=$("$found" --version | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p')
	at_least "${is:-0}" "$MINIMUM" && echo "$found"
}

own && exit 0
take_lock "$dir.lock" "the oracle's QEMU" >&2
if [ ! -e "$dir/.complete" ]; then
	have dpkg-deb || die "no dpkg-deb: give QEMU=PROGRAM, $MINIMUM or newer"
	need_space "$CACHE" 1000 "the oracle's QEMU"
	rm -rf "$dir" "$work"
	mkdir -p "$work"
	from_suites
	step "QEMU for the oracle: unpacking" oracle-qemu-unpack unpack >&2
	starter >"$work/qemu-system-aarch64"
	chmod +x "$work/qemu-system-aarch64"
	(cd "$work/usr/lib" && compgen -G '*-linux-gnu' | head -n 1) >"$work/triplet"
	mv "$work" "$dir"
	"$dir/qemu-system-aarch64" --version >/dev/null || die "the oracle's QEMU does not start"
	touch "$dir/.complete"
fi
echo "$dir/qemu-system-aarch64"
