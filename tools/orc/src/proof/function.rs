// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The proof of one function that has CFI.

use std::ops::Range;

use orc::rule::{CfaBase, Frame, Rule, Undescribed};

use crate::claim::{Beyond, CfiRow, Claim, Claims};
use crate::text::Function;

use super::exits::ways_out;
use super::facts::Facts;
use super::finding::{Class, Counts, Finding, Proof};
use super::flow::{self, Blocks, Next};
use super::indirect::enter_by_claim;
use super::points::Point;
use super::return_only;
use super::section::{Entrance, Prover};
use super::value::Value;
use super::{assumption, judge, parked};
use crate::a64::insn::{Flow, Reg};
use crate::graph::{Body, Place, Way};

/// What comes of one function.
#[derive(Debug, Default)]
pub(super) struct Analysis {
    pub proof: Proof,
    /// Ways into other functions that are not their plain entry.
    pub escapes: Vec<Entrance>,
}

pub(super) const NOT_PROVED: Rule = Rule::Unreliable(Undescribed::NotProved);
const BAD_CFI: Rule = Rule::Unreliable(Undescribed::BadCfi);

pub(super) fn analyze(prover: &Prover<'_>, body: &Body<'_>, entrances: &[Entrance]) -> Analysis {
    if let Some(Claims::Unsupported(why)) = &body.function.claims {
        return bad_cfi(prover, body, why);
    }
    if body.is_empty() || body.rows().is_empty() {
        return refuse(prover, body);
    }
    let flow = Flowed::new(body, entrances);
    let mut judge = Judge::new(prover, body);
    judge.counts.entries = flow.entries;
    judge.counts.parts = flow.parts;
    judge.counts.entered_by_claim = flow.entered_by_claim;
    // A9: what is written there is not looked at.
    judge.counts.opaque_sites = body.opaque_sites as u64;
    flow.blocks.each(|index, facts| judge.see(index, facts));
    judge.finish(&flow.direct)
}

/// The facts at each instruction that is reached.
pub(super) fn facts(body: &Body<'_>, entrances: &[Entrance]) -> Vec<(u64, Facts)> {
    let mut all = Vec::new();
    if !body.is_empty() {
        let flow = Flowed::new(body, entrances);
        flow.blocks
            .each(|index, facts| all.push((body.offset(index), facts.clone())));
    }
    all
}

/// Each instruction, and where control goes from there.
pub(super) fn points(body: &Body<'_>, entrances: &[Entrance]) -> Vec<Point> {
    let mut known = vec![None; body.len()];
    if !body.is_empty() {
        let flow = Flowed::new(body, entrances);
        flow.blocks
            .each(|index, facts| known[index] = Some(facts.clone()));
    }
    let known = known.into_iter().enumerate();
    known
        .map(|(index, facts)| Point::new(body, index, facts))
        .collect()
}

/// Facts that have come to rest.
struct Flowed<'a> {
    blocks: Blocks<'a>,
    /// Whether direct branches lead to a block from an entrance, by instruction.
    direct: Vec<bool>,
    entered_by_claim: u64,
    /// How often it is entered as a function: A2.
    entries: u64,
    /// Whether its start is taken to be none: A12.
    parts: u64,
}

impl<'a> Flowed<'a> {
    fn new(body: &'a Body<'a>, entrances: &[Entrance]) -> Self {
        let mut blocks = Blocks::new(body);
        for entrance in entrances {
            if let Some(index) = body.index(entrance.to.offset) {
                blocks.enter(index, &entrance.facts);
            }
        }
        let start = body.row(0).map_or(Some(Facts::entry()), entry);
        let start = start.filter(|_| !body.is_continued());
        let (mut entries, parts) = (u64::from(start.is_some()), u64::from(start.is_none()));
        if let Some(facts) = start {
            blocks.enter(0, &facts);
        }
        for entry in body.entries().filter_map(|at| body.index(at)) {
            blocks.enter(entry, &Facts::entry());
            entries += 1;
        }
        blocks.run();
        let direct = (0..body.len())
            .map(|index| blocks.is_reached(index))
            .collect();
        let entered_by_claim = enter_by_claim(body, &mut blocks);
        Self {
            blocks,
            direct,
            entered_by_claim,
            entries,
            parts,
        }
    }
}

/// The facts at the start of a function whose first row this is; none for a
/// part of a function that is entered from another part (A12).
fn entry(row: &CfiRow) -> Option<Facts> {
    let claim = match row {
        CfiRow::Claim(claim) => claim,
        // It is entered, but not as AAPCS64 says.
        CfiRow::Beyond(beyond) => return beyond.parked.is_none().then_some(Facts::NONE),
    };
    let facts = match claim.signal_frame {
        true => Facts::traced_entry(),
        false => Facts::entry(),
    };
    judge::implies(&facts, claim).is_ok().then_some(facts)
}

/// A function of which nothing is proved.
pub(super) fn refuse(prover: &Prover<'_>, body: &Body<'_>) -> Analysis {
    let function = body.function;
    let instructions = (function.end - function.start) / 4;
    Analysis {
        proof: Proof {
            rows: vec![(function.start, NOT_PROVED)],
            assumed: Vec::new(),
            findings: vec![whole(function, Class::Unreached, String::new())],
            counts: Counts {
                instructions,
                unproved: instructions,
                ..Counts::default()
            },
            no_leaf: None,
            return_only: None,
        },
        escapes: ways_out(prover, body),
    }
}

fn bad_cfi(prover: &Prover<'_>, body: &Body<'_>, why: &str) -> Analysis {
    let function = body.function;
    let mut analysis = refuse(prover, body);
    analysis.proof.rows = vec![(function.start, BAD_CFI)];
    analysis.proof.findings = vec![whole(function, Class::BadCfi, why.to_string())];
    analysis
}

fn whole(function: &Function, class: Class, facts: String) -> Finding {
    Finding {
        offset: function.start,
        len: function.end - function.start,
        claim: None,
        facts,
        should: None,
        class,
    }
}

/// Gathers what is proved at each instruction.
struct Judge<'j, 'a> {
    prover: &'j Prover<'j>,
    body: &'j Body<'a>,
    rules: Vec<Rule>,
    findings: Vec<(usize, Finding)>,
    seen: Vec<bool>,
    escapes: Vec<Entrance>,
    counts: Counts,
    /// The entry, if so far nothing leads out but returns.
    return_only: Option<usize>,
}

impl<'j, 'a> Judge<'j, 'a> {
    fn new(prover: &'j Prover<'j>, body: &'j Body<'a>) -> Self {
        Self {
            prover,
            body,
            rules: vec![NOT_PROVED; body.len()],
            findings: Vec::new(),
            seen: vec![false; body.len()],
            escapes: Vec::new(),
            counts: Counts::default(),
            return_only: return_only::entry(body),
        }
    }

    fn see(&mut self, index: usize, facts: &Facts) {
        let Some(row) = self.body.row(index) else {
            return;
        };
        self.seen[index] = true;
        assumption::count(self.body, index, facts, &mut self.counts);
        let claim = match row {
            CfiRow::Claim(claim) => claim,
            CfiRow::Beyond(beyond) => return self.see_beyond(index, facts, beyond),
        };
        if self.is_as_before(index, claim) {
            self.rules[index] = self.rules[index - 1];
            return;
        }
        let verdict = match judge::row(facts, claim) {
            Ok(frame) => match self.leaves(index, facts) {
                Ok(()) => {
                    self.rules[index] = Rule::Frame(frame);
                    return;
                }
                Err(class) => class,
            },
            Err(class) => {
                // Where it goes from here is known all the same.
                let _ = self.leaves(index, facts);
                self.refine(index, facts, class)
            }
        };
        self.find(index, Some(facts), verdict);
    }

    /// Whether the row at `index` is proved because it is before the instruction before,
    /// which can do nothing but go on and changes nothing that a row speaks of.
    fn is_as_before(&self, index: usize, claim: &Claim) -> bool {
        let body = self.body;
        let is_last = |index| index + 1 == body.len() || body.is_data(index + 1);
        let Some(before) = index.checked_sub(1).filter(|_| !body.is_leader(index)) else {
            return false;
        };
        // Of an ftrace trampoline's, x9 counts, too.
        !claim.signal_frame
            && body.same_row(before, index)
            && matches!(self.rules[before], Rule::Frame(_))
            && body.only_goes_on(before)
            && body.only_goes_on(index)
            && !is_last(index)
            && !body.insn(before).step.may_change_frame()
    }

    /// An instruction whose row no table can hold. Where that is true, nobody has to
    /// mend anything.
    fn see_beyond(&mut self, index: usize, facts: &Facts, beyond: &Beyond) {
        self.rules[index] = BAD_CFI;
        let leaves = self.leaves(index, facts);
        let parked = beyond.parked.as_ref();
        if !parked.is_some_and(|parked| judge::implies_parked(facts, parked)) {
            let what = match parked {
                Some(_) => format!("{}, which is not known to be so: {facts}", beyond.why),
                None => beyond.why.clone(),
            };
            self.add_finding(index, Class::BadCfi, || (what, None));
            return;
        }
        self.counts.inexpressible += 1;
        let is_call = matches!(self.body.insn(index).flow, Flow::Call(_));
        let is_assumed = is_call && parked::kept(self.body, index, facts).is_assumed;
        self.counts.kept_over_calls += u64::from(is_assumed);
        if let Err(class) = leaves {
            self.find(index, Some(facts), class);
        }
    }

    /// Whether the instruction at `index` may leave the function where it does.
    fn leaves(&mut self, index: usize, facts: &Facts) -> Result<(), Class> {
        let is_last = index + 1 == self.body.len() || self.body.is_data(index + 1);
        if self.body.only_goes_on(index) && !is_last {
            return Ok(());
        }
        let (body, entry) = (self.body, self.return_only);
        let (mut result, mut stays) = (Ok(()), true);
        body.edges(index, |edge| {
            self.counts.calls += u64::from(edge.way == Way::AfterCall);
            self.counts.veneers += u64::from(edge.veneer.is_some());
            stays &= entry.is_some_and(|at| return_only::stays(body, at, index, &edge, facts));
            match edge.way {
                Way::Return(reg) if !facts.is_entry_state(reg) => result = Err(Class::WrongReturn),
                _ => {}
            }
        });
        self.return_only = entry.filter(|_| stays);
        result?;
        if !is_last && self.stays(index) {
            return Ok(());
        }
        let mut after = facts.clone();
        let mut result = Ok(());
        let next = flow::execute(self.body, index, &mut after, &mut |edge, facts| {
            if edge.is_exit() {
                let escape = self.prover.escape(edge.to, facts);
                self.escapes.extend(escape.entrance);
                if !escape.is_allowed {
                    result = Err(Class::WrongTailCall);
                }
            }
        });
        match next {
            Next::Always if is_last => result = result.and(self.runs_on(index, &after)),
            Next::IfItReturns if is_last => match self.body.goes_on(index) {
                Some(true) => result = result.and(self.runs_on(index, &after)),
                // A7
                _ => self.counts.calls_at_end += 1,
            },
            Next::IfItReturns if !is_last && flow::is_no_return(self.body, index, &after) => {
                self.counts.no_return += 1;
            }
            _ => {}
        }
        result
    }

    /// Whether it is plain that the instruction at `index`, not the last one, does not
    /// leave the function but by a return or a call: most branches and calls, which
    /// need not be executed to see that.
    fn stays(&self, index: usize) -> bool {
        let body = self.body;
        if !body.variants(index).is_empty() || !body.fixups(index).is_empty() {
            return false;
        }
        // Where the frame changes, a call may be one that does not return.
        let same_row = || body.same_row(index, index + 1) && body.goes_on(index) != Some(false);
        let mut stays = true;
        body.edges(index, |edge| {
            stays &= match (edge.way, edge.to) {
                (Way::Call, Place::Outside(_)) => edge
                    .starting
                    .is_some_and(|to| self.prover.is_entered_at_start(to as usize)),
                (Way::AfterCall | Way::AfterTrap, _) => same_row(),
                _ => !edge.is_exit() || edge.way == Way::Call,
            };
        });
        stays
    }

    /// Whether control may go on over the end of the function, behind the
    /// instruction at `index`.
    ///
    /// A8: a conditional branch that ends a function is always taken: the compiler
    /// knows that the other case can't be (`unreachable()` in a `switch`), and has
    /// no code for it. As with a call that does not return, the evidence is that
    /// what follows by chance does not expect this state.
    fn runs_on(&mut self, index: usize, facts: &Facts) -> Result<(), Class> {
        if self.body.offset(index) + 4 != self.body.function.end {
            return Err(Class::FallsThrough);
        }
        let end = self.body.end();
        let escape = self.prover.falls_from(self.body, facts);
        let is_branch = matches!(self.body.insn(index).flow, Flow::Conditional(_))
            && self.body.variants(index).is_empty();
        let is_part = self.prover.entrance(end, facts).is_some();
        if !escape.is_allowed && is_branch && !is_part {
            self.counts.dead_ends += 1;
            return Ok(());
        }
        self.escapes.extend(escape.entrance);
        match escape.is_allowed {
            true => Ok(()),
            false => Err(Class::FallsThrough),
        }
    }

    /// Names the class more closely by the rows around.
    fn refine(&self, index: usize, facts: &Facts, class: Class) -> Class {
        let rows = self.body.rows();
        let Some(claim) = self.body.claim(index) else {
            return class;
        };
        let at = rows.partition_point(|row| row.start() < claim.start);
        let implied = |row: Option<&CfiRow>| {
            let claim = row.and_then(CfiRow::claim);
            claim.is_some_and(|claim| judge::implies(facts, claim).is_ok())
        };
        if class == Class::CallWithoutFrame {
            return class;
        }
        let is_popped = facts.get(Reg::X29) == Value::CallerFp;
        if claim.cfa.base == CfaBase::Fp && is_popped {
            return Class::LateRow;
        }
        if implied(at.checked_sub(1).and_then(|before| rows.get(before))) {
            // An epilogue leads back to the row of the entry.
            match facts.is_entry_state(Reg::X30) && self.was_true(index) {
                true => Class::LateRow,
                false => Class::EarlyRow,
            }
        } else if implied(rows.get(at + 1)) {
            Class::LateRow
        } else {
            class
        }
    }

    /// Whether the claim at `index` was proved at the instruction before, or would
    /// have been if it were not late there already.
    fn was_true(&self, index: usize) -> bool {
        let claim = self.body.claim(index);
        let Some(before) = index.checked_sub(1) else {
            return false;
        };
        let is_late = self.findings.last().is_some_and(|(next, last)| {
            *next == index && last.class == Class::LateRow && last.claim.as_ref() == claim
        });
        let is_proved = self.rules[before] != NOT_PROVED && self.body.claim(before) == claim;
        is_late || (is_proved && self.body.insn(before).flow == Flow::Next)
    }

    /// Adds to the finding that ends just before `index`, or starts one.
    fn find(&mut self, index: usize, facts: Option<&Facts>, class: Class) {
        self.add_finding(index, class, || {
            let known = facts.map(Facts::to_string).unwrap_or_default();
            (known, facts.and_then(judge::row_of))
        });
    }

    /// The same, with what is known there and the row that should be.
    fn add_finding(
        &mut self,
        index: usize,
        class: Class,
        known: impl FnOnce() -> (String, Option<Frame>),
    ) {
        let claim = self.body.claim(index);
        let is_same_row = index
            .checked_sub(1)
            .is_some_and(|before| claim.is_some() || self.body.same_row(before, index));
        if let Some((next, last)) = self.findings.last_mut() {
            let continues = *next == index && last.class == class && is_same_row;
            if continues && last.claim.as_ref() == claim {
                *next += 1;
                last.len += 4;
                return;
            }
        }
        let (facts, should) = known();
        self.findings.push((
            index + 1,
            Finding {
                offset: self.body.offset(index),
                len: 4,
                claim: claim.cloned(),
                facts,
                should,
                class,
            },
        ));
    }

    fn finish(mut self, direct: &[bool]) -> Analysis {
        let mut rows: Vec<(u64, Rule)> = Vec::new();
        let mut assumed = Vec::new();
        let mut is_direct = false;
        for (index, is_reached) in direct.iter().enumerate() {
            if self.body.is_leader(index) {
                is_direct = *is_reached;
            }
            let rule = match self.body.is_data(index) {
                true => Rule::Unreliable(Undescribed::Hole),
                false => self.rules[index],
            };
            if !self.body.is_data(index) {
                self.counts.instructions += 1;
                if matches!(rule, Rule::Unreliable(_)) {
                    self.counts.unproved += 1;
                } else {
                    self.counts.proved += 1;
                    if !is_direct {
                        self.counts.assumed += 1;
                        add_to_run(&mut assumed, self.body.offset(index));
                    }
                }
                if !self.seen[index] {
                    self.find(index, None, Class::Unreached);
                }
            }
            if rows.last().is_none_or(|(_, last)| *last != rule) {
                rows.push((self.body.offset(index), rule));
            }
        }
        let mut findings: Vec<Finding> = self.findings.into_iter().map(|(_, f)| f).collect();
        findings.sort_by_key(|finding| finding.offset);
        let is_proved = findings.is_empty();
        let return_only = self
            .return_only
            .filter(|_| is_proved)
            .and_then(|entry| return_only::confirm(self.body, entry, &self.counts));
        Analysis {
            proof: Proof {
                rows,
                assumed,
                findings,
                counts: self.counts,
                no_leaf: None,
                return_only,
            },
            escapes: self.escapes,
        }
    }
}

/// Adds an instruction to the run that it follows, or starts one with it.
fn add_to_run(runs: &mut Vec<Range<u64>>, offset: u64) {
    match runs.last_mut() {
        Some(run) if run.end == offset => run.end += 4,
        _ => runs.push(offset..offset + 4),
    }
}
