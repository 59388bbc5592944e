// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What all CPUs share: the kernel's image, the rows, and the call stacks of the tasks
//! that do not run.

mod layout;
mod texts;

use crate::book::{Book, Damage};
use crate::image::{Error, Image};
use crate::machine::Places;
use crate::memory::Ram;
use crate::truth::Chain;

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// Start and end of a piece of text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text(pub u64, pub u64);

impl Text {
    /// Whether this address is in it.
    pub fn contains(&self, pc: u64) -> bool {
        (self.0..self.1).contains(&pc)
    }
}

/// Places in the kernel's structures.
#[derive(Clone, Copy, Debug)]
pub struct Offsets {
    /// `stack` in `struct task_struct`.
    pub stack: u64,
    /// `thread_info.preempt_count` there.
    pub preempt: u64,
    /// `__per_cpu_offset`.
    pub per_cpu_offset: u64,
    /// `irq_stack_ptr`, a variable of each CPU.
    pub irq_stack_ptr: u64,
    /// Size of `struct __arch_ftrace_regs`, and where `pc` is in it.
    pub ftrace_regs: (u64, u64),
    /// `struct bpf_ksym`.
    pub ksyms: Ksyms,
}

/// Places in `struct bpf_ksym`.
#[derive(Clone, Copy, Debug)]
pub struct Ksyms {
    start: u64,
    end: u64,
    entry_end: u64,
    callsite: u64,
    fp_start: u64,
    fp_end: u64,
    frame_size: u64,
}

/// What the plugin was started with.
pub struct Options {
    /// Where the kernel was built.
    pub build: PathBuf,
    /// How far above the addresses that it was linked at it runs (KASLR).
    pub slide: u64,
    /// The object file of `offsets/offsets.c`.
    pub offsets: PathBuf,
    /// The file that backs the guest's memory.
    pub ram: String,
    /// Where the reports go: `OUT.log`, `OUT.txt`, `OUT.json`.
    pub out: String,
    /// What is done to the rows.
    pub damage: Damage,
    /// Decides which instructions stand alone.
    pub seed: u64,
}

/// What all CPUs share.
pub struct Shared {
    /// The kernel.
    pub image: Image,
    /// The guest's memory.
    pub ram: Ram,
    /// Start and end of the image, at the addresses that it runs at.
    pub linked: (u64, u64),
    /// Fixed addresses that a walk needs.
    pub places: Places,
    /// Structures.
    pub offsets: Offsets,
    /// `cpu_switch_to()`.
    pub switch: Text,
    /// `ret_from_fork`.
    pub ret_from_fork: u64,
    /// `ftrace_caller`, or nothing.
    pub ftrace_caller: Text,
    /// `unwind_orc_module_finalize()` and `unwind_orc_module_cleanup()`, or zero.
    pub module_hooks: (u64, u64),
    /// `bpf_ksym_add()` and `bpf_ksym_del()`, or zero.
    pub bpf_hooks: (u64, u64),
    /// The vectors, those against branch history injection too.
    pub vectors: [Text; 2],
    /// Addresses after the calls of vmlinux.
    pub calls: Vec<u64>,
    /// Seed.
    pub seed: u64,
    /// Where reports go.
    pub out: String,
    book: Mutex<Arc<Book>>,
    chains: Mutex<HashMap<u64, Chain>>,
    modules: Mutex<HashMap<u64, Vec<(u64, u64)>>>,
    log: Mutex<File>,
    reports: AtomicU64,
    explained: AtomicU64,
}

/// The only one.
pub static SHARED: OnceLock<Shared> = OnceLock::new();

/// The only one, which is there as soon as the plugin is.
pub fn shared() -> &'static Shared {
    SHARED.get().expect("the plugin is installed")
}

impl Shared {
    /// Whether rows may say that x9 counts there: in `ftrace_caller`, and where modules call it
    /// by way of a PLT.
    pub fn may_need_x9(&self, pc: u64) -> bool {
        let (start, end) = self.image.text;
        self.ftrace_caller.contains(pc) || !(start..end).contains(&pc)
    }

    /// Reads the kernel's files.
    pub fn new(options: Options) -> Result<Self, Error> {
        let image = Image::open(&options.build, options.slide)?;
        layout::check_layout(&image)?;
        let entry_text = (
            image.symbol("__entry_text_start")?,
            image.symbol("__entry_text_end")?,
        );
        let mut book = Book::new(
            options.damage,
            entry_text,
            (image.text.0, image.code.clone()),
        );
        let (start, end) = image.text;
        if !book.add(start, end - start, &image.table) {
            return Err("the table of vmlinux is none".into());
        }
        let vectors = image.symbol("vectors")?;
        let (hardened, hardened_end) = image.function("__bp_harden_el1_vectors").unwrap_or((0, 0));
        let (switch, switch_end) = image.function("cpu_switch_to")?;
        Ok(Self {
            ram: Ram::open(&options.ram).map_err(|error| format!("{}: {error}", options.ram))?,
            linked: (image.symbol("_text")?, image.symbol("_end")?),
            places: layout::places(&image, &options.offsets)?,
            offsets: Offsets {
                stack: image.offset("TSK_STACK")?,
                preempt: image.offset("TSK_TI_PREEMPT")?,
                per_cpu_offset: image.symbol("__per_cpu_offset")?,
                irq_stack_ptr: image.symbol("irq_stack_ptr")?,
                ftrace_regs: (image.offset("FREGS_SIZE")?, image.offset("FREGS_PC")?),
                ksyms: layout::ksyms(&options.offsets)?,
            },
            switch: Text(switch, switch_end),
            ret_from_fork: image.symbol("ret_from_fork")?,
            ftrace_caller: Text(
                image.find("ftrace_caller").unwrap_or(0),
                image.find("ftrace_caller_end").unwrap_or(0),
            ),
            module_hooks: (
                image.find("unwind_orc_module_finalize").unwrap_or(0),
                image.find("unwind_orc_module_cleanup").unwrap_or(0),
            ),
            bpf_hooks: (
                image.find("bpf_ksym_add").unwrap_or(0),
                image.find("bpf_ksym_del").unwrap_or(0),
            ),
            vectors: [Text(vectors, vectors + 0x800), Text(hardened, hardened_end)],
            calls: layout::calls(&image),
            seed: options.seed,
            book: Mutex::new(Arc::new(book)),
            chains: Mutex::default(),
            modules: Mutex::default(),
            log: Mutex::new(File::create(Path::new(&format!("{}.log", options.out)))?),
            out: options.out,
            reports: AtomicU64::new(0),
            explained: AtomicU64::new(0),
            image,
        })
    }

    /// The rows, as they are now.
    pub fn book(&self) -> Arc<Book> {
        lock(&self.book).clone()
    }

    /// Changes the rows.
    pub fn change_book(&self, change: impl FnOnce(&mut Book)) {
        let mut book = lock(&self.book);
        let mut new = Book::clone(&book);
        change(&mut new);
        *book = Arc::new(new);
    }

    /// Puts the stack of `previous` away, and takes that of `next`.
    pub fn exchange(&self, previous: u64, chain: Chain, next: u64) -> Chain {
        let mut chains = lock(&self.chains);
        chains.insert(previous, chain);
        chains.remove(&next).unwrap_or_default()
    }

    /// Whether two addresses are in one function of vmlinux.
    pub fn same_function(&self, one: u64, other: u64) -> bool {
        let (name, _) = self.image.name(one);
        !name.is_empty() && name == self.image.name(other).0
    }

    /// Addresses, for people.
    pub fn names(&self, pcs: &[u64]) -> String {
        let names: Vec<String> = pcs.iter().map(|pc| self.name(*pc)).collect();
        names.join(" <- ")
    }

    fn name(&self, pc: u64) -> String {
        match self.image.name(pc) {
            (name, offset) if !name.is_empty() => format!("{name}+{offset:#x}"),
            _ => format!("{pc:#x}"),
        }
    }

    /// The name of a word that may be an address of text; else nothing.
    pub fn name_of_text(&self, word: u64) -> String {
        let pc = crate::machine::strip_pac(word);
        let (start, end) = self.image.text;
        match (start..end).contains(&pc) {
            true => self.name(pc),
            false => String::new(),
        }
    }

    /// Writes to the log.
    pub fn say(&self, text: &str) {
        let _ = lock(&self.log).write_all(text.as_bytes());
    }

    /// Whether one more wrong verdict is to be shown.
    pub fn may_report(&self) -> bool {
        self.reports.fetch_add(1, Ordering::Relaxed) < 40
    }

    /// Whether one more odd event is to be shown.
    pub fn may_explain(&self) -> bool {
        self.explained.fetch_add(1, Ordering::Relaxed) < 200
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
