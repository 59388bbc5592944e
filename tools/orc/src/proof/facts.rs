// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is known at an instruction: values of registers, and which stack slots
//! hold the return address or the caller's x29.
//!
//! Values are relative to the function's entry: its CFA, its return address, its
//! caller's x29. All registers are tracked alike, not SP, x29 and x30 alone, since
//! large frames are made with `sub sp, sp, x12`, and assembly parks the return
//! address in other registers.
//!
//! What is assumed beyond the instructions is listed in [`crate::proof`].

use std::fmt;

use super::assumption::Assumption;
use super::hit::Hit;
use super::range::Range;
use super::slots::Slots;
use super::value::{Sign, Value};
use crate::a64::insn::{Access, Index, Mode, Operand, Reg, Regs, Step, Store};
use crate::a64::is_top_run;

/// What is known before an instruction is executed.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    registers: [Value; Reg::COUNT],
    /// Those of which anything is known, here or in `ranges`.
    known: Regs,
    /// Between what numbers a register is whose value is not known.
    ranges: [Range; Reg::COUNT],
    /// Of registers that hold a return address. Nothing but rows is made of it.
    signs: [Sign; Reg::COUNT],
    slots: Slots,
    /// SP is at most the CFA plus this, also where it is not known.
    sp_limit: i32,
    /// The word at `Shadow(0)` is the return address.
    shadow: bool,
}

impl Facts {
    /// Nothing.
    pub const NONE: Self = Self {
        registers: [Value::Unknown; Reg::COUNT],
        known: Regs::NONE,
        ranges: [Range::Any; Reg::COUNT],
        signs: [Sign::Unknown; Reg::COUNT],
        slots: Slots::NONE,
        sp_limit: i32::MAX,
        shadow: false,
    };

    /// At the entry of a function: AAPCS64 (A2).
    #[must_use]
    pub const fn entry() -> Self {
        let mut facts = Self::NONE;
        facts.registers[Reg::SP.index()] = Value::Cfa(0);
        facts.sp_limit = 0;
        facts.registers[Reg::X29.index()] = Value::CallerFp;
        facts.registers[Reg::X30.index()] = Value::ReturnAddress;
        facts.signs[Reg::X30.index()] = Sign::Plain;
        facts.registers[18] = Value::Shadow(0);
        let known = Regs::NONE.with(Reg::SP).with(Reg::X29).with(Reg::X30);
        facts.known = known.union(Regs::of(1 << 18));
        facts
    }

    /// At the entry of an ftrace trampoline (`.cfi_signal_frame`): what its
    /// patched call site did is `mov x9, x30`.
    #[must_use]
    pub fn traced_entry() -> Self {
        let mut facts = Self::entry();
        facts.set(Reg::X9, Value::TracedReturn);
        facts
    }

    /// What `reg` holds.
    #[must_use]
    pub fn get(&self, reg: Reg) -> Value {
        self.registers[reg.index()]
    }

    /// Between what numbers `reg` is.
    #[must_use]
    pub fn range(&self, reg: Reg) -> Range {
        match self.get(reg) {
            Value::Unknown => self.ranges[reg.index()],
            value => Range::of(value),
        }
    }

    /// Where SP is, whether or not it is known exactly.
    #[must_use]
    pub fn sp_range(&self) -> Range {
        match self.range(Reg::SP) {
            Range::Stack(span) => Range::Stack(span.up_to(self.sp_limit)),
            other => other,
        }
    }

    /// Forgets between what numbers registers are.
    pub fn forget_ranges(&mut self) {
        for reg in self.known.iter() {
            let range = self.ranges[reg.index()].without_bounds();
            self.put_range(reg, range);
        }
    }

    /// Whether the return address in `reg` is signed.
    #[must_use]
    pub fn sign(&self, reg: Reg) -> Sign {
        self.signs[reg.index()]
    }

    /// Whether the return address in the 8 bytes at the CFA plus `offset` is signed.
    #[must_use]
    pub fn slot_sign(&self, offset: i32) -> Sign {
        self.slots.sign(offset)
    }

    /// What the 8 bytes at the CFA plus `offset` hold.
    #[must_use]
    pub fn slot(&self, offset: i32) -> Value {
        self.slots.get(offset, false)
    }

    /// What the 8 bytes at the CFA plus `offset`, which are below SP, held when
    /// the function left them there.
    #[must_use]
    pub fn popped_slot(&self, offset: i32) -> Value {
        self.slots.get(offset, true)
    }

    /// The offsets of the slots that hold `value`.
    pub fn slots_with(&self, value: Value) -> impl Iterator<Item = i32> + '_ {
        self.slots.with(value)
    }

    /// Whether a function may be left by `ret` or by a tail call here: SP and x29
    /// are its caller's, and `target` is the return address.
    #[must_use]
    pub fn is_entry_state(&self, target: Reg) -> bool {
        self.get(Reg::SP) == Value::Cfa(0)
            && self.get(Reg::X29) == Value::CallerFp
            && self.get(target) == Value::ReturnAddress
    }

    /// Keeps what both know.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.meet_with(other, false, false);
        both
    }

    /// The limit of SP where these facts meet others. One that rises although SP
    /// is known on neither side rises in a loop, and has no end.
    fn met_limit(&self, other: &Self) -> i32 {
        let is_known = |facts: &Self| matches!(facts.get(Reg::SP), Value::Cfa(_));
        match self.sp_limit.max(other.sp_limit) {
            higher if higher == self.sp_limit => higher,
            higher if is_known(self) || is_known(other) => higher,
            _ => i32::MAX,
        }
    }

    /// Keeps in `self` what `other` knows too; whether anything was lost. `other` may
    /// come by a way back, which may be of a loop; ranges do not grow by steps if they
    /// are to be `widened`.
    pub fn meet_with(&mut self, other: &Self, is_back: bool, widened: bool) -> bool {
        let limit = self.met_limit(other);
        let mut changed = limit != self.sp_limit;
        for reg in self.known.union(other.known).iter() {
            changed |= self.meet_register(reg, other, is_back, widened);
        }
        if self.slots != other.slots {
            let slots = self.slots.meet(&other.slots);
            changed |= slots != self.slots;
            self.slots = slots;
        }
        changed |= self.shadow && !other.shadow;
        self.shadow &= other.shadow;
        self.limit_sp(limit);
        changed
    }

    /// The same for one register.
    fn meet_register(&mut self, reg: Reg, other: &Self, is_back: bool, widened: bool) -> bool {
        let index = reg.index();
        let (value, others) = (self.registers[index], other.registers[index]);
        if value == others && value != Value::Unknown {
            let sign = self.signs[index].join(other.signs[index]);
            return std::mem::replace(&mut self.signs[index], sign) != sign;
        }
        let before = self.range(reg);
        let others_range = other.range(reg);
        if value == others && before == others_range {
            return false;
        }
        let mut range = before.join(others_range);
        if is_back {
            range = range.looped(before, others);
            if widened {
                range = range.widened(before);
            }
        }
        let changed = value != Value::Unknown || range != self.ranges[index];
        self.registers[index] = Value::Unknown;
        self.put_range(reg, range);
        self.signs[index] = Sign::Unknown;
        changed
    }

    /// Makes it so that `reg` holds `value`.
    pub fn set(&mut self, reg: Reg, value: Value) {
        self.registers[reg.index()] = value;
        self.put_range(reg, Range::Any);
        self.signs[reg.index()] = Sign::Unknown;
        if reg == Reg::SP {
            match value {
                Value::Cfa(sp) => self.limit_sp(sp),
                Value::Unknown => {}
                // What is no address in this stack is no stack pointer.
                _ => self.limit_sp(i32::MAX),
            }
        }
    }

    /// Says between what numbers a register is whose value may be known.
    fn put_range(&mut self, reg: Reg, range: Range) {
        self.ranges[reg.index()] = range;
        let is_known = self.get(reg) != Value::Unknown || range != Range::Any;
        self.known = match is_known {
            true => self.known.with(reg),
            false => self.known.without(Regs::NONE.with(reg)),
        };
    }

    /// From here on SP is at most the CFA plus `limit`.
    fn limit_sp(&mut self, limit: i32) {
        self.sp_limit = limit;
        self.slots.pop_below(limit);
    }

    /// Makes it so that `reg` holds `value`, which is signed or not.
    pub(super) fn set_signed(&mut self, reg: Reg, value: Value, sign: Sign) {
        self.set(reg, value);
        if value == Value::ReturnAddress {
            self.signs[reg.index()] = sign;
        }
    }

    /// Makes it so that `reg` holds something in `range`.
    fn set_range(&mut self, reg: Reg, range: Range) {
        if let Some(value) = range.exact() {
            self.set(reg, value);
            return;
        }
        self.set(reg, Value::Unknown);
        match reg {
            Reg::SP => self.put_range(reg, range.as_sp()),
            _ => self.put_range(reg, range),
        }
    }

    /// `to = from + by`.
    fn add(&mut self, to: Reg, from: Reg, by: i64) {
        let (sum, sign) = (self.get(from).plus(by), self.sign(from));
        match sum {
            Value::Unknown => self.set_range(to, self.range(from).plus(by)),
            _ => self.set_signed(to, sum, sign),
        }
        if to == Reg::SP && from == Reg::SP && sum == Value::Unknown {
            let limit = i64::from(self.sp_limit) + by;
            let is_limited = self.sp_limit != i32::MAX;
            let limit = i32::try_from(limit).ok().filter(|_| is_limited);
            self.limit_sp(limit.unwrap_or(i32::MAX));
        }
    }

    /// `to = from ± (by << shift)`.
    fn add_register(&mut self, to: Reg, from: Reg, by: Reg, (shift, subtract): (u32, bool)) {
        // A number plus an address is that address plus the number.
        let is_swapped = self.range(by).may_be_stack() && !self.range(from).may_be_stack();
        let (from, by) = match is_swapped && shift == 0 && !subtract {
            true => (by, from),
            false => (from, by),
        };
        if let Value::Constant(number) = self.get(by) {
            let amount = i64::from(number).wrapping_shl(shift);
            self.add(to, from, if subtract { -amount } else { amount });
            return;
        }
        let limit = self.sp_limit;
        let range = self.range(from);
        self.set_range(to, range.plus_shifted(self.range(by), shift, subtract));
        if to == Reg::SP && self.get(to) == Value::Unknown && !subtract {
            // A5: by an amount that is not known SP moves down, or back up to where it was:
            // not up from where it is.
            let most = self
                .range(by)
                .most()
                .filter(|_| from == Reg::SP && limit != i32::MAX);
            let limit = most.and_then(|most| limit.checked_add(most.checked_shl(shift)?));
            self.limit_sp(limit.unwrap_or(i32::MAX));
        }
    }

    /// `to = from | by`, or `from ^ by`.
    fn combine(&mut self, to: Reg, from: Reg, by: Operand, is_exclusive: bool) {
        let bits = match by {
            Operand::Register(reg) => self.range(reg),
            Operand::Bits(bits) => Range::of_bits(bits),
        };
        self.set_range(to, self.range(from).with_bits(bits, is_exclusive));
    }

    /// 16 bits of `to` are replaced.
    fn insert(&mut self, to: Reg, bits: u16, shift: u32) {
        let value = match self.get(to) {
            Value::Constant(number) => {
                let kept = i64::from(number) & !(0xffff << shift);
                Value::constant(kept | (i64::from(bits) << shift))
            }
            _ => Value::Unknown,
        };
        self.set(to, value);
    }

    /// `to` is `first`, or `second` plus a number.
    fn select(&mut self, to: Reg, first: Option<Reg>, second: Option<Reg>, by: i64) {
        let value = |reg: Option<Reg>| reg.map_or(Value::Constant(0), |reg| self.get(reg));
        let range = |reg: Option<Reg>| match reg {
            Some(reg) => self.range(reg),
            None => Range::of(Value::Constant(0)),
        };
        let sign = |reg: Option<Reg>| reg.map_or(Sign::Unknown, |reg| self.sign(reg));
        let both = value(first).meet(value(second).plus(by));
        let (sign, range) = (
            sign(first).join(sign(second)),
            range(first).join(range(second).plus(by)),
        );
        match both {
            Value::Unknown => self.set_range(to, range),
            value => self.set_signed(to, value, sign),
        }
    }

    /// Makes it so that the 8 bytes at the CFA plus `offset` hold `value`.
    fn remember(&mut self, offset: i32, (value, sign): (Value, Sign)) {
        match value.is_kept_in_slots() && offset >= self.sp_limit {
            true => self.slots.put(offset, value, sign),
            false => self.slots.forget(offset, 8),
        }
    }

    /// Forgets all that these registers hold.
    pub fn clobber(&mut self, regs: Regs) {
        for reg in regs.common(self.known).iter() {
            self.registers[reg.index()] = Value::Unknown;
            self.ranges[reg.index()] = Range::Any;
            self.signs[reg.index()] = Sign::Unknown;
        }
        self.known = self.known.without(regs);
    }

    /// Executes one step.
    pub fn apply(&mut self, step: &Step) {
        match *step {
            Step::Nothing => {}
            Step::Writes(regs) => self.clobber(regs),
            Step::Add { to, from, by } => self.add(to, from, by),
            Step::AddRegister {
                to,
                from,
                by,
                shift,
                subtract,
            } => self.add_register(to, from, by, (shift, subtract)),
            Step::Near(to) => self.set(to, Value::Near),
            Step::Logic {
                to,
                from,
                by,
                is_exclusive,
            } => self.combine(to, from, by, is_exclusive),
            Step::Select {
                to,
                first,
                second,
                by,
            } => self.select(to, first, second, by),
            Step::Mask { to, from, mask } => self.mask(to, from, mask),
            Step::AddWord { to, from, by } => self.set_range(to, self.range(from).plus_word(by)),
            Step::BitField {
                to,
                from,
                right,
                mask,
                left,
            } => self.set_range(to, self.range(from).shifted(right, mask, left)),
            Step::Constant { to, value } => self.set(to, Value::constant(value as i64)),
            Step::Insert { to, bits, shift } => self.insert(to, bits, shift),
            Step::Sign(reg) => self.sign_with(reg, None),
            Step::SignReturn => self.sign_with(Reg::X30, Some((Sign::Plain, Sign::Signed))),
            Step::AuthenticateReturn => {
                self.sign_with(Reg::X30, Some((Sign::Signed, Sign::Plain)));
            }
            Step::Access(access) => self.access(&access),
            Step::ZeroBlock(base) => self.store(self.zeroed(base), &[None; 2]),
            Step::Anything => *self = Self::NONE,
        }
    }

    /// A code is put on `reg` or taken off. `change` is what key A and SP make of what.
    fn sign_with(&mut self, reg: Reg, change: Option<(Sign, Sign)>) {
        let value = self.get(reg);
        if !value.is_code_address() {
            self.set(reg, Value::Unknown);
            return;
        }
        let is_by_cfa = self.get(Reg::SP) == Value::Cfa(0);
        let sign = match change {
            Some((from, to)) if is_by_cfa && self.sign(reg) == from => to,
            _ => Sign::Unknown,
        };
        self.set_signed(reg, value, sign);
    }

    /// `to = from & mask`.
    fn mask(&mut self, to: Reg, from: Reg, mask: u64) {
        let (value, range) = (self.get(from), self.range(from));
        self.set_range(to, range.masked(mask));
        if let (Reg::SP, Value::Cfa(limit), true) = (to, value, is_top_run(mask)) {
            self.limit_sp(limit);
        }
    }

    /// A call that returns (A1): see [`Regs::CALL`].
    pub fn apply_call(&mut self) {
        self.clobber(Regs::CALL);
        if !matches!(self.registers[18], Value::Shadow(_)) {
            self.clobber(Regs::of(1 << 18));
        }
        self.slots.forget_popped();
    }

    fn access(&mut self, access: &Access) {
        let base = self.get(access.base);
        let moves = match access.mode {
            Mode::PreIndex(by) | Mode::PostIndex(by) => Some(by),
            Mode::Offset(_) | Mode::PostRegister | Mode::Register(_) => None,
        };
        let hit = self.hit(access);
        let stored = |reg| (self.get(reg), self.sign(reg));
        let data = access.data.map(|reg| reg.map(stored));
        if access.load {
            let is_frame = matches!(access.base, Reg::SP | Reg::X29)
                || matches!(self.range(access.base), Range::Stack(_));
            let address = self.offset(access).map(|offset| base.plus(offset));
            self.load(address.unwrap_or(Value::Unknown), access.data);
            for reg in access.data.into_iter().flatten().filter(|_| !is_frame) {
                if self.get(reg) == Value::Unknown {
                    self.set_range(reg, Range::Loaded);
                }
            }
        }
        self.clobber(access.writes);
        // A base that is loaded too has no defined value.
        let is_loaded = access.load && access.data.contains(&Some(access.base));
        match moves {
            Some(by) if !is_loaded => self.add(access.base, access.base, by),
            None if access.mode != Mode::PostRegister => {}
            _ => self.set(access.base, Value::Unknown),
        }
        self.store(hit, &data);
    }

    /// How far from its base an access is, if that is known.
    fn offset(&self, access: &Access) -> Option<i64> {
        match access.mode {
            Mode::Offset(offset) | Mode::PreIndex(offset) => Some(offset),
            Mode::PostIndex(_) | Mode::PostRegister => Some(0),
            Mode::Register(index) => self.index(index),
        }
    }

    /// What an access may change of the memory that facts are about.
    fn hit(&self, access: &Access) -> Hit {
        if access.load || access.store == Store::Nothing {
            return Hit::Nothing;
        }
        let (base, offset, store) = (self.get(access.base), self.offset(access), access.store);
        match base {
            Value::Unknown if access.base == Reg::SP => {
                let limit = offset.map(|by| i64::from(self.sp_limit).checked_add(by));
                Hit::by_sp(limit, store)
            }
            Value::Unknown | Value::CallerFp => {
                Hit::within(self.target(access.base, offset), store)
            }
            Value::Shadow(_) => Hit::Shadow(offset.map(|offset| base.plus(offset)), store),
            Value::Cfa(_) => Hit::by_cfa(offset.map(|offset| base.plus(offset)), store),
            // An address of something else, or a number.
            _ => Hit::Elsewhere,
        }
    }

    /// What `dc zva` may change of it.
    fn zeroed(&self, base: Reg) -> Hit {
        match self.get(base) {
            _ if self.range(base).may_be_stack() => Hit::Anywhere,
            Value::Shadow(_) => Hit::Shadow(None, Store::Unbounded),
            _ => Hit::Elsewhere,
        }
    }

    /// What a step rests on beyond what the instructions say, if anything.
    #[must_use]
    pub(super) fn relies_on(&self, step: &Step) -> Option<Assumption> {
        match *step {
            Step::Access(access) => self.hit(&access).relies_on(),
            Step::ZeroBlock(base) => self.zeroed(base).relies_on(),
            _ if step.writes().contains(Reg::SP) => self.moves_sp(step),
            _ => None,
        }
    }

    /// What a step that writes SP rests on: that the limit of SP stays.
    fn moves_sp(&self, step: &Step) -> Option<Assumption> {
        let is_known = |reg| self.get(reg) != Value::Unknown;
        match *step {
            // By a number, whose sum the limit follows; or all is forgotten.
            Step::Access(_) | Step::Anything | Step::Add { from: Reg::SP, .. } => None,
            Step::Add { from, .. } | Step::Mask { from, .. } if is_known(from) => None,
            Step::AddRegister { by, .. } if matches!(self.get(by), Value::Constant(_)) => None,
            Step::Add { from, .. } if self.range(from) == Range::Loaded => {
                Some(Assumption::OtherStack)
            }
            _ => Some(Assumption::SpByRunTime),
        }
    }

    /// The number that an index adds to an address, if it is known.
    fn index(&self, index: Option<Index>) -> Option<i64> {
        let index = index?;
        match self.get(index.reg) {
            Value::Constant(number) => Some(i64::from(number) << index.shift),
            _ => None,
        }
    }

    /// What is at an offset from what `base` holds, or at an index that is not known.
    fn target(&self, base: Reg, offset: Option<i64>) -> Range {
        let range = self.range(base);
        offset.map_or(range.without_bounds(), |offset| range.plus(offset))
    }

    /// Loads 8 bytes at `address` into the first register, the next 8 into the second.
    fn load(&mut self, address: Value, data: [Option<Reg>; 2]) {
        let mut loaded = [(Value::Unknown, Sign::Unknown); 2];
        for (value, above) in loaded.iter_mut().zip([0, 8]) {
            *value = match address.plus(above) {
                Value::Cfa(offset) => (self.slot(offset), self.slot_sign(offset)),
                Value::Shadow(0) if self.shadow => (Value::ReturnAddress, Sign::Unknown),
                _ => (Value::Unknown, Sign::Unknown),
            };
        }
        for (reg, (value, sign)) in data.into_iter().zip(loaded) {
            if let Some(reg) = reg {
                self.set_signed(reg, value, sign);
            }
        }
    }

    /// Stores what `data` says.
    fn store(&mut self, hit: Hit, data: &[Option<(Value, Sign)>; 2]) {
        match hit {
            Hit::Nothing | Hit::Elsewhere | Hit::Array => {}
            Hit::Anywhere => self.slots = Slots::NONE,
            Hit::OneOf(span, bytes) => self.slots.forget_hit(span, bytes),
            Hit::Below(end) => self.slots.forget_below(end),
            Hit::At(offset, bytes) => {
                self.slots.forget(offset, bytes);
                for (value, at) in data.iter().zip([Some(offset), offset.checked_add(8)]) {
                    if let (Some(value), Some(at)) = (value, at) {
                        self.remember(at, *value);
                    }
                }
            }
            Hit::Shadow(address, store) => self.store_shadow(address, store, data),
        }
    }

    fn store_shadow(
        &mut self,
        address: Option<Value>,
        store: Store,
        data: &[Option<(Value, Sign)>; 2],
    ) {
        match (store, address) {
            (Store::Nothing, _) => {}
            (Store::Bytes(8), Some(Value::Shadow(0))) => {
                self.shadow = data[0].is_some_and(|(value, _)| value == Value::ReturnAddress);
            }
            // Above it: what a callee would push, or a second push.
            (Store::Bytes(_), Some(Value::Shadow(8..))) => {}
            _ => self.shadow = false,
        }
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for reg in [Reg::SP, Reg::X29, Reg::X30] {
            write!(f, "{reg}={}, ", self.get(reg))?;
        }
        write!(f, "{}", self.slots)
    }
}
