// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The text that people hand to `orctool explain`: what the kernel said of a stack,
//! or a place.

use crate::{assemble, tally};

use orctool::explain::said::Said;
use orctool::explain::{self, text};
use orctool::input::Input;
use orctool::place;

use std::path::Path;
use std::sync::OnceLock;

/// Explains the text with a kernel and with a module.
pub fn run(input: &[u8]) {
    let said = String::from_utf8_lossy(input);
    tally::count(1, 0);
    if let Some(said) = Said::parse(&said) {
        assert!(!said.place.is_empty());
        let _ = said.known_reason();
        let _ = said.is_made_at_run_time();
    }
    for file in files() {
        let path = Path::new("file");
        match explain::explain(path, file, &said) {
            Ok(explanation) => drop(text::text(&explanation)),
            Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
        }
        let _ = place::find(path, file, &said);
    }
}

fn files() -> &'static [Input<'static>; 2] {
    static FILES: OnceLock<[Input<'static>; 2]> = OnceLock::new();
    FILES.get_or_init(|| {
        [assemble::kernel(None), assemble::module()].map(|elf| {
            let file: &'static [u8] = elf.build().leak();
            Input::read(file).expect("a sound file")
        })
    })
}
