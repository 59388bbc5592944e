// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The walk over generated stacks: those that calls leave, those that were
//! changed since, and those that are noise.
//!
//! Calls are played here, one by one, by what each function does to SP, x29 and
//! the stack; the rows that a walk gets are stated beside that. Nothing of the
//! walk is used to make a stack.

// A test may panic: that is how it fails.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use orc::machine::{FtraceRegs, Machine, RegsLayout, StackRange, State};
use orc::reason::{Reason, Verdict};
use orc::rule::{Cfa, CfaBase, Frame, Location, RawRule, Rule, StackPointer, Undescribed, X29};
use orc::walk::walk;
use proptest::prelude::*;
use std::collections::BTreeMap;

const TASK: StackRange = StackRange {
    low: 0xffff_8000_1000_0000,
    high: 0xffff_8000_1000_4000,
};
const IRQ: StackRange = StackRange {
    low: 0xffff_8000_2000_0000,
    high: 0xffff_8000_2000_4000,
};
const TEXT: u64 = 0xffff_8000_8000_0000;
/// Entry code.
const ENTRY: u64 = TEXT - 0x1000;
const BL: u32 = 0x9400_0000;
const NO_CFI: Rule = Rule::Unreliable(Undescribed::NoCfi);
const REGS: RegsLayout = RegsLayout::LINUX_7_3;
const TASK_REGS: u64 = TASK.high - REGS.size;

/// A task whose functions are of random shape, each call with rows of its own.
#[derive(Clone, Debug, Default)]
struct Task {
    words: BTreeMap<u64, u64>,
    rules: BTreeMap<u64, Result<Rule, Reason>>,
    /// Instructions that are no call.
    others: BTreeMap<u64, u32>,
    stacks: Vec<StackRange>,
    filler: u64,
}

impl Machine for Task {
    const REGS: RegsLayout = REGS;
    const FTRACE_REGS: FtraceRegs = FtraceRegs::LINUX_7_3;

    fn instruction(&mut self, pc: u64) -> Option<u32> {
        Some(self.others.get(&pc).copied().unwrap_or(BL))
    }

    fn rule(&mut self, pc: u64) -> Result<RawRule, Reason> {
        let rule = self.rules.get(&pc).copied();
        rule.unwrap_or(Err(Reason::NotText))
            .map(|rule| rule.encode().unwrap())
    }

    fn read(&mut self, address: u64) -> Option<u64> {
        assert_eq!(address % 8, 0, "misaligned read at {address:#x}");
        assert!(
            self.stacks.iter().any(|stack| stack.contains(address, 8)),
            "read outside the stacks at {address:#x}"
        );
        Some(self.words.get(&address).copied().unwrap_or(self.filler))
    }

    fn stack(&self, number: usize) -> Option<StackRange> {
        self.stacks.get(number).copied()
    }

    fn task_regs(&self) -> u64 {
        TASK_REGS
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

    fn witness(&mut self, _raw: u64, _cfa: u64, _signed: Option<bool>) -> Result<(), Reason> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Reason> {
        Ok(())
    }
}

/// What a function does before it calls the next, or is interrupted.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Stores its record somewhere in a frame of some slots, x29 points at it.
    Record { slots: u32, at: u32 },
    /// The same, then moves SP down further than rows can know.
    Alloca { slots: u32, at: u32, more: u32 },
    /// Saves x29 and x30 apart, and uses x29 for something else.
    Scratch { slots: u32, value: u64 },
    /// Saves x30 only, leaves x29 alone.
    Plain { slots: u32 },
    /// Is interrupted with SP moved and nothing saved; its handler goes on.
    Leaf { slots: u32 },
    /// Is interrupted in its body, and its handler goes on.
    Interrupted { slots: u32 },
}

/// The registers while calls are played, and what the walk must give.
struct Cpu {
    task: Task,
    sp: u64,
    fp: u64,
    /// Return address of the function that is entered next.
    lr: u64,
    /// PCs, outermost first.
    expected: Vec<u64>,
    /// Whether a row predicts x29: not if it is in use for something else, and
    /// not if the CFA is computed from it.
    fp_is_predicted: bool,
    /// Where an x29 that a row predicts was saved.
    saved_fps: Vec<u64>,
    /// Where a return address in entry code was saved.
    entry_returns: Vec<u64>,
    /// Where calls are that have not returned.
    sites: Vec<u64>,
    calls: u64,
}

impl Cpu {
    /// Entry from user space, or the start of a kernel thread.
    fn boot() -> Self {
        let mut cpu = Self {
            task: Task {
                stacks: vec![TASK],
                filler: 0x0bad_0bad_0bad_0bad,
                ..Task::default()
            },
            sp: TASK_REGS,
            fp: TASK_REGS + REGS.stackframe,
            lr: 0,
            expected: vec![],
            fp_is_predicted: true,
            saved_fps: vec![],
            entry_returns: vec![],
            sites: vec![],
            calls: 0,
        };
        cpu.metadata(TASK_REGS, 1);
        cpu.asm_call();
        cpu
    }

    fn put(&mut self, address: u64, value: u64) {
        self.task.words.insert(address, value);
    }

    fn metadata(&mut self, regs: u64, kind: u64) {
        self.put(regs + REGS.stackframe, 0);
        self.put(regs + REGS.stackframe + 8, 0);
        self.put(regs + REGS.stackframe + 16, kind);
    }

    /// Entry code calls C.
    fn asm_call(&mut self) {
        self.calls += 1;
        self.lr = ENTRY + self.calls * 8;
        let entry = Err(Reason::EntryText);
        self.task.rules.insert(self.lr - 4, entry);
        self.task.rules.insert(self.lr, entry);
        self.sites.push(self.lr - 4);
        self.expected.push(self.lr);
    }

    /// The function that was entered calls another, at the next PC.
    fn call(&mut self, rule: Frame) {
        self.calls += 1;
        let call = TEXT + self.calls * 8;
        self.task.rules.insert(call, Ok(Rule::Frame(rule)));
        self.lr = call + 4;
        self.sites.push(call);
        self.expected.push(self.lr);
    }

    /// The function that was entered is interrupted, and entry code calls C.
    fn interrupt(&mut self, rule: Frame) {
        self.calls += 1;
        let pc = TEXT + self.calls * 8;
        self.task.rules.insert(pc, Ok(Rule::Frame(rule)));
        self.expected.push(pc);
        let regs = self.sp - REGS.size;
        self.put(regs + REGS.fp, self.fp);
        self.put(regs + REGS.lr, self.lr);
        self.put(regs + REGS.sp, self.sp);
        self.put(regs + REGS.pc, pc);
        self.put(regs + REGS.pstate, 0x6000_0009);
        self.metadata(regs, 2);
        self.sp = regs;
        self.fp = regs + REGS.stackframe;
        self.fp_is_predicted = true;
        self.asm_call();
    }

    /// Stores x29 and x30 at CFA minus these; gives what the row says of it.
    fn save(&mut self, cfa: u64, fp: Option<u32>, lr: u32) -> (Location, Location) {
        self.put(cfa - u64::from(lr), self.lr);
        if (ENTRY..TEXT).contains(&self.lr) {
            self.entry_returns.push(cfa - u64::from(lr));
        }
        let caller_fp = match fp {
            Some(offset) => {
                self.put(cfa - u64::from(offset), self.fp);
                if self.fp_is_predicted {
                    self.saved_fps.push(cfa - u64::from(offset));
                }
                Location::Slot(offset)
            }
            None => Location::Register,
        };
        (Location::Slot(lr), caller_fp)
    }

    fn enter(&mut self, shape: Shape) {
        let cfa = self.sp;
        match shape {
            Shape::Record { slots, at } => {
                let rule = self.record(slots, at);
                self.call(rule);
            }
            Shape::Alloca { slots, at, more } => {
                let rule = self.record(slots, at);
                self.sp -= u64::from(more) * 16;
                let X29::Record(offset) = rule.x29 else {
                    panic!("a record was made");
                };
                self.fp_is_predicted = false;
                let base = CfaBase::Fp;
                let size = rule.cfa.offset;
                self.call(Frame {
                    cfa: Cfa { base, offset },
                    sp: StackPointer::Below {
                        least: size,
                        most: Some(size + MOST_ALLOCA * 16),
                    },
                    ..rule
                });
            }
            Shape::Scratch { slots, value } => {
                let size = slots * 16 + 32;
                self.sp -= u64::from(size);
                let (return_address, caller_fp) = self.save(cfa, Some(size), 8);
                self.fp = value;
                self.fp_is_predicted = false;
                self.call(by_sp(size, return_address, caller_fp, X29::Other));
            }
            Shape::Plain { slots } => {
                let size = slots * 16 + 16;
                self.sp -= u64::from(size);
                let (return_address, caller_fp) = self.save(cfa, None, size);
                self.call(by_sp(size, return_address, caller_fp, X29::Caller));
            }
            Shape::Leaf { slots } => {
                let size = slots * 16;
                self.sp -= u64::from(size);
                let here = Location::Register;
                self.interrupt(by_sp(size, here, here, X29::Caller));
            }
            Shape::Interrupted { slots } => {
                let rule = self.record(slots, 0);
                self.lr = 0x1bad;
                self.interrupt(rule);
            }
        }
    }

    /// Makes a frame and a record in it, `at` slots above SP.
    fn record(&mut self, slots: u32, at: u32) -> Frame {
        let cfa = self.sp;
        let size = slots * 16 + 16;
        self.sp -= u64::from(size);
        let offset = size - at.min(slots) * 16;
        let (return_address, caller_fp) = self.save(cfa, Some(offset), offset - 8);
        self.fp = cfa - u64::from(offset);
        self.fp_is_predicted = true;
        by_sp(size, return_address, caller_fp, X29::Record(offset))
    }

    fn play(shapes: &[Shape]) -> Self {
        let mut cpu = Self::boot();
        for shape in shapes {
            cpu.enter(*shape);
        }
        cpu
    }

    /// Blocked: the last function has called `cpu_switch_to()`.
    fn state(&self) -> State {
        State::switched_out(self.lr, self.sp, self.fp)
    }
}

/// 16 bytes each.
const MOST_ALLOCA: u32 = 19;

fn by_sp(size: u32, return_address: Location, caller_fp: Location, x29: X29) -> Frame {
    let rule = Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: size,
        },
        sp: StackPointer::Exact,
        return_address,
        signed: None,
        caller_fp,
        x29,
        patch_site: false,
        left_by_return: None,
    };
    assert!(rule.is_valid(), "{rule:?}");
    rule
}

fn run(task: &mut Task, start: State) -> (Verdict, Vec<u64>) {
    let mut frames = vec![];
    let verdict = walk(task, start, |pc| {
        frames.push(pc);
        // Each entry takes 16 bytes, but for a leaf that was interrupted.
        assert!(frames.len() < 4096, "the walk does not end");
        true
    });
    (verdict, frames)
}

fn any_shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        (0_u32..5, 0_u32..5).prop_map(|(slots, at)| Shape::Record { slots, at }),
        (0_u32..5, 0_u32..5, 0..=MOST_ALLOCA).prop_map(|(slots, at, more)| Shape::Alloca {
            slots,
            at,
            more
        }),
        (0_u32..5, any_word()).prop_map(|(slots, value)| Shape::Scratch { slots, value }),
        (0_u32..5).prop_map(|slots| Shape::Plain { slots }),
        (0_u32..5).prop_map(|slots| Shape::Leaf { slots }),
        (0_u32..5).prop_map(|slots| Shape::Interrupted { slots }),
    ]
}

/// A value that may well be a stack or text address.
fn any_word() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => (1_u64..0x100).prop_map(|slot| TASK.high - slot * 8),
        1 => (1_u64..0x100).prop_map(|slot| IRQ.high - slot * 8),
        3 => (0_u64..64).prop_map(|slot| TEXT + slot * 4),
        2 => 0_u64..4,
        1 => any::<u64>(),
    ]
}

fn any_rule() -> impl Strategy<Value = Result<Rule, Reason>> {
    let location = || {
        prop_oneof![
            Just(Location::Register),
            (1_u32..8).prop_map(|slot| Location::Slot(slot * 8)),
        ]
    };
    let x29 = prop_oneof![
        Just(X29::Other),
        Just(X29::Caller),
        (2_u32..8).prop_map(|slot| X29::Record(slot * 8)),
    ];
    let base = prop_oneof![
        4 => Just((CfaBase::Sp, StackPointer::Exact)),
        2 => (0_u32..8, prop::option::of(8_u32..64)).prop_map(|(least, most)| {
            let least = least * 8;
            let most = most.map(|most| most * 8);
            (CfaBase::Fp, StackPointer::Below { least, most })
        }),
        1 => Just((CfaBase::Fp, StackPointer::OtherStack)),
        1 => Just((CfaBase::Fp, StackPointer::Anywhere)),
    ];
    let frame = (base, 0_u32..8, location(), location(), x29, any::<bool>()).prop_map(
        |((base, sp), size, return_address, caller_fp, x29, patch_site)| Frame {
            cfa: Cfa {
                base,
                offset: size * 8,
            },
            sp,
            return_address,
            signed: None,
            caller_fp,
            x29,
            patch_site,
            left_by_return: None,
        },
    );
    prop_oneof![
        6 => frame.prop_map(|frame| match frame.is_valid() {
            true => Ok(Rule::Frame(frame)),
            false => Ok(Rule::Frame(Frame::ENTRY)),
        }),
        1 => Just(Ok(NO_CFI)),
        1 => Just(Err(Reason::EntryText)),
    ]
}

fn any_state() -> impl Strategy<Value = State> {
    (
        any_word(),
        any_word(),
        any_word(),
        any_word(),
        any::<bool>(),
    )
        .prop_map(|(pc, sp, fp, lr, live)| match live {
            true => State::interrupted(pc, sp & !15, fp, lr),
            false => State::switched_out(pc, sp & !15, fp),
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn follows_what_calls_leave(shapes in prop::collection::vec(any_shape(), 0..30)) {
        let mut cpu = Cpu::play(&shapes);
        let start = cpu.state();
        let (verdict, frames) = run(&mut cpu.task, start);
        cpu.expected.reverse();
        prop_assert_eq!(&frames, &cpu.expected);
        let frames = frames.len() as u32;
        prop_assert_eq!(verdict, Verdict::Reliable { frames });
    }

    /// The chain of frame records has to agree with the rows at each frame.
    #[test]
    fn refuses_changed_frame_pointers(
        shapes in prop::collection::vec(any_shape(), 1..30),
        which in any::<prop::sample::Index>(),
        value in any_word(),
    ) {
        let mut cpu = Cpu::play(&shapes);
        prop_assume!(!cpu.saved_fps.is_empty());
        let at = cpu.saved_fps[which.index(cpu.saved_fps.len())];
        let old = cpu.task.words.insert(at, value);
        prop_assume!(old != Some(value));
        let start = cpu.state();
        prop_assert!(!run(&mut cpu.task, start).0.is_reliable());
    }

    /// A frame that waits for a call is at a call.
    #[test]
    fn refuses_return_addresses_without_a_call(
        shapes in prop::collection::vec(any_shape(), 1..30),
        which in any::<prop::sample::Index>(),
        instruction in any::<u32>(),
    ) {
        let mut cpu = Cpu::play(&shapes);
        let site = cpu.sites[which.index(cpu.sites.len())];
        // BL; BLR, BLRAAZ, BLRABZ, BLRAA and BLRAB begin with these bytes.
        prop_assume!(!matches!(instruction >> 24, 0x94..=0x97 | 0xd6 | 0xd7));
        cpu.task.others.insert(site, instruction);
        let start = cpu.state();
        prop_assume!(start.sp != TASK_REGS);
        let (verdict, _) = run(&mut cpu.task, start);
        let refused = matches!(verdict, Verdict::Unreliable { reason: Reason::NoCall, .. });
        prop_assert!(refused, "{verdict:?}");
    }

    /// What a stack ends with, and what was interrupted, only entry code can say.
    #[test]
    fn refuses_records_that_other_code_returns_to(
        shapes in prop::collection::vec(any_shape(), 1..30),
        which in any::<prop::sample::Index>(),
        value in any_word(),
    ) {
        let mut cpu = Cpu::play(&shapes);
        prop_assume!(!cpu.entry_returns.is_empty());
        let at = cpu.entry_returns[which.index(cpu.entry_returns.len())];
        prop_assume!(!(ENTRY..TEXT).contains(&value));
        cpu.task.rules.entry(value.wrapping_sub(4)).or_insert(Ok(NO_CFI));
        cpu.put(at, value);
        let start = cpu.state();
        prop_assert!(!run(&mut cpu.task, start).0.is_reliable());
    }

    /// The end of the stack is proved by all three words of its record.
    #[test]
    fn refuses_stack_without_its_final_record(
        shapes in prop::collection::vec(any_shape(), 0..30),
        word in 0_u64..3,
        value in any_word(),
    ) {
        let mut cpu = Cpu::play(&shapes);
        let at = TASK_REGS + REGS.stackframe + word * 8;
        let old = cpu.task.words.insert(at, value);
        prop_assume!(old != Some(value));
        let start = cpu.state();
        prop_assert!(!run(&mut cpu.task, start).0.is_reliable());
    }

    /// Noise: the walk ends, reads only what it may, and is never reliable.
    #[test]
    fn refuses_noise(
        words in prop::collection::vec(any_word(), 0x100),
        irq_words in prop::collection::vec(any_word(), 0x100),
        rules in prop::collection::vec(any_rule(), 64),
        start in any_state(),
        filler in any_word(),
    ) {
        let mut task = Task { stacks: vec![TASK, IRQ], filler, ..Task::default() };
        let addresses = (TASK.high - 0x800..TASK.high).step_by(8);
        task.words.extend(addresses.zip(words));
        let addresses = (IRQ.high - 0x800..IRQ.high).step_by(8);
        task.words.extend(addresses.zip(irq_words));
        let pcs = (TEXT..).step_by(4);
        task.rules.extend(pcs.zip(rules));
        // The one thing that noise must not have.
        task.words.insert(TASK_REGS + REGS.stackframe + 16, 0);
        prop_assert!(!run(&mut task, start).0.is_reliable());
    }

    /// Noise within a good stack: the same.
    #[test]
    fn ends_on_damaged_stacks(
        shapes in prop::collection::vec(any_shape(), 1..30),
        damage in prop::collection::vec((0_u64..0x400, any_word()), 1..200),
        lost in 0_u64..3,
    ) {
        let mut cpu = Cpu::play(&shapes);
        for (slot, value) in damage {
            cpu.put(TASK.high - 8 - slot * 8, value);
        }
        cpu.put(TASK_REGS + REGS.stackframe + lost * 8, 0xbad);
        let start = cpu.state();
        prop_assert!(!run(&mut cpu.task, start).0.is_reliable());
    }
}
