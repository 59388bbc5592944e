// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The proof: every row of the compiler's CFI against the instructions.
//!
//! Facts about SP, x29, x30 and the stack slots that hold the return address and
//! the caller's x29 flow from a function's entry along its direct branches; a row
//! is proved at an instruction when the facts there imply all that it claims.
//! No jump table is decoded. What direct branches do not reach is entered with
//! its own claim, and counted as assumed.
//!
//! * [`facts`]: what is known at an instruction;
//! * `body`: a function, decoded; `flow`: the dataflow over it;
//! * `judge`: facts against claims; `function`: all of it for one function;
//!   `leaf`: the same for one without CFI; `unreached`: blocks entered by claim;
//!   `unproved`: the branches of what is not; `returns`: which calls come back;
//! * [`section`]: for all functions of a section, with the branches between them;
//! * [`value`], [`range`]: what registers hold, and how far SP may be;
//! * [`finding`]: what comes out; [`points`]: the flow itself, for who checks it.

mod body;
pub mod facts;
pub mod finding;
mod flow;
mod function;
mod judge;
mod leaf;
mod no_leaf;
pub mod points;
pub mod range;
mod returns;
pub mod section;
mod slots;
mod unproved;
mod unreached;
pub mod value;

pub use finding::{Class, Counts, Finding, Proof};
pub use judge::{implies, is_entry};
pub use no_leaf::NoLeaf;
pub use points::Point;
pub use returns::Returns;
pub use section::Prover;

#[cfg(test)]
mod tests;
