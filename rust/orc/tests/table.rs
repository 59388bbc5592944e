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
    clippy::panic,
    clippy::unwrap_used
)]

use orc::rule::{
    Cfa, CfaBase, Frame, Location, RawRule, Rule, StackPointer, Undescribed, MAX_OFFSET, X29,
};
use orc::table::{Table, TableError};
use proptest::prelude::*;

const BUILD_ID: [u8; 20] = [7; 20];

/// A table in parts, each of which a test can spoil.
#[derive(Clone)]
struct Parts {
    text_bytes: u32,
    index: Vec<u32>,
    rules: Vec<[u32; 2]>,
    escapes: Vec<[u32; 2]>,
    rows: Vec<u16>,
}

impl Parts {
    /// Rows by instruction number; rules by number.
    fn new(text_bytes: u32, rows: &[(u32, u16)], rules: &[[u32; 2]]) -> Self {
        let blocks = text_bytes.div_ceil(512);
        let before = |block: u32| rows.iter().filter(|row| row.0 / 128 < block).count();
        let escaped = |(_, row): &(usize, &(u32, u16))| row.1 >= 511;
        Self {
            text_bytes,
            index: (0..=blocks).map(|block| before(block) as u32).collect(),
            rules: rules.to_vec(),
            escapes: (rows.iter().enumerate().filter(escaped))
                .map(|(number, row)| [number as u32, u32::from(row.1)])
                .collect(),
            rows: (rows.iter())
                .map(|row| ((row.0 % 128) as u16) << 9 | row.1.min(511))
                .collect(),
        }
    }

    /// The words, with a checksum that is right.
    fn words(&self) -> Vec<u32> {
        let mut words = vec![u32::from_le_bytes(*b"aORC"), FORMAT_HASH, 0, 0];
        words.extend([0x0707_0707; 5]);
        words.extend([self.text_bytes, self.rows.len() as u32]);
        words.extend([self.index.len() as u32 - 1, self.rules.len() as u32]);
        words.extend([self.escapes.len() as u32, 0, 0]);
        words.extend(&self.index);
        words.extend(self.rules.iter().flatten());
        words.extend(self.escapes.iter().flatten());
        for pair in self.rows.chunks(2) {
            let second = pair.get(1).copied().unwrap_or(0);
            words.push(u32::from(pair[0]) | u32::from(second) << 16);
        }
        words[14] = words.len() as u32;
        seal(words)
    }
}

/// A change of the layout changes this, and every table must be written anew.
const FORMAT_HASH: u32 = 0x620a_508f;

/// Puts the right checksum in.
fn seal(mut words: Vec<u32>) -> Vec<u32> {
    words[2..4].fill(0);
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for word in &words {
        sum = (sum ^ u64::from(*word)).wrapping_mul(0x100_0000_01b3);
    }
    words[2] = sum as u32;
    words[3] = (sum >> 32) as u32;
    words
}

const ENTRY: [u32; 2] = [0x11, 0];
const NO_CFI: [u32; 2] = [0x0100, 0];
/// CFA = SP + 32, x30 at CFA - 24, x29 at CFA - 32 and pointing there.
const BODY: [u32; 2] = [0x4_002d, 0x4_0003];

fn decode(words: [u32; 2]) -> Option<Rule> {
    Rule::decode(RawRule::new(words))
}

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
        left_by_return: None,
    })
}

/// Two blocks and a bit: 300 instructions.
fn small() -> Parts {
    let rows = [(0, 0), (3, 1), (127, 2), (128, 0), (255, 1), (299, 2)];
    Parts::new(1200, &rows, &[ENTRY, BODY, NO_CFI])
}

fn open(words: &[u32]) -> Result<Table<'_>, TableError> {
    Table::new(words, &BUILD_ID)
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
    let words = small().words();
    let table = open(&words).unwrap();
    let entry = Rule::Frame(Frame::ENTRY);
    let none = Rule::Unreliable(Undescribed::NoCfi);
    let expected = [
        (0, entry),
        (2, entry),
        (3, body()),
        (126, body()),
        (127, none),
        (128, entry),
        (254, entry),
        (255, body()),
        // The last block has no row at its start.
        (256, body()),
        (298, body()),
        (299, none),
    ];
    for (instruction, rule) in expected {
        assert_eq!(table.lookup(instruction * 4), Some(rule), "{instruction}");
    }
    let rows: Vec<u32> = table.rows().map(|(offset, _)| offset / 4).collect();
    assert_eq!(rows, [0, 3, 127, 128, 255, 299]);
}

#[test]
fn finds_nothing_outside_the_text_or_inside_an_instruction() {
    let words = small().words();
    let table = open(&words).unwrap();
    for offset in [1, 2, 3, 1197, 1200, 1204, 1536, u32::MAX - 3, u32::MAX] {
        assert_eq!(table.lookup(offset), None, "{offset}");
    }
}

/// Rules enough that some have no number in a row; each has a frame of its own size.
fn many() -> Parts {
    let rules: Vec<[u32; 2]> = (0..600).map(|size| [(size * 2) << 16 | 0x11, 0]).collect();
    let rows: Vec<(u32, u16)> = (0..600).map(|row| (row * 2, row as u16)).collect();
    Parts::new(4800, &rows, &rules)
}

#[test]
fn finds_rules_that_are_among_the_escapes() {
    let words = many().words();
    let table = open(&words).unwrap();
    assert_eq!(table.header().unwrap().escapes, 89);
    for row in 0..600 {
        let Some(Rule::Frame(frame)) = table.lookup(row * 8 + 4) else {
            panic!("no frame in row {row}");
        };
        assert_eq!(frame.cfa.offset, row * 16);
        // Also where the row starts.
        assert_eq!(table.lookup(row * 8), Some(Rule::Frame(frame)));
        assert_eq!(
            table.rows().nth(row as usize),
            Some((row * 8, Rule::Frame(frame)))
        );
    }
}

#[test]
fn refuses_escapes_that_are_not_those_of_the_rows() {
    type Spoil = fn(&mut Parts);
    let cases: [(&str, Spoil); 7] = [
        ("one is missing", |p| p.escapes.truncate(88)),
        ("one too many", |p| p.escapes.push([599, 599])),
        ("of another row", |p| p.escapes[3][0] += 1),
        ("out of order", |p| p.escapes.swap(4, 5)),
        ("twice", |p| p.escapes[4] = p.escapes[3]),
        ("a rule that needs none", |p| p.escapes[3][1] = 510),
        ("no such rule", |p| p.escapes[3][1] = 600),
    ];
    for (name, spoil) in cases {
        let mut parts = many();
        spoil(&mut parts);
        assert_eq!(
            open(&parts.words()).err(),
            Some(TableError::Escape),
            "{name}"
        );
    }
}

#[test]
fn refuses_more_rules_than_a_table_has() {
    let rules = |count| Parts::new(4, &[(0, 0)], &vec![ENTRY; count]).words();
    assert!(open(&rules(1 << 16)).is_ok());
    assert_eq!(open(&rules((1 << 16) + 1)).err(), Some(TableError::Rule));
}

#[test]
fn accepts_no_text_and_no_rows() {
    let words = Parts::new(0, &[], &[]).words();
    let table = open(&words).unwrap();
    assert_eq!(table.lookup(0), None);
    assert_eq!(table.rows().count(), 0);
}

#[test]
fn refuses_no_text_with_an_index_that_has_rows() {
    let mut parts = Parts::new(0, &[], &[]);
    parts.index[0] = 1;
    assert_eq!(open(&parts.words()).err(), Some(TableError::Index));
}

#[test]
fn accepts_text_of_one_instruction_and_of_one_block_more_or_less() {
    for text_bytes in [4, 508, 512, 516] {
        let words = Parts::new(text_bytes, &[(0, 0)], &[BODY]).words();
        let table = open(&words).unwrap();
        assert_eq!(table.lookup(text_bytes - 4), Some(body()));
        assert_eq!(table.lookup(text_bytes), None);
    }
}

#[test]
fn refuses_text_that_ends_inside_an_instruction() {
    for text_bytes in [1197, 1198, 1199] {
        let mut parts = small();
        parts.text_bytes = text_bytes;
        assert_eq!(open(&parts.words()).err(), Some(TableError::Size));
    }
}

#[test]
fn refuses_each_flipped_bit() {
    let words = small().words();
    for bit in 0..words.len() * 32 {
        let mut flipped = words.clone();
        flipped[bit / 32] ^= 1 << (bit % 32);
        assert!(open(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn refuses_each_truncation_and_extension() {
    let words = small().words();
    for length in 0..words.len() {
        assert!(open(&words[..length]).is_err(), "{length} words");
    }
    for more in 1..=4 {
        let mut longer = words.clone();
        longer.resize(words.len() + more, 0);
        assert_eq!(open(&longer).err(), Some(TableError::Size));
    }
}

/// Sealed tables with a header word that is wrong.
#[test]
fn refuses_each_wrong_header_word() {
    let cases = [
        (0, TableError::Magic),
        (1, TableError::FormatHash),
        (4, TableError::BuildId),
        (8, TableError::BuildId),
        (9, TableError::Order),
        (10, TableError::Index),
        (11, TableError::Size),
        (12, TableError::Size),
        (13, TableError::Size),
        (14, TableError::Size),
        (15, TableError::Reserved),
    ];
    for (at, error) in cases {
        let mut words = small().words();
        match at {
            // The text ends before the last row.
            9 => words[at] -= 4,
            // The half that is left is no row.
            10 => words[at] -= 1,
            _ => words[at] ^= 1,
        }
        assert_eq!(open(&seal(words)).err(), Some(error), "word {at}");
    }
    assert_eq!(open(&[]).err(), Some(TableError::Truncated));
    assert_eq!(
        open(&small().words()[..15]).err(),
        Some(TableError::Truncated)
    );
}

#[test]
fn opens_no_table_of_another_format() {
    for at in [0, 1] {
        let mut words = small().words();
        assert!(Table::accepted(&words).is_some());
        words[at] ^= 1;
        assert!(Table::accepted(&words).is_none(), "word {at}");
    }
}

/// Sealed tables with a part that is wrong.
#[test]
fn refuses_each_wrong_part() {
    type Spoil = fn(&mut Parts);
    let cases: [(&str, Spoil, TableError); 13] = [
        (
            "text longer than the index",
            |p| p.text_bytes += 512,
            TableError::Size,
        ),
        (
            "row not at 0",
            |p| p.rows[0] |= 1 << 9,
            TableError::FirstRow,
        ),
        ("equal keys", |p| p.rows[1] = 1, TableError::Order),
        ("keys go down", |p| p.rows[2] = 2 << 9, TableError::Order),
        (
            "row beyond the text",
            |p| p.rows[5] = 44 << 9,
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
            "index ends before the last row",
            |p| p.index[3] = 5,
            TableError::Index,
        ),
        ("no such rule", |p| p.rows[5] += 1, TableError::RuleNumber),
        ("bad kind", |p| p.rules[2][0] = 0x102, TableError::Rule),
        ("bad reason", |p| p.rules[2][0] = 0x500, TableError::Rule),
        ("unused word", |p| p.rules[0][1] = 8, TableError::Rule),
    ];
    for (name, spoil, error) in cases {
        let mut parts = small();
        spoil(&mut parts);
        assert_eq!(open(&parts.words()).err(), Some(error), "{name}");
    }
}

#[test]
fn refuses_text_without_rows() {
    let words = Parts::new(4, &[], &[]).words();
    assert_eq!(open(&words).err(), Some(TableError::FirstRow));
}

#[test]
fn refuses_a_half_that_is_left_and_not_zero() {
    let mut words = Parts::new(4, &[(0, 0)], &[ENTRY]).words();
    assert!(open(&words).is_ok());
    *words.last_mut().unwrap() |= 1 << 16;
    assert_eq!(open(&seal(words)).err(), Some(TableError::Reserved));
}

/// Flags and CFA of the first word, the two numbers of the second; in units.
fn words([flags, cfa, low, high]: [u32; 4]) -> [u32; 2] {
    [cfa << 16 | flags, high << 16 | low]
}

#[test]
fn refuses_rules_that_contradict_themselves() {
    let cases: [(&str, [u32; 4]); 25] = [
        ("slot at the CFA", [0x2d, 4, 0, 4]),
        ("return address at the CFA", [0x1d, 4, 0, 4]),
        ("saved x29 at the CFA", [0x1d, 4, 3, 0]),
        ("own record below SP", [0x7d, 4, 4, 2]),
        ("slot below SP", [0x2d, 4, 3, 5]),
        ("return address below SP", [0x1d, 4, 5, 4]),
        ("return address beside the record", [0x2d, 4, 1, 4]),
        ("record with x29 not saved", [0x25, 4, 3, 0]),
        ("x29 lost", [0x05, 4, 3, 0]),
        ("CFA by the caller's x29", [0x19f, 4, 3, 4]),
        ("CFA and record disagree", [0x1af, 6, 3, 4]),
        ("record above the CFA", [0x29, 4, 0, 1]),
        ("saved x29 below SP", [0x1d, 4, 3, 5]),
        ("patch site by x29", [0x1ef, 4, 3, 4]),
        ("patch site by x29 at its own record", [0x1ff, 4, 3, 4]),
        ("patch site by x29 elsewhere", [0x1cf, 4, 3, 2]),
        ("patch site without a record", [0x45, 4, 3, 0]),
        ("patch site in 8 bytes", [0x49, 1, 0, 1]),
        ("own record of no patch site", [0x3d, 4, 3, 2]),
        ("own record said to be the other", [0x6d, 4, 1, 2]),
        ("unknown flag", [0x202d, 4, 3, 4]),
        ("signed 3", [0xc2d, 4, 3, 4]),
        ("signed x30", [0x829, 4, 0, 4]),
        ("unsigned x30", [0x429, 4, 0, 4]),
        ("x29 fact 3", [0x3d, 4, 3, 4]),
    ];
    for (name, rule) in cases {
        assert_eq!(decode(words(rule)), None, "{name}");
    }
    assert_eq!(words([0x2d, 4, 3, 4]), BODY);
    assert_eq!(decode(BODY), Some(body()));
    let signed = |flags| match decode(words([flags, 4, 3, 4])) {
        Some(Rule::Frame(frame)) => Some(frame.signed),
        _ => None,
    };
    let record = |flags| match decode(words([flags, 4, 3, 2])) {
        Some(Rule::Frame(frame)) => Some(frame.x29),
        _ => None,
    };
    assert_eq!(record(0x6d), Some(X29::Record(16)));
    assert_eq!(record(0x7d), Some(X29::Record(32)));
    assert_eq!(signed(0x42d), Some(Some(false)));
    assert_eq!(signed(0x82d), Some(Some(true)));
}

/// What a walk gets where no table says anything.
#[test]
fn constants_are_rules_that_a_table_could_hold() {
    let start = Frame {
        patch_site: true,
        ..Frame::ENTRY
    };
    for (raw, frame) in [
        (RawRule::ENTRY, Frame::ENTRY),
        (RawRule::FTRACE_START, start),
    ] {
        assert_eq!(Rule::decode(raw), Some(Rule::Frame(frame)));
    }
}

#[test]
fn only_an_entry_is_left_by_its_return_alone() {
    let entry = Frame {
        left_by_return: Some(24),
        ..Frame::ENTRY
    };
    assert_eq!(decode([0x1011, 3]), Some(Rule::Frame(entry)));
    assert!(entry.is_entry() && Frame::ENTRY.is_entry());
    assert_eq!(RawRule::new([0x1011, 3]).left_by_return(), Some(24));
    for (name, rule) in [
        ("without a size", [0x1011, 0, 0, 0]),
        ("with another number", [0x1011, 0, 3, 1]),
        ("a body", [0x102d, 4, 3, 4]),
        ("with SP moved", [0x1011, 4, 3, 0]),
        ("nothing", [0x1000, 0, 3, 0]),
        ("a patch site", [0x1051, 0, 3, 0]),
        ("a size alone", [0x0011, 0, 3, 0]),
    ] {
        assert_eq!(decode(words(rule)), None, "{name}");
    }
    assert_eq!(RawRule::new(ENTRY).left_by_return(), None);
    assert_eq!(RawRule::new([0x1000, 3]).left_by_return(), None);
    for size in [0, 4, 12, MAX_OFFSET + 8] {
        let entry = Frame {
            left_by_return: Some(size),
            ..Frame::ENTRY
        };
        assert_eq!(Rule::Frame(entry).encode(), None, "{size}");
    }
}

/// Bits 7 to 9 of the first word, and the second word.
#[test]
fn refuses_bounds_that_contradict_themselves() {
    let rule = |flags, low, high| decode(words([flags, 4, low, high]));
    for (name, flags, low, high) in [
        ("no bounds of a CFA by x29", 0x2f, 3, 4),
        ("bounds of a CFA by SP", 0xad, 4, 4),
        ("another stack with a CFA by SP", 0x12d, 3, 4),
        ("anywhere with a CFA by SP", 0x1ad, 3, 4),
        ("bounds upside down", 0xaf, 6, 5),
        ("most of no limit", 0x2af, 6, 7),
        ("record below SP", 0xaf, 3, 6),
        ("bounds with x29 elsewhere", 0x8f, 4, 6),
        ("no limit of an exact SP", 0x22d, 3, 4),
        ("no limit of another stack", 0x32f, 3, 4),
        ("no limit of anywhere", 0x3af, 3, 4),
    ] {
        assert_eq!(rule(flags, low, high), None, "{name}");
    }
    let frame = |flags, low, high| match rule(flags, low, high) {
        Some(Rule::Frame(frame)) => Some(frame),
        _ => None,
    };
    let sp = |flags, low, high| frame(flags, low, high).map(|frame| frame.sp);
    let below = |least, most| Some(StackPointer::Below { least, most });
    assert_eq!(sp(0xaf, 4, 4), below(32, Some(32)));
    assert_eq!(sp(0xaf, 4, 132), below(32, Some(1056)));
    assert_eq!(sp(0x2af, 6, 0), below(48, None));
    assert_eq!(sp(0x12f, 3, 4), Some(StackPointer::OtherStack));
    assert_eq!(sp(0x1af, 3, 4), Some(StackPointer::Anywhere));
    // The record is where the CFA comes from, and all is in it.
    let bounded = frame(0xaf, 4, 4).unwrap();
    assert_eq!(bounded.x29, X29::Record(32));
    assert_eq!(bounded.caller_fp, Location::Slot(32));
    assert_eq!(bounded.return_address, Location::Slot(24));
}

#[test]
fn has_no_words_for_what_is_too_large() {
    let frame = |size| Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: size,
        },
        ..Frame::ENTRY
    };
    assert!(Rule::Frame(frame(0xffff * 8)).encode().is_some());
    for size in [4, 36, 0x1_0000 * 8, 1 << 31, u32::MAX - 7] {
        assert_eq!(Rule::Frame(frame(size)).encode(), None, "{size:#x}");
    }
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
        (any::<bool>(), any::<Option<bool>>(), any_size()),
    )
        .prop_map(
            |(
                (base, sp),
                size,
                return_address,
                caller_fp,
                x29,
                (patch_site, signed, left_by_return),
            )| Frame {
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
                left_by_return,
            },
        )
}

/// Of a function that is left by its return alone.
fn any_size() -> impl Strategy<Value = Option<u32>> {
    prop::option::of((0_u32..0x11000).prop_map(|units| units * 8))
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
    fn words_that_decode_are_those_encoded(
        any in any::<[u32; 2]>(), flags in 0_u32..0x2000, small in any::<[u32; 3]>()
    ) {
        let [cfa, low, high] = small.map(|number| number % 12);
        for raw in [any, words([flags, cfa, low, high]), words([flags, cfa, 0, 0])] {
            if let Some(rule) = decode(raw) {
                prop_assert_eq!(rule.encode(), Some(RawRule::new(raw)));
            }
        }
    }

    #[test]
    fn lookup_agrees_with_a_linear_scan((text_bytes, rows) in any_rows()) {
        let rules = [ENTRY, BODY, NO_CFI];
        let words = Parts::new(text_bytes, &rows, &rules).words();
        let table = open(&words).unwrap();
        for instruction in 0..text_bytes / 4 {
            let row = rows.iter().rev().find(|row| row.0 <= instruction).unwrap();
            let rule = decode(rules[usize::from(row.1)]);
            prop_assert_eq!(table.lookup(instruction * 4), rule);
            let again = Table::accepted(&words).unwrap();
            prop_assert_eq!(again.lookup(instruction * 4), rule);
        }
        let listed: Vec<(u32, Rule)> = table.rows().collect();
        let expected: Vec<(u32, Rule)> = rows
            .iter()
            .map(|row| (row.0 * 4, decode(rules[usize::from(row.1)]).unwrap()))
            .collect();
        prop_assert_eq!(listed, expected);
    }

    /// Accepted before, and damaged since: any answer will do, but no panic.
    #[test]
    fn lookup_is_total_on_damaged_tables(
        (text_bytes, rows) in any_rows(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..64),
        offsets in prop::collection::vec(any::<u32>(), 16),
    ) {
        let mut words = Parts::new(text_bytes, &rows, &[ENTRY, BODY, NO_CFI]).words();
        for (at, value) in damage {
            // All but the sizes in the header.
            let at = 16 + at.index(words.len() - 16);
            words[at] = value;
        }
        let table = Table::accepted(&words);
        prop_assume!(table.is_some());
        let table = table.unwrap();
        for instruction in 0..text_bytes / 4 {
            let _ = table.lookup(instruction * 4);
        }
        for offset in offsets {
            let _ = table.lookup(offset);
        }
        let _ = table.rows().take(1000).count();
        let _ = open(&words);
    }

    #[test]
    fn garbage_is_refused(mut words in prop::collection::vec(any::<u32>(), 0..80), fix in any::<bool>()) {
        // With the magic number and the hash, the rest of the header is looked at.
        if let (true, Some(head)) = (fix, words.get_mut(..2)) {
            head[0] = u32::from_le_bytes(*b"aORC");
            head[1] = FORMAT_HASH;
        }
        prop_assert!(open(&words).is_err());
        if let Some(table) = Table::accepted(&words) {
            let _ = table.lookup(0);
        }
    }
}
