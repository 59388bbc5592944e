// SPDX-License-Identifier: GPL-2.0

//! The walker: decides, by ORC tables, whether a stack can be believed.
//!
//! It joins two things that know nothing of each other: the core crate `orc`, which knows what a
//! table means and how to walk, and [`kernel::unwind_orc`], which knows tasks, stacks and text.
//! Nothing in here is `unsafe`. In a walk nothing is allocated, printed or locked.
//!
//! As a module it may be loaded and unloaded at any time: the C edge lets it answer only after it
//! has accepted the table of the kernel, and waits for all walks before it lets it go.

use core::num::NonZero;
use kernel::{
    prelude::*,
    unwind_orc::{
        Region,
        Registration,
        Sink,
        Start,
        StatsFile,
        Unreliable,
        Verdict,
        Walk,
        Walker, //
    }, //
};
use orc::{
    machine::State,
    reason::{
        self,
        Reason, //
    },
    table::Table, //
};

mod machine;
mod stats;

use machine::Task;

module! {
    type: UnwindOrc,
    name: "unwind_orc",
    authors: ["The unwind_orc authors"],
    description: "Reliable stack walks by ORC tables",
    license: "GPL",
}

/// The module.
struct UnwindOrc {
    // First, because the walker counts in what the file shows.
    _registration: Registration<OrcWalker>,
    _stats: StatsFile,
}

impl kernel::Module for UnwindOrc {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let stats = StatsFile::new(stats::write)?;
        let registration = Registration::new().inspect_err(|error| {
            pr_err!("not used ({error:?}), the stock stack walker stays\n");
        })?;

        Ok(Self {
            _registration: registration,
            _stats: stats,
        })
    }
}

/// What answers for the kernel.
struct OrcWalker;

impl Walker for OrcWalker {
    fn check(region: &Region<'_>) -> Result<(), &'static str> {
        let build_id = region.build_id().ok_or("text without a build-id")?;
        let table = Table::new(region.table(), build_id).map_err(|error| error.name())?;

        match region.code().bytes().checked_sub(table.text_bytes()) {
            None => Err("more text described than there is"),
            Some(rest) if rest > region.padding_bytes() => Err("not all text described"),
            Some(_) => Ok(()),
        }
    }

    // Inlined, as the next, so that a walk has one frame for both.
    #[inline(always)]
    fn walk(walk: &mut Walk<'_>, sink: &mut Sink<'_>) -> Verdict {
        let verdict = match walk_task(walk, sink) {
            reason::Verdict::Reliable { frames } => Ok(frames),
            reason::Verdict::Unreliable { reason, frame, pc } => Err((reason, frame, pc)),
        };

        // What comes of a look, and is not its own result, comes of the walk after it.
        if !sink.only_looks() || matches!(verdict, Err((Reason::NoTable, ..))) {
            stats::count(verdict.map_err(|(reason, ..)| reason));
        }
        verdict.map_err(|(reason, frame, pc)| Unreliable {
            reason: NonZero::new(reason.code().into()).unwrap_or(NonZero::<u32>::MAX),
            frame,
            pc,
            no_table: reason == Reason::NoTable,
        })
    }

    fn name(reason: NonZero<u32>) -> &'static str {
        u8::try_from(reason.get())
            .ok()
            .and_then(Reason::from_code)
            .map_or("unknown reason", Reason::name)
    }
}

/// Walks a task that can be walked, and refuses others.
#[inline(always)]
fn walk_task(walk: &mut Walk<'_>, sink: &mut Sink<'_>) -> reason::Verdict {
    let refused = |reason, pc| reason::Verdict::Unreliable {
        reason,
        frame: 0,
        pc,
    };
    let start = match walk.start() {
        Start::Current { pc, sp, fp, lr } => State::interrupted(pc, sp, fp, lr),
        Start::Blocked { pc, sp, fp } => State::switched_out(pc, sp, fp),
        Start::Running => return refused(Reason::Running, 0),
        Start::NoStack => return refused(Reason::StackGone, 0),
    };
    if walk.shadow().is_none() {
        return refused(Reason::ShadowPointer, start.pc);
    }
    let verdict = orc::walk::walk(&mut Task::new(walk), start, |pc| sink.push(pc));

    // The caller should have kept the task from running. Where it has not, neither the verdict nor
    // another reason for refusal means anything.
    if walk.is_undisturbed() {
        verdict
    } else {
        refused(Reason::TaskRan, start.pc)
    }
}
