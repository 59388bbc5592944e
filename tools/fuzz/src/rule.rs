// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The words of a rule: each rule has one encoding, and what is decoded is valid.
//! Words next to those of the input, one bit away, are decoded too. What the words
//! are asked without being decoded is what the rule says.
//! The rules of BPF code are such that a table could hold them.

use crate::bytes::Bytes;
use crate::tally;

use orc::bpf;
use orc::rule::{RawRule, Rule};

use std::num::NonZero;

/// Decodes the words at the start of the input, and makes a BPF program's rule.
pub fn run(input: &[u8]) {
    let mut bytes = Bytes(input);
    decode([bytes.u32(), bytes.u32()]);
    let words = compact(&mut Bytes(input)).words();
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

fn decode(words: [u32; 2]) {
    let raw = RawRule::new(words);
    let unpacked = raw.unpack();
    if let Some(rule) = unpacked {
        let left = match rule {
            Rule::Frame(frame) => frame.left_by_return,
            Rule::Unreliable(_) => None,
        };
        assert_eq!(raw.left_by_return(), left, "{rule:?}");
    }
    // Parts that do not fit each other may have words, but no others.
    if let Some(Rule::Frame(frame)) = unpacked {
        let packed = frame.pack();
        let again = packed.map(RawRule::unpack);
        assert!(again.is_none_or(|again| again == unpacked), "{frame:?}");
    }
    if let Some(rule) = Rule::decode(raw) {
        assert_eq!(unpacked, Some(rule));
        assert_eq!(rule.encode(), Some(raw), "another encoding of {rule:?}");
        round_trip(rule);
    }
}

fn bpf(frame_bytes: u32) {
    let frame_bytes = NonZero::new(frame_bytes);
    let rules = [bpf::body(frame_bytes), bpf::trampoline(frame_bytes)];
    for raw in rules.into_iter().flatten() {
        match Rule::decode(raw) {
            Some(rule @ Rule::Frame(_)) => round_trip(rule),
            other => panic!("no frame that a table could hold: {other:?}"),
        }
    }
}

fn round_trip(rule: Rule) {
    let raw = rule.encode().expect("a rule that no table may hold");
    assert_eq!(Rule::decode(raw), Some(rule));
}

/// Words of a rule out of five bytes: its kind, eight flags, the offset of the CFA, and
/// the numbers of the second word. Most are those of no rule.
pub(crate) fn compact(bytes: &mut Bytes<'_>) -> RawRule {
    let (kind, flags) = (bytes.u8(), u32::from(bytes.u8()));
    let mut units = || (bytes.offset() / 8) & 0xffff;
    let (cfa, low, high) = (units(), units(), units());
    let head = match kind {
        255 => bytes.u32(),
        0 => flags << 8,
        kind => 1 | flags << 1 | more_flags(kind) << 9 | cfa << 16,
    };
    RawRule::new([head, low | high << 16])
}

/// Of a frame: whether the address is signed; and rarely, as most frames are wrong with
/// one of them, that SP has no limit, or that the function is left by its return alone.
fn more_flags(kind: u8) -> u32 {
    let rare = match kind >> 3 & 7 {
        1 => 1,
        2 => 8,
        _ => 0,
    };
    rare | u32::from(kind >> 1 & 3) << 1
}
