// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Every row that there is, instruction by instruction.
//!
//! A table is opened once and written out, so that looking up the row of a PC is one
//! read. Damage to rows, which the oracle must find, is done here.

use orc::reason::Reason;
#[cfg(not(feature = "before"))]
use orc::rule::RawRule;
use orc::rule::{CfaBase, Frame, Location, Rule, Undescribed, X29};
use orc::table::Table;
use std::collections::HashMap;
use std::sync::Arc;

/// What a table says of an instruction.
pub type Row = Result<Rule, Reason>;

/// The same, as the walk takes it: in the words of a table.
#[cfg(not(feature = "before"))]
pub type Packed = Result<RawRule, Reason>;
/// The same, as the walk took it.
#[cfg(feature = "before")]
pub type Packed = Row;

/// A damaged row for which a table has no words is none.
#[cfg(not(feature = "before"))]
fn pack(row: Row) -> Packed {
    let raw = match row? {
        Rule::Frame(frame) => frame.pack(),
        rule => rule.encode(),
    };
    raw.ok_or(Reason::NoRow)
}

#[cfg(feature = "before")]
fn pack(row: Row) -> Packed {
    row
}

/// The size of the text that a table describes, and its rows: where each starts, and its
/// rule. `None` when the table is none.
#[cfg(not(feature = "before"))]
fn read(bytes: &[u8]) -> Option<(u32, Vec<(u32, Rule)>)> {
    let chunks = bytes.chunks_exact(4);
    if !chunks.remainder().is_empty() {
        return None;
    }
    let words: Vec<u32> = chunks
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    let table = Table::accepted(&words)?;
    let rows = table.rows().collect();
    Some((table.text_bytes(), rows))
}

#[cfg(feature = "before")]
fn read(bytes: &[u8]) -> Option<(u32, Vec<(u32, Rule)>)> {
    let table = Table::accepted(bytes)?;
    let rows = table.rows().collect();
    Some((table.header().text_bytes, rows))
}

/// What is done to each row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Damage {
    /// Nothing.
    #[default]
    None,
    /// The row of the next instruction.
    Next,
    /// The row of the instruction before.
    Previous,
    /// The CFA 16 bytes higher, the slots where they were below it.
    Cfa16,
    /// The return address is where x29 is saved.
    ReturnAddress,
    /// The return address is in x30.
    Register,
    /// x29 is the caller's.
    FramePointer,
}

impl Damage {
    /// All but none, with the names that the command line knows.
    pub const NAMES: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("next", Self::Next),
        ("previous", Self::Previous),
        ("cfa16", Self::Cfa16),
        ("return-address", Self::ReturnAddress),
        ("register", Self::Register),
        ("frame-pointer", Self::FramePointer),
    ];

    fn row(self, row: Row) -> Row {
        match row {
            Ok(Rule::Frame(frame)) => Ok(Rule::Frame(self.frame(frame))),
            other => other,
        }
    }

    fn frame(self, mut frame: Frame) -> Frame {
        match (self, frame.return_address) {
            (Self::Cfa16, _) => {
                frame.cfa.offset += 16;
                frame.return_address = deeper(frame.return_address);
                frame.caller_fp = deeper(frame.caller_fp);
                if let X29::Record(offset) = frame.x29 {
                    frame.x29 = X29::Record(offset + 16);
                }
            }
            (Self::ReturnAddress, Location::Slot(offset)) if frame.cfa.base == CfaBase::Sp => {
                frame.return_address = Location::Slot(offset + 8);
            }
            (Self::Register, Location::Slot(_)) => frame.return_address = Location::Register,
            (Self::FramePointer, _) if frame.caller_fp != Location::Register => {
                frame.caller_fp = Location::Register;
                frame.x29 = X29::Other;
            }
            _ => {}
        }
        frame
    }
}

fn deeper(location: Location) -> Location {
    match location {
        Location::Slot(offset) => Location::Slot(offset + 16),
        Location::Register => location,
    }
}

/// A piece of text, with the number of the row of each instruction.
struct Text {
    start: u64,
    rows: Vec<u16>,
}

/// All texts.
#[derive(Clone, Default)]
pub struct Book {
    texts: Vec<Arc<Text>>,
    rows: Vec<(Row, Packed)>,
    numbers: HashMap<Row, u16>,
    trampolines: Vec<(u64, u64)>,
    damage: Damage,
    /// The text that is entry code where it has no row.
    entry_text: (u64, u64),
    /// The text of vmlinux as it was built, and where it starts.
    built: (u64, Arc<Vec<u8>>),
}

/// The row that stands for text that is in no table.
pub const NOT_TEXT: u16 = 0;

impl Book {
    /// A book without texts.
    pub fn new(damage: Damage, entry_text: (u64, u64), built: (u64, Vec<u8>)) -> Self {
        let mut book = Self {
            damage,
            entry_text,
            built: (built.0, Arc::new(built.1)),
            ..Self::default()
        };
        book.number(Err(Reason::NotText));
        book
    }

    fn number(&mut self, row: Row) -> u16 {
        if let Some(number) = self.numbers.get(&row) {
            return *number;
        }
        let number = u16::try_from(self.rows.len()).unwrap_or(NOT_TEXT);
        self.rows.push((row, pack(row)));
        self.numbers.insert(row, number);
        number
    }

    /// Adds the text of `bytes` bytes at `start`, and its table.
    ///
    /// False when the table is none.
    pub fn add(&mut self, start: u64, bytes: u64, table: &[u8]) -> bool {
        let Some((text_bytes, described_by)) = read(table) else {
            return false;
        };
        let mut rows = Vec::new();
        let described = u64::from(text_bytes).min(bytes);
        let mut last = self.number(Err(Reason::NoRow));
        for (offset, rule) in described_by {
            rows.resize((u64::from(offset).min(described) / 4) as usize, last);
            last = self.number(self.damage.row(Ok(rule)));
        }
        rows.resize((described / 4) as usize, last);
        self.mark_entry_code(start, &mut rows);
        self.shift(&mut rows);
        self.put(start, rows);
        true
    }

    /// What was there before is gone: init text of a module goes without a word.
    fn put(&mut self, start: u64, rows: Vec<u16>) {
        let end = start + 4 * rows.len() as u64;
        self.texts
            .retain(|text| text.start >= end || text.start + 4 * text.rows.len() as u64 <= start);
        self.texts.push(Arc::new(Text { start, rows }));
    }

    fn mark_entry_code(&mut self, start: u64, rows: &mut [u16]) {
        let without = self.number(Ok(Rule::Unreliable(Undescribed::NoCfi)));
        let entry = self.number(Err(Reason::EntryText));
        let (low, high) = self.entry_text;
        for (number, row) in rows.iter_mut().enumerate() {
            let pc = start + 4 * number as u64;
            if *row == without && (low..high).contains(&pc) {
                *row = entry;
            }
        }
    }

    fn shift(&self, rows: &mut [u16]) {
        match self.damage {
            Damage::Next => rows.rotate_left(1),
            Damage::Previous => rows.rotate_right(1),
            _ => {}
        }
    }

    /// Adds text with the row that `row` gives for an offset in it.
    pub fn add_by(&mut self, start: u64, bytes: u64, row: impl Fn(u64) -> Row) {
        let rows = (0..bytes / 4).map(|number| self.number(self.damage.row(row(4 * number))));
        let rows = rows.collect();
        self.put(start, rows);
    }

    /// Notes a BPF trampoline that a function's entry calls.
    pub fn add_trampoline(&mut self, start: u64, end: u64) {
        self.trampolines.push((start, end));
    }

    /// Whether this address is in one.
    pub fn is_trampoline(&self, pc: u64) -> bool {
        self.trampolines
            .iter()
            .any(|(start, end)| (*start..*end).contains(&pc))
    }

    /// Forgets text at or above `low` and below `high`.
    pub fn remove(&mut self, low: u64, high: u64) {
        self.texts.retain(|text| !(low..high).contains(&text.start));
    }

    /// The number of the row at an address.
    pub fn find(&self, pc: u64) -> u16 {
        for text in &self.texts {
            if let Some(offset) = pc.checked_sub(text.start) {
                if let Some(number) = text.rows.get((offset / 4) as usize) {
                    return *number;
                }
            }
        }
        NOT_TEXT
    }

    /// The instruction that vmlinux was built with.
    pub fn original(&self, pc: u64) -> Option<u32> {
        let offset = pc.checked_sub(self.built.0)? as usize;
        let bytes = self.built.1.get(offset..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }

    /// The row with a number.
    pub fn row(&self, number: u16) -> Row {
        self.rows
            .get(usize::from(number))
            .map_or(Err(Reason::NoRow), |(row, _)| *row)
    }

    /// The same, as the walk takes it.
    pub fn packed(&self, number: u16) -> Packed {
        self.rows
            .get(usize::from(number))
            .map_or(Err(Reason::NoRow), |(_, packed)| *packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Row = Ok(Rule::Frame(Frame::ENTRY));

    fn book() -> Book {
        Book::new(Damage::None, (0, 0), (0, Vec::new()))
    }

    #[test]
    fn finds_rows_by_address() {
        let mut book = book();
        book.add_by(0x1000, 16, |offset| match offset {
            0 => ENTRY,
            _ => Err(Reason::BpfOther),
        });
        let row = |pc| book.row(book.find(pc));
        assert_eq!(row(0x1000), ENTRY);
        assert_eq!(row(0x100c), Err(Reason::BpfOther));
        assert_eq!(row(0x1010), Err(Reason::NotText));
        assert_eq!(row(0xffc), Err(Reason::NotText));
    }

    #[test]
    fn new_text_takes_the_place_of_old() {
        let mut book = book();
        book.add_by(0x1000, 0x1000, |_| Err(Reason::BpfOther));
        book.add_by(0x1800, 16, |_| ENTRY);
        assert_eq!(book.row(book.find(0x1800)), ENTRY);
        assert_eq!(book.row(book.find(0x1000)), Err(Reason::NotText));
    }

    #[cfg(not(feature = "before"))]
    #[test]
    fn packs_rows_once() {
        let mut book = book();
        let odd = Frame {
            caller_fp: Location::Slot(4),
            ..Frame::ENTRY
        };
        book.add_by(0x1000, 16, |offset| match offset {
            0 => ENTRY,
            4 => Ok(Rule::Unreliable(Undescribed::NoCfi)),
            8 => Ok(Rule::Frame(odd)),
            _ => Err(Reason::BpfOther),
        });
        let packed = |pc| book.packed(book.find(pc));
        assert_eq!(packed(0x1000), Ok(RawRule::ENTRY));
        let unreliable = packed(0x1004).map(RawRule::unpack);
        assert_eq!(unreliable, Ok(Some(Rule::Unreliable(Undescribed::NoCfi))));
        assert_eq!(packed(0x1008), Err(Reason::NoRow));
        assert_eq!(packed(0x100c), Err(Reason::BpfOther));
        assert_eq!(packed(0x1010), Err(Reason::NotText));
    }

    #[test]
    fn damage_reaches_each_row() {
        let frame = Frame {
            cfa: orc::rule::Cfa {
                base: CfaBase::Sp,
                offset: 32,
            },
            return_address: Location::Slot(8),
            caller_fp: Location::Slot(16),
            x29: X29::Record(16),
            ..Frame::ENTRY
        };
        for (name, damage) in Damage::NAMES {
            let same = damage.row(Ok(Rule::Frame(frame))) == Ok(Rule::Frame(frame));
            let moves = matches!(damage, Damage::None | Damage::Next | Damage::Previous);
            assert_eq!(same, moves, "{name}");
        }
    }
}
