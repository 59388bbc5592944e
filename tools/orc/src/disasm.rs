// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Instructions as text, for people who read a report.
//!
//! The proof does not look at it: what an instruction does is [`crate::a64::insn`].

use std::fmt::Write as _;
use std::ops::Range;

use fARM64::format::{FmtFormatter, Formatter as _, FormatterOptions};
use fARM64::{Decoder, DecoderOptions};

use crate::a64::branch;
use crate::text::{Target, TextSection};

/// What stands for a target in another section, which no text section knows.
pub const ELSEWHERE: &str = "<elsewhere>";

/// One instruction of a text section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Bytes from the start of the section.
    pub offset: u64,
    /// The instruction.
    pub word: u32,
    /// The same for people; see [`line`].
    pub text: String,
}

/// The text of the instruction `word` at `address`; targets are addresses.
///
/// What is no instruction is `.word 0x........`.
#[must_use]
pub fn text(word: u32, address: u64) -> String {
    let bytes = word.to_le_bytes();
    let insn = Decoder::new(&bytes, address, DecoderOptions::default()).decode();
    if insn.is_invalid() {
        return data(word);
    }
    let formatter = FmtFormatter::with_options(FormatterOptions {
        // One blank: reports put what stands before it into columns.
        first_operand_char_index: 0,
        ..FormatterOptions::default()
    });
    let mut text = String::new();
    formatter.format(&insn, &mut text);
    text
}

fn data(word: u32) -> String {
    format!(".word {word:#010x}")
}

/// The instruction at this offset of a section, with the name of the function that
/// a direct branch leads to; `None` outside the section.
///
/// In a relocatable file the target is the one that the relocation gives, and an
/// address is an offset in the section.
#[must_use]
pub fn line(section: &TextSection, offset: u64) -> Option<Line> {
    let word = section.word(offset)?;
    let is_data = section.data.iter().any(|range| range.contains(&offset));
    let text = match is_data {
        true => data(word),
        false => instruction(section, offset, word),
    };
    Some(Line { offset, word, text })
}

fn instruction(section: &TextSection, offset: u64, word: u32) -> String {
    let address = section.address.wrapping_add(offset);
    let target = match section.branches.get(&offset) {
        Some(Target::Local(target)) => Some(*target),
        Some(Target::Section { .. } | Target::External) => {
            return format!("{} {ELSEWHERE}", mnemonic(word))
        }
        None => branch::distance(word).map(|by| offset.wrapping_add_signed(by)),
    };
    let Some(target) = target else {
        return text(word, address);
    };
    let distance = target.wrapping_sub(offset) as i64;
    // A relocation too far for the instruction is the linker's to refuse.
    let word = branch::with_distance(word, distance).unwrap_or(word);
    let mut text = text(word, address);
    if let Some(function) = section.function_at(target) {
        let _ = match target - function.start {
            0 => write!(text, " <{}>", function.name),
            inside => write!(text, " <{}+{inside:#x}>", function.name),
        };
    }
    text
}

/// All of a branch's text but its target.
fn mnemonic(word: u32) -> String {
    let all = text(word, 0);
    let (before, _) = all.rsplit_once(' ').unwrap_or((&all, ""));
    before.to_string()
}

/// The instruction at an offset with up to `before` and `after` others around it,
/// not beyond the function that they are in. Without a function: not into one.
/// None outside the section.
#[must_use]
pub fn window(section: &TextSection, offset: u64, before: u64, after: u64) -> Vec<Line> {
    let at = offset & !3;
    if line(section, at).is_none() {
        return Vec::new();
    }
    let around = extent(section, at);
    let first = at.saturating_sub(before.saturating_mul(4));
    let first = first.max(around.start.next_multiple_of(4));
    let end = at.saturating_add(after.saturating_add(1).saturating_mul(4));
    let end = end.min(around.end);
    let lines = (first..end).step_by(4);
    lines.map_while(|offset| line(section, offset)).collect()
}

/// The function at this offset, or the gap between two.
fn extent(section: &TextSection, offset: u64) -> Range<u64> {
    let functions = &section.functions;
    if let Some(function) = section.function_at(offset) {
        return function.start..function.end;
    }
    let next = functions.partition_point(|f| f.start <= offset);
    let start = next.checked_sub(1).map_or(0, |last| functions[last].end);
    let end = functions.get(next).map(|f| f.start);
    start..end.unwrap_or(section.bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Function, Kind};

    const NOP: u32 = 0xd503_201f;

    #[test]
    fn writes_instructions() {
        // Words and meaning from the fixtures' listings by objdump.
        for (word, expected) in [
            (0xa9be_7bfd, "stp x29, x30, [sp, #-0x20]!"),
            (0x9100_03fd, "mov x29, sp"),
            (0xa8c2_7bfd, "ldp x29, x30, [sp], #0x20"),
            (0xd503_23bf, "autiasp"),
            (0xd65f_03c0, "ret"),
            (0xd61f_0100, "br x8"),
            (0x9400_0400, "bl 0x11000"),
            (0x54ff_ffe1, "b.ne 0xfffc"),
            (0x3707_ffe3, "tbnz w3, #0x0, 0xfffc"),
            (0x0000_0000, "udf #0x0"),
            (0xffff_ffff, ".word 0xffffffff"),
        ] {
            assert_eq!(text(word, 0x1_0000), expected, "{word:#010x}");
        }
    }

    fn section(words: &[u32]) -> TextSection {
        let function = |name: &str, start, end| Function {
            name: name.into(),
            start,
            end,
            kind: Kind::Func,
            claims: None,
        };
        TextSection {
            name: ".text".into(),
            address: 0x1000,
            bytes: words.iter().flat_map(|w| w.to_le_bytes()).collect(),
            // A gap of two instructions between them, and one at the end.
            functions: vec![function("first", 0, 12), function("second", 20, 32)],
            ..TextSection::default()
        }
    }

    #[test]
    fn names_the_targets_of_branches() {
        // b .+24; bl .+20, bl to itself and to nothing: relocations.
        let mut section = section(&[0x1400_0006, 0x9400_0005, 0x9400_0000, 0x9400_0000]);
        let text = |section: &TextSection, at| line(section, at).unwrap().text;
        assert_eq!(text(&section, 0), "b 0x1018 <second+0x4>");
        assert_eq!(text(&section, 4), "bl 0x1018 <second+0x4>");
        assert_eq!(text(&section, 12), "bl 0x100c", "in no function");
        section.branches.insert(8, Target::Local(20));
        section.branches.insert(12, Target::External);
        assert_eq!(text(&section, 8), "bl 0x1014 <second>");
        assert_eq!(text(&section, 12), "bl <elsewhere>");
        section.data.push(0..4);
        assert_eq!(text(&section, 0), ".word 0x14000006");
        assert_eq!(line(&section, 16), None, "outside");
        assert_eq!(line(&section, u64::MAX), None, "outside");
    }

    #[test]
    fn windows_end_with_the_function() {
        let section = section(&[NOP; 9]);
        let window = |at, before, after| -> Vec<u64> {
            let lines = window(&section, at, before, after);
            lines.iter().map(|line| line.offset).collect()
        };
        assert_eq!(window(4, 1, 1), [0, 4, 8]);
        assert_eq!(window(4, 0, 0), [4]);
        assert_eq!(window(6, 0, 0), [4], "inside an instruction");
        assert_eq!(window(8, 9, 9), [0, 4, 8], "not into the gap");
        assert_eq!(window(20, 9, 1), [20, 24]);
        assert_eq!(window(12, 9, 9), [12, 16], "the gap");
        assert_eq!(window(32, u64::MAX, u64::MAX), [32], "the last gap");
        assert!(window(36, 1, 1).is_empty(), "outside");
        assert!(window(u64::MAX, 1, 1).is_empty(), "outside");
    }
}
