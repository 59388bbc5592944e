// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How rules and claims are written for people.

use std::fmt;

use orc::rule::{Cfa, CfaBase, Frame, Location, Rule, StackPointer, Undescribed, X29};

use crate::claim::{Beyond, CfiRow, Claim, Home};

/// A rule, as `cfa=sp+32 ra=[cfa-24] fp=[cfa-32] x29=cfa-32`, and with a CFA by x29
/// also as ` sp=cfa-32..1040`: SP is 32 to 1040 bytes below the CFA.
#[derive(Clone, Copy, Debug)]
pub struct Show(pub Rule);

impl fmt::Display for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Rule::Unreliable(why) => write!(f, "unreliable: {}", why_name(why)),
            Rule::Frame(frame) => write_frame(f, &frame),
        }
    }
}

/// A claim of the CFI, as `cfa=sp+32 ra=[cfa-24] fp=[cfa-32]`.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'c>(pub &'c Claim);

impl fmt::Display for Claimed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claim = self.0;
        let homes = [claim.return_address, claim.caller_fp].map(Home::Table);
        write_places(f, claim.cfa, homes)?;
        match claim.signal_frame {
            true => f.write_str(" signal-frame"),
            false => Ok(()),
        }
    }
}

/// A row of the CFI, as the same; or what of it no table can hold.
#[derive(Clone, Copy, Debug)]
pub struct Said<'c>(pub &'c CfiRow);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CfiRow::Claim(claim) => Claimed(claim).fmt(f),
            CfiRow::Beyond(Beyond {
                parked: Some(parked),
                ..
            }) => write_places(f, parked.cfa, [parked.return_address, parked.caller_fp]),
            CfiRow::Beyond(beyond) => f.write_str(&beyond.why),
        }
    }
}

/// What a row and a claim have in common.
fn write_places(f: &mut fmt::Formatter<'_>, cfa: Cfa, homes: [Home; 2]) -> fmt::Result {
    let base = match cfa.base {
        CfaBase::Sp => "sp",
        CfaBase::Fp => "x29",
    };
    write!(f, "cfa={base}+{}", cfa.offset)?;
    for (home, (name, register)) in homes.into_iter().zip([("ra", "x30"), ("fp", "x29")]) {
        match home {
            Home::Table(Location::Register) => write!(f, " {name}={register}")?,
            Home::Table(Location::Slot(below)) => write!(f, " {name}=[cfa-{below}]")?,
            Home::Register(other) => write!(f, " {name}={other}")?,
        }
    }
    Ok(())
}

fn write_frame(f: &mut fmt::Formatter<'_>, frame: &Frame) -> fmt::Result {
    let homes = [frame.return_address, frame.caller_fp].map(Home::Table);
    write_places(f, frame.cfa, homes)?;
    match frame.x29 {
        X29::Other => write!(f, " x29=other")?,
        X29::Caller => write!(f, " x29=caller")?,
        X29::Record(below) => write!(f, " x29=cfa-{below}")?,
    }
    match frame.sp {
        StackPointer::Exact => {}
        StackPointer::Below { least, most: None } => write!(f, " sp=cfa-{least}..")?,
        StackPointer::Below {
            least,
            most: Some(most),
        } => write!(f, " sp=cfa-{least}..{most}")?,
        StackPointer::OtherStack => write!(f, " sp=other-stack")?,
        StackPointer::Anywhere => write!(f, " sp=anywhere")?,
    }
    match (frame.return_address, frame.signed) {
        (Location::Register, _) | (_, Some(false)) => {}
        (_, Some(true)) => write!(f, " signed")?,
        (_, None) => write!(f, " maybe-signed")?,
    }
    if let Some(bytes) = frame.left_by_return {
        write!(f, " left-by-return={bytes}")?;
    }
    if frame.patch_site {
        write!(f, " patch-site")?;
    }
    Ok(())
}

/// Why an instruction has no usable rule, in two words.
pub fn why_name(why: Undescribed) -> &'static str {
    match why {
        Undescribed::Hole => "hole",
        Undescribed::NoCfi => "no CFI",
        Undescribed::NotProved => "not proved",
        Undescribed::Foreign => "foreign text",
        Undescribed::BadCfi => "bad CFI",
    }
}

/// A name from a file as one line of a terminal, a report or a list may hold it:
/// what is not printable is escaped, and so no two names become one.
pub fn printable(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' | '"' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}
