// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The words of a rule: each rule has one encoding, and what is decoded is valid.
//! Words next to those of the input, one bit away, are decoded too.
//! The rules of BPF code are such that a table could hold them.

use crate::bytes::Bytes;
use crate::tally;

use orc::bpf;
use orc::rule::{Frame, RawRule, Rule};

use std::num::NonZero;

/// Decodes the words at the start of the input, and makes a BPF program's rule.
pub fn run(input: &[u8]) {
    let mut bytes = Bytes(input);
    let mut words = RawRule::default();
    words.fill_with(|| bytes.u32());
    decode(words);
    let words = compact(&mut Bytes(input));
    decode(words);
    for number in 0..words.len() {
        for bit in 0..u32::BITS {
            let mut words = words;
            words[number] ^= 1 << bit;
            decode(words);
        }
    }
    tally::count(1, 0);
    bpf(bytes.u32());
    bpf(words[0]);
}

fn decode(words: RawRule) {
    if let Some(rule) = Rule::decode(words) {
        assert_eq!(rule.encode(), Some(words), "another encoding of {rule:?}");
        round_trip(rule);
    }
}

fn bpf(frame_bytes: u32) {
    let frame_bytes = NonZero::new(frame_bytes);
    for rule in [bpf::body(frame_bytes), bpf::trampoline(frame_bytes)] {
        let rule = rule.unwrap_or(Rule::Frame(Frame::ENTRY));
        assert!(matches!(rule, Rule::Frame(frame) if frame.is_valid()));
        round_trip(rule);
    }
}

fn round_trip(rule: Rule) {
    let raw = rule.encode().expect("a rule that no table may hold");
    assert_eq!(Rule::decode(raw), Some(rule));
}

/// Words of a rule out of few bytes. Most are those of no rule.
pub(crate) fn compact(bytes: &mut Bytes<'_>) -> RawRule {
    let mut raw = RawRule::default();
    raw.fill_with(|| bytes.offset());
    // The kind in the low byte, eight flags, and whether the address is signed.
    raw[0] = match bytes.u8() {
        255 => raw[0],
        0 => raw[0] << 5,
        kind => raw[0] << 5 | 1 | u32::from(kind >> 1 & 3) << 16,
    };
    raw
}
