// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a store may change of the memory that facts are about: the slots of this
//! function's frame, and the word on the shadow call stack.

use super::assumption::Assumption;
use super::range::Range;
use super::span::Span;
use super::value::Value;
use crate::a64::insn::Store;

/// What a store may change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Hit {
    /// Nothing is stored.
    Nothing,
    /// Nothing: the address is made of no pointer into this frame (A3).
    Elsewhere,
    /// Nothing: it is an element of a local array (A4).
    Array,
    /// Any slot.
    Anywhere,
    /// The slots that this many bytes may be at, which are at one of these places; if
    /// those are several, or more than are told apart, they are an array (A4).
    OneOf(Span, u32),
    /// The slots that begin below the CFA plus this.
    Below(i64),
    /// This many bytes at the CFA plus this.
    At(i32, u32),
    /// Of the shadow call stack: this address, or any.
    Shadow(Option<Value>, Store),
}

impl Hit {
    /// Through an SP that is not known, but that is not above the CFA; with its offset the
    /// address is not above the CFA plus `limit`. (`None`: an index; no sum of the two.)
    pub fn by_sp(limit: Option<Option<i64>>, store: Store) -> Self {
        match (limit.flatten(), store) {
            (_, Store::Nothing) => Self::Nothing,
            (None, Store::Bytes(_)) => Self::Array,
            (Some(limit), Store::Bytes(bytes)) => Self::Below(limit.saturating_add(bytes.into())),
            (_, Store::Unbounded) => Self::Anywhere,
        }
    }

    /// At the CFA plus a number, or at an index from there.
    pub fn by_cfa(address: Option<Value>, store: Store) -> Self {
        match (store, address) {
            (Store::Nothing, _) => Self::Nothing,
            (Store::Unbounded, _) => Self::Anywhere,
            (Store::Bytes(bytes), Some(Value::Cfa(offset))) => Self::At(offset, bytes),
            (Store::Bytes(_), None) => Self::Array,
            // The offset does not fit: not an address in this stack.
            (Store::Bytes(_), Some(_)) => Self::Anywhere,
        }
    }

    /// At an address in a range.
    pub fn within(target: Range, store: Store) -> Self {
        match (target.span(), store) {
            (_, Store::Nothing) => Self::Nothing,
            (None, _) if target == Range::Frame => Self::Anywhere,
            (None, _) => Self::Elsewhere,
            (Some(_), Store::Unbounded) => Self::Anywhere,
            (Some(span), Store::Bytes(bytes)) => Self::OneOf(span, bytes),
        }
    }

    /// What it is to say that it changes no more.
    pub fn relies_on(self) -> Option<Assumption> {
        match self {
            Self::Elsewhere => Some(Assumption::StoreElsewhere),
            Self::Array => Some(Assumption::StoreInArray),
            Self::OneOf(span, _) if span.exact().is_none() => Some(Assumption::StoreInArray),
            // There, or elsewhere.
            Self::OneOf(..) => Some(Assumption::StoreElsewhere),
            Self::Nothing | Self::Anywhere | Self::Below(_) | Self::At(..) | Self::Shadow(..) => {
                None
            }
        }
    }
}
