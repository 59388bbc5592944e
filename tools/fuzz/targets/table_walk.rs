// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Hands inputs of libFuzzer to [`orc_fuzz::table_walk`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| orc_fuzz::table_walk::run(input));
