//! What is still read after each instruction: what is not need not be told apart.

use crate::code::Code;
use crate::helpers;
use crate::instruction::{Arithmetic, Callee, Instruction, Operand};
use crate::state::{Live, STACK};

/// r1 to r5.
const ARGUMENTS: u16 = 0x3e;

/// What is read from each instruction on, before it is written.
pub struct Liveness(Vec<Live>);

impl Liveness {
    pub fn of(code: &Code) -> Self {
        let mut all = vec![Live::default(); code.instructions.len()];
        while (0..all.len()).rev().fold(false, |changed, at| {
            let after = code.instructions[at]
                .successors(at)
                .into_iter()
                .flatten()
                .filter_map(|next| all.get(next))
                .fold(Live::default(), |sum, live| Live {
                    registers: sum.registers | live.registers,
                    slots: sum.slots | live.slots,
                    shared: 0,
                });
            let live = before(&code.instructions[at], after, &all);
            let differs = live != all[at];
            all[at] = live;
            changed | differs
        }) {}
        for function in &code.functions {
            let range = function.start..function.end;
            let shared = shared(&code.instructions[range.clone()]);
            all[range].iter_mut().for_each(|live| live.shared = shared);
        }
        Self(all)
    }

    pub fn at(&self, at: usize) -> Live {
        self.0[at]
    }

    /// When the call before `back` starts: its arguments are no longer the caller's.
    pub fn across_call(&self, back: usize) -> Live {
        let live = self.0[back];
        Live {
            registers: live.registers & !1 | ARGUMENTS,
            ..live
        }
    }
}

fn before(instruction: &Instruction, after: Live, all: &[Live]) -> Live {
    let mut live = after;
    let bit = |register: u8| 1u16 << register;
    let used = |operand: Operand| match operand {
        Operand::Register(register) => bit(register),
        Operand::Immediate(_) => 0,
    };
    match *instruction {
        Instruction::Arithmetic {
            operation,
            to,
            with,
            ..
        } => {
            if operation == Arithmetic::Move {
                live.registers &= !bit(to);
            }
            live.registers |= used(with);
        }
        Instruction::Constant { to, .. } | Instruction::Address { to, .. } => {
            live.registers &= !bit(to);
        }
        Instruction::Load {
            to,
            base,
            offset,
            size,
        } => {
            live.registers = live.registers & !bit(to) | bit(base);
            if base == 10 {
                live.slots |= touched(offset, size);
            }
        }
        Instruction::Store {
            base,
            offset,
            size,
            value,
        } => {
            live.registers |= bit(base) | used(value);
            if base == 10 && size == 8 && offset % 8 == 0 {
                live.slots &= !touched(offset, size);
            }
        }
        Instruction::Atomic {
            base,
            offset,
            size,
            source,
            ..
        } => {
            live.registers |= bit(base) | bit(source) | bit(0);
            if base == 10 {
                live.slots |= touched(offset, size);
            }
        }
        Instruction::Branch { left, right, .. } => live.registers |= bit(left) | used(right),
        Instruction::Call(callee) => {
            live.registers &= !(ARGUMENTS | 1);
            live.registers |= match callee {
                Callee::Function(start) => all[start].registers & ARGUMENTS,
                Callee::Helper(number) => helpers::registers(number),
                Callee::Kernel => ARGUMENTS,
            };
        }
        Instruction::Exit => live.registers = bit(0),
        Instruction::Jump { .. } | Instruction::Rest => {}
    }
    live
}

/// The slots that an access to the function's own stack touches.
fn touched(offset: i16, size: u8) -> u64 {
    let first = (i32::from(offset) + STACK).max(0) / 8;
    let last = (i32::from(offset) + i32::from(size) - 1 + STACK).max(0) / 8;
    (first..=last.min(63)).fold(0, |slots, slot| slots | 1 << slot)
}

/// The slots that a pointer may reach: from the lowest address on that is taken. What the compiler only keeps
/// there for want of registers lies below.
fn shared(instructions: &[Instruction]) -> u64 {
    let mut lowest = 0;
    for (at, instruction) in instructions.iter().enumerate() {
        let Instruction::Arithmetic {
            operation: Arithmetic::Move,
            to: copy,
            with: Operand::Register(10),
            ..
        } = *instruction
        else {
            continue;
        };
        lowest = match instructions.get(at + 1) {
            Some(&Instruction::Arithmetic {
                operation: Arithmetic::Add,
                to,
                with: Operand::Immediate(offset),
                ..
            }) if to == copy => lowest.min(offset),
            _ => -STACK,
        };
    }
    let first = (lowest + STACK).max(0) / 8;
    u64::MAX.checked_shl(first as u32).unwrap_or(0)
}
