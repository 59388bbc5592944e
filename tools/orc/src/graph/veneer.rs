// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What linkers move out of line: an instruction that an erratum forbids where it
//! stands (843419, 835769) becomes a branch to a copy of it, and a branch back.
//!
//! Such a copy is part of the function that it comes from (A10). It is known by the symbol
//! that the linker gives it, or by having none: code without a symbol to which a
//! function branches, and which branches back into it. A symbol of any other name is
//! one that others may call.

use std::collections::BTreeMap;

use crate::a64::insn::{Flow, Insn, Step};
use crate::text::TextSection;

use super::{At, Graph};

/// A piece of code out of line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veneer {
    /// What each of its instructions does, or may be patched to do.
    pub steps: Vec<Vec<Step>>,
    /// Where it comes back.
    pub back: At,
}

/// How many instructions a linker moves away together, with the branch back.
pub const LONGEST: u64 = 4;

/// Names that linkers give: lld, GNU ld.
const NAMES: [&str; 3] = ["__CortexA53843419_", "e843419@", "__erratum_835769_veneer_"];

/// The pieces of a file that have a linker's symbol.
pub fn find(graph: &Graph<'_>) -> BTreeMap<At, Veneer> {
    let mut found = BTreeMap::new();
    for (section, text) in graph.texts.iter().enumerate() {
        let named = |name: &str| NAMES.iter().any(|prefix| name.starts_with(prefix));
        let bare = text.functions.iter().filter(|f| f.claims.is_none());
        for function in bare.filter(|f| named(&f.name)) {
            let at = At {
                section,
                offset: function.start,
            };
            let veneer = read(graph, at);
            found.extend(veneer.map(|(_, veneer)| (at, veneer)));
        }
    }
    found
}

/// The code that starts at `at`, up to the branch back, and where that is.
pub fn read(graph: &Graph<'_>, at: At) -> Option<(u64, Veneer)> {
    let text = graph.text(at.section);
    let mut steps = Vec::new();
    for number in 0..LONGEST {
        let here = At {
            offset: at.offset.checked_add(4 * number)?,
            ..at
        };
        let insn = Insn::decode(text.word(here.offset)?);
        match insn.flow {
            Flow::Next => steps.push(variants(text, here.offset, insn)?),
            Flow::Jump(by) if variants(text, here.offset, insn)?.len() == 1 => {
                let relocated = text.branches.get(&here.offset).copied();
                let back = graph.target(here, by, relocated)?;
                graph.number(back)?;
                return Some((here.offset, Veneer { steps, back }));
            }
            _ => return None,
        }
    }
    None
}

/// What may be executed at an offset; none where that is not known, may branch, or
/// may fault and go on elsewhere.
fn variants(text: &TextSection, offset: u64, insn: Insn) -> Option<Vec<Step>> {
    let mut steps = vec![insn.step];
    let range = offset..offset + 4;
    for patch in text.patches_in(&range) {
        let is_here = patch.offset <= offset && offset < patch.offset + patch.len;
        if !is_here {
            continue;
        }
        let word = Insn::decode(patch.word_at(offset)?);
        if word.flow != Flow::Next {
            return None;
        }
        steps.push(word.step);
    }
    let faults = !text.fixups_in(&range).is_empty();
    (!faults && !text.is_data(offset)).then_some(steps)
}
