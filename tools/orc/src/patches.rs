// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Sites that the running kernel rewrites: alternatives and jump labels.
//!
//! `struct alt_instr` (`arch/arm64/include/asm/alternative.h`) gives a site and
//! either what replaces it or the callback that writes it; `struct jump_entry`
//! (`include/linux/jump_label.h`) gives a site that is a NOP or a branch.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use object::elf;

use crate::a64::{branch, NOP};
use crate::elf::{Image, Section};
use crate::error::{Cause, Fault};
use crate::text::{Patch, Target};

/// `ARM64_CB_BIT` of `alt_instr::cpucap`: `alt_offset` is a callback.
const CALLBACK: u16 = 1 << 15;
const ALT_BYTES: usize = 12;
const JUMP_BYTES: usize = 16;

/// The kernel's callback that writes NOPs (`arch/arm64/kernel/alternative.c`),
/// which `alternative_has_cap_likely()` uses. What others write is not known.
const NOP_CALLBACK: &str = "alt_cb_patch_nops";

/// A patch, and the text section that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Index of the section.
    pub section: usize,
    /// The patch.
    pub patch: Patch,
}

/// All sites of a file.
#[derive(Debug, Default)]
pub struct Sites {
    /// By section and offset.
    pub sites: Vec<Site>,
    /// Sections, and the ranges in them that hold replacements, sorted.
    pub copied: Vec<(usize, Range<u64>)>,
}

/// Reads the sites of a file.
///
/// # Errors
///
/// A [`Fault`] when a table is malformed or a site is not text.
pub fn read(image: &Image<'_>) -> Result<Sites, Fault> {
    let known = Known::new(image)?;
    let mut alternatives = Vec::new();
    for table in Table::alternatives(image)? {
        let read = |at| table.alternative(at, &known);
        table.each(ALT_BYTES, read, &mut alternatives)?;
    }
    let mut all = Sites::default();
    for (site, source) in alternatives {
        all.sites.push(site);
        let range = |s: Source| (s.section, s.offset..s.offset + s.len);
        all.copied.extend(source.map(range));
    }
    for table in Table::jumps(image)? {
        table.each(JUMP_BYTES, |at| table.jump(at), &mut all.sites)?;
    }
    let by_place = |site: &Site| (site.section, site.patch.offset);
    all.sites.sort_by_key(by_place);
    all.copied
        .sort_by_key(|(section, range)| (*section, range.start));
    Ok(all)
}

impl Sites {
    /// The sites of a section, and the replacements in it.
    pub fn of(&self, section: usize) -> (Vec<Patch>, Vec<Range<u64>>) {
        let first = self.sites.partition_point(|site| site.section < section);
        let sites = self.sites[first..].iter();
        let sites = sites.take_while(|site| site.section == section);
        let first = self.copied.partition_point(|(at, _)| *at < section);
        let copied = self.copied[first..].iter();
        let copied = copied.take_while(|(at, _)| *at == section);
        (
            sites.map(|site| site.patch.clone()).collect(),
            copied.map(|(_, range)| range.clone()).collect(),
        )
    }
}

/// What is looked up once for all alternatives.
struct Known {
    /// Address of the callback that writes NOPs, in a linked file.
    nop_callback: Option<u64>,
    /// By section and offset, the targets that relocations give to branches.
    branches: BTreeMap<(usize, u64), Target>,
}

impl Known {
    fn new(image: &Image<'_>) -> Result<Self, Fault> {
        let mut branches = BTreeMap::new();
        let sections = image.sections.iter().enumerate();
        for (index, _) in sections.filter(|(_, s)| s.is_text()) {
            let relocated = relocated_branches(image, index)?.into_iter();
            branches.extend(relocated.map(|(offset, target)| ((index, offset), target)));
        }
        let nop_callback = image.symbol_address(NOP_CALLBACK);
        Ok(Self {
            nop_callback: nop_callback.filter(|_| !image.relocatable),
            branches,
        })
    }
}

/// One table of sites: part of a section, relocated.
pub(crate) struct Table<'i, 'd> {
    image: &'i Image<'d>,
    index: usize,
    bytes: Cow<'d, [u8]>,
    range: Range<usize>,
    /// Offsets of the distances to the callback that writes NOPs, by relocation.
    nop_callbacks: BTreeSet<u64>,
}

impl<'i, 'd> Table<'i, 'd> {
    fn alternatives(image: &'i Image<'d>) -> Result<Vec<Self>, Fault> {
        Self::sections(image, ".altinstructions")
    }

    fn jumps(image: &'i Image<'d>) -> Result<Vec<Self>, Fault> {
        Self::linked(image, "__jump_table")
    }

    /// A table that is a section of a module, and a part of `.rodata` between two
    /// symbols in a kernel.
    pub(crate) fn linked(image: &'i Image<'d>, name: &str) -> Result<Vec<Self>, Fault> {
        if image.relocatable {
            return Self::sections(image, name);
        }
        let start = image.symbol_address(&format!("__start_{name}"));
        let end = image.symbol_address(&format!("__stop_{name}"));
        let Some((start, end)) = start.zip(end) else {
            return Ok(Vec::new());
        };
        let holds = |s: &Section<'_>| s.is_loaded() && s.address <= start && end <= s.end();
        let index = image.sections.iter().position(|s| start < end && holds(s));
        Ok(index
            .map(|index| {
                let section = &image.sections[index];
                let first = (start - section.address) as usize;
                Self {
                    image,
                    index,
                    bytes: Cow::Borrowed(section.data),
                    range: first..first + (end - start) as usize,
                    nop_callbacks: BTreeSet::new(),
                }
            })
            .into_iter()
            .collect())
    }

    fn sections(image: &'i Image<'d>, name: &str) -> Result<Vec<Self>, Fault> {
        let mut found = Vec::new();
        for (index, section) in image.sections.iter().enumerate() {
            if section.name == name {
                let bytes = image.relocated(index)?;
                let relocations = image.relocations(index)?;
                let named = |symbol: usize| image.symbols[symbol].name == NOP_CALLBACK;
                let nops = relocations.iter().filter(|r| named(r.symbol));
                found.push(Self {
                    image,
                    index,
                    range: 0..bytes.len(),
                    bytes,
                    nop_callbacks: nops.map(|r| r.offset).collect(),
                });
            }
        }
        Ok(found)
    }

    /// Reads each entry of this size.
    pub(crate) fn each<T>(
        &self,
        size: usize,
        read: impl Fn(usize) -> Result<Option<T>, Fault>,
        sites: &mut Vec<T>,
    ) -> Result<(), Fault> {
        let whole = self.range.len() / size * size;
        if whole != self.range.len() {
            return Err(self.fault(self.range.start + whole, Cause::TruncatedEntry));
        }
        for at in self.range.clone().step_by(size) {
            sites.extend(read(at)?);
        }
        Ok(())
    }

    pub(crate) fn fault(&self, at: usize, cause: Cause) -> Fault {
        Fault::new(&*self.image.sections[self.index].name, at as u64, cause)
    }

    /// The 16 bits at this offset.
    pub(crate) fn short(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    /// The section of text, and the offset in it, that the 32-bit distance at this
    /// offset points to.
    pub(crate) fn text(&self, at: usize, cause: Cause) -> Result<(usize, u64), Fault> {
        let text = self.image.text_at(self.pointee(at));
        text.ok_or_else(|| self.fault(at, cause))
    }

    /// The address that the 32-bit distance at this offset points to.
    fn pointee(&self, at: usize) -> u64 {
        let mut distance = [0; 4];
        distance.copy_from_slice(&self.bytes[at..at + 4]);
        let place = self.image.sections[self.index].address + at as u64;
        place.wrapping_add_signed(i64::from(i32::from_le_bytes(distance)))
    }

    /// The site of an alternative, and where its replacement stands.
    fn alternative(
        &self,
        at: usize,
        known: &Known,
    ) -> Result<Option<(Site, Option<Source>)>, Fault> {
        let [len, alt_len] = [self.bytes[at + 10], self.bytes[at + 11]].map(u64::from);
        let capability = self.short(at + 8);
        let Some((section, offset)) = self.site(at, len)?.filter(|_| len != 0) else {
            return Ok(None);
        };
        let mut source = None;
        let (replacement, targets) = if capability & CALLBACK == 0 {
            if alt_len != len {
                return Err(self.fault(at, Cause::ReplacementLength));
            }
            let address = self.pointee(at + 4);
            let from = self.image.text_at(address);
            let (other, from) = from.ok_or_else(|| self.fault(at, Cause::ReplacementNotText))?;
            let from = source.insert(Source {
                section: other,
                offset: from,
                len,
            });
            self.replacement(at, from, (section, offset), known)?
        } else if self.is_nop_callback(at + 4, known) {
            (vec![NOP; (len / 4) as usize], Vec::new())
        } else {
            (Vec::new(), Vec::new())
        };
        let patch = Patch {
            offset,
            len,
            replacement,
            targets,
        };
        Ok(Some((Site { section, patch }, source)))
    }

    /// A jump label's site holds either a NOP or the branch: we return the one
    /// that the file does not hold.
    fn jump(&self, at: usize) -> Result<Option<Site>, Fault> {
        let Some((section, offset)) = self.site(at, 4)? else {
            return Ok(None);
        };
        let (target_section, target) = self.text(at + 4, Cause::TargetNotText)?;
        let text = &self.image.sections[section];
        let is_nop = word(text.data, offset) == Some(NOP);
        let mut targets = Vec::new();
        let replacement = match is_nop {
            false => Some(NOP),
            true if target_section == section => {
                branch::with_distance(BRANCH, target as i64 - offset as i64)
            }
            true => {
                let target = Target::Section {
                    index: target_section,
                    offset: target,
                };
                targets.push((offset, target));
                Some(BRANCH)
            }
        };
        Ok(Some(Site {
            section,
            patch: Patch {
                offset,
                len: 4,
                replacement: replacement.into_iter().collect(),
                targets,
            },
        }))
    }

    /// The site of the entry at this offset, `len` bytes of text. `None` for one in
    /// a section that is not executed where it is (`.idmap.text` in an object).
    fn site(&self, at: usize, len: u64) -> Result<Option<(usize, u64)>, Fault> {
        let address = self.pointee(at);
        let Some((section, offset)) = self.image.text_at(address) else {
            return match self.image.is_loaded(address) {
                true => Ok(None),
                false => Err(self.fault(at, Cause::SiteNotText)),
            };
        };
        let size = self.image.sections[section].data.len() as u64;
        if offset % 4 != 0 || len % 4 != 0 || offset + len > size {
            return Err(self.fault(at, Cause::SiteNotWhole));
        }
        Ok(Some((section, offset)))
    }

    fn is_nop_callback(&self, at: usize, known: &Known) -> bool {
        match known.nop_callback {
            Some(address) => self.pointee(at) == address,
            None => self.nop_callbacks.contains(&(at as u64)),
        }
    }

    /// The words of a replacement as `get_alt_insn()` writes them at the site, and
    /// the targets of branches in it that relocations give; no words when a branch
    /// can't be told from here.
    fn replacement(
        &self,
        at: usize,
        source: &Source,
        site: (usize, u64),
        known: &Known,
    ) -> Result<Replacement, Fault> {
        let text = &self.image.sections[source.section];
        let (mut words, mut targets) = (Vec::new(), Vec::new());
        for distance in (0..source.len).step_by(4) {
            let from = source.offset + distance;
            let place = site.1 + distance;
            let old =
                word(text.data, from).ok_or_else(|| self.fault(at, Cause::ReplacementCutOff))?;
            let unmoved = branch::distance(old).map(|by| from.wrapping_add_signed(by));
            let outside = unmoved.filter(|to| !source.holds(*to));
            let in_object = outside.filter(|_| self.image.relocatable && source.section != site.0);
            let in_object = in_object.map(Target::Local);
            let relocated = known.branches.get(&(source.section, from));
            let new = match relocated.or(in_object.as_ref()) {
                Some(Target::Local(to)) if source.section == site.0 => {
                    branch::with_distance(old, *to as i64 - place as i64)
                }
                Some(target) => {
                    targets.push((place, target.seen_from(source.section, site.0)));
                    Some(old)
                }
                None => self.moved(old, source, from, (site.0, place)),
            };
            match new {
                Some(new) => words.push(new),
                None => return Ok((Vec::new(), Vec::new())),
            }
        }
        Ok((words, targets))
    }

    /// A word of a replacement at its site.
    fn moved(&self, old: u32, source: &Source, from: u64, site: (usize, u64)) -> Option<u32> {
        let Some(by) = branch::distance(old) else {
            return Some(old);
        };
        let target = from.wrapping_add_signed(by);
        if source.holds(target) {
            return Some(old);
        }
        let to = self.image.sections[source.section]
            .address
            .wrapping_add(target);
        let place = self.image.sections[site.0].address + site.1;
        branch::with_distance(old, to.wrapping_sub(place) as i64)
    }
}

/// The words of a replacement, and targets in it as [`Patch::targets`] has them.
type Replacement = (Vec<u32>, Vec<(u64, Target)>);

/// `b .`
const BRANCH: u32 = 0x1400_0000;

/// Where the replacement of an alternative stands.
#[derive(Clone, Copy)]
struct Source {
    section: usize,
    offset: u64,
    len: u64,
}

impl Source {
    /// Whether a branch to there stays in the replacement, or goes on after it.
    fn holds(&self, target: u64) -> bool {
        (self.offset..=self.offset + self.len).contains(&target)
    }
}

fn word(bytes: &[u8], offset: u64) -> Option<u32> {
    let bytes = bytes.get(usize::try_from(offset).ok()?..)?;
    bytes.first_chunk().map(|word| u32::from_le_bytes(*word))
}

/// The branches of a section whose target a relocation gives.
///
/// # Errors
///
/// A [`Fault`] when a relocation is malformed.
pub fn relocated_branches(image: &Image<'_>, section: usize) -> Result<Vec<(u64, Target)>, Fault> {
    let relocations = image.relocations(section)?;
    let branches = relocations.iter().filter(|r| is_branch(r.kind));
    let targets = branches.map(|r| {
        let symbol = &image.symbols[r.symbol];
        let address = symbol.address.wrapping_add_signed(r.addend);
        let in_text = symbol.section.and_then(|index| {
            let text = image.sections.get(index).filter(|s| s.is_text())?;
            Some((index, address.checked_sub(text.address)?))
        });
        let target = match in_text {
            Some((index, offset)) if index == section => Target::Local(offset),
            Some((index, offset)) => Target::Section { index, offset },
            None => Target::External,
        };
        (r.offset, target)
    });
    Ok(targets.collect())
}

/// Whether a relocation of this type gives a branch its target.
pub fn is_branch(kind: u32) -> bool {
    [
        elf::R_AARCH64_CALL26,
        elf::R_AARCH64_JUMP26,
        elf::R_AARCH64_CONDBR19,
        elf::R_AARCH64_TSTBR14,
    ]
    .contains(&elf::RelocationType(kind))
}
