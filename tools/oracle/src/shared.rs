// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What all CPUs share: the kernel's image, the rows, and the call stacks of the tasks
//! that do not run.

use crate::book::{Book, Damage};
use crate::decode::{flow, Flow};
use crate::image::{Error, Image};
use crate::machine::Places;
use crate::memory::{Ram, Space};
use crate::recover::Layout;
use crate::truth::Chain;

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use orc::bpf;
use orc::machine::RegsLayout;
use orc::reason::Reason;
use orc::rule::{Frame, Rule};
use std::num::NonZero;

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
    /// Start and end of the image, at the addresses that it is linked at.
    pub linked: (u64, u64),
    /// Fixed addresses that a walk needs.
    pub places: Places,
    /// Structures.
    pub offsets: Offsets,
    /// `cpu_switch_to()`.
    pub switch: Text,
    /// `ret_from_fork`.
    pub ret_from_fork: u64,
    /// `ftrace_caller`, or zero.
    pub ftrace_caller: u64,
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
    /// Reads the kernel's files.
    pub fn new(options: Options) -> Result<Self, Error> {
        let image = Image::open(&options.build)?;
        check_layout(&image)?;
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
            places: places(&image, &options.offsets)?,
            offsets: Offsets {
                stack: image.offset("TSK_STACK")?,
                preempt: image.offset("TSK_TI_PREEMPT")?,
                per_cpu_offset: image.symbol("__per_cpu_offset")?,
                irq_stack_ptr: image.symbol("irq_stack_ptr")?,
                ftrace_regs: (image.offset("FREGS_SIZE")?, image.offset("FREGS_PC")?),
                ksyms: ksyms(&options.offsets)?,
            },
            switch: Text(switch, switch_end),
            ret_from_fork: image.symbol("ret_from_fork")?,
            ftrace_caller: image.find("ftrace_caller").unwrap_or(0),
            module_hooks: (
                image.find("unwind_orc_module_finalize").unwrap_or(0),
                image.find("unwind_orc_module_cleanup").unwrap_or(0),
            ),
            bpf_hooks: (
                image.find("bpf_ksym_add").unwrap_or(0),
                image.find("bpf_ksym_del").unwrap_or(0),
            ),
            vectors: [Text(vectors, vectors + 0x800), Text(hardened, hardened_end)],
            calls: calls(&image),
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

    /// `unwind_orc_module_finalize(hdr, sechdrs, mod)` is entered: a module's sections
    /// are at their final addresses.
    pub fn module_loaded(
        &self,
        space: &mut Space,
        header: u64,
        sections: u64,
        module: u64,
    ) -> Option<()> {
        space.forget();
        let ids = space.read(header + 56)?.to_le_bytes();
        let count = u64::from(u16::from_le_bytes([ids[4], ids[5]]));
        let names = u64::from(u16::from_le_bytes([ids[6], ids[7]]));
        let names = header + space.read(sections + 64 * names + 24)?;
        let mut texts = Vec::new();
        let mut plts = Vec::new();
        let mut tables = HashMap::new();
        for number in 0..count {
            let section = sections + 64 * number;
            let name = names + u64::from(space.read32(section)?);
            let name = space.string(name)?;
            let kind = space.read32(section + 4)?;
            let flags = space.read(section + 8)?;
            let (address, size) = (space.read(section + 16)?, space.read(section + 32)?);
            if let Some(of) = name.strip_prefix(".orc_unwind") {
                tables.insert(of.to_owned(), space.bytes(address, size as usize)?);
            } else if flags & 6 == 6 && kind == 1 && size != 0 {
                texts.push((name, address, size));
            } else if name == ".plt" || name == ".init.plt" {
                plts.push((address, size));
            }
        }
        self.module_unloaded(module);
        let mut ranges = Vec::new();
        self.change_book(|book| {
            for (name, address, size) in &texts {
                if let Some(table) = tables.get(name) {
                    book.add(*address, *size, table);
                    ranges.push((*address, address + size));
                }
            }
            // Branches that leave everything as it is: see collect_plts() of the kernel.
            for (address, size) in plts {
                book.add_by(address, size, |_| Ok(Rule::Frame(Frame::ENTRY)));
                ranges.push((address, address + size));
            }
        });
        lock(&self.modules).insert(module, ranges);
        Some(())
    }

    /// `unwind_orc_module_cleanup(mod)` is entered.
    pub fn module_unloaded(&self, module: u64) {
        if let Some(ranges) = lock(&self.modules).remove(&module) {
            self.change_book(|book| {
                for (low, high) in ranges {
                    book.remove(low, high);
                }
            });
        }
    }

    /// `bpf_ksym_add(ksym)` is entered: a program or a trampoline has been made.
    pub fn bpf_added(&self, space: &mut Space, ksym: u64) -> Option<()> {
        let ksyms = &self.offsets.ksyms;
        let start = space.read(ksym + ksyms.start)?;
        let end = space.read(ksym + ksyms.end)?;
        let [entry_end, fp_start, fp_end, frame_size] = [
            ksyms.entry_end,
            ksyms.fp_start,
            ksyms.fp_end,
            ksyms.frame_size,
        ]
        .map(|offset| space.read32(ksym + offset));
        let frame_size = NonZero::new(frame_size?);
        let callsite =
            space.read32(ksym + (ksyms.callsite & !3))? >> (8 * (ksyms.callsite & 3)) & 0xff != 0;
        let body = match callsite {
            #[cfg(not(feature = "before"))]
            true => bpf::trampoline(frame_size),
            #[cfg(feature = "before")]
            true => Err(Reason::BpfOther),
            false => bpf::body(frame_size),
        };
        let size = end.checked_sub(start).filter(|size| *size < 1 << 24)?;
        let (entry_end, fp_start, fp_end) = (entry_end?.into(), fp_start?.into(), fp_end?.into());
        self.change_book(|book| {
            book.remove(start, end);
            book.add_by(start, size, |offset| {
                if offset < entry_end {
                    Ok(Rule::Frame(Frame::ENTRY))
                } else if offset < fp_start || offset >= fp_end {
                    Err(Reason::BpfOther)
                } else {
                    body
                }
            });
            if callsite {
                book.add_trampoline(start + fp_start, start + fp_end);
            }
        });
        Some(())
    }

    /// `bpf_ksym_del(ksym)` is entered.
    pub fn bpf_gone(&self, space: &mut Space, ksym: u64) -> Option<()> {
        let start = space.read(ksym + self.offsets.ksyms.start)?;
        let end = space.read(ksym + self.offsets.ksyms.end)?;
        self.change_book(|book| book.remove(start, end));
        Some(())
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

fn calls(image: &Image) -> Vec<u64> {
    let words = image.code.chunks_exact(4).enumerate();
    let calls = words.filter(|(_, word)| {
        let word = word
            .first_chunk()
            .map_or(0, |word| u32::from_le_bytes(*word));
        flow(word) == Flow::Call
    });
    calls
        .map(|(number, _)| image.text.0 + 4 * number as u64 + 4)
        .collect()
}

fn ksyms(path: &Path) -> Result<Ksyms, Error> {
    let numbers = crate::image::variables(path)?;
    let get = |name: &str| numbers.get(name).copied().unwrap_or(0);
    Ok(Ksyms {
        start: get("oracle_ksym_start"),
        end: get("oracle_ksym_end"),
        entry_end: get("oracle_ksym_entry_end"),
        callsite: get("oracle_ksym_callsite"),
        fp_start: get("oracle_ksym_fp_start"),
        fp_end: get("oracle_ksym_fp_end"),
        frame_size: get("oracle_ksym_frame_size"),
    })
}

/// Structures that an object file of the kernel's build describes.
fn kept(image: &Image, path: &Path) -> Result<Layout, Error> {
    let numbers = crate::image::variables(path)?;
    let get = |name: &str| numbers.get(name).copied().unwrap_or(0);
    Ok(Layout {
        ret_stack: get("oracle_ret_stack"),
        curr_ret_stack: get("oracle_curr_ret_stack"),
        graph_ret: get("oracle_graph_ret"),
        graph_retp: get("oracle_graph_retp"),
        kretprobes: get("oracle_kretprobes"),
        kretprobe_next: get("oracle_kretprobe_next"),
        kretprobe_ret: get("oracle_kretprobe_ret"),
        kretprobe_fp: get("oracle_kretprobe_fp"),
        return_to_handler: image.find("return_to_handler").unwrap_or(0),
        trampoline: image.find("__kretprobe_trampoline").unwrap_or(0),
    })
}

fn places(image: &Image, offsets: &Path) -> Result<Places, Error> {
    let stack: Range<u64> =
        image.symbol("__start_init_stack")?..image.symbol("__end_init_stack")?;
    Ok(Places {
        init_text: (image.symbol("_sinittext")?, image.symbol("_einittext")?),
        init_task: image.symbol("init_task")?,
        kept: kept(image, offsets)?,
        thread_bytes: stack.end - stack.start,
    })
}

/// The walk's layout of `struct pt_regs` is a constant: it must be this kernel's.
fn check_layout(image: &Image) -> Result<(), Error> {
    let layout = RegsLayout {
        fp: image.offset("S_FP")?,
        lr: image.offset("S_LR")?,
        sp: image.offset("S_SP")?,
        pc: image.offset("S_PC")?,
        pstate: image.offset("S_PSTATE")?,
        stackframe: image.offset("S_STACKFRAME")?,
        size: image.offset("PT_REGS_SIZE")?,
    };
    match layout == RegsLayout::LINUX_7_3 {
        true => Ok(()),
        false => Err(format!("struct pt_regs has another layout: {layout:?}").into()),
    }
}
