// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `klp-why`: the command line is in [`klp_why::cmd`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(klp_why::cmd::run())
}
