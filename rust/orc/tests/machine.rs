// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The bounds of stacks.

use orc::machine::StackRange;

#[test]
fn stack_contains_all_bytes_or_none() {
    let stack = StackRange {
        low: 0x1000,
        high: 0x2000,
    };
    for (address, size, inside) in [
        (0x0fff, 1, false),
        (0x0ff8, 16, false),
        (0x1000, 0x1000, true),
        (0x1000, 0x1001, false),
        (0x1ff8, 8, true),
        (0x1ff9, 8, false),
        (0x2000, 0, true),
        (0x2000, 1, false),
        (u64::MAX, 8, false),
        (0x1800, u64::MAX, false),
    ] {
        assert_eq!(stack.contains(address, size), inside, "{address:#x}");
    }
}

#[test]
fn absent_stack_contains_nothing() {
    let absent = StackRange {
        low: 0,
        high: u64::MAX,
    };
    assert!(!absent.contains(0, 0));
    assert!(!absent.contains(0x1000, 8));
}
