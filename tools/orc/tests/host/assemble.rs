// SPDX-License-Identifier: GPL-2.0 OR MIT

//! An assembler of ELF files and CFI for tests. It shares no definition with the
//! tool, so that a mistake in one is not repeated in the other.

/// `e_type`.
pub const REL: u16 = 1;
pub const DYN: u16 = 3;

/// `sh_type` and `sh_flags`.
pub const PROGBITS: u32 = 1;
pub const RELA: u32 = 4;
pub const NOBITS: u32 = 8;
pub const NOTE: u32 = 7;
pub const WRITE: u64 = 1;
pub const ALLOC: u64 = 2;
pub const EXEC: u64 = 4;
pub const LINK_ORDER: u64 = 0x80;

/// `st_info`.
pub const LOCAL_SECTION: u8 = 3;
pub const GLOBAL_FUNC: u8 = 0x12;
pub const GLOBAL_NOTYPE: u8 = 0x10;
pub const GLOBAL_OBJECT: u8 = 0x11;
pub const LOCAL_NOTYPE: u8 = 0;

pub const ABS64: u32 = 257;
pub const PREL32: u32 = 261;
pub const JUMP26: u32 = 282;
pub const CALL26: u32 = 283;

#[derive(Clone, Default)]
pub struct Section {
    pub name: String,
    pub kind: u32,
    pub flags: u64,
    pub address: u64,
    pub data: Vec<u8>,
    pub link: u32,
    pub info: u32,
    pub align: u64,
}

#[derive(Clone, Default)]
pub struct Symbol {
    pub name: String,
    pub info: u8,
    pub section: u16,
    pub value: u64,
    pub size: u64,
}

/// A file in the making. Section 0 and symbol 0 are there already.
#[derive(Clone)]
pub struct Elf {
    kind: u16,
    pub sections: Vec<Section>,
    pub symbols: Vec<Symbol>,
}

impl Elf {
    pub fn new(kind: u16) -> Self {
        Self {
            kind,
            sections: vec![Section::default()],
            symbols: vec![Symbol::default()],
        }
    }

    /// Adds a section, and gives its number.
    pub fn section(&mut self, name: &str, kind: u32, flags: u64, address: u64, data: &[u8]) -> u16 {
        self.sections.push(Section {
            name: name.into(),
            kind,
            flags,
            address,
            data: data.to_vec(),
            align: 8,
            ..Section::default()
        });
        self.sections.len() as u16 - 1
    }

    pub fn text(&mut self, name: &str, address: u64, words: &[u32]) -> u16 {
        self.section(name, PROGBITS, ALLOC | EXEC, address, &bytes(words))
    }

    /// Adds a symbol, and gives its number. Local ones must come first.
    pub fn symbol(&mut self, name: &str, info: u8, section: u16, value: u64, size: u64) -> u32 {
        self.symbols.push(Symbol {
            name: name.into(),
            info,
            section,
            value,
            size,
        });
        self.symbols.len() as u32 - 1
    }

    /// Adds relocations `(offset, type, symbol, addend)` of a section.
    pub fn rela(&mut self, section: u16, entries: &[(u64, u32, u32, i64)]) -> u16 {
        let mut data = Vec::new();
        for (offset, kind, symbol, addend) in entries {
            data.extend(offset.to_le_bytes());
            data.extend(kind.to_le_bytes());
            data.extend(symbol.to_le_bytes());
            data.extend(addend.to_le_bytes());
        }
        let name = format!(".rela{}", self.sections[usize::from(section)].name);
        let number = self.section(&name, RELA, 0x40, 0, &data);
        let table = &mut self.sections[usize::from(number)];
        table.info = u32::from(section);
        table.link = u32::MAX;
        number
    }

    /// The file: header, contents, symbols, names, section headers.
    pub fn build(&self) -> Vec<u8> {
        let mut sections = self.sections.clone();
        let symtab = sections.len() as u32;
        let mut names = vec![0];
        let mut table = Vec::new();
        for symbol in &self.symbols {
            table.extend((string(&mut names, &symbol.name)).to_le_bytes());
            table.extend([symbol.info, 0]);
            table.extend(symbol.section.to_le_bytes());
            table.extend(symbol.value.to_le_bytes());
            table.extend(symbol.size.to_le_bytes());
        }
        let locals = self.symbols.iter().filter(|s| s.info >> 4 == 0).count();
        for section in sections.iter_mut().filter(|s| s.link == u32::MAX) {
            section.link = symtab;
        }
        let plain = |name: &str, kind, data: Vec<u8>| Section {
            name: name.into(),
            kind,
            data,
            align: 8,
            ..Section::default()
        };
        sections.push(Section {
            link: symtab + 1,
            info: locals as u32,
            ..plain(".symtab", 2, table)
        });
        sections.push(plain(".strtab", 3, names));
        sections.push(plain(".shstrtab", 3, Vec::new()));
        self.write(sections)
    }

    fn write(&self, mut sections: Vec<Section>) -> Vec<u8> {
        let mut names = vec![0];
        let name_offsets: Vec<u32> = sections
            .iter()
            .map(|s| string(&mut names, &s.name))
            .collect();
        sections.last_mut().unwrap().data = names;
        let mut file = vec![0; 64];
        let mut headers = Vec::new();
        for (section, name) in sections.iter().zip(name_offsets) {
            file.resize(file.len().next_multiple_of(8), 0);
            let offset = file.len() as u64;
            if section.kind != NOBITS {
                file.extend(&section.data);
            }
            let entry: u64 = match section.kind {
                2 | RELA => 24,
                _ => 0,
            };
            headers.extend(name.to_le_bytes());
            headers.extend(section.kind.to_le_bytes());
            headers.extend(section.flags.to_le_bytes());
            headers.extend(section.address.to_le_bytes());
            headers.extend(if section.kind == 0 { 0 } else { offset }.to_le_bytes());
            headers.extend((section.data.len() as u64).to_le_bytes());
            headers.extend(section.link.to_le_bytes());
            headers.extend(section.info.to_le_bytes());
            headers.extend(section.align.to_le_bytes());
            headers.extend(entry.to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(8), 0);
        let table = file.len() as u64;
        file.extend(headers);
        file[..20].copy_from_slice(&[
            0x7f,
            b'E',
            b'L',
            b'F',
            2,
            1,
            1,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            self.kind as u8,
            0,
            183,
            0,
        ]);
        file[20] = 1;
        file[40..48].copy_from_slice(&table.to_le_bytes());
        file[52] = 64;
        file[54] = 56;
        file[58] = 64;
        file[60..62].copy_from_slice(&(sections.len() as u16).to_le_bytes());
        file[62..64].copy_from_slice(&(sections.len() as u16 - 1).to_le_bytes());
        file
    }
}

fn string(table: &mut Vec<u8>, name: &str) -> u32 {
    if name.is_empty() {
        return 0;
    }
    let at = table.len() as u32;
    table.extend(name.as_bytes());
    table.push(0);
    at
}

pub fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A build-id note.
pub fn build_id(id: &[u8]) -> Vec<u8> {
    let mut note = bytes(&[4, id.len() as u32, 3]);
    note.extend(b"GNU\0");
    note.extend(id);
    note
}

/// Call frame instructions.
pub mod op {
    pub fn advance(instructions: u8) -> Vec<u8> {
        // The CIE's code alignment factor is 4.
        vec![0x40 | instructions]
    }
    pub fn def_cfa(register: u8, offset: u8) -> Vec<u8> {
        vec![0x0c, register, offset]
    }
    pub fn def_cfa_offset(offset: u8) -> Vec<u8> {
        vec![0x0e, offset]
    }
    /// Saved at CFA minus `below`.
    pub fn offset(register: u8, below: u8) -> Vec<u8> {
        // The CIE's data alignment factor is -8.
        vec![0x80 | register, below / 8]
    }
    pub fn restore(register: u8) -> Vec<u8> {
        vec![0xc0 | register]
    }
    pub fn undefined(register: u8) -> Vec<u8> {
        vec![0x07, register]
    }
    pub fn same_value(register: u8) -> Vec<u8> {
        vec![0x08, register]
    }
    pub fn in_register(register: u8, other: u8) -> Vec<u8> {
        vec![0x09, register, other]
    }
    pub fn val_offset(register: u8, factored: u8) -> Vec<u8> {
        vec![0x14, register, factored]
    }
    pub fn expression(register: u8) -> Vec<u8> {
        vec![0x10, register, 1, 0x9c]
    }
    pub fn def_cfa_expression() -> Vec<u8> {
        vec![0x0f, 1, 0x9c]
    }
    pub const REMEMBER_STATE: u8 = 0x0a;
    pub const RESTORE_STATE: u8 = 0x0b;
    pub const NEGATE_RA_STATE: u8 = 0x2d;
}

/// An `.eh_frame` in the making: one CIE for all FDEs of one augmentation.
pub struct EhFrame {
    pub bytes: Vec<u8>,
    cie: usize,
}

impl EhFrame {
    /// With the augmentation `zR`, or `zRS` for signal frames.
    pub fn new(signal: bool) -> Self {
        Self::with_return_register(signal, 30)
    }

    pub fn with_return_register(signal: bool, register: u8) -> Self {
        let mut frame = Self {
            bytes: Vec::new(),
            cie: 0,
        };
        frame.cie(signal, register);
        frame
    }

    /// Starts another CIE.
    pub fn cie(&mut self, signal: bool, register: u8) {
        self.cie = self.bytes.len();
        let mut body = bytes(&[0]);
        body.push(1);
        body.extend(if signal { &b"zRS\0"[..] } else { b"zR\0" });
        // Alignment factors 4 and -8, x30; pointers PC-relative, 32-bit; CFA = SP.
        body.extend([4, 0x78, register, 1, 0x1b]);
        body.extend(op::def_cfa(31, 0));
        self.entry(body);
    }

    /// Describes `len` bytes; gives the offset of the start's field, for a
    /// relocation. `start` is relative to the section's first byte.
    pub fn fde(&mut self, start: i64, len: u32, program: &[Vec<u8>]) -> u64 {
        let at = self.bytes.len();
        let mut body = bytes(&[(at + 4 - self.cie) as u32]);
        body.extend(((start - (at as i64 + 8)) as i32).to_le_bytes());
        body.extend(bytes(&[len]));
        body.push(0);
        body.extend(program.concat());
        self.entry(body);
        at as u64 + 8
    }

    fn entry(&mut self, mut body: Vec<u8>) {
        body.resize(body.len().next_multiple_of(4), 0);
        self.bytes.extend((body.len() as u32).to_le_bytes());
        self.bytes.extend(body);
    }
}

/// Instructions.
pub const NOP: u32 = 0xd503_201f;
pub const RET: u32 = 0xd65f_03c0;
/// `stp x29, x30, [sp, #-16]!`, `mov x29, sp`, `ldp x29, x30, [sp], #16`.
pub const PUSH: u32 = 0xa9bf_7bfd;
pub const MOV_FP: u32 = 0x9100_03fd;
pub const POP: u32 = 0xa8c1_7bfd;

/// A function with a frame: six instructions.
pub const FRAMED: [u32; 6] = [PUSH, MOV_FP, NOP, POP, RET, NOP];

/// The CFI of [`FRAMED`], without its last NOP.
pub fn framed_cfi() -> Vec<Vec<u8>> {
    vec![
        op::advance(1),
        op::def_cfa_offset(16),
        op::offset(29, 16),
        op::offset(30, 8),
        op::advance(3),
        op::def_cfa_offset(0),
        op::restore(29),
        op::restore(30),
    ]
}

/// A small module: `framed` and the leaf `bare` in `.text`, `framed` again as
/// `init` in `.init.text`, CFI for the framed ones, data, and a build-id.
pub fn module() -> Elf {
    let mut elf = Elf::new(REL);
    let text = elf.text(".text", 0, &[&FRAMED[..], &[NOP, RET]].concat());
    let init = elf.text(".init.text", 0, &FRAMED);
    let mut frame = EhFrame::new(false);
    let first = frame.fde(0, 20, &framed_cfi());
    let second = frame.fde(0, 20, &framed_cfi());
    let cfi = elf.section(".init.eh_frame", PROGBITS, ALLOC, 0, &frame.bytes);
    let data = elf.section(
        ".data",
        PROGBITS,
        ALLOC | WRITE,
        0,
        &[1, 2, 3, 4, 0, 0, 0, 0],
    );
    elf.section(".bss", NOBITS, ALLOC | WRITE, 0, &[0; 16]);
    elf.section(".llvm_addrsig", 0x6fff_4c03, 0x8000_0000, 0, &[1]);
    elf.section(".note.gnu.build-id", NOTE, ALLOC, 0, &build_id(&[0xab; 20]));
    let cfi_symbol = elf.symbol("", LOCAL_SECTION, cfi, 0, 0);
    assert_eq!(cfi_symbol, 1);
    let text_symbol = elf.symbol("", LOCAL_SECTION, text, 0, 0);
    let init_symbol = elf.symbol("", LOCAL_SECTION, init, 0, 0);
    elf.rela(
        cfi,
        &[
            (first, PREL32, text_symbol, 0),
            (second, PREL32, init_symbol, 0),
        ],
    );
    elf.symbol("framed", GLOBAL_FUNC, text, 0, 20);
    let bare = elf.symbol("bare", GLOBAL_FUNC, text, 24, 8);
    elf.symbol("init", GLOBAL_FUNC, init, 0, 20);
    elf.symbol("datum", GLOBAL_OBJECT, data, 0, 8);
    elf.rela(data, &[(0, ABS64, bare, 0)]);
    elf
}

/// Where the text of [`kernel`] is.
pub const TEXT: u64 = 0xffff_8000_8001_0000;

/// A small kernel: `framed`, the leaf `bare`, a hole and hypervisor text. With a
/// table to be filled, if one is given.
pub fn kernel(table: Option<&[u8]>) -> Elf {
    let mut elf = Elf::new(DYN);
    let words = [&FRAMED[..], &[NOP, RET], &[0, 0], &[NOP, NOP]].concat();
    let text = elf.text(".text", TEXT, &words);
    let cfi_address = TEXT + 0x1000;
    let mut frame = EhFrame::new(false);
    frame.fde(TEXT as i64 - cfi_address as i64, 20, &framed_cfi());
    elf.section(".eh_frame", PROGBITS, ALLOC, cfi_address, &frame.bytes);
    elf.section(".notes", NOTE, ALLOC, TEXT + 0x2000, &build_id(&[0xcd; 20]));
    if let Some(table) = table {
        elf.section(".orc_unwind", PROGBITS, ALLOC, TEXT + 0x3000, table);
    }
    elf.symbol("_stext", GLOBAL_NOTYPE, text, TEXT, 0);
    elf.symbol("framed", GLOBAL_FUNC, text, TEXT, 20);
    elf.symbol("bare", GLOBAL_FUNC, text, TEXT + 24, 8);
    elf.symbol("__hyp_text_start", GLOBAL_NOTYPE, text, TEXT + 40, 0);
    elf.symbol("__hyp_text_end", GLOBAL_NOTYPE, text, TEXT + 48, 0);
    elf
}
