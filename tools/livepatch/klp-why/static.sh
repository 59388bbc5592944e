#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Builds klp-why as one static file for each architecture: static.sh OUT [ARCH...].
#
# x86_64 takes any toolchain with its own standard library. For aarch64 that comes from
# the target of a rustup toolchain, or else from Debian's package of exactly the version
# of rustc, unpacked below OUT; the system's apt is left alone. The linker is
# aarch64-linux-gnu-gcc, with libc6-dev-arm64-cross.

set -euo pipefail
crate=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: static.sh OUT [ARCH...]}
shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
top=$(cd "$crate/../../.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$out/cargo}

die() {
	echo "static.sh: $*" >&2
	exit 2
}
have() { command -v "$1" >/dev/null; }

# The standard library for arm64 of Debian's rustc: prints the sysroot.
debian_sysroot() { # RUSTC
	local package version sysroot=$out/debian-arm64
	package=$(dpkg-query -S "$(readlink -f "$1")" 2>/dev/null | cut -d: -f1) ||
		die "$1 is of no Debian package, and has no aarch64 target: rustup target add aarch64-unknown-linux-gnu"
	case $package in
	rustc-web) package=libstd-rust-web-dev ;;
	rustc) package=libstd-rust-dev ;;
	*) die "$1 is of the package $package, which is not known" ;;
	esac
	version=$(dpkg-query -W -f '${Version}' "$package")
	if [ ! -d "$sysroot/usr/lib/rustlib/aarch64-unknown-linux-gnu" ]; then
		# shellcheck source=../../../scripts/debian.sh
		. "$top/scripts/debian.sh"
		private_apt_setup "$out/apt" arm64 "$(debian_codename)"
		local keyring
		keyring=$(debian_keyring)
		echo "deb [arch=arm64 signed-by=$keyring] $(debian_mirror | sed 's|/debian/*$|/debian-security|') $(debian_codename)-security main" \
			>>"$out/apt/sources.list"
		private_apt "$out/apt" update >&2
		(cd "$out" && apt-get -q -c apt/apt.conf download "$package=$version" >&2) ||
			die "$package $version for arm64 can't be had from $(debian_mirror)"
		dpkg-deb -x "$out/${package}"_*_arm64.deb "$sysroot"
	fi
	echo "$sysroot/usr"
}

build() { # ARCH
	local target=$1-unknown-linux-gnu flags="-C target-feature=+crt-static" rustc=${RUSTC:-rustc}
	if [ "$1" = aarch64 ]; then
		have aarch64-linux-gnu-gcc || die "no aarch64-linux-gnu-gcc: install gcc-aarch64-linux-gnu"
		export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
		if [ ! -d "$("$rustc" --print sysroot)/lib/rustlib/$target" ]; then
			rustc=/usr/bin/rustc
			[ -x "$rustc" ] || die "rustc has no $target, and there is no Debian rustc"
			# The machine's own programs, as macros are, keep the machine's library.
			flags+=" --sysroot=$(debian_sysroot "$rustc")"
		fi
	fi
	RUSTC=$rustc RUSTFLAGS=$flags cargo build --release --locked --target "$target" \
		--manifest-path "$crate/Cargo.toml"
	cp "$CARGO_TARGET_DIR/$target/release/klp-why" "$out/klp-why-$1"
	echo "$out/klp-why-$1: $(stat -c %s "$out/klp-why-$1") bytes"
}

(($#)) || set -- x86_64 aarch64
for arch; do
	build "$arch"
done
