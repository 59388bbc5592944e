// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The walk with the rules of a table that nobody has accepted.

use crate::bytes::Bytes;
use crate::task::{Task, Text};
use crate::{table, walk};

use orc::reason::Reason;
use orc::rule::RawRule;
use orc::table::Table;

/// Walks over the task that the input describes, after the parts of a table.
pub fn run(input: &[u8]) {
    let mut bytes = Bytes(input);
    let len = bytes.u16() & 0x1ff;
    let (table, _) = table::make(&mut Bytes(bytes.slice(usize::from(len))));
    if let Some(table) = Table::accepted(&table) {
        walk::check_all(Task::read(table, &mut bytes));
    }
}

impl Text for Table<'_> {
    fn rule(&self, offset: u64) -> Result<RawRule, Reason> {
        let offset = u32::try_from(offset).map_err(|_| Reason::NoRow)?;
        self.find(offset).ok_or(Reason::NoRow)
    }
}
