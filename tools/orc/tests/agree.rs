// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The table against the CFI as GNU readelf reads it, instruction by instruction.
//!
//! What is compared shares no code: on one side gimli, the proof and the table's
//! lookup, on the other binutils. The fixtures' listings are checked in; whole
//! kernels and modules are compared with
//!
//! ```text
//! ORC_TEST_ELF=vmlinux:ext4.ko cargo test --release --test agree -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use orc::rule::{CfaBase, Frame, Location, Rule, Undescribed, X29};
use orc::table::Table;
use orctool::input::Input;
use orctool::{table, tables};

/// One row as readelf prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    start: u64,
    cfa: String,
    ra: String,
    fp: String,
}

/// One FDE as readelf prints it.
#[derive(Clone, Debug, Default)]
struct Fde {
    /// Where it is in the section.
    at: u64,
    start: u64,
    end: u64,
    rows: Vec<Row>,
}

/// Reads what `readelf --debug-dump=frames-interp` prints.
fn parse(listing: &str) -> Vec<Fde> {
    let mut fdes: Vec<Fde> = Vec::new();
    let mut in_fde = false;
    let mut columns: Vec<String> = Vec::new();
    // The last row of each CIE: FDEs without a row of their own repeat it.
    let mut cies: BTreeMap<u64, Row> = BTreeMap::new();
    let mut cie_at = 0;
    for line in listing.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [at, _, _, "CIE", ..] => {
                in_fde = false;
                cie_at = hex(at);
            }
            [at, _, _, "FDE", cie, range, ..] => {
                in_fde = true;
                let (start, end) = range["pc=".len()..].split_once("..").unwrap();
                let (start, end) = (hex(start), hex(end));
                let cie = &cies[&hex(&cie["cie=".len()..])];
                let rows = vec![Row {
                    start,
                    ..cie.clone()
                }];
                fdes.push(Fde {
                    at: hex(at),
                    start,
                    end,
                    rows,
                });
            }
            ["LOC", "CFA", rest @ ..] => columns = rest.iter().map(|c| c.to_string()).collect(),
            [at, cfa, rest @ ..] if cfa.contains('+') && at.len() == 16 => {
                let column = |name: &str| {
                    let value = columns.iter().position(|c| c == name).map(|i| rest[i]);
                    value.unwrap_or("u").to_string()
                };
                let row = Row {
                    start: hex(at),
                    cfa: cfa.to_string(),
                    ra: column("ra"),
                    fp: column("x29"),
                };
                if !in_fde {
                    cies.insert(cie_at, row);
                    continue;
                }
                let fde = fdes.last_mut().unwrap();
                // A later row at the same place is the one that holds.
                fde.rows.retain(|r| r.start != row.start);
                fde.rows.push(row);
            }
            _ => {}
        }
    }
    fdes
}

fn hex(digits: &str) -> u64 {
    u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{digits} is not a number"))
}

/// A frame in readelf's words.
fn words(frame: &Frame) -> (String, String, String) {
    let base = match frame.cfa.base {
        CfaBase::Sp => "sp",
        CfaBase::Fp => "x29",
    };
    let location = |location: Location| match location {
        Location::Register => "u".to_string(),
        Location::Slot(below) => format!("c-{below}"),
    };
    (
        format!("{base}+{}", frame.cfa.offset),
        location(frame.return_address),
        location(frame.caller_fp),
    )
}

/// The same for a frame that says where x29 points: CFA = x29 + n.
fn follows_x29(frame: &Frame) -> Option<(String, String, String)> {
    let X29::Record(below) = frame.x29 else {
        return None;
    };
    let (_, ra, fp) = words(frame);
    Some((format!("x29+{below}"), ra, fp))
}

/// What came of comparing one file.
#[derive(Debug, Default)]
struct Outcome {
    equal: u64,
    /// The CFI has CFA = x29 + n; the table has the CFA by SP, and x29 = CFA - n.
    by_sp: u64,
    /// The CFI names slots below SP, which an interrupt overwrites, when the
    /// registers have been loaded again already: the table names the registers.
    below_sp: u64,
    refused: u64,
    foreign: u64,
    /// Of FDEs for text without a table (`.init.text` of a kernel).
    without_table: u64,
    fdes: usize,
    differences: Vec<String>,
}

/// Compares a file's tables with a listing of its CFI.
fn compare(data: &[u8], listing: &str) -> Outcome {
    let input = Input::read_with_cfi(data).expect("a readable file");
    let fdes = parse(listing);
    let places = places(data);
    let mut outcome = Outcome {
        fdes: fdes.len(),
        ..Outcome::default()
    };
    let described = tables::of(&input).expect("tables");
    let written: BTreeMap<&str, Vec<u32>> = described
        .iter()
        .map(|d| {
            let bytes = table::write(&d.rows, &[7; 20]).expect("a table");
            let words = table::words(&bytes).expect("whole words");
            (d.text.text.name.as_str(), words)
        })
        .collect();
    for fde in &fdes {
        let (section, offset) = places.of(fde);
        let Some(words) = written.get(section.as_str()) else {
            outcome.without_table += (fde.end - fde.start) / 4;
            continue;
        };
        let table = Table::new(words, &[7; 20]).expect("a table that the kernel takes");
        compare_fde(&mut outcome, fde, &table, &section, offset);
    }
    outcome
}

fn compare_fde(outcome: &mut Outcome, fde: &Fde, table: &Table<'_>, section: &str, offset: u64) {
    for (number, row) in fde.rows.iter().enumerate() {
        let end = fde.rows.get(number + 1).map_or(fde.end, |next| next.start);
        for pc in (row.start..end).step_by(4) {
            let at = pc - fde.start + offset;
            let expected = (
                row.cfa.clone(),
                row.ra.replace('s', "u"),
                row.fp.replace('s', "u"),
            );
            match table.lookup(at as u32) {
                Some(Rule::Frame(frame)) if words(&frame) == expected => outcome.equal += 1,
                Some(Rule::Frame(frame)) if follows_x29(&frame).as_ref() == Some(&expected) => {
                    outcome.by_sp += 1;
                }
                Some(Rule::Frame(frame)) if is_below_sp(&words(&frame), &expected) => {
                    outcome.below_sp += 1;
                }
                Some(Rule::Unreliable(Undescribed::NotProved)) => outcome.refused += 1,
                Some(Rule::Unreliable(Undescribed::Foreign)) => outcome.foreign += 1,
                other => {
                    let what = format!("{section}+{at:#x}: {row:?}, table {other:?}");
                    outcome.differences.push(what);
                }
            }
        }
    }
}

/// Whether the table says the same but for saved registers that the CFI still
/// has in slots below SP.
fn is_below_sp(table: &(String, String, String), cfi: &(String, String, String)) -> bool {
    let Some(sp) = cfi.0.strip_prefix("sp+").map(|n| n.parse::<u64>().unwrap()) else {
        return false;
    };
    let is_dead = |slot: &str| {
        let below = slot.strip_prefix("c-").map(|n| n.parse::<u64>().unwrap());
        below.is_some_and(|below| below > sp)
    };
    let same = |table: &str, cfi: &str| table == cfi || (is_dead(cfi) && table == "u");
    table.0 == cfi.0 && same(&table.1, &cfi.1) && same(&table.2, &cfi.2)
}

/// Where the FDEs of a file point, as the `object` crate reads it.
struct Places {
    /// In a relocatable file, by place of the relocation: section and offset.
    relocated: BTreeMap<u64, (String, u64)>,
    /// In a linked file: start, end and name of each section.
    sections: Vec<(u64, u64, String)>,
}

fn places(data: &[u8]) -> Places {
    let file = object::File::parse(data).expect("an ELF file");
    let mut places = Places {
        relocated: BTreeMap::new(),
        sections: Vec::new(),
    };
    for section in file.sections() {
        let name = section.name().unwrap();
        if file.kind() == object::ObjectKind::Relocatable {
            if ![".eh_frame", ".init.eh_frame", ".debug_frame"].contains(&name) {
                continue;
            }
            for (at, relocation) in section.relocations() {
                let object::RelocationTarget::Symbol(symbol) = relocation.target() else {
                    continue;
                };
                let symbol = file.symbol_by_index(symbol).unwrap();
                let Some(target) = symbol.section_index() else {
                    continue;
                };
                let target = file.section_by_index(target).unwrap().name().unwrap();
                let offset = symbol.address().wrapping_add_signed(relocation.addend());
                places.relocated.insert(at, (target.to_string(), offset));
            }
        } else if section.kind() == object::SectionKind::Text {
            let start = section.address();
            places
                .sections
                .push((start, start + section.size(), name.to_string()));
        }
    }
    places
}

impl Places {
    /// The section that an FDE describes, and the offset where it starts.
    fn of(&self, fde: &Fde) -> (String, u64) {
        // Length and CIE pointer come before the start.
        if let Some(place) = self.relocated.get(&(fde.at + 8)) {
            return place.clone();
        }
        let sections = self.sections.iter();
        let holds = |(start, end, _): &&(u64, u64, String)| (*start..*end).contains(&fde.start);
        let (start, _, name) = sections.clone().find(holds).expect("an FDE of some text");
        (name.clone(), fde.start - start)
    }
}

/// What readelf says of a file. A module's CFI has a name that it does not know.
fn readelf(path: &Path) -> String {
    let directory = tempfile::tempdir().unwrap();
    let renamed = directory.path().join("renamed.o");
    let status = Command::new("llvm-objcopy-19")
        .args(["--rename-section", ".init.eh_frame=.eh_frame"])
        .args([path, &renamed])
        .status()
        .expect("llvm-objcopy-19");
    assert!(status.success());
    let output = Command::new("aarch64-linux-gnu-readelf")
        .arg("--debug-dump=frames-interp")
        .arg(&renamed)
        .output()
        .expect("aarch64-linux-gnu-readelf");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn report(name: &str, outcome: &Outcome) {
    println!(
        "{name}: {} FDEs, {} instructions equal, {} by SP where the CFI follows x29, \
         {} equal but for slots below SP, \
         {} refused as not proved, {} foreign, {} in text without a table, {} differ",
        outcome.fdes,
        outcome.equal,
        outcome.by_sp,
        outcome.below_sp,
        outcome.refused,
        outcome.foreign,
        outcome.without_table,
        outcome.differences.len()
    );
    let mut first = String::new();
    for difference in outcome.differences.iter().take(10) {
        let _ = writeln!(first, "  {difference}");
    }
    assert!(outcome.differences.is_empty(), "{name}:\n{first}");
    assert!(outcome.equal > 0, "{name}: nothing was compared");
}

#[test]
fn fixtures_say_what_readelf_says() {
    for (name, expected) in [("clang", 102), ("gcc", 99), ("gcc-sync", 99)] {
        let fixture = |kind: &str| {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
            directory.join(format!("{name}.{kind}"))
        };
        let data = std::fs::read(fixture("o")).unwrap();
        let listing = std::fs::read_to_string(fixture("frames")).unwrap();
        let outcome = compare(&data, &listing);
        report(name, &outcome);
        assert_eq!(outcome.equal + outcome.by_sp, expected, "{name}");
    }
}

#[test]
fn a_difference_is_seen() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let data = std::fs::read(fixtures.join("clang.o")).unwrap();
    let listing = std::fs::read_to_string(fixtures.join("clang.frames")).unwrap();
    let wrong = listing.replacen("x29+32", "x29+48", 1);
    assert_ne!(listing, wrong);
    assert!(!compare(&data, &wrong).differences.is_empty());
}

#[test]
fn tables_say_what_readelf_says() {
    let files = std::env::var("ORC_TEST_ELF").unwrap_or_default();
    for file in files.split(':').filter(|file| !file.is_empty()) {
        let data = std::fs::read(file).unwrap_or_else(|e| panic!("{file}: {e}"));
        report(file, &compare(&data, &readelf(file.as_ref())));
    }
}
