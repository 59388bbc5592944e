// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which functions may return.
//!
//! A call whose row does not hold after it is taken not to return. Where the
//! called function is of the same file, its instructions say whether that can
//! be: one returns if a path leads out of it by a return, also one to another
//! context, by an indirect branch or a tail call, or to what the kernel puts there,
//! without a call of a function that does not.

use rayon::prelude::*;

use crate::a64::insn::{Flow, Insn};
use crate::text::{Fixup, Function, Target, TextSection, Trap};

use super::{At, Graph, Way};

/// By function of a file, in its order: whether it may return. Of an empty
/// one, nothing is known.
#[derive(Clone, Debug, Default)]
pub struct Returns(Vec<bool>);

impl Returns {
    /// Those of a file with one text section.
    #[must_use]
    pub fn of(text: &TextSection) -> Self {
        Self::of_graph(&Graph::new(vec![text]))
    }

    /// Starts with no function that returns, and adds those that do. One is looked
    /// at again only after one that it waited for was found to return.
    #[must_use]
    pub fn of_graph(graph: &Graph<'_>) -> Self {
        let count = graph.functions();
        let mut all = Self(vec![false; count]);
        let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); count];
        let mut open: Vec<usize> = (0..count).collect();
        while !open.is_empty() {
            let look = |number| (number, Search::new(graph, number, &all).run());
            let seen: Vec<(usize, Left)> = open.into_par_iter().map(look).collect();
            let mut found = Vec::new();
            for (number, left) in seen {
                match left {
                    Left::Out => found.push(number),
                    Left::Through(callees) => {
                        callees.into_iter().for_each(|at| waiting[at].push(number));
                    }
                }
            }
            found.iter().for_each(|&number| all.0[number] = true);
            open = Vec::new();
            for number in found {
                open.append(&mut waiting[number]);
            }
            open.retain(|&number| !all.0[number]);
            open.sort_unstable();
            open.dedup();
        }
        all
    }

    /// Whether a function may return, if that is known.
    #[must_use]
    pub fn function(&self, number: usize) -> Option<bool> {
        self.0.get(number).copied()
    }
}

/// How a function is left.
enum Left {
    /// By a path that makes no call of a function of which that is not known.
    Out,
    /// If at all, through one of these functions, which are not known to return.
    Through(Vec<usize>),
}

/// Follows the paths from the start of one function.
///
/// Nothing but where control goes matters, and most functions are soon left: so
/// this reads words as it comes to them, and is not made of a decoded `Body`.
struct Search<'a> {
    graph: &'a Graph<'a>,
    section: usize,
    text: &'a TextSection,
    function: &'a Function,
    fixups: &'a [Fixup],
    known: &'a Returns,
    seen: Vec<bool>,
    open: Vec<u64>,
    callees: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph<'a>, number: usize, known: &'a Returns) -> Self {
        let (section, function) = graph.function(number);
        let text = graph.text(section);
        Self {
            graph,
            section,
            text,
            function,
            fixups: text.fixups_in(&function.range()),
            known,
            seen: vec![false; ((function.end - function.start) / 4) as usize],
            open: vec![function.start],
            callees: Vec::new(),
        }
    }

    fn run(mut self) -> Left {
        while let Some(offset) = self.open.pop() {
            if self.is_new(offset) && self.leads_out(offset) {
                return Left::Out;
            }
        }
        self.callees.sort_unstable();
        self.callees.dedup();
        Left::Through(self.callees)
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
        let relocated = self.text.branches.get(&offset).copied();
        if self.word_leads_out(offset, word, relocated) {
            return true;
        }
        // They are sorted, and none is longer than what `patches_in` gives.
        let patches = self.text.patches_in(&(offset..offset + 4));
        for patch in patches {
            let is_here = (patch.offset..patch.offset + patch.len).contains(&offset);
            if is_here && patch.replacement.is_empty() {
                return true;
            }
            let patched = patch.word_at(offset);
            let relocated = patch.target_at(offset);
            if patched.is_some_and(|word| self.word_leads_out(offset, word, relocated)) {
                return true;
            }
        }
        let first = self.fixups.partition_point(|fixup| fixup.offset < offset);
        let fixups = self.fixups[first..].iter();
        let mut fixups = fixups.take_while(|fixup| fixup.offset == offset);
        fixups.any(|fixup| {
            let to = self.graph.at(self.section, fixup.target);
            self.goes_out(to)
        })
    }

    /// The same for one word that may be there; a relocation may give its target.
    fn word_leads_out(&mut self, offset: u64, word: u32, relocated: Option<Target>) -> bool {
        let section = self.section;
        let mut leaves = false;
        let mut goes_on = true;
        let after = At {
            section,
            offset: offset + 4,
        };
        let is_last = after.offset == self.function.end;
        let graph = self.graph;
        let flow = Insn::flow_of(word);
        if flow == Flow::Next && !is_last {
            return self.goes_out(Some(after));
        }
        graph.ways(
            At { section, offset },
            flow,
            relocated,
            &mut |way, lead| match way {
                Way::Return(_) | Way::Exit | Way::Open => leaves = true,
                Way::Branch => leaves |= self.goes_out(lead.to),
                Way::Call => goes_on = self.returns(lead.to),
                // A call or a branch at the end is one that does not go on.
                Way::Next if is_last => leaves |= flow == Flow::Next && self.returns(Some(after)),
                Way::AfterTrap if self.text.traps.get(&offset) == Some(&Trap::Bug) => {}
                Way::Next | Way::AfterCall | Way::AfterTrap | Way::Link if goes_on && !is_last => {
                    leaves |= self.goes_out(Some(after));
                }
                _ => {}
            },
        );
        leaves
    }

    /// Whether what is at a place leads out of the function; inside it, that is
    /// looked at later.
    fn goes_out(&mut self, place: Option<At>) -> bool {
        match place {
            Some(to)
                if to.section == self.section && self.function.range().contains(&to.offset) =>
            {
                self.open.push(to.offset);
                false
            }
            place => self.returns(place),
        }
    }

    /// Whether what is called or branched to may return to the caller.
    fn returns(&mut self, place: Option<At>) -> bool {
        let Some(number) = place.and_then(|at| self.graph.starting_at(at)) else {
            return true;
        };
        let is_known = self.known.0[number];
        if !is_known {
            self.callees.push(number);
        }
        is_known
    }
}
