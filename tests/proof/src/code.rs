//! The object as the machine walks it: one row of instructions with every relocation applied.

use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget,
    SectionIndex, SymbolKind, SymbolSection,
};
use std::collections::HashMap;

use crate::instruction::{Callee, Instruction, decode};

/// `R_BPF_64_64`: an address in an `ld_imm64`.
const ADDRESS: u32 = 1;
/// `R_BPF_64_32`: a call of another section.
const CALL: u32 = 10;

/// A function, or a program when it lies outside of `.text`.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    pub section: String,
    /// Its instructions.
    pub start: usize,
    pub end: usize,
}

/// What an `ld_imm64` may hold the address of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symbol {
    /// With the bytes of a key and of a value, where the object says them.
    Map {
        name: String,
        key: Option<u32>,
        value: Option<u32>,
    },
    Global {
        name: String,
        writable: bool,
    },
}

#[derive(Debug, Default)]
pub struct Code {
    pub instructions: Vec<Instruction>,
    pub functions: Vec<Function>,
    pub symbols: Vec<Symbol>,
}

impl Code {
    /// The function that an instruction belongs to.
    pub fn function(&self, at: usize) -> Option<&Function> {
        self.functions
            .iter()
            .find(|function| (function.start..function.end).contains(&at))
    }

    /// The functions that the kernel starts.
    pub fn programs(&self) -> impl Iterator<Item = &Function> {
        self.functions
            .iter()
            .filter(|function| function.section != ".text")
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
        let mut code = Self::default();
        let mut starts = HashMap::new();
        for section in file.sections() {
            if section.kind() != object::SectionKind::Text {
                continue;
            }
            starts.insert(section.index(), code.instructions.len());
            code.append(section.data().map_err(|error| error.to_string())?)?;
        }
        for symbol in file.symbols() {
            let start = symbol.section_index().and_then(|index| starts.get(&index));
            let (Some(start), true) = (
                start,
                symbol.kind() == SymbolKind::Text && symbol.size() > 0,
            ) else {
                continue;
            };
            let section = file
                .section_by_index(symbol.section_index().unwrap())
                .unwrap();
            let start = start + symbol.address() as usize / 8;
            code.functions.push(Function {
                name: symbol.name().unwrap_or("?").to_owned(),
                section: section.name().unwrap_or("?").to_owned(),
                start,
                end: start + symbol.size() as usize / 8,
            });
        }
        for section in file.sections() {
            let Some(&start) = starts.get(&section.index()) else {
                continue;
            };
            for (offset, relocation) in section.relocations() {
                let RelocationFlags::Elf { r_type } = relocation.flags() else {
                    return Err("a relocation that is not of ELF".to_owned());
                };
                let RelocationTarget::Symbol(target) = relocation.target() else {
                    return Err("a relocation without a symbol".to_owned());
                };
                let symbol = file
                    .symbol_by_index(target)
                    .map_err(|error| error.to_string())?;
                let SymbolSection::Section(home) = symbol.section() else {
                    return Err(format!("{:?} lies in no section", symbol.name()));
                };
                let at = start + offset as usize / 8;
                code.instructions[at] = match (r_type, code.instructions[at]) {
                    (CALL, Instruction::Call(Callee::Function(to))) => {
                        // The distance counts from the symbol, as if the call stood right before it.
                        let distance = to as isize - at as isize - 1;
                        let base = starts[&home] + symbol.address() as usize / 8;
                        let to = base.checked_add_signed(distance + 1);
                        Instruction::Call(Callee::Function(to.ok_or("a call out of the code")?))
                    }
                    (ADDRESS, Instruction::Constant { to, value }) => {
                        let (symbol, offset) =
                            code.address(&file, home, symbol.address() + value)?;
                        Instruction::Address { to, symbol, offset }
                    }
                    (kind, instruction) => {
                        return Err(format!("relocation {kind} of {instruction:?}"));
                    }
                };
            }
        }
        Ok(code)
    }

    /// Appends the instructions of one section.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut rest = false;
        for (index, code) in bytes.chunks_exact(8).enumerate() {
            let at = self.instructions.len();
            if rest {
                rest = false;
                self.instructions.push(Instruction::Rest);
                continue;
            }
            let next = bytes.get(index * 8 + 12..index * 8 + 16);
            let next = next.map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
            let instruction = decode(code.try_into().unwrap(), next, at)?;
            rest = matches!(instruction, Instruction::Constant { .. });
            self.instructions.push(instruction);
        }
        Ok(())
    }

    /// The symbol at an address, and how far into it the address lies.
    fn address(
        &mut self,
        file: &object::File,
        home: SectionIndex,
        address: u64,
    ) -> Result<(u16, i32), String> {
        let symbol = file
            .symbols()
            .find(|symbol| {
                symbol.section_index() == Some(home)
                    && symbol.kind() == SymbolKind::Data
                    && (symbol.address()..symbol.address() + symbol.size()).contains(&address)
            })
            .ok_or(format!("no symbol at {address:#x} of section {home:?}"))?;
        let name = symbol.name().unwrap_or("?").to_owned();
        let section = file
            .section_by_index(home)
            .map_err(|error| error.to_string())?;
        let symbol_at = symbol.address();
        let symbol = match section.name() {
            Ok("maps") => {
                // `struct bpf_map_def`: type, bytes of a key, bytes of a value…
                let data = section.data().map_err(|error| error.to_string())?;
                let word = |index: usize| {
                    let at = symbol_at as usize + index * 4;
                    u32::from_le_bytes(data[at..at + 4].try_into().unwrap())
                };
                Symbol::Map {
                    name,
                    key: Some(word(1)),
                    value: Some(word(2)),
                }
            }
            // What the object says of it stands in BTF alone.
            Ok(".maps") => Symbol::Map {
                value: (name == "OWNERS").then_some(size_of::<tracer_common::Owner>() as u32),
                key: None,
                name,
            },
            Ok(section) => Symbol::Global {
                // What is frozen before loading the verifier knows.
                writable: section == ".bss",
                name,
            },
            Err(error) => return Err(error.to_string()),
        };
        let index = self.symbols.iter().position(|known| *known == symbol);
        let index = index.unwrap_or_else(|| {
            self.symbols.push(symbol);
            self.symbols.len() - 1
        });
        Ok((index as u16, (address - symbol_at) as i32))
    }
}
