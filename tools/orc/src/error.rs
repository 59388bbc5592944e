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
    pub cause: Cause,
}

impl Fault {
    /// A fault at this place.
    pub fn new(section: impl Into<String>, offset: u64, cause: impl Into<Cause>) -> Self {
        Self {
            section: section.into(),
            offset,
            cause: cause.into(),
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
        let what = self.cause.to_string();
        let what = what.escape_debug();
        write!(f, "{section}+{:#x}: {what}", self.offset)
    }
}

/// What is wrong at a place of the input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The file does not start like one.
    #[error("not an ELF file")]
    NotElf,
    /// Of another class.
    #[error("not 64-bit")]
    Not64Bit,
    /// Of another byte order.
    #[error("not little-endian")]
    NotLittleEndian,
    /// It ends in its first bytes.
    #[error("truncated")]
    Truncated,
    /// The header can't be read.
    #[error("truncated or of another version")]
    BadHeader,
    /// Of another machine.
    #[error("not for AArch64")]
    NotAarch64,
    /// Of another type.
    #[error("neither a kernel nor a relocatable object")]
    NotLinkable,
    /// Nothing says where what is.
    #[error("no section table")]
    NoSectionTable,
    /// What the reader of ELF says.
    #[error("{0}")]
    Object(object::read::Error),
    /// A section that the file does not hold.
    #[error("file offset {offset:#x}: past the end of the file")]
    PastEndOfFile {
        /// Where it starts.
        offset: u64,
    },
    /// A section that starts too early.
    #[error("overlaps the ELF header")]
    OverlapsHeader,
    /// A section that ends before it starts.
    #[error("wraps around the end of the address space")]
    WrapsAround,
    /// Two sections at one place.
    #[error("overlaps {name} {place}")]
    Overlaps {
        /// The other.
        name: String,
        /// In the file, or in memory.
        place: &'static str,
    },
    /// A number that no section has.
    #[error("no such section")]
    NoSuchSection,
    /// `SHT_REL`.
    #[error("relocations without addend are not of this machine")]
    WithoutAddend,
    /// A table that ends inside of one.
    #[error("truncated relocation")]
    TruncatedRelocation,
    /// One of what the section does not hold.
    #[error("relocation of {target} outside the section")]
    RelocationOutside {
        /// What is relocated.
        target: String,
    },
    /// A number that no symbol has.
    #[error("relocation without a symbol")]
    RelocationWithoutSymbol,
    /// A distance that is too large.
    #[error("relocation does not fit 32 bits")]
    RelocationTooFar,
    /// One that is not of data.
    #[error("relocation of a type that has no place here")]
    RelocationType,
    /// One whose field the section does not hold.
    #[error("relocation past the end")]
    RelocationPastEnd,
    /// There is nothing to prove.
    #[error("no CFI describes it: no .eh_frame and no .debug_frame")]
    NoCfi,
    /// Of another kind than the kernel's.
    #[error("build-id of {bytes} bytes instead of 20")]
    BuildIdBytes {
        /// How many.
        bytes: usize,
    },
    /// The kernel could not tell whose table it is.
    #[error("no build-id")]
    NoBuildId,
    /// Text of a size that is no multiple of 4.
    #[error("ends inside an instruction")]
    EndsInsideInstruction,
    /// Offsets in tables have 32 bits.
    #[error("4 GiB of text or more")]
    TooLarge,
    /// The kernel looks up offsets from there.
    #[error("_stext is at {address:#x}, not at the start")]
    StextElsewhere {
        /// Where.
        address: u64,
    },
    /// A table of sites that ends inside of one.
    #[error("truncated entry")]
    TruncatedEntry,
    /// An alternative that is not as long as its site.
    #[error("replacement of another length")]
    ReplacementLength,
    /// An alternative of data.
    #[error("replacement is not text")]
    ReplacementNotText,
    /// An alternative that its section does not hold.
    #[error("replacement cut off")]
    ReplacementCutOff,
    /// A site of data.
    #[error("site is not text")]
    SiteNotText,
    /// A site that is no multiple of 4.
    #[error("site is not whole instructions")]
    SiteNotWhole,
    /// A jump label's target in data.
    #[error("target is not text")]
    TargetNotText,
    /// An access that may fault, in data.
    #[error("faulting instruction is not text")]
    FaultNotText,
    /// Data to go on at after a fault.
    #[error("fixup is not text")]
    FixupNotText,
    /// A bug in data.
    #[error("not text")]
    NotText,
    /// A bug at another instruction.
    #[error("not a brk")]
    NotBrk,
    /// Compressed debug information.
    #[error("compressed; decompress it first")]
    Compressed,
    /// What the reader of CFI says.
    #[error("{0}")]
    Cfi(gimli::Error),
    /// CFI of something else.
    #[error("describes {address:#x}, which is not text")]
    DescribesNoText {
        /// Where.
        address: u64,
    },
    /// CFI of more than there is.
    #[error("describes text past the end of {section}")]
    DescribesPastEnd {
        /// Which.
        section: String,
    },
    /// CFI of less than an instruction.
    #[error("describes part of an instruction at {address:#x}")]
    DescribesPart {
        /// Where.
        address: u64,
    },
    /// CFI that the kernel would not see.
    #[error("entries after the terminator")]
    AfterTerminator,
    /// Rows that no table can hold together.
    #[error("{0}")]
    Unwritable(String),
    /// A table that was just made.
    #[error("unreadable table")]
    UnreadableTable,
    /// There is nothing to show.
    #[error("neither a table nor CFI describes it")]
    NeitherTableNorCfi,
    /// Something else in a section of that name.
    #[error("not a table")]
    NotATable,
    /// What the kernel would say of a table.
    #[error("{0}")]
    BadTable(&'static str),
    /// A table of something else.
    #[error("describes text of another size")]
    TextOfAnotherSize,
    /// The kernel would take one of them.
    #[error("a second table for one text section")]
    SecondTable,
    /// A kernel that was linked without a table.
    #[error("no such section to fill")]
    NothingToFill,
    /// A table whose text is not there.
    #[error("is about no section")]
    AboutNoSection,
    /// A table whose text is to go.
    #[error("is about a section to drop")]
    AboutDropped,
    /// What is no module is not rewritten.
    #[error("not a relocatable object")]
    NotRelocatable,
    /// Their numbers would need another table.
    #[error("too many sections to rewrite")]
    TooManySections,
    /// What is no module is not rewritten.
    #[error("a relocatable object with segments")]
    WithSegments,
    /// Only one is renumbered.
    #[error("a second symbol table, or part of a symbol")]
    SecondSymbolTable,
    /// `SHT_SYMTAB_SHNDX`.
    #[error("extended section numbers are not rewritten")]
    ExtendedNumbers,
    /// Others may need it.
    #[error("global symbol {name} in a section to drop")]
    GlobalDropped {
        /// The other.
        name: String,
    },
    /// By its link.
    #[error("refers to a section to drop")]
    RefersToDropped,
    /// A group without its name.
    #[error("named by a symbol to drop")]
    NamedByDropped,
    /// `SHT_REL` is not rewritten.
    #[error("relocations without addend")]
    RelNotRewritten,
    /// It would have no target.
    #[error("relocation against a section to drop")]
    AgainstDropped,
}

impl From<object::read::Error> for Cause {
    fn from(error: object::read::Error) -> Self {
        Self::Object(error)
    }
}

impl From<gimli::Error> for Cause {
    fn from(error: gimli::Error) -> Self {
        Self::Cfi(error)
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
