// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The guest's memory, read where QEMU keeps it: in a file that both map.
//!
//! `qemu_plugin_read_memory_vaddr` would do, but takes a microsecond for each word.
//! Addresses are translated by the guest's own page tables.

use std::fs::File;
use std::os::fd::AsRawFd;

/// Where the RAM of QEMU's machine `virt` starts.
const RAM_START: u64 = 0x4000_0000;
const PAGE: u64 = 4096;
/// Pages that a [`Space`] remembers.
const REMEMBERED: usize = 256;

/// All of a guest's RAM.
#[derive(Clone, Copy)]
pub struct Ram {
    start: *const u8,
    bytes: u64,
}

// SAFETY: the mapping is never taken down, and all reads of it are of whole words.
unsafe impl Send for Ram {}
// SAFETY: as above.
unsafe impl Sync for Ram {}

impl Ram {
    /// Maps the file that backs the guest's memory.
    pub fn open(path: &str) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let len = usize::try_from(bytes).map_err(std::io::Error::other)?;
        // SAFETY: a new mapping, which nothing else knows of.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Self {
            start: start.cast::<u8>(),
            bytes,
        })
    }

    /// Where eight bytes of physical memory are.
    fn at(&self, physical: u64) -> Option<*const u64> {
        let offset = physical.checked_sub(RAM_START)?;
        if offset % 8 != 0 || offset.checked_add(8)? > self.bytes {
            return None;
        }
        // SAFETY: within the mapping.
        Some(unsafe { self.start.add(offset as usize) }.cast())
    }

    fn word(&self, physical: u64) -> Option<u64> {
        // SAFETY: aligned, within the mapping; the guest may write it at any time.
        self.at(physical).map(|at| unsafe { at.read_volatile() })
    }
}

/// Kernel memory, as one CPU sees it.
pub struct Space {
    ram: Ram,
    root: u64,
    levels: u32,
    pages: Box<[(u64, *const u64); REMEMBERED]>,
}

impl Space {
    /// Nothing can be read until [`Space::set_root`].
    pub fn new(ram: Ram) -> Self {
        Self {
            ram,
            root: 0,
            levels: 0,
            pages: Box::new([(u64::MAX, std::ptr::null()); REMEMBERED]),
        }
    }

    /// Takes `TTBR1_EL1` and `TCR_EL1`, and forgets what it has translated.
    pub fn set_root(&mut self, ttbr1: u64, tcr: u64) {
        let va_bits = 64 - ((tcr >> 16) & 63) as u32;
        self.root = ttbr1 & 0x0000_ffff_ffff_ffc0;
        self.levels = va_bits.saturating_sub(12).div_ceil(9);
        self.forget();
    }

    /// Forgets what was translated: pages may be others now.
    pub fn forget(&mut self) {
        for page in self.pages.iter_mut() {
            page.0 = u64::MAX;
        }
    }

    /// The aligned eight bytes at an address of the kernel.
    pub fn read(&mut self, address: u64) -> Option<u64> {
        // SAFETY: `place` gives a whole word of the mapping.
        self.place(address).map(|at| unsafe { at.read_volatile() })
    }

    /// Four bytes.
    pub fn read32(&mut self, address: u64) -> Option<u32> {
        let word = self.read(address & !7)?;
        Some((word >> (8 * (address & 4))) as u32)
    }

    /// Any bytes, as many as `len`.
    pub fn bytes(&mut self, address: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len + 16);
        let mut at = address & !7;
        while at < address.checked_add(len as u64)? {
            bytes.extend_from_slice(&self.read(at)?.to_le_bytes());
            at += 8;
        }
        bytes.drain(..(address & 7) as usize);
        bytes.truncate(len);
        Some(bytes)
    }

    /// A string, of at most 64 bytes.
    pub fn string(&mut self, address: u64) -> Option<String> {
        let mut text = Vec::new();
        for at in 0..64 {
            let byte = (self.read((address + at) & !7)? >> (8 * ((address + at) & 7))) as u8;
            if byte == 0 {
                break;
            }
            text.push(byte);
        }
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// Where the aligned eight bytes at an address are in this process.
    pub fn place(&mut self, address: u64) -> Option<*const u64> {
        if address % 8 != 0 || address >> 55 & 1 == 0 {
            return None;
        }
        let page = address & !(PAGE - 1);
        let slot = (page / PAGE) as usize % REMEMBERED;
        if self.pages[slot].0 != page {
            let physical = self.translate(page)?;
            self.pages[slot] = (page, self.ram.at(physical)?);
        }
        // SAFETY: within the page, all of which is within the mapping.
        Some(unsafe { self.pages[slot].1.add((address % PAGE / 8) as usize) })
    }

    /// The physical address of a page.
    fn translate(&self, page: u64) -> Option<u64> {
        let mut table = self.root;
        for level in (0..self.levels).rev() {
            let shift = 12 + 9 * level;
            let top = level + 1 == self.levels;
            let index_bits = match top {
                true => 64 - shift,
                false => 9,
            };
            let mut index = page >> shift & ((1 << index_bits.min(9)) - 1);
            if top {
                // The top table has as many entries as the address has bits left.
                index &= (1 << self.top_bits()) - 1;
            }
            let entry = self.ram.word(table + index * 8)?;
            if entry & 1 == 0 {
                return None;
            }
            let next = entry & 0x0000_ffff_ffff_f000;
            if level == 0 {
                return Some(next);
            }
            if entry & 2 == 0 {
                let block = (1_u64 << shift) - 1;
                return Some(next & !block | page & block);
            }
            table = next;
        }
        None
    }

    fn top_bits(&self) -> u32 {
        // 48 and 52 bits of address: nine and four bits; 39: nine.
        match self.levels {
            5 => 4,
            _ => 9,
        }
    }
}
