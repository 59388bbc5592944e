// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rules for BPF code.

use orc::bpf::{body, trampoline};
use std::num::NonZero;

#[test]
fn rules_are_valid_wherever_there_is_one() {
    for bytes in (0..200).chain([1 << 30, 1 << 31, u32::MAX]) {
        let size = NonZero::new(bytes);
        let is_size = bytes % 8 == 0 && bytes < 1 << 31;
        for (rule, is_some) in [
            (body(size), bytes == 0 || (is_size && bytes >= 16)),
            (trampoline(size), is_size && bytes >= 32),
        ] {
            assert_eq!(rule.is_ok(), is_some, "{bytes} bytes");
            // No invalid rule has words.
            assert!(rule.is_err() || rule.is_ok_and(|rule| rule.encode().is_some()));
        }
    }
}
