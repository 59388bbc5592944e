// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How rules are written for people.

use std::fmt;

use orc::rule::{CfaBase, Frame, Location, Rule, Undescribed, X29};

/// A rule, as `cfa=sp+32 ra=[cfa-24] fp=[cfa-32] x29=cfa-32`.
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

fn write_frame(f: &mut fmt::Formatter<'_>, frame: &Frame) -> fmt::Result {
    let base = match frame.cfa.base {
        CfaBase::Sp => "sp",
        CfaBase::Fp => "x29",
    };
    write!(f, "cfa={base}+{}", frame.cfa.offset)?;
    for (name, location, register) in [
        ("ra", frame.return_address, "x30"),
        ("fp", frame.caller_fp, "x29"),
    ] {
        match location {
            Location::Register => write!(f, " {name}={register}")?,
            Location::Slot(below) => write!(f, " {name}=[cfa-{below}]")?,
        }
    }
    match frame.x29 {
        X29::Other => write!(f, " x29=other")?,
        X29::Caller => write!(f, " x29=caller")?,
        X29::Record(below) => write!(f, " x29=cfa-{below}")?,
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
