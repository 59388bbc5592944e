// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool` as a library: reads the compiler's CFI and the text of an arm64
//! kernel or module, has every row proved, and writes the tables that the
//! kernel's ORC unwinder looks up.

pub mod claim;
pub mod elf;
pub mod error;
pub mod text;
