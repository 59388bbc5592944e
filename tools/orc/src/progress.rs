// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A progress bar, for a person at a terminal and nobody else.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How much a command says on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors alone.
    Quiet,
    /// A bar and a summary at a terminal, nothing in a build's log.
    Normal,
    /// The summary wherever it goes.
    Verbose,
}

impl Verbosity {
    /// A bar over so many functions; one that is not drawn unless a person can
    /// see it.
    pub fn bar(self, functions: u64) -> ProgressBar {
        if self == Self::Quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(functions), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} functions") {
            bar.set_style(style);
        }
        bar.set_message("proving");
        bar
    }

    /// Whether to say what has been done.
    pub fn summary(self) -> bool {
        match self {
            Self::Quiet => false,
            Self::Normal => std::io::stderr().is_terminal(),
            Self::Verbose => true,
        }
    }
}
