// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A plugin for QEMU that judges the walk by what the guest has executed.
//!
//! * `truth.rs`: the call stack of a task, from calls, returns and exceptions;
//!   `decode.rs`: which instructions are these.
//! * `book.rs`, `machine.rs`, `memory.rs`: what the walk is given.
//! * `judge.rs`: walk and truth compared; `memo.rs`, `reads.rs`: without walking all
//!   of a stack each time; `inject.rs`: the same with words changed; `counts.rs`: the
//!   report.
//! * `vcpu.rs`: one CPU; `shared.rs`, `image.rs`: what all CPUs share.
//! * `plugin.rs`, `ffi.rs`, `registers.rs`: QEMU.

mod book;
mod counts;
mod decode;
#[cfg(not(test))]
mod ffi;
mod image;
mod inject;
mod judge;
mod machine;
#[cfg_attr(feature = "before", path = "memo_before.rs")]
mod memo;
mod memory;
#[cfg(not(test))]
mod plugin;
mod reads;
mod recover;
#[cfg(not(test))]
mod registers;
#[cfg(not(test))]
mod shared;
mod truth;
#[cfg(not(test))]
mod vcpu;
