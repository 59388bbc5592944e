// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One text section as the proof sees it: bytes, functions, and what relocation
//! or run-time patching will change in the bytes.
//!
//! Written by [`crate::elf`], read by the proof. All offsets are bytes from the
//! start of the section.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::claim::{CfiRow, Claim, Claims};

/// One text section.
#[derive(Clone, Debug, Default)]
pub struct TextSection {
    /// Name in the ELF file, `.init.text` for example.
    pub name: String,
    /// Its index in the ELF file.
    pub index: usize,
    /// Address of the first byte; 0 in a relocatable file.
    pub address: u64,
    /// The whole of the section.
    pub bytes: Vec<u8>,
    /// Functions sorted by start; none overlaps the next one.
    pub functions: Vec<Function>,
    /// Branches whose target a relocation gives (`.o` and `.ko` only).
    pub branches: BTreeMap<u64, Target>,
    /// Sites that the running kernel may rewrite, by offset.
    pub patches: Vec<Patch>,
    /// Where the kernel continues after an access that faults, by offset.
    pub fixups: Vec<Fixup>,
    /// Data in the text (mapping symbol `$d`), sorted: no instructions there.
    pub data: Vec<Range<u64>>,
    /// Code that is not executed where it stands, but where the kernel copies it:
    /// replacements of alternatives. Sorted.
    pub copied: Vec<Range<u64>>,
    /// Functions that start inside another one, sorted: symbols of functions that
    /// are not where CFI starts.
    pub entries: Vec<u64>,
    /// Starts of functions that are none, sorted: CFI that starts in the middle of
    /// what a symbol names.
    pub continued: Vec<u64>,
    /// Traps of which `__bug_table` says whether the kernel goes on after them.
    pub traps: BTreeMap<u64, Trap>,
    /// Where indirect branches go, by offset, for those of which the compiler says
    /// so ([`crate::sancov`]). For the others nothing is known.
    pub indirect: BTreeMap<u64, Vec<u64>>,
}

impl TextSection {
    /// The function that an offset is in.
    #[must_use]
    pub fn function_at(&self, offset: u64) -> Option<&Function> {
        let after = self.functions.partition_point(|f| f.start <= offset);
        let function = self.functions.get(after.checked_sub(1)?)?;
        (offset < function.end).then_some(function)
    }

    /// The sites that may reach into a range.
    #[must_use]
    pub fn patches_in(&self, range: &Range<u64>) -> &[Patch] {
        // One is rarely longer than a few instructions; this is the longest that a
        // length byte allows.
        const LONGEST: u64 = 256;
        let from = range.start.saturating_sub(LONGEST);
        let first = self.patches.partition_point(|patch| patch.offset < from);
        let end = self
            .patches
            .partition_point(|patch| patch.offset < range.end);
        self.patches.get(first..end).unwrap_or_default()
    }

    /// The accesses in a range that may fault.
    #[must_use]
    pub fn fixups_in(&self, range: &Range<u64>) -> &[Fixup] {
        let first = self
            .fixups
            .partition_point(|fixup| fixup.offset < range.start);
        let end = self
            .fixups
            .partition_point(|fixup| fixup.offset < range.end);
        self.fixups.get(first..end).unwrap_or_default()
    }

    /// Whether any of the four bytes at an offset is data.
    #[must_use]
    pub fn is_data(&self, offset: u64) -> bool {
        let after = self.data.partition_point(|range| range.end <= offset);
        let range = self.data.get(after);
        range.is_some_and(|range| range.start < offset.saturating_add(4))
    }

    /// Whether the code at an offset is not executed where it stands.
    #[must_use]
    pub fn is_copied(&self, offset: u64) -> bool {
        let after = self.copied.partition_point(|range| range.start <= offset);
        let last = after.checked_sub(1).and_then(|at| self.copied.get(at));
        last.is_some_and(|range| offset < range.end)
    }

    /// The instruction at an offset.
    #[must_use]
    pub fn word(&self, offset: u64) -> Option<u32> {
        let bytes = self.bytes.get(usize::try_from(offset).ok()?..)?;
        Some(u32::from_le_bytes(*bytes.first_chunk()?))
    }
}

/// Where a relocated branch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An offset in the same section.
    Local(u64),
    /// Another section of the file.
    Section {
        /// Its index in the ELF file.
        index: usize,
        /// The offset in it.
        offset: u64,
    },
    /// A symbol of another object.
    External,
}

/// What `__bug_table` says of a `brk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// `BUG()`: the kernel does not go on.
    Bug,
    /// `WARN()`: it goes on after the `brk`.
    Warning,
}

impl Target {
    /// The same target for a branch that is copied from one section to another.
    #[must_use]
    pub const fn seen_from(self, old: usize, new: usize) -> Self {
        match self {
            Self::Local(offset) if old != new => Self::Section { index: old, offset },
            Self::Section { index, offset } if index == new => Self::Local(offset),
            other => other,
        }
    }

    /// The offset in the same section, if it is there.
    #[must_use]
    pub const fn offset(self) -> Option<u64> {
        match self {
            Self::Local(offset) => Some(offset),
            Self::Section { .. } | Self::External => None,
        }
    }
}

/// A site that the running kernel may rewrite: an alternative (`.altinstructions`)
/// or a jump label (`__jump_table`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// First byte replaced.
    pub offset: u64,
    /// Bytes replaced, a multiple of 4.
    pub len: u64,
    /// The words that replace them, as they will stand at `offset`: a direct
    /// branch in them is relative to its new place. Empty when only the kernel
    /// knows what it will write (a callback, or a branch to another section).
    pub replacement: Vec<u32>,
    /// The targets of those branches in it that lead to another section of an
    /// object, by offset of the site.
    pub targets: Vec<(u64, Target)>,
}

impl Patch {
    /// The target of the branch that replaces the word at an offset, where it is of
    /// another section.
    #[must_use]
    pub fn target_at(&self, offset: u64) -> Option<Target> {
        let found = self.targets.iter().find(|(at, _)| *at == offset)?;
        Some(found.1)
    }

    /// The word that replaces the one at an offset, if it is known.
    #[must_use]
    pub fn word_at(&self, offset: u64) -> Option<u32> {
        let at = offset
            .checked_sub(self.offset)
            .filter(|at| *at < self.len)?;
        self.replacement.get(usize::try_from(at / 4).ok()?).copied()
    }
}

/// An entry of the exception table (`__ex_table`): an instruction that may fault,
/// and where the kernel continues then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixup {
    /// The instruction that faults.
    pub offset: u64,
    /// Where the kernel continues.
    pub target: Target,
    /// The registers that it writes before it does: bit n is xn.
    pub written: u32,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Symbol; of several at one address, the global one or the first by name.
    pub name: String,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// How the symbol table types it.
    pub kind: Kind,
    /// Its CFI; `None` when nothing describes it.
    pub claims: Option<Claims>,
}

impl Function {
    /// Its bytes in the section.
    #[must_use]
    pub const fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// What the CFI says at an offset inside it.
    #[must_use]
    pub fn row_at(&self, offset: u64) -> Option<&CfiRow> {
        let Some(Claims::Rows(rows)) = &self.claims else {
            return None;
        };
        let after = rows.partition_point(|row| row.start() <= offset);
        rows.get(after.checked_sub(1)?)
    }

    /// The same, if a table can hold it.
    #[must_use]
    pub fn claim_at(&self, offset: u64) -> Option<&Claim> {
        self.row_at(offset)?.claim()
    }
}

/// How the symbol table types a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `STT_FUNC`: `SYM_FUNC_START` or a compiler's function.
    Func,
    /// `STT_NOTYPE`: `SYM_CODE_START`, which keeps no calling convention.
    Code,
}
