// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The instruction model against a decoder that is not ours.
//!
//! For each word that fARM64 can decode: what it says is written to a general
//! register or SP, we must say may be written; flow and target of branches must
//! be equal; a store through a general register or SP must be one for us as well,
//! at the same offset; and what we claim to know (`claims`) it must know too. Where
//! the two differ, fARM64 is wrong (the architecture manual was consulted for each
//! entry of the lists below), or we destroy more than the instruction does.
//!
//! A word that fARM64 can't decode is unallocated, or of an extension that it does
//! not know: for us it must be one that destroys what it might, see `unallocated`.
//!
//! * By default, a seeded sample.
//! * `ORC_TEST_ELF=vmlinux:x.ko`: all distinct words of their text.
//! * `ORC_TEST_ALL_WORDS=1`: all 2^32 words, about ten minutes of two processors
//!   in a release build. `ORC_TEST_ALL_WORDS=3/8`: the third of eight parts.

mod claims;
mod unallocated;

use fARM64::info::{instruction_info, InstructionInfo, OpAccess};
use fARM64::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};
use orctool::a64::insn::{Flow, Insn, Mode, Reg, Regs, Step, Store};
use orctool::input::Input;
use rayon::prelude::*;

const SAMPLE: u32 = 4_000_000;
const ADDRESS: u64 = 0x1000_0000;

#[test]
fn agrees_on_a_sample() {
    // A step prime to 2^32, so no word comes twice.
    let words = (0..SAMPLE)
        .into_par_iter()
        .map(|n| n.wrapping_mul(0x9e37_79b1));
    assert_agreed(words);
}

#[test]
fn agrees_on_the_words_of_a_kernel() {
    let Ok(paths) = std::env::var("ORC_TEST_ELF") else {
        eprintln!("skipped: ORC_TEST_ELF is not set");
        return;
    };
    let mut words: Vec<u32> = Vec::new();
    for path in paths.split(':').filter(|path| !path.is_empty()) {
        let data = std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let input = Input::read(&data).unwrap_or_else(|e| panic!("{path}: {e:?}"));
        let bytes = input
            .texts
            .iter()
            .flat_map(|text| text.text.bytes.chunks_exact(4));
        words.extend(bytes.map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])));
    }
    words.par_sort_unstable();
    words.dedup();
    assert_agreed(words.into_par_iter());
}

#[test]
fn agrees_on_all_words() {
    let Ok(part) = std::env::var("ORC_TEST_ALL_WORDS") else {
        eprintln!("skipped: ORC_TEST_ALL_WORDS is not set");
        return;
    };
    let (number, of) = match part.split_once('/') {
        Some((number, of)) => (number.parse().unwrap(), of.parse().unwrap()),
        None => (1_u64, 1_u64),
    };
    assert!((1..=of).contains(&number), "ORC_TEST_ALL_WORDS={part}");
    let start = |number: u64| (number << 32) / of;
    let words = start(number - 1)..start(number);
    assert_agreed(words.into_par_iter().map(|word| word as u32));
}

fn assert_agreed(words: impl ParallelIterator<Item = u32>) {
    let (decoded, mut wrong) = words
        .map(|word| match decode(word) {
            Some(theirs) => (1_u64, disagreements(word, &theirs)),
            None => (0, unallocated::disagreement(word).into_iter().collect()),
        })
        .reduce(Default::default, |mut all, part| {
            all.1.extend(part.1.into_iter().take(50));
            all.1.truncate(500);
            (all.0 + part.0, all.1)
        });
    assert!(decoded > 0, "nothing was compared");
    wrong.sort();
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn decode(word: u32) -> Option<Instruction> {
    let bytes = word.to_le_bytes();
    let insn = Decoder::new(&bytes, ADDRESS, DecoderOptions::default()).decode();
    (!insn.is_invalid()).then_some(insn)
}

fn disagreements(word: u32, theirs: &Instruction) -> Vec<String> {
    let ours = Insn::decode(word);
    let info = instruction_info(theirs);
    let mnemonic = theirs.mnemonic();
    let mut found = Vec::new();
    let mut note = |what: String| found.push(format!("{word:08x} {mnemonic:?}: {what}"));
    let missed = written(&info) & !bits(ours.writes());
    if missed != 0 && !counts_a_source_as_written(mnemonic) {
        note(format!("registers {missed:#x} are written"));
    }
    if !same_flow(ours.flow, info.flow_control(), mnemonic) {
        note(format!("{:?}, not {:?}", info.flow_control(), ours.flow));
    }
    if let Flow::Jump(by) | Flow::Conditional(by) | Flow::Call(by) = ours.flow {
        if ADDRESS.wrapping_add_signed(by) != theirs.near_branch_target() {
            note(format!("goes to {:#x}", theirs.near_branch_target()));
        }
    }
    if let Some(what) = missed_store(&ours, &info, mnemonic) {
        note(what);
    }
    if let Some(what) = claims::disagreement(&ours, theirs) {
        note(what);
    }
    found
}

/// A store that we do not have, or have elsewhere.
fn missed_store(ours: &Insn, info: &InstructionInfo, mnemonic: Mnemonic) -> Option<String> {
    // The first of two is the destination; fARM64 counts the source as written too.
    let memory = info.used_memory().first()?;
    let base = register(memory.base)?;
    if !is_write(memory.access) || changes_tags_alone(mnemonic) {
        return None;
    }
    match ours.step {
        Step::Anything | Step::ZeroBlock(_) => None,
        Step::Access(access) if access.base.index() as u32 == base => {
            let offset = match access.mode {
                Mode::Offset(offset) | Mode::PreIndex(offset) => Some(offset),
                _ => None,
            };
            if access.store == Store::Nothing && !counts_a_source_as_written(mnemonic) {
                return Some("stores".to_string());
            }
            let differs = offset.is_some_and(|offset| offset != memory.offset);
            differs.then(|| format!("stores at offset {}", memory.offset))
        }
        _ => Some(format!("stores through register {base}")),
    }
}

/// General registers and SP (31) that it says are written.
fn written(info: &InstructionInfo) -> u32 {
    info.used_registers()
        .iter()
        .filter(|used| is_write(used.access))
        .filter_map(|used| register(used.register))
        .fold(0, |all, register| all | (1 << register))
}

fn is_write(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite
    )
}

/// 0 to 30, or 31 for SP; none for the zero register and for vectors.
fn register(register: Register) -> Option<u32> {
    let number = register as u16;
    let within = |first: Register, last: Register| {
        (first as u16..=last as u16)
            .contains(&number)
            .then(|| u32::from(number - first as u16))
    };
    match register {
        Register::Sp | Register::Wsp => Some(31),
        _ => within(Register::W0, Register::W30).or(within(Register::X0, Register::X30)),
    }
}

fn bits(regs: Regs) -> u32 {
    regs.iter()
        .fold(0, |all, reg: Reg| all | (1 << reg.index()))
}

fn same_flow(ours: Flow, theirs: FlowControl, mnemonic: Mnemonic) -> bool {
    match (ours, theirs) {
        (Flow::Next, FlowControl::Next)
        | (Flow::Jump(_), FlowControl::UnconditionalBranch)
        | (Flow::Conditional(_), FlowControl::ConditionalBranch)
        | (Flow::Call(_), FlowControl::Call)
        | (Flow::IndirectJump, FlowControl::IndirectBranch)
        | (Flow::IndirectCall, FlowControl::IndirectCall)
        | (Flow::Return(_) | Flow::ExceptionReturn, FlowControl::Return)
        | (Flow::Trap, FlowControl::Exception) => true,
        // A call of the firmware comes back, to the next instruction; dcps is
        // undefined outside debug state, and destroys everything for us.
        (Flow::Next, FlowControl::Exception) => matches!(
            mnemonic,
            Mnemonic::Svc
                | Mnemonic::Hvc
                | Mnemonic::Smc
                | Mnemonic::Dcps1
                | Mnemonic::Dcps2
                | Mnemonic::Dcps3
        ),
        (Flow::Trap, FlowControl::Next) => mnemonic == Mnemonic::Udf,
        _ => false,
    }
}

/// These set allocation tags, and no data.
fn changes_tags_alone(mnemonic: Mnemonic) -> bool {
    matches!(mnemonic, Mnemonic::Stg | Mnemonic::St2g | Mnemonic::Stgm)
}

/// fARM64 0.1.0 takes the first operand of these, or the index of the vector
/// loads, as written, and it is only read; where another operand is written, the
/// unit tests of the model pin which.
fn counts_a_source_as_written(mnemonic: Mnemonic) -> bool {
    let name = format!("{mnemonic:?}");
    let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    let is = |names: &[&str]| names.contains(&name.as_str());
    // The index register of the post-indexed form.
    is(&["Ld1", "Ld2", "Ld3", "Ld4", "Ld1r", "Ld2r", "Ld3r", "Ld4r"])
        // Compared, waited for, prefetched or pushed.
        || is(&["Ctermeq", "Ctermne", "Wfet", "Wfit", "Rprfm", "Gcsstr", "Gcssttr"])
        // Given to a system instruction.
        || is(&["Apas", "Gcspushm", "Gcsss1", "Trcit"])
        // Stored.
        || is(&["Stgm", "Stzgm", "Stilp", "Sttp", "Sttnp", "Sttxr", "Stltxr"])
        // Stored or added; the other register is loaded.
        || begins(&["Ldtadd", "Ldtclr", "Ldtset", "Swpt", "Rcwcas", "Rcwscas"])
}
