// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Numbers out of an input, short ones first: a mutation of one byte is then a
//! change of one thing. After the last byte come zeros.

/// What is left of an input.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    /// A multiple of 8 in one byte, or any number in five.
    pub(crate) fn offset(&mut self) -> u32 {
        match self.u8() {
            255 => self.u32(),
            short => u32::from(short) * 8,
        }
    }

    /// The next bytes, as many as there are of these.
    pub(crate) fn slice(&mut self, len: usize) -> &'a [u8] {
        let (slice, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        slice
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let slice = self.slice(N);
        taken[..slice.len()].copy_from_slice(slice);
        taken
    }
}
