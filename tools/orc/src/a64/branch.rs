// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The immediate of direct branches, for code that will stand at another place.

/// A direct branch's immediate field: first bit and width.
fn field(word: u32) -> Option<(u32, u32)> {
    match word {
        w if w & 0x7c00_0000 == 0x1400_0000 => Some((0, 26)), // b, bl
        w if w & 0xff00_0000 == 0x5400_0000 => Some((5, 19)), // b.cond, bc.cond
        w if w & 0x7e00_0000 == 0x3400_0000 => Some((5, 19)), // cbz, cbnz
        w if w & 0x7e00_0000 == 0x3600_0000 => Some((5, 14)), // tbz, tbnz
        _ => None,
    }
}

/// How far a direct branch goes, in bytes; `None` for any other instruction.
pub fn distance(word: u32) -> Option<i64> {
    let (first, width) = field(word)?;
    let unused = 32 - width;
    let words = ((word >> first << unused) as i32) >> unused;
    Some(i64::from(words) * 4)
}

/// The direct branch `word`, going `distance` bytes; `None` when it can't.
pub fn with_distance(word: u32, distance: i64) -> Option<u32> {
    let (first, width) = field(word)?;
    let limit = 1_i64 << (width + 1);
    if distance % 4 != 0 || !(-limit..limit).contains(&distance) {
        return None;
    }
    let mask = (1_u32 << width) - 1;
    let immediate = (distance / 4) as u32 & mask;
    Some((word & !(mask << first)) | (immediate << first))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words from GNU as, with the distance that its listing shows.
    const VECTORS: [(u32, i64); 8] = [
        (0x1400_0000, 0),            // b .
        (0x17ff_ffff, -4),           // b .-4
        (0x9400_0400, 0x1000),       // bl .+0x1000
        (0x5400_0040, 8),            // b.eq .+8
        (0x54ff_ffe1, -4),           // b.ne .-4
        (0xb400_0085, 16),           // cbz x5, .+16
        (0x3707_ffe3, -4),           // tbnz w3, #0, .-4
        (0x1600_0000, -0x0800_0000), // b .-128M
    ];

    #[test]
    fn reads_distances() {
        for (word, expected) in VECTORS {
            assert_eq!(distance(word), Some(expected), "{word:#010x}");
        }
        assert_eq!(distance(0xd503_201f), None, "nop");
        assert_eq!(distance(0xd61f_0000), None, "br x0");
    }

    #[test]
    fn moves_branches() {
        for (word, _) in VECTORS {
            for (_, to) in VECTORS {
                if let Some(moved) = with_distance(word, to) {
                    assert_eq!(distance(moved), Some(to), "{word:#010x} to {to:#x}");
                }
            }
        }
        assert_eq!(with_distance(0x1400_0000, 2), None, "unaligned");
        assert_eq!(with_distance(0x1400_0000, 0x0800_0000), None, "too far");
        assert_eq!(with_distance(0x3700_0003, 0x8000), None, "too far for tbnz");
        assert_eq!(with_distance(0x3700_0003, -0x8000), Some(0x3704_0003));
    }
}
