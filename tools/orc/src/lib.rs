// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool` as a library: reads the compiler's CFI and the text of an arm64
//! kernel or module, has every row proved, and writes the tables that the
//! kernel's ORC unwinder looks up.
//!
//! ```text
//! elf ── cfi, functions, patches ── input ── proof ── generate ── table ── emit
//! ```

pub mod a64;
pub mod cfi;
pub mod check;
pub mod claim;
pub mod cmd;
pub mod disasm;
pub mod dump;
pub mod elf;
pub mod emit;
pub mod error;
pub mod explain;
pub mod fixups;
pub mod functions;
pub mod generate;
pub mod graph;
pub mod immediates;
pub mod input;
pub mod output;
pub mod patches;
pub mod place;
pub mod progress;
pub mod proof;
pub mod rewrite;
pub mod sancov;
pub mod show;
pub mod source;
pub mod stat;
pub mod table;
pub mod tables;
pub mod text;
pub mod traps;
