# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The packages needed, how to see that one is there, and why it is wanted.
# Sourced after toolchain.sh and debian.sh.

# have_X functions: true when what the package is wanted for is there, however
# it came to be there.
probe_file() { compgen -G "$1" >/dev/null; }
probe_cc() { have "$(kernel_cc)" && probe_version "$(tool_version "$(kernel_cc)")"; }
probe_version() {
	if [ "$COMPILER" = gcc ]; then at_least "$1" "$MIN_GCC"; else at_least "$1" "$MIN_CLANG"; fi
}
probe_rustc() { [ -n "$(find_rustc)" ]; }
probe_companion() { [ -n "$(rust_companion "$1")" ]; }
probe_cargo() { [ -n "$(find_cargo)" ]; }
probe_bindgen() { [ -n "$(find_bindgen)" ]; }

# The suffix of versioned LLVM packages: clang-19.
llvm_package() {
	case $LLVM in
	-*) echo "$1$LLVM" ;;
	*) echo "$1" ;;
	esac
}

# Lines "packages|probe|why". Debian 12's own rustc is 1.63, so there the
# packages made for building web browsers are used; 13's is new enough.
package_table() {
	local rustc='rustc rust-src' rustfmt=rustfmt clippy=rust-clippy cargo=cargo
	local libclang=libclang-19-dev
	if [ "$(debian_codename)" = bookworm ]; then
		rustc='rustc-web rust-web-src' rustfmt=rustfmt-web clippy=rust-web-clippy cargo=cargo-web
	fi
	case $LLVM in -*) libclang=libclang$LLVM-dev ;; esac
	if [ "$COMPILER" = clang ]; then
		cat <<-EOF
			$(llvm_package clang)|probe_cc|compiles the kernel
			$(llvm_package lld)|have $(llvm_tool ld.lld)|links the kernel
		EOF
	fi
	cat <<-EOF
		$(llvm_package llvm)|have $(llvm_tool llvm-nm)|llvm-objcopy, llvm-nm and others for the kernel build and the checks
		$libclang|probe_file /usr/lib/llvm*/lib/libclang*.so*|bindgen reads the kernel's headers with it
		$rustc|probe_rustc|the kernel's Rust, $MIN_RUSTC or newer, with its library source
		$rustfmt|probe_companion rustfmt|the kernel build formats generated bindings
		$clippy|probe_companion clippy-driver|lints the kernel side (make check)
		$cargo|probe_cargo|builds orctool, $MIN_CARGO or newer
		gcc libc6-dev|probe_file /usr/include/stdio.h|programs that the kernel build runs on this machine
		g++|have c++|libFuzzer, with which the fuzz targets are linked
		make|have make|the kernel build
		flex|have flex|the kernel build (Kconfig)
		bison|have bison|the kernel build (Kconfig)
		bc|have bc|the kernel build (timeconst.h)
		libelf-dev|probe_file /usr/include/gelf.h|the kernel build's ELF tools
		libssl-dev|probe_file /usr/include/openssl/opensslv.h|the kernel build's signing tools
		perl|have perl|the kernel build, checkpatch.pl
		python3|have python3|the kernel build's generators
		kmod|have depmod|depmod for the guest's modules
		cpio|have cpio|packs the guest's root file system
		shellcheck|have shellcheck|lints (make check)
		rsync|have rsync|copies only what changed into the kernel tree
		xz-utils|have xz|unpacks the kernel source
		git|have git|applies the patches
		ccache|have ccache|reuses objects between builds and clones
		gcc-aarch64-linux-gnu|have aarch64-linux-gnu-gcc|user-space test programs for the guest, the GCC build of the kernel
		libc6-dev-arm64-cross|probe_file /usr/aarch64-linux-gnu/include/stdio.h|user-space test programs for the guest
		ca-certificates|probe_file /etc/ssl/certs/ca-certificates.crt|cargo fetches crates over TLS
		qemu-system-arm|have qemu-system-aarch64|runs the guest
	EOF
	if [ "$(debian_codename)" = trixie ]; then
		echo "bindgen|probe_bindgen|the kernel's Rust bindings, $MIN_BINDGEN or newer"
	fi
	if [ -n "${OTHER_GCC:-}" ]; then
		echo "patchelf|have patchelf|makes an unpacked GCC use the C library that came with it"
	fi
}

# The lines of the table whose probe fails.
missing_packages() {
	local names probe why
	while IFS='|' read -r names probe why; do
		$probe || printf '%s|%s\n' "$names" "$why"
	done < <(package_table)
}
