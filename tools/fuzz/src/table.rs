// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The words of a table.
//!
//! A table that is accepted answers for every instruction, each lookup is the last
//! row at or before it, and the same words opened again give the same. Words that
//! were never accepted give lookups without meaning, but no panic.

use crate::bytes::Bytes;
use crate::tally;

use orc::format::{
    self, Header, Layout, BUILD_ID_BYTES, ESCAPE, HEADER_WORDS, INSTRUCTION_BYTES, RULE_WORDS,
    WORD_BYTES,
};
use orc::rule::Rule;
use orc::table::Table;
use orctool::table::words;

/// Lookups of one input, at most.
const LOOKUPS: u32 = 64;

/// Reads the input as a table, and as the parts of one that has a sound header.
pub fn run(input: &[u8]) {
    tally::count(2, 0);
    let whole = input.len() / WORD_BYTES * WORD_BYTES;
    let given = words(&input[..whole]).expect("whole words");
    read(&given, &[0; BUILD_ID_BYTES]);
    let (made, build_id) = make(&mut Bytes(input));
    read(&made, &build_id);
}

fn read(words: &[u32], build_id: &[u8; BUILD_ID_BYTES]) {
    let accepted = Table::accepted(words);
    if let Ok(table) = Table::new(words, build_id) {
        answers(&table, words);
    } else if let Some(table) = accepted {
        offsets(table.text_bytes()).for_each(|offset| {
            let _ = table.lookup(offset);
        });
        let _ = table.rows().take(LOOKUPS as usize).count();
    }
    if let Ok(header) = Header::decode(words) {
        assert_eq!(header.encode(), words[..HEADER_WORDS], "another header");
    }
}

/// Every instruction has a row, the one that `rows` gives.
fn answers(table: &Table<'_>, words: &[u32]) {
    let header = table.header().expect("the header of an accepted table");
    let again = Table::accepted(words).expect("an accepted table");
    let text = header.text_bytes;
    assert_eq!(table.text_bytes(), text);
    let rows: Vec<(u32, Rule)> = table.rows().collect();
    assert_eq!(rows.len(), header.rows as usize, "rows are missing");
    let ascend = rows.is_sorted_by(|one, next| one.0 < next.0);
    assert!(ascend, "rows out of order");
    assert!(rows.last().is_none_or(|(start, _)| *start < text));
    assert_eq!(table.lookup(text), None);
    assert_eq!(table.lookup(u32::MAX), None);
    let ends = rows
        .iter()
        .skip(1)
        .map(|(start, _)| start - INSTRUCTION_BYTES);
    let starts = rows.iter().map(|(start, _)| *start);
    for offset in offsets(text).chain(starts).chain(ends) {
        let row = rows.partition_point(|(start, _)| *start <= offset) - 1;
        let rule = Some(rows[row].1);
        assert_eq!(table.lookup(offset), rule, "at {offset:#x}");
        assert_eq!(again.lookup(offset), rule, "at {offset:#x}, again");
        let raw = table.find(offset);
        assert_eq!(raw.and_then(Rule::decode), rule, "words at {offset:#x}");
        assert_eq!(table.lookup(offset + 2), None, "inside an instruction");
    }
}

/// Instructions all over the text: every one of a short text.
fn offsets(text: u32) -> impl Iterator<Item = u32> {
    let apart = (text / INSTRUCTION_BYTES / LOOKUPS).max(1) * INSTRUCTION_BYTES;
    (0..text).step_by(apart as usize)
}

/// A table whose header fits its size and sum, and its build-id.
///
/// The counts come first in the input, then index, rules, escapes and rows as they
/// are; what is left is the build-id.
pub(crate) fn make(bytes: &mut Bytes<'_>) -> (Vec<u32>, [u8; BUILD_ID_BYTES]) {
    let (rows, rules) = (u32::from(bytes.u8()), bytes.u8());
    let escapes = u32::from(bytes.u8() & 0xf);
    let text_bytes = u32::from(bytes.u16() & 0xfff) * INSTRUCTION_BYTES;
    let given = u32::from(rules & 0x1f);
    // Only a table of many rules can have escapes: the given ones over and over.
    let rules = match rules & 0x80 {
        0 => given,
        _ => given + ESCAPE + 1,
    };
    let blocks = format::blocks(text_bytes);
    let layout = Layout::new(rows, blocks, rules, escapes).expect("a small table");
    let mut table = vec![0; layout.total as usize];
    fill(&mut table, &layout, given, rows, bytes);
    let mut build_id = [0; BUILD_ID_BYTES];
    let id = bytes.slice(BUILD_ID_BYTES);
    build_id[..id.len()].copy_from_slice(id);
    let mut header = Header {
        checksum: 0,
        build_id,
        text_bytes,
        rows,
        blocks,
        rules,
        escapes,
        total_words: layout.total,
    };
    table[..HEADER_WORDS].copy_from_slice(&header.encode());
    header.checksum = format::checksum(&table);
    table[..HEADER_WORDS].copy_from_slice(&header.encode());
    (table, build_id)
}

/// What comes after the header of a table with so many rows, and so many rules that the
/// input gives. A half that is left stays zero.
fn fill(table: &mut [u32], layout: &Layout, given: u32, rows: u32, bytes: &mut Bytes<'_>) {
    let [index, rules, escapes, row_words] =
        [layout.index, layout.rules, layout.escapes, layout.rows].map(|at| at as usize);
    let given = rules + given as usize * RULE_WORDS;
    table[index..given].fill_with(|| bytes.u32());
    let size = given - rules;
    if size != 0 {
        for at in given..escapes {
            table[at] = table[at - size];
        }
    }
    table[escapes..row_words].fill_with(|| bytes.u32());
    for row in 0..rows {
        let half = u32::from(bytes.u16()) << (row % 2 * 16);
        table[row_words + row as usize / 2] |= half;
    }
}
