// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The vectors that KUnit runs too.

use orc::reason::{Reason, Verdict};
use orc::vectors;
use std::collections::BTreeSet;

#[test]
fn each_vector_gets_its_verdict() {
    let failures: Vec<String> = vectors::all()
        .filter_map(|vector| {
            let mismatch = vectors::check(vector).err()?;
            Some(format!(
                "{}: {mismatch:x?}\n  want {:x?} {:x?}\n  got  {:x?}",
                vector.name,
                vector.frames,
                vector.verdict,
                vectors::run(vector),
            ))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn names_are_unique_and_say_the_outcome() {
    let mut names = BTreeSet::new();
    for vector in vectors::all() {
        let prefix = match vector.verdict {
            Verdict::Reliable { .. } => "follows_",
            Verdict::Unreliable { .. } => "refuses_",
        };
        assert!(vector.name.starts_with(prefix), "{}", vector.name);
        assert!(names.insert(vector.name), "{} twice", vector.name);
    }
}

#[test]
fn each_reason_of_a_walk_has_a_vector() {
    let shown: BTreeSet<Reason> = vectors::all()
        .filter_map(|vector| match vectors::run(vector).verdict {
            Verdict::Unreliable { reason, .. } => Some(reason),
            Verdict::Reliable { .. } => None,
        })
        .collect();
    for reason in Reason::ALL {
        assert_eq!(
            shown.contains(reason),
            reason.from_walk(),
            "{reason:?}: shown by a vector, and can come from a walk"
        );
    }
}

#[test]
fn reasons_have_their_own_codes_and_texts() {
    let codes: Vec<usize> = Reason::ALL
        .iter()
        .map(|reason| usize::from(reason.code()))
        .collect();
    let names: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert!(
        codes.iter().copied().eq(1..=Reason::ALL.len()),
        "without gaps, and zero is reliable"
    );
    assert_eq!(names.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        assert!(reason.name().len() < 48, "fits the C structure");
        assert_eq!(reason.name().to_lowercase(), reason.name());
    }
}
