// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rules for BPF code.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

use orc::bpf::{body, trampoline};
use orc::rule::{Cfa, CfaBase, Frame, Location, Rule, StackPointer, X29};
use std::num::NonZero;

#[test]
fn rules_are_valid_wherever_there_is_one() {
    for bytes in (0..200).chain([0xffff * 8, 0x1_0000 * 8, 1 << 31, u32::MAX]) {
        let size = NonZero::new(bytes);
        let is_size = bytes % 8 == 0 && bytes < 0x1_0000 * 8;
        for (rule, is_some) in [
            (body(size), bytes == 0 || (is_size && bytes >= 16)),
            (trampoline(size), is_size && bytes >= 32),
        ] {
            assert_eq!(rule.is_ok(), is_some, "{bytes} bytes");
            // They are words of a rule.
            assert!(rule.is_err() || rule.is_ok_and(|rule| Rule::decode(rule).is_some()));
        }
    }
}

#[test]
fn rules_are_those_of_the_frames_that_the_jit_makes() {
    let frame = |base, offset, record, sp| Frame {
        cfa: Cfa { base, offset },
        sp,
        return_address: Location::Slot(record - 8),
        signed: None,
        caller_fp: Location::Slot(16),
        x29: X29::Record(record),
        patch_site: record == 32,
        left_by_return: None,
    };
    let (below, size) = (
        StackPointer::Below {
            least: 16,
            most: None,
        },
        NonZero::new(96),
    );
    for (rule, frame) in [
        (body(size), frame(CfaBase::Sp, 96, 16, StackPointer::Exact)),
        (body(None), frame(CfaBase::Fp, 16, 16, below)),
        (
            trampoline(size),
            frame(CfaBase::Sp, 96, 32, StackPointer::Exact),
        ),
    ] {
        assert_eq!(rule.unwrap().unpack(), Some(Rule::Frame(frame)));
    }
}
