// SPDX-License-Identifier: GPL-2.0

//! Pieces of kernel text and the ORC tables that describe them.

use crate::bindings;
use core::{
    marker::PhantomData,
    num::NonZero,
    ptr,
    slice, //
};

/// The length of a build-id, in bytes.
pub const BUILD_ID_BYTES: usize = 20;

/// Instructions of the kernel or of a module.
///
/// # Invariants
///
/// From `start` on, which is aligned to a word, so many bytes are mapped, and readable as plain
/// memory, for all of `'a`.
#[derive(Clone, Copy)]
pub struct Code<'a> {
    start: u64,
    bytes: u32,
    text: PhantomData<&'a [u32]>,
}

impl Code<'_> {
    /// The size in bytes.
    #[inline(always)]
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// From the start to `pc`, in bytes, if that is in here.
    #[inline(always)]
    pub fn offset(&self, pc: u64) -> Option<u32> {
        let offset = pc.wrapping_sub(self.start);

        (offset < u64::from(self.bytes)).then_some(offset as u32)
    }

    /// The instruction at `pc`, as it is in memory at the moment, if that is in here.
    //
    // Always inlined, as `Stacks::read()` is, and for the same reason.
    #[inline(always)]
    pub fn instruction(&self, pc: u64) -> Option<u32> {
        let offset = self.offset(pc)?;

        // All of the word is in here.
        if offset % 4 != 0 || self.bytes.wrapping_sub(offset) < 4 {
            return None;
        }
        let word: *const u32 = ptr::with_exposed_provenance(pc as usize);

        // SAFETY: `word` is aligned, as the start is, and by the type invariants it is mapped for as
        // long as `self` lives. Text may be patched meanwhile; a volatile read of an aligned word
        // is `READ_ONCE()`, which gives the old or the new one.
        Some(u32::from_le(unsafe { word.read_volatile() }))
    }
}

/// A text section of the kernel or of a module, and its table.
///
/// # Invariants
///
/// `raw` describes text that is mapped and readable for all of `'a`, and starts at an aligned
/// address. Its table and its build-id, unless null, are valid for reads for all of `'a`, during
/// which nothing writes there.
#[derive(Clone, Copy)]
pub struct Region<'a> {
    raw: &'a bindings::unwind_orc_region,
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
    /// It lies in such a branch to `ftrace_caller`, which the entry of a traced function calls: x9 is
    /// the return address of that function, and SP and x29 are those of its entry.
    FtraceVeneer,
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
    /// `raw` must be valid for all of `'a`. `raw.table`, unless null, must be valid for reads of
    /// `raw.table_size` bytes, and `raw.build_id`, unless null, of [`BUILD_ID_BYTES`]; both for all
    /// of `'a`, during which nothing writes there. `raw.text_size` bytes from `raw.text` on, which
    /// is aligned to a word, must be mapped and readable for all of `'a`.
    #[inline(always)]
    pub(super) unsafe fn from_raw(raw: *const bindings::unwind_orc_region) -> Self {
        // INVARIANT: By this function's safety requirements.
        Self {
            // SAFETY: By this function's safety requirements.
            raw: unsafe { &*raw },
        }
    }

    /// The text.
    #[inline(always)]
    pub fn code(&self) -> Code<'a> {
        // INVARIANT: By the type invariants.
        Code {
            start: self.raw.text as u64,
            bytes: self.raw.text_size,
            text: PhantomData,
        }
    }

    /// How much less than that the table may describe: the linker's padding at the end.
    #[inline(always)]
    pub fn padding_bytes(&self) -> u32 {
        self.raw.padding
    }

    /// The table's words, as the build left them: not to be trusted before they were checked. None
    /// if they are no whole words, or not aligned.
    #[inline(always)]
    pub fn table(&self) -> &'a [u32] {
        let words: *const u32 = self.raw.table.cast();

        if words.is_null() || !words.is_aligned() || self.raw.table_size % 4 != 0 {
            return &[];
        }
        // SAFETY: It is not null, and aligned; the rest is a type invariant. The size is a `u32`,
        // hence below `isize::MAX`.
        unsafe { slice::from_raw_parts(words, (self.raw.table_size / 4) as usize) }
    }

    /// The build-id of the image the text belongs to, if it has one.
    #[inline(always)]
    pub fn build_id(&self) -> Option<&'a [u8; BUILD_ID_BYTES]> {
        // SAFETY: By the type invariants it is null or valid for `'a`. An array of bytes needs no
        // alignment.
        unsafe { self.raw.build_id.cast::<[u8; BUILD_ID_BYTES]>().as_ref() }
    }

    /// Whether this is the text of a live patch, whose functions stand in for others.
    #[inline(always)]
    pub fn is_patch(&self) -> bool {
        self.raw.is_patch
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
    let mut raw: *const bindings::unwind_orc_region = ptr::null();
    let mut frame_bytes = 0;

    // SAFETY: `raw` and `frame_bytes` are valid for writes, and this is an RCU read side section by
    // this function's safety requirements.
    match unsafe { bindings::unwind_orc_find(pc as usize, &mut raw, &mut frame_bytes) } {
        bindings::unwind_orc_lookup_UNWIND_ORC_FOUND => {
            // SAFETY: The tables and build-ids that the C edge finds are those of the kernel,
            // which stay forever, and of modules, which are freed only after a grace period; so
            // they are there for all of `'a`. Both are read only. The same holds for their text,
            // which the kernel can read; instructions are aligned. `raw` was set, and what it points
            // to lives as long.
            Lookup::Found(unsafe { Region::from_raw(raw) })
        }
        bindings::unwind_orc_lookup_UNWIND_ORC_NO_TABLE => Lookup::NoTable,
        bindings::unwind_orc_lookup_UNWIND_ORC_INIT_TEXT => Lookup::InitText,
        bindings::unwind_orc_lookup_UNWIND_ORC_VENEER => Lookup::Veneer,
        bindings::unwind_orc_lookup_UNWIND_ORC_FTRACE_VENEER => Lookup::FtraceVeneer,
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
