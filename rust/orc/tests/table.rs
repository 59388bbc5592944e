// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tables: what is refused, and what a lookup finds.
//!
//! The tables are put together here by hand, without the crate's own offsets and
//! sizes, so that a mistake in those shows.

// A test may panic: that is how it fails.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

use orc::rule::{Cfa, CfaBase, Frame, Location, RawRule, Rule, StackPointer, Undescribed, X29};
use orc::table::{lookup_accepted, Table, TableError};
use proptest::prelude::*;

const BUILD_ID: [u8; 20] = [7; 20];

/// A table in parts, each of which a test can spoil.
#[derive(Clone)]
struct Parts {
    text_bytes: u32,
    index: Vec<u32>,
    rules: Vec<RawRule>,
    row_rules: Vec<u16>,
    row_keys: Vec<u8>,
}

impl Parts {
    /// Rows by instruction number; rules by number.
    fn new(text_bytes: u32, rows: &[(u32, u16)], rules: &[RawRule]) -> Self {
        let blocks = text_bytes.div_ceil(1024);
        let before = |block: u32| rows.iter().filter(|row| row.0 / 256 < block).count();
        Self {
            text_bytes,
            index: (0..=blocks).map(|block| before(block) as u32).collect(),
            rules: rules.to_vec(),
            row_rules: rows.iter().map(|row| row.1).collect(),
            row_keys: rows.iter().map(|row| (row.0 % 256) as u8).collect(),
        }
    }

    /// The bytes, with a checksum that is right.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(b"aORC");
        bytes.extend(FORMAT_HASH.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(BUILD_ID);
        bytes.extend(self.text_bytes.to_le_bytes());
        bytes.extend((self.row_keys.len() as u32).to_le_bytes());
        bytes.extend((self.index.len() as u32 - 1).to_le_bytes());
        bytes.extend((self.rules.len() as u32).to_le_bytes());
        bytes.extend([0; 12]);
        bytes.extend(self.index.iter().flat_map(|row| row.to_le_bytes()));
        bytes.extend(
            self.rules
                .iter()
                .flatten()
                .flat_map(|word| word.to_le_bytes()),
        );
        bytes.extend(self.row_rules.iter().flat_map(|rule| rule.to_le_bytes()));
        bytes.extend(&self.row_keys);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let total = bytes.len() as u32;
        bytes[52..56].copy_from_slice(&total.to_le_bytes());
        seal(bytes)
    }
}

/// A change of the layout changes this, and every table must be written anew.
const FORMAT_HASH: u32 = 0x8210_5e09;

/// Puts the right checksum in.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[8..16].fill(0);
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for word in bytes.chunks(4) {
        sum ^= u64::from(u32::from_le_bytes(word.try_into().unwrap()));
        sum = sum.wrapping_mul(0x100_0000_01b3);
    }
    bytes[8..16].copy_from_slice(&sum.to_le_bytes());
    bytes
}

const ENTRY: RawRule = [0x0801, 0, 0, 0, 0, 0, 0];
const NO_CFI: RawRule = [0x0100, 0, 0, 0, 0, 0, 0];
/// CFA = SP + 32, x30 at CFA - 24, x29 at CFA - 32 and pointing there.
const BODY: RawRule = [0x1601, 32, 24, 32, 32, 0, 0];

fn body() -> Rule {
    Rule::Frame(Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: 32,
        },
        sp: StackPointer::Exact,
        return_address: Location::Slot(24),
        signed: None,
        caller_fp: Location::Slot(32),
        x29: X29::Record(32),
        patch_site: false,
    })
}

/// Two blocks and a bit: 600 instructions.
fn small() -> Parts {
    let rows = [(0, 0), (3, 1), (255, 2), (256, 0), (511, 1), (599, 2)];
    Parts::new(2400, &rows, &[ENTRY, BODY, NO_CFI])
}

fn open(bytes: &[u8]) -> Result<Table<'_>, TableError> {
    Table::new(bytes, &BUILD_ID)
}

#[test]
fn format_hash_is_pinned() {
    assert_eq!(
        orc::format::FORMAT_HASH,
        FORMAT_HASH,
        "the layout has changed: {:#x}",
        orc::format::FORMAT_HASH
    );
}

#[test]
fn finds_the_row_that_holds() {
    let bytes = small().bytes();
    let table = open(&bytes).unwrap();
    let entry = Rule::Frame(Frame::ENTRY);
    let none = Rule::Unreliable(Undescribed::NoCfi);
    let expected = [
        (0, entry),
        (2, entry),
        (3, body()),
        (254, body()),
        (255, none),
        (256, entry),
        (510, entry),
        (511, body()),
        // The last block has no row at its start.
        (512, body()),
        (598, body()),
        (599, none),
    ];
    for (instruction, rule) in expected {
        assert_eq!(table.lookup(instruction * 4), Some(rule), "{instruction}");
    }
    let rows: Vec<u32> = table.rows().map(|(offset, _)| offset / 4).collect();
    assert_eq!(rows, [0, 3, 255, 256, 511, 599]);
}

#[test]
fn finds_nothing_outside_the_text_or_inside_an_instruction() {
    let bytes = small().bytes();
    let table = open(&bytes).unwrap();
    for offset in [1, 2, 3, 2397, 2400, 2404, 3072, u32::MAX - 3, u32::MAX] {
        assert_eq!(table.lookup(offset), None, "{offset}");
    }
}

#[test]
fn accepts_no_text_and_no_rows() {
    let bytes = Parts::new(0, &[], &[]).bytes();
    let table = open(&bytes).unwrap();
    assert_eq!(table.lookup(0), None);
    assert_eq!(table.rows().count(), 0);
}

#[test]
fn accepts_text_of_one_instruction_and_of_one_block_more_or_less() {
    for text_bytes in [4, 1020, 1024, 1028] {
        let bytes = Parts::new(text_bytes, &[(0, 0)], &[BODY]).bytes();
        let table = open(&bytes).unwrap();
        assert_eq!(table.lookup(text_bytes - 4), Some(body()));
        assert_eq!(table.lookup(text_bytes), None);
    }
}

#[test]
fn refuses_each_flipped_bit() {
    let bytes = small().bytes();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn refuses_each_truncation_and_extension() {
    let bytes = small().bytes();
    for length in 0..bytes.len() {
        assert!(open(&bytes[..length]).is_err(), "{length} bytes");
    }
    for more in 1..=8 {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + more, 0);
        assert_eq!(open(&longer).err(), Some(TableError::Size));
    }
}

/// Sealed tables with a header word that is wrong.
#[test]
fn refuses_each_wrong_header_word() {
    let cases = [
        (0, TableError::Magic),
        (4, TableError::FormatHash),
        (16, TableError::BuildId),
        (32, TableError::BuildId),
        (36, TableError::Order),
        (40, TableError::Size),
        (44, TableError::Size),
        (48, TableError::Size),
        (52, TableError::Size),
        (56, TableError::Reserved),
        (60, TableError::Reserved),
    ];
    for (at, error) in cases {
        let mut bytes = small().bytes();
        // One less: so the text ends before the last row.
        let word = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let wrong = if at == 36 { word - 4 } else { word ^ 1 };
        bytes[at..at + 4].copy_from_slice(&wrong.to_le_bytes());
        assert_eq!(open(&seal(bytes)).err(), Some(error), "word at {at}");
    }
    assert_eq!(open(&[]).err(), Some(TableError::Truncated));
    assert_eq!(
        open(&small().bytes()[..63]).err(),
        Some(TableError::Truncated)
    );
}

/// Sealed tables with a part that is wrong.
#[test]
fn refuses_each_wrong_part() {
    type Spoil = fn(&mut Parts);
    let cases: [(&str, Spoil, TableError); 12] = [
        (
            "text longer than the index",
            |p| p.text_bytes += 1024,
            TableError::Size,
        ),
        ("row not at 0", |p| p.row_keys[0] = 1, TableError::FirstRow),
        ("equal keys", |p| p.row_keys[1] = 0, TableError::Order),
        ("keys go down", |p| p.row_keys[2] = 2, TableError::Order),
        (
            "row beyond the text",
            |p| p.row_keys[5] = 88,
            TableError::Order,
        ),
        ("index not from 0", |p| p.index[0] = 1, TableError::Index),
        ("index goes down", |p| p.index[2] = 2, TableError::Index),
        (
            "index beyond the rows",
            |p| p.index[3] = 7,
            TableError::Index,
        ),
        (
            "no such rule",
            |p| p.row_rules[5] = 3,
            TableError::RuleNumber,
        ),
        ("bad kind", |p| p.rules[2][0] = 2, TableError::Rule),
        ("bad reason", |p| p.rules[2][0] = 0x500, TableError::Rule),
        ("unused word", |p| p.rules[0][2] = 8, TableError::Rule),
    ];
    for (name, spoil, error) in cases {
        let mut parts = small();
        spoil(&mut parts);
        assert_eq!(open(&parts.bytes()).err(), Some(error), "{name}");
    }
}

#[test]
fn refuses_text_without_rows() {
    let bytes = Parts::new(4, &[], &[]).bytes();
    assert_eq!(open(&bytes).err(), Some(TableError::FirstRow));
}

#[test]
fn refuses_padding_that_is_not_zero() {
    let mut bytes = small().bytes();
    *bytes.last_mut().unwrap() = 1;
    assert_eq!(open(&seal(bytes)).err(), Some(TableError::Reserved));
}

#[test]
fn refuses_rules_that_contradict_themselves() {
    let cases: [(&str, [u32; 5]); 22] = [
        ("offset not a multiple of 8", [0x1601, 36, 24, 32, 32]),
        ("offset too large", [0x1601, 1 << 31, 24, 32, 32]),
        ("slot at the CFA", [0x1601, 32, 0, 32, 32]),
        ("slot below SP", [0x1601, 32, 24, 40, 40]),
        ("return address below SP", [0x0e01, 32, 40, 32, 0]),
        ("record elsewhere than saved x29", [0x1601, 48, 24, 32, 48]),
        ("return address beside the record", [0x1601, 32, 8, 32, 32]),
        ("record with x29 not saved", [0x1201, 32, 24, 0, 32]),
        ("x29 lost", [0x0201, 32, 24, 0, 0]),
        ("CFA by the caller's x29", [0xcf01, 32, 24, 32, 0]),
        ("CFA and record disagree", [0xd701, 48, 24, 32, 32]),
        ("record above the CFA", [0x1401, 32, 0, 8, 8]),
        ("saved x29 below SP", [0x0e01, 32, 24, 40, 0]),
        ("return address at the CFA", [0x0e01, 32, 0, 32, 0]),
        ("patch site by x29", [0xf701, 32, 24, 32, 32]),
        ("patch site without a record", [0x2a01, 32, 24, 0, 0]),
        ("patch site in 8 bytes", [0x2401, 8, 0, 8, 0]),
        ("unknown flag", [0x4_1601, 32, 24, 32, 32]),
        ("signed 3", [0x3_1601, 32, 24, 32, 32]),
        ("signed x30", [0x2_1401, 32, 0, 32, 32]),
        ("unsigned x30", [0x1_1401, 32, 0, 32, 32]),
        ("x29 fact 3", [0x1e01, 32, 24, 32, 32]),
    ];
    for (name, raw) in cases {
        let [head, cfa, ra, fp, record] = raw;
        let raw = [head, cfa, ra, fp, record, 0, 0];
        assert_eq!(Rule::decode(raw), None, "{name}");
    }
    assert_eq!(Rule::decode(BODY), Some(body()));
    let signed = |head| match Rule::decode([head, 32, 24, 32, 32, 0, 0]) {
        Some(Rule::Frame(frame)) => Some(frame.signed),
        _ => None,
    };
    assert_eq!(signed(0x1_1601), Some(Some(false)));
    assert_eq!(signed(0x2_1601), Some(Some(true)));
}

/// Bits 14 and 15 of the first word, and the last two.
#[test]
fn refuses_bounds_that_contradict_themselves() {
    const NONE: u32 = u32::MAX;
    let rule = |head, least, most| Rule::decode([head, 32, 24, 32, 32, least, most]);
    for (name, head, least, most) in [
        ("no bounds of a CFA by x29", 0x1701, 0, 0),
        ("bounds of a CFA by SP", 0x5601, 32, 32),
        ("another stack with a CFA by SP", 0x9601, 0, 0),
        ("anywhere with a CFA by SP", 0xd601, 0, 0),
        ("bounds upside down", 0x5701, 48, 40),
        ("least not a multiple of 8", 0x5701, 36, 48),
        ("most not a multiple of 8", 0x5701, 32, 44),
        ("least too large", 0x5701, 1 << 31, NONE),
        ("most too large", 0x5701, 32, 1 << 31),
        ("record below SP", 0x5701, 24, 48),
        ("bounds of an exact SP", 0x1601, 0, 8),
        ("bounds of another stack", 0x9701, 32, 48),
        ("bounds of anywhere", 0xd701, 0, NONE),
    ] {
        assert_eq!(rule(head, least, most), None, "{name}");
    }
    let sp = |head, least, most| match rule(head, least, most) {
        Some(Rule::Frame(frame)) => Some(frame.sp),
        _ => None,
    };
    let below = |least, most| Some(StackPointer::Below { least, most });
    assert_eq!(sp(0x5701, 32, 32), below(32, Some(32)));
    assert_eq!(sp(0x5701, 32, 1056), below(32, Some(1056)));
    assert_eq!(sp(0x5701, 48, NONE), below(48, None));
    assert_eq!(sp(0x9701, 0, 0), Some(StackPointer::OtherStack));
    assert_eq!(sp(0xd701, 0, 0), Some(StackPointer::Anywhere));
}

fn any_location() -> impl Strategy<Value = Location> {
    prop_oneof![
        Just(Location::Register),
        (0_u32..12).prop_map(|slot| Location::Slot(slot * 8)),
    ]
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let base = prop_oneof![Just(CfaBase::Sp), Just(CfaBase::Fp)];
    let sp = prop_oneof![
        4 => Just(StackPointer::Exact),
        4 => (0_u32..12, prop::option::of(0_u32..12)).prop_map(|(least, most)| {
            StackPointer::Below {
                least: least * 8,
                most: most.map(|most| most * 8),
            }
        }),
        1 => Just(StackPointer::OtherStack),
        1 => Just(StackPointer::Anywhere),
    ];
    let x29 = prop_oneof![
        Just(X29::Other),
        Just(X29::Caller),
        (0_u32..12).prop_map(|slot| X29::Record(slot * 8)),
    ];
    (
        (base, sp),
        0_u32..12,
        any_location(),
        any_location(),
        x29,
        (any::<bool>(), any::<Option<bool>>()),
    )
        .prop_map(
            |((base, sp), size, return_address, caller_fp, x29, (patch_site, signed))| Frame {
                cfa: Cfa {
                    base,
                    offset: size * 8,
                },
                sp,
                return_address,
                signed,
                caller_fp,
                x29,
                patch_site,
            },
        )
}

/// Text of up to some blocks, and rows at some of its instructions.
fn any_rows() -> impl Strategy<Value = (u32, Vec<(u32, u16)>)> {
    (1_u32..1500).prop_flat_map(|instructions| {
        let starts = prop::collection::btree_map(0..instructions, 0_u16..3, 0..200);
        starts.prop_map(move |mut rows| {
            rows.entry(0).or_insert(0);
            (instructions * 4, rows.into_iter().collect())
        })
    })
}

proptest! {
    #[test]
    fn rules_survive_encoding(frame in any_frame()) {
        let rule = Rule::Frame(frame);
        match rule.encode() {
            Some(raw) => prop_assert_eq!(Rule::decode(raw), Some(rule)),
            None => prop_assert!(!frame.is_valid()),
        }
    }

    #[test]
    fn words_that_decode_are_those_encoded(raw in any::<RawRule>(), head in 0_u32..0x4_0000) {
        let small = raw.map(|word| word & 0x78);
        let [_, words @ ..] = small;
        let [cfa, ra, fp, record, least, most] = words;
        for raw in [raw, [head, cfa, ra, fp, record, least, most], [head, cfa, ra, fp, record, 0, 0]] {
            if let Some(rule) = Rule::decode(raw) {
                prop_assert_eq!(rule.encode(), Some(raw));
            }
        }
    }

    #[test]
    fn lookup_agrees_with_a_linear_scan((text_bytes, rows) in any_rows()) {
        let rules = [ENTRY, BODY, NO_CFI];
        let bytes = Parts::new(text_bytes, &rows, &rules).bytes();
        let table = open(&bytes).unwrap();
        for instruction in 0..text_bytes / 4 {
            let row = rows.iter().rev().find(|row| row.0 <= instruction).unwrap();
            let rule = Rule::decode(rules[usize::from(row.1)]);
            prop_assert_eq!(table.lookup(instruction * 4), rule);
            prop_assert_eq!(lookup_accepted(&bytes, instruction * 4), rule);
        }
        let listed: Vec<(u32, Rule)> = table.rows().collect();
        let expected: Vec<(u32, Rule)> = rows
            .iter()
            .map(|row| (row.0 * 4, Rule::decode(rules[usize::from(row.1)]).unwrap()))
            .collect();
        prop_assert_eq!(listed, expected);
    }

    /// Accepted before, and damaged since: any answer will do, but no panic.
    #[test]
    fn lookup_is_total_on_damaged_tables(
        (text_bytes, rows) in any_rows(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..64),
        offsets in prop::collection::vec(any::<u32>(), 16),
    ) {
        let mut bytes = Parts::new(text_bytes, &rows, &[ENTRY, BODY, NO_CFI]).bytes();
        for (at, value) in damage {
            // All but the sizes in the header.
            let at = 64 + at.index(bytes.len() - 64);
            bytes[at] = value;
        }
        let table = Table::accepted(&bytes);
        prop_assume!(table.is_some());
        let table = table.unwrap();
        for instruction in 0..text_bytes / 4 {
            let _ = table.lookup(instruction * 4);
        }
        for offset in offsets {
            let _ = table.lookup(offset);
            let _ = lookup_accepted(&bytes, offset);
        }
        prop_assert!(table.rows().count() <= rows.len());
        let _ = open(&bytes);
    }

    #[test]
    fn garbage_is_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300), fix in any::<bool>()) {
        // With the magic number and the hash, the rest of the header is looked at.
        if let (true, Some(head)) = (fix, bytes.get_mut(..8)) {
            head[..4].copy_from_slice(b"aORC");
            head[4..].copy_from_slice(&FORMAT_HASH.to_le_bytes());
        }
        prop_assert!(open(&bytes).is_err());
        if let Some(table) = Table::accepted(&bytes) {
            let _ = table.lookup(0);
        }
    }
}
