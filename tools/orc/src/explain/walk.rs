// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a walk does with a row, in words. The walk itself is `orc::walk`.

use orc::reason::Reason;
use orc::rule::{CfaBase, Frame, Location, Rule, StackPointer, Undescribed, X29};
use serde::Serialize;

/// How a walk has come to a place; see `orc::machine::Kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The instruction there is the next one to be executed.
    Interrupted,
    /// The instruction before it is a call that has not returned.
    ReturnsTo,
}

/// What a walk does at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Walk {
    /// It goes on in the caller.
    GoesOn {
        /// Where the caller's registers come from.
        registers: String,
        /// Which check can still refuse it.
        check: String,
    },
    /// It ends, and the stack is unreliable.
    Stops {
        /// The kernel's name for the reason.
        reason: &'static str,
        /// What makes it go on all the same.
        unless: Option<&'static str>,
    },
}

/// What a walk that came here by `kind` does with `rule`.
#[must_use]
pub fn walk(rule: Rule, kind: Kind) -> Walk {
    match rule {
        Rule::Unreliable(Undescribed::NoCfi) if kind == Kind::ReturnsTo => Walk::Stops {
            reason: Reason::NoCfi.name(),
            unless: Some(ENTRY_CODE),
        },
        Rule::Unreliable(why) => stops(why.into()),
        Rule::Frame(frame) if is_lost(&frame, kind) => stops(Reason::ReturnAddressLost),
        Rule::Frame(frame) => Walk::GoesOn {
            registers: registers(&frame),
            check: check(&frame),
        },
    }
}

fn stops(reason: Reason) -> Walk {
    Walk::Stops {
        reason: reason.name(),
        unless: None,
    }
}

/// Such a frame needs no row: `entry()` of `orc::step`.
const ENTRY_CODE: &str =
    "it is in .entry.text, with the registers of an exception at SP (\"entry code\" if not at SP)";

/// The call has put its own address into x30.
fn is_lost(frame: &Frame, kind: Kind) -> bool {
    kind == Kind::ReturnsTo && frame.return_address == Location::Register
}

fn registers(frame: &Frame) -> String {
    let base = match frame.cfa.base {
        CfaBase::Sp => "SP",
        CfaBase::Fp => "x29",
    };
    let place = |location, register: &str| match location {
        Location::Register => register.to_string(),
        Location::Slot(below) => format!("[CFA-{below}]"),
    };
    format!(
        "CFA = {base}+{}, the caller's SP; return address from {}; caller's x29 from {}",
        frame.cfa.offset,
        place(frame.return_address, "x30"),
        place(frame.caller_fp, "x29"),
    )
}

fn check(frame: &Frame) -> String {
    let check = match (frame.x29, frame.caller_fp) {
        _ if frame.sp != StackPointer::Exact => check_of_sp(frame.sp),
        (X29::Record(below), _) => format!("x29 must be CFA-{below}"),
        (X29::Caller, Location::Slot(below)) => format!("x29 must be what is in [CFA-{below}]"),
        (X29::Caller, Location::Register) => "x29 is checked at the caller".to_string(),
        (X29::Other, _) => "x29 holds something else and is not checked".to_string(),
    };
    match frame.patch_site {
        true => format!("{check}; the caller must be a traced function at its entry"),
        false => check,
    }
}

/// The check of a row whose CFA comes from x29.
fn check_of_sp(sp: StackPointer) -> String {
    match sp {
        StackPointer::Exact | StackPointer::Anywhere => {
            "x29 can't be checked: the CFA comes from it".to_string()
        }
        StackPointer::Below { least, most: None } => {
            format!("SP must be CFA-{least} or below; the CFA comes from x29")
        }
        StackPointer::Below {
            least,
            most: Some(most),
        } => format!("SP must be from CFA-{most} to CFA-{least}; the CFA comes from x29"),
        StackPointer::OtherStack => {
            "SP must be at the top of its stack, and x29 on another".to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc::rule::Cfa;

    fn frame(return_address: Location, caller_fp: Location, x29: X29) -> Frame {
        Frame {
            cfa: Cfa {
                base: CfaBase::Sp,
                offset: 32,
            },
            sp: StackPointer::Exact,
            return_address,
            signed: None,
            caller_fp,
            x29,
            patch_site: false,
            left_by_return: None,
        }
    }

    #[test]
    fn refused_rows_stop_it() {
        for kind in [Kind::Interrupted, Kind::ReturnsTo] {
            let rule = Rule::Unreliable(Undescribed::NotProved);
            assert_eq!(walk(rule, kind), stops(Reason::NotProved));
        }
    }

    #[test]
    fn entry_code_is_followed_without_a_row() {
        let rule = Rule::Unreliable(Undescribed::NoCfi);
        assert_eq!(walk(rule, Kind::Interrupted), stops(Reason::NoCfi));
        assert!(matches!(
            walk(rule, Kind::ReturnsTo),
            Walk::Stops {
                unless: Some(_),
                ..
            }
        ));
    }

    #[test]
    fn x30_counts_only_where_it_was_interrupted() {
        let entry = Rule::Frame(Frame::ENTRY);
        assert_eq!(
            walk(entry, Kind::ReturnsTo),
            stops(Reason::ReturnAddressLost)
        );
        let goes_on = Walk::GoesOn {
            registers: "CFA = SP+0, the caller's SP; return address from x30; \
                        caller's x29 from x29"
                .into(),
            check: "x29 is checked at the caller".into(),
        };
        assert_eq!(walk(entry, Kind::Interrupted), goes_on);
    }

    #[test]
    fn names_slots_and_checks() {
        let slots = (Location::Slot(24), Location::Slot(32));
        for (x29, expected) in [
            (X29::Record(32), "x29 must be CFA-32"),
            (X29::Caller, "x29 must be what is in [CFA-32]"),
            (X29::Other, "x29 holds something else and is not checked"),
        ] {
            let rule = Rule::Frame(frame(slots.0, slots.1, x29));
            let Walk::GoesOn { registers, check } = walk(rule, Kind::ReturnsTo) else {
                panic!("{x29:?} stops");
            };
            assert_eq!(check, expected);
            assert!(registers.contains("return address from [CFA-24]"));
            assert!(registers.contains("caller's x29 from [CFA-32]"));
        }
        let by_fp = |sp| {
            check(&Frame {
                cfa: Cfa {
                    base: CfaBase::Fp,
                    offset: 32,
                },
                sp,
                ..frame(slots.0, slots.1, X29::Record(32))
            })
        };
        let below = |most| by_fp(StackPointer::Below { least: 32, most });
        assert_eq!(
            by_fp(StackPointer::Anywhere),
            "x29 can't be checked: the CFA comes from it"
        );
        assert!(below(None).starts_with("SP must be CFA-32 or below"));
        assert!(below(Some(64)).starts_with("SP must be from CFA-64 to CFA-32"));
        assert!(by_fp(StackPointer::OtherStack).ends_with("x29 on another"));
        let traced = Frame {
            patch_site: true,
            ..frame(slots.0, slots.1, X29::Record(32))
        };
        assert!(check(&traced).ends_with("a traced function at its entry"));
    }
}
