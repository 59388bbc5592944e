// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The proof: every row of the compiler's CFI against the instructions.
//!
//! ```text
//!   entry ──► σ₀                       row r at i is proved if σᵢ ⊨ r
//!             │
//!   ways in ─►├─► i: σᵢ ──T(i)──► σ' ──► ⊔ into each successor (crate::graph)
//!             │        │
//!   by claim ─┘        └─ leaves: σᵢ must be what the border expects
//!
//!   until no σ changes, in a function; until no way in changes, in the file
//! ```
//!
//! Documentation/arch/arm64/unwind-orc-proof.rst says the same with more words.
//!
//! # Domain
//!
//! CFA, RA, FP and S are what SP, x30, x29 and x18 are at the entry. A state σ is
//!
//! ```text
//! value    reg  → CFA+n │ RA │ FP │ TR │ S+n │ near │ n │ ⊤        value.rs
//! range    reg  → any │ loaded │ [a,b] │ CFA+[a,b] │ mixed │ frame │ other stack
//!                 where the value is ⊤                             range.rs, span.rs
//! slots    CFA+n → RA │ FP │ TR, live or popped; at most 8         slots.rs
//! limit    SP ≤ CFA+limit, or none
//! shadow   whether the word at S is RA
//! sign     of RA in registers and slots: plain │ signed │ ⊤        (rows only)
//! ```
//!
//! σ ⊑ τ if each state of the machine that σ allows, τ allows too; ⊤ allows all. The join
//! σ ⊔ τ ([`Facts::meet`](facts::Facts::meet): it keeps what both know) is, part by part:
//! equal values stay and others become ⊤; ranges become the smallest that has both; slots
//! are those in both; the limit is the higher one; shadow is `and`. Values, slots and
//! shadow only have chains of a few steps. A range that still grows by a way back after
//! four changes loses the bounds that grow, so that each solution ends.
//!
//! # Transfer
//!
//! | step | T |
//! |---|---|
//! | `to = from + n` | the value plus n, of CFA, S, near, numbers; else the range plus n |
//! | `to = from ± reg`, `and`, `orr`, `eor`, bit fields | the range (SP: A5) |
//! | `mov`, `movk`, `adr`, `csel` | the number; near; the join of both |
//! | load | of a slot, or of shadow, its value; else *loaded* (in the frame: any) |
//! | store of n bytes | `hit`: slots there are forgotten; RA, FP or TR in a register makes one, not below the limit (A3, A4) |
//! | SP written | the limit follows a number that is known, and else stays (A5); slots below it are popped |
//! | PAC, AUT, XPAC | a code address stays one; sign follows `paciasp`, `autiasp` at SP = CFA |
//! | call, after it | x0 to x17 and x30 ⊤, x18 if it is no S+n, popped slots gone (A1, A11) |
//! | `hvc`, `smc` | x0 to x17 ⊤ |
//! | anything not modelled | σ = ⊤ |
//!
//! Where the kernel may patch, T is the join over all variants; a fault goes on at its
//! fixup with what the access may have written ⊤.
//!
//! # States of entry
//!
//! * The start of a function, and a symbol of a function in it: σ₀, with SP = CFA,
//!   x29 = FP, x30 = RA, x18 = S, limit 0 (A2). An ftrace trampoline (augmentation `S`) also
//!   has x9 = TR, the return address of the traced function.
//! * A start whose row σ₀ does not imply is none (A12); one whose row is not looked at is
//!   entered in ⊤.
//! * A way in from another function: the state there; σ₀ by a call; ⊤ from what is not
//!   proved (`exits`) and from code in no function.
//! * What nothing reaches: the join of the states at the indirect branches of which it is
//!   not known where they lead (A6), or after a call that was taken not to return.
//!
//! # What is proved
//!
//! σ ⊨ r, if the CFA's register is CFA - n, and the return address and the caller's x29
//! are where r says: in x30 and x29, or in live slots. (A slot that was popped into its
//! register just before counts as the register.) That is [`implies`]. The row in the table
//! also says what σ knows of x29, of SP and of the signature.
//!
//! A row at i is proved if σᵢ ⊨ r, and, where i leaves the function, `ret xN` has xN = RA and
//! SP, x29 those of the entry; a branch or a call out has that or the state of the row that
//! it leads to; and nothing runs on over the end into what expects another state. It is
//! *assumed* if no direct way from an entry leads there. Where it is not proved, the table
//! says so, and [`Finding`] why.
//!
//! A function without CFI is a *leaf* if at each of its instructions SP, x29 and x30 are
//! those of the entry and it makes no call: all of it has the row of an entry.
//!
//! # Assumptions
//!
//! What is relied on beyond the instructions, each with the counter of [`Counts`] that
//! `check --json` and `check -v` show.
//!
//! * A1 (`calls`): a called function keeps AAPCS64: SP, x19 to x29 and its caller's frame
//!   are unchanged when it returns, and the shadow call stack balanced.
//! * A2 (`entries`): the start of a function is entered as AAPCS64 says, by whatever is
//!   not known to do otherwise: an indirect call, a call of another file, code of which
//!   nothing is proved.
//! * A3 (`stores_elsewhere`): a store through a pointer that is not made of SP or of the
//!   caller's x29 within the function does not hit the return address or the saved x29:
//!   one from memory (where the function may itself have put an address of its frame),
//!   from a call, from vector registers, or by operations that are not modelled.
//! * A4 (`stores_in_arrays`): a store through an address that is made of SP and an amount
//!   that only run time tells, or that a loop moves, stays in a local array, in which
//!   neither is. So does one through an address that may be one of more than two places
//!   less than 16 bytes apart, or of more than four: what is left of a loop that was
//!   unrolled. One of fewer places may hit each of them, and no other.
//! * A5 (`sp_by_run_time`): an amount that only run time tells moves SP down, or back up to
//!   where it was (`alloca()`); it is not added to SP.
//! * A6 (`entered_by_claim`, `assumed`): an indirect branch leads to a function, in the
//!   state of the entry, or to a block of its own function that nothing else reaches.
//! * A7 (`no_return`, `calls_at_end`): a call or trap after which the row does not hold
//!   does not return, if its callee is not known to, nor does one at the end of a function.
//! * A8 (`dead_ends`): a conditional branch at the end of a function is always taken, if
//!   what follows does not expect its state.
//! * A9 (`opaque_sites`): what a callback writes at a patch site keeps the frame.
//! * A10 (`veneers`): code without a symbol that a function branches to, and that branches
//!   back into it, was put there by a linker, as was what has a name that linkers give.
//! * A11 (`kept_over_calls`): a register in which the CFI, before and after a call of
//!   another file's function, says that the return address or the caller's x29 is, keeps
//!   it. Where the function is of this file, its instructions say.
//! * A12 (`parts`): a function whose first row is not that of an entry is entered by
//!   branches of its file alone, as is CFI that starts in the middle of a symbol.
//! * A13 (`other_stacks`): SP that is taken from memory, not of this frame, is the end of
//!   another stack. No row is proved by this; one by x29 says so of SP.
//!
//! Not in the list, as nothing can be proved without: the model of the instructions; that
//! the tables of the file (alternatives, jump labels, `__ex_table`, `__bug_table`, mapping
//! symbols) are complete; that an exception comes back with the registers it found, having
//! written nothing above SP; that what patches text without a table (ftrace, kprobes, live
//! patches) leaves the frame as it is. Text of user space, which signal handlers and landing
//! pads enter, is out of the model.
//!
//! # Modules
//!
//! * [`facts`]: σ and T; [`value`], [`range`], [`span`], `slots`: its parts; `hit`: what a
//!   store changes; `assumption`: A3 to A5 and A13, counted; `parked`: A11;
//! * [`crate::graph`]: where control goes; `flow`: the solution along it; `indirect`: blocks
//!   that nothing reaches;
//! * `judge`: σ ⊨ r; `function`: all of it for one function; `leaf`: the same for one
//!   without CFI; `exits`: the ways out of what is not proved;
//! * [`return_only`]: functions that are left by their return alone;
//! * [`section`]: for all functions of a file, with the branches between them;
//! * [`finding`]: what comes out; [`points`]: the flow itself, for who checks it.

mod assumption;
mod exits;
pub mod facts;
pub mod finding;
mod flow;
mod function;
mod hit;
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
