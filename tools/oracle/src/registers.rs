// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The registers of the CPU that a callback runs on.

use crate::ffi;

use std::collections::HashMap;
use std::ffi::CStr;

/// A register that the oracle reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reg {
    /// A general one.
    X(u8),
    /// x29.
    X29,
    /// x30.
    X30,
    /// SP.
    Sp,
    /// PSTATE.
    Cpsr,
    /// `SP_EL0`: the kernel's `current`.
    SpEl0,
    /// `ELR_EL1`.
    Elr,
    /// `SPSR_EL1`.
    Spsr,
    /// `TTBR1_EL1`.
    Ttbr1,
    /// `TCR_EL1`.
    Tcr,
}

/// The handles by which QEMU knows them.
pub struct Registers {
    handles: [*mut ffi::Register; 31 + 7],
    buffer: *mut ffi::GByteArray,
}

impl Registers {
    /// Those of the CPU that is being made.
    pub fn find() -> Result<Self, String> {
        let mut known = HashMap::new();
        // SAFETY: QEMU gives an array of descriptors with names that stay.
        unsafe {
            let array = ffi::qemu_plugin_get_registers();
            let first = (*array).data.cast::<ffi::RegisterName>();
            for number in 0..(*array).len as usize {
                let name = &*first.add(number);
                known.insert(
                    CStr::from_ptr(name.name).to_string_lossy().into_owned(),
                    name.handle,
                );
            }
            ffi::g_array_free(array, 1);
        }
        let mut handles = [std::ptr::null_mut(); 38];
        let general = (0..31).map(|number| format!("x{number}"));
        let others = [
            "sp",
            "cpsr",
            "SP_EL0",
            "ELR_EL1",
            "SPSR_EL1",
            "TTBR1_EL1",
            "TCR_EL1",
        ];
        for (handle, name) in handles
            .iter_mut()
            .zip(general.chain(others.map(str::to_owned)))
        {
            *handle = *known
                .get(&name)
                .ok_or_else(|| format!("QEMU has no register {name}"))?;
        }
        Ok(Self {
            handles,
            // SAFETY: a new array.
            buffer: unsafe { ffi::g_byte_array_new() },
        })
    }

    /// The value of a register. Only in a callback that was asked for with registers.
    pub fn read(&mut self, register: Reg) -> u64 {
        let number = match register {
            Reg::X(number) => usize::from(number),
            Reg::X29 => 29,
            Reg::X30 => 30,
            Reg::Sp => 31,
            Reg::Cpsr => 32,
            Reg::SpEl0 => 33,
            Reg::Elr => 34,
            Reg::Spsr => 35,
            Reg::Ttbr1 => 36,
            Reg::Tcr => 37,
        };
        // SAFETY: the handle is one of QEMU's, the buffer ours.
        unsafe {
            ffi::g_byte_array_set_size(self.buffer, 0);
            ffi::qemu_plugin_read_register(self.handles[number], self.buffer);
            let len = ((*self.buffer).len as usize).min(8);
            let mut bytes = [0; 8];
            std::ptr::copy_nonoverlapping((*self.buffer).data, bytes.as_mut_ptr(), len);
            u64::from_le_bytes(bytes)
        }
    }
}
