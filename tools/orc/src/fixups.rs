// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The exception table: instructions that may fault, and where the kernel
//! continues when they do.
//!
//! `struct exception_table_entry` (`arch/arm64/include/asm/extable.h`) gives the
//! two places and, in `data`, the registers that the handler of its type writes
//! (`arch/arm64/mm/extable.c`). `struct kvm_exception_table_entry`
//! (`arch/arm64/include/asm/kvm_asm.h`) has the two places alone.

use crate::elf::Image;
use crate::error::{Cause, Fault};
use crate::patches::Table;
use crate::text::{Fixup, Target};

const ENTRY_BYTES: usize = 12;
const KVM_ENTRY_BYTES: usize = 8;

/// `EX_TYPE_UACCESS_CPY`: its `data` names no register.
const TYPE_COPY: u16 = 4;

/// A fixup, and the text section that the faulting instruction is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Index of the section.
    pub section: usize,
    /// The fixup.
    pub fixup: Fixup,
}

/// All fixups of a file, by section and offset.
///
/// # Errors
///
/// A [`Fault`] when the table is malformed, or names a place that is not text.
pub fn read(image: &Image<'_>) -> Result<Vec<Site>, Fault> {
    let mut sites = Vec::new();
    for table in Table::linked(image, "__ex_table")? {
        table.each(ENTRY_BYTES, |at| entry(&table, at).map(Some), &mut sites)?;
    }
    for table in Table::linked(image, "__kvm_ex_table")? {
        table.each(KVM_ENTRY_BYTES, |at| kvm_entry(&table, at), &mut sites)?;
    }
    sites.sort_by_key(|site| (site.section, site.fixup.offset));
    Ok(sites)
}

/// Those of one section.
pub fn of(sites: &[Site], section: usize) -> Vec<Fixup> {
    let first = sites.partition_point(|site| site.section < section);
    let sites = sites[first..].iter();
    let sites = sites.take_while(|site| site.section == section);
    sites.map(|site| site.fixup).collect()
}

/// An entry of the kernel proper.
fn entry(table: &Table<'_, '_>, at: usize) -> Result<Site, Fault> {
    let data = table.short(at + 10);
    // pt_regs_write_reg() ignores 31, the zero register.
    let written = match table.short(at + 8) {
        TYPE_COPY => 0,
        _ => ((1 << (data & 31)) | (1 << ((data >> 5) & 31))) & 0x7fff_ffff,
    };
    site(table, at, written)
}

/// An entry of KVM: `__kvm_unexpected_el2_exception()` writes no register.
fn kvm_entry(table: &Table<'_, '_>, at: usize) -> Result<Option<Site>, Fault> {
    site(table, at, 0).map(Some)
}

fn site(table: &Table<'_, '_>, at: usize, written: u32) -> Result<Site, Fault> {
    let (section, offset) = table.text(at, Cause::FaultNotText)?;
    let (to_section, to) = table.text(at + 4, Cause::FixupNotText)?;
    let target = match to_section == section {
        true => Target::Local(to),
        false => Target::Section {
            index: to_section,
            offset: to,
        },
    };
    Ok(Site {
        section,
        fixup: Fixup {
            offset,
            target,
            written,
        },
    })
}
