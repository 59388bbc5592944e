// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Hands inputs of libFuzzer to [`orc_fuzz::cfi`].

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: orc_fuzz::on_one_thread(),
    |input: &[u8]| orc_fuzz::cfi::run(input)
);
