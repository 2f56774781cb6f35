//! Decodes BPF instructions into what the machine needs to know of them (RFC 9669).

/// Where a value of an operation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    Register(u8),
    Immediate(i32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Subtract,
    Or,
    And,
    ShiftLeft,
    ShiftRight,
    Xor,
    Move,
    /// The result is of no interest: it only occurs between plain numbers.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Equal,
    NotEqual,
    /// Every other one; the number is the operation of the instruction.
    Other(u8),
}

impl Condition {
    pub fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }
}

/// What a call calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    Helper(u32),
    /// A function of the object, by the index of its first instruction.
    Function(usize),
    /// A function of the kernel.
    Kernel,
}

/// Indices of instructions count through the whole object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    Arithmetic {
        operation: Arithmetic,
        /// All 64 bits, not the lower half.
        wide: bool,
        to: u8,
        with: Operand,
    },
    /// `ld_imm64` of a number.
    Constant {
        to: u8,
        value: u64,
    },
    /// `ld_imm64` of the address of a map or a global.
    Address {
        to: u8,
        symbol: u16,
        offset: i32,
    },
    Load {
        to: u8,
        base: u8,
        offset: i16,
        size: u8,
    },
    Store {
        base: u8,
        offset: i16,
        size: u8,
        value: Operand,
    },
    /// An atomic operation; it may give a register the old value.
    Atomic {
        base: u8,
        offset: i16,
        size: u8,
        source: u8,
        fetches: bool,
    },
    Branch {
        condition: Condition,
        wide: bool,
        left: u8,
        right: Operand,
        to: usize,
    },
    Jump {
        to: usize,
    },
    Call(Callee),
    Exit,
    /// The second half of an `ld_imm64`.
    Rest,
}

impl Instruction {
    /// The instructions that may come next in the same function.
    pub fn successors(&self, at: usize) -> [Option<usize>; 2] {
        match *self {
            Self::Exit => [None, None],
            Self::Jump { to } => [Some(to), None],
            Self::Branch { to, .. } => [Some(at + 1), Some(to)],
            Self::Constant { .. } | Self::Address { .. } => [Some(at + 2), None],
            _ => [Some(at + 1), None],
        }
    }
}

/// Decodes the eight bytes at index `at`, with the four bytes that `ld_imm64` takes from the next ones. What a
/// relocation says about it is put in afterwards.
pub fn decode(code: [u8; 8], next_immediate: u32, at: usize) -> Result<Instruction, String> {
    let [opcode, registers, ..] = code;
    let (to, source) = (registers & 0xf, registers >> 4);
    let offset = i16::from_le_bytes([code[2], code[3]]);
    let immediate = i32::from_le_bytes([code[4], code[5], code[6], code[7]]);
    let size = [4, 2, 1, 8][usize::from(opcode >> 3 & 3)];
    let with = if opcode & 8 == 0 {
        Operand::Immediate(immediate)
    } else {
        Operand::Register(source)
    };
    let target = |distance: i32| {
        at.checked_add_signed(distance as isize + 1)
            .ok_or(format!("a jump out of the code at {at}"))
    };
    Ok(match opcode & 7 {
        // BPF_LD | BPF_IMM | BPF_DW.
        0 if opcode == 0x18 => Instruction::Constant {
            to,
            value: u64::from(immediate as u32) | u64::from(next_immediate) << 32,
        },
        // BPF_LDX | BPF_MEM.
        1 if opcode >> 5 == 3 => Instruction::Load {
            to,
            base: source,
            offset,
            size,
        },
        // BPF_ST and BPF_STX with BPF_MEM.
        2 | 3 if opcode >> 5 == 3 => Instruction::Store {
            base: to,
            offset,
            size,
            value: if opcode & 7 == 2 {
                Operand::Immediate(immediate)
            } else {
                Operand::Register(source)
            },
        },
        // BPF_STX | BPF_ATOMIC.
        3 if opcode >> 5 == 6 => Instruction::Atomic {
            base: to,
            offset,
            size,
            source,
            fetches: immediate & 1 != 0,
        },
        // BPF_ALU and BPF_ALU64.
        4 | 7 => Instruction::Arithmetic {
            operation: match opcode >> 4 {
                0 => Arithmetic::Add,
                1 => Arithmetic::Subtract,
                4 => Arithmetic::Or,
                5 => Arithmetic::And,
                6 => Arithmetic::ShiftLeft,
                7 => Arithmetic::ShiftRight,
                0xa => Arithmetic::Xor,
                // With an offset it extends a sign.
                0xb if offset == 0 => Arithmetic::Move,
                _ => Arithmetic::Other,
            },
            wide: opcode & 7 == 7,
            to,
            with,
        },
        // BPF_JMP and BPF_JMP32.
        5 | 6 => match opcode >> 4 {
            0 if opcode & 7 == 5 => Instruction::Jump {
                to: target(offset.into())?,
            },
            0 => Instruction::Jump {
                to: target(immediate)?,
            },
            8 => Instruction::Call(match source {
                0 => Callee::Helper(immediate as u32),
                1 => Callee::Function(target(immediate)?),
                2 => Callee::Kernel,
                _ => return Err(format!("a call of an unknown kind at {at}")),
            }),
            9 => Instruction::Exit,
            operation => Instruction::Branch {
                condition: match operation {
                    1 => Condition::Equal,
                    5 => Condition::NotEqual,
                    other => Condition::Other(other),
                },
                wide: opcode & 7 == 5,
                left: to,
                right: with,
                to: target(offset.into())?,
            },
        },
        _ => return Err(format!("opcode {opcode:#x} at {at} is not known here")),
    })
}
