// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Writes what the corpora start from: `cargo run --example seeds DIRECTORY`.
//!
//! Files of the compilers, a table of one of them, a small kernel and a module, and
//! lines that the kernel prints; the stacks of a task that sleeps, of one that was
//! preempted, of one in ftrace_caller, and of one on the IRQ stack; rules.

use orc::format::{Header, ESCAPE, HEADER_WORDS, KEY_SHIFT, WORD_BYTES};
use orc::rule::{Frame, Rule};
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
    put("table_walk", "below-stack", &tasks::below_stack());
    put("table_walk", "escaped", &tasks::escaped());
    put("table", "escaped-parts", &escaped(&tasks::USUAL));
    put("table", "unsorted-parts", &unsorted());
    for (name, frame) in tasks::FRAMES {
        put("rule", name, &tasks::compact(&frame));
        put("rule", &format!("{name}-words"), &words(&frame));
    }
}

/// Tasks as `orc_fuzz::task` reads them.
mod tasks {
    use orctool::table;

    use orc::rule::{Cfa, CfaBase, Frame, Location, Rule, StackPointer, X29};

    /// Words of `struct pt_regs` below its metadata record.
    const REGS: u8 = 37;

    /// A frame of 32 bytes with its record at the bottom.
    pub const USUAL: Frame = Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: 32,
        },
        return_address: Location::Slot(24),
        caller_fp: Location::Slot(32),
        x29: X29::Record(32),
        ..Frame::ENTRY
    };

    /// The entry of a function that is left by its return alone.
    const LEFT: Frame = Frame {
        left_by_return: Some(64),
        ..Frame::ENTRY
    };

    /// ftrace_caller, with its records made.
    const FTRACE: Frame = Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: 32 + 112,
        },
        caller_fp: Location::Slot(16),
        patch_site: true,
        ..USUAL
    };

    /// call_on_irq_stack, with SP on the other stack.
    const ON_IRQ: Frame = Frame {
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

    /// A function that has called alloca().
    const ALLOCA: Frame = Frame {
        sp: StackPointer::Below {
            least: 32,
            most: Some(64),
        },
        ..ON_IRQ
    };

    /// A frame of each kind.
    pub const FRAMES: [(&str, Frame); 6] = [
        ("entry", Frame::ENTRY),
        ("left", LEFT),
        ("usual", USUAL),
        ("ftrace", FTRACE),
        ("irq", ON_IRQ),
        ("alloca", ALLOCA),
    ];

    /// Rules of the functions at 0, 16, 32 … in the text.
    fn functions(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = vec![frames.len() as u8];
        for frame in frames {
            bytes.push(0);
            bytes.extend(compact(frame));
        }
        bytes
    }

    /// A rule as `orc_fuzz::rule` reads it.
    pub fn compact(frame: &Frame) -> [u8; 5] {
        let raw = Rule::Frame(*frame).encode().expect("a valid rule");
        let [head, numbers] = raw.words().map(u32::to_le_bytes);
        let flags = head[0] >> 1 | head[1] << 7;
        let kind = match frame.left_by_return {
            Some(_) => 1 | 2 << 3,
            None => 1,
        };
        [kind, flags, head[2], numbers[0], numbers[2]]
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

    pub fn all() -> [Task; 5] {
        [sleeps(), called(), preempted(), traced(), irq()]
    }

    /// The task that sleeps, with a table in which the rule's number is an escape.
    pub fn escaped() -> Vec<u8> {
        let parts = super::escaped(&USUAL);
        let len = parts.len() as u16;
        [&len.to_le_bytes()[..], &parts, &sleeps().rest].concat()
    }

    /// A rule that no accepted table holds: a frame of no size, with the return
    /// address at the CFA. It was walked through for ever.
    pub fn endless() -> Vec<u8> {
        let state = [0, 0, 0, 0, 20 + 1, 0, 0x82];
        let words = [0x81, REGS, 0x91, 0x82, 0x91, 0x82];
        let mut bytes = Task::new("endless", &[USUAL], &[&state, &words]).with_table();
        // After the length, the counts and the index: a frame, with the flag of a slot.
        bytes[2 + 5 + 8..][..8].copy_from_slice(&[1 | 4, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    /// Another one: x29 is where its record would be, below the frame and the stack.
    pub fn below_stack() -> Vec<u8> {
        let state = [0, 0, 0, 0, 62, 9, 12, 0x82];
        let mut bytes = Task::new("below-stack", &[USUAL], &[&state]).with_table();
        // The distance from the record to the CFA.
        bytes[2 + 5 + 8 + 6] = 16;
        bytes
    }

    /// One stack; switched out in the third frame.
    fn sleeps() -> Task {
        let state = [0, 0, 0, 0, 20 + 6, 13, 0x82];
        Task::new("sleeps", &[USUAL], &[&state, &calls(3)])
    }

    /// The same, where all calls are of the first function, which is left by its return
    /// alone; all frames are in the second one, which is near enough to be part of it.
    fn called() -> Task {
        let state = [0x10, 0, 0, 0x80, 0, 20 + 6, 13, 0x86];
        let calls = [0x81, REGS, 2, 0x67, 2, 4, 2, 0x42, 0x86, 2, 0x42, 0x86];
        Task::new("called", &[LEFT, USUAL], &[&state, &calls])
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
        let state = [0, 0, 0, 0, 20 + 2 + 9 + 2, 13, 0x82];
        // The traced function's record, its own, then struct __arch_ftrace_regs: pc,
        // sp, lr, fp; direct_tramp and x0 to x8 are zeros.
        let records = [0x40, 0x82, 0x40, 0x88];
        let regs = [0x91, 0x88, 0x91, 0x15, 0x91, 0x82, 0x91, 0x17, 10];
        let tracer = [2, 0x50, 0x86];
        let rest: [&[u8]; 5] = [&state, &calls(1), &records, &regs, &tracer];
        Task::new("traced", &[USUAL, FTRACE, Frame::ENTRY], &rest)
    }

    /// The handler of an interrupt has called call_on_irq_stack.
    fn irq() -> Task {
        let state = [1, 0, 0, 0, 1, 2, 13, 0x82];
        let record = [0x40, 0x82, 0];
        let other = [2, 0x91, 0x86, 0x91, 10, 40 + 4 + 4 + 2];
        let rest: [&[u8]; 4] = [&state, &calls(2), &record, &other];
        Task::new("irq", &[USUAL, ON_IRQ], &rest)
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
    let words = table::words(table).expect("whole words");
    let header = Header::decode(&words).expect("a sound header");
    let text = header.text_bytes / 4;
    let mut parts = vec![header.rows as u8, header.rules as u8, header.escapes as u8];
    parts.extend([text as u8, (text >> 8) as u8]);
    parts.extend(&table[HEADER_WORDS * WORD_BYTES..]);
    parts
}

/// Parts of a table of two rules, each of which has many numbers: the frame's first, then
/// twice that of an entry, the first and the last of these rows with an escape.
fn escaped(frame: &Frame) -> Vec<u8> {
    let mut parts = vec![3, 0x80 | 2, 2, 12, 0];
    parts.extend([0_u32, 3].map(u32::to_le_bytes).concat());
    parts.extend([words(&Frame::ENTRY), words(frame)].concat());
    parts.extend([0, ESCAPE, 2, ESCAPE + 1].map(u32::to_le_bytes).concat());
    let rows = [ESCAPE, 4 << KEY_SHIFT, 8 << KEY_SHIFT | ESCAPE];
    parts.extend(rows.map(|row| (row as u16).to_le_bytes()).concat());
    parts
}

/// Parts of a table that is sound, but for the order of its last two rows.
fn unsorted() -> Vec<u8> {
    let mut parts = vec![3, 1, 0, 12, 0];
    parts.extend([0_u32, 3].map(u32::to_le_bytes).concat());
    parts.extend(words(&Frame::ENTRY));
    let rows = [0, 8 << KEY_SHIFT, 4 << KEY_SHIFT];
    parts.extend(rows.map(|row| (row as u16).to_le_bytes()).concat());
    parts
}

/// The bytes of a rule in a table.
fn words(frame: &Frame) -> Vec<u8> {
    let raw = Rule::Frame(*frame).encode().expect("a valid rule");
    raw.words().map(u32::to_le_bytes).concat()
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
