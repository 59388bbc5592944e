// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One function with one fault in it, and what becomes of it.

use std::fmt;

use orctool::claim::Claims;
use orctool::text::TextSection;

use crate::random::Random;
use crate::returns::Returns;
use crate::subject::Subject;
use crate::tally::{Fate, Tally};
use crate::{claims, faults};

/// So many functions and places are tried for a fault.
const PLACES: usize = 400;
/// So many paths are run through each mutant, and more until one meets the fault.
const PATHS: u64 = 6;
const MORE_PATHS: u64 = 40;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Code(faults::Kind),
    Cfi(claims::Kind),
}

impl Kind {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let code = faults::KINDS.into_iter().map(Self::Code);
        code.chain(claims::KINDS.into_iter().map(Self::Cfi))
            .collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(kind) => write!(f, "code: {kind:?}"),
            Self::Cfi(kind) => write!(f, "CFI: {kind:?}"),
        }
    }
}

/// A fault.
enum Fault {
    Words(faults::Words),
    Claims(Claims),
}

/// One function with one fault.
pub struct Mutant {
    kind: Kind,
    index: usize,
    fault: Fault,
}

impl Mutant {
    /// A fault of a kind, somewhere in one of the functions.
    pub fn find(
        text: &TextSection,
        functions: &[usize],
        kind: Kind,
        random: &mut Random,
    ) -> Option<Self> {
        (0..PLACES).find_map(|_| {
            let index = random.pick(functions);
            let fault = match kind {
                Kind::Code(kind) => words(text, index, kind, random).map(Fault::Words),
                Kind::Cfi(kind) => rows(text, index, kind, random).map(Fault::Claims),
            };
            fault.map(|fault| Self { kind, index, fault })
        })
    }

    /// Proves the function with its fault, and runs it. The text is unchanged after.
    pub fn judge(&self, text: &mut TextSection, returns: &Returns, seed: u64) -> Tally {
        let original = text.functions[self.index].claims.clone();
        let Some(sound) = Subject::new(text, self.index, returns) else {
            return Tally::default();
        };
        let (start, end) = {
            let function = &text.functions[self.index];
            (function.start as usize, function.end as usize)
        };
        let bytes = text.bytes[start..end].to_vec();
        match &self.fault {
            Fault::Words(words) => {
                for (index, word) in words {
                    let at = start + 4 * index;
                    text.bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
                }
            }
            Fault::Claims(claims) => text.functions[self.index].claims = Some(claims.clone()),
        }
        let broken = Subject::with_claims(text, self.index, original.as_ref(), returns);
        text.bytes[start..end].copy_from_slice(&bytes);
        text.functions[self.index].claims = original;
        match broken {
            Some(broken) => self.compare(&sound, &broken, seed),
            None => Tally::default(),
        }
    }

    /// The instructions where the fault is.
    fn places(&self, sound: &Subject, broken: &Subject) -> Vec<usize> {
        match &self.fault {
            Fault::Words(words) => words.iter().map(|(index, _)| *index).collect(),
            Fault::Claims(_) => (0..sound.claims.len())
                .filter(|index| sound.claims[*index] != broken.claims[*index])
                .collect(),
        }
    }

    fn compare(&self, sound: &Subject, broken: &Subject, seed: u64) -> Tally {
        let places = self.places(sound, broken);
        let mut random = Random::new(seed);
        let exit = broken.exit();
        let mut tally = Tally::default();
        let (mut is_seen, mut is_false) = (places.is_empty(), false);
        for number in 0..MORE_PATHS {
            if number >= PATHS && is_seen {
                break;
            }
            let goals = match number % 2 {
                0 if !places.is_empty() => vec![random.pick(&places)],
                _ => places.clone(),
            };
            let far = broken.code.distances(&goals);
            let path = broken.path(&far, &exit, seed.wrapping_mul(64) + number);
            tally.paths += 1;
            is_seen |= places.iter().any(|place| path.visited[*place]);
            is_false |= path.claim_is_false || path.wrong.is_some();
            if let Some(wrong) = broken.describe(&path) {
                tally
                    .wrong
                    .push(format!("{}, {}: {wrong}", self.kind, self.show()));
                break;
            }
        }
        let is_refused = sound
            .rows
            .iter()
            .zip(&broken.rows)
            .any(|(sound, broken)| sound.is_some() && broken.is_none());
        let fate = match (tally.wrong.is_empty(), is_refused, is_false, is_seen) {
            (false, ..) => Fate::Wrong,
            (_, true, true, _) => Fate::RefusedAndFalse,
            (_, true, false, _) => Fate::Refused,
            (_, false, _, true) => Fate::Harmless,
            (_, false, _, false) => Fate::Unseen,
        };
        tally.note(self.kind, fate);
        if fate == Fate::Unseen {
            tally
                .unseen
                .push(format!("{}: {} {}", broken.name, self.kind, self.show()));
        }
        tally
    }

    fn show(&self) -> String {
        match &self.fault {
            Fault::Words(words) => {
                let words = words.iter();
                let words = words.map(|(index, word)| format!("+{:#x}={word:08x}", 4 * index));
                words.collect::<Vec<_>>().join(" ")
            }
            Fault::Claims(_) => "other rows".to_string(),
        }
    }
}

/// Changed words of a function. Most instructions have no part in its frame: those
/// that do are tried more often.
fn words(
    text: &TextSection,
    function: usize,
    kind: faults::Kind,
    random: &mut Random,
) -> Option<faults::Words> {
    let function = &text.functions[function];
    let words: Vec<u32> = text.bytes[function.start as usize..function.end as usize]
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    let mut places: Vec<usize> = (0..words.len()).collect();
    if random.one_in(2) {
        places.retain(|place| faults::is_of_frame(words[*place]));
    }
    if places.is_empty() {
        return None;
    }
    let index = random.pick(&places);
    faults::at(kind, &words, index, random)
}

fn rows(
    text: &TextSection,
    function: usize,
    kind: claims::Kind,
    random: &mut Random,
) -> Option<Claims> {
    let function = &text.functions[function];
    let rows = function.claims.as_ref().and_then(Claims::whole)?;
    claims::broken(kind, &rows, function.end, random).map(Claims::from)
}
