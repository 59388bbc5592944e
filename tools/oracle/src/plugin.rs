// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where QEMU calls: installation, translation, execution, the end.

mod callbacks;
mod translate;

pub use translate::linked;

use crate::book::Damage;
use crate::counts::{Counts, Covered};
use crate::ffi::{self, Id};
use crate::registers::Registers;
use crate::shared::{shared, Options, Shared, SHARED};
use crate::vcpu::{Segment, Vcpu};

use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_uint, c_void, CStr};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::Mutex;

/// Checked by QEMU.
#[no_mangle]
pub static qemu_plugin_version: c_int = ffi::VERSION;

const CPUS: usize = 8;

struct Slot(UnsafeCell<Option<Box<Vcpu>>>);

// SAFETY: each is used only by callbacks of its own CPU, which are one after another,
// and at the end, when no CPU runs.
unsafe impl Sync for Slot {}

static VCPUS: [Slot; CPUS] = [const { Slot(UnsafeCell::new(None)) }; CPUS];

type Key = (u64, u32, u8, u16);
static SEGMENTS: Mutex<Option<HashMap<Key, &'static Segment>>> = Mutex::new(None);

fn vcpu(number: c_uint) -> Option<&'static mut Vcpu> {
    let slot = VCPUS.get(number as usize)?;
    // SAFETY: see `Slot`.
    unsafe { (*slot.0.get()).as_deref_mut() }
}

/// Called by QEMU when it loads the plugin.
///
/// # Safety
///
/// `arguments` are `count` strings.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    _info: *const ffi::Info,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let mut given = HashMap::new();
    for number in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: as the caller says.
        let text = unsafe { CStr::from_ptr(*arguments.add(number)) }.to_string_lossy();
        if let Some((name, value)) = text.split_once('=') {
            given.insert(name.to_owned(), value.to_owned());
        }
    }
    let made =
        options(&given).and_then(|options| Shared::new(options).map_err(|error| error.to_string()));
    let made = match made {
        Ok(made) => made,
        Err(why) => {
            eprintln!("oracle: {why}");
            return 1;
        }
    };
    let _ = SHARED.set(made);
    // SAFETY: the callbacks have the types that QEMU wants.
    unsafe {
        ffi::qemu_plugin_register_vcpu_init_cb(id, on_init);
        ffi::qemu_plugin_register_vcpu_tb_trans_cb(id, translate::on_translation);
        ffi::qemu_plugin_register_atexit_cb(id, on_exit, std::ptr::null_mut());
    }
    0
}

fn options(given: &HashMap<String, String>) -> Result<Options, String> {
    let get = |name: &str| given.get(name).cloned();
    let need = |name: &str| get(name).ok_or_else(|| format!("no option {name}="));
    let damage = get("damage").unwrap_or_else(|| "none".to_owned());
    let damage = Damage::NAMES.iter().find(|(name, _)| *name == damage);
    Ok(Options {
        build: PathBuf::from(need("build")?),
        slide: slide(&get("slide").unwrap_or_default())?,
        offsets: PathBuf::from(need("offsets")?),
        ram: need("ram")?,
        out: need("out")?,
        damage: damage.ok_or("unknown damage")?.1,
        seed: get("seed").and_then(|seed| seed.parse().ok()).unwrap_or(1),
    })
}

/// A number of bytes, hexadecimal; none is zero.
fn slide(text: &str) -> Result<u64, String> {
    match text {
        "" => Ok(0),
        _ => u64::from_str_radix(text, 16).map_err(|error| format!("slide={text}: {error}")),
    }
}

extern "C" fn on_init(_id: Id, number: c_uint) {
    let registers = match Registers::find() {
        Ok(registers) => registers,
        Err(why) => {
            eprintln!("oracle: {why}");
            return;
        }
    };
    if let Some(slot) = VCPUS.get(number as usize) {
        // SAFETY: no callback of this CPU has run.
        unsafe { *slot.0.get() = Some(Box::new(Vcpu::new(number, registers, shared()))) };
    }
}

/// The PCs of vmlinux that were judged.
fn covered() -> Covered {
    let (start, end) = shared().image.text;
    let mut seen = vec![false; ((end - start) / 4) as usize];
    let segments = SEGMENTS
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    for segment in segments.iter().flatten().map(|(_, segment)| segment) {
        if !segment.seen.load(Ordering::Relaxed) || segment.pc < start {
            continue;
        }
        let first = ((segment.pc - start) / 4) as usize;
        for flag in seen.iter_mut().skip(first).take(segment.count as usize) {
            *flag = true;
        }
    }
    Covered {
        seen: seen.iter().filter(|seen| **seen).count() as u64,
        all: seen.len() as u64,
    }
}

extern "C" fn on_exit(_id: Id, _data: *mut c_void) {
    let shared = shared();
    let mut counts = Counts::default();
    for number in 0..CPUS {
        if let Some(vcpu) = vcpu(number as c_uint) {
            counts.merge(&vcpu.counts);
        }
    }
    let covered = covered();
    let text = counts.text(&shared.image, covered);
    let json = counts.json(&shared.image, covered);
    for (kind, content) in [("txt", &text), ("json", &json)] {
        if let Err(error) = std::fs::write(format!("{}.{kind}", shared.out), content) {
            eprintln!("oracle: {}.{kind}: {error}", shared.out);
        }
    }
}
