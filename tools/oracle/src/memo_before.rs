// SPDX-License-Identifier: GPL-2.0 OR MIT

//! In place of `memo.rs`, for a walk that can't be taken frame by frame: nothing is
//! remembered.

use crate::judge::Judged;
use crate::truth::Chain;

use orc::machine::{Machine, State};

/// Nothing.
#[derive(Default)]
pub struct Memos;

impl Memos {
    /// Nothing to do.
    pub fn clear(&mut self) {}

    /// Nothing to do.
    pub fn truncate(&mut self, _frames: usize) {}

    /// Never a verdict: the whole walk has to give it.
    pub fn judge<M: Machine>(
        &mut self,
        _machine: &mut M,
        _state: State,
        _chain: &Chain,
        _first_is_done: impl Fn(&mut M),
    ) -> Option<Judged> {
        None
    }
}
