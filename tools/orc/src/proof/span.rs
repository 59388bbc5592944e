// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Offsets from the CFA: from one number to another, by steps.

use std::fmt;

/// A lowest offset from the CFA that is none.
pub const UNBOUNDED_BELOW: i32 = i32::MIN;
/// A highest offset from the CFA that is none.
pub const UNBOUNDED_ABOVE: i32 = i32::MAX;

/// No offset is larger than this.
const LARGEST: i64 = 1 << 30;
/// A4: an address that may be at more places than this is an index into an array, of which
/// nothing but its bounds is known: a loop that was unrolled.
const MOST_STEPS: u32 = 3;
/// More than two places that are closer than this are an array's, too.
const LEAST_STEP: u32 = 16;
/// SP and the CFA are multiples of this.
const SP_ALIGN: i64 = 16;

/// Offsets from the CFA, from one number to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The smallest it can be, or [`UNBOUNDED_BELOW`].
    pub lowest: i32,
    /// The largest it can be, or [`UNBOUNDED_ABOVE`].
    pub highest: i32,
    /// Those of them that are made by known sums.
    known: Known,
}

impl Span {
    /// Any offset.
    pub(super) const SOMEWHERE: Self = Self {
        lowest: UNBOUNDED_BELOW,
        highest: UNBOUNDED_ABOVE,
        known: Known::NONE,
    };

    /// One offset.
    pub(super) fn at(offset: i32) -> Self {
        Self::within(offset.into(), offset.into(), Known::at(offset))
    }

    fn within(lowest: i64, highest: i64, known: Known) -> Self {
        let within = |offset: i64, none: i32| match i32::try_from(offset) {
            Ok(offset) if i64::from(offset).abs() <= LARGEST => offset,
            _ => none,
        };
        Self {
            lowest: within(lowest, UNBOUNDED_BELOW),
            highest: within(highest, UNBOUNDED_ABOVE),
            known,
        }
    }

    /// The offset, if there is but one.
    pub(super) fn exact(self) -> Option<i32> {
        (self.lowest == self.highest).then_some(self.lowest)
    }

    /// These plus a number in these bounds. If it is not one, it is an index: into an
    /// array that nothing else is in.
    pub(super) fn plus(self, from: i64, to: i64) -> Self {
        let known = match from == to {
            true => self.known.spread(from, to),
            false => Known::NONE,
        };
        self.moved(from, to, known)
    }

    /// The same for one that is made by known operations, if not by a known sum.
    pub(super) fn spread(self, from: i64, to: i64) -> Self {
        self.moved(from, to, self.known.spread(from, to))
    }

    fn moved(self, from: i64, to: i64, known: Known) -> Self {
        Self::within(
            add_bound(self.lowest, UNBOUNDED_BELOW, from),
            add_bound(self.highest, UNBOUNDED_ABOVE, to),
            known,
        )
    }

    /// These, rounded down to a multiple of a power of two as an address.
    pub(super) fn rounded_down(self, grain: i64) -> Self {
        // SP and the CFA are multiples of 16, so what is cleared is, too.
        let is_aligned = i64::from(self.lowest) % SP_ALIGN == 0;
        let step = if is_aligned { SP_ALIGN } else { 1 };
        self.spread((step - grain).min(0), 0)
    }

    /// Those that are at most this.
    pub(super) fn up_to(self, limit: i32) -> Self {
        Self {
            highest: self.highest.min(limit),
            ..self
        }
    }

    /// The smallest that has both in it.
    pub(super) fn join(self, other: Self) -> Self {
        Self {
            lowest: self.lowest.min(other.lowest),
            highest: self.highest.max(other.highest),
            known: self.known.join(other.known),
        }
    }

    /// Without the bounds that have moved since `before`.
    pub(super) fn widened(self, before: Self) -> Self {
        let mut widened = self;
        if self.lowest < before.lowest {
            widened.lowest = UNBOUNDED_BELOW;
        }
        if self.highest > before.highest {
            widened.highest = UNBOUNDED_ABOVE;
        }
        widened
    }

    /// The same where those are made by known sums that are so in `other`.
    pub(super) fn knowing(self, other: Option<Self>) -> Self {
        let known = other.map_or(Known::NONE, |other| other.known);
        Self { known, ..self }
    }

    /// Whether `bytes` bytes at one of these are at the 8 bytes of a slot. By an index
    /// they are not.
    pub(super) fn may_hit(self, bytes: u32, slot: i32) -> bool {
        self.known.may_hit(bytes, slot)
    }
}

/// Offsets that are made by known sums, a number of steps apart. Where they are no
/// longer told apart there are more than that. More than a few are an array's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// [`i16::MIN`]: all that are lower, too.
    lowest: i16,
    /// [`i16::MAX`]: all that are higher, too.
    highest: i16,
    step: u16,
}

impl Known {
    const NONE: Self = Self {
        lowest: i16::MAX,
        highest: i16::MIN,
        step: 0,
    };

    fn at(offset: i32) -> Self {
        Self::within(offset.into(), offset.into(), 0)
    }

    fn within(lowest: i64, highest: i64, step: u32) -> Self {
        let narrow = |offset: i64, least: i16, most: i16| {
            let offset = offset.clamp(least.into(), most.into());
            i16::try_from(offset).unwrap_or(most)
        };
        let lowest = narrow(lowest, i16::MIN, i16::MAX - 1);
        let highest = narrow(highest, i16::MIN + 1, i16::MAX);
        let is_bounded = lowest != i16::MIN && highest != i16::MAX;
        let step = u16::try_from(step).ok().filter(|_| is_bounded);
        Self {
            lowest,
            highest,
            step: step.unwrap_or(1),
        }
    }

    fn is_none(self) -> bool {
        self.lowest > self.highest
    }

    /// These plus a number in these bounds.
    fn spread(self, from: i64, to: i64) -> Self {
        if self.is_none() {
            return self;
        }
        let add = |bound: i16, by: i64| match bound {
            i16::MIN | i16::MAX => i64::from(bound),
            bound => i64::from(bound).saturating_add(by),
        };
        let step = if from == to { self.step.into() } else { 1 };
        Self::within(add(self.lowest, from), add(self.highest, to), step)
    }

    fn join(self, other: Self) -> Self {
        match (self.is_none(), other.is_none()) {
            (true, _) => other,
            (_, true) => self,
            _ => {
                let apart = u32::from(self.lowest.abs_diff(other.lowest));
                let step = common(common(self.step.into(), other.step.into()), apart);
                let (lowest, highest) = (
                    i64::from(self.lowest.min(other.lowest)),
                    i64::from(self.highest.max(other.highest)),
                );
                let steps = (highest - lowest) / i64::from(step.max(1));
                let is_few = step >= LEAST_STEP && steps <= MOST_STEPS.into();
                match steps <= 1 || is_few {
                    true => Self::within(lowest, highest, step),
                    false => Self::NONE,
                }
            }
        }
    }

    fn may_hit(self, bytes: u32, slot: i32) -> bool {
        if self.is_none() {
            return false;
        }
        let (first, last) = (i64::from(slot) - i64::from(bytes) + 1, i64::from(slot) + 7);
        let ends_before = self.highest != i16::MAX && i64::from(self.highest) < first;
        let starts_after = self.lowest != i16::MIN && i64::from(self.lowest) > last;
        if ends_before || starts_after || self.lowest == i16::MIN {
            return !(ends_before || starts_after);
        }
        let (lowest, step) = (i64::from(self.lowest), i64::from(self.step.max(1)));
        // The first of them that is not below what hits the slot.
        let steps = ((first - lowest).max(0) + step - 1) / step;
        lowest + steps * step <= last
    }
}

/// The largest step that has both; 0 is no step.
fn common(one: u32, other: u32) -> u32 {
    match other {
        0 => one,
        other => common(other, one % other),
    }
}

/// The bound plus a number, unless it is none.
fn add_bound(bound: i32, none: i32, by: i64) -> i64 {
    match bound == none {
        true => none.into(),
        false => i64::from(bound).saturating_add(by),
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CFA")?;
        if self.lowest != UNBOUNDED_BELOW {
            write!(f, "{:+}", self.lowest)?;
        }
        f.write_str("..")?;
        match self.highest {
            UNBOUNDED_ABOVE => Ok(()),
            highest => write!(f, "{highest:+}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the slots from -64 to 64 bytes at an offset of the span may hit.
    fn hit(span: Span, bytes: u32) -> Vec<i32> {
        let slots = (-64..=64).step_by(8);
        slots.filter(|slot| span.may_hit(bytes, *slot)).collect()
    }

    #[test]
    fn one_offset_hits_what_it_is_at() {
        assert_eq!(hit(Span::at(-16), 8), [-16]);
        assert_eq!(hit(Span::at(-16), 16), [-16, -8]);
        assert_eq!(hit(Span::at(-12), 8), [-16, -8]);
        assert_eq!(hit(Span::at(-12), 1), [-16]);
        assert_eq!(hit(Span::at(-20).plus(4, 4), 8), [-16]);
    }

    #[test]
    fn of_two_offsets_neither_hits_what_is_between() {
        let two = Span::at(-40).join(Span::at(-16));
        assert_eq!(hit(two, 8), [-40, -16]);
        assert_eq!(hit(two.plus(8, 8), 8), [-32, -8]);
        // Three that are not the same distance apart are not told apart.
        assert_eq!(hit(two.join(Span::at(8)), 8), [-40, -16, 8]);
        assert_eq!(
            hit(Span::at(-40).join(Span::at(-8)).join(Span::at(8)), 8),
            [-40, -24, -8, 8]
        );
    }

    #[test]
    fn an_index_hits_nothing() {
        let indexed = Span::at(-40).plus(0, 64);
        assert_eq!(hit(indexed, 8), [0_i32; 0]);
        assert_eq!(hit(indexed.join(Span::at(-16)), 8), [-16]);
        assert_eq!((indexed.lowest, indexed.highest), (-40, 24));
    }

    #[test]
    fn more_than_a_few_are_an_index() {
        let all = |count: i32, step: i32| {
            let places = (0..count).map(|n| Span::at(step * n - 64));
            hit(places.reduce(Span::join).unwrap(), 8)
        };
        assert_eq!(all(4, 16), [-64, -48, -32, -16]);
        assert_eq!(all(5, 16), [0_i32; 0]);
        assert_eq!(all(2, 8), [-64, -56]);
        assert_eq!(all(3, 8), [0_i32; 0]);
    }

    #[test]
    fn one_that_is_far_away_may_be_farther() {
        let far = Span::at(40_000);
        assert_eq!(hit(far, 8), [0_i32; 0]);
        assert!(far.may_hit(8, 40_000) && far.may_hit(8, 48_000));
        let below = Span::at(-40_000).plus(8, 8);
        assert_eq!(hit(below, 8), [0_i32; 0]);
        assert!(below.may_hit(8, -39_992));
    }
}
