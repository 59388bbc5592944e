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
//! * [`crate::graph`]: where control goes; `flow`: the dataflow along it;
//! * `judge`: facts against claims; `function`: all of it for one function;
//!   `leaf`: the same for one without CFI; `indirect`: blocks entered by claim;
//!   `exits`: the ways out of what is not proved;
//! * [`section`]: for all functions of a file, with the branches between them;
//! * [`value`], [`range`]: what registers hold, and how far SP may be;
//! * [`finding`]: what comes out; [`points`]: the flow itself, for who checks it.

mod exits;
pub mod facts;
pub mod finding;
mod flow;
mod function;
mod indirect;
mod judge;
mod leaf;
mod no_leaf;
pub mod points;
pub mod range;
pub mod section;
mod slots;
pub mod span;
pub mod value;

pub use finding::{Class, Counts, Finding, Proof};
pub use judge::{implies, is_entry};
pub use no_leaf::NoLeaf;
pub use points::Point;
pub use section::Prover;

#[cfg(test)]
mod tests;
