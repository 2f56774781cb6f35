//! Computes with values: numbers that are known, and distances from pointers.

use crate::instruction::{Arithmetic, Condition};
use crate::state::{Typed, Value};

/// Is the condition met by two numbers? `None`: this comparison is not known here.
pub fn holds(condition: Condition, wide: bool, a: u64, b: u64) -> Option<bool> {
    let (a, b) = if wide {
        (a, b)
    } else {
        (u64::from(a as u32), u64::from(b as u32))
    };
    let signed = |number: u64| {
        if wide {
            number as i64
        } else {
            i64::from(number as u32 as i32)
        }
    };
    Some(match condition {
        Condition::Equal => a == b,
        Condition::NotEqual => a != b,
        Condition::Other(0x2) => a > b,
        Condition::Other(0x3) => a >= b,
        Condition::Other(0x4) => a & b != 0,
        Condition::Other(0x6) => signed(a) > signed(b),
        Condition::Other(0x7) => signed(a) >= signed(b),
        Condition::Other(0xa) => a < b,
        Condition::Other(0xb) => a <= b,
        Condition::Other(0xc) => signed(a) < signed(b),
        Condition::Other(0xd) => signed(a) <= signed(b),
        Condition::Other(_) => return None,
    })
}

pub fn arithmetic(operation: Arithmetic, wide: bool, a: Value, b: Value) -> Value {
    match (operation, a, b) {
        (Arithmetic::Move, _, value) if wide => value,
        (Arithmetic::Move, _, Value::Number(Some(number))) => {
            Value::Number(Some(u64::from(number as u32)))
        }
        (_, Value::Number(Some(a)), Value::Number(Some(b))) => {
            Value::Number(compute(operation, wide, a, b))
        }
        (Arithmetic::And, Value::Abilities(bits), Value::Number(Some(mask))) => {
            Value::Abilities(bits & mask)
        }
        (Arithmetic::Add, Value::Number(distance), pointer)
        | (Arithmetic::Add, pointer, Value::Number(distance))
            if wide =>
        {
            moved(pointer, distance)
        }
        (Arithmetic::Subtract, pointer, Value::Number(distance)) if wide => {
            moved(pointer, distance.map(u64::wrapping_neg))
        }
        _ => Value::Number(None),
    }
}

fn compute(operation: Arithmetic, wide: bool, a: u64, b: u64) -> Option<u64> {
    let half = |number: u64| if wide { number } else { number & 0xffff_ffff };
    let (a, b) = (half(a), half(b));
    let places = b as u32 % if wide { 64 } else { 32 };
    Some(half(match operation {
        Arithmetic::Add => a.wrapping_add(b),
        Arithmetic::Subtract => a.wrapping_sub(b),
        Arithmetic::Or => a | b,
        Arithmetic::And => a & b,
        Arithmetic::Xor => a ^ b,
        Arithmetic::ShiftLeft => a << places,
        Arithmetic::ShiftRight => a >> places,
        Arithmetic::Move | Arithmetic::Other => return None,
    }))
}

/// A pointer that something was added to.
fn moved(pointer: Value, distance: Option<u64>) -> Value {
    let plus = |start: Option<i32>| start?.checked_add(i32::try_from(distance? as i64).ok()?);
    match pointer {
        Value::Context(start) => Value::Context(plus(start)),
        Value::Frame(depth, start) => Value::Frame(depth, plus(start)),
        Value::Symbol(symbol, start) => Value::Symbol(symbol, plus(start)),
        Value::Typed(typed) => Value::Typed(Typed {
            whole: typed.whole && distance == Some(0),
            ..typed
        }),
        Value::Memory | Value::Untrusted => pointer,
        _ => Value::Number(None),
    }
}
