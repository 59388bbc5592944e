// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Instruction words, as llvm-mc 19 and GNU as 2.40 assemble them.

pub const NOP: u32 = 0xd503_201f;
pub const BTI_C: u32 = 0xd503_245f;
pub const PACIASP: u32 = 0xd503_233f;
pub const PACIBSP: u32 = 0xd503_237f;
pub const AUTIASP: u32 = 0xd503_23bf;
pub const RET: u32 = 0xd65f_03c0;
pub const RET_X9: u32 = 0xd65f_0120;
pub const RET_X16: u32 = 0xd65f_0200;
pub const ERET: u32 = 0xd69f_03e0;
pub const BR_X16: u32 = 0xd61f_0200;
pub const BLR_X1: u32 = 0xd63f_0020;
/// `brk #0x800`: `BUG()` and `WARN()`.
pub const BRK: u32 = 0xd421_0000;

/// `stp x29, x30, [sp, #-16]!`
pub const PUSH_16: u32 = 0xa9bf_7bfd;
/// `ldp x29, x30, [sp], #16`
pub const POP_16: u32 = 0xa8c1_7bfd;
/// `stp x29, x30, [sp, #-32]!`
pub const PUSH_32: u32 = 0xa9be_7bfd;
/// `ldp x29, x30, [sp], #32`
pub const POP_32: u32 = 0xa8c2_7bfd;
/// `stp x29, x30, [sp, #-32]`: below SP
pub const STORE_BELOW: u32 = 0xa93e_7bfd;
/// `stp x29, x30, [sp]`
pub const STORE_RECORD: u32 = 0xa900_7bfd;
/// `ldp x29, x30, [sp]`
pub const LOAD_RECORD: u32 = 0xa940_7bfd;
/// `str x19, [sp, #16]`
pub const SAVE_X19: u32 = 0xf900_0bf3;
/// `ldr x19, [sp, #16]`
pub const LOAD_X19: u32 = 0xf940_0bf3;
/// `str x0, [sp, #8]`
pub const STR_X0_SP_8: u32 = 0xf900_07e0;
/// `str w0, [x29, #12]`
pub const STR_W0_FP_12: u32 = 0xb900_0fa0;
/// `str x0, [sp, x1]`
pub const STR_X0_SP_X1: u32 = 0xf821_6be0;
/// `ldr x0, [x1]`
pub const LDR_X0: u32 = 0xf940_0020;
/// `sub x0, x1, #1`
pub const SUB_X0: u32 = 0xd100_0420;

/// `mov x29, sp`
pub const MOV_FP_SP: u32 = 0x9100_03fd;
/// `mov sp, x29`
pub const MOV_SP_FP: u32 = 0x9100_03bf;
/// `mov x29, x0`
pub const MOV_FP_X0: u32 = 0xaa00_03fd;
/// `mov x8, x30`
pub const MOV_X8_LR: u32 = 0xaa1e_03e8;
/// `mov x30, x8`
pub const MOV_LR_X8: u32 = 0xaa08_03fe;
/// `mov x19, x30`
pub const MOV_X19_LR: u32 = 0xaa1e_03f3;
/// `mov x30, x19`
pub const MOV_LR_X19: u32 = 0xaa13_03fe;
/// `sub sp, sp, #16`
pub const SUB_SP_16: u32 = 0xd100_43ff;
/// `add sp, sp, #16`
pub const ADD_SP_16: u32 = 0x9100_43ff;
/// `sub sp, sp, #32`
pub const SUB_SP_32: u32 = 0xd100_83ff;
/// `add sp, x16, #4096`
pub const OTHER_STACK: u32 = 0x9140_061f;
/// `mov x12, #4128`
pub const MOV_X12_4128: u32 = 0xd282_040c;
/// `sub sp, sp, x12`
pub const SUB_SP_X12: u32 = 0xcb2c_63ff;
/// `add sp, sp, x12`
pub const ADD_SP_X12: u32 = 0x8b2c_63ff;

/// `ldr x16, [x16, x17]`
pub const LDR_X16_X17: u32 = 0xf871_6a10;
/// `ldur x9, [x29, #-8]`
pub const LDR_X9_FP: u32 = 0xf85f_83a9;
/// `mov sp, x9`
pub const MOV_SP_X9: u32 = 0x9100_013f;
/// `mov x9, sp`
pub const MOV_X9_SP: u32 = 0x9100_03e9;
/// `sub x9, x9, x8`
pub const SUB_X9_X8: u32 = 0xcb08_0129;
/// `sub sp, sp, x8`
pub const SUB_SP_X8: u32 = 0xcb28_63ff;
/// `and x8, x8, #0x3f0`
pub const AND_X8_3F0: u32 = 0x927c_1508;
/// `and x8, x8, #0x7f0`
pub const AND_X8_7F0: u32 = 0x927c_1908;
/// `and w8, w8, #0x3fc`
pub const AND_W8_3FC: u32 = 0x121e_1d08;
/// `add w8, w8, #15`
pub const ADD_W8_15: u32 = 0x1100_3d08;
/// `lsl x8, x8, #4`
pub const LSL_X8_4: u32 = 0xd37c_ed08;
/// `ubfx x8, x8, #3, #6`
pub const UBFX_X8_3_6: u32 = 0xd343_2108;
/// `mov x9, x8`
pub const MOV_X9_X8: u32 = 0xaa08_03e9;

/// `sub x9, sp, #64`
pub const SUB_X9_SP_64: u32 = 0xd101_03e9;
/// `and sp, x9, #0xffffffffffffffc0`
pub const ROUND_SP_X9: u32 = 0x927a_e53f;
/// `mov x18, x30`
pub const MOV_X18_LR: u32 = 0xaa1e_03f2;
/// `mov x30, x18`
pub const MOV_LR_X18: u32 = 0xaa12_03fe;

/// `str x30, [x18], #8`
pub const SCS_PUSH: u32 = 0xf800_865e;
/// `ldr x30, [x18, #-8]!`
pub const SCS_POP: u32 = 0xf85f_8e5e;

/// mov x2, sp
pub const MOV_X2_SP: u32 = 0x9100_03e2;
/// mov x1, #8
pub const MOV_X1_8: u32 = 0xd280_0101;
/// add x0, x1, x2
pub const ADD_X0_X1_X2: u32 = 0x8b02_0020;
/// str xzr, [x0]
pub const STR_XZR_X0: u32 = 0xf900_001f;
/// str xzr, [x0], #8
pub const STR_XZR_X0_POST: u32 = 0xf800_841f;
/// str xzr, [sp, x1]
pub const STR_XZR_SP_X1: u32 = 0xf821_6bff;
/// mov x0, sp
pub const MOV_X0_SP: u32 = 0x9100_03e0;
/// add x0, sp, #8
pub const ADD_X0_SP_8: u32 = 0x9100_23e0;
/// orr x0, x2, #8
pub const ORR_X0_X2_8: u32 = 0xb27d_0040;
/// csel x0, x0, x2, eq
pub const CSEL_X0_X0_X2: u32 = 0x9a82_0000;
/// dc zva, x29
pub const DC_ZVA_FP: u32 = 0xd50b_743d;
/// adr x16, .+8
pub const ADR_X16_8: u32 = 0x1000_0050;
/// add x0, x29, #8
pub const ADD_X0_FP_8: u32 = 0x9100_23a0;
/// adr x30, .+8
pub const ADR_LR_8: u32 = 0x1000_005e;
/// ldr x9, [sp, #8]
pub const LDR_X9_SP_8: u32 = 0xf940_07e9;
/// str x9, [sp, #8]
pub const STR_X9_SP_8: u32 = 0xf900_07e9;
/// add sp, sp, x1
pub const ADD_SP_X1: u32 = 0x8b21_63ff;
/// strb w2, [x29]
pub const STRB_FP: u32 = 0x3900_03a2;
/// add x29, x0, w1, uxtw #2
pub const ADD_FP_X0_W1: u32 = 0x8b21_481d;
/// orr x12, xzr, #0x30000
pub const ORR_X12_30000: u32 = 0xb270_07ec;
/// str x29, [sp, #8]
pub const STR_FP_SP_8: u32 = 0xf900_07fd;
/// ldr x29, [sp, #8]
pub const LDR_FP_SP_8: u32 = 0xf940_07fd;
/// str x30, [sp, #8]
pub const STR_LR_SP_8: u32 = 0xf900_07fe;
/// ldr x30, [sp, #8]
pub const LDR_LR_SP_8: u32 = 0xf940_07fe;
/// add sp, sp, #32
pub const ADD_SP_32: u32 = 0x9100_83ff;

/// `b` over this many instructions.
pub const fn b(by: i32) -> u32 {
    0x1400_0000 | by as u32 & 0x03ff_ffff
}

/// `bl` over this many instructions.
pub const fn bl(by: i32) -> u32 {
    0x9400_0000 | by as u32 & 0x03ff_ffff
}

/// `cbz x0` over this many instructions.
pub const fn cbz(by: i32) -> u32 {
    0xb400_0000 | ((by as u32 & 0x7_ffff) << 5)
}
