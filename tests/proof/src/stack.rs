//! How much stack a program takes with the functions that it calls: kernels refuse more than [`MOST`] along any chain
//! of calls (`check_max_stack_depth`). Newer ones round less up and see less, so loading on one proves nothing for another.

use crate::code::{Code, Function};
use crate::instruction::{Arithmetic, Callee, Instruction, Operand};

/// `MAX_BPF_STACK`, bytes.
pub const MOST: u32 = 512;
/// Each function's part is rounded up to this.
const UNIT: u32 = 32;
/// The frame pointer.
const FRAME: u8 = 10;

/// Per program, the bytes of its deepest chain of calls.
///
/// # Errors
/// When the object cannot be read as one of BPF programs.
pub fn needed(object: &[u8]) -> Result<Vec<(String, u32)>, String> {
    let code = Code::parse(object)?;
    let programs = code.programs();
    Ok(programs
        .map(|program| (program.name.clone(), deepest(&code, program)))
        .collect())
}

/// Recursion does not occur: the kernel refuses it before it looks at the stack.
fn deepest(code: &Code, function: &Function) -> u32 {
    let called = code.instructions[function.start..function.end]
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::Call(Callee::Function(start)) => code.function(*start),
            _ => None,
        });
    let below = called.map(|callee| deepest(code, callee)).max();
    own(code, function).max(1).next_multiple_of(UNIT) + below.unwrap_or(0)
}

/// The lowest byte below the frame pointer that the function names: of a load, a store, or an address that it computes.
fn own(code: &Code, function: &Function) -> u32 {
    let instructions = &code.instructions[function.start..function.end];
    let offsets =
        instructions
            .iter()
            .enumerate()
            .filter_map(|(at, instruction)| match *instruction {
                Instruction::Load { base, offset, .. }
                | Instruction::Store { base, offset, .. }
                | Instruction::Atomic { base, offset, .. }
                    if base == FRAME =>
                {
                    Some(i32::from(offset))
                }
                Instruction::Arithmetic {
                    operation: Arithmetic::Move,
                    to,
                    with: Operand::Register(FRAME),
                    ..
                } => match instructions.get(at + 1) {
                    Some(Instruction::Arithmetic {
                        operation: Arithmetic::Add,
                        to: same,
                        with: Operand::Immediate(offset),
                        ..
                    }) if *same == to => Some(*offset),
                    _ => None,
                },
                _ => None,
            });
    offsets.min().unwrap_or(0).min(0).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that stores at `first` below its frame and calls a function that takes the address of `second`.
    fn program(first: i16, second: i32) -> u32 {
        let store = [
            0x7a,
            FRAME,
            first.to_le_bytes()[0],
            first.to_le_bytes()[1],
            0,
            0,
            0,
            0,
        ];
        let call = [0x85, 0x10, 0, 0, 1, 0, 0, 0];
        let exit = [0x95, 0, 0, 0, 0, 0, 0, 0];
        let copy = [0xbf, 1 | FRAME << 4, 0, 0, 0, 0, 0, 0];
        let [a, b, c, d] = second.to_le_bytes();
        let add = [0x07, 1, 0, 0, a, b, c, d];
        let mut code = Code::default();
        code.append([store, call, exit, copy, add, exit].as_flattened())
            .unwrap();
        let function = |name: &str, section: &str, start, end| Function {
            name: name.to_owned(),
            section: section.to_owned(),
            start,
            end,
        };
        code.functions = vec![
            function("main", "tp_btf", 0, 3),
            function("called", ".text", 3, 6),
        ];
        deepest(&code, &code.functions[0])
    }

    #[test]
    fn frames_are_rounded_up_and_added_along_the_calls() {
        assert_eq!(program(-8, -8), 64);
        assert_eq!(program(-256, -256), MOST);
        assert_eq!(program(-256, -264), MOST + 32);
    }
}
