// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is called at which instruction.

use super::callbacks::*;
use super::{Key, SEGMENTS};
use crate::decode::{changes, flow, may_store, writes_unseen, Flow};
use crate::ffi::{self, Id, Insn, Tb};
use crate::shared::{shared, Shared};
use crate::vcpu::{Segment, MEMORY};

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// QEMU's own code, which starts the kernel.
const LOADER: std::ops::Range<u64> = 0x4000_0000..0x4000_1000;

/// Where the kernel's image is in physical memory: where it is entered.
static IMAGE: AtomicU64 = AtomicU64::new(0);

/// A PC of the kernel as the address that it runs at later. QEMU translates code once for
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

/// A block of instructions is translated: puts calls of ours into it.
pub extern "C" fn on_translation(_id: Id, tb: *mut Tb) {
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
        let registers = start == 0 || changed != 0 || shared.may_need_x9(pc_start);
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
        (shared.ftrace_caller.0, on_ftrace_caller),
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
