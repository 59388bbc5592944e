// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The words of `__sancov_cfs`: 64 bits each, addresses but for a few numbers.
//!
//! In an object an address is a relocation, and what it is relocated against says
//! which section is meant; in a linked file it is a plain number. Null ends a list,
//! -1 is the callee of an indirect call, and 1 is what LLVM leaves of the address
//! of a block that it deletes (`BasicBlock::~BasicBlock()`).

use std::collections::BTreeMap;

use object::elf;

use crate::elf::Relocation;
use crate::input::Input;

use super::report::Problem;

pub(super) const WORD_BYTES: usize = 8;

/// One word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Null,
    /// The callee of an indirect call.
    Indirect,
    /// The address of a block that was deleted.
    Deleted,
    /// A place in a text of the input: number of the text, offset.
    Text(usize, u64),
    /// A function of another file.
    External,
    Bad(Problem),
}

/// The words of one section.
#[derive(Default)]
pub(super) struct Section {
    pub words: Vec<Word>,
    /// What is wrong beside them, by offset.
    pub malformed: Vec<(u64, Problem)>,
}

/// Reads words.
pub(super) struct Words<'w, 'd> {
    input: &'w Input<'d>,
    /// Number of the text of each section that has one.
    texts: BTreeMap<usize, usize>,
}

impl<'w, 'd> Words<'w, 'd> {
    pub fn new(input: &'w Input<'d>) -> Self {
        let texts = input.texts.iter().enumerate();
        Self {
            input,
            texts: texts.map(|(number, text)| (text.section, number)).collect(),
        }
    }

    /// The words of this section.
    pub fn read(&self, section: usize) -> Section {
        let image = &self.input.image;
        let data = image.sections[section].data;
        let mut read = Section::default();
        let Ok(relocations) = image.relocations(section) else {
            read.malformed.push((0, Problem::Relocations));
            return read;
        };
        let (words, rest) = data.split_at(data.len() - data.len() % WORD_BYTES);
        if !rest.is_empty() {
            read.malformed
                .push((words.len() as u64, Problem::PartialWord));
        }
        let words = words.chunks_exact(WORD_BYTES).map(|word| {
            let bytes = word.iter().rev();
            self.plain(bytes.fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
        });
        read.words = words.collect();
        for relocation in relocations {
            let at = relocation.offset as usize;
            match read.words.get_mut(at / WORD_BYTES) {
                Some(word) if at % WORD_BYTES == 0 => *word = self.relocated(&relocation),
                _ => read
                    .malformed
                    .push((relocation.offset, Problem::BadRelocation)),
            }
        }
        read
    }

    /// A word that no relocation changes.
    fn plain(&self, value: u64) -> Word {
        let image = &self.input.image;
        match value {
            0 => Word::Null,
            1 => Word::Deleted,
            u64::MAX => Word::Indirect,
            _ if image.relocatable => Word::Bad(Problem::NoRelocation),
            _ => match image.text_at(value) {
                Some((section, offset)) => self.place(section, offset),
                None => Word::Bad(Problem::NotText),
            },
        }
    }

    fn relocated(&self, relocation: &Relocation) -> Word {
        if elf::RelocationType(relocation.kind) != elf::R_AARCH64_ABS64 {
            return Word::Bad(Problem::BadRelocation);
        }
        let image = &self.input.image;
        let symbol = &image.symbols[relocation.symbol];
        let section = symbol
            .section
            .and_then(|s| Some((s, image.sections.get(s)?)));
        let Some((number, section)) = section else {
            return Word::External;
        };
        let address = symbol.address.wrapping_add_signed(relocation.addend);
        // A block without code may be at the end.
        let range = section.address..=section.end();
        match section.is_text() && range.contains(&address) {
            true => self.place(number, address - section.address),
            false => Word::Bad(Problem::NotText),
        }
    }

    fn place(&self, section: usize, offset: u64) -> Word {
        match self.texts.get(&section) {
            Some(_) if offset % 4 != 0 => Word::Bad(Problem::Misaligned),
            Some(text) => Word::Text(*text, offset),
            None => Word::Bad(Problem::NotText),
        }
    }
}
