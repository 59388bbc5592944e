// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which functions may return.
//!
//! A call whose row does not hold after it is taken not to return. Where the
//! called function is of the same section, its instructions say whether that can
//! be: one returns if a path leads out of it by a return, an indirect branch or a
//! tail call, without a call of a function that does not.

use rayon::prelude::*;

use crate::text::TextSection;

use super::body::{Body, Place};
use super::insn::Flow;

/// By function of a section, in its order: whether it may return. Of an empty
/// one, nothing is known.
#[derive(Clone, Debug, Default)]
pub struct Returns(Vec<bool>);

impl Returns {
    /// Starts with no function that returns, and adds those that do.
    #[must_use]
    pub fn of(text: &TextSection) -> Self {
        let mut all = Self(vec![false; text.functions.len()]);
        loop {
            let open = (0..text.functions.len()).into_par_iter();
            let found: Vec<usize> = open
                .filter(|&index| !all.0[index] && all.has_way_out(text, index))
                .collect();
            if found.is_empty() {
                return all;
            }
            for index in found {
                all.0[index] = true;
            }
        }
    }

    /// Whether the function that starts at `offset` may return, if that is known.
    pub(super) fn at(&self, text: &TextSection, offset: u64) -> Option<bool> {
        let functions = &text.functions;
        let index = functions.binary_search_by_key(&offset, |function| function.start);
        self.0.get(index.ok()?).copied()
    }

    /// Whether a path leads out of function number `index`.
    fn has_way_out(&self, text: &TextSection, index: usize) -> bool {
        let body = Body::new(text, &text.functions[index], &[], self);
        let mut is_seen = vec![false; body.len()];
        let mut open = vec![0];
        while let Some(index) = open.pop() {
            let is_new = is_seen.get_mut(index).is_some_and(|is_seen| {
                let was_seen = std::mem::replace(is_seen, true);
                !was_seen && !body.is_data(index)
            });
            match is_new.then(|| self.after(&body, index)) {
                None => {}
                Some(Some(next)) => open.extend(next),
                Some(None) => return true,
            }
        }
        false
    }

    /// Where control goes from an instruction; none when it may leave the function
    /// for one that returns.
    fn after(&self, body: &Body<'_>, index: usize) -> Option<Vec<usize>> {
        let mut next = Vec::new();
        let mut go = |place| match place {
            Place::Inside(to) => {
                next.push(to);
                true
            }
            place => !self.returns(body, place),
        };
        let patched = body.variants(index).iter().map(|insn| (insn.flow, true));
        for (flow, is_patch) in std::iter::once((body.insn(index).flow, false)).chain(patched) {
            let stays = match flow {
                Flow::Return(_) | Flow::IndirectJump => false,
                Flow::Jump(by) | Flow::Conditional(by) => go(body.place(index, by, is_patch)),
                _ => true,
            };
            let goes_on = match flow {
                Flow::Call(by) => self.returns(body, body.place(index, by, is_patch)),
                flow => flow.may_go_on(),
            };
            let is_last = index + 1 == body.len();
            let after = match is_last && flow == Flow::Next {
                true => Place::Outside(body.function.end),
                false => Place::Inside(index + 1),
            };
            if !stays || goes_on && !go(after) {
                return None;
            }
        }
        let stays = body.fixups(index).iter().all(|(place, _)| go(*place));
        stays.then_some(next)
    }

    /// Whether what is called or branched to may return to the caller.
    fn returns(&self, body: &Body<'_>, place: Place) -> bool {
        let offset = match place {
            Place::Inside(to) => body.offset(to),
            Place::Outside(offset) => offset,
            Place::Elsewhere => return true,
        };
        self.at(body.text, offset).unwrap_or(true)
    }
}
