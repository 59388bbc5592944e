// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The part of QEMU's plugin interface that the oracle uses, as `qemu-plugin.h` of
//! QEMU 10 declares it. Written by hand: it is small, and fixed by its version.

#![allow(missing_docs)]

use std::ffi::{c_char, c_int, c_uint, c_void};

/// The version of the interface, which QEMU checks when it loads the plugin.
pub const VERSION: c_int = 4;

pub type Id = u64;

pub const CB_NO_REGS: c_int = 0;
pub const CB_R_REGS: c_int = 1;
pub const MEM_W: c_int = 2;

#[repr(C)]
pub struct Tb {
    _opaque: [u8; 0],
}

#[repr(C)]
pub struct Insn {
    _opaque: [u8; 0],
}

#[repr(C)]
pub struct Register {
    _opaque: [u8; 0],
}

/// `qemu_info_t`; the two numbers of CPUs follow.
#[repr(C)]
pub struct Info {
    pub target_name: *const c_char,
    pub version_min: c_int,
    pub version_cur: c_int,
    pub system_emulation: bool,
    pub smp_vcpus: c_int,
    pub max_vcpus: c_int,
}

/// `qemu_plugin_reg_descriptor`.
#[repr(C)]
pub struct RegisterName {
    pub handle: *mut Register,
    pub name: *const c_char,
    pub feature: *const c_char,
}

/// `GArray` of glib: the public part.
#[repr(C)]
pub struct GArray {
    pub data: *mut c_char,
    pub len: c_uint,
}

/// `GByteArray` of glib.
#[repr(C)]
pub struct GByteArray {
    pub data: *mut u8,
    pub len: c_uint,
}

/// `qemu_plugin_mem_value`: the low and the high half of what was stored.
#[repr(C)]
pub struct MemValue {
    pub kind: c_int,
    pub low: u64,
    pub high: u64,
}

pub type VcpuCb = extern "C" fn(Id, c_uint);
pub type TransCb = extern "C" fn(Id, *mut Tb);
pub type ExecCb = extern "C" fn(c_uint, *mut c_void);
pub type MemCb = extern "C" fn(c_uint, u32, u64, *mut c_void);
pub type ExitCb = extern "C" fn(Id, *mut c_void);

extern "C" {
    pub fn qemu_plugin_register_vcpu_init_cb(id: Id, cb: VcpuCb);
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, cb: TransCb);
    pub fn qemu_plugin_register_atexit_cb(id: Id, cb: ExitCb, data: *mut c_void);
    pub fn qemu_plugin_tb_n_insns(tb: *const Tb) -> usize;
    pub fn qemu_plugin_tb_get_insn(tb: *const Tb, index: usize) -> *mut Insn;
    pub fn qemu_plugin_insn_data(insn: *const Insn, to: *mut c_void, len: usize) -> usize;
    pub fn qemu_plugin_insn_vaddr(insn: *const Insn) -> u64;
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut Insn,
        cb: ExecCb,
        flags: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_mem_cb(
        insn: *mut Insn,
        cb: MemCb,
        flags: c_int,
        rw: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_mem_get_value(info: u32) -> MemValue;
    pub fn qemu_plugin_get_registers() -> *mut GArray;
    pub fn qemu_plugin_read_register(handle: *mut Register, buf: *mut GByteArray) -> c_int;
    pub fn g_byte_array_new() -> *mut GByteArray;
    pub fn g_byte_array_set_size(array: *mut GByteArray, len: c_uint) -> *mut GByteArray;
    pub fn g_array_free(array: *mut GArray, free_segment: c_int) -> *mut c_char;
}
