// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A task out of an input: its stacks, its text, what the tracers kept, and where
//! it stands. Whatever the input says, and mostly something that a kernel could
//! almost leave behind.
//!
//! The machine notes what a walk does, for the checks in [`crate::walk`], and can be
//! walked over again, with one word changed.

use crate::bytes::Bytes;
use crate::rule::compact;

use orc::bpf;
use orc::machine::{FtraceRegs, Kind, Machine, RegsLayout, StackRange, State};
use orc::reason::Reason;
use orc::rule::{RawRule, Rule};
use orc::shadow::Cursor;

use std::num::NonZero;

/// Where the rules of a task come from.
pub(crate) trait Text {
    /// The rule at an offset in the text.
    fn rule(&self, offset: u64) -> Result<RawRule, Reason>;

    /// Whether a BPF trampoline is there.
    fn is_bpf_trampoline(&self, _offset: u64) -> bool {
        false
    }
}

const TEXT: u64 = 0xffff_8000_8001_0000;
const TEXT_BYTES: u64 = 0x1_0000;
/// Entry code, just below the text with rows.
const ENTRY: u64 = TEXT - 0x100;
const RETURN_TO_HANDLER: u64 = ENTRY - 0x200;
const KRETPROBE: u64 = ENTRY - 0x1fc;

/// `bl .`, to which the distance in words is added.
const BL: u32 = 0x9400_0000;
/// `adr x30, .+8; ret x10`: how a BPF trampoline calls.
const ADR_X30_8: u32 = 0x1000_005e;
const RET_X10: u32 = 0xd65f_0140;

const MAX_STACKS: usize = 4;
const STACK_WORDS: usize = 128;

/// A task, and what a walk did with it.
pub(crate) struct Task<T> {
    text: T,
    stacks: [StackRange; MAX_STACKS],
    stack_count: usize,
    words: [[u64; STACK_WORDS]; MAX_STACKS],
    task_regs: u64,
    unreadable: u64,
    /// What stands for replaced return addresses, each used once.
    kept: [u64; 4],
    kept_are_endless: bool,
    /// Where an instruction is this, and not a call.
    odd: (u64, Option<u32>),
    /// Where all other calls go, if not to themselves.
    called: Option<u64>,
    /// Whether any function may run in place of the one that was called.
    stands_in: bool,
    /// The shadow call stack, the outermost function's entry first.
    shadow: [u64; 4],
    shadow_entries: u32,
    pub(crate) start: State,
    pub(crate) noted: Noted,
}

/// What a walk has done so far.
#[derive(Default)]
pub(crate) struct Noted {
    next_kept: usize,
    shadow: Cursor,
    /// All that it may take for an address in text.
    pub(crate) given: Vec<u64>,
    /// The addresses that it has read.
    pub(crate) reads: Vec<u64>,
    /// The machine had something that a walk has no way around.
    pub(crate) refused: bool,
}

impl<T: Text> Task<T> {
    /// The text is read from the input first.
    pub(crate) fn read(text: T, bytes: &mut Bytes<'_>) -> Self {
        let mut task = Self {
            text,
            stacks: [StackRange { low: 0, high: 0 }; MAX_STACKS],
            stack_count: 0,
            words: [[0; STACK_WORDS]; MAX_STACKS],
            task_regs: 0,
            unreadable: 0,
            kept: [0; 4],
            kept_are_endless: false,
            odd: (0, None),
            called: None,
            stands_in: false,
            shadow: [0; 4],
            shadow_entries: 0,
            start: State::switched_out(0, 0, 0),
            noted: Noted::default(),
        };
        task.place_stacks(bytes);
        task.read_state(bytes);
        for stack in 0..task.stack_count {
            task.fill(stack, bytes);
        }
        task
    }

    /// Bytes on all stacks: a walk's length depends on nothing else.
    pub(crate) fn stack_bytes(&self) -> u64 {
        let stacks = self.stacks[..self.stack_count].iter();
        stacks.map(|stack| stack.high - stack.low).sum()
    }

    /// The word at an address, as memory has it.
    pub(crate) fn word(&self, address: u64) -> Option<u64> {
        let (stack, word) = self.find(address)?;
        Some(self.words[stack][word])
    }

    /// Changes a word that is on a stack; gives what it was.
    pub(crate) fn change(&mut self, address: u64, value: u64) -> Option<u64> {
        let (stack, word) = self.find(address)?;
        Some(std::mem::replace(&mut self.words[stack][word], value))
    }

    fn find(&self, address: u64) -> Option<(usize, usize)> {
        let stacks = &self.stacks[..self.stack_count];
        let stack = stacks.iter().position(|stack| stack.contains(address, 8))?;
        Some((stack, (address - stacks[stack].low) as usize / 8))
    }

    /// Forgets what the last walk did.
    pub(crate) fn begin(&mut self) {
        self.noted.next_kept = 0;
        self.noted.shadow = Cursor::at_top(self.shadow_entries);
        self.noted.refused = false;
        self.noted.reads.clear();
        self.noted.given.clear();
        self.noted.given.push(self.start.pc);
        if let Kind::Interrupted { lr: Some(lr), .. } | Kind::Entered { lr } = self.start.kind {
            self.noted.given.push(lr);
        }
    }

    /// Whether an address is where entry code calls C.
    pub(crate) fn is_entry(&self, pc: u64) -> bool {
        (ENTRY..TEXT).contains(&pc)
    }

    fn place_stacks(&mut self, bytes: &mut Bytes<'_>) {
        let how = bytes.u8();
        self.stack_count = usize::from(how & 3) + 1;
        let bases = match how >> 2 & 3 {
            // Apart.
            0 | 1 => [
                0xffff_8000_8400_0000,
                0xffff_8000_8410_0000,
                0xffff_8000_8420_0000,
                0xffff_8000_8430_0000,
            ],
            // The second below the first, the fourth below the third.
            2 => [
                0xffff_8000_8400_0400,
                0xffff_8000_8400_0000,
                0xffff_8000_8410_0400,
                0xffff_8000_8410_0000,
            ],
            // At the ends of the address space; the one at 0 is absent.
            _ => [0xffff_ffff_ffff_fc00, 0x10, 0, 0x1000],
        };
        for (number, low) in bases.into_iter().take(self.stack_count).enumerate() {
            // An empty one, or one whose end is no multiple of 16, may be there.
            let size = match bytes.u8() {
                0 => 0x400,
                size => u64::from(size).min(0x7f) * 8,
            };
            let size = size.min(u64::MAX - low);
            self.stacks[number] = StackRange {
                low,
                high: low + size,
            };
        }
        let below = u64::from(bytes.u8()) * 16;
        let at = self.stacks[0]
            .high
            .wrapping_sub(<Self as Machine>::REGS.size);
        self.task_regs = at.wrapping_sub(below);
        if how & 0x10 != 0 {
            self.called = Some(self.value(TEXT, bytes));
        }
        self.stands_in = how & 0x20 != 0;
    }

    fn read_state(&mut self, bytes: &mut Bytes<'_>) {
        let how = bytes.u8();
        let stack = self.stacks[usize::from(how & 3)];
        let sp = stack.high.wrapping_sub(u64::from(bytes.u8()) * 16);
        let fp = self.value(sp, bytes);
        let pc = self.value(sp, bytes);
        self.start = match how >> 2 & 3 {
            0 => State::switched_out(pc, sp, fp),
            1 => State::returns_to(pc, sp, fp),
            2 => State::interrupted(pc, sp, fp, self.value(sp, bytes)),
            _ => State {
                kind: Kind::Entered {
                    lr: self.value(sp, bytes),
                },
                ..State::interrupted(pc, sp, fp, 0)
            },
        };
        if how & 0x40 != 0 {
            self.unreadable = self.value(sp, bytes);
        }
        if how & 0x80 != 0 {
            self.odd.0 = self.value(sp, bytes);
            self.odd.1 = match bytes.u8() {
                0 => None,
                1 => Some(RET_X10),
                _ => Some(bytes.u32()),
            };
            self.shadow_entries = u32::from(bytes.u8() & 7).min(4);
            for entry in 0..self.shadow_entries as usize {
                self.shadow[entry] = self.value(sp, bytes);
            }
        }
        self.kept_are_endless = how & 0x20 != 0;
        for number in 0..usize::from(how >> 4 & 1) * self.kept.len() {
            self.kept[number] = self.value(sp, bytes);
        }
    }

    /// Words from the top of a stack down, as calls push them.
    fn fill(&mut self, stack: usize, bytes: &mut Bytes<'_>) {
        let StackRange { low, high } = self.stacks[stack];
        let mut at = ((high - low) / 8) as usize;
        while !bytes.is_empty() {
            let address = low + at as u64 * 8;
            let (skip, words): (usize, [Option<u64>; 3]) = match bytes.u8() {
                0 => break,
                // Nothing.
                skip @ 1..=0x3f => (usize::from(skip), [None; 3]),
                // A frame record whose caller's is this much higher.
                up @ 0x40..=0x7f => {
                    let caller = address.wrapping_add(u64::from(up & 0x3f) * 8);
                    let lr = self.value(address, bytes);
                    (2, [Some(caller), Some(lr), None])
                }
                // A metadata record, and what follows it in struct pt_regs.
                kind @ 0x80..=0x8f => (3, [Some(0), Some(0), Some(u64::from(kind & 0xf))]),
                // Registers of an exception below this address.
                0x90 => {
                    self.registers(stack, at, bytes);
                    ((<Self as Machine>::REGS.size / 8) as usize, [None; 3])
                }
                _ => (1, [Some(self.value(address, bytes)), None, None]),
            };
            let Some(next) = at.checked_sub(skip) else {
                break;
            };
            at = next;
            for (slot, word) in self.words[stack][at..].iter_mut().zip(words) {
                *slot = word.unwrap_or(*slot);
            }
        }
    }

    fn registers(&mut self, stack: usize, end: usize, bytes: &mut Bytes<'_>) {
        let regs = <Self as Machine>::REGS;
        let Some(at) = end.checked_sub((regs.size / 8) as usize) else {
            return;
        };
        let sp = self.stacks[stack].low + end as u64 * 8;
        let (pc, fp, lr) = (
            self.value(sp, bytes),
            self.value(sp, bytes),
            self.value(sp, bytes),
        );
        let saved_sp = match bytes.u8() {
            0..=0xef => sp,
            _ => self.value(sp, bytes),
        };
        let mut put = |offset: u64, value| self.words[stack][at + (offset / 8) as usize] = value;
        put(regs.pc, pc);
        put(regs.fp, fp);
        put(regs.lr, lr);
        put(regs.sp, saved_sp);
        put(regs.pstate, u64::from(5 + (bytes.u8() & 0x14)));
        put(regs.stackframe + 16, 2);
    }

    /// A word: mostly an address of text or near `here`.
    fn value(&self, here: u64, bytes: &mut Bytes<'_>) -> u64 {
        let text = |instruction: u16| TEXT + u64::from(instruction) * 4;
        match bytes.u8() {
            0 => 0,
            1 => bytes.u64(),
            2 => ENTRY + u64::from(bytes.u8() & 0x3f) * 4,
            3 => text(bytes.u16()),
            4 => text(u16::from(bytes.u8())),
            // Signed.
            5 => text(u16::from(bytes.u8())) & 0x0080_ffff_ffff_ffff | 0x6b35 << 48,
            6 => RETURN_TO_HANDLER,
            7 => KRETPROBE,
            8 => self
                .task_regs
                .wrapping_add(<Self as Machine>::REGS.stackframe),
            9 => here.wrapping_sub(u64::from(bytes.u8()) * 8),
            10 => self.stacks[0].high.wrapping_sub(u64::from(bytes.u8()) * 8),
            11 => self.stacks[1].high.wrapping_sub(u64::from(bytes.u8()) * 8),
            12 => u64::from(bytes.u8()),
            13 => here,
            14 => here.wrapping_add(u64::from(bytes.u8())),
            15 => u64::MAX - u64::from(bytes.u8()),
            short @ 0x10..=0x7f => here.wrapping_add(u64::from(short - 0x10) * 8),
            short => text(u16::from(short & 0x7f)),
        }
    }

    fn kept(&mut self, lost: Reason) -> Result<u64, Reason> {
        let kept = self.kept.get(self.noted.next_kept).copied();
        if !self.kept_are_endless {
            self.noted.next_kept += 1;
        }
        match kept {
            Some(pc) => {
                self.noted.given.push(pc);
                Ok(pc)
            }
            None => self.refuse(lost),
        }
    }

    /// The call at an address.
    fn call(&self, site: u64) -> u32 {
        let bytes = self.called.map_or(0, |called| called.wrapping_sub(site));
        BL | (bytes >> 2) as u32 & 0x03ff_ffff
    }

    fn refuse<R>(&mut self, why: Reason) -> Result<R, Reason> {
        self.noted.refused = true;
        Err(why)
    }
}

impl<T: Text> Machine for Task<T> {
    const REGS: RegsLayout = RegsLayout::LINUX_7_3;
    const FTRACE_REGS: FtraceRegs = FtraceRegs::LINUX_7_3;

    fn rule(&mut self, pc: u64) -> Result<RawRule, Reason> {
        let rule = match pc {
            ENTRY..TEXT => return Err(Reason::EntryText),
            TEXT.. if pc - TEXT < TEXT_BYTES => self.text.rule(pc - TEXT),
            _ => Err(Reason::NotText),
        };
        let is_frame = |raw: RawRule| matches!(raw.unpack(), Some(Rule::Frame(_)));
        self.noted.refused |= !rule.is_ok_and(is_frame);
        rule
    }

    fn instruction(&mut self, pc: u64) -> Option<u32> {
        match self.odd {
            (at, odd) if at == pc => odd,
            (at, Some(RET_X10)) if at == pc.wrapping_add(4) => Some(ADR_X30_8),
            _ => Some(self.call(pc)),
        }
    }

    fn is_bpf_trampoline(&mut self, pc: u64) -> bool {
        pc.checked_sub(TEXT)
            .is_some_and(|offset| self.text.is_bpf_trampoline(offset))
    }

    fn left_by_return(&mut self, entry: u64) -> Option<u32> {
        let offset = entry.checked_sub(TEXT).filter(|at| *at < TEXT_BYTES)?;
        self.text.rule(offset).ok()?.left_by_return()
    }

    fn is_stand_in(&mut self, _pc: u64) -> bool {
        self.stands_in
    }

    fn read(&mut self, address: u64) -> Option<u64> {
        assert_eq!(address % 8, 0, "misaligned read at {address:#x}");
        let word = self.word(address);
        let word = word.unwrap_or_else(|| panic!("read off the stacks at {address:#x}"));
        self.noted.reads.push(address);
        self.noted.given.push(word);
        if address == self.unreadable {
            self.noted.refused = true;
            return None;
        }
        Some(word)
    }

    fn stack(&self, number: usize) -> Option<StackRange> {
        self.stacks[..self.stack_count].get(number).copied()
    }

    fn task_regs(&self) -> u64 {
        self.task_regs
    }

    fn strip_pac(&self, address: u64) -> u64 {
        strip_pac(address)
    }

    fn recover(&mut self, pc: u64, _fp: u64) -> Result<u64, Reason> {
        match pc {
            RETURN_TO_HANDLER => self.kept(Reason::FgraphLost),
            KRETPROBE => self.kept(Reason::KretprobeLost),
            _ => Ok(pc),
        }
    }

    fn recover_interrupted(&mut self, pc: u64, _fp: u64) -> Result<u64, Reason> {
        match pc {
            KRETPROBE => self.kept(Reason::KretprobeLost),
            _ => Ok(pc),
        }
    }

    fn pass_entered(&mut self, lr: u64, _fp: u64) {
        if self.kept.get(self.noted.next_kept) == Some(&lr) {
            self.noted.next_kept += 1;
        }
    }

    fn witness(&mut self, raw: u64, _cfa: u64, _signed: Option<bool>) -> Result<(), Reason> {
        let entry = |number: u32| self.shadow.get(number as usize).copied();
        self.noted.shadow.meet(strip_pac(raw), entry)
    }

    fn finish(&mut self) -> Result<(), Reason> {
        let kept = self.kept.get(self.noted.next_kept);
        if kept.is_some_and(|pc| *pc != 0) && !self.kept_are_endless {
            return self.refuse(Reason::KeptReturnLeft);
        }
        self.noted.shadow.finish().or_else(|why| self.refuse(why))
    }
}

/// As XPACI does: bit 55 is that of the address.
pub(crate) fn strip_pac(address: u64) -> u64 {
    match address & (1 << 55) {
        0 => address & 0x0000_ffff_ffff_ffff,
        _ => address | 0xffff_0000_0000_0000,
    }
}

/// A few functions of 16 bytes, one after the other, each in one state all over.
pub(crate) struct Functions {
    rules: [Result<RawRule, Reason>; 16],
    /// The last one that is a BPF trampoline.
    trampoline: Option<usize>,
}

impl Functions {
    pub(crate) fn read(bytes: &mut Bytes<'_>) -> Self {
        let mut rules = [Err(Reason::NoRow); 16];
        let mut trampoline = None;
        let count = usize::from(bytes.u8() & 0xf);
        for (number, rule) in rules[..count].iter_mut().enumerate() {
            *rule = match bytes.u8() {
                0xff => bpf::body(NonZero::new(bytes.offset())),
                0xfe => Err(any_reason(bytes.u8())),
                0xfd => {
                    trampoline = Some(number);
                    bpf::trampoline(NonZero::new(bytes.offset()))
                }
                _ => {
                    let raw = compact(bytes);
                    Rule::decode(raw).map(|_| raw).ok_or(Reason::NoTable)
                }
            };
        }
        Self { rules, trampoline }
    }

    fn number(offset: u64) -> usize {
        (offset / 16) as usize & 0xf
    }
}

fn any_reason(code: u8) -> Reason {
    Reason::from_code(code).unwrap_or(Reason::NoRow)
}

impl Text for Functions {
    fn rule(&self, offset: u64) -> Result<RawRule, Reason> {
        self.rules[Self::number(offset)]
    }

    fn is_bpf_trampoline(&self, offset: u64) -> bool {
        self.trampoline == Some(Self::number(offset))
    }
}
