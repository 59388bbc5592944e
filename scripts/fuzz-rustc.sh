#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Cargo's rustc while fuzz targets are built: the crates that are fuzzed, and
# those that read ELF and DWARF for them, get libFuzzer's instrumentation. These
# are options that a stable rustc has; cargo-fuzz asks for sanitizers and so for
# another one.

rustc=$1
shift
case $2 in
orctool | gimli | object | addr2line)
	# Numbers and texts that an input is compared with are tried, too.
	set -- "$@" -Cllvm-args=-sanitizer-coverage-trace-compares
	;;
esac
case $2 in
orc | orc_fuzz | orctool | gimli | object | addr2line)
	set -- "$@" --cfg fuzzing -Cpasses=sancov-module \
		-Cllvm-args=-sanitizer-coverage-level=4 \
		-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
		-Cllvm-args=-sanitizer-coverage-pc-table
	;;
esac
exec "$rustc" "$@"
