// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which functions may return.
//!
//! A call whose row does not hold after it is taken not to return. Where the
//! called function is of the same section, its instructions say whether that can
//! be: one returns if a path leads out of it by a return, an indirect branch or a
//! tail call, without a call of a function that does not.

use rayon::prelude::*;

use crate::text::{Fixup, Function, Patch, Target, TextSection};

use crate::a64::insn::{Flow, Insn};

/// By function of a section, in its order: whether it may return. Of an empty
/// one, nothing is known.
#[derive(Clone, Debug, Default)]
pub struct Returns(Vec<bool>);

impl Returns {
    /// Starts with no function that returns, and adds those that do. One is looked
    /// at again only after one that it waited for was found to return.
    #[must_use]
    pub fn of(text: &TextSection) -> Self {
        let count = text.functions.len();
        let mut all = Self(vec![false; count]);
        let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); count];
        let mut open: Vec<usize> = (0..count).collect();
        while !open.is_empty() {
            let look = |index| (index, Search::new(text, index, &all).run());
            let seen: Vec<(usize, Way)> = open.into_par_iter().map(look).collect();
            let mut found = Vec::new();
            for (index, way) in seen {
                match way {
                    Way::Out => found.push(index),
                    Way::Through(callees) => {
                        callees.into_iter().for_each(|at| waiting[at].push(index));
                    }
                }
            }
            found.iter().for_each(|&index| all.0[index] = true);
            open = Vec::new();
            for index in found {
                open.append(&mut waiting[index]);
            }
            open.retain(|&index| !all.0[index]);
            open.sort_unstable();
            open.dedup();
        }
        all
    }

    /// Whether the function that starts at `offset` may return, if that is known.
    pub(super) fn at(&self, text: &TextSection, offset: u64) -> Option<bool> {
        self.0.get(starting_at(text, offset)?).copied()
    }
}

/// The number of the function that starts at an offset.
fn starting_at(text: &TextSection, offset: u64) -> Option<usize> {
    let functions = &text.functions;
    let index = functions.binary_search_by_key(&offset, |function| function.start);
    index.ok()
}

/// How a function is left.
enum Way {
    /// By a path that makes no call of a function of which that is not known.
    Out,
    /// If at all, through one of these functions, which are not known to return.
    Through(Vec<usize>),
}

/// A place that control goes to: an offset in the section, or none elsewhere.
type Place = Option<u64>;

/// Follows the paths from the start of one function.
///
/// Nothing but where control goes matters, and most functions are soon left: so
/// this reads words as it comes to them, and is not made of a decoded `Body`.
struct Search<'a> {
    text: &'a TextSection,
    function: &'a Function,
    patches: &'a [Patch],
    fixups: &'a [Fixup],
    known: &'a Returns,
    seen: Vec<bool>,
    open: Vec<u64>,
    callees: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(text: &'a TextSection, index: usize, known: &'a Returns) -> Self {
        let function = &text.functions[index];
        Self {
            text,
            function,
            patches: text.patches_in(function),
            fixups: text.fixups_in(function),
            known,
            seen: vec![false; ((function.end - function.start) / 4) as usize],
            open: vec![function.start],
            callees: Vec::new(),
        }
    }

    fn run(mut self) -> Way {
        while let Some(offset) = self.open.pop() {
            if self.is_new(offset) && self.leads_out(offset) {
                return Way::Out;
            }
        }
        self.callees.sort_unstable();
        self.callees.dedup();
        Way::Through(self.callees)
    }

    /// Whether there is an instruction that has not been looked at.
    fn is_new(&mut self, offset: u64) -> bool {
        let number = (offset - self.function.start) / 4;
        let seen = self.seen.get_mut(number as usize);
        let was_seen = seen.is_none_or(|seen| std::mem::replace(seen, true));
        !was_seen && !self.text.is_data(offset)
    }

    /// Whether control may leave the function from the instruction at an offset;
    /// where else it goes is looked at later.
    fn leads_out(&mut self, offset: u64) -> bool {
        let Some(word) = self.text.word(offset) else {
            return false;
        };
        let flow = Insn::decode(word).flow;
        if self.flow_leads_out(offset, flow, self.text.branches.get(&offset)) {
            return true;
        }
        for patch in self.patches {
            let patched = patch.word_at(offset).map(|word| Insn::decode(word).flow);
            if patched.is_some_and(|flow| self.flow_leads_out(offset, flow, None)) {
                return true;
            }
        }
        let fixups = self.fixups.iter().filter(|fixup| fixup.offset == offset);
        let targets: Vec<Target> = fixups.map(|fixup| fixup.target).collect();
        targets
            .into_iter()
            .any(|target| self.goes_out(target.offset()))
    }

    /// The same for one instruction that may be there; a relocation may give its
    /// target.
    fn flow_leads_out(&mut self, offset: u64, flow: Flow, target: Option<&Target>) -> bool {
        let place = |by| match target {
            Some(target) => target.offset(),
            None => offset.checked_add_signed(by),
        };
        let goes_on = match flow {
            Flow::Return(_) | Flow::IndirectJump => return true,
            Flow::Jump(by) | Flow::Conditional(by) if self.goes_out(place(by)) => return true,
            Flow::Call(by) => self.returns(place(by)),
            flow => flow.may_go_on(),
        };
        let after = offset + 4;
        match after == self.function.end {
            // A call or a branch at the end is one that does not go on.
            true => flow == Flow::Next && self.returns(Some(after)),
            false => goes_on && self.goes_out(Some(after)),
        }
    }

    /// Whether what is at a place leads out of the function; inside it, that is
    /// looked at later.
    fn goes_out(&mut self, place: Place) -> bool {
        match place {
            Some(to) if (self.function.start..self.function.end).contains(&to) => {
                self.open.push(to);
                false
            }
            place => self.returns(place),
        }
    }

    /// Whether what is called or branched to may return to the caller.
    fn returns(&mut self, place: Place) -> bool {
        let Some(index) = place.and_then(|offset| starting_at(self.text, offset)) else {
            return true;
        };
        let is_known = self.known.0[index];
        if !is_known {
            self.callees.push(index);
        }
        is_known
    }
}
