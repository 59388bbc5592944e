// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The program, run on trees that stand for `/`, and the parts of it that need files.

mod cli;
mod hostile;
mod many;
mod module;
mod preflight;
mod stories;
mod tree;
