// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Faults injected: the same walk, with words of the stack changed under it.
//!
//! The guest's memory is not touched. Which words count is found by a walk over the
//! stack as it is: those that it reads.

use crate::memory::Space;

use std::cell::RefCell;

/// Words that a walk finds changed; and what it has read.
#[derive(Default)]
pub struct Changes {
    words: Vec<(u64, u64)>,
    read: RefCell<Vec<(u64, u64)>>,
}

impl Changes {
    /// What is at an address, as the walk is to see it.
    pub fn read(&self, space: &mut Space, address: u64) -> Option<u64> {
        let changed = self.words.iter().find(|(at, _)| *at == address);
        let value = match changed {
            Some((_, value)) => *value,
            None => space.read(address)?,
        };
        self.read.borrow_mut().push((address, value));
        Some(value)
    }

    /// The words that were read, each once, by address.
    pub fn take_read(&self) -> Vec<(u64, u64)> {
        let mut read = self.read.take();
        read.sort_unstable();
        read.dedup();
        read
    }

    fn of(words: Vec<(u64, u64)>) -> Self {
        Self {
            words,
            read: RefCell::default(),
        }
    }
}

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A saved x29: another of the same stack.
    FramePointer,
    /// A return address: another of the same stack.
    ReturnAddress,
    /// A return address: that of any call of vmlinux.
    AnyCall,
    /// A frame record: a copy of another of the same stack.
    RecordCopied,
    /// One bit of a word.
    Bit,
    /// A word: any number.
    AnyWord,
    /// Eight words in a row: any numbers.
    Noise,
}

impl Fault {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::FramePointer,
        Self::ReturnAddress,
        Self::AnyCall,
        Self::RecordCopied,
        Self::Bit,
        Self::AnyWord,
        Self::Noise,
    ];

    /// For the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FramePointer => "saved x29: another of the stack",
            Self::ReturnAddress => "return address: another of the stack",
            Self::AnyCall => "return address: of any call",
            Self::RecordCopied => "frame record: a copy of another",
            Self::Bit => "one bit of a word",
            Self::AnyWord => "a word: any number",
            Self::Noise => "eight words: any numbers",
        }
    }
}

/// How the walk took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taken {
    /// Reliable, and not the truth.
    Wrong,
    /// Unreliable.
    Refused,
    /// Reliable, and the truth all the same.
    Harmless,
}

/// Numbers that look random, the same for one seed.
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(list.len()).ok().filter(|count| *count != 0)?;
        list.get((self.next() % count) as usize)
    }
}

/// What a walk has read, sorted by what it is.
pub struct Words {
    all: Vec<(u64, u64)>,
    /// Saved x29: words with an address of the stack.
    pointers: Vec<(u64, u64)>,
    /// Return addresses: words with an address of text.
    returns: Vec<(u64, u64)>,
    /// Frame records: a saved x29 with a return address after it.
    records: Vec<[(u64, u64); 2]>,
}

impl Words {
    /// Sorts them.
    pub fn new(
        all: Vec<(u64, u64)>,
        on_stack: impl Fn(u64) -> bool,
        is_text: impl Fn(u64) -> bool,
    ) -> Self {
        let keep = |wanted: &dyn Fn(u64) -> bool| -> Vec<(u64, u64)> {
            all.iter()
                .copied()
                .filter(|(_, value)| wanted(*value))
                .collect()
        };
        let (pointers, returns) = (keep(&on_stack), keep(&is_text));
        let records = all.windows(2).filter_map(|pair| match pair {
            [a, b] if a.0 + 8 == b.0 && on_stack(a.1) && is_text(b.1) => Some([*a, *b]),
            _ => None,
        });
        Self {
            records: records.collect(),
            pointers,
            returns,
            all,
        }
    }

    /// Words changed by a fault; `None` when there is nothing to change, or it changes
    /// nothing.
    pub fn change(&self, fault: Fault, random: &mut Random, calls: &[u64]) -> Option<Changes> {
        let words = match fault {
            Fault::FramePointer => vec![(
                random.pick(&self.pointers)?.0,
                random.pick(&self.pointers)?.1,
            )],
            Fault::ReturnAddress => {
                vec![(random.pick(&self.returns)?.0, random.pick(&self.returns)?.1)]
            }
            Fault::AnyCall => vec![(random.pick(&self.returns)?.0, *random.pick(calls)?)],
            Fault::RecordCopied => {
                let (to, from) = (random.pick(&self.records)?, random.pick(&self.records)?);
                vec![(to[0].0, from[0].1), (to[1].0, from[1].1)]
            }
            Fault::Bit => {
                let (at, value) = *random.pick(&self.all)?;
                vec![(at, value ^ 1 << (random.next() & 63))]
            }
            Fault::AnyWord => vec![(random.pick(&self.all)?.0, random.next())],
            Fault::Noise => {
                let (at, _) = *random.pick(&self.all)?;
                (0..8).map(|word| (at + 8 * word, random.next())).collect()
            }
        };
        let same = words.iter().all(|word| self.all.contains(word));
        (!same).then(|| Changes::of(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        let all = vec![
            (0x100, 0x120),
            (0x108, 0x9004),
            (0x120, 0x140),
            (0x128, 0x9104),
            (0x150, 7),
        ];
        Words::new(
            all,
            |value| value < 0x1000 && value > 0x100,
            |value| value > 0x9000,
        )
    }

    #[test]
    fn finds_records() {
        let words = words();
        assert_eq!(words.records.len(), 2);
        assert_eq!((words.pointers.len(), words.returns.len()), (2, 2));
    }

    #[test]
    fn changes_what_it_says() {
        let words = words();
        let mut random = Random::new(7);
        for _ in 0..100 {
            if let Some(changes) = words.change(Fault::RecordCopied, &mut random, &[]) {
                assert_eq!(changes.words.len(), 2);
                assert_eq!(changes.words[0].0 + 8, changes.words[1].0);
            }
            let changes = words.change(Fault::AnyCall, &mut random, &[0x9204]);
            assert_eq!(changes.map(|changes| changes.words[0].1), Some(0x9204));
        }
    }
}
