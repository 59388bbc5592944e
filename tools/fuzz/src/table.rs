// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The bytes of a table.
//!
//! A table that is accepted answers for every instruction, each lookup is the last
//! row at or before it, and the same bytes opened again give the same. Bytes that
//! were never accepted give lookups without meaning, but no panic.

use crate::bytes::Bytes;
use crate::tally;

use orc::format::{self, Header, Layout, BUILD_ID_BYTES, HEADER_BYTES, INSTRUCTION_BYTES};
use orc::rule::Rule;
use orc::table::{lookup_accepted, Table};

/// Lookups of one input, at most.
const LOOKUPS: u32 = 64;

/// Reads the input as a table, and as the parts of one that has a sound header.
pub fn run(input: &[u8]) {
    tally::count(2, 0);
    read(input, &[0; BUILD_ID_BYTES]);
    let (made, build_id) = make(&mut Bytes(input));
    read(&made, &build_id);
}

fn read(bytes: &[u8], build_id: &[u8; BUILD_ID_BYTES]) {
    let accepted = Table::accepted(bytes);
    if let Ok(table) = Table::new(bytes, build_id) {
        answers(&table, bytes);
    } else if let Some(table) = accepted {
        let header = *table.header();
        offsets(header.text_bytes).for_each(|offset| {
            let _ = table.lookup(offset);
        });
        let _ = table.rows().take(LOOKUPS as usize).count();
    }
    let _ = Header::decode(bytes).map(|header| header.encode());
}

/// Every instruction has a row, the one that `rows` gives.
fn answers(table: &Table<'_>, bytes: &[u8]) {
    let text = table.header().text_bytes;
    let rows: Vec<(u32, Rule)> = table.rows().collect();
    assert_eq!(rows.len(), table.header().rows as usize, "rows are missing");
    assert_eq!(table.lookup(text), None);
    assert_eq!(table.lookup(u32::MAX), None);
    let ends = rows
        .iter()
        .skip(1)
        .map(|(start, _)| start - INSTRUCTION_BYTES);
    let starts = rows.iter().map(|(start, _)| *start);
    for offset in offsets(text).chain(starts).chain(ends) {
        let row = rows.partition_point(|(start, _)| *start <= offset) - 1;
        assert_eq!(table.lookup(offset), Some(rows[row].1), "at {offset:#x}");
        assert_eq!(
            lookup_accepted(bytes, offset),
            Some(rows[row].1),
            "at {offset:#x}, again"
        );
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
/// The counts come first in the input, then index, rules, rule numbers and keys as
/// they are; what is left is the build-id.
pub(crate) fn make(bytes: &mut Bytes<'_>) -> (Vec<u8>, [u8; BUILD_ID_BYTES]) {
    let (rows, rules) = (u32::from(bytes.u8()), u32::from(bytes.u8() & 0x1f));
    let text_bytes = u32::from(bytes.u16() & 0xfff) * INSTRUCTION_BYTES;
    let blocks = format::blocks(text_bytes);
    let layout = Layout::new(rows, blocks, rules).expect("a small table");
    let mut table = vec![0; layout.total];
    let body = bytes.slice(layout.padding - HEADER_BYTES);
    table[HEADER_BYTES..][..body.len()].copy_from_slice(body);
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
        total_bytes: layout.total as u32,
    };
    table[..HEADER_BYTES].copy_from_slice(&header.encode());
    header.checksum = format::checksum(&table);
    table[..HEADER_BYTES].copy_from_slice(&header.encode());
    (table, build_id)
}
