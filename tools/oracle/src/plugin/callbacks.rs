// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What QEMU calls while the guest runs.

use super::vcpu;
use crate::ffi;
use crate::registers::Reg;
use crate::shared::shared;
use crate::vcpu::Segment;

use std::ffi::{c_uint, c_void};

pub extern "C" fn on_head(number: c_uint, data: *mut c_void) {
    // SAFETY: a segment, which lives as long as the process.
    let segment = unsafe { &*data.cast::<Segment>() };
    if let Some(vcpu) = vcpu(number) {
        vcpu.head(segment);
    }
}

pub extern "C" fn on_change(number: c_uint, data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.will_change(data as usize as u8);
    }
}

pub extern "C" fn on_store(number: c_uint, info: u32, address: u64, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        // As qemu_plugin_mem_size_shift(), without the call: a MemOpIdx, its size first.
        vcpu.stored(address, 1 << (info >> 4 & 7));
        if vcpu.is_kept(address) {
            // SAFETY: this is the callback of a store.
            let value = unsafe { ffi::qemu_plugin_mem_get_value(info) };
            vcpu.divert(address, value.low);
            if info >> 4 & 7 == 4 {
                vcpu.divert(address.wrapping_add(8), value.high);
            }
        }
    }
}

pub extern "C" fn on_call(number: c_uint, data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.call(data as u64);
    }
}

pub extern "C" fn on_ret(number: c_uint, data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.ret(30, data as u64);
    }
}

pub extern "C" fn on_ret_by(number: c_uint, data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        let word = (data as u64 >> 32) as u32;
        vcpu.ret((word >> 5 & 31) as u8, 0);
    }
}

pub extern "C" fn on_eret(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.exception_return();
    }
}

pub extern "C" fn on_vector(number: c_uint, data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.exception(data as u64);
    }
}

pub extern "C" fn on_switch(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.switch();
    }
}

pub extern "C" fn on_ftrace_caller(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.ftrace_caller();
    }
}

pub extern "C" fn on_module(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.module_loaded();
    }
}

pub extern "C" fn on_module_gone(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        let module = vcpu.register(Reg::X(0));
        shared().module_unloaded(module);
    }
}

pub extern "C" fn on_bpf(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.bpf(true);
    }
}

pub extern "C" fn on_bpf_gone(number: c_uint, _data: *mut c_void) {
    if let Some(vcpu) = vcpu(number) {
        vcpu.bpf(false);
    }
}
