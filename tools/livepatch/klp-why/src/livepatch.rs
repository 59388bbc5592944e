// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What `/sys/kernel/livepatch` says: the patches, and what each replaces.

use std::io;
use std::path::Path;

use crate::error::Error;
use crate::roots::{directories, is_gone, read, Roots};

/// A live patch that is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The name of its module.
    pub name: String,
    /// Whether it is applied, or on the way to be. In a transition this is its target:
    /// the kernel turns it around when the transition is reversed.
    pub enabled: bool,
    /// Whether tasks are being switched.
    pub transition: bool,
    /// The place among the patches, for kernels that say (6.14).
    pub stack_order: Option<u32>,
    /// What it replaces.
    pub objects: Vec<Object>,
}

/// `vmlinux` or a module, and the functions replaced in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// `vmlinux`, or the name of a module.
    pub name: String,
    /// Whether functions are replaced now: not while the module is not loaded.
    pub patched: bool,
    /// The functions.
    pub functions: Vec<Function>,
}

/// A function that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    /// Its symbol.
    pub name: String,
    /// Which one of this name, from 1.
    pub position: usize,
}

/// The directory of vmlinux's functions.
pub const VMLINUX: &str = "vmlinux";

impl Patch {
    /// How many functions it replaces.
    pub fn functions(&self) -> usize {
        self.objects.iter().map(|o| o.functions.len()).sum()
    }
}

/// Reads all patches, sorted by name.
///
/// # Errors
///
/// There is no livepatch, or its files can't be read.
pub fn read_all(roots: &Roots) -> Result<Vec<Patch>, Error> {
    let directory = roots.livepatch();
    let names = directories(&directory).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::NoLivepatch(directory.clone()),
        _ => Error::io(&directory)(e),
    })?;
    let mut patches = Vec::new();
    for name in names {
        let path = directory.join(&name);
        match read_one(roots, &path, name) {
            Ok(patch) => patches.push(patch),
            Err(e) if is_gone(&e) => {}
            Err(e) => return Err(Error::io(&path)(e)),
        }
    }
    Ok(patches)
}

/// Whether any patch is in transition: all that waiting for it needs, and no more than
/// anybody may read.
///
/// # Errors
///
/// As [`read_all`].
pub fn in_transition(roots: &Roots) -> Result<bool, Error> {
    let directory = roots.livepatch();
    let names = directories(&directory).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::NoLivepatch(directory.clone()),
        _ => Error::io(&directory)(e),
    })?;
    for name in names {
        let path = directory.join(name).join("transition");
        match flag(&path) {
            Ok(false) => {}
            Ok(true) => return Ok(true),
            Err(e) if is_gone(&e) => {}
            Err(e) => return Err(Error::io(&path)(e)),
        }
    }
    Ok(false)
}

fn read_one(roots: &Roots, path: &Path, name: String) -> io::Result<Patch> {
    // `enabled` is read on both sides of `transition`: a reversal in between would give
    // the wrong target.
    let (enabled, transition) = loop {
        let before = flag(&path.join("enabled"))?;
        let transition = flag(&path.join("transition"))?;
        if flag(&path.join("enabled"))? == before {
            break (before, transition);
        }
    };
    let stack_order = read(&path.join("stack_order")).ok();
    let mut objects = Vec::new();
    for object in directories(path)? {
        match read_object(roots, &path.join(&object), object) {
            Ok(object) => objects.push(object),
            Err(e) if is_gone(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(Patch {
        name,
        enabled,
        transition,
        stack_order: stack_order
            .and_then(|order| String::from_utf8(order).ok()?.trim().parse().ok()),
        objects,
    })
}

fn read_object(roots: &Roots, path: &Path, name: String) -> io::Result<Object> {
    let patched = match flag(&path.join("patched")) {
        Ok(patched) => patched,
        // Kernels before 6.1 do not say.
        Err(e) if is_gone(&e) => name == VMLINUX || roots.has_module(&name),
        Err(e) => return Err(e),
    };
    let functions = directories(path)?
        .iter()
        .filter_map(|f| function(f))
        .collect();
    Ok(Object {
        name,
        patched,
        functions,
    })
}

/// `NAME,POSITION`.
fn function(directory: &str) -> Option<Function> {
    let (name, position) = directory.rsplit_once(',')?;
    Some(Function {
        name: name.to_string(),
        position: position.parse().ok()?,
    })
}

fn flag(path: &Path) -> io::Result<bool> {
    match read(path)?.trim_ascii() {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "neither 0 nor 1",
        )),
    }
}
