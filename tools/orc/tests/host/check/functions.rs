// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Functions whose CFI is wrong, each in a way of its own.

use crate::assemble::*;

/// A function: its name, words, and CFI if it has any.
pub type Described = (&'static str, Vec<u32>, Option<Vec<Vec<u8>>>);

/// A frame record at SP, in the row from here on.
pub fn made() -> Vec<u8> {
    [
        op::def_cfa_offset(16),
        op::offset(29, 16),
        op::offset(30, 8),
    ]
    .concat()
}

/// The row of the entry again, from here on.
pub fn undone() -> Vec<u8> {
    [op::def_cfa_offset(0), op::restore(29), op::restore(30)].concat()
}

/// `PUSH, MOV_FP, NOP, POP, RET` with the rows changing after so many instructions.
pub fn framed(name: &'static str, made_at: u8, undone_after: u8) -> Described {
    let cfi = vec![
        op::advance(made_at),
        made(),
        op::advance(undone_after),
        undone(),
    ];
    (name, vec![PUSH, MOV_FP, NOP, POP, RET], Some(cfi))
}

/// Functions that diverge in one way each, and the class and cause of it.
pub fn divergent() -> Vec<(Described, &'static str, &'static str)> {
    let push_alone = vec![op::advance(1), made()];
    let parts = vec![
        op::advance(1),
        [op::offset(29, 16), op::offset(30, 8)].concat(),
        op::advance(1),
        op::def_cfa_offset(16),
        op::advance(2),
        undone(),
    ];
    let around = vec![op::advance(2), made(), op::advance(4), undone()];
    vec![
        (
            framed("late_prologue", 2, 2),
            "late-row",
            "late-cfi-in-prologue",
        ),
        (
            framed("early_epilogue", 1, 2),
            "early-row",
            "early-cfi-in-epilogue",
        ),
        // The row stays to the end.
        (
            (
                "late_epilogue",
                vec![PUSH, MOV_FP, POP, RET],
                Some(push_alone.clone()),
            ),
            "late-row",
            "late-cfi-in-epilogue",
        ),
        // NOP, PUSH: the row is there before.
        (
            (
                "early_prologue",
                vec![NOP, PUSH, MOV_FP, POP, RET],
                Some(framed_cfi()),
            ),
            "early-row",
            "early-cfi-in-prologue",
        ),
        (
            ("merged", vec![PUSH, MOV_FP, NOP, POP, RET], Some(parts)),
            "late-row",
            "merged-writeback",
        ),
        // sub sp, sp, #16; stp x0, x2, [sp], #16; nop; ret: as clang 19 compiles
        // arm_smccc_hypervisor_has_uuid(), with the row changing after the NOP.
        (
            (
                "merged_store",
                vec![0xd100_43ff, 0xa881_0be0, NOP, RET],
                Some(vec![
                    op::advance(1),
                    op::def_cfa_offset(16),
                    op::advance(2),
                    op::def_cfa_offset(0),
                ]),
            ),
            "late-row",
            "merged-writeback",
        ),
        // mov x8, x30; bl .+4; mov x30, x8; ret
        (
            (
                "calls_next",
                vec![0xaa1e_03e8, 0x9400_0001, 0xaa08_03fe, RET],
                Some(vec![]),
            ),
            "call-without-frame",
            "inline-asm",
        ),
        // mov x9, x30; mov x30, x1; mov x30, x9; ret
        (
            (
                "parked",
                vec![0xaa1e_03e9, 0xaa01_03fe, 0xaa09_03fe, RET],
                Some(vec![]),
            ),
            "call-without-frame",
            "inline-asm",
        ),
        // cbz x0, 1f; PUSH; b 2f; 1: nop; ret; 2: POP; ret
        (
            (
                "around",
                vec![0xb400_0060, PUSH, 0x1400_0003, NOP, RET, POP, RET],
                Some(around),
            ),
            "early-row",
            "path-without-frame",
        ),
        (
            ("returns", vec![PUSH, RET], Some(push_alone)),
            "wrong-return",
            "wrong-exit",
        ),
        (
            ("unreached", vec![RET, NOP], Some(vec![])),
            "unreached",
            "checker-limit",
        ),
        (
            (
                "expression",
                vec![NOP, RET],
                Some(vec![op::def_cfa_expression()]),
            ),
            "bad-cfi",
            "checker-limit",
        ),
        // mov sp, x9
        (
            ("lost", vec![0x9100_013f, RET], Some(vec![])),
            "wrong-cfa",
            "unknown",
        ),
        // The last one of the section.
        (
            ("falls", vec![NOP], Some(vec![])),
            "falls-through",
            "undefined-behaviour",
        ),
    ]
}

/// An object with these functions, one after the other.
pub fn object(functions: &[Described]) -> Elf {
    let mut elf = Elf::new(REL);
    let words: Vec<u32> = functions
        .iter()
        .flat_map(|(_, words, _)| words.clone())
        .collect();
    let text = elf.text(".text", 0, &words);
    let mut frame = EhFrame::new(false);
    let mut starts = Vec::new();
    let mut at = 0;
    for (_, words, cfi) in functions {
        let len = words.len() as u32 * 4;
        if let Some(cfi) = cfi {
            starts.push((frame.fde(0, len, cfi), at));
        }
        at += i64::from(len);
    }
    let cfi = elf.section(".eh_frame", PROGBITS, ALLOC, 0, &frame.bytes);
    elf.section(
        ".comment",
        PROGBITS,
        0,
        0,
        b"\0GCC: (x) 1.2.3\0Linker: y\0GCC: (x) 1.2.3\0",
    );
    let symbol = elf.symbol("", LOCAL_SECTION, text, 0, 0);
    let starts: Vec<_> = starts
        .into_iter()
        .map(|(field, at)| (field, PREL32, symbol, at))
        .collect();
    elf.rela(cfi, &starts);
    let mut at = 0;
    for (name, words, _) in functions {
        let len = words.len() as u64 * 4;
        elf.symbol(name, GLOBAL_FUNC, text, at, len);
        at += len;
    }
    elf
}

/// All that diverges, and a function without CFI that calls.
pub fn all() -> Elf {
    let mut functions: Vec<Described> = divergent().into_iter().map(|(f, ..)| f).collect();
    // It calls the first one.
    functions.insert(1, ("bare", vec![0x97ff_fffb, RET], None));
    object(&functions)
}
