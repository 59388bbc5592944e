// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What `orctool dump` prints of the fixtures, beside the disassembly.
//!
//! `ORC_BLESS=1 cargo test golden` writes the expected outputs anew; look at what
//! has changed before you commit it.

use std::path::Path;

use crate::cli::orctool;

#[test]
fn dumps_are_as_blessed() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in ["clang", "gcc", "gcc-sync"] {
        let object = fixtures.join(format!("{name}.o"));
        let (status, out, err) = orctool(&["dump", object.to_str().unwrap()]);
        assert_eq!((status, err.as_str()), (0, ""), "{name}");
        let blessed = fixtures.join(format!("{name}.dump"));
        if std::env::var_os("ORC_BLESS").is_some() {
            std::fs::write(&blessed, &out).unwrap();
        }
        let expected = std::fs::read_to_string(&blessed).unwrap_or_default();
        assert_eq!(out, expected, "{name}: ORC_BLESS=1 if this is meant");
    }
}
