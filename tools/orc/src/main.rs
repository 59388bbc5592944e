// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool`: the command line.

fn main() {}
