// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Divergences for machines. The fields are described in `README.md`.

use serde::Serialize;

use super::{File, Totals};

/// Changes when a field is taken away or changes its meaning; a new field is no
/// change.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Output<'o> {
    version: u32,
    totals: Totals,
    new_findings: usize,
    gone: &'o [String],
    files: &'o [File],
}

/// All that was found in some files, and the entries of the baseline that are gone.
///
/// # Errors
///
/// None that data of this kind can cause.
pub fn text(files: &[File], gone: &[String]) -> serde_json::Result<String> {
    let mut totals = Totals::default();
    files.iter().for_each(|file| totals.add(&file.totals));
    let output = Output {
        version: VERSION,
        totals,
        new_findings: files.iter().map(File::new_findings).sum(),
        gone,
        files,
    };
    Ok(serde_json::to_string_pretty(&output)? + "\n")
}
