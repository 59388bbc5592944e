// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Ways out of code of which nothing is proved.
//!
//! Whoever branches into the middle of a function, or to a part of one, gives it
//! the state that it has itself. Of this code that is not known, so all that was
//! proved behind such a branch may be wrong. The start of a function is entered as
//! AAPCS64 says, also from here; so is what is called.
//!
//! The row of a leaf says that the return address is in x30. That is where the
//! leaf will return to, in whatever state it was entered, so it stays true.

use crate::graph::{Body, Place, Way};

use super::facts::Facts;
use super::section::{Entrance, Prover};

/// The ways from `body` into other functions that are not their plain entry.
pub(super) fn ways_out(prover: &Prover<'_>, body: &Body<'_>) -> Vec<Entrance> {
    let mut ways = Vec::new();
    let last = body.len().checked_sub(1);
    for index in (0..body.len()).filter(|&index| !body.is_data(index)) {
        if body.only_goes_on(index) && Some(index) != last {
            continue;
        }
        body.edges(index, |edge| {
            let Place::Outside(to) = edge.to else {
                return;
            };
            let facts = match edge.way {
                Way::Call => Facts::entry(),
                _ => Facts::NONE,
            };
            ways.extend(prover.entrance(to, &facts));
        });
    }
    ways
}
