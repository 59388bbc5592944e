// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the core crate: the code that runs in this kernel gives, on the same synthetic
//! stacks, what Cargo's tests expect of it on the host.

use kernel::prelude::*;

#[cfg(CONFIG_KUNIT = "y")]
mod synthetic_table;

module! {
    type: Tests,
    name: "unwind_orc_kunit",
    authors: ["The unwind_orc authors"],
    description: "KUnit tests of the ORC unwinder",
    license: "GPL",
}

struct Tests;

impl kernel::Module for Tests {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}

#[kunit_tests(unwind_orc)]
mod tests {
    use super::{
        synthetic_table::{
            Synthetic,
            BUILD_ID,
            TEXT_BYTES, //
        },
        *, //
    };
    use orc::{
        reason::{
            Reason,
            Verdict, //
        },
        rule::{
            Frame,
            Rule,
            Undescribed, //
        },
        table::{
            Table,
            TableError, //
        },
        vectors::{
            self,
            Vector, //
        },
    };

    /// Walks over the chosen vectors, names those that fail, and returns how many did and passed.
    fn run(chosen: fn(&Vector) -> bool) -> (usize, usize) {
        let mut failed = 0_usize;
        let mut passed = 0_usize;

        for vector in vectors::all().filter(|vector| chosen(vector)) {
            match vectors::check(vector) {
                Ok(()) => passed = passed.saturating_add(1),
                Err(mismatch) => {
                    failed = failed.saturating_add(1);
                    pr_err!("vector {}: {:?}\n", vector.name, mismatch);
                }
            }
        }
        (failed, passed)
    }

    #[test]
    fn follows_the_stacks_it_should() {
        let (failed, passed) = run(|vector| vector.verdict.is_reliable());

        assert_eq!(failed, 0);
        assert!(passed > 0);
    }

    #[test]
    fn refuses_the_stacks_it_should() {
        let (failed, passed) = run(|vector| !vector.verdict.is_reliable());

        assert_eq!(failed, 0);
        assert!(passed > 0);
    }

    #[test]
    fn has_a_vector_for_each_reason_of_a_walk() {
        let shown = |wanted: Reason| {
            vectors::all().any(|vector| match vector.verdict {
                Verdict::Unreliable { reason, .. } => reason == wanted,
                Verdict::Reliable { .. } => false,
            })
        };

        for reason in Reason::ALL.iter().copied().filter(|r| r.from_walk()) {
            if !shown(reason) {
                pr_err!("no vector is refused with: {}\n", reason.name());
            }
            assert!(shown(reason));
        }
    }

    #[test]
    fn accepts_a_sound_table() {
        let words = Synthetic::sound().words();

        assert_eq!(Table::new(&words, &BUILD_ID).err(), None);
        assert!(Table::accepted(&words).is_some());
    }

    #[test]
    fn finds_the_row_an_instruction_is_in() {
        let words = Synthetic::sound().words();
        let lookup = |offset| Table::accepted(&words).and_then(|table| table.lookup(offset));
        let entry = Some(Rule::Frame(Frame::ENTRY));
        let hole = Some(Rule::Unreliable(Undescribed::Hole));

        assert_eq!(lookup(0), entry);
        assert_eq!(lookup(60), entry);
        assert_eq!(lookup(64), hole);
        assert_eq!(lookup(68), hole);
        // The next block starts within that row.
        assert_eq!(lookup(1024), hole);
        assert_eq!(lookup(1096), hole);
        assert_eq!(lookup(1100), entry);
        assert_eq!(lookup(TEXT_BYTES - 4), entry);
        // Outside the text, and inside an instruction.
        assert_eq!(lookup(TEXT_BYTES), None);
        assert_eq!(lookup(u32::MAX), None);
        assert_eq!(lookup(2), None);
    }

    #[test]
    fn refuses_a_table_cut_off_anywhere() {
        let words = Synthetic::sound().words();

        for length in 0..words.len() {
            let cut = words.get(..length).unwrap_or_default();
            assert!(Table::new(cut, &BUILD_ID).is_err());
        }
    }

    #[test]
    fn refuses_a_table_with_any_bit_flipped() {
        let sound = Synthetic::sound().words();

        for at in 0..sound.len() {
            for bit in 0..32 {
                let mut words = sound;
                let mask = 1_u32 << bit;
                words
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|word| *word ^= mask);
                assert!(Table::new(&words, &BUILD_ID).is_err());
            }
        }
        assert!(Table::new(&sound, &BUILD_ID).is_ok());
    }

    #[test]
    fn refuses_a_table_of_another_build() {
        let words = Synthetic::sound().words();

        assert_eq!(
            Table::new(&words, &[0; 20]).err(),
            Some(TableError::BuildId)
        );
    }

    #[test]
    fn refuses_what_a_right_checksum_hides() {
        let refusal = |table: Synthetic| Table::new(&table.words(), &BUILD_ID).err();
        let sound = Synthetic::sound();

        let unsorted = Synthetic {
            keys: [16, 0, 19],
            ..sound
        };
        assert!(refusal(unsorted).is_some());
        let repeated = Synthetic {
            keys: [0, 0, 19],
            ..sound
        };
        assert_eq!(refusal(repeated), Some(TableError::Order));
        let late = Synthetic {
            keys: [1, 16, 19],
            ..sound
        };
        assert_eq!(refusal(late), Some(TableError::FirstRow));
        let no_such_rule = Synthetic {
            numbers: [0, 1, 2],
            ..sound
        };
        assert_eq!(refusal(no_such_rule), Some(TableError::RuleNumber));
        let bad_index = Synthetic {
            index: [0, 2, 2, 2],
            ..sound
        };
        assert_eq!(refusal(bad_index), Some(TableError::Index));
        let bad_rule = Synthetic {
            first_rule: [1 << 31, 0],
            ..sound
        };
        assert_eq!(refusal(bad_rule), Some(TableError::Rule));
    }
}
