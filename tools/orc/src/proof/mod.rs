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
//! * [`return_only`]: functions that are left by their return alone;
//! * [`section`]: for all functions of a file, with the branches between them;
//! * [`value`], [`range`]: what registers hold, and how far SP may be;
//! * [`finding`]: what comes out; [`points`]: the flow itself, for who checks it.
//!
//! # Assumptions
//!
//! Those in brackets are counted by `check`.
//!
//! * A1: a called function keeps AAPCS64: SP, x19 to x29 and its caller's frame are
//!   unchanged when it returns.
//! * A2: the start of a function is entered as AAPCS64 says, by whatever is not known to
//!   do otherwise: an indirect call, a call of another file, code of which nothing is
//!   proved.
//! * A3: a store through a pointer that is not made of SP or of the caller's x29 within
//!   the function does not hit the return address or the saved x29: one from memory, from
//!   a call, from vector registers, or by operations that are not modelled.
//! * A4: a store through an address that is made of SP and an amount that only run time
//!   tells, or that a loop moves, stays in a local array, in which neither is. So does one
//!   through an address that may be one of more than two places less than 16 bytes apart,
//!   or of more than four: what is left of a loop that was unrolled.
//! * A5: an amount that only run time tells moves SP down, or back up to where it was
//!   (`alloca()`); it is not added to SP.
//! * A6: an indirect branch leads to a function, in the state of the entry, or to a block
//!   of its own function that nothing else reaches (`entered_by_claim`, `assumed`).
//! * A7: a call or trap after which the row does not hold does not return, if its callee
//!   is not known to (`no_return`), nor does one at the end of a function
//!   (`calls_at_end`).
//! * A8: a conditional branch at the end of a function is always taken, if what follows
//!   does not expect its state (`dead_ends`).
//! * A9: what a callback writes at a patch site keeps the frame (`opaque_sites`).
//! * A10: code without a symbol that a function branches to, and that branches back into
//!   it, was put there by a linker, as was what has a name that linkers give.

mod exits;
pub mod facts;
pub mod finding;
mod flow;
mod function;
mod indirect;
mod judge;
mod leaf;
mod no_leaf;
mod parked;
pub mod points;
pub mod range;
pub mod return_only;
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
