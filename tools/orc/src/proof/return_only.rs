// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Functions that are left by their return alone.
//!
//! A walk that finds a return address after a direct call of such a function has a
//! second witness: the next inner frame is one of this function, within its size. So
//! nothing but a return may lead out of it.
//!
//! This is about the instructions and what the kernel patches in them. Of what a
//! tracer or a live patch does at the entry it knows nothing.

use crate::a64::insn::{Insn, Reg};
use crate::graph::body::Edge;
use crate::graph::{Body, Place, Way};
use crate::text::Kind;

use super::facts::Facts;
use super::finding::{Counts, Proof};
use super::section::Prover;

/// The entries of the functions of a section that nothing leads out of but their
/// returns, as offsets in it, sorted. `proofs` are those of the section's functions.
///
/// Such a function has CFI, all of it proved, or is a leaf without; and a symbol of a
/// function, where calls go. No branch, fixup or indirect branch in any of its variants
/// leads out of it, not even through a linker's veneer, and its end is not reached.
/// Nothing else of the file enters it but at its entry.
#[must_use]
pub fn entries(prover: &Prover<'_>, section: usize, proofs: &[Proof]) -> Vec<u64> {
    let candidates = proofs.iter().enumerate();
    let entries = candidates.filter_map(|(index, proof)| {
        let entry = proof.return_only?;
        let is_only_entry = prover.is_entered_only_at(section, index, entry);
        is_only_entry.then_some(entry)
    });
    entries.collect()
}

/// Where calls of a function go: the instruction at its only symbol of a function,
/// which nothing but padding comes before.
pub(super) fn entry(body: &Body<'_>) -> Option<usize> {
    let mut inside = body.entries().filter_map(|at| body.index(at));
    let entry = match body.function.kind {
        Kind::Func => 0,
        Kind::Code => inside.next()?,
    };
    let is_padding = |index| *body.insn(index) == Insn::NOP;
    let is_only = inside.next().is_none() && (0..entry).all(is_padding);
    is_only.then_some(entry)
}

/// Whether a way from the instruction at `index`, before which `facts` are known,
/// stays in the function after its entry, or is a return or a call.
pub(super) fn stays(
    body: &Body<'_>,
    entry: usize,
    index: usize,
    edge: &Edge<'_>,
    facts: &Facts,
) -> bool {
    if edge.veneer.is_some() {
        return false;
    }
    let is_inside = matches!(edge.to, Place::Inside(to) if to >= entry);
    match edge.way {
        // Where it returns to is judged for all functions.
        Way::Return(_) | Way::Call => true,
        // At the end, what is not known to return is taken not to.
        Way::AfterCall | Way::AfterTrap => is_inside || body.goes_on(index) != Some(true),
        Way::Next | Way::Link | Way::Branch | Way::Fixup(_) => is_inside,
        // With a frame it is a jump within the function: assumption A6.
        Way::Indirect | Way::Open => !facts.is_entry_state(Reg::X30),
        Way::Exit => false,
    }
}

/// The offset of the entry of a function that is proved, and all of whose ways stay in
/// it, if nothing else speaks against it.
pub(super) fn confirm(body: &Body<'_>, entry: usize, counts: &Counts) -> Option<u64> {
    let offset = body.offset(entry);
    let is_described = counts.inexpressible == 0;
    (is_described && counts.opaque_sites == 0).then_some(offset)
}
