// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The section `__sancov_cfs`: for each function its blocks, for each block its
//! successors and what it calls.
//!
//! Words: `block successor... 0 callee... 0`, block after block; the first block of
//! a function is the function itself (`createFunctionControlFlow()` in LLVM's
//! `SanitizerCoverage.cpp`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::input::Input;

use super::report::{Malformed, Problem};
use super::word::{Word, Words, WORD_BYTES};

/// Name of the section.
pub const SECTION: &str = "__sancov_cfs";

/// All lists of a file.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// By text of the input and function of that text.
    pub functions: BTreeMap<(usize, usize), List>,
    /// What could not be read, in the order of the file.
    pub malformed: Vec<Malformed>,
}

/// The list of one function.
#[derive(Debug)]
pub(super) struct List {
    /// Index of the section in which it starts.
    pub section: usize,
    /// Bytes from the start of that section.
    pub offset: u64,
    /// The blocks by where they start in the text section. Of blocks that are at
    /// one place, because one has no code, the whole.
    pub blocks: BTreeMap<u64, Block>,
    /// Edges from blocks that were deleted before they had an address.
    pub lost_edges: u64,
}

/// One basic block.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Where control goes from it, as often as it is said.
    pub successors: Vec<Successor>,
    /// Whether it calls through a register.
    pub calls_indirectly: bool,
}

/// Where control goes from a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Successor {
    /// To what starts at this offset of the text section.
    At(u64),
    /// To a block that was deleted.
    Deleted,
}

/// Reads all lists; `None` when the file has no such section.
pub(super) fn read(input: &Input<'_>) -> Option<Lists> {
    let sections = input.image.sections.iter().enumerate();
    let mut sections = sections.filter(|(_, s)| s.name == SECTION).peekable();
    sections.peek()?;
    let mut reader = Reader {
        input,
        words: Words::new(input),
        section: 0,
        current: None,
        lists: Lists::default(),
    };
    for (section, _) in sections {
        reader.section = section;
        reader.current = None;
        reader.read();
    }
    Some(reader.lists)
}

/// One block as it is written.
struct Raw {
    at: u64,
    word: Word,
    successors: Vec<(u64, Word)>,
    calls_indirectly: bool,
}

struct Reader<'r, 'd> {
    input: &'r Input<'d>,
    words: Words<'r, 'd>,
    section: usize,
    /// The function whose list is being read.
    current: Option<(usize, usize)>,
    lists: Lists,
}

impl Reader<'_, '_> {
    fn malformed(&mut self, offset: u64, problem: Problem) {
        self.lists.malformed.push(Malformed {
            section: self.section,
            offset,
            problem,
        });
    }

    fn read(&mut self) {
        let words = self.words.read(self.section);
        for (at, problem) in &words.malformed {
            self.malformed(*at, *problem);
        }
        let raw = self.blocks(&words.words);
        for (number, block) in raw.iter().enumerate() {
            self.block(block, raw.get(number + 1));
        }
    }

    /// Takes the words apart.
    fn blocks(&mut self, words: &[Word]) -> Vec<Raw> {
        let words = words.iter().copied();
        let mut words = words.zip((0..).step_by(WORD_BYTES)).peekable();
        let mut blocks = Vec::new();
        while let Some((word, at)) = words.next() {
            if word == Word::Null {
                self.malformed(at, Problem::NoBlock);
                while words.next_if(|(word, _)| *word == Word::Null).is_some() {}
                continue;
            }
            let successors = until_null(&mut words);
            let callees = until_null(&mut words);
            if callees.is_none() {
                self.malformed(at, Problem::NoTerminator);
            }
            let callees = callees.unwrap_or_default();
            for (at, callee) in &callees {
                if let Word::Bad(problem) = callee {
                    self.malformed(*at, *problem);
                }
            }
            blocks.push(Raw {
                at,
                word,
                successors: successors.unwrap_or_default(),
                calls_indirectly: callees.iter().any(|(_, word)| *word == Word::Indirect),
            });
        }
        blocks
    }

    /// Adds a block to the function that it is in.
    fn block(&mut self, block: &Raw, next: Option<&Raw>) {
        let start = match block.word {
            Word::Text(text, offset) => (text, offset),
            Word::Deleted => return self.deleted(block),
            Word::Bad(problem) => return self.malformed(block.at, problem),
            _ => return self.malformed(block.at, Problem::NoBlock),
        };
        if !self.is_in_current(start, next) {
            self.current = self.function_from(start);
        }
        let Some(function) = self.current else {
            return self.malformed(block.at, Problem::BlockOutside);
        };
        let successors = self.successors(block, function);
        let list = self.list(function, block.at);
        let known = list.blocks.entry(start.1).or_default();
        known.successors.extend(successors);
        known.calls_indirectly |= block.calls_indirectly;
    }

    /// A block that was deleted: nothing is left that its edges could leave from.
    fn deleted(&mut self, block: &Raw) {
        match self.current {
            Some(function) => {
                self.list(function, block.at).lost_edges += block.successors.len() as u64;
            }
            None => self.malformed(block.at, Problem::BlockOutside),
        }
    }

    fn list(&mut self, function: (usize, usize), offset: u64) -> &mut List {
        let section = self.section;
        let list = self.lists.functions.entry(function);
        list.or_insert_with(|| List {
            section,
            offset,
            blocks: BTreeMap::new(),
            lost_edges: 0,
        })
    }

    fn successors(&mut self, block: &Raw, function: (usize, usize)) -> Vec<Successor> {
        let range = self.range(function);
        let mut successors = Vec::new();
        for &(at, word) in &block.successors {
            match word {
                Word::Text(text, to)
                    if text == function.0 && (range.contains(&to) || to == range.end) =>
                {
                    successors.push(Successor::At(to));
                }
                Word::Deleted => successors.push(Successor::Deleted),
                Word::Bad(problem) => self.malformed(at, problem),
                _ => self.malformed(at, Problem::SuccessorOutside),
            }
        }
        successors
    }

    /// Whether a block belongs to the function whose list is being read. One without
    /// code may be at the end of it, which may be where the next function starts:
    /// then the block after it tells.
    fn is_in_current(&self, (text, offset): (usize, u64), next: Option<&Raw>) -> bool {
        let Some(function) = self.current.filter(|function| function.0 == text) else {
            return false;
        };
        let range = self.range(function);
        let goes_on = match next.map(|next| next.word) {
            Some(Word::Text(place, next)) => place == text && range.contains(&next),
            _ => false,
        };
        let is_other = self.function_from((text, offset)).is_some() && !goes_on;
        range.contains(&offset) || (offset == range.end && !is_other)
    }

    /// The function that starts at this place.
    fn function_from(&self, (text, offset): (usize, u64)) -> Option<(usize, usize)> {
        let functions = &self.input.texts.get(text)?.text.functions;
        let index = functions.binary_search_by_key(&offset, |f| f.start).ok()?;
        Some((text, index))
    }

    fn range(&self, (text, function): (usize, usize)) -> Range<u64> {
        let function = &self.input.texts[text].text.functions[function];
        function.start..function.end
    }
}

/// The words up to the next null, which is taken too; `None` where there is none.
fn until_null(words: &mut impl Iterator<Item = (Word, u64)>) -> Option<Vec<(u64, Word)>> {
    let mut list = Vec::new();
    loop {
        match words.next()? {
            (Word::Null, _) => return Some(list),
            (word, at) => list.push((at, word)),
        }
    }
}

impl List {
    /// The places where blocks start.
    pub fn starts(&self) -> BTreeSet<u64> {
        let successors = self.blocks.values().flat_map(|block| &block.successors);
        let successors = successors.filter_map(|successor| match successor {
            Successor::At(offset) => Some(*offset),
            Successor::Deleted => None,
        });
        self.blocks.keys().copied().chain(successors).collect()
    }
}
