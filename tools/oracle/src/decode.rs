// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What an A64 instruction may do to SP, x29 and x30, and where it may go.
//!
//! Each answer errs on one side: an instruction that may change a register is said
//! to, so that the register is read again after it. Too much costs time; too little
//! would show as a state that the guest is not in.

/// Where an instruction goes on, as far as a call stack cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next instruction, or by a branch within or to a function.
    Other,
    /// `bl` and `blr` in all their forms.
    Call,
    /// `ret` by this register.
    Return(u8),
    /// `eret` in all its forms.
    ExceptionReturn,
}

/// Registers as bits, for [`changes`].
pub const SP: u8 = 1;
/// x29.
pub const FP: u8 = 2;
/// x30.
pub const LR: u8 = 4;
/// The interrupt masks of PSTATE.
pub const DAIF: u8 = 8;
/// All of them.
pub const ALL: u8 = SP | FP | LR | DAIF;

fn field(word: u32, low: u32, bits: u32) -> u32 {
    (word >> low) & ((1 << bits) - 1)
}

/// Where this instruction goes on.
#[must_use]
pub fn flow(word: u32) -> Flow {
    // A call of the next instruction only reads the PC.
    if word >> 26 == 0b100101 && field(word, 0, 26) != 1 {
        return Flow::Call;
    }
    if field(word, 25, 7) != 0b110_1011 {
        return Flow::Other;
    }
    let register = u8::try_from(field(word, 5, 5)).unwrap_or(30);
    let authenticated = field(word, 10, 2) != 0;
    match field(word, 21, 4) {
        0b0001 | 0b1001 => Flow::Call,
        0b0010 if authenticated => Flow::Return(30),
        0b0010 => Flow::Return(register),
        0b0100 => Flow::ExceptionReturn,
        _ => Flow::Other,
    }
}

/// Which of SP, x29, x30 and the interrupt masks this instruction may change.
#[must_use]
pub fn changes(word: u32) -> u8 {
    let mut changed = 0;
    if may_write_sp(word) {
        changed |= SP;
    }
    if may_write(word, 29) {
        changed |= FP;
    }
    if may_write(word, 30) {
        changed |= LR;
    }
    if writes_daif(word) {
        changed |= DAIF;
    }
    changed
}

/// Whether this instruction may write memory in a way that no callback tells of:
/// `dc zva` and its kin, and the memory copy and set instructions.
#[must_use]
pub fn writes_unseen(word: u32) -> bool {
    let zva = word & 0xffff_ff00 == 0xd50b_7400 && field(word, 5, 3) != 0b100
        || word & 0xffff_ffe0 == 0xd50b_7420;
    zva || word & 0x3b20_0c00 == 0x1900_0400
}

/// Whether this is of the class of loads and stores, and no plain load.
#[must_use]
pub fn may_store(word: u32) -> bool {
    is_load_store(word) && !is_plain_load(word)
}

fn is_load_store(word: u32) -> bool {
    field(word, 27, 1) == 1 && field(word, 25, 1) == 0
}

/// A load of a pair, or of a register by immediate, register or literal.
fn is_plain_load(word: u32) -> bool {
    match field(word, 27, 3) {
        0b101 => field(word, 22, 1) == 1,
        0b011 => field(word, 24, 2) == 0,
        0b111 => {
            is_plain_single(word)
                && field(word, 22, 2) != 0
                && !(field(word, 26, 1) == 1 && field(word, 22, 2) == 2)
        }
        _ => false,
    }
}

/// A load or store of one register that is no atomic.
fn is_plain_single(word: u32) -> bool {
    field(word, 24, 2) == 1 || field(word, 21, 1) == 0 || field(word, 10, 2) == 2
}

fn is_plain_store(word: u32) -> bool {
    match field(word, 27, 3) {
        0b101 => field(word, 22, 1) == 0,
        0b111 => is_plain_single(word) && field(word, 22, 2) == 0,
        _ => false,
    }
}

/// Whether a load or store may write its base register.
fn writes_back(word: u32) -> bool {
    match field(word, 27, 3) {
        0b101 => field(word, 23, 1) == 1,
        0b111 if field(word, 24, 2) == 1 => false,
        0b111 if field(word, 21, 1) == 0 => field(word, 10, 1) == 1,
        0b111 => field(word, 10, 2) != 0b10 && field(word, 10, 2) != 0,
        _ => true,
    }
}

fn may_write_sp(word: u32) -> bool {
    let (to_sp, of_sp) = (field(word, 0, 5) == 31, field(word, 5, 5) == 31);
    if is_load_store(word) {
        return of_sp && writes_back(word);
    }
    match field(word, 25, 4) {
        // Immediate: with flags, 31 is the zero register.
        0b1000 | 0b1001 => {
            let adds = field(word, 24, 5) == 0b10001 && field(word, 29, 1) == 1;
            let ands = field(word, 23, 6) == 0b100_100 && field(word, 29, 2) == 0b11;
            to_sp && !adds && !ands
        }
        // Register: add and sub of an extended register, and irg.
        0b0101 | 0b1101 => {
            let extended = field(word, 24, 5) == 0b01011 && field(word, 21, 1) == 1;
            let two_sources = word & 0x7fe0_0000 == 0x1ac0_0000;
            to_sp && (extended || two_sources)
        }
        // Scalable vectors: addvl, addpl and what may come.
        0b0010 | 0b0000 => to_sp,
        _ => false,
    }
}

/// Whether general register `register` may be written.
fn may_write(word: u32, register: u32) -> bool {
    let is = |low| field(word, low, 5) == register;
    if is_load_store(word) {
        let base = is(5) && writes_back(word);
        if is_plain_store(word) {
            return base;
        }
        if is_plain_load(word) {
            let pair = field(word, 27, 3) == 0b101 && is(10);
            return base || is(0) || pair;
        }
        return is(0) || is(5) || is(10) || is(16);
    }
    if field(word, 26, 3) == 0b101 {
        return branch_writes(word, register);
    }
    is(0)
}

/// Branches, hints and system instructions.
fn branch_writes(word: u32, register: u32) -> bool {
    if flow(word) == Flow::Call || word == 0x9400_0001 {
        return register == 30;
    }
    // Hints that sign, authenticate or strip x30.
    if word & 0xffff_f01f == 0xd503_201f {
        return register == 30 && field(word, 5, 7) != 0;
    }
    // mrs, sysl and whatever else has a target.
    word >> 24 == 0xd5 && field(word, 21, 1) == 1 && field(word, 0, 5) == register
}

/// `msr daifset`, `msr daifclr`, `msr daif, xt`, and the exception masks of NMI.
fn writes_daif(word: u32) -> bool {
    word & 0xffff_f0df == 0xd503_40df || word & 0xffff_ffe0 == 0xd51b_4220
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_calls_and_returns() {
        for (word, expected) in [
            (0x9400_0002, Flow::Call),       // bl .+8
            (0x97ff_ffff, Flow::Call),       // bl .-4
            (0x9400_0001, Flow::Other),      // bl .+4
            (0x1400_0002, Flow::Other),      // b .+8
            (0xd63f_0020, Flow::Call),       // blr x1
            (0xd63f_083f, Flow::Call),       // blraaz x1
            (0xd73f_0822, Flow::Call),       // blraa x1, x2
            (0xd61f_0220, Flow::Other),      // br x17
            (0xd65f_03c0, Flow::Return(30)), // ret
            (0xd65f_0120, Flow::Return(9)),  // ret x9
            (0xd65f_0bff, Flow::Return(30)), // retaa
            (0xd65f_0fff, Flow::Return(30)), // retab
            (0xd69f_03e0, Flow::ExceptionReturn),
            (0xd69f_0bff, Flow::ExceptionReturn), // eretaa
            (0xd503_201f, Flow::Other),           // nop
        ] {
            assert_eq!(flow(word), expected, "{word:#x}");
        }
    }

    #[test]
    fn knows_what_changes() {
        for (word, expected) in [
            (0xa9bf_7bfd, SP),             // stp x29, x30, [sp, #-16]!
            (0xa900_7bfd, 0),              // stp x29, x30, [sp]
            (0xa8c1_7bfd, SP | FP | LR),   // ldp x29, x30, [sp], #16
            (0xa940_7bfd, FP | LR),        // ldp x29, x30, [sp]
            (0x9100_03fd, FP),             // mov x29, sp
            (0x9100_03bf, SP),             // mov sp, x29
            (0xd100_43ff, SP),             // sub sp, sp, #16
            (0xcb20_63ff, SP),             // sub sp, sp, x0
            (0x927c_ec1f, SP),             // and sp, x0, #~15
            (0xf100_041f, 0),              // cmp x0, #1
            (0xf240_041f, 0),              // tst x0, #3
            (0xaa1f_03e0, 0),              // mov x0, xzr
            (0xaa09_03fe, LR),             // mov x30, x9
            (0xf940_03fe, LR),             // ldr x30, [sp]
            (0xf900_03fe, 0),              // str x30, [sp]
            (0xf81f_0ffe, SP),             // str x30, [sp, #-16]!
            (0xf841_07fe, SP | LR),        // ldr x30, [sp], #16
            (0xd503_233f, LR),             // paciasp
            (0xd503_23bf, LR),             // autiasp
            (0xd503_20ff, LR),             // xpaclri
            (0xd503_201f, 0),              // nop
            (0x9400_0002, LR),             // bl
            (0xd63f_0020, LR),             // blr x1
            (0xd503_42df, DAIF),           // msr daifset, #2
            (0xd503_42ff, DAIF),           // msr daifclr, #2
            (0xd51b_4220, DAIF),           // msr daif, x0
            (0xd538_411d, FP),             // mrs x29, sp_el0
            (0xf820_83fd, FP | SP_ATOMIC), // swp x0, x29, [sp]
        ] {
            assert_eq!(
                changes(word) & !SP_ATOMIC,
                expected & !SP_ATOMIC,
                "{word:#x}"
            );
        }
    }
    const SP_ATOMIC: u8 = 0x80;

    #[test]
    fn knows_stores() {
        for (word, expected) in [
            (0xa9bf_7bfd, true),  // stp
            (0xa940_7bfd, false), // ldp
            (0xf940_03fe, false), // ldr
            (0xf900_03fe, true),  // str
            (0x3c9f_0fe0, true),  // str q0, [sp, #-16]!
            (0x3cc1_07e0, false), // ldr q0, [sp], #16
            (0xf820_83fd, true),  // swp
            (0xc85f_7c00, true),  // ldxr: not worth telling apart
            (0x0c9f_7000, true),  // st1 with write-back
            (0x9100_03fd, false),
        ] {
            assert_eq!(may_store(word), expected, "{word:#x}");
        }
    }

    #[test]
    fn knows_writes_without_a_callback() {
        for (word, expected) in [
            (0xd50b_7420, true),  // dc zva, x0
            (0xd50b_7a20, false), // dc cvac, x0
            (0x19c2_0420, true),  // setp [x0]!, x1!, x2
            (0x1d01_0440, true),  // cpyp
            (0xf900_03fe, false),
        ] {
            assert_eq!(writes_unseen(word), expected, "{word:#x}");
        }
    }
}
