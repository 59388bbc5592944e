// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Why nothing can be told: one line on standard error, exit status 2.

use std::path::{Path, PathBuf};

use crate::text::Shown;

/// Why a command ended without an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no livepatch here.
    #[error("{} is missing: this kernel has no CONFIG_LIVEPATCH, or sysfs is not mounted", show(.0))]
    NoLivepatch(PathBuf),
    /// A file can't be read or written.
    #[error("{}: {source}", show(file))]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A module is malformed, or no live patch.
    #[error("{}: {what}", show(file))]
    Module {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The request can't be met here.
    #[error("{0}")]
    Usage(String),
}

fn show(path: &Path) -> Shown {
    Shown::bytes(path.as_os_str().as_encoded_bytes())
}

impl Error {
    /// An I/O error on `file`, for `map_err`.
    pub fn io(file: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io {
            file: file.to_path_buf(),
            source,
        }
    }
}
