// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which functions a live patch that is not loaded would replace: its `klp_func`s, found
//! by the relocations of the module.
//!
//! Three builders, three forms: a `struct klp_patch` in the source (the samples), the
//! sections that klp-build makes, and those of kpatch. The sizes of the kernel's own
//! structures depend on its configuration, so that none of them is assumed: an element
//! is found by what its pointers lead to.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionIndex, SectionKind,
};

use crate::error::Error;
use crate::livepatch::Function;
use crate::roots::read;
use crate::symbols::Module;

/// Reads a module.
///
/// # Errors
///
/// It can't be read, is malformed, or has no `klp_func`.
pub fn functions(path: &Path) -> Result<Vec<(Module, Function)>, Error> {
    let data = read(path).map_err(Error::io(path))?;
    parse(&data).map_err(|what| Error::Module {
        file: path.to_path_buf(),
        what,
    })
}

/// The functions that a module's bytes say it replaces, sorted.
///
/// # Errors
///
/// What is wrong with them.
pub fn parse(data: &[u8]) -> Result<Vec<(Module, Function)>, String> {
    if data.starts_with(b"\x1f\x8b")
        || data.starts_with(b"\xfd7zXZ")
        || data.starts_with(b"\x28\xb5\x2f\xfd")
    {
        return Err("is compressed: unpack it first".to_string());
    }
    let file = object::File::parse(data).map_err(|e| e.to_string())?;
    if !file.is_64() {
        return Err("is no module of a 64-bit kernel".to_string());
    }
    let image = Image::new(&file)?;
    let mut functions = image.of_klp_build();
    functions.extend(image.of_kpatch());
    functions.extend(image.of_source());
    functions.sort_by(|a, b| (&a.0, &a.1.name, a.1.position).cmp(&(&b.0, &b.1.name, b.1.position)));
    functions.dedup();
    match functions.is_empty() {
        true => Err("no struct klp_func in it: is this a live patch?".to_string()),
        false => Ok(functions),
    }
}

/// A place in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    section: usize,
    offset: u64,
}

impl Place {
    fn plus(self, bytes: u64) -> Self {
        let offset = self.offset.saturating_add(bytes);
        Self { offset, ..self }
    }
}

/// The module: sections, and where its pointers lead.
struct Image<'a> {
    sections: HashMap<usize, Section<'a>>,
    pointers: HashMap<Place, Place>,
    /// Pointers to `__this_module`.
    owners: BTreeSet<Place>,
    /// Objects with a size: start and end.
    objects: Vec<(Place, u64)>,
    little_endian: bool,
}

struct Section<'a> {
    name: String,
    is_text: bool,
    data: &'a [u8],
}

/// The size of a pointer: livepatch is for 64-bit kernels.
const POINTER: u64 = 8;

/// Sizes of `include/linux/livepatch_external.h`.
const KLP_OBJECT_EXT: usize = 64;
const KLP_FUNC_EXT: u64 = 24;

impl<'a> Image<'a> {
    fn new(file: &object::File<'a>) -> Result<Self, String> {
        let mut image = Self {
            sections: HashMap::new(),
            pointers: HashMap::new(),
            owners: BTreeSet::new(),
            objects: Vec::new(),
            little_endian: file.is_little_endian(),
        };
        for section in file.sections() {
            let index = section.index().0;
            for (offset, relocation) in section.relocations() {
                let from = Place {
                    section: index,
                    offset,
                };
                image.relocation(file, from, &relocation);
            }
            let known = Section {
                name: section.name().map_err(|e| e.to_string())?.to_string(),
                is_text: section.kind() == SectionKind::Text,
                data: section.data().map_err(|e| e.to_string())?,
            };
            image.sections.insert(index, known);
        }
        for symbol in file.symbols() {
            if let Some(SectionIndex(section)) = symbol.section_index() {
                let offset = symbol.address();
                if symbol.kind() == object::SymbolKind::Data && symbol.size() > 0 {
                    let end = offset.saturating_add(symbol.size());
                    image.objects.push((Place { section, offset }, end));
                }
            }
        }
        Ok(image)
    }

    fn relocation(&mut self, file: &object::File, from: Place, relocation: &object::Relocation) {
        let RelocationTarget::Symbol(index) = relocation.target() else {
            return;
        };
        let Ok(symbol) = file.symbol_by_index(index) else {
            return;
        };
        if symbol.name() == Ok("__this_module") {
            self.owners.insert(from);
        }
        if let Some(SectionIndex(section)) = symbol.section_index() {
            let offset = symbol.address().wrapping_add_signed(relocation.addend());
            self.pointers.insert(from, Place { section, offset });
        }
    }

    /// `struct klp_object_ext`s, each with a number of `struct klp_func_ext`s.
    fn of_klp_build(&self) -> Vec<(Module, Function)> {
        let mut functions = Vec::new();
        for (&section, known) in &self.sections {
            if known.name != ".init.klp_objects" {
                continue;
            }
            for start in (0..known.data.len()).step_by(KLP_OBJECT_EXT) {
                let object = Place {
                    section,
                    offset: start as u64,
                };
                let module = self.text_at(object);
                let count = self.word(object.plus(56)).map_or(0, |word| word as u32);
                let Some(&array) = self.pointers.get(&object.plus(POINTER)) else {
                    continue;
                };
                for n in 0..u64::from(count) {
                    let Some(function) = self.function(array.plus(n * KLP_FUNC_EXT)) else {
                        break;
                    };
                    functions.push((module.clone(), function));
                }
            }
        }
        functions
    }

    /// `struct kpatch_patch_func`: the last two of its words are the names of the
    /// function and of its object; before these, in newer versions, the position.
    fn of_kpatch(&self) -> Vec<(Module, Function)> {
        let mut functions = Vec::new();
        let places = self.pointers.iter().filter(|(from, to)| {
            let section = self.sections.get(&from.section);
            section.is_some_and(|s| s.name == ".kpatch.funcs") && self.is_text(**to)
        });
        for (&start, _) in places {
            let with_position = self.text_at(start.plus(48)).is_some();
            let name = if with_position { 40 } else { 32 };
            let position = if with_position {
                self.word(start.plus(32))
            } else {
                None
            };
            let (Some(name), Some(object)) = (
                self.text_at(start.plus(name)),
                self.text_at(start.plus(name + 8)),
            ) else {
                continue;
            };
            let module = (object != crate::livepatch::VMLINUX).then_some(object);
            functions.push((module, named(name, position.unwrap_or(0))));
        }
        functions
    }

    /// `struct klp_patch` starts with pointers to the module and to `struct klp_object`s.
    fn of_source(&self) -> Vec<(Module, Function)> {
        let patches = self.owners.iter();
        let objects = patches.filter_map(|owner| self.pointers.get(&owner.plus(POINTER)));
        // Operations of a driver have an owner, too, and functions after it.
        let objects = objects.filter(|objects| !self.is_text(**objects));
        let mut arrays = Vec::new();
        for &objects in objects {
            let end = self.end(objects);
            let mut place = objects;
            while place.offset.saturating_add(2 * POINTER) <= end {
                // No other pointer of the structure leads to something like a klp_func.
                if let Some(&array) = self.pointers.get(&place.plus(POINTER)) {
                    if self.function(array).is_some() {
                        arrays.push((self.text_at(place), array));
                    }
                }
                place = place.plus(POINTER);
            }
        }
        let starts: BTreeSet<Place> = arrays.iter().map(|(_, array)| *array).collect();
        let mut functions = Vec::new();
        for (module, array) in arrays {
            let mut end = self.end(array);
            if let Some(next) = starts.range(array.plus(1)..).next() {
                if next.section == array.section {
                    end = end.min(next.offset);
                }
            }
            let mut place = array;
            while place.offset < end {
                let function = self.function(place);
                functions.extend(function.map(|function| (module.clone(), function)));
                place = place.plus(POINTER);
            }
        }
        functions
    }

    /// A `klp_func`, of either kind: the old name, the new function, the position.
    fn function(&self, place: Place) -> Option<Function> {
        let name = self.text_at(place)?;
        let new = self.pointers.get(&place.plus(POINTER))?;
        let position = self.word(place.plus(2 * POINTER))?;
        self.is_text(*new).then(|| named(name, position))
    }

    fn is_text(&self, place: Place) -> bool {
        self.sections.get(&place.section).is_some_and(|s| s.is_text)
    }

    /// Where the object at this place ends: at the end of its section at the latest.
    fn end(&self, place: Place) -> u64 {
        let section = self.sections.get(&place.section);
        let last = section.map_or(0, |section| section.data.len() as u64);
        let objects = self.objects.iter().filter(|(start, end)| {
            start.section == place.section && (start.offset..*end).contains(&place.offset)
        });
        objects.map(|&(_, end)| end).min().unwrap_or(last).min(last)
    }

    /// The string that the pointer at this place leads to.
    fn text_at(&self, place: Place) -> Option<String> {
        let to = self.pointers.get(&place)?;
        let section = self.sections.get(&to.section).filter(|s| !s.is_text)?;
        let bytes = section.data.get(usize::try_from(to.offset).ok()?..)?;
        let bytes = bytes.get(..bytes.iter().position(|&b| b == 0)?)?;
        let text = std::str::from_utf8(bytes).ok()?;
        let is_name = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        is_name.then(|| text.to_string())
    }

    fn word(&self, place: Place) -> Option<u64> {
        let data = self.sections.get(&place.section)?.data;
        let bytes = data
            .get(usize::try_from(place.offset).ok()?..)?
            .first_chunk()?;
        Some(match self.little_endian {
            true => u64::from_le_bytes(*bytes),
            false => u64::from_be_bytes(*bytes),
        })
    }
}

/// Position 0 is that of a name that there is one of.
fn named(name: String, position: u64) -> Function {
    let position = usize::try_from(position).unwrap_or(usize::MAX).max(1);
    Function { name, position }
}
