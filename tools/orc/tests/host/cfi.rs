// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Rows of the CFI as claims, and what no claim can hold.

use orctool::a64::insn::Reg;
use orctool::claim::{Beyond, Cfa, CfaBase, CfiRow, Claim, Claims, Home, Location, Parked};
use orctool::input::Input;
use orctool::text::Function;

use crate::assemble::{
    framed_cfi, kernel, op, EhFrame, Elf, ABS64, ALLOC, GLOBAL_FUNC, LOCAL_SECTION, NOP, PROGBITS,
    REL,
};

/// Reads a `.text` of 16 NOPs with this CFI for its first eight.
fn read(frame: EhFrame) -> Result<Vec<Function>, String> {
    let mut elf = kernel(None);
    elf.sections[1].data = NOP.to_le_bytes().repeat(16);
    elf.sections[2].data = frame.bytes;
    elf.symbols.truncate(2);
    let file = elf.build();
    let input = Input::read(&file).map_err(|e| e.to_string())?;
    Ok(input.texts[0].text.functions.clone())
}

/// Where .text is, from the start of .eh_frame.
const START: i64 = -0x1000;

fn claims(program: &[Vec<u8>]) -> Claims {
    let mut frame = EhFrame::new(false);
    frame.fde(START, 32, program);
    read(frame).unwrap()[0].claims.clone().unwrap()
}

fn row(start: u64, base: CfaBase, offset: u32, ra: Location, fp: Location) -> Claim {
    Claim {
        start,
        cfa: Cfa { base, offset },
        return_address: ra,
        caller_fp: fp,
        signal_frame: false,
    }
}

use CfaBase::{Fp, Sp};
use Location::{Register, Slot};

#[test]
fn reads_rows() {
    let expected = vec![
        row(0, Sp, 0, Register, Register),
        row(4, Sp, 16, Slot(8), Slot(16)),
        row(16, Sp, 0, Register, Register),
    ];
    assert_eq!(claims(&framed_cfi()), Claims::from(expected));
}

#[test]
fn reads_an_x29_based_cfa() {
    let program = [op::def_cfa(29, 32), op::offset(29, 32), op::offset(30, 24)];
    let expected = vec![row(0, Fp, 32, Slot(24), Slot(32))];
    assert_eq!(claims(&program), Claims::from(expected));
}

#[test]
fn sign_state_does_not_split_rows() {
    let program = [
        op::advance(1),
        vec![op::NEGATE_RA_STATE],
        op::advance(1),
        op::def_cfa_offset(16),
        op::advance(1),
        vec![op::NEGATE_RA_STATE],
    ];
    let expected = vec![
        row(0, Sp, 0, Register, Register),
        row(8, Sp, 16, Register, Register),
    ];
    assert_eq!(claims(&program), Claims::from(expected));
}

#[test]
fn other_registers_do_not_split_rows() {
    let program = [
        op::advance(1),
        op::offset(19, 8),
        op::advance(1),
        op::offset(20, 16),
    ];
    assert_eq!(
        claims(&program),
        Claims::from(vec![row(0, Sp, 0, Register, Register)])
    );
}

#[test]
fn same_value_is_the_register() {
    let program = [op::same_value(29), op::same_value(30)];
    assert_eq!(
        claims(&program),
        Claims::from(vec![row(0, Sp, 0, Register, Register)])
    );
}

/// A row that no table can hold.
fn beyond(start: u64, why: &str, parked: Option<Parked>) -> CfiRow {
    CfiRow::Beyond(Beyond {
        start,
        why: why.into(),
        parked,
    })
}

#[test]
fn what_no_table_can_hold_costs_its_own_rows() {
    let cases: [(&str, Vec<u8>); 10] = [
        ("X30 is undefined", op::undefined(30)),
        ("X29 is undefined", op::undefined(29)),
        ("SP is undefined", op::undefined(31)),
        ("X30 by a rule that no table has", op::val_offset(30, 1)),
        ("X30 by a rule that no table has", op::expression(30)),
        ("the caller's SP is not the CFA", op::val_offset(31, 1)),
        ("CFA by expression", op::def_cfa_expression()),
        ("CFA relative to X9", op::def_cfa(9, 0)),
        ("CFA offset 12", op::def_cfa_offset(12)),
        ("X30 at CFA+0", op::offset(30, 0)),
    ];
    for (why, instruction) in cases {
        let program = [
            op::advance(1),
            vec![op::REMEMBER_STATE],
            instruction,
            op::advance(2),
            vec![op::RESTORE_STATE],
        ];
        let expected = vec![
            CfiRow::Claim(row(0, Sp, 0, Register, Register)),
            beyond(4, why, None),
            CfiRow::Claim(row(12, Sp, 0, Register, Register)),
        ];
        assert_eq!(claims(&program), Claims::Rows(expected), "{program:?}");
    }
}

#[test]
fn a_value_in_another_register_is_known_to_be_there() {
    let cfa = Cfa {
        base: Sp,
        offset: 0,
    };
    let kept = Home::Table(Register);
    let cases = [
        (
            30,
            9,
            "the return address is in x9",
            Home::Register(Reg::X9),
            kept,
        ),
        (
            30,
            29,
            "the return address is in x29",
            Home::Register(Reg::X29),
            kept,
        ),
        (
            29,
            9,
            "the caller's x29 is in x9",
            kept,
            Home::Register(Reg::X9),
        ),
    ];
    for (from, to, why, return_address, caller_fp) in cases {
        let parked = Parked {
            cfa,
            return_address,
            caller_fp,
        };
        let program = [op::advance(1), op::in_register(from, to)];
        let expected = vec![
            CfiRow::Claim(row(0, Sp, 0, Register, Register)),
            beyond(4, why, Some(parked)),
        ];
        assert_eq!(claims(&program), Claims::Rows(expected));
    }
    // Not in a vector register (v8).
    let program = [op::in_register(30, 72)];
    let expected = vec![beyond(0, "X30 in V8", None)];
    assert_eq!(claims(&program), Claims::Rows(expected));
}

#[test]
fn what_is_undefined_comes_back_as_the_program_says() {
    let back = [op::same_value(30), op::offset(30, 8), op::restore(30)];
    let rows = [Register, Slot(8), Register];
    for (back, at) in back.into_iter().zip(rows) {
        let program = [op::undefined(30), op::advance(2), back];
        let expected = vec![
            beyond(0, "X30 is undefined", None),
            CfiRow::Claim(row(8, Sp, 0, at, Register)),
        ];
        assert_eq!(claims(&program), Claims::Rows(expected));
    }
    // A state that was remembered when it was lost.
    let program = [
        op::undefined(30),
        vec![op::REMEMBER_STATE],
        op::advance(1),
        op::same_value(30),
        op::advance(1),
        vec![op::RESTORE_STATE],
    ];
    let expected = vec![
        beyond(0, "X30 is undefined", None),
        CfiRow::Claim(row(4, Sp, 0, Register, Register)),
        beyond(8, "X30 is undefined", None),
    ];
    assert_eq!(claims(&program), Claims::Rows(expected));
}

#[test]
fn refuses_another_return_register() {
    let mut frame = EhFrame::with_return_register(false, 17);
    frame.fde(START, 32, &[]);
    let claims = read(frame).unwrap()[0].claims.clone().unwrap();
    assert_eq!(
        claims,
        Claims::Unsupported("the return address is not x30".into())
    );
}

#[test]
fn refuses_rows_outside_the_function() {
    let program = [op::advance(8), op::def_cfa_offset(16)];
    assert_eq!(
        claims(&program),
        Claims::Unsupported("a row past the end".into())
    );
}

#[test]
fn a_malformed_program_costs_its_function_alone() {
    // DW_CFA_restore_state without DW_CFA_remember_state; more states than gimli
    // remembers; an instruction that is not whole.
    let remembered = [op::REMEMBER_STATE; 9].to_vec();
    let cases = [vec![op::RESTORE_STATE], remembered, vec![0x0f, 0x7f]];
    for program in cases {
        let mut frame = EhFrame::new(false);
        frame.fde(START, 16, &[program]);
        frame.fde(START + 16, 16, &[]);
        let functions = read(frame).unwrap();
        match &functions[0].claims {
            Some(Claims::Unsupported(why)) => assert!(why.starts_with("its program"), "{why}"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(functions[1].claims, Some(Claims::Rows(_))));
    }
}

#[test]
fn an_unknown_opcode_costs_its_function_alone() {
    let mut frame = EhFrame::new(false);
    frame.fde(START, 16, &[vec![0x3f]]);
    frame.fde(START + 16, 16, &[]);
    let functions = read(frame).unwrap();
    let why = "it has the unknown CFI opcode 0x3f".into();
    assert_eq!(functions[0].claims, Some(Claims::Unsupported(why)));
    assert!(matches!(functions[1].claims, Some(Claims::Rows(_))));
}

#[test]
fn the_state_of_a_signature_made_with_the_pc_is_none_of_the_rows() {
    // In a program, and as an operand (DW_CFA_def_cfa_offset 44 is refused).
    let program = [vec![0x2c], op::advance(1), op::def_cfa_offset(16)];
    let expected = vec![
        row(0, Sp, 0, Register, Register),
        row(4, Sp, 16, Register, Register),
    ];
    assert_eq!(claims(&program), Claims::from(expected));
    let operand = [op::advance(1), vec![0x0e, 0x2c]];
    let expected = vec![
        CfiRow::Claim(row(0, Sp, 0, Register, Register)),
        beyond(4, "CFA offset 44", None),
    ];
    assert_eq!(claims(&operand), Claims::Rows(expected));
}

#[test]
fn keeps_signal_frames_apart() {
    let mut frame = EhFrame::new(false);
    frame.fde(START, 16, &[]);
    frame.cie(true, 30);
    frame.fde(START + 16, 16, &[]);
    let functions = read(frame).unwrap();
    let signal = |f: &Function| match &f.claims {
        Some(Claims::Rows(rows)) => rows[0].claim().unwrap().signal_frame,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        functions.iter().map(signal).collect::<Vec<_>>(),
        [false, true]
    );
}

#[test]
fn one_of_two_equal_entries_is_enough() {
    let mut frame = EhFrame::new(false);
    frame.fde(START, 20, &framed_cfi());
    frame.fde(START, 20, &framed_cfi());
    let functions = read(frame).unwrap();
    assert_eq!(functions.len(), 1);
    assert!(matches!(functions[0].claims, Some(Claims::Rows(_))));
}

#[test]
fn entries_that_overlap_are_not_believed() {
    let cases: [(i64, u32, u64); 3] = [(0, 32, 32), (8, 32, 40), (16, 4, 20)];
    for (start, len, end) in cases {
        let mut frame = EhFrame::new(false);
        frame.fde(START, 20, &framed_cfi());
        frame.fde(START + start, len, &[]);
        let functions = read(frame).unwrap();
        assert_eq!(functions.len(), 1);
        assert_eq!((functions[0].start, functions[0].end), (0, end.max(20)));
        let expected = Claims::Unsupported("several FDEs describe it".into());
        assert_eq!(functions[0].claims, Some(expected));
    }
}

#[test]
fn counts_what_the_linker_has_discarded() {
    let mut elf = kernel(None);
    let mut frame = EhFrame::new(false);
    frame.fde(START, 20, &framed_cfi());
    // Of no length; and, as linkers mark it, at address 0.
    frame.fde(START + 24, 0, &[]);
    elf.sections[2].data = frame.bytes;
    let file = elf.build();
    let cfi = Input::read(&file).unwrap().cfi.unwrap();
    assert_eq!((cfi.entries.len(), cfi.discarded), (1, 1));
}

#[test]
fn an_undefined_symbol_describes_nothing() {
    let mut elf = crate::assemble::module();
    elf.symbols.push(crate::assemble::Symbol {
        name: "discarded".into(),
        info: 0x20,
        ..Default::default()
    });
    let number = elf.symbols.len() as u32 - 1;
    let table = elf
        .sections
        .iter()
        .position(|s| s.name == ".rela.init.eh_frame")
        .unwrap();
    elf.sections[table].data[12..16].copy_from_slice(&number.to_le_bytes());
    let file = elf.build();
    let cfi = Input::read(&file).unwrap().cfi.unwrap();
    assert_eq!((cfi.entries.len(), cfi.discarded), (1, 1));
}

#[test]
fn nothing_hides_after_a_terminator() {
    let mut frame = EhFrame::new(false);
    frame.fde(START, 20, &framed_cfi());
    frame.bytes.extend([0; 4]);
    let mut with_more = EhFrame::new(false);
    with_more.bytes = frame.bytes.clone();
    assert!(read(frame).is_ok());
    with_more.bytes.extend([12, 0, 0, 0, 1, 2, 3, 4]);
    let message = read(with_more).unwrap_err();
    assert!(
        message.contains("entries after the terminator"),
        "{message}"
    );
}

#[test]
fn reads_debug_frame_when_there_is_nothing_else() {
    let mut elf = Elf::new(REL);
    let text = elf.text(".text", 0, &[NOP; 8]);
    let mut frame: Vec<u8> = vec![12, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 4, 0x78, 30];
    frame.extend(op::def_cfa(31, 0));
    let at = frame.len() as u64 + 8;
    frame.extend([24, 0, 0, 0, 0, 0, 0, 0]);
    frame.extend([0; 8]);
    frame.extend(16_u64.to_le_bytes());
    frame.extend([op::advance(2), op::def_cfa_offset(32)].concat());
    frame.push(0);
    let debug = elf.section(".debug_frame", PROGBITS, 0, 0, &frame);
    let symbol = elf.symbol("", LOCAL_SECTION, text, 0, 0);
    elf.symbol("f", GLOBAL_FUNC, text, 8, 16);
    elf.rela(debug, &[(at, ABS64, symbol, 8)]);
    let file = elf.build();
    let input = Input::read_with_cfi(&file).unwrap();
    let function = &input.texts[0].text.functions[0];
    assert_eq!(
        (function.name.as_str(), function.start, function.end),
        ("f", 8, 24)
    );
    let expected = vec![
        row(8, Sp, 0, Register, Register),
        row(16, Sp, 32, Register, Register),
    ];
    assert_eq!(function.claims, Some(Claims::from(expected)));

    // Beside .eh_frame it is not read: what links and loads comes first.
    let mut frame = EhFrame::new(false);
    let field = frame.fde(0, 16, &[]);
    let eh = elf.section(".eh_frame", PROGBITS, ALLOC, 0, &frame.bytes);
    elf.rela(eh, &[(field, crate::assemble::PREL32, symbol, 0)]);
    let file = elf.build();
    let input = Input::read_with_cfi(&file).unwrap();
    assert_eq!(input.texts[0].text.functions[0].start, 0);
}
