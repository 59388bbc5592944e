// SPDX-License-Identifier: GPL-2.0

//! Pieces of kernel text and the ORC tables that describe them.

use crate::bindings;
use core::{
    num::NonZero,
    slice, //
};

/// The length of a build-id, in bytes.
pub const BUILD_ID_BYTES: usize = 20;

/// A text section of the kernel or of a module, and its table.
#[derive(Clone, Copy)]
pub struct Region<'a> {
    /// The address of the first instruction.
    pub text: u64,
    /// The length of the text in bytes.
    pub text_bytes: u32,
    /// How much less than that the table may describe: the linker's padding at the end.
    pub padding_bytes: u32,
    /// The table's bytes, as the build left them: not to be trusted before they were checked.
    pub table: &'a [u8],
    /// The build-id of the image the text belongs to, if it has one.
    pub build_id: Option<&'a [u8; BUILD_ID_BYTES]>,
}

/// What is known of a program counter.
#[derive(Clone, Copy)]
pub enum Lookup<'a> {
    /// It lies in a text section whose table the walker has accepted before.
    Found(Region<'a>),
    /// It lies in the text of a module that has no accepted tables.
    NoTable,
    /// It is not in text that a task may be found in.
    NotText,
    /// It is in vmlinux's own init text: no task runs there, but one was entered from there.
    InitText,
    /// It lies in a branch to a function that is out of reach of a module's own: SP, x29 and x30 are
    /// those of that function's entry.
    Veneer,
    /// It lies in a BPF program that has not changed SP, x29 or x30 yet.
    BpfEntry,
    /// It lies in a BPF program, between the prologue and the epilogue: x29 is at the frame record,
    /// and that is at the upper end of the frame.
    BpfBody {
        /// From SP to the caller's SP, if SP is the same in all of the body.
        frame_bytes: Option<NonZero<u32>>,
    },
    /// It lies in a BPF trampoline that the entry of a function calls, between the prologue and
    /// the epilogue: at the upper end of the frame is the record of that function, and below it
    /// the trampoline's own, which x29 is at.
    BpfTrampoline {
        /// From SP to the caller's SP.
        frame_bytes: Option<NonZero<u32>>,
    },
    /// It lies in other code of BPF's.
    BpfOther,
}

impl<'a> Region<'a> {
    /// Takes over a region from the C edge.
    ///
    /// # Safety
    ///
    /// `raw.table`, unless null, must be valid for reads of `raw.table_size` bytes, and
    /// `raw.build_id`, unless null, of [`BUILD_ID_BYTES`]; both for all of `'a`, during which
    /// nothing writes there.
    #[inline(always)]
    pub(super) unsafe fn from_raw(raw: &bindings::unwind_orc_region) -> Self {
        let table: &[u8] = if raw.table.is_null() {
            &[]
        } else {
            // SAFETY: It is not null, and the rest is this function's safety requirement. The size
            // is a `u32`, hence below `isize::MAX`.
            unsafe { slice::from_raw_parts(raw.table.cast::<u8>(), raw.table_size as usize) }
        };

        Self {
            text: raw.text as u64,
            text_bytes: raw.text_size,
            padding_bytes: raw.padding,
            table,
            // SAFETY: It is null or, by this function's safety requirements, valid for `'a`. An
            // array of bytes needs no alignment.
            build_id: unsafe { raw.build_id.cast::<[u8; BUILD_ID_BYTES]>().as_ref() },
        }
    }
}

/// Finds the text section that `pc` lies in.
///
/// What is found stays there for all of `'a`, even if the module it belongs to is unloaded
/// meanwhile.
///
/// # Safety
///
/// All of `'a` must be in an RCU read side section.
#[inline(always)]
pub(super) unsafe fn find<'a>(pc: u64) -> Lookup<'a> {
    let mut raw = bindings::unwind_orc_region::default();
    let mut frame_bytes = 0;

    // SAFETY: `raw` and `frame_bytes` are valid for writes, and this is an RCU read side section by
    // this function's safety requirements.
    match unsafe { bindings::unwind_orc_find(pc as usize, &mut raw, &mut frame_bytes) } {
        bindings::unwind_orc_lookup_UNWIND_ORC_FOUND => {
            // SAFETY: The tables and build-ids that the C edge finds are those of the kernel,
            // which stay forever, and of modules, which are freed only after a grace period; so
            // they are there for all of `'a`. Both are read only.
            Lookup::Found(unsafe { Region::from_raw(&raw) })
        }
        bindings::unwind_orc_lookup_UNWIND_ORC_NO_TABLE => Lookup::NoTable,
        bindings::unwind_orc_lookup_UNWIND_ORC_INIT_TEXT => Lookup::InitText,
        bindings::unwind_orc_lookup_UNWIND_ORC_VENEER => Lookup::Veneer,
        bindings::unwind_orc_lookup_UNWIND_ORC_BPF_ENTRY => Lookup::BpfEntry,
        bindings::unwind_orc_lookup_UNWIND_ORC_BPF_BODY => Lookup::BpfBody {
            frame_bytes: NonZero::new(frame_bytes),
        },
        bindings::unwind_orc_lookup_UNWIND_ORC_BPF_TRAMPOLINE => Lookup::BpfTrampoline {
            frame_bytes: NonZero::new(frame_bytes),
        },
        bindings::unwind_orc_lookup_UNWIND_ORC_BPF_OTHER => Lookup::BpfOther,
        _ => Lookup::NotText,
    }
}
