// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The file of known findings. What is read is written the same way, and marks
//! what `check` found without a panic.

use crate::{assemble, tally};

use orctool::check::baseline::Baseline;
use orctool::check::File;
use orctool::input::Input;

use std::cell::RefCell;

thread_local! {
    static CHECKED: RefCell<[File; 1]> = RefCell::new([checked()]);
}

/// Reads the input as a baseline.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    tally::count(1, 0);
    match Baseline::parse(&text) {
        Ok(baseline) => {
            let written = baseline.text();
            assert_eq!(
                Baseline::parse(&written).as_ref(),
                Ok(&baseline),
                "{written}"
            );
            CHECKED.with_borrow_mut(|files| mark(&baseline, files));
        }
        Err(error) => assert!(
            error.line <= text.lines().count().max(1),
            "line {}",
            error.line
        ),
    }
}

fn mark(baseline: &Baseline, files: &mut [File]) {
    let found = files[0].findings.len();
    let _ = baseline.mark(files);
    assert_eq!(files[0].findings.len(), found);
    files[0]
        .findings
        .iter_mut()
        .for_each(|found| found.known = false);
}

/// A file of which the CFI says that no function has a frame.
fn checked() -> File {
    let mut elf = assemble::kernel(None);
    let mut frame = assemble::EhFrame::new(false);
    frame.fde(-0x1000, 20, &[]);
    elf.sections[2].data = frame.bytes;
    let file = elf.build();
    let input = Input::read_all_text(&file).expect("a sound file");
    let checked = File::check("vmlinux", &input, || ());
    assert_ne!(checked.findings.len(), 0);
    checked
}
