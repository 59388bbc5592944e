// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Everything that is known about one PC, as plain data for people and machines.
//!
//! ```text
//! text of a person or of the kernel ── said ── place ── claim, facts, rule ── walk
//! ```
//!
//! A walk comes to a PC in one of two ways, and looks up another row for each: where
//! it was interrupted, the one at the PC; where a call returns to it, that of the
//! call. Both are explained.

use std::path::Path;

use orc::reason::Reason;
use serde::Serialize;

use crate::error::Error;
use crate::input::Input;
use crate::place::{self, Found};

mod places;
pub mod reason;
pub mod row;
pub mod said;
pub mod text;
pub mod walk;

use places::Places;
use reason::Fit;
use row::Row;
use said::Said;

/// What is known about the places that were asked for.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The file.
    pub file: String,
    /// The place, without what stood around it.
    pub asked: String,
    /// What the kernel said about it.
    pub kernel: Option<Kernel>,
    /// Why no row is about it, where the kernel's reason is that there is none.
    pub no_row: Option<String>,
    /// Where the CFI is that claims and facts need, if this file has none any more.
    pub cfi_is_in: Option<&'static str>,
    /// The places. Several functions may have one name.
    pub places: Vec<Place>,
}

/// A reason that the kernel gave.
#[derive(Debug, Serialize)]
pub struct Kernel {
    /// As it gave it.
    pub reason: String,
    /// That in a sentence; none for a reason that this version does not know.
    pub meaning: Option<&'static str>,
    /// The number of the frame, 0 for the innermost.
    pub frame: Option<u32>,
}

/// One place.
#[derive(Debug, Serialize)]
pub struct Place {
    /// `SYMBOL+OFFSET`, by the function that is there.
    pub place: String,
    /// The section.
    pub section: String,
    /// Bytes from its start.
    pub section_offset: String,
    /// The address; none in a relocatable file.
    pub address: Option<String>,
    /// What makes one doubt that the file is the right one.
    pub doubt: Option<String>,
    /// Whether the kernel's reason fits the rows.
    pub fit: Option<Fit>,
    /// The instruction and those around it, in the same function.
    pub instructions: Vec<Shown>,
    /// What holds where it was interrupted.
    pub interrupted: Row,
    /// What holds where the call before it returns to it; none without a call.
    pub returns_to: Option<Row>,
}

/// One instruction.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its address, or in a relocatable file its offset in the section.
    pub address: String,
    /// Its word.
    pub word: String,
    /// Its text.
    pub text: String,
    /// Whether it is the one that is explained.
    pub is_here: bool,
}

/// Explains the place that `text` names.
///
/// # Errors
///
/// [`Error::Usage`] when the file has no such place, or `text` is about another
/// file; [`Error::Fault`] when nothing describes the text there.
pub fn explain(file: &Path, input: &Input<'_>, text: &str) -> Result<Explanation, Error> {
    let usage = |what: String| Error::Usage(format!("{}: {}", file.display(), what.escape_debug()));
    let said =
        Said::parse(text).ok_or_else(|| usage("no place in what is to be explained".into()))?;
    let mut explanation = Explanation {
        file: file.display().to_string(),
        asked: said.place.clone(),
        kernel: Kernel::new(&said),
        no_row: None,
        cfi_is_in: input.cfi.is_none().then(|| cfi_is_in(input)),
        places: Vec::new(),
    };
    if said.is_made_at_run_time() && explanation.kernel.is_some() {
        explanation.no_row = Some("code that is made at run time, which no file holds".into());
        return Ok(explanation);
    }
    if let Some(other) = other_file(input, &said) {
        return Err(usage(other));
    }
    let found = place::search(input, &said.place);
    if found.is_empty() && said.known_reason().is_some_and(is_about_no_row) {
        explanation.no_row = Some("no row of this file is about it".into());
        return Ok(explanation);
    }
    let found = match found.is_empty() {
        true => place::find(file, input, &said.place)?,
        false => of_this_size(input, &said, found),
    };
    let places = Places::read(input, &said, &found).map_err(|e| e.in_file(file))?;
    explanation.places = places.explain(&found);
    Ok(explanation)
}

/// What has the CFI of a file that has lost it with its tables made.
fn cfi_is_in(input: &Input<'_>) -> &'static str {
    match input.image.relocatable {
        true => "the .o that it is linked from",
        false => "vmlinux.unstripped",
    }
}

/// Reasons of PCs that no table describes.
fn is_about_no_row(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NullPc
            | Reason::MisalignedPc
            | Reason::NotText
            | Reason::InitText
            | Reason::NoTable
            | Reason::NoRow
            | Reason::BpfOther
    )
}

/// Which file to give instead, if the kernel's text is about another one.
fn other_file(input: &Input<'_>, said: &Said) -> Option<String> {
    let place = &said.place;
    match (&said.module, module_name(input)) {
        (Some(module), _) if !input.image.relocatable => Some(format!(
            "{place} is in the module {module}: give {module}.ko"
        )),
        (Some(module), Some(own)) if own != *module => Some(format!(
            "{place} is in the module {module}, and this is {own}: give {module}.ko"
        )),
        (None, Some(own)) if said.is_kernels => Some(format!(
            "{place} is in the kernel itself, and this is the module {own}: give vmlinux"
        )),
        _ => None,
    }
}

/// The name that a module's `.modinfo` gives.
fn module_name(input: &Input<'_>) -> Option<String> {
    let section = input.image.section(".modinfo")?;
    let mut strings = section.data.split(|byte| *byte == 0);
    let name = strings.find_map(|string| string.strip_prefix(b"name="))?;
    let name = String::from_utf8_lossy(name).into_owned();
    input.image.relocatable.then_some(name)
}

/// Of several functions of one name, those of the size that the kernel gives; all
/// of them when none has it.
fn of_this_size(input: &Input<'_>, said: &Said, found: Vec<Found>) -> Vec<Found> {
    let fits =
        |found: &&Found| said.size.is_some() && place::symbol_size(input, found) == said.size;
    let fitting: Vec<Found> = found.iter().filter(fits).copied().collect();
    match fitting.is_empty() {
        true => found,
        false => fitting,
    }
}

impl Kernel {
    fn new(said: &Said) -> Option<Self> {
        Some(Self {
            reason: said.reason.clone()?,
            meaning: said.known_reason().map(reason::meaning),
            frame: said.frame,
        })
    }
}
