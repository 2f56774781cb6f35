//! Loads, stores and the arguments of helpers.

use std::mem::offset_of;

use tracer_common::Config;

use super::{Machine, Rule};
use crate::code::Symbol;
use crate::helpers::{Argument, Bytes};
use crate::state::{Origin, State, Typed, Value};

impl Machine<'_> {
    pub(super) fn load(
        &mut self,
        at: usize,
        state: &mut State,
        base: u8,
        offset: i16,
        size: u8,
    ) -> Value {
        let place = |start: Option<i32>| start.map(|start| start + i32::from(offset));
        match state.get(base) {
            Value::Context(start) => self.context(at, state, place(start), size),
            Value::Frame(depth, start) => self.stack(at, state, depth, place(start), size),
            Value::Typed(typed) => {
                self.follow(at, typed, "loads through");
                if size == 8 {
                    pointer(at, state)
                } else {
                    Value::Number(None)
                }
            }
            Value::Maybe(..) => {
                self.report(
                    at,
                    Rule::Untested,
                    "loads through what a helper returned, untested",
                );
                Value::Number(None)
            }
            Value::Symbol(symbol, start) if size == 8 => self.global(symbol, place(start)),
            Value::Untrusted if size == 8 => Value::Untrusted,
            // Through a number the verifier lets nobody load: a path that no kernel takes.
            _ => Value::Number(None),
        }
    }

    pub(super) fn store(
        &mut self,
        at: usize,
        state: &mut State,
        base: u8,
        offset: i16,
        size: u8,
        value: Value,
    ) {
        match state.get(base) {
            Value::Frame(depth, Some(start)) => {
                let place = start + i32::from(offset);
                if state.write(depth, place, size.into(), value).is_none() {
                    self.report(at, Rule::Unknown, "stores outside of the stack");
                }
            }
            Value::Frame(_, None) => {
                self.report(
                    at,
                    Rule::Unknown,
                    "stores into the stack, it is not known where",
                );
            }
            Value::Typed(typed) => self.follow(at, typed, "stores through"),
            Value::Context(_) => self.report(at, Rule::Unknown, "stores into the context"),
            Value::Maybe(..) => {
                self.report(
                    at,
                    Rule::Untested,
                    "stores through what a helper returned, untested",
                );
            }
            _ => {}
        }
    }

    /// A word of the context is an argument of the program.
    fn context(&mut self, at: usize, state: &mut State, place: Option<i32>, size: u8) -> Value {
        let Some(place) = place else {
            self.report(
                at,
                Rule::Unknown,
                "loads from the context, it is not known where",
            );
            return Value::Number(None);
        };
        // A perf event is a record of numbers.
        let is_record = self.program.section.split('/').next() == Some("tracepoint");
        if is_record || size < 8 || place % 8 != 0 {
            return Value::Number(None);
        }
        let origin = Origin::Argument((place / 8) as u8);
        // Another look at the same argument is the same pointer.
        let mut known = Typed::new(origin, false);
        state.for_each_of(origin, |_, typed| {
            known.proven |= typed.proven;
            known.tested |= typed.tested;
            known.spoiled |= typed.spoiled;
        });
        Value::Typed(known)
    }

    fn stack(
        &mut self,
        at: usize,
        state: &mut State,
        depth: u8,
        place: Option<i32>,
        size: u8,
    ) -> Value {
        let Some(place) = place else {
            self.report(
                at,
                Rule::Unknown,
                "loads from the stack, it is not known where",
            );
            return Value::Number(None);
        };
        if !state.is_written(depth, place, size.into()) {
            let why =
                format!("{size} bytes of the stack at {place} are read, not all of them written");
            self.report(at, Rule::Unwritten, why);
        }
        match state.read(depth, place, size.into()) {
            Value::Kept => pointer(at, state),
            value => value,
        }
    }

    /// What eight bytes of a global hold.
    fn global(&self, symbol: u16, place: Option<i32>) -> Value {
        const ABILITIES: i32 = offset_of!(Config, abilities) as i32;
        match &self.code.symbols[usize::from(symbol)] {
            // What is frozen before loading the verifier knows.
            Symbol::Global {
                name,
                writable: true,
            } if name == crate::UNKNOWN_ZERO && place == Some(0) => Value::UnknownZero,
            Symbol::Global {
                name,
                writable: false,
            } if name == "CONFIG" && place == Some(ABILITIES) => Value::Abilities(u64::MAX),
            _ => Value::Number(None),
        }
    }

    /// A typed pointer is followed, here or by a helper.
    fn follow(&mut self, at: usize, typed: Typed, how: &str) {
        self.findings.followed += 1;
        let rule = if !typed.proven {
            Rule::Unproven
        } else if typed.spoiled {
            Rule::DeletedTest
        } else if !typed.tested {
            Rule::Untested
        } else {
            return;
        };
        let why = match rule {
            Rule::Unproven => "which may be null",
            Rule::DeletedTest => "which was compared with the constant 0 first",
            _ => "which was not compared with the constant 0",
        };
        let name = self.name(typed.origin);
        self.report(at, rule, format!("{how} {name}, {why}"));
    }

    /// How an origin is called in a report.
    fn name(&self, origin: Origin) -> String {
        let place = |at: u32| match self.code.function(at as usize) {
            Some(function) => format!(
                "instruction {} of {}",
                at as usize - function.start,
                function.name
            ),
            None => format!("instruction {at}"),
        };
        match origin {
            Origin::Argument(number) => format!("argument {number}"),
            Origin::Loaded(at) => format!("the pointer that {} loads", place(at)),
            Origin::Returned(at) => format!("what the call at {} returns", place(at)),
        }
    }

    pub(super) fn argument(
        &mut self,
        at: usize,
        state: &mut State,
        helper: &str,
        argument: Argument,
        value: Value,
    ) {
        let (bytes, reads) = match argument {
            Argument::Plain => return,
            Argument::Followed => {
                match value {
                    Value::Typed(typed) => self.follow(at, typed, &format!("gives {helper}")),
                    Value::Maybe(..) => {
                        let why = format!("gives {helper} what another one returned, untested");
                        self.report(at, Rule::Untested, why);
                    }
                    _ => {}
                }
                return;
            }
            Argument::Read(bytes) => (bytes, true),
            Argument::Written(bytes) => (bytes, false),
        };
        let Value::Frame(depth, start) = value else {
            return;
        };
        let (Some(start), Some(size)) = (start, self.bytes(state, bytes)) else {
            let why = format!("gives {helper} stack, it is not known where or how much");
            return self.report(at, Rule::Unknown, why);
        };
        if !reads {
            if state
                .write(depth, start, size, Value::Number(None))
                .is_none()
            {
                self.report(
                    at,
                    Rule::Unknown,
                    format!("{helper} writes outside of the stack"),
                );
            }
        } else if !state.is_written(depth, start, size) {
            let why = format!(
                "{helper} reads {size} bytes of the stack at {start}, not all of them written"
            );
            self.report(at, Rule::Unwritten, why);
        }
    }

    fn bytes(&self, state: &State, bytes: Bytes) -> Option<u32> {
        let map = match state.get(1) {
            Value::Symbol(symbol, Some(0)) => self.code.symbols.get(usize::from(symbol)),
            _ => None,
        };
        match (bytes, map) {
            (Bytes::In(register), _) => match state.get(register) {
                Value::Number(size) => size?.try_into().ok(),
                _ => None,
            },
            (Bytes::Key, Some(Symbol::Map { key, .. })) => *key,
            (Bytes::Value, Some(Symbol::Map { value, .. })) => *value,
            _ => None,
        }
    }
}

/// Eight bytes may be a pointer. In a loop the same instruction loads another one: of those before nothing is known
/// any more.
fn pointer(at: usize, state: &mut State) -> Value {
    let origin = Origin::Loaded(at as u32);
    let unknown = Typed::new(origin, false);
    state.for_each_of(origin, |value, _| {
        *value = Value::Typed(Typed {
            whole: false,
            ..unknown
        });
    });
    Value::Typed(unknown)
}
