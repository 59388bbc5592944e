// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool`: the command line is in [`orctool::cmd`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(orctool::cmd::run())
}
