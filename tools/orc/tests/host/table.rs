// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Rows into tables and back.

use orc::rule::{Cfa, CfaBase, Frame, Location, Rule, StackPointer, Undescribed, X29};
use orc::table::Table;
use orctool::input::Input;
use orctool::table::{words, write, Rows, Unwritable};
use orctool::tables;

use crate::assemble::kernel;

const HOLE: Rule = Rule::Unreliable(Undescribed::Hole);

fn frame(offset: u32) -> Rule {
    Rule::Frame(sized(offset))
}

fn sized(offset: u32) -> Frame {
    Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset,
        },
        sp: StackPointer::Exact,
        return_address: Location::Register,
        signed: None,
        caller_fp: Location::Register,
        x29: X29::Caller,
        patch_site: false,
        left_by_return: None,
    }
}

/// Writes rows, and reads each instruction's rule back.
fn check(text_bytes: u32, rows: &[(u32, Rule)]) {
    let rows = Rows {
        text_bytes,
        rows: rows.to_vec(),
    };
    let words = words(&write(&rows, &[9; 20]).unwrap()).unwrap();
    let table = Table::new(&words, &[9; 20]).unwrap();
    assert_eq!(table.rows().collect::<Vec<_>>(), rows.rows);
    for at in (0..text_bytes).step_by(4) {
        let number = rows.rows.partition_point(|(start, _)| *start <= at);
        assert_eq!(table.lookup(at), Some(rows.rows[number - 1].1), "{at:#x}");
    }
    assert_eq!(table.lookup(text_bytes), None);
}

#[test]
fn rows_come_back() {
    check(4, &[(0, HOLE)]);
    check(508, &[(0, HOLE), (504, frame(0))]);
    check(512, &[(0, HOLE), (508, frame(16))]);
    check(516, &[(0, HOLE), (512, frame(16))]);
    // Blocks that no row starts in, and one where each instruction has its own.
    check(10 * 1024, &[(0, frame(0)), (5 * 1024 + 4, HOLE)]);
    let dense: Vec<_> = (0..600).map(|i| (i * 4, frame(i % 7 * 8))).collect();
    check(2400, &dense);
    // More rules than a row has numbers for, some of them in many rows.
    let many: Vec<_> = (0..2000)
        .map(|i| (i * 4, frame((i * i) % 1499 * 8)))
        .collect();
    check(8000, &many);
}

#[test]
fn no_text_is_no_rows() {
    let rows = Rows {
        text_bytes: 0,
        rows: vec![],
    };
    assert!(write(&rows, &[0; 20]).is_ok());
}

#[test]
fn as_many_rules_as_there_are_numbers() {
    // A frame can have two sizes and an address in x30, or one in a slot.
    let rule = |i: u32| match i {
        0..0x8000 => frame(i * 8),
        _ => Rule::Frame(Frame {
            return_address: Location::Slot(8),
            signed: Some(false),
            ..sized((i - 0x7fff) * 8)
        }),
    };
    let rows = |count: u32| Rows {
        text_bytes: count * 4,
        rows: (0..count).map(|i| (i * 4, rule(i))).collect(),
    };
    assert!(write(&rows(65_536), &[0; 20]).is_ok());
    assert_eq!(write(&rows(65_537), &[0; 20]), Err(Unwritable::Rules));
}

#[test]
fn refuses_rows_that_the_kernel_would_refuse() {
    let rows = |rows: &[(u32, Rule)]| Rows {
        text_bytes: 64,
        rows: rows.to_vec(),
    };
    let refused = |r: &[(u32, Rule)]| write(&rows(r), &[0; 20]).is_err();
    assert!(refused(&[]));
    assert!(refused(&[(4, HOLE)]));
    assert!(refused(&[(0, HOLE), (64, HOLE)]));
    assert!(refused(&[(0, HOLE), (8, HOLE), (8, HOLE)]));
    assert_eq!(
        write(&rows(&[(0, frame(4))]), &[0; 20]),
        Err(Unwritable::Rule(0))
    );
    assert_eq!(
        write(&rows(&[(0, HOLE), (6, frame(0))]), &[0; 20]),
        Err(Unwritable::Row(6))
    );
}

#[test]
fn the_same_rows_are_the_same_bytes() {
    let file = kernel(None).build();
    let once = || {
        let input = Input::read(&file).unwrap();
        let tables = tables::of(&input).unwrap();
        write(&tables[0].rows, &[0; 20]).unwrap()
    };
    let first = once();
    assert!((0..20).all(|_| once() == first));
}

#[test]
fn holes_and_foreign_text_are_rows() {
    let file = kernel(None).build();
    let input = Input::read(&file).unwrap();
    let tables = tables::of(&input).unwrap();
    let rows = &tables[0].rows;
    let at = |offset: u32| {
        let number = rows.rows.partition_point(|(start, _)| *start <= offset);
        rows.rows[number - 1].1
    };
    assert!(matches!(at(0), Rule::Frame(_)), "framed");
    assert_eq!(at(20), HOLE, "after framed");
    assert!(matches!(at(24), Rule::Frame(_)), "bare, a leaf");
    assert_eq!(at(32), HOLE, "padding");
    assert_eq!(at(40), Rule::Unreliable(Undescribed::Foreign), "hypervisor");
    let differ = rows.rows.windows(2).all(|pair| pair[0].1 != pair[1].1);
    assert!(differ, "equal neighbours are one row");
}
