// SPDX-License-Identifier: GPL-2.0

//! Reliable stack walks by ORC tables.
//!
//! Two kinds of users:
//!
//! * The walker, which decides whether a stack can be believed, implements [`Walker`] and offers
//!   itself with a [`Registration`]. It gets a [`Walk`] for each stack, with all that it may ask
//!   about the task, and a [`Sink`] to tell the frames to.
//! * Whoever wants to know the frames of a task, and whether they can be believed, calls
//!   [`Trace::of_pid`].
//!
//! What is `unsafe` about walking the stack of another task is all in here: raw reads of a stack
//! are in `stack.rs`, those of a shadow call stack in `shadow.rs`, and nowhere else.
//!
//! C header: [`arch/arm64/include/asm/unwind_orc.h`](srctree/arch/arm64/include/asm/unwind_orc.h)

pub mod ftrace_regs;
pub mod regs;

mod region;
pub use region::{
    Code,
    Lookup,
    Region,
    BUILD_ID_BYTES, //
};

mod registration;
pub use registration::{
    Registration,
    Unreliable,
    Verdict,
    Walker, //
};

mod shadow;
pub use shadow::Shadow;

mod stack;
pub use stack::{
    StackRange,
    Stacks,
    MAX_STACKS, //
};

mod stats;
pub use stats::{
    Counter,
    StatsFile,
    WriteLines, //
};

mod trace;
pub use trace::{
    Refusal,
    Symbol,
    Trace, //
};

mod walk;
pub use walk::{
    is_entry_text,
    is_ftrace_return,
    is_graph_return,
    is_kretprobe_trampoline,
    is_replaced,
    strip_pac,
    Sink,
    Start,
    Tracer,
    Walk, //
};
