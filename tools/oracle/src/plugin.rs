// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where QEMU calls: installation, translation, execution, the end.

use crate::book::Damage;
use crate::counts::{Counts, Covered};
use crate::decode::{changes, flow, may_store, writes_unseen, Flow};
use crate::ffi::{self, Id, Insn, Tb};
use crate::registers::{Reg, Registers};
use crate::shared::{shared, Options, Shared, SHARED};
use crate::vcpu::{Segment, Vcpu, MEMORY};

use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_uint, c_void, CStr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;

/// Checked by QEMU.
#[no_mangle]
pub static qemu_plugin_version: c_int = ffi::VERSION;

const CPUS: usize = 8;

struct Slot(UnsafeCell<Option<Box<Vcpu>>>);

// SAFETY: each is used only by callbacks of its own CPU, which are one after another,
// and at the end, when no CPU runs.
unsafe impl Sync for Slot {}

static VCPUS: [Slot; CPUS] = [const { Slot(UnsafeCell::new(None)) }; CPUS];

type Key = (u64, u32, u8, u16);
static SEGMENTS: Mutex<Option<HashMap<Key, &'static Segment>>> = Mutex::new(None);

fn vcpu(number: c_uint) -> Option<&'static mut Vcpu> {
    let slot = VCPUS.get(number as usize)?;
    // SAFETY: see `Slot`.
    unsafe { (*slot.0.get()).as_deref_mut() }
}

/// Called by QEMU when it loads the plugin.
///
/// # Safety
///
/// `arguments` are `count` strings.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    _info: *const ffi::Info,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let mut given = HashMap::new();
    for number in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: as the caller says.
        let text = unsafe { CStr::from_ptr(*arguments.add(number)) }.to_string_lossy();
        if let Some((name, value)) = text.split_once('=') {
            given.insert(name.to_owned(), value.to_owned());
        }
    }
    let made =
        options(&given).and_then(|options| Shared::new(options).map_err(|error| error.to_string()));
    let made = match made {
        Ok(made) => made,
        Err(why) => {
            eprintln!("oracle: {why}");
            return 1;
        }
    };
    let _ = SHARED.set(made);
    // SAFETY: the callbacks have the types that QEMU wants.
    unsafe {
        ffi::qemu_plugin_register_vcpu_init_cb(id, on_init);
        ffi::qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
        ffi::qemu_plugin_register_atexit_cb(id, on_exit, std::ptr::null_mut());
    }
    0
}

fn options(given: &HashMap<String, String>) -> Result<Options, String> {
    let get = |name: &str| given.get(name).cloned();
    let need = |name: &str| get(name).ok_or_else(|| format!("no option {name}="));
    let damage = get("damage").unwrap_or_else(|| "none".to_owned());
    let damage = Damage::NAMES.iter().find(|(name, _)| *name == damage);
    Ok(Options {
        build: PathBuf::from(need("build")?),
        offsets: PathBuf::from(need("offsets")?),
        ram: need("ram")?,
        out: need("out")?,
        damage: damage.ok_or("unknown damage")?.1,
        seed: get("seed").and_then(|seed| seed.parse().ok()).unwrap_or(1),
    })
}

extern "C" fn on_init(_id: Id, number: c_uint) {
    let registers = match Registers::find() {
        Ok(registers) => registers,
        Err(why) => {
            eprintln!("oracle: {why}");
            return;
        }
    };
    if let Some(slot) = VCPUS.get(number as usize) {
        // SAFETY: no callback of this CPU has run.
        unsafe { *slot.0.get() = Some(Box::new(Vcpu::new(number, registers, shared()))) };
    }
}

/// QEMU's own code, which starts the kernel.
const LOADER: std::ops::Range<u64> = 0x4000_0000..0x4000_1000;

/// Where the kernel's image is in physical memory: where it is entered.
static IMAGE: AtomicU64 = AtomicU64::new(0);

/// A PC of the kernel as the address that it is linked at. QEMU translates code once for
/// all addresses that it is mapped at, and shows that of the first.
pub fn linked(pc: u64) -> u64 {
    let shared = shared();
    let start = shared.linked.0;
    if IMAGE.load(Ordering::Relaxed) == 0
        && pc >> 55 & 1 == 0
        && !LOADER.contains(&pc)
        && pc >= LOADER.end
    {
        IMAGE.store(pc, Ordering::Relaxed);
    }
    match pc.checked_sub(IMAGE.load(Ordering::Relaxed)) {
        Some(offset) if offset < shared.linked.1 - start => start + offset,
        _ => pc,
    }
}

extern "C" fn on_translation(_id: Id, tb: *mut Tb) {
    let shared = shared();
    let book = shared.book();
    // SAFETY: QEMU's block, and instructions of it.
    let count = unsafe { ffi::qemu_plugin_tb_n_insns(tb) };
    let mut insns = Vec::with_capacity(count);
    for number in 0..count {
        // SAFETY: as above; four bytes are copied.
        unsafe {
            let insn = ffi::qemu_plugin_tb_get_insn(tb, number);
            let mut word = [0_u8; 4];
            ffi::qemu_plugin_insn_data(insn, word.as_mut_ptr().cast(), 4);
            insns.push((
                insn,
                linked(ffi::qemu_plugin_insn_vaddr(insn)),
                u32::from_le_bytes(word),
            ));
        }
    }
    let Some((_, first, _)) = insns.first() else {
        return;
    };
    // User space.
    if first >> 55 & 1 == 0 {
        return;
    }
    let mut start = 0;
    let mut changed = 0;
    for number in 0..count {
        let (_, pc, word) = insns[number];
        let row = book.find(pc);
        let next = insns.get(number + 1).map(|(_, pc, _)| *pc);
        let mut after = changes(word);
        if writes_unseen(word) {
            after |= MEMORY;
        }
        let ends = match next {
            None => true,
            Some(next) => {
                after != 0
                    || may_store(word)
                    || book.find(next) != row
                    || stands_alone(next, shared.seed)
                    || stands_alone(pc, shared.seed)
            }
        };
        if !ends {
            continue;
        }
        let (insn, pc_start, _) = insns[start];
        prepare(insn, pc_start, shared);
        let segment = segment((pc_start, (number + 1 - start) as u32, changed, row));
        let registers = start == 0 || changed != 0;
        // SAFETY: the segment lives as long as the process.
        unsafe {
            exec(
                insn,
                on_head,
                registers,
                std::ptr::from_ref(segment).cast_mut().cast(),
            )
        };
        for (insn, pc, word) in &insns[start..=number] {
            finish(*insn, *pc, *word);
        }
        if next.is_none() && after != 0 && flow(word) != Flow::Call {
            // SAFETY: the last argument is a number.
            unsafe {
                exec(
                    insns[number].0,
                    on_change,
                    false,
                    usize::from(after) as *mut c_void,
                )
            };
        }
        changed = after;
        start = number + 1;
    }
}

/// Some instructions are asked about each for itself, so that one row for several is
/// no assumption.
fn stands_alone(pc: u64, seed: u64) -> bool {
    (pc.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 59 == 0
}

fn segment(key: Key) -> &'static Segment {
    let mut segments = SEGMENTS
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let segments = segments.get_or_insert_with(HashMap::new);
    let (pc, count, changed, row) = key;
    segments.entry(key).or_insert_with(|| {
        Box::leak(Box::new(Segment {
            pc,
            count,
            changed,
            row,
            seen: AtomicBool::new(false),
        }))
    })
}

/// What comes before an instruction is judged.
fn prepare(insn: *mut Insn, pc: u64, shared: &Shared) {
    if shared.vectors.iter().any(|text| text.contains(pc)) && pc % 0x80 == 0 {
        // SAFETY: the last argument is a number.
        unsafe { exec(insn, on_vector, true, (pc & 0x7ff) as *mut c_void) };
    }
    let hooks: [(u64, ffi::ExecCb); 6] = [
        (shared.switch.0, on_switch),
        (shared.ftrace_caller, on_ftrace_caller),
        (shared.module_hooks.0, on_module),
        (shared.module_hooks.1, on_module_gone),
        (shared.bpf_hooks.0, on_bpf),
        (shared.bpf_hooks.1, on_bpf_gone),
    ];
    for (at, hook) in hooks {
        if at == pc {
            // SAFETY: no argument.
            unsafe { exec(insn, hook, true, std::ptr::null_mut()) };
        }
    }
}

/// What comes after it.
fn finish(insn: *mut Insn, pc: u64, word: u32) {
    // SAFETY: the last arguments are numbers.
    unsafe {
        match flow(word) {
            Flow::Call => exec(insn, on_call, false, pc as *mut c_void),
            Flow::Return(30) => exec(insn, on_ret, true, pc as *mut c_void),
            Flow::Return(_) => exec(
                insn,
                on_ret_by,
                true,
                (u64::from(word) << 32 | pc & 0xffff_ffff) as *mut c_void,
            ),
            Flow::ExceptionReturn => exec(insn, on_eret, true, std::ptr::null_mut()),
            Flow::Other => {}
        }
        if may_store(word) {
            ffi::qemu_plugin_register_vcpu_mem_cb(
                insn,
                on_store,
                ffi::CB_NO_REGS,
                ffi::MEM_W,
                std::ptr::null_mut(),
            );
        }
    }
}

/// # Safety
///
/// `data` must be what `callback` takes it for.
unsafe fn exec(insn: *mut Insn, callback: ffi::ExecCb, registers: bool, data: *mut c_void) {
    let flags = match registers {
        true => ffi::CB_R_REGS,
        false => ffi::CB_NO_REGS,
    };
    // SAFETY: an instruction of the block that is translated.
    unsafe { ffi::qemu_plugin_register_vcpu_insn_exec_cb(insn, callback, flags, data) };
}

extern "C" fn on_head(number: c_uint, data: *mut c_void) {
    // SAFETY: a segment, which lives as long as the process.
    let segment = unsafe { &*data.cast::<Segment>() };
    if let Some(vcpu) = vcpu(number) {
        vcpu.head(segment);
    }
}

extern "C" fn on_change(number: c_uint, data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.will_change(data as usize as u8);
    }
}

extern "C" fn on_store(number: c_uint, info: u32, address: u64, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        // As qemu_plugin_mem_size_shift(), without the call: a MemOpIdx, its size first.
        vcpu.stored(address, 1 << (info >> 4 & 7));
        if vcpu.is_kept(address) {
            // SAFETY: this is the callback of a store.
            let value = unsafe { ffi::qemu_plugin_mem_get_value(info) };
            vcpu.divert(address, value.low);
            if info >> 4 & 7 == 4 {
                vcpu.divert(address.wrapping_add(8), value.high);
            }
        }
    }
}

extern "C" fn on_call(number: c_uint, data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.call(data as u64);
    }
}

extern "C" fn on_ret(number: c_uint, data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.ret(30, data as u64);
    }
}

extern "C" fn on_ret_by(number: c_uint, data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        let word = (data as u64 >> 32) as u32;
        vcpu.ret((word >> 5 & 31) as u8, 0);
    }
}

extern "C" fn on_eret(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.exception_return();
    }
}

extern "C" fn on_vector(number: c_uint, data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.exception(data as u64);
    }
}

extern "C" fn on_switch(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.switch();
    }
}

extern "C" fn on_ftrace_caller(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.ftrace_caller();
    }
}

extern "C" fn on_module(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.module_loaded();
    }
}

extern "C" fn on_module_gone(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        let module = vcpu.register(Reg::X(0));
        shared().module_unloaded(module);
    }
}

extern "C" fn on_bpf(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.bpf(true);
    }
}

extern "C" fn on_bpf_gone(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.bpf(false);
    }
}

/// The PCs of vmlinux that were judged.
fn covered() -> Covered {
    let (start, end) = shared().image.text;
    let mut seen = vec![false; ((end - start) / 4) as usize];
    let segments = SEGMENTS
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    for segment in segments.iter().flatten().map(|(_, segment)| segment) {
        if !segment.seen.load(Ordering::Relaxed) || segment.pc < start {
            continue;
        }
        let first = ((segment.pc - start) / 4) as usize;
        for flag in seen.iter_mut().skip(first).take(segment.count as usize) {
            *flag = true;
        }
    }
    Covered {
        seen: seen.iter().filter(|seen| **seen).count() as u64,
        all: seen.len() as u64,
    }
}

extern "C" fn on_exit(_id: Id, _data: *mut c_void) {
    let shared = shared();
    let mut counts = Counts::default();
    for number in 0..CPUS {
        if let Some(vcpu) = vcpu(number as c_uint) {
            counts.merge(&vcpu.counts);
        }
    }
    let covered = covered();
    let text = counts.text(&shared.image, covered);
    let json = counts.json(&shared.image, covered);
    for (kind, content) in [("txt", &text), ("json", &json)] {
        if let Err(error) = std::fs::write(format!("{}.{kind}", shared.out), content) {
            eprintln!("oracle: {}.{kind}: {error}", shared.out);
        }
    }
}
