// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Names of tasks, functions and patches come from outside: none of them reaches a
//! terminal or a file with a control character in it.

use std::fmt;

use serde::Serialize;

/// Text that is safe to show, on one line.
///
/// # Invariants
///
/// Holds no control character and no invisible one; a backslash starts an escape.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Shown(String);

impl Shown {
    /// Bytes from outside, those escaped that are not text.
    pub fn bytes(bytes: &[u8]) -> Self {
        let mut shown = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    // These are no danger, and common in names.
                    '"' | '\'' => shown.push(c),
                    _ => shown.extend(c.escape_debug()),
                }
            }
            for byte in chunk.invalid() {
                shown.push_str(&format!("\\x{byte:02x}"));
            }
        }
        // INVARIANT: `escape_debug()` leaves printable characters alone as they are.
        Self(shown)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        Self::bytes(text.as_bytes())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A duration as a person says it: `45 s`, `3m12s`, `2h05m`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86400 => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86400, whole / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_control_character() {
        for (bytes, expected) in [
            (&b"nfsd"[..], "nfsd"),
            (b"kworker/0:0-eve", "kworker/0:0-eve"),
            (b"a) R (b", "a) R (b"),
            (b"\x1b[31mred", "\\u{1b}[31mred"),
            (b"new\nline\ttab", "new\\nline\\ttab"),
            (b"back\\slash", "back\\\\slash"),
            ("\u{202e}txt".as_bytes(), "\\u{202e}txt"),
            (b"\xffend", "\\xffend"),
            (b"\xc2\x9b31m", "\\u{9b}31m"),
            ("täsk".as_bytes(), "täsk"),
        ] {
            assert_eq!(Shown::bytes(bytes).as_str(), expected);
        }
    }

    #[test]
    fn durations() {
        for (seconds, expected) in [
            (-1.0, "0 s"),
            (45.9, "45 s"),
            (60.0, "1m00s"),
            (192.0, "3m12s"),
            (7500.0, "2h05m"),
            (90000.0, "1d01h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }
}
