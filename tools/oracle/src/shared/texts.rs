// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Text that comes and goes: modules and BPF.

use super::{lock, Shared};
use crate::book::Row;
use crate::memory::Space;

use orc::bpf;
use orc::reason::Reason;
#[cfg(not(feature = "before"))]
use orc::rule::RawRule;
use orc::rule::{Frame, Rule};
use std::num::NonZero;

/// The rule of BPF code, which has words.
#[cfg(not(feature = "before"))]
fn unpack(raw: RawRule) -> Row {
    raw.unpack().ok_or(Reason::BpfOther)
}

#[cfg(feature = "before")]
fn unpack(rule: Rule) -> Row {
    Ok(rule)
}

/// A section of a module, as the loader has it.
struct Section {
    name: String,
    kind: u32,
    flags: u64,
    address: u64,
    bytes: u64,
    link: u64,
}

/// Size of `Elf64_Shdr`.
const SECTION_BYTES: u64 = 64;
/// `SHF_ALLOC | SHF_EXECINSTR`.
const EXECUTABLE: u64 = 6;

impl Section {
    fn is_text(&self) -> bool {
        self.flags & EXECUTABLE == EXECUTABLE && self.kind == 1 && self.bytes != 0
    }

    fn is_plt(&self) -> bool {
        matches!(&*self.name, ".plt" | ".init.plt")
    }

    /// By way of which traced functions call `ftrace_caller`.
    fn is_ftrace_plt(&self) -> bool {
        self.name.ends_with("text.ftrace_trampoline")
    }
}

/// The table of a text section: the one that is linked to it, or else that with its
/// name.
fn table_of(sections: &[Section], number: usize) -> Option<&Section> {
    let text = sections.get(number)?;
    let mut tables = sections
        .iter()
        .filter(|section| section.name.starts_with(".orc_unwind"));
    let linked = tables.clone().find(|table| table.link == number as u64);
    linked.or_else(|| {
        tables.find(|table| table.link == 0 && table.name[".orc_unwind".len()..] == text.name)
    })
}

fn read_sections(space: &mut Space, header: u64, sections: u64) -> Option<Vec<Section>> {
    let ids = space.read(header + 56)?.to_le_bytes();
    let count = u64::from(u16::from_le_bytes([ids[4], ids[5]]));
    let names = u64::from(u16::from_le_bytes([ids[6], ids[7]]));
    let names = header + space.read(sections + SECTION_BYTES * names + 24)?;
    let mut list = Vec::new();
    for number in 0..count {
        let at = sections + SECTION_BYTES * number;
        let name = names + u64::from(space.read32(at)?);
        list.push(Section {
            name: space.string(name)?,
            kind: space.read32(at + 4)?,
            flags: space.read(at + 8)?,
            address: space.read(at + 16)?,
            bytes: space.read(at + 32)?,
            link: space.read32(at + 40)?.into(),
        });
    }
    Some(list)
}

impl Shared {
    /// `unwind_orc_module_finalize(hdr, sechdrs, mod)` is entered: a module's sections
    /// are at their final addresses.
    pub fn module_loaded(
        &self,
        space: &mut Space,
        header: u64,
        sections: u64,
        module: u64,
    ) -> Option<()> {
        space.forget();
        let sections = read_sections(space, header, sections)?;
        self.module_unloaded(module);
        let mut ranges = Vec::new();
        self.change_book(|book| {
            for (number, section) in sections.iter().enumerate() {
                let (start, size) = (section.address, section.bytes);
                if section.is_text() {
                    let Some(table) = table_of(&sections, number) else {
                        continue;
                    };
                    let bytes = space.bytes(table.address, table.bytes as usize);
                    book.add(start, size, &bytes.unwrap_or_default());
                } else if section.is_plt() {
                    // Branches that leave all as it is: see collect_plts() of the kernel.
                    book.add_by(start, size, |_| Ok(Rule::Frame(Frame::ENTRY)));
                } else if section.is_ftrace_plt() {
                    #[cfg(not(feature = "before"))]
                    book.add_by(start, size, |_| unpack(RawRule::FTRACE_START));
                } else {
                    continue;
                }
                ranges.push((start, start + size));
            }
        });
        for range in &ranges {
            self.is_taken(*range);
        }
        lock(&self.modules).insert(module, ranges);
        Some(())
    }

    /// There is something else now where a module's init text was, which goes without a word:
    /// it is not to go with that module.
    fn is_taken(&self, (start, end): (u64, u64)) {
        for ranges in lock(&self.modules).values_mut() {
            ranges.retain(|(low, high)| *low >= end || *high <= start);
        }
    }

    /// `unwind_orc_module_cleanup(mod)` is entered.
    pub fn module_unloaded(&self, module: u64) {
        if let Some(ranges) = lock(&self.modules).remove(&module) {
            self.change_book(|book| {
                for (low, high) in ranges {
                    book.remove(low, high);
                }
            });
        }
    }

    /// `bpf_ksym_add(ksym)` is entered: a program or a trampoline has been made.
    pub fn bpf_added(&self, space: &mut Space, ksym: u64) -> Option<()> {
        let ksyms = &self.offsets.ksyms;
        let start = space.read(ksym + ksyms.start)?;
        let end = space.read(ksym + ksyms.end)?;
        let [entry_end, fp_start, fp_end, frame_size] = [
            ksyms.entry_end,
            ksyms.fp_start,
            ksyms.fp_end,
            ksyms.frame_size,
        ]
        .map(|offset| space.read32(ksym + offset));
        let frame_size = NonZero::new(frame_size?);
        let callsite =
            space.read32(ksym + (ksyms.callsite & !3))? >> (8 * (ksyms.callsite & 3)) & 0xff != 0;
        let body = match callsite {
            #[cfg(not(feature = "before"))]
            true => bpf::trampoline(frame_size).and_then(unpack),
            #[cfg(feature = "before")]
            true => Err(Reason::BpfOther),
            false => bpf::body(frame_size).and_then(unpack),
        };
        let size = end.checked_sub(start).filter(|size| *size < 1 << 24)?;
        let (entry_end, fp_start, fp_end) = (entry_end?.into(), fp_start?.into(), fp_end?.into());
        self.is_taken((start, end));
        self.change_book(|book| {
            book.remove(start, end);
            book.add_by(start, size, |offset| {
                if offset < entry_end {
                    Ok(Rule::Frame(Frame::ENTRY))
                } else if offset < fp_start || offset >= fp_end {
                    Err(Reason::BpfOther)
                } else {
                    body
                }
            });
            if callsite {
                book.add_trampoline(start + fp_start, start + fp_end);
            }
        });
        Some(())
    }

    /// `bpf_ksym_del(ksym)` is entered.
    pub fn bpf_gone(&self, space: &mut Space, ksym: u64) -> Option<()> {
        let start = space.read(ksym + self.offsets.ksyms.start)?;
        let end = space.read(ksym + self.offsets.ksyms.end)?;
        self.change_book(|book| book.remove(start, end));
        Some(())
    }
}
