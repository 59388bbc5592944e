// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Writes what the corpora start from: `cargo run --example seeds DIRECTORY`.
//!
//! Files of the compilers, a table of one of them, a small kernel and a module, and
//! lines that the kernel prints; the stacks of a task that sleeps, of one that was
//! preempted, of one in ftrace_caller, and of one on the IRQ stack.

use orc_fuzz::assemble::{self, FRAMED, NOP};
use orctool::check::baseline::Baseline;
use orctool::check::File;
use orctool::input::Input;
use orctool::{generate, table};

use std::fs;
use std::path::Path;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../orc/tests/fixtures/");
const OBJECTS: [&str; 6] = [
    "clang.o",
    "gcc.o",
    "gcc-sync.o",
    "lines-clang.o",
    "lines.elf",
    "sancov.o",
];

const SAID: [&str; 6] = [
    "unreliable: frame pointer mismatch at framed+0x8/0x18",
    "cat-71 [001] d..2. 12.3: unwind_orc_unreliable: pid=70 comm=cat pc=framed+0x8/0x18 [m] frame=3 reason=\"null pc\"",
    "[<0>] bare+0x4/0x8\n[<0>] framed+0xc/0x18\nreliable\n",
    "0xffff800080010004",
    ".text+4",
    "bpf_prog_6deef7357e7b4530+0x50/0x80 [bpf]",
];

fn main() {
    let directory = std::env::args().nth(1).expect("a directory");
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let directory = Path::new(&directory).join(target);
        fs::create_dir_all(&directory).expect("a directory that can be made");
        fs::write(directory.join(name), bytes).expect("a file that can be written");
    };
    for name in OBJECTS {
        let file = fs::read(format!("{FIXTURES}{name}")).expect("a fixture");
        put("elf", name, &file);
        put("baseline", name, findings(&file).as_bytes());
        for (number, table) in tables(&file).into_iter().enumerate() {
            let parts = parts(&table);
            put("table", &format!("{name}-{number}"), &table);
            put("table", &format!("{name}-{number}-parts"), &parts);
        }
    }
    put("elf", "module", &assemble::module().build());
    put("elf", "kernel", &assemble::kernel(None).build());
    for (number, said) in SAID.iter().enumerate() {
        put("explain", &number.to_string(), said.as_bytes());
    }
    put("cfi", "framed", &framed());
    for task in tasks::all() {
        put("walk", task.name, &task.with_functions());
        put("table_walk", task.name, &task.with_table());
    }
    put("table_walk", "endless", &tasks::endless());
}

/// Tasks as `orc_fuzz::task` reads them.
mod tasks {
    use orctool::table;

    use orc::format::RULE_BYTES;
    use orc::rule::{Cfa, CfaBase, Frame, Location, Rule, StackPointer, X29};

    /// Words of `struct pt_regs` below its metadata record.
    const REGS: u8 = 37;

    /// A frame of 32 bytes with its record at the bottom.
    const USUAL: Frame = Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: 32,
        },
        return_address: Location::Slot(24),
        caller_fp: Location::Slot(32),
        x29: X29::Record(32),
        ..Frame::ENTRY
    };

    /// Rules of the functions at 0, 16, 32 … in the text.
    fn functions(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = vec![frames.len() as u8];
        for frame in frames {
            bytes.push(0);
            let words = Rule::Frame(*frame).encode().expect("a valid rule");
            bytes.push((words[0] >> 8) as u8);
            bytes.extend(words[1..].iter().map(|word| (word / 8) as u8));
            bytes.push(1);
        }
        bytes
    }

    /// From the top of the stack: the final record, and `calls` usual frames.
    fn calls(calls: u8) -> Vec<u8> {
        let mut bytes = vec![0x81, REGS, 2, 0x67, 2, 4];
        (1..calls).for_each(|_| bytes.extend([2, 0x42, 0x82]));
        bytes
    }

    /// A task: the rules of its functions, and the rest.
    pub struct Task {
        pub name: &'static str,
        frames: Vec<Frame>,
        rest: Vec<u8>,
    }

    impl Task {
        fn new(name: &'static str, frames: &[Frame], rest: &[&[u8]]) -> Self {
            Self {
                name,
                frames: frames.to_vec(),
                rest: rest.concat(),
            }
        }

        /// With its rules one by one.
        pub fn with_functions(&self) -> Vec<u8> {
            [functions(&self.frames), self.rest.clone()].concat()
        }

        /// With a table of its rules.
        pub fn with_table(&self) -> Vec<u8> {
            let starts = (0..).step_by(16);
            let frames = self.frames.iter().map(|frame| Rule::Frame(*frame));
            let rows = table::Rows {
                text_bytes: self.frames.len() as u32 * 16,
                rows: starts.zip(frames).collect(),
            };
            let parts = super::parts(&table::write(&rows, &[0; 20]).expect("a table"));
            let len = parts.len() as u16;
            [&len.to_le_bytes()[..], &parts, &self.rest].concat()
        }
    }

    pub fn all() -> [Task; 4] {
        [sleeps(), preempted(), traced(), irq()]
    }

    /// A rule that no accepted table holds: a frame of no size, with the return
    /// address at the CFA. It was walked through for ever.
    pub fn endless() -> Vec<u8> {
        let state = [0, 0, 0, 0, 20 + 1, 0, 0x82];
        let words = [0x81, REGS, 0x91, 0x82, 0x91, 0x82];
        let mut bytes = Task::new("endless", &[USUAL], &[&state, &words]).with_table();
        // After the length, the counts and the index.
        let rule = &mut bytes[2 + 4 + 8..][..RULE_BYTES];
        rule.fill(0);
        rule[..2].copy_from_slice(&[1, 2]);
        bytes
    }

    /// One stack; switched out in the third frame.
    fn sleeps() -> Task {
        let state = [0, 0, 0, 0, 20 + 6, 13, 0x82];
        Task::new("sleeps", &[USUAL], &[&state, &calls(3)])
    }

    /// The second frame is interrupted, and its handler switched out.
    fn preempted() -> Task {
        let state = [0, 0, 0, 0, 20 + 4 + 20 + 2, 13, 0x82];
        let regs = [0x90, 0x82, 13, 0x82, 0, 0];
        let handler = [2, 0x67, 2, 4];
        let rest: [&[u8]; 5] = [&state, &calls(1), &[2, 0x42, 0x82], &regs, &handler];
        Task::new("preempted", &[USUAL], &rest)
    }

    /// ftrace_caller has called a tracer at the entry of the second function.
    fn traced() -> Task {
        let ftrace = Frame {
            cfa: Cfa {
                base: CfaBase::Sp,
                offset: 32 + 112,
            },
            caller_fp: Location::Slot(16),
            patch_site: true,
            ..USUAL
        };
        let state = [0, 0, 0, 0, 20 + 2 + 9 + 2, 13, 0x82];
        // The traced function's record, its own, then struct __arch_ftrace_regs: pc,
        // sp, lr, fp; direct_tramp and x0 to x8 are zeros.
        let records = [0x40, 0x82, 0x40, 0x88];
        let regs = [0x91, 0x88, 0x91, 0x15, 0x91, 0x82, 0x91, 0x17, 10];
        let tracer = [2, 0x50, 0x86];
        let rest: [&[u8]; 5] = [&state, &calls(1), &records, &regs, &tracer];
        Task::new("traced", &[USUAL, ftrace, Frame::ENTRY], &rest)
    }

    /// The handler of an interrupt has called call_on_irq_stack.
    fn irq() -> Task {
        let on_irq = Frame {
            cfa: Cfa {
                base: CfaBase::Fp,
                offset: 16,
            },
            sp: StackPointer::OtherStack,
            return_address: Location::Slot(8),
            caller_fp: Location::Slot(16),
            x29: X29::Record(16),
            ..Frame::ENTRY
        };
        let state = [1, 0, 0, 0, 1, 2, 13, 0x82];
        let record = [0x40, 0x82, 0];
        let other = [2, 0x91, 0x86, 0x91, 10, 40 + 4 + 4 + 2];
        let rest: [&[u8]; 4] = [&state, &calls(2), &record, &other];
        Task::new("irq", &[USUAL, on_irq], &rest)
    }
}

fn findings(file: &[u8]) -> String {
    let input = Input::read_all_text(file).expect("a sound file");
    Baseline::of(&[File::check("vmlinux", &input, || ())]).text()
}

fn tables(file: &[u8]) -> Vec<Vec<u8>> {
    let input = Input::read(file).expect("a sound file");
    let rows = generate::Proved::new(&input, || ()).rows(&input);
    let table = |rows| table::write(rows, &[0; 20]).expect("a table");
    rows.iter().map(table).collect()
}

/// A table as `orc_fuzz::table` puts it together again.
fn parts(table: &[u8]) -> Vec<u8> {
    let word =
        |at: usize| u32::from_le_bytes([table[at], table[at + 1], table[at + 2], table[at + 3]]);
    let (text, rows, rules) = (word(36) / 4, word(40), word(48));
    let mut parts = vec![rows as u8, rules as u8, text as u8, (text >> 8) as u8];
    parts.extend(&table[64..]);
    parts
}

/// A function with a frame, as `orc_fuzz::cfi` reads it.
fn framed() -> Vec<u8> {
    let words = FRAMED.len() as u8;
    let program = assemble::framed_cfi().concat();
    let mut bytes = vec![0, 1, 0, words];
    let known = [NOP, 0xd65f_03c0, 0xa9bf_7bfd, 0x9100_03fd, 0xa8c1_7bfd];
    bytes.extend(
        FRAMED
            .iter()
            .map(|word| known.iter().position(|known| known == word).unwrap_or(0) as u8),
    );
    bytes.extend([0, program.len() as u8]);
    bytes.extend(program);
    bytes
}
