// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool gen`: tables for a kernel or a module.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Outcome;
use crate::elf::load::{is_no_dwarf, load};
use crate::emit::{self, ModuleTable};
use crate::error::{Cause, Error, Fault};
use crate::generate::Proved;
use crate::input::{BuildId, Input};
use crate::output;
use crate::progress::Verbosity;
use crate::table::{self, Rows};

/// Generate tables: rows from the CFI, each one proved
///
/// Three uses, in the order of a kernel build:
///
///   orctool gen vmlinux.tmp -o orc.o   an object with the section .orc_unwind,
///                                      to link into vmlinux
///   orctool gen --fill vmlinux         after the last link: checks that the
///                                      tables are those of the linked text, and
///                                      writes its build-id and the checksum;
///                                      exit status 1 when they are not
///   orctool gen --module FILE.ko       adds a section .orc_unwind.SECTION for
///                                      each text section, linked to it, and
///                                      drops .eh_frame
///
/// A file is written whole or not touched.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// vmlinux or FILE.ko; it must still have its CFI
    elf: PathBuf,

    /// Where to write to, instead of in place
    #[arg(short, long, value_name = "FILE", required_unless_present_any = ["fill", "module"])]
    output: Option<PathBuf>,

    /// Complete the tables that the kernel was linked with
    #[arg(long, conflicts_with = "module")]
    fill: bool,

    /// Add tables to a module
    #[arg(long)]
    module: bool,

    /// Leave .eh_frame in the module (CONFIG_UNWIND_PATCH_PAC_INTO_SCS reads it)
    #[arg(long, requires = "module")]
    keep_eh_frame: bool,
}

pub(super) fn run(arguments: &Arguments, verbosity: Verbosity) -> Result<Outcome, Error> {
    let job = Job {
        file: &arguments.elf,
        verbosity,
    };
    let data = match arguments.module || arguments.fill {
        // What is written is the file with changes.
        true => output::read(job.file)?,
        false => load(job.file, is_no_dwarf)?,
    };
    let input = Input::read_with_cfi(&data).map_err(|e| e.in_file(job.file))?;
    let written = if arguments.module {
        job.module(&input, arguments.keep_eh_frame)?
    } else if arguments.fill {
        job.fill(&input)?
    } else {
        job.object(&input)?
    };
    let to = arguments.output.as_ref().unwrap_or(&arguments.elf);
    output::write(to, &written)?;
    Ok(Outcome::Fine)
}

/// One input, named in errors.
struct Job<'a> {
    file: &'a Path,
    verbosity: Verbosity,
}

impl Job<'_> {
    /// An object to link into the kernel. Its build-id is not known before that.
    fn object(&self, input: &Input<'_>) -> Result<Vec<u8>, Error> {
        let table = self.kernel_table(input, &[0; 20])?;
        emit::object(&table).map_err(|e| self.unusable(e))
    }

    /// The kernel with its table completed.
    fn fill(&self, input: &Input<'_>) -> Result<Vec<u8>, Error> {
        let fault = |e: Fault| e.in_file(self.file);
        let build_id = input.build_id().map_err(fault)?;
        let table = self.kernel_table(input, &build_id)?;
        let (at, linked) = emit::linked_table(&input.image).map_err(fault)?;
        if let Some(what) = emit::difference(linked, &table) {
            return Err(Error::Mismatch {
                file: self.file.to_path_buf(),
                what,
            });
        }
        let mut file = input.image.data.to_vec();
        file[at..at + table.len()].copy_from_slice(&table);
        Ok(file)
    }

    /// The module with a table for each of its text sections.
    fn module(&self, input: &Input<'_>, keep_cfi: bool) -> Result<Vec<u8>, Error> {
        if !input.image.relocatable {
            return Err(self.unusable("not a module: it is linked already".into()));
        }
        let build_id = match input.texts.is_empty() {
            true => [0; 20],
            false => input.build_id().map_err(|e| e.in_file(self.file))?,
        };
        let mut tables = Vec::new();
        for (text, rows) in input.texts.iter().zip(self.rows(input)) {
            tables.push(ModuleTable {
                text: text.section,
                bytes: self.table(&text.text.name, &rows, &build_id)?,
            });
        }
        emit::module(&input.image, &tables, keep_cfi).map_err(|e| e.in_file(self.file))
    }

    fn kernel_table(&self, input: &Input<'_>, build_id: &BuildId) -> Result<Vec<u8>, Error> {
        if input.image.relocatable {
            let what = "a relocatable object; a module needs --module".into();
            return Err(self.unusable(what));
        }
        let rows = self.rows(input).into_iter().next();
        let rows =
            rows.ok_or_else(|| Fault::new(".text", 0, Cause::NoSuchSection).in_file(self.file))?;
        self.table(".text", &rows, build_id)
    }

    /// Each text section's rows.
    fn rows(&self, input: &Input<'_>) -> Vec<Rows> {
        let functions = |texts: &[crate::input::Text]| -> usize {
            texts.iter().map(|text| text.text.functions.len()).sum()
        };
        let bar = self.verbosity.bar(functions(&input.texts) as u64);
        let rows = Proved::new(input, || bar.inc(1)).rows(input);
        bar.finish_and_clear();
        rows
    }

    fn table(&self, name: &str, rows: &Rows, build_id: &BuildId) -> Result<Vec<u8>, Error> {
        let table = table::write(rows, build_id).map_err(|e| {
            Fault::new(name, 0, Cause::Unwritable(e.to_string())).in_file(self.file)
        })?;
        if self.verbosity.summary() {
            let file = self.file.display();
            let (text, rows, bytes) = (rows.text_bytes, rows.rows.len(), table.len());
            eprintln!("{file}: {name}: {text} bytes of text, {rows} rows, {bytes} bytes of table");
        }
        Ok(table)
    }

    fn unusable(&self, what: String) -> Error {
        Error::Usage(format!("{}: {what}", self.file.display()))
    }
}
