// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which registers a call of a function leaves as they are, by its instructions.

use crate::a64::insn::{Flow, Insn, Reg, Regs};
use crate::a64::NOP;
use crate::text::{Function, TextSection};

use super::Graph;

/// The registers that no instruction of a function writes, if it makes no call and is
/// left by its return alone; none else.
pub(super) fn registers(graph: &Graph<'_>, number: usize) -> Regs {
    let (section, function) = graph.function(number);
    let text = graph.text(section);
    let range = function.range();
    if is_patched(text, function) || !text.fixups_in(&range).is_empty() {
        return Regs::NONE;
    }
    let mut kept = Regs::ALL;
    for offset in range.step_by(4) {
        let word = text.word(offset).filter(|_| !text.is_data(offset));
        // What ftrace puts in the place of NOPs writes x9 and more.
        let Some(word) = word.filter(|word| *word != NOP) else {
            return Regs::NONE;
        };
        let insn = Insn::decode(word);
        if !stays(text, function, offset, insn.flow) {
            return Regs::NONE;
        }
        kept = kept.without(insn.writes());
    }
    kept
}

/// Whether a table has the kernel put something else into a function.
fn is_patched(text: &TextSection, function: &Function) -> bool {
    let mut patches = text.patches_in(&function.range()).iter();
    patches.any(|patch| patch.offset + patch.len > function.start)
}

/// Whether all that control does from an instruction is to go on in the function, or to
/// return.
fn stays(text: &TextSection, function: &Function, offset: u64, flow: Flow) -> bool {
    let range = function.range();
    let is_inside = |by| {
        let to = offset.checked_add_signed(by);
        to.is_some_and(|to| range.contains(&to)) && !text.branches.contains_key(&offset)
    };
    let has_next = offset + 4 < range.end;
    match flow {
        Flow::Next => has_next,
        Flow::Return(to) => to == Reg::X30,
        Flow::Jump(by) => is_inside(by),
        Flow::Conditional(by) => has_next && is_inside(by),
        _ => false,
    }
}
