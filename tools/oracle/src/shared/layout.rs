// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where things are in this kernel's structures.

use super::Ksyms;
use crate::decode::{flow, Flow};
use crate::image::{Error, Image};
use crate::machine::Places;
use crate::recover::Layout;

use orc::machine::RegsLayout;
use std::ops::Range;
use std::path::Path;

/// The addresses after all calls of vmlinux.
pub fn calls(image: &Image) -> Vec<u64> {
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

/// `struct bpf_ksym`.
pub fn ksyms(path: &Path) -> Result<Ksyms, Error> {
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
        ftrace_return: image.find("ftrace_caller_return").unwrap_or(0),
        return_to_handler: image.find("return_to_handler").unwrap_or(0),
        return_to_handler_end: image.find("return_to_handler_end").unwrap_or(0),
        trampoline: image.find("__kretprobe_trampoline").unwrap_or(0),
    })
}

/// Addresses that a walk needs.
pub fn places(image: &Image, offsets: &Path) -> Result<Places, Error> {
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
pub fn check_layout(image: &Image) -> Result<(), Error> {
    let layout = RegsLayout {
        #[cfg(not(feature = "before"))]
        // The kernel has names for every second of them.
        x9: image.offset("S_X8")? + 8,
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
