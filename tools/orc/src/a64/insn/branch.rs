// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Branches, exception generation and system instructions (bits 28..26: 101).

use super::{bit, field, signed, Flow, Insn, Reg, Regs, Step};

pub(super) fn decode(word: u32) -> Insn {
    match word >> 24 {
        0x14..=0x17 => Insn::flow(Flow::Jump(signed(word, 0, 26) * 4)),
        0x94..=0x97 => Insn::flow(Flow::Call(signed(word, 0, 26) * 4)),
        // cbz, cbnz
        0x34 | 0x35 | 0xb4 | 0xb5 => conditional(signed(word, 5, 19)),
        // tbz, tbnz
        0x36 | 0x37 | 0xb6 | 0xb7 => conditional(signed(word, 5, 14)),
        // b.cond, bc.cond
        0x54 => conditional(signed(word, 5, 19)),
        0x55 => return_with_immediate(word),
        0x74 | 0x75 | 0xf4 | 0xf5 => compare(word),
        0xd4 => exception(word),
        0xd5 => Insn::plain(system(word)),
        0xd6 | 0xd7 => register(word),
        _ => Insn::UNKNOWN,
    }
}

const fn conditional(words: i64) -> Insn {
    Insn::flow(Flow::Conditional(words * 4))
}

/// `cb<cc>` of a register or an immediate, `cbb<cc>`, `cbh<cc>` (FEAT_CMPBR).
fn compare(word: u32) -> Insn {
    let is_condition = field(word, 22, 2) != 0b10;
    let is_form = match (bit(word, 24), field(word, 14, 2)) {
        (true, form) => form & 1 == 0,
        (false, 0b00) => true,
        (false, 0b10 | 0b11) => !bit(word, 31),
        _ => false,
    };
    match is_condition && is_form {
        true => conditional(signed(word, 5, 9)),
        false => Insn::UNKNOWN,
    }
}

/// `retaasppc`, `retabsppc`: the immediate is where x30 was signed.
fn return_with_immediate(word: u32) -> Insn {
    match word & 0xffc0_001f {
        0x5500_001f => Insn::flow(Flow::Return(Reg::X30)),
        _ => Insn::UNKNOWN,
    }
}

fn exception(word: u32) -> Insn {
    match (field(word, 21, 3), field(word, 0, 5)) {
        // svc, hvc, smc
        (0b000, 0b00001..=0b00011) => Insn::plain(Step::Writes(Regs::FIRMWARE)),
        // brk, hlt
        (0b001 | 0b010, 0b00000) => Insn::flow(Flow::Trap),
        _ => Insn::UNKNOWN,
    }
}

fn system(word: u32) -> Step {
    // Bit 21: the instruction has a result, in Rt (mrs, sysl); with bit 22, a
    // result of 128 bits in Rt and the register after it (mrrs).
    match (bit(word, 22), bit(word, 21)) {
        // sysp, msrr and mrrs are of operations and of system registers.
        _ if bit(word, 23) || bit(word, 22) && field(word, 19, 2) == 0 => Step::Anything,
        (false, true) => Step::writes_or_zero(word),
        (true, true) => Step::Writes(pair_from(word)),
        (true, false) => Step::Nothing,
        (false, false) => match field(word, 19, 2) {
            0b00 => hint_or_state(word),
            0b01 => operation(word),
            // msr spsel, which decides which stack pointer SP is.
            _ if field(word, 5, 16) == 0xc210 => Step::Writes(Regs::NONE.with(Reg::SP)),
            // msr of a system register; sp_el0 and elr_el1 are such, and not SP
            // as this exception level sees it.
            _ => Step::Nothing,
        },
    }
}

const fn pair_from(number: u32) -> Regs {
    Regs::NONE.with_or_zero(number).with_or_zero(number + 1)
}

fn hint_or_state(word: u32) -> Step {
    match field(word, 12, 4) {
        0b0010 if field(word, 16, 3) == 0b011 && field(word, 0, 5) == 31 => hint(field(word, 5, 7)),
        // wfet and wfit, which read Rt; barriers.
        0b0001 | 0b0011 => Step::Nothing,
        // msr of a PSTATE field. SPSel decides which stack pointer SP is.
        0b0100 if field(word, 16, 3) == 0b000 && field(word, 5, 3) == 0b101 => {
            Step::Writes(Regs::NONE.with(Reg::SP))
        }
        0b0100 => Step::Nothing,
        _ => Step::Anything,
    }
}

/// `number` is CRm:op2. A hint that is not known is a nop, by definition.
fn hint(number: u32) -> Step {
    const X16: Reg = Reg::or_sp(16);
    const X17: Reg = Reg::or_sp(17);
    match number {
        25 => Step::SignReturn,
        29 => Step::AuthenticateReturn,
        // xpaclri; paciaz, pacibz, pacibsp; autiaz, autibz, autibsp
        7 | 24..=31 => Step::Sign(Reg::X30),
        // pacia1716, pacib1716, autia1716, autib1716
        8 | 10 | 12 | 14 => Step::Sign(X17),
        // chkfeat
        40 => Step::Writes(Regs::NONE.with(X16)),
        _ => Step::Nothing,
    }
}

/// `sys`, of which the `dc` operations that zero memory matter.
fn operation(word: u32) -> Step {
    let is_dc_zero = field(word, 16, 3) == 0b011
        && field(word, 12, 4) == 7
        && field(word, 8, 4) == 4
        && matches!(field(word, 5, 3), 1 | 3 | 4);
    match Reg::or_zero(word) {
        Some(base) if is_dc_zero => Step::ZeroBlock(base),
        _ => Step::Nothing,
    }
}

/// `br`, `blr`, `ret`, `eret`, `drps` and their authenticating forms.
fn register(word: u32) -> Insn {
    let target = Reg::or_zero(word >> 5);
    let is_plain = field(word, 10, 6) == 0 && field(word, 0, 5) == 0;
    let is_signed = field(word, 11, 5) == 1;
    let has_no_modifier = field(word, 0, 5) == 31;
    if field(word, 16, 5) != 0b11111 || !(is_plain || is_signed) {
        return Insn::UNKNOWN;
    }
    match (field(word, 21, 4), target) {
        (0b0000, _) if is_plain => Insn::flow(Flow::IndirectJump),
        (0b0001, _) if is_plain => Insn::flow(Flow::IndirectCall),
        (0b0010, Some(reg)) if is_plain => Insn::flow(Flow::Return(reg)),
        // ret xzr: to address 0.
        (0b0010, None) if is_plain => Insn::flow(Flow::ExceptionReturn),
        // braa and blraa name a modifier in bits 4..0; with bit 24 clear it is zero.
        (0b1000, _) if is_signed => Insn::flow(Flow::IndirectJump),
        (0b1001, _) if is_signed => Insn::flow(Flow::IndirectCall),
        (0b0000, _) if is_signed && has_no_modifier => Insn::flow(Flow::IndirectJump),
        (0b0001, _) if is_signed && has_no_modifier => Insn::flow(Flow::IndirectCall),
        // retaa, retab; retaasppcr, retabsppcr name a modifier in bits 4..0.
        (0b0010, None) if is_signed => Insn::flow(Flow::Return(Reg::X30)),
        (0b0100, None) if is_plain || has_no_modifier => Insn::flow(Flow::ExceptionReturn),
        (0b0101, None) if is_plain => Insn::flow(Flow::ExceptionReturn),
        _ => Insn::UNKNOWN,
    }
}
