// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Soundness by mutation: code and CFI of real functions are broken in one place
//! each, and no row that is proved then may be false.
//!
//! What is false is said by an oracle that shares nothing with the proof: it runs
//! the broken function, decoded by fARM64, along random paths with random numbers
//! in memory and registers, and compares each row with what SP, x29, x30 and the
//! stack then hold. Rows must not rely on what is below SP. It takes from the CFI
//! one thing: whether the code after a trap, or after a call of another object,
//! goes on with the frame before it.
//!
//! By default over the fixtures. Over real files, and that many mutants of each
//! (10,000 if it is not said):
//!
//! ```text
//! ORC_TEST_ELF=vmlinux.unstripped:x.ko ORC_TEST_MUTANTS=100000 \
//!     cargo test --release --test mutation -- --nocapture
//! ```

mod claims;
mod code;
mod execute;
mod faults;
mod memory;
mod mutant;
mod random;
mod returns;
mod subject;
mod tally;
mod walk;

use std::path::Path;

use orc::rule::{Frame, Location, StackPointer, X29};
use orctool::input::Input;
use orctool::text::TextSection;
use rayon::prelude::*;

use mutant::{Kind, Mutant};
use random::Random;
use returns::Returns;
use subject::Subject;
use tally::{Fate, Tally};

const FIXTURES: [&str; 3] = ["clang", "gcc", "gcc-sync"];
const SEED: u64 = 0x0bad_c0de;

/// All text of a file.
fn texts(file: &Path) -> Vec<TextSection> {
    let name = file.display();
    let data = std::fs::read(file).unwrap_or_else(|e| panic!("{name}: {e}"));
    let input = Input::read_with_cfi(&data).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    input.texts.into_iter().map(|text| text.text).collect()
}

fn fixture(name: &str) -> Vec<TextSection> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    texts(&directory.join(format!("{name}.o")))
}

/// The files that the user names.
fn files() -> Vec<String> {
    let files = std::env::var("ORC_TEST_ELF").unwrap_or_default();
    files
        .split(':')
        .filter(|file| !file.is_empty())
        .map(str::to_string)
        .collect()
}

/// Compares the rows of all functions of a section, as they are, with the oracle.
fn check(name: &str, text: &TextSection) -> Tally {
    let indices = 0..text.functions.len();
    let returns = Returns::of(text);
    let tally = indices
        .into_par_iter()
        .filter_map(|index| Subject::new(text, index, &returns))
        .map(|subject| subject.check(SEED))
        .reduce(Tally::default, Tally::with);
    println!("{name} {}: {}", text.name, tally.rows());
    tally
}

/// Breaks functions of a section, `count` times one in one place.
fn mutate(text: &TextSection, count: usize) -> Tally {
    let returns = Returns::of(text);
    let functions: Vec<usize> = (0..text.functions.len())
        .filter(|index| Subject::new(text, *index, &returns).is_some())
        .collect();
    if functions.is_empty() {
        return Tally::default();
    }
    let kinds = Kind::all();
    (0..count)
        .into_par_iter()
        .with_min_len(1 + count / 16)
        .map_init(
            || text.clone(),
            |text, number| {
                let mut random = Random::new(SEED ^ number as u64);
                let kind = kinds[number % kinds.len()];
                match Mutant::find(text, &functions, kind, &mut random) {
                    Some(mutant) => mutant.judge(text, &returns, number as u64),
                    None => Tally::default(),
                }
            },
        )
        .reduce(Tally::default, Tally::with)
}

fn assert_sound(name: &str, tally: &Tally) {
    assert!(
        tally.wrong.is_empty(),
        "{name}: rows that are proved and false:\n{}",
        tally.wrong.join("\n")
    );
}

#[test]
fn rows_of_the_fixtures_are_true() {
    for name in FIXTURES {
        for text in fixture(name) {
            let tally = check(name, &text);
            assert_sound(name, &tally);
            assert_eq!(tally.missed, 0, "{name}: rows that no path came by");
        }
    }
}

#[test]
fn no_mutant_of_the_fixtures_keeps_a_false_row() {
    for name in FIXTURES {
        let mut tally = Tally::default();
        for text in fixture(name) {
            tally = tally.with(mutate(&text, 810));
        }
        println!("{name}:\n{tally}");
        assert_sound(name, &tally);
        assert_eq!(tally.count(Fate::Unseen), 0, "{name}: not reached");
        assert!(tally.count(Fate::Refused) > 0, "{name}: nothing refused");
    }
}

#[test]
fn rows_of_a_kernel_are_true() {
    for file in files() {
        for text in texts(file.as_ref()) {
            assert_sound(&file, &check(&file, &text));
        }
    }
}

#[test]
fn no_mutant_of_a_kernel_keeps_a_false_row() {
    let count = std::env::var("ORC_TEST_MUTANTS").unwrap_or("10000".to_string());
    let count: usize = count.parse().expect("ORC_TEST_MUTANTS is a number");
    for file in files() {
        for text in texts(file.as_ref()) {
            let tally = mutate(&text, count);
            println!("{file} {}:\n{tally}", text.name);
            assert_sound(&file, &tally);
        }
    }
}

/// A row with one fault, if there is one of this number.
fn falsified(row: &Frame, number: usize) -> Option<Frame> {
    let mut row = *row;
    let later = |location: &mut Location| match location {
        Location::Slot(offset) => *offset += 8,
        register => *register = Location::Slot(4096),
    };
    match number {
        0 => row.cfa.offset += 16,
        1 => later(&mut row.return_address),
        2 => later(&mut row.caller_fp),
        3 => row.x29 = X29::Record(row.cfa.offset + 16),
        4 if row.x29 != X29::Caller => row.x29 = X29::Caller,
        5 => match &mut row.sp {
            StackPointer::Below { least, .. } => *least += 4096,
            _ => return None,
        },
        6 => row.signed = Some(!row.signed?),
        _ => return None,
    }
    Some(row)
}

/// The oracle sees each fault that a row can have, at each instruction.
#[test]
fn the_oracle_sees_false_rows() {
    let mut unseen = Vec::new();
    for text in FIXTURES.iter().flat_map(|name| fixture(name)) {
        for index in 0..text.functions.len() {
            let Some(mut subject) = Subject::new(&text, index, &Returns::default()) else {
                continue;
            };
            for at in 0..subject.rows.len() {
                let Some(row) = subject.rows[at] else {
                    continue;
                };
                for (number, false_row) in (0..7).filter_map(|n| Some((n, falsified(&row, n)?))) {
                    subject.rows[at] = Some(false_row);
                    let tally = subject.check(SEED);
                    if tally.wrong.is_empty() {
                        unseen.push(format!("{}+{:#x}: {number} {row:?}", subject.name, 4 * at));
                    }
                }
                subject.rows[at] = Some(row);
            }
        }
    }
    assert!(unseen.is_empty(), "{}", unseen.join("\n"));
}
