// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The two ways to step from a plain frame: where the short one gives an answer, it is
//! that of the long one.

// A test may panic: that is how it fails.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

extern crate std;

use super::*;
use crate::machine::{FtraceRegs, RegsLayout, StackRange};
use crate::rule::{Cfa, Rule};
use proptest::prelude::*;
use std::vec::Vec;

const STACK: StackRange = StackRange {
    low: 0x1_0000,
    high: 0x1_0200,
};

/// A stack of words, whose reads are noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Memory {
    words: Vec<u64>,
    unreadable: Option<u64>,
    witnessed: Vec<(u64, u64, Option<bool>)>,
    /// The entry of a function that is left by its return alone.
    marked: Option<u64>,
}

impl Machine for Memory {
    const REGS: RegsLayout = RegsLayout::LINUX_7_3;
    const FTRACE_REGS: FtraceRegs = FtraceRegs::LINUX_7_3;

    fn rule(&mut self, _pc: u64) -> Result<RawRule, Reason> {
        Err(Reason::NotText)
    }

    fn instruction(&mut self, _pc: u64) -> Option<u32> {
        None
    }

    fn left_by_return(&mut self, entry: u64) -> Option<u32> {
        (self.marked == Some(entry)).then_some(48)
    }

    fn read(&mut self, address: u64) -> Option<u64> {
        assert!(address % 8 == 0 && STACK.contains(address, 8));
        let number = usize::try_from((address - STACK.low) / 8).unwrap();
        (self.unreadable != Some(address)).then(|| self.words[number])
    }

    fn stack(&self, number: usize) -> Option<StackRange> {
        (number == 0).then_some(STACK)
    }

    fn task_regs(&self) -> u64 {
        0
    }

    fn strip_pac(&self, address: u64) -> u64 {
        address
    }

    fn recover(&mut self, pc: u64, _fp: u64) -> Result<u64, Reason> {
        Ok(pc)
    }

    fn recover_interrupted(&mut self, pc: u64, _fp: u64) -> Result<u64, Reason> {
        Ok(pc)
    }

    fn pass_entered(&mut self, _lr: u64, _fp: u64) {}

    fn witness(&mut self, raw: u64, cfa: u64, signed: Option<bool>) -> Result<(), Reason> {
        self.witnessed.push((raw, cfa, signed));
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Reason> {
        Ok(())
    }
}

/// All flags that there are: a plain frame is what its parts say is one.
#[test]
fn plain_frames_are_those_by_sp_with_their_own_record() {
    for flags in 0..1 << 16 {
        let raw = RawRule::new([4 << 16 | flags, 4 << 16 | 3]);
        let is_plain = match raw.unpack() {
            Some(Rule::Frame(frame)) => {
                frame.cfa.base == CfaBase::Sp
                    && frame.sp == StackPointer::Exact
                    && frame.return_address == Location::Slot(24)
                    && frame.caller_fp == Location::Slot(32)
                    && frame.x29 == X29::Record(32)
                    && !frame.patch_site
            }
            _ => false,
        };
        assert_eq!(raw.plain().is_some(), is_plain, "{flags:#x}");
    }
}

#[test]
fn frame_below_is_in_the_called_function() {
    let entry = 0x8000;
    let mut machine = Memory {
        marked: Some(entry),
        ..Memory::default()
    };
    for (callee, is_in) in [
        (entry, true),
        (entry + 44, true),
        (entry + 48, false),
        (entry - 4, false),
        // The innermost frame has called what is on no stack: `cpu_switch_to()`.
        (0, true),
    ] {
        let expected = is_in.then_some(()).ok_or(Reason::NotCallee);
        let found = check_callee(&mut machine, entry, callee);
        assert_eq!(found, expected, "{callee:#x}");
    }
    assert_eq!(check_callee(&mut machine, entry + 4, entry), Ok(()));
}

/// By the encodings of the Arm ARM, C4.1.94.
#[test]
fn calls_are_the_branches_that_set_x30() {
    for (call, name) in [
        (0x9400_0000, "bl ."),
        (0x97ff_ffff, "bl .-4"),
        (0xd63f_0000, "blr x0"),
        (0xd63f_03c0, "blr x30"),
        (0xd63f_081f, "blraaz x0"),
        (0xd63f_0fdf, "blrabz x30"),
        (0xd73f_0800, "blraa x0, x0"),
        (0xd73f_0fdf, "blrab x30, sp"),
    ] {
        assert!(is_call(call), "{name}");
    }
    for (other, name) in [
        (0x1400_0000, "b ."),
        (0xd61f_0000, "br x0"),
        (0xd65f_03c0, "ret"),
        (0xd61f_081f, "braaz x0"),
        (0xd71f_0800, "braa x0, x0"),
        (0xd69f_03e0, "eret"),
        (0xd63f_0001, "blr x0 with op4"),
        (0xd63f_0400, "blr x0 with op3"),
        (0xd63f_0800, "blraaz x0 without op4"),
        (0xd63f_101f, "unallocated"),
        (0xd73f_0000, "unallocated"),
        (0xd503_201f, "nop"),
    ] {
        assert!(!is_call(other), "{name}");
    }
}

#[test]
fn call_that_has_not_returned_has_changed_x30() {
    let mut memory = Memory::default();
    let mut stacks = Stacks::starting_at(&memory, STACK.low).unwrap();
    for kind in [
        Kind::ReturnsTo,
        Kind::SwitchedOut,
        Kind::Interrupted { lr: None, x9: 8 },
    ] {
        let (pc, sp, fp) = (0x100, STACK.low, STACK.low);
        let mut state = State { pc, kind, sp, fp };
        let found = by_rule(&mut memory, &mut stacks, &mut state, RawRule::ENTRY);
        assert_eq!(found, Err(Reason::ReturnAddressLost), "{kind:?}");
    }
}

/// `ftrace_override_function_with_return()`: what the entry has not signed yet is a
/// return address like others.
#[test]
fn overridden_function_has_its_return_witnessed() {
    let (lr, site, fp) = (0x4000, 0x5000, 0x6000);
    let cfa = STACK.low + 144;
    let mut memory = Memory {
        words: std::vec![0; 64],
        ..Memory::default()
    };
    for (offset, value) in [
        // `struct __arch_ftrace_regs`.
        (80, fp),
        (88, lr),
        (96, cfa),
        (104, lr),
        // Its own record, and the function's.
        (112, cfa - 16),
        (120, site),
        (128, fp),
        (136, lr),
    ] {
        memory.words[offset / 8] = value;
    }
    let raw = RawRule::new([18 << 16 | 0x7d, 2 << 16 | 3]);
    let mut stacks = Stacks::starting_at(&memory, STACK.low).unwrap();
    let mut state = State::returns_to(0x100, STACK.low, cfa - 32);
    let trampoline = Trampoline {
        pc: state.pc,
        sp: state.sp,
        fp: state.fp,
    };
    assert!(Rule::decode(raw).is_some());
    assert_eq!(by_rule(&mut memory, &mut stacks, &mut state, raw), Ok(true));
    let gone_on = callsite(&mut memory, &stacks, &mut state, raw, trampoline);
    assert_eq!(gone_on, Ok(()));
    assert_eq!(state, State::returns_to(lr, cfa, fp));
    assert_eq!(
        memory.witnessed,
        [(site, cfa, None), (lr, cfa, Some(false))]
    );
}

fn any_plain() -> impl Strategy<Value = Frame> {
    (0_u32..12, 0_u32..12, any::<Option<bool>>()).prop_map(|(size, record, signed)| Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: size * 8,
        },
        sp: StackPointer::Exact,
        return_address: Location::Slot((record * 8).saturating_sub(8)),
        signed,
        caller_fp: Location::Slot(record * 8),
        x29: X29::Record(record * 8),
        patch_site: false,
        left_by_return: None,
    })
}

/// Most are on the stack, many are multiples of 16.
fn any_address() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0_u64..40).prop_map(|slot| STACK.low - 32 + slot * 16),
        2 => (0_u64..80).prop_map(|slot| STACK.low - 32 + slot * 8),
        1 => Just(u64::MAX - 15),
        1 => any::<u64>(),
    ]
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::ReturnsTo),
        Just(Kind::SwitchedOut),
        Just(Kind::Interrupted { lr: Some(8), x9: 0 }),
        Just(Kind::Entered { lr: 8 }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn both_ways_lead_to_the_same_caller(
        rule in any_plain(),
        sp in any_address(),
        distance in prop_oneof![6 => Just(None), 1 => any_address().prop_map(Some)],
        kind in any_kind(),
        words in prop::collection::vec(any::<u64>(), 64),
        unreadable in prop::option::weighted(0.2, any_address()),
    ) {
        let raw = rule.pack().unwrap();
        let record = sp.wrapping_add(u64::from(rule.cfa.offset))
            .wrapping_sub(match rule.x29 { X29::Record(offset) => u64::from(offset), _ => 0 });
        let state = State { pc: 0x100, kind, sp, fp: distance.unwrap_or(record) };
        let mut memory = Memory { words, unreadable, ..Memory::default() };
        let Ok(stacks) = Stacks::starting_at(&memory, STACK.low) else { unreachable!() };
        let mut other = memory.clone();
        let mut caller = state;
        let long = by_rule(&mut other, &mut stacks.clone(), &mut caller, raw).map(|_| caller);
        match plain(&mut memory, &stacks, &state, raw) {
            Some((caller, signed)) => {
                memory.witness(caller.pc, caller.sp, signed).unwrap();
                prop_assert_eq!(Ok(caller), long);
                prop_assert_eq!(memory, other);
            }
            // With SP on the stack, as it is in a walk, and a rule that a table may hold, the
            // short way is enough.
            None => prop_assert!(long.is_err() || !rule.is_valid() || sp < STACK.low),
        }
    }
}
