// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tests of reading, generating and writing, on ELF files made here.

mod assemble;
mod cfi;
mod check;
mod cli;
mod elf;
mod explain;
mod functions;
mod golden;
mod layers;
mod load;
mod malformed;
mod module;
mod patches;
mod sancov;
mod statement;
mod table;
