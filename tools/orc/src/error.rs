// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What can go wrong, as one line that names the file, the section and the
//! offset, and the exit code that goes with it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place in the input that is malformed or can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Section, or the part of the file (`ELF header`).
    pub section: String,
    /// Bytes from the start of that section.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl Fault {
    /// A fault at this place.
    pub fn new(section: impl Into<String>, offset: u64, what: impl Into<String>) -> Self {
        Self {
            section: section.into(),
            offset,
            what: what.into(),
        }
    }

    /// This fault, in that file.
    pub fn in_file(self, file: &Path) -> Error {
        Error::Fault {
            file: file.to_path_buf(),
            fault: self,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names come from the file: no control character reaches the terminal,
        // and the message stays one line.
        let section = self.section.escape_debug();
        let what = self.what.escape_debug();
        write!(f, "{section}+{:#x}: {what}", self.offset)
    }
}

/// Why a command ended without doing what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input is malformed.
    #[error("{}: {fault}", file.display())]
    Fault {
        /// The input.
        file: PathBuf,
        /// Where in it, and what.
        fault: Fault,
    },
    /// The file can't be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The tables in the file are not those of its text.
    #[error("{}: {what}", file.display())]
    Mismatch {
        /// The file.
        file: PathBuf,
        /// The first difference.
        what: String,
    },
    /// The request itself makes no sense for this input.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// An I/O error on `file`, for `map_err`.
    pub fn io(file: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io {
            file: file.to_path_buf(),
            source,
        }
    }

    /// 1 for a finding about a sound input, 2 when the work can't be done.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Mismatch { .. } => 1,
            _ => 2,
        }
    }
}
