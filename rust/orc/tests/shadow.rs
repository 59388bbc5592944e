// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A walk's return addresses against those of a shadow call stack.

// A test may panic: that is how it fails.
#![allow(
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use orc::reason::Reason;
use orc::shadow::Cursor;
use proptest::prelude::*;

/// Compares the return addresses of a walk, innermost first, with a shadow call stack,
/// outermost first.
fn compare(walked: &[u64], shadow: &[u64]) -> Result<(), Reason> {
    let mut cursor = Cursor::at_top(u32::try_from(shadow.len()).expect("few"));
    for address in walked {
        cursor.meet(*address, |number| {
            shadow.get(usize::try_from(number).ok()?).copied()
        })?;
    }
    cursor.finish()
}

/// The stack of a walk, innermost first, and which of its functions have pushed.
fn stacks() -> impl Strategy<Value = Vec<(u64, bool)>> {
    // Few addresses, so that they repeat, as they do in recursion and under a tracer.
    prop::collection::vec((0_u64..6, any::<bool>()), 0..40)
}

fn pushed(stack: &[(u64, bool)]) -> Vec<u64> {
    let outermost_first = stack.iter().rev();
    outermost_first
        .filter(|(_, has_pushed)| *has_pushed)
        .map(|(address, _)| *address)
        .collect()
}

fn walked(stack: &[(u64, bool)]) -> Vec<u64> {
    stack.iter().map(|(address, _)| *address).collect()
}

#[test]
fn accepts_anything_without_a_shadow_call_stack() {
    let mut cursor = Cursor::default();
    assert_eq!(cursor.meet(1, |_| panic!("read")), Ok(()));
    assert_eq!(cursor.finish(), Ok(()));
}

#[test]
fn refuses_a_shadow_call_stack_that_is_not_met() {
    assert_eq!(compare(&[], &[1]), Err(Reason::ShadowLeft));
    assert_eq!(compare(&[2, 3], &[1]), Err(Reason::ShadowLeft));
    assert_eq!(compare(&[1, 2], &[1, 2]), Err(Reason::ShadowLeft), "order");
    assert_eq!(compare(&[2, 1], &[1, 2]), Ok(()));
}

#[test]
fn refuses_an_entry_that_can_not_be_read() {
    let mut cursor = Cursor::at_top(1);
    assert_eq!(cursor.meet(1, |_| None), Err(Reason::Unreadable));
}

proptest! {
    #[test]
    fn accepts_a_stack_whatever_has_pushed(stack in stacks()) {
        prop_assert_eq!(compare(&walked(&stack), &pushed(&stack)), Ok(()));
    }

    #[test]
    fn refuses_a_stack_that_a_function_is_missing_from(count in 1_usize..40, missing: prop::sample::Index) {
        // All have pushed, each its own address.
        let stack: Vec<(u64, bool)> = (0..count as u64).map(|address| (address, true)).collect();
        let mut rest = walked(&stack);
        rest.remove(missing.index(count));
        prop_assert_eq!(compare(&rest, &pushed(&stack)), Err(Reason::ShadowLeft));
    }

    #[test]
    fn refuses_a_changed_return_address(count in 1_usize..40, changed: prop::sample::Index, to: u64) {
        let stack: Vec<(u64, bool)> = (0..count as u64).map(|address| (address, true)).collect();
        let mut lie = walked(&stack);
        let slot = &mut lie[changed.index(count)];
        prop_assume!(*slot != to);
        *slot = to;
        prop_assert_eq!(compare(&lie, &pushed(&stack)), Err(Reason::ShadowLeft));
    }

    /// The judgement is that of the definition: a subsequence, tried in all ways.
    #[test]
    fn agrees_with_the_definition(
        walked in prop::collection::vec(0_u64..3, 0..10),
        shadow in prop::collection::vec(0_u64..3, 0..5),
    ) {
        let wanted: Vec<u64> = shadow.iter().rev().copied().collect();
        let is_subsequence = (0_u32..1 << walked.len()).any(|chosen| {
            let some = walked.iter().enumerate().filter(|(at, _)| chosen & 1 << at != 0);
            some.map(|(_, address)| *address).eq(wanted.iter().copied())
        });
        prop_assert_eq!(compare(&walked, &shadow).is_ok(), is_subsequence);
    }
}
