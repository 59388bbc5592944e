// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `klp-why` as a library: which tasks a live patch waits for, why, and whether
//! it will end.
//!
//! ```text
//! files below roots ── livepatch, census, look, log, symbols ── why ── report
//!                                                      table, JSON, metrics ──┘
//! ```

pub mod census;
pub mod cmd;
pub mod error;
pub mod history;
pub mod livepatch;
pub mod log;
pub mod look;
pub mod metrics;
pub mod module;
pub mod observe;
pub mod output;
pub mod preflight;
pub mod replaced;
pub mod report;
pub mod roots;
pub mod stack;
pub mod stat;
pub mod symbols;
pub mod table;
pub mod text;
pub mod why;
