//! Walks every path of a program.

mod memory;

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use tracer_common::ability;

use crate::code::{Code, Function};
use crate::helpers::{Returned, helper};
use crate::instruction::{Callee, Condition, Instruction, Operand};
use crate::liveness::Liveness;
use crate::state::{Maybe, Origin, State, Typed, Value};
use crate::values::{arithmetic, holds};

/// So many states of one place are told apart that differ in nothing but numbers; then the numbers are forgotten.
const APART: usize = 4;
/// More steps mean that the walk does not end: the kernel itself gives up after a million.
const STEPS: usize = 4_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A typed pointer is followed that may be null.
    Unproven,
    /// A typed pointer is followed that was compared with the constant 0 first, a test that verifiers delete.
    DeletedTest,
    /// A pointer is followed without the test that verifiers insist on, so that they refuse the program.
    Untested,
    /// Bytes of the stack are read that were not written on this path.
    Unwritten,
    /// Something that is not known here, so that nothing would be proven.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub rule: Rule,
    pub program: String,
    pub function: String,
    /// Index of the instruction in the function.
    pub at: usize,
    pub why: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            program,
            function,
            at,
            why,
        } = self;
        write!(
            f,
            "{program}: {why} ({rule:?}, instruction {at} of {function})"
        )
    }
}

/// What was found in one program.
#[derive(Debug, Default)]
pub struct Findings {
    pub violations: BTreeSet<Violation>,
    pub steps: usize,
    /// How often a typed pointer was followed.
    pub followed: usize,
}

pub struct Machine<'a> {
    code: &'a Code,
    liveness: &'a Liveness,
    program: &'a Function,
    /// More than one way leads here.
    meets: Vec<bool>,
    /// The states that were met, by place and callers.
    seen: HashMap<(usize, Vec<usize>), Vec<Seen>>,
    /// Where to go on.
    open: Vec<(usize, State)>,
    findings: Findings,
}

struct Seen {
    state: State,
    /// It, with every number unknown.
    blurred: State,
}

impl<'a> Machine<'a> {
    pub fn new(code: &'a Code, liveness: &'a Liveness, program: &'a Function) -> Self {
        let mut ways = vec![0_u8; code.instructions.len() + 2];
        for (at, instruction) in code.instructions.iter().enumerate() {
            for next in instruction.successors(at).into_iter().flatten() {
                ways[next] = ways[next].saturating_add(1);
            }
            if let Instruction::Call(Callee::Function(start)) = instruction {
                (ways[*start], ways[at + 1]) = (2, 2);
            }
        }
        Self {
            code,
            liveness,
            program,
            meets: ways.into_iter().map(|ways| ways > 1).collect(),
            seen: HashMap::new(),
            open: Vec::new(),
            findings: Findings::default(),
        }
    }

    pub fn run(mut self) -> Findings {
        self.open.push((self.program.start, State::start()));
        while let Some((at, state)) = self.open.pop() {
            self.walk(at, state);
            if self.findings.steps > STEPS {
                self.report(self.program.start, Rule::Unknown, "the walk does not end");
                break;
            }
        }
        self.findings
    }

    /// Follows one path until it ends or was seen before; the other ways of its branches stay open.
    fn walk(&mut self, mut at: usize, mut state: State) {
        while self.findings.steps <= STEPS {
            if at >= self.code.instructions.len() {
                return self.report(at, Rule::Unknown, "the path leaves the code");
            }
            if self.meets[at] && self.was_seen(at, &mut state) {
                return;
            }
            self.findings.steps += 1;
            match self.step(at, &mut state) {
                Some(next) => at = next,
                None => return,
            }
        }
    }

    fn was_seen(&mut self, at: usize, state: &mut State) -> bool {
        state.keep(self.liveness.at(at));
        let origins = state.origins();
        let seen = self.seen.entry((at, state.callers())).or_default();
        if seen.iter().any(|seen| seen.state.covers(state, &origins)) {
            return true;
        }
        let blurred = state.blurred();
        if seen.iter().filter(|seen| seen.blurred == blurred).count() >= APART {
            seen.retain(|seen| seen.blurred != blurred);
            *state = blurred.clone();
        }
        seen.push(Seen {
            state: state.clone(),
            blurred,
        });
        false
    }

    fn report(&mut self, at: usize, rule: Rule, why: impl Into<String>) {
        let function = self.code.function(at);
        self.findings.violations.insert(Violation {
            rule,
            program: self.program.name.clone(),
            function: function.map_or("?", |function| &function.name).to_owned(),
            at: at - function.map_or(0, |function| function.start),
            why: why.into(),
        });
    }

    /// Executes one instruction; `None`: the path ends here.
    fn step(&mut self, at: usize, state: &mut State) -> Option<usize> {
        match self.code.instructions[at] {
            Instruction::Arithmetic {
                operation,
                wide,
                to,
                with,
            } => {
                let value = arithmetic(operation, wide, state.get(to), operand(state, with));
                state.set(to, value);
            }
            Instruction::Constant { to, value } => {
                state.set(to, Value::Number(Some(value)));
                return Some(at + 2);
            }
            Instruction::Address { to, symbol, offset } => {
                state.set(to, Value::Symbol(symbol, Some(offset)));
                return Some(at + 2);
            }
            Instruction::Load {
                to,
                base,
                offset,
                size,
            } => {
                let value = self.load(at, state, base, offset, size);
                state.set(to, value);
            }
            Instruction::Store {
                base,
                offset,
                size,
                value,
            } => {
                let value = operand(state, value);
                self.store(at, state, base, offset, size, value);
            }
            Instruction::Atomic {
                base,
                offset,
                size,
                source,
                fetches,
            } => {
                self.load(at, state, base, offset, size);
                self.store(at, state, base, offset, size, Value::Number(None));
                if fetches {
                    state.set(source, Value::Number(None));
                    state.set(0, Value::Number(None));
                }
            }
            Instruction::Branch {
                condition,
                wide,
                left,
                right,
                to,
            } => {
                let compared = (left, state.get(left), operand(state, right));
                return Some(self.branch(at, state, condition, wide, compared, to));
            }
            Instruction::Jump { to } => return Some(to),
            Instruction::Call(Callee::Function(start)) => {
                state.keep(self.liveness.across_call(at + 1));
                state.call(at + 1);
                return Some(start);
            }
            Instruction::Call(callee) => self.call(at, state, callee),
            Instruction::Exit => return state.leave(),
            Instruction::Rest => {
                self.report(
                    at,
                    Rule::Unknown,
                    "a path leads into the middle of an ld_imm64",
                );
                return None;
            }
        }
        Some(at + 1)
    }

    /// Compares a register, of which the value is given too, with another value. Leaves one way open, and returns
    /// the other.
    fn branch(
        &mut self,
        at: usize,
        state: &mut State,
        condition: Condition,
        wide: bool,
        (register, a, b): (u8, Value, Value),
        to: usize,
    ) -> usize {
        let holds = match (a, b) {
            (Value::Number(Some(a)), Value::Number(Some(b))) => holds(condition, wide, a, b),
            (Value::Abilities(mask), Value::Number(Some(number))) => match condition {
                Condition::Equal => state.abilities.equal(mask, number),
                Condition::NotEqual => state.abilities.equal(mask, number).map(|equal| !equal),
                Condition::Other(_) => None,
            },
            // Never null.
            (
                Value::Memory | Value::Frame(..) | Value::Context(_) | Value::Symbol(..),
                Value::Number(Some(0)),
            ) => match condition {
                Condition::Equal => Some(false),
                Condition::NotEqual => Some(true),
                Condition::Other(_) => None,
            },
            _ => None,
        };
        if let Some(holds) = holds {
            return if holds { to } else { at + 1 };
        }
        let (equal, differs) = match condition {
            Condition::Equal => (to, at + 1),
            Condition::NotEqual => (at + 1, to),
            Condition::Other(_) => {
                self.open.push((to, state.clone()));
                return at + 1;
            }
        };
        let mut when_equal = state.clone();
        match (a, b) {
            (Value::Typed(typed), Value::UnknownZero)
            | (Value::UnknownZero, Value::Typed(typed))
                if wide && typed.whole =>
            {
                state.for_each_of(typed.origin, |value, typed| {
                    *value = Value::Typed(Typed {
                        proven: true,
                        ..typed
                    });
                });
            }
            (Value::Typed(typed), Value::Number(Some(0)))
            | (Value::Number(Some(0)), Value::Typed(typed))
                if wide && typed.whole =>
            {
                state.for_each_of(typed.origin, |value, typed| {
                    *value = Value::Typed(Typed {
                        tested: true,
                        spoiled: typed.spoiled || !typed.proven,
                        ..typed
                    });
                });
                when_equal.for_each_of(typed.origin, |value, typed| {
                    *value = Value::Number(typed.whole.then_some(0));
                });
            }
            (Value::Maybe(kind, origin), Value::Number(Some(0))) if wide => {
                let found = match kind {
                    Maybe::Memory => Value::Memory,
                    Maybe::Typed => Value::Typed(Typed::new(Origin::Returned(origin), true)),
                };
                let replace = |state: &mut State, with| {
                    state.for_each(|value| {
                        if *value == a {
                            *value = with;
                        }
                    });
                };
                replace(state, found);
                replace(&mut when_equal, Value::Number(Some(0)));
            }
            // Of the other abilities it does not matter that they stay what they are.
            (Value::Abilities(mask @ ability::TASK_REGISTERS), Value::Number(Some(number))) => {
                state.abilities.learn(mask, number, false);
                when_equal.abilities.learn(mask, number, true);
            }
            (Value::Number(None), Value::Number(Some(_))) if wide => when_equal.set(register, b),
            _ => {}
        }
        // First the way on which more is possible: it mostly covers the other one where they meet.
        self.open.push((equal, when_equal));
        differs
    }

    fn call(&mut self, at: usize, state: &mut State, callee: Callee) {
        let known = match callee {
            Callee::Helper(number) => helper(number),
            Callee::Function(_) | Callee::Kernel => None,
        };
        let returned = match &known {
            Some(helper) => {
                for (index, &argument) in helper.arguments.iter().enumerate() {
                    let value = state.get(index as u8 + 1);
                    self.argument(at, state, helper.name, argument, value);
                }
                match helper.returned {
                    Returned::Number => Value::Number(None),
                    Returned::Untrusted => Value::Untrusted,
                    Returned::Maybe(kind) => Value::Maybe(kind, at as u32),
                    Returned::Typed => Value::Typed(Typed::new(Origin::Returned(at as u32), true)),
                }
            }
            None => {
                self.report(
                    at,
                    Rule::Unknown,
                    format!("calls {callee:?}, which is not known here"),
                );
                Value::Number(None)
            }
        };
        state.set(0, returned);
        for register in 1..6 {
            state.set(register, Value::Unset);
        }
    }
}

fn operand(state: &State, operand: Operand) -> Value {
    match operand {
        Operand::Register(register) => state.get(register),
        Operand::Immediate(number) => Value::Number(Some(i64::from(number) as u64)),
    }
}
