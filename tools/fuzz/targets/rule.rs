// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Hands inputs of libFuzzer to [`orc_fuzz::rule`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| orc_fuzz::rule::run(input));
