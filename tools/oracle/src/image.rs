// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the oracle takes from the files of a built kernel: addresses of symbols, the
//! table of vmlinux, and offsets into the kernel's structures.

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind, SymbolSection};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// A file could not be used, and why.
pub type Error = Box<dyn std::error::Error>;

/// `vmlinux.unstripped` and the headers that its build has generated.
pub struct Image {
    symbols: HashMap<String, u64>,
    functions: Vec<Symbol>,
    /// Symbols without a size.
    labels: Vec<Symbol>,
    offsets: HashMap<String, u64>,
    /// The table of vmlinux.
    pub table: Vec<u8>,
    /// Start and end of the text that it describes.
    pub text: (u64, u64),
    /// That text, as it was built.
    pub code: Vec<u8>,
}

impl Image {
    /// Reads what is needed below the directory that the kernel was built in. It runs `slide`
    /// bytes above the addresses that it was linked at.
    pub fn open(build: &Path, slide: u64) -> Result<Self, Error> {
        let path = build.join("vmlinux.unstripped");
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let elf = object::File::parse(&*bytes)?;
        let mut symbols = HashMap::new();
        let mut functions = Vec::new();
        let mut labels = Vec::new();
        for symbol in elf.symbols() {
            let Ok(name) = symbol.name() else { continue };
            if name.is_empty() || name.starts_with('$') {
                continue;
            }
            let address = match symbol.section() {
                SymbolSection::Absolute => symbol.address(),
                _ => symbol.address().wrapping_add(slide),
            };
            symbols.entry(name.to_owned()).or_insert(address);
            // Assembly that follows no conventions has symbols without a type.
            if matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown) {
                let list = match symbol.size() {
                    0 => &mut labels,
                    _ => &mut functions,
                };
                list.push((address, symbol.size(), name.to_owned()));
            }
        }
        functions.sort();
        labels.sort();
        let table = elf
            .section_by_name(".orc_unwind")
            .ok_or("vmlinux has no section .orc_unwind")?
            .data()?
            .to_vec();
        let mut image = Self {
            symbols,
            functions,
            labels,
            offsets: offsets(&build.join("include/generated/asm-offsets.h"))?,
            table,
            text: (0, 0),
            code: Vec::new(),
        };
        image.text = (image.symbol("_stext")?, image.symbol("_etext")?);
        let linked = (
            image.text.0.wrapping_sub(slide),
            image.text.1.wrapping_sub(slide),
        );
        image.code = code(&elf, linked);
        Ok(image)
    }

    /// The address of a symbol.
    pub fn symbol(&self, name: &str) -> Result<u64, Error> {
        self.find(name)
            .ok_or_else(|| format!("vmlinux has no symbol {name}").into())
    }

    /// The same, if there is one.
    pub fn find(&self, name: &str) -> Option<u64> {
        self.symbols.get(name).copied()
    }

    /// Start and end of a function.
    pub fn function(&self, name: &str) -> Result<(u64, u64), Error> {
        let start = self.symbol(name)?;
        let at = self
            .functions
            .iter()
            .find(|(address, size, text)| *address == start && *size != 0 && text == name);
        let (_, size, _) = at.ok_or_else(|| format!("{name} has no size"))?;
        Ok((start, start + size))
    }

    /// A number of `asm-offsets.h`.
    pub fn offset(&self, name: &str) -> Result<u64, Error> {
        let found = self.offsets.get(name).copied();
        found.ok_or_else(|| format!("asm-offsets.h has no {name}").into())
    }

    /// `function+0x10`, for people; also what a function is counted by.
    pub fn name(&self, pc: u64) -> (String, u64) {
        let before = |list: &[Symbol]| {
            let at = list.partition_point(|(start, ..)| *start <= pc);
            at.checked_sub(1).and_then(|at| list.get(at)).cloned()
        };
        let (start, end) = self.text;
        if !(start..end).contains(&pc) {
            return (String::new(), pc);
        }
        match before(&self.functions).filter(|(start, size, _)| pc - start < *size) {
            Some((start, _, name)) => (name, pc - start),
            None => before(&self.labels)
                .map_or((String::new(), pc), |(start, _, name)| (name, pc - start)),
        }
    }
}

/// Address, size and name.
type Symbol = (u64, u64, String);

fn offsets(path: &Path) -> Result<HashMap<String, u64>, Error> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut offsets = HashMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some("#define"), Some(name), Some(value)) =
            (words.next(), words.next(), words.next())
        {
            if let Ok(value) = value.parse() {
                offsets.insert(name.to_owned(), value);
            }
        }
    }
    Ok(offsets)
}

/// The bytes of a range of addresses of the file, zero where no section has any.
fn code(elf: &object::File<'_>, (start, end): (u64, u64)) -> Vec<u8> {
    let mut code = vec![0; (end - start) as usize];
    for section in elf.sections() {
        let (Some(at), Ok(data)) = (section.address().checked_sub(start), section.data()) else {
            continue;
        };
        if let Some(to) = code.get_mut(at as usize..) {
            let len = to.len().min(data.len());
            to[..len].copy_from_slice(&data[..len]);
        }
    }
    code
}

/// The variables of eight bytes in an object file.
pub fn variables(path: &Path) -> Result<HashMap<String, u64>, Error> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let elf = object::File::parse(&*bytes)?;
    let mut numbers = HashMap::new();
    for symbol in elf.symbols() {
        let Some(index) = symbol.section_index() else {
            continue;
        };
        let data = elf.section_by_index(index)?.data()?;
        let at = symbol.address() as usize;
        if let Some(bytes) = data.get(at..).and_then(<[u8]>::first_chunk) {
            numbers.insert(symbol.name()?.to_owned(), u64::from_le_bytes(*bytes));
        }
    }
    Ok(numbers)
}
