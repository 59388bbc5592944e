// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The stack slots that hold what the proof is about.

use std::fmt;

use super::span::Span;
use super::value::{Sign, Value};

/// The most slots that are remembered. A function has two, or a few more where
/// several records are built; one too many is forgotten, which is sound.
const SLOTS: usize = 8;

/// A stack slot: 8 bytes at the CFA plus `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    offset: i32,
    value: Value,
    /// Of a return address.
    sign: Sign,
    /// SP has been above it since: an interrupt may have overwritten it.
    is_popped: bool,
}

impl Slot {
    const fn with_sign(self, sign: Sign) -> Self {
        Self { sign, ..self }
    }
}

/// A set of slots; of no other slot is anything known.
#[derive(Clone, Debug)]
pub struct Slots {
    slots: [Slot; SLOTS],
    used: usize,
}

impl PartialEq for Slots {
    fn eq(&self, other: &Self) -> bool {
        self.used == other.used && self.all().iter().all(|slot| other.all().contains(slot))
    }
}

impl Slots {
    /// No slot.
    pub const NONE: Self = Self {
        slots: [Slot {
            offset: 0,
            value: Value::Unknown,
            sign: Sign::Unknown,
            is_popped: false,
        }; SLOTS],
        used: 0,
    };

    fn all(&self) -> &[Slot] {
        self.slots.get(..self.used).unwrap_or_default()
    }

    /// What the 8 bytes at the CFA plus `offset` hold, or held when they were popped.
    pub fn get(&self, offset: i32, is_popped: bool) -> Value {
        self.all()
            .iter()
            .find(|slot| slot.offset == offset && slot.is_popped == is_popped)
            .map_or(Value::Unknown, |slot| slot.value)
    }

    /// Whether the return address in the 8 bytes at the CFA plus `offset`, if it is
    /// one and not popped, is signed.
    pub fn sign(&self, offset: i32) -> Sign {
        self.all()
            .iter()
            .find(|slot| slot.offset == offset && !slot.is_popped)
            .map_or(Sign::Unknown, |slot| slot.sign)
    }

    /// The offsets of the slots that hold `value` and are not popped.
    pub fn with(&self, value: Value) -> impl Iterator<Item = i32> + '_ {
        self.all()
            .iter()
            .filter(move |slot| slot.value == value && !slot.is_popped)
            .map(|slot| slot.offset)
    }

    /// Those that are in both.
    pub fn meet(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for slot in both.slots.iter_mut().take(self.used) {
            let same = |other: &&Slot| other.with_sign(slot.sign) == *slot;
            if let Some(other) = other.all().iter().find(same) {
                slot.sign = slot.sign.join(other.sign);
            }
        }
        both.retain(|slot| {
            let same = |other: &Slot| other.with_sign(slot.sign) == *slot;
            other.all().iter().any(same)
        });
        both
    }

    /// Adds the 8 bytes at the CFA plus `offset`, in place of what overlaps them.
    pub fn put(&mut self, offset: i32, value: Value, sign: Sign) {
        self.forget(offset, 8);
        if let Some(free) = self.slots.get_mut(self.used) {
            *free = Slot {
                offset,
                value,
                sign,
                is_popped: false,
            };
            self.used += 1;
        }
    }

    /// SP is at most the CFA plus `limit`: what is below that is popped.
    pub fn pop_below(&mut self, limit: i32) {
        for slot in self.slots.iter_mut().take(self.used) {
            slot.is_popped |= slot.offset < limit;
        }
    }

    /// Forgets what was popped.
    pub fn forget_popped(&mut self) {
        self.retain(|slot| !slot.is_popped);
    }

    /// Forgets the slots that overlap `bytes` bytes from the CFA plus `offset`.
    pub fn forget(&mut self, offset: i32, bytes: u32) {
        let (first, last) = (i64::from(offset), i64::from(offset) + i64::from(bytes));
        self.retain(|slot| {
            let slot = i64::from(slot.offset);
            slot + 8 <= first || slot >= last
        });
    }

    /// Forgets the slots that `bytes` bytes at one of these offsets may be at.
    pub fn forget_hit(&mut self, span: Span, bytes: u32) {
        self.retain(|slot| !span.may_hit(bytes, slot.offset));
    }

    /// Forgets the slots that begin below the CFA plus `end`.
    pub fn forget_below(&mut self, end: i64) {
        self.retain(|slot| i64::from(slot.offset) >= end);
    }

    fn retain(&mut self, keep: impl Fn(&Slot) -> bool) {
        let mut kept = 0;
        for index in 0..self.used {
            let slot = self.slots[index];
            if keep(&slot) {
                self.slots[kept] = slot;
                kept += 1;
            }
        }
        self.used = kept;
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut slots: Vec<_> = self.all().to_vec();
        slots.sort_by_key(|slot| slot.offset);
        f.write_str("slots:")?;
        for slot in &slots {
            let popped = if slot.is_popped { " (popped)" } else { "" };
            write!(f, " [CFA{:+}]={}{popped}", slot.offset, slot.value)?;
        }
        if slots.is_empty() {
            f.write_str(" none")?;
        }
        Ok(())
    }
}
