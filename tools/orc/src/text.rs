// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One text section as the proof sees it: bytes, functions, and what relocation
//! or run-time patching will change in the bytes.
//!
//! Written by [`crate::elf`], read by the proof. All offsets are bytes from the
//! start of the section.

use std::collections::BTreeMap;

use crate::claim::Claims;

/// One text section.
#[derive(Clone, Debug, Default)]
pub struct TextSection {
    /// Name in the ELF file, `.init.text` for example.
    pub name: String,
    /// Address of the first byte; 0 in a relocatable file.
    pub address: u64,
    /// The whole of the section.
    pub bytes: Vec<u8>,
    /// Functions sorted by start; none overlaps the next one.
    pub functions: Vec<Function>,
    /// Branches whose target a relocation gives (`.o` and `.ko` only).
    pub branches: BTreeMap<u64, Target>,
    /// Sites that the kernel rewrites when it applies alternatives, by offset.
    pub patches: Vec<Patch>,
}

/// Where a relocated branch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An offset in the same section.
    Local(u64),
    /// Another section, or a symbol of another object.
    External,
}

/// One entry of `.altinstructions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// First byte replaced.
    pub offset: u64,
    /// Bytes replaced, a multiple of 4.
    pub len: u64,
    /// The words that replace them; empty when a callback writes them
    /// (`ARM64_CB_BIT`), so that only the kernel knows what they will be.
    pub replacement: Vec<u32>,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Symbol; of several at one address, the global one or the first by name.
    pub name: String,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// How the symbol table types it.
    pub kind: Kind,
    /// Its CFI; `None` when nothing describes it.
    pub claims: Option<Claims>,
}

/// How the symbol table types a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `STT_FUNC`: `SYM_FUNC_START` or a compiler's function.
    Func,
    /// `STT_NOTYPE`: `SYM_CODE_START`, which keeps no calling convention.
    Code,
}
