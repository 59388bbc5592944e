// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A whole file: everything that `orctool` does with one.
//!
//! Errors are fine. A panic is not, nor a table that the kernel would refuse, nor
//! more than a second for a file as small as these.

use crate::{tally, within_a_second};

use orctool::check::baseline::Baseline;
use orctool::check::{detail, json, report, text, File};
use orctool::emit::ModuleTable;
use orctool::input::{BuildId, Input};
use orctool::stat::{self, Stat};
use orctool::{dump, emit, explain, generate, table, tables};

use std::path::Path;

/// Takes the input for a kernel or a module.
pub fn run(file: &[u8]) {
    tally::count(1, 0);
    within_a_second(|| {
        if let Ok(input) = Input::read(file) {
            tables_of(&input);
        }
        if let Ok(input) = Input::read_all_text(file) {
            check(&input);
        }
    });
}

/// `gen`, `dump`, `stat` and `explain`.
pub(crate) fn tables_of(input: &Input<'_>) {
    for text in &input.texts {
        let _ = tables::carried(input, text);
    }
    let build_id = input.build_id().unwrap_or([0; 20]);
    if input.cfi.is_some() {
        generate(input, &build_id);
    }
    let Ok(tables) = tables::of(input) else {
        return;
    };
    let _ = Stat::new(input, &tables);
    let _ = dump::text(&tables, None);
    let path = Path::new("file");
    for function in input
        .texts
        .iter()
        .flat_map(|text| &text.text.functions)
        .take(4)
    {
        let place = format!(
            "{}+{:#x}",
            function.name,
            (function.end - function.start) / 2
        );
        let _ = dump::text(
            &tables,
            orctool::place::find(path, input, &function.name)
                .ok()
                .as_deref(),
        );
        if let Ok(explanation) = explain::explain(path, input, &place) {
            let _ = explain::text::text(&explanation);
        }
    }
}

/// All tables of a file, as an object and in the file.
fn generate(input: &Input<'_>, build_id: &BuildId) {
    let mut made = Vec::new();
    let proved = generate::Proved::new(input, || ());
    for (text, proofs) in input.texts.iter().zip(&proved.proofs) {
        let _ = stat::refused(text, proofs);
    }
    for (text, rows) in input.texts.iter().zip(proved.rows(input)) {
        let table = table::write(&rows, build_id).expect("a table that the kernel refuses");
        let _ = emit::object(&table);
        if let Ok((_, linked)) = emit::linked_table(&input.image) {
            let _ = emit::difference(linked, &table);
        }
        made.push(ModuleTable {
            text: text.section,
            bytes: table,
        });
    }
    if input.image.relocatable {
        let _ = emit::module(&input.image, &made, false);
        let _ = emit::module(&input.image, &made, true);
    }
}

/// `check`, with all that can be said of what it finds.
pub(crate) fn check(input: &Input<'_>) {
    let mut checked = File::check("file", input, || ());
    detail::add(input, &input.image, checked.findings.iter_mut());
    let mut out = String::new();
    for found in &checked.findings {
        text::divergence(&mut out, "file", found);
    }
    for bare in &checked.without_cfi {
        text::bare(&mut out, "file", bare);
    }
    text::sections(&mut out, &checked);
    if let Some(flow) = &checked.control_flow {
        let _ = flow.text("file", true);
    }
    let mut checked = [checked];
    let _ = report::text(&checked);
    let _ = json::text(&checked, &[]);
    let baseline = Baseline::of(&checked);
    let text = baseline.text();
    assert_eq!(
        Baseline::parse(&text),
        Ok(baseline),
        "a baseline that can't be read:\n{text}"
    );
    let baseline = Baseline::parse(&text).expect("it has just been read");
    assert_eq!(
        baseline.mark(&mut checked),
        [""; 0],
        "findings that are not known"
    );
    assert_eq!(checked[0].new_findings(), 0, "findings that are not known");
}
