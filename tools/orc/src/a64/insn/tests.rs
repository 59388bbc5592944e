// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The model, word by word. Each word was assembled by llvm-mc 19 and, but for
//! extensions it lacks, by GNU as 2.40, which agreed. `tests/decoder.rs` compares
//! with a decoder that is not ours, over random words and over whole kernels.

use super::*;

const X29: Reg = Reg::X29;
const X30: Reg = Reg::X30;
const SP: Reg = Reg::SP;

fn x(number: u32) -> Reg {
    Reg::or_sp(number)
}

fn set(regs: &[Reg]) -> Regs {
    regs.iter().fold(Regs::NONE, |all, reg| all.with(*reg))
}

fn step(word: u32) -> Step {
    Insn::decode(word).step
}

fn access(word: u32) -> Access {
    match step(word) {
        Step::Access(access) => access,
        step => panic!("{word:08x}: no access, but {step:?}"),
    }
}

#[test]
fn follows_additions_and_moves() {
    let add = |to, from, by| Step::Add { to, from, by };
    let mask = |to, from, mask| Step::Mask { to, from, mask };
    for (asm, word, expected) in [
        ("sub sp, sp, #0x40", 0xd101_03ff, add(SP, SP, -0x40)),
        ("add sp, sp, #1, lsl #12", 0x9140_07ff, add(SP, SP, 0x1000)),
        ("add x29, sp, #16", 0x9100_43fd, add(X29, SP, 16)),
        ("mov x29, sp", 0x9100_03fd, add(X29, SP, 0)),
        ("mov sp, x29", 0x9100_03bf, add(SP, X29, 0)),
        ("mov x30, x8", 0xaa08_03fe, add(X30, x(8), 0)),
        ("mov x12, #4128", 0xd282_040c, constant(x(12), 4128)),
        ("movn x12, #0", 0x9280_000c, constant(x(12), u64::MAX)),
        (
            "and sp, x9, #0xffffffffffffffc0",
            0x927a_e53f,
            mask(SP, x(9), !0x3f),
        ),
        (
            "movk x12, #1, lsl #16",
            0xf2a0_002c,
            Step::Insert {
                to: x(12),
                bits: 1,
                shift: 16,
            },
        ),
        ("sub sp, sp, x12", 0xcb2c_63ff, sum(SP, SP, x(12), 0, true)),
        (
            "add sp, x29, x1, lsl #3",
            0x8b21_6fbf,
            sum(SP, X29, x(1), 3, false),
        ),
        (
            "sub x29, x29, x12",
            0xcb0c_03bd,
            sum(X29, X29, x(12), 0, true),
        ),
    ] {
        assert_eq!(step(word), expected, "{asm}");
    }
}

fn constant(to: Reg, value: u64) -> Step {
    Step::Constant { to, value }
}

fn sum(to: Reg, from: Reg, by: Reg, shift: u32, subtract: bool) -> Step {
    Step::AddRegister {
        to,
        from,
        by,
        shift,
        subtract,
    }
}

#[test]
fn pointer_authentication_keeps_the_return_address() {
    for (asm, word, reg) in [
        ("pacibsp", 0xd503_237f, X30),
        ("autibsp", 0xd503_23ff, X30),
        ("pacia x30, sp", 0xdac1_03fe, X30),
        ("autia x30, sp", 0xdac1_13fe, X30),
        ("xpaclri", 0xd503_20ff, X30),
        ("xpaci x30", 0xdac1_43fe, X30),
        ("pacia1716", 0xd503_211f, x(17)),
        ("paciza x30", 0xdac1_23fe, X30),
        ("xpacd x30", 0xdac1_47fe, X30),
        ("paciasppc", 0xdac1_a3fe, X30),
        ("pacnbiasppc", 0xdac1_83fe, X30),
        ("autiasppcr x3", 0xdac1_907e, X30),
        ("pacia171615", 0xdac1_8bfe, x(17)),
        ("autib171615", 0xdac1_bffe, x(17)),
    ] {
        assert_eq!(step(word), Step::Sign(reg), "{asm}");
    }
    assert_eq!(step(0xd503_233f), Step::SignReturn, "paciasp");
    assert_eq!(step(0xd503_23bf), Step::AuthenticateReturn, "autiasp");
}

#[test]
fn knows_what_has_no_effect() {
    for (asm, word) in [
        ("nop", 0xd503_201f),
        ("bti c", 0xd503_245f),
        ("cmp sp, #16", 0xf100_43ff),
        ("ands xzr, x9, #0xf0", 0xf27c_0d3f),
        ("ccmp x29, x30, #15, eq", 0xfa5e_03af),
        ("rmif x1, #3, #15", 0xba01_842f),
        ("setf8 w30", 0x3a00_0bcd),
        ("msr sp_el0, x29", 0xd518_411d),
        ("msr daifset, #2", 0xd503_42df),
        ("dc civac, x0", 0xd50b_7e20),
        ("gcspushm x30", 0xd50b_771e),
        ("wfet x30", 0xd503_101e),
        ("isb", 0xd503_3fdf),
        ("prfm pldl1keep, [sp]", 0xf980_03e0),
        ("whilelo p0.b, x29, x30", 0x253e_1fa0),
        ("mov z29.b, w30", 0x0520_3bdd),
        ("ldr z0, [sp]", 0x8580_43e0),
        ("fmov d30, x0", 0x9e67_001e),
        ("scvtf d29, x0", 0x9e62_001d),
        ("fadd d30, d0, d1", 0x1e61_281e),
        ("mov v29.16b, v1.16b", 0x4ea1_1c3d),
    ] {
        let insn = Insn::decode(word);
        assert_eq!(insn.flow, Flow::Next, "{asm}");
        let writes = match insn.step {
            Step::Writes(regs) => regs,
            Step::Nothing => Regs::NONE,
            step => panic!("{asm}: {step:?}"),
        };
        assert!(writes.is_empty(), "{asm}");
    }
}

#[test]
fn follows_masks_and_shifts_of_numbers() {
    let mask = |to, from, mask| Step::Mask { to, from, mask };
    let bits = |to, from, right, mask, left| Step::BitField {
        to,
        from,
        right,
        mask,
        left,
    };
    let (x8, w8) = (x(8), x(8));
    for (asm, word, expected) in [
        ("and x8, x8, #0x3f0", 0x927c_1508, mask(x8, x8, 0x3f0)),
        ("ands x8, x8, #0x3f0", 0xf27c_1508, mask(x8, x8, 0x3f0)),
        ("and w8, w8, #0x3fc", 0x121e_1d08, mask(w8, w8, 0x3fc)),
        (
            "and w8, w8, #0xfffffff0",
            0x121c_6d08,
            mask(w8, w8, 0xffff_fff0),
        ),
        (
            "and x8, x8, #0xf0f0f0f0f0f0f0f0",
            0x9204_cd08,
            mask(x8, x8, 0xf0f0_f0f0_f0f0_f0f0),
        ),
        (
            "lsl x8, x8, #4",
            0xd37c_ed08,
            bits(x8, x8, 0, u64::MAX >> 4, 4),
        ),
        ("lsr w8, w8, #26", 0x531a_7d08, bits(w8, w8, 26, 0x3f, 0)),
        ("ubfx x8, x8, #3, #6", 0xd343_2108, bits(x8, x8, 3, 0x3f, 0)),
        (
            "add w8, w8, #15",
            0x1100_3d08,
            Step::AddWord {
                to: w8,
                from: w8,
                by: 15,
            },
        ),
    ] {
        assert_eq!(step(word), expected, "{asm}");
    }
}

#[test]
fn follows_sums_selections_and_bits() {
    let x = |number| Reg::or_sp(number);
    let logic = |by, is_exclusive| Step::Logic {
        to: X29,
        from: x(9),
        by,
        is_exclusive,
    };
    let sum = Step::Add {
        to: X29,
        from: Reg::SP,
        by: 16,
    };
    let select = |first, second, by| Step::Select {
        to: X29,
        first,
        second,
        by,
    };
    for (asm, word, expected) in [
        ("adds x29, sp, #16", 0xb100_43fd, sum),
        ("adr x30, .", 0x1000_001e, Step::Near(X30)),
        ("adrp x29, 0", 0x9000_001d, Step::Near(X29)),
        (
            "orr x29, x9, x10",
            0xaa0a_013d,
            logic(Operand::Register(x(10)), false),
        ),
        (
            "eor x29, x9, x10",
            0xca0a_013d,
            logic(Operand::Register(x(10)), true),
        ),
        (
            "orr x29, x9, #8",
            0xb27d_013d,
            logic(Operand::Bits(8), false),
        ),
        (
            "orr x12, xzr, #0x30000",
            0xb270_07ec,
            Step::Constant {
                to: x(12),
                value: 0x3_0000,
            },
        ),
        (
            "csel x29, x1, x2, eq",
            0x9a82_003d,
            select(Some(x(1)), Some(x(2)), 0),
        ),
        (
            "csinc x29, x1, xzr, eq",
            0x9a9f_043d,
            select(Some(x(1)), None, 1),
        ),
    ] {
        assert_eq!(step(word), expected, "{asm}");
    }
}

#[test]
fn an_ordered_load_stores_nothing() {
    // READ_ONCE() in a kernel with link-time optimisation.
    let ldapr = access(0xf8bf_c109); // ldapr x9, [x8]
    assert_eq!((ldapr.store, ldapr.load), (Store::Nothing, false));
    for (asm, word) in [
        ("rcwclr x1, x2, [x3]", 0x3821_9062),
        ("rcwsset x1, x2, [x3]", 0x7821_b062),
    ] {
        assert_eq!(access(word).store, Store::Bytes(8), "{asm}");
    }
}

#[test]
fn destroys_what_takes_an_unknown_value() {
    for (asm, word, regs) in [
        ("add wsp, wsp, #16", 0x1100_43ff, set(&[SP])),
        ("sub sp, x8, w9, uxtw #2", 0xcb29_491f, set(&[SP])),
        ("addg sp, sp, #16, #1", 0x9181_07ff, set(&[SP])),
        ("irg sp, sp", 0x9adf_13ff, set(&[SP])),
        ("irg x29, x29, x1", 0x9ac1_13bd, set(&[X29])),
        ("subp x30, sp, x29", 0x9add_03fe, set(&[X30])),
        ("gmi x29, x1, x2", 0x9ac2_143d, set(&[X29])),
        ("smax x29, x1, #3", 0x91c0_0c3d, set(&[X29])),
        ("extr x29, x1, x2, #3", 0x93c2_0c3d, set(&[X29])),
        ("sbfx x30, x1, #3, #4", 0x9343_183e, set(&[X30])),
        ("bfxil x30, x1, #3, #4", 0xb343_183e, set(&[X30])),
        ("tst x8, #0x3f0", 0xf27c_151f, Regs::NONE),
        ("madd x30, x1, x2, x3", 0x9b02_0c3e, set(&[X30])),
        ("adc x29, x1, x2", 0x9a02_003d, set(&[X29])),
        ("crc32x w29, w1, x2", 0x9ac2_4c3d, set(&[X29])),
        ("pacga x29, x1, x2", 0x9ac2_303d, set(&[X29])),
        ("chkfeat x16", 0xd503_251f, set(&[x(16)])),
        ("mrs x29, sp_el0", 0xd538_411d, set(&[X29])),
        ("and sp, x9, #0x7ffffffffffffff0", 0x927c_e93f, set(&[SP])),
        ("and sp, x9, #0xfffffffffffffff1", 0x927c_f13f, set(&[SP])),
        ("and sp, x9, #0xf0f0f0f0f0f0f0f0", 0x9204_cd3f, set(&[SP])),
        ("and sp, xzr, #0xfffffffffffffff0", 0x927c_efff, set(&[SP])),
        ("and wsp, w9, #0xfffffff0", 0x121c_6d3f, set(&[SP])),
        ("orr sp, x9, #0xfffffffffffffff0", 0xb27c_ed3f, set(&[SP])),
        ("msr spsel, #1", 0xd500_41bf, set(&[SP])),
        ("msr spsel, x0", 0xd518_4200, set(&[SP])),
        ("sysl x30, #0, c7, c1, #0", 0xd528_711e, set(&[X30])),
        ("gcspopm x30", 0xd52b_773e, set(&[X30])),
        ("mrrs x28, x29, ttbr0_el1", 0xd578_201c, set(&[x(28), X29])),
        ("ldr x30, .", 0x5800_001e, set(&[X30])),
        ("addvl sp, sp, #-1", 0x043f_57ff, set(&[SP])),
        ("addpl x29, x29, #1", 0x047d_503d, set(&[X29])),
        ("rdvl x30, #1", 0x04bf_503e, set(&[X30])),
        ("cntb x29", 0x0420_e3fd, set(&[X29])),
        ("incb x30", 0x0430_e3fe, set(&[X30])),
        ("cntp x30, p0, p1.b", 0x2520_803e, set(&[X30])),
        ("lasta x30, p0, z1.d", 0x05e0_a03e, set(&[X30])),
        ("mov w29, w8", 0x2a08_03fd, set(&[X29])),
        ("umov x30, v0.d[1]", 0x4e18_3c1e, set(&[X30])),
        ("smov x29, v0.b[1]", 0x4e03_2c1d, set(&[X29])),
        ("fmov x30, d0", 0x9e66_001e, set(&[X30])),
        ("fcvtzs x29, d0", 0x9e78_001d, set(&[X29])),
        ("fcvtzs w30, s0, #4", 0x1e18_f01e, set(&[X30])),
        ("smc #0", 0xd400_0003, Regs::FIRMWARE),
    ] {
        assert_eq!(step(word), Step::Writes(regs), "{asm}");
    }
}

#[test]
fn follows_loads_and_stores_of_64_bits() {
    let none = Access {
        base: SP,
        mode: Mode::Offset(0),
        store: Store::Nothing,
        data: [None; 2],
        load: false,
        writes: Regs::NONE,
    };
    let record = [Some(X29), Some(X30)];
    let store = |mode, data: [Option<Reg>; 2]| Access {
        mode,
        store: Store::Bytes(8 * data.iter().flatten().count() as u32),
        data,
        ..none
    };
    let load = |mode, data| Access {
        mode,
        data,
        load: true,
        ..none
    };
    let at_x18 = |access| Access {
        base: x(18),
        ..access
    };
    let link = [Some(X30), None];
    for (asm, word, expected) in [
        (
            "stp x29, x30, [sp, #-32]!",
            0xa9be_7bfd,
            store(Mode::PreIndex(-32), record),
        ),
        (
            "ldp x29, x30, [sp], #32",
            0xa8c2_7bfd,
            load(Mode::PostIndex(32), record),
        ),
        (
            "stp x29, x30, [sp, #16]",
            0xa901_7bfd,
            store(Mode::Offset(16), record),
        ),
        (
            "ldp x29, x30, [sp, #16]",
            0xa941_7bfd,
            load(Mode::Offset(16), record),
        ),
        (
            "ldnp x29, x30, [sp, #16]",
            0xa841_7bfd,
            load(Mode::Offset(16), record),
        ),
        (
            "stgp x29, x30, [sp, #-32]!",
            0x69bf_7bfd,
            store(Mode::PreIndex(-32), record),
        ),
        (
            "str x30, [sp, #-16]!",
            0xf81f_0ffe,
            store(Mode::PreIndex(-16), link),
        ),
        (
            "ldr x30, [sp], #16",
            0xf841_07fe,
            load(Mode::PostIndex(16), link),
        ),
        (
            "str x30, [x18], #8",
            0xf800_865e,
            at_x18(store(Mode::PostIndex(8), link)),
        ),
        (
            "ldr x30, [x18, #-8]!",
            0xf85f_8e5e,
            at_x18(load(Mode::PreIndex(-8), link)),
        ),
        (
            "stur x30, [sp, #-8]",
            0xf81f_83fe,
            store(Mode::Offset(-8), link),
        ),
        (
            "ldr x30, [sp, x1, lsl #3]",
            0xf861_7bfe,
            load(
                Mode::Register(Some(Index {
                    reg: Reg::or_sp(1),
                    shift: 3,
                })),
                link,
            ),
        ),
        (
            "str x29, [sp, #32760]",
            0xf93f_fffd,
            store(Mode::Offset(32760), [Some(X29), None]),
        ),
    ] {
        assert_eq!(access(word), expected, "{asm}");
    }
}

#[test]
fn knows_what_other_accesses_write() {
    let cases: &[(&str, u32, &[Reg], Mode, Store)] = &[
        (
            "stp w29, w30, [sp, #16]",
            0x2902_7bfd,
            &[],
            Mode::Offset(16),
            Store::Bytes(8),
        ),
        (
            "ldpsw x29, x30, [sp]",
            0x6940_7bfd,
            &[X29, X30],
            Mode::Offset(0),
            Store::Nothing,
        ),
        (
            "stp q0, q1, [sp, #-64]!",
            0xadbe_07e0,
            &[SP],
            Mode::PreIndex(-64),
            Store::Bytes(32),
        ),
        (
            "ldp d8, d9, [sp], #16",
            0x6cc1_27e8,
            &[SP],
            Mode::PostIndex(16),
            Store::Nothing,
        ),
        (
            "ldur w30, [sp, #-8]",
            0xb85f_83fe,
            &[X30],
            Mode::Offset(-8),
            Store::Nothing,
        ),
        (
            "str x0, [sp, x1]",
            0xf821_6be0,
            &[],
            Mode::Register(Some(Index {
                reg: Reg::or_sp(1),
                shift: 0,
            })),
            Store::Bytes(8),
        ),
        (
            "ldrsw x30, [sp, #4]",
            0xb980_07fe,
            &[X30],
            Mode::Offset(4),
            Store::Nothing,
        ),
        (
            "ldrb w29, [sp]",
            0x3940_03fd,
            &[X29],
            Mode::Offset(0),
            Store::Nothing,
        ),
        (
            "strb w29, [sp, #3]",
            0x3900_0ffd,
            &[],
            Mode::Offset(3),
            Store::Bytes(1),
        ),
        (
            "ldr q0, [sp], #16",
            0x3cc1_07e0,
            &[SP],
            Mode::PostIndex(16),
            Store::Nothing,
        ),
        (
            "str q0, [sp, #-16]!",
            0x3c9f_0fe0,
            &[SP],
            Mode::PreIndex(-16),
            Store::Bytes(16),
        ),
        (
            "ldraa x30, [sp, #8]!",
            0xf820_1ffe,
            &[X30, SP],
            Mode::PreIndex(8),
            Store::Nothing,
        ),
        (
            "ldxr x30, [sp]",
            0xc85f_7ffe,
            &[X30],
            Mode::Offset(0),
            Store::Nothing,
        ),
        (
            "stxr w29, x1, [sp]",
            0xc81d_7fe1,
            &[X29],
            Mode::Offset(0),
            Store::Bytes(8),
        ),
        (
            "stlr x30, [sp]",
            0xc89f_fffe,
            &[],
            Mode::Offset(0),
            Store::Bytes(8),
        ),
        (
            "cas x30, x1, [sp]",
            0xc8be_7fe1,
            &[X30],
            Mode::Offset(0),
            Store::Bytes(8),
        ),
        (
            "ldadd x1, x30, [sp]",
            0xf821_03fe,
            &[X30],
            Mode::Offset(0),
            Store::Bytes(8),
        ),
        (
            "stadd x1, [sp]",
            0xf821_03ff,
            &[],
            Mode::Offset(0),
            Store::Bytes(8),
        ),
        (
            "swp x30, x29, [sp]",
            0xf83e_83fd,
            &[X29],
            Mode::Offset(0),
            Store::Bytes(8),
        ),
        (
            "stlur x30, [sp, #8]",
            0xd900_83fe,
            &[],
            Mode::Offset(8),
            Store::Bytes(8),
        ),
        (
            "st64b x22, [sp]",
            0xf83f_93f6,
            &[],
            Mode::Offset(0),
            Store::Bytes(64),
        ),
        (
            "st64bv x30, x22, [sp]",
            0xf83e_b3f6,
            &[X30],
            Mode::Offset(0),
            Store::Bytes(64),
        ),
        (
            "stilp x29, x30, [sp, #-16]!",
            0xd91e_0bfd,
            &[SP],
            Mode::PreIndex(-16),
            Store::Bytes(16),
        ),
        (
            "ldiapp x29, x30, [sp], #16",
            0xd95e_0bfd,
            &[X29, X30, SP],
            Mode::PostIndex(16),
            Store::Nothing,
        ),
        (
            "swpp x29, x30, [sp]",
            0x193e_83fd,
            &[X29, X30],
            Mode::Offset(0),
            Store::Bytes(16),
        ),
        (
            "ld1 {v0.16b, v1.16b}, [sp], #32",
            0x4cdf_a3e0,
            &[SP],
            Mode::PostIndex(32),
            Store::Nothing,
        ),
        (
            "st1 {v0.16b - v3.16b}, [sp]",
            0x4c00_23e0,
            &[],
            Mode::Offset(0),
            Store::Bytes(64),
        ),
        (
            "st1 {v0.d}[1], [sp], #8",
            0x4d9f_87e0,
            &[SP],
            Mode::PostIndex(8),
            Store::Bytes(8),
        ),
        (
            "stg sp, [sp, #16]!",
            0xd920_1fff,
            &[SP],
            Mode::PreIndex(16),
            Store::Nothing,
        ),
        (
            "stzg x0, [sp], #16",
            0xd960_17e0,
            &[SP],
            Mode::PostIndex(16),
            Store::Bytes(16),
        ),
        (
            "stz2g x0, [sp, #32]",
            0xd9e0_2be0,
            &[],
            Mode::Offset(32),
            Store::Bytes(32),
        ),
        (
            "ldg x30, [sp, #16]",
            0xd960_13fe,
            &[X30],
            Mode::Offset(16),
            Store::Nothing,
        ),
        (
            "gcsstr x30, [sp]",
            0xd91f_0ffe,
            &[],
            Mode::Offset(0),
            Store::Bytes(8),
        ),
        (
            "str z0, [sp]",
            0xe580_43e0,
            &[],
            Mode::Register(None),
            Store::Unbounded,
        ),
        (
            "st1b {z0.b}, p0, [sp]",
            0xe400_e3e0,
            &[],
            Mode::Register(None),
            Store::Unbounded,
        ),
    ];
    for (asm, word, writes, mode, store) in cases {
        let access = access(*word);
        assert_eq!(access.base, SP, "{asm}");
        assert_eq!(access.all_writes(), set(writes), "{asm}");
        assert_eq!((access.mode, access.store), (*mode, *store), "{asm}");
    }
}

#[test]
fn knows_the_register_lists_that_have_gaps() {
    for (asm, word, regs) in [
        (
            "ldp x29, x30, [x1] exclusive",
            0xc87f_783d,
            set(&[X29, X30]),
        ),
        ("stlxp w30, x1, x2, [sp]", 0xc83e_8be1, set(&[X30])),
        (
            "casp x28, x29, x0, x1, [sp]",
            0x483c_7fe0,
            set(&[x(28), X29]),
        ),
        ("ldar x30, [x1]", 0xc8df_fc3e, set(&[X30])),
        ("ldapr x30, [x1]", 0xf8bf_c03e, set(&[X30])),
        ("ldapur x30, [x1, #8]", 0xd940_803e, set(&[X30])),
        ("ldtr x30, [x1]", 0xf840_083e, set(&[X30])),
        ("ldgm x30, [x1]", 0xd9e0_003e, set(&[X30])),
        (
            "ld64b x22, [x1]",
            0xf83f_d036,
            (22..30).fold(Regs::NONE, |all, n| all.with(x(n))),
        ),
        ("ld1r {v0.2d}, [x29], x1", 0x4dc1_cfa0, set(&[X29])),
        (
            "cpyp [x0]!, [x1]!, x2!",
            0x1d01_0440,
            set(&[x(0), x(1), x(2)]),
        ),
        ("setp [x0]!, x1!, x2", 0x19c2_0420, set(&[x(0), x(1)])),
    ] {
        assert_eq!(Insn::decode(word).writes(), regs, "{asm}");
    }
}

#[test]
fn knows_blocks_of_unknown_size() {
    assert_eq!(step(0xd50b_7420), Step::ZeroBlock(x(0)), "dc zva, x0");
    let stzgm = access(0xd920_0020);
    assert_eq!((stzgm.base, stzgm.store), (x(1), Store::Unbounded));
    let cpyp = access(0x1d01_0440);
    assert_eq!((cpyp.base, cpyp.store), (x(0), Store::Unbounded));
    let ldr_za = access(0xe100_03e0);
    assert_eq!((ldr_za.base, ldr_za.store), (SP, Store::Unbounded));
}

#[test]
fn knows_where_control_goes() {
    for (asm, word, flow) in [
        ("b .+8", 0x1400_0002, Flow::Jump(8)),
        ("bl .-4", 0x97ff_ffff, Flow::Call(-4)),
        ("b.eq .+8", 0x5400_0040, Flow::Conditional(8)),
        ("cbz x0, .+8", 0xb400_0040, Flow::Conditional(8)),
        ("tbnz x0, #33, .-8", 0xb70f_ffc0, Flow::Conditional(-8)),
        ("br x16", 0xd61f_0200, Flow::IndirectJump),
        ("braa x16, sp", 0xd71f_0a1f, Flow::IndirectJump),
        ("blr x16", 0xd63f_0200, Flow::IndirectCall),
        ("blraaz x16", 0xd63f_0a1f, Flow::IndirectCall),
        ("ret", 0xd65f_03c0, Flow::Return(X30)),
        ("ret x9", 0xd65f_0120, Flow::Return(x(9))),
        ("retaa", 0xd65f_0bff, Flow::Return(X30)),
        ("eret", 0xd69f_03e0, Flow::ExceptionReturn),
        ("eretaa", 0xd69f_0bff, Flow::ExceptionReturn),
        ("drps", 0xd6bf_03e0, Flow::ExceptionReturn),
        ("brk #0x800", 0xd421_0000, Flow::Trap),
        ("hlt #0", 0xd440_0000, Flow::Trap),
        ("udf #0", 0x0000_0000, Flow::Trap),
        ("hvc #0", 0xd400_0002, Flow::Next),
    ] {
        assert_eq!(Insn::decode(word).flow, flow, "{asm}");
    }
}

#[test]
fn a_call_writes_x30() {
    assert_eq!(Insn::decode(0x9400_0001).writes(), set(&[X30]));
    assert_eq!(Insn::decode(0xd63f_0200).writes(), set(&[X30]));
}

#[test]
fn what_is_not_known_may_do_anything() {
    for (what, word) in [
        ("bits 28..25: 0001", 0x0200_0000),
        ("bits 28..25: 0011", 0x0600_0000),
        ("bits 28..25: 0000, bit 31 clear", 0x0001_0000),
        ("a branch register form with other fixed bits", 0xd61e_0200),
        ("blraaz with a modifier", 0xd63f_0be7),
        ("eretaa with a register", 0xd69f_0be2),
        ("cb<cc>: condition 100", 0x7480_0000),
        ("cbb<cc> of 64 bits", 0xf400_8000),
        ("a hint with Rt other than 31", 0xd503_2000),
        ("a pair of system registers: op0 is 00", 0xd540_0000),
        ("authentication: opcode 110000", 0xdac1_c3fe),
        ("paciza with a register", 0xdac1_2000),
        ("ccmp that sets no flags", 0x9a41_0000),
        ("movz w0, lsl #32", 0x52c0_0000),
        (
            "mov of opc 01",
            (0xb280_0000 & !(0b11 << 29)) | (0b01 << 29),
        ),
        ("ldp of opc 01, no allocation hint", 0x6840_0000),
        ("ldrsw of 32 bits", 0xb9c0_0000),
        ("a vector load of 16 bytes, size 11", 0xfdc0_0000),
        ("a vector load of a literal, opc 11", 0xdc00_0000),
        ("prfm with write-back", 0xf880_0400),
        ("an unprivileged vector load", 0x3c40_0800),
        ("a register offset, option 000", 0xf860_0800),
        ("cas with a second register", 0xc8a0_0000),
        ("casp of an odd pair", 0x4821_7c00),
        ("ld1 with an index, no post-index", 0x0c41_7000),
        ("ld4 of one doubleword each", 0x0d60_b400),
        ("ldapur of 64 bits, opc 10", 0xd980_0000),
        ("cpyfp, size 01", 0x5901_0440),
        ("stzgm with an offset", 0xd920_1000),
        ("ldclrp, size 10", 0x9920_1000),
        ("swp with o3, opc 110", 0xf820_e000),
        ("a vector group with bit 31", 0x8e00_0000),
        ("floating point with S", 0x3e20_0000),
    ] {
        assert_eq!(Insn::decode(word), Insn::UNKNOWN, "{what}: {word:08x}");
    }
}

#[test]
fn the_flow_of_a_word_is_that_of_the_instruction() {
    // About a million words, of all groups.
    for word in (0..=u32::MAX).step_by(4099) {
        assert_eq!(Insn::flow_of(word), Insn::decode(word).flow, "{word:#x}");
    }
}
