//! What is known at one point of one path: registers, and the stack of every function that is under way.

/// Bytes of the stack of one function.
pub const STACK: i32 = 512;
const SLOTS: usize = STACK as usize / 8;

/// Where a typed pointer comes from. The same origin is the same pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Argument of the program, counted from 0.
    Argument(u8),
    /// Loaded through another typed pointer by the instruction at this index.
    Loaded(u32),
    /// Returned by the helper that is called there.
    Returned(u32),
}

/// A pointer into the kernel whose type the verifier knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typed {
    pub origin: Origin,
    /// Nothing was added to it yet.
    pub whole: bool,
    /// It was compared with a zero that the verifier does not know, and differed.
    pub proven: bool,
    /// It was compared with the constant 0, and differed.
    pub tested: bool,
    /// That was before it was proven, so the test may have been deleted.
    pub spoiled: bool,
}

impl Typed {
    pub fn new(origin: Origin, proven: bool) -> Self {
        Self {
            origin,
            whole: true,
            proven,
            tested: proven,
            spoiled: false,
        }
    }

    fn covers(self, other: Self) -> bool {
        self.origin == other.origin
            && self.whole == other.whole
            && self.proven <= other.proven
            && self.tested <= other.tested
            && self.spoiled >= other.spoiled
    }
}

/// What a helper returns that may be null, and that the verifier makes everybody test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maybe {
    Memory,
    Typed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// Nothing was written, or nobody reads it any more.
    #[default]
    Unset,
    /// A plain number, which may be known.
    Number(Option<u64>),
    /// The zero that the verifier does not know.
    UnknownZero,
    /// These bits of the kernel's abilities, which are the same wherever they are read.
    Abilities(u64),
    /// The program's context, and how far into it; `None`: not known.
    Context(Option<i32>),
    /// Into the stack of the function at this depth, from its upper end; `None`: not known where.
    Frame(u8, Option<i32>),
    Typed(Typed),
    /// A number or a typed pointer, kept where pointers may reach it: which of them was forgotten.
    Kept,
    /// What the helper at this index returned, not yet tested.
    Maybe(Maybe, u32),
    /// Memory of a map or of a ring: never null.
    Memory,
    /// A map itself or a global, by its symbol, and how far into it.
    Symbol(u16, Option<i32>),
    /// A pointer that the verifier trusts with nothing but loads, each of which has an exception entry.
    Untrusted,
}

impl Value {
    /// Is everything that may follow for `other` already seen with this value? `origins` are those of the state
    /// that the other value belongs to.
    fn covers(self, other: Self, origins: &[Origin]) -> bool {
        match (self, other) {
            (Self::Number(None), Self::Number(_) | Self::Abilities(_)) => true,
            (Self::Typed(this), Self::Typed(other)) => this.covers(other),
            // A number can do nothing that this pointer cannot, unless a test of it proved another copy of it.
            (Self::Typed(this), Self::Number(_)) => this.whole && !origins.contains(&this.origin),
            (Self::Kept, Self::Number(_) | Self::Unset) => true,
            _ => self == other,
        }
    }

    /// This value without the number that it may be.
    fn blurred(self) -> Self {
        match self {
            Self::Number(_) => Self::Number(None),
            other => other,
        }
    }
}

/// Eight bytes of a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    /// Bit per byte.
    written: u8,
    /// The first byte and the size of the value that was stored last, while it is whole; of none else.
    at: u8,
    size: u8,
    value: Value,
}

impl Slot {
    fn covers(&self, other: &Self, origins: &[Origin]) -> bool {
        if self.written & !other.written != 0 {
            return false;
        }
        if (self.at, self.size) == (other.at, other.size) {
            return self.value.covers(other.value, origins);
        }
        // What is not kept is read as a number.
        match (self.size, other.size) {
            (0, _) => matches!(other.value, Value::Number(_)),
            (_, 0) => self.size == 8 && self.value.covers(Value::Number(None), origins),
            _ => false,
        }
    }

    fn forget(&mut self) {
        (self.value, self.at, self.size) = (Value::Unset, 0, 0);
    }

    /// Forgets what is not worth telling apart where pointers may reach it.
    fn share(&mut self) {
        match self.value {
            Value::Unset | Value::Number(_) | Value::Typed(_) | Value::Abilities(_) => {
                self.forget();
                if self.written == u8::MAX {
                    (self.value, self.size) = (Value::Kept, 8);
                }
            }
            _ => {}
        }
    }
}

/// A function that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    /// r6 to r9 of the caller.
    saved: [Value; 4],
    /// Where the caller goes on.
    back: usize,
    slots: [Slot; SLOTS],
}

impl Frame {
    fn new(saved: [Value; 4], back: usize) -> Self {
        Self {
            saved,
            back,
            slots: [Slot::default(); SLOTS],
        }
    }
}

/// Bits that were found to be on or off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bits {
    known: u64,
    on: u64,
}

impl Bits {
    fn covers(self, other: Self) -> bool {
        self.known & !other.known == 0 && self.on == other.on & self.known
    }

    /// Is `bits & mask == number`, when that can be told?
    pub fn equal(self, mask: u64, number: u64) -> Option<bool> {
        let known = self.known & mask;
        if self.on & mask != number & known {
            return Some(false);
        }
        (known == mask).then_some(true)
    }

    /// `bits & mask == number` was found to be so, or not to be so.
    pub fn learn(&mut self, mask: u64, number: u64, equal: bool) {
        if equal || mask.is_power_of_two() {
            let on = if equal { number } else { !number } & mask;
            self.known |= mask;
            self.on = self.on & !mask | on;
        }
    }
}

/// What of a function is read later on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Bit per register.
    pub registers: u16,
    /// Bit per eight bytes of the stack, from its lower end.
    pub slots: u64,
    /// The same of those that pointers may reach.
    pub shared: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// r0 to r9.
    registers: [Value; 10],
    frames: Vec<Frame>,
    pub abilities: Bits,
}

impl State {
    /// At the start of a program.
    pub fn start() -> Self {
        let mut registers = [Value::Unset; 10];
        registers[1] = Value::Context(Some(0));
        Self {
            registers,
            frames: vec![Frame::new([Value::Unset; 4], 0)],
            abilities: Bits::default(),
        }
    }

    pub fn get(&self, register: u8) -> Value {
        if register == 10 {
            return Value::Frame(self.frames.len() as u8 - 1, Some(0));
        }
        match self.registers[usize::from(register)] {
            Value::Unset => Value::Number(None),
            value => value,
        }
    }

    pub fn set(&mut self, register: u8, value: Value) {
        self.registers[usize::from(register)] = value;
    }

    /// Where the functions under way go on: the same code may be reached through different callers.
    pub fn callers(&self) -> Vec<usize> {
        self.frames.iter().map(|frame| frame.back).collect()
    }

    /// Starts another function with r1 to r5.
    pub fn call(&mut self, back: usize) {
        let [.., a, b, c, d] = self.registers;
        self.registers[0] = Value::Unset;
        self.registers[6..].fill(Value::Unset);
        self.frames.push(Frame::new([a, b, c, d], back));
    }

    /// Ends the function under way; `None` when it was the program itself.
    pub fn leave(&mut self) -> Option<usize> {
        let frame = self.frames.pop()?;
        if self.frames.is_empty() {
            return None;
        }
        self.registers[1..6].fill(Value::Unset);
        self.registers[6..].copy_from_slice(&frame.saved);
        Some(frame.back)
    }

    /// Writes bytes of a stack; `None`: they are not all inside of it.
    pub fn write(&mut self, depth: u8, offset: i32, size: u32, value: Value) -> Option<()> {
        let bytes = place(offset, size)?;
        let frame = self.frames.get_mut(usize::from(depth))?;
        let (start, end) = (bytes.start, bytes.end);
        for byte in bytes {
            let slot = &mut frame.slots[byte / 8];
            slot.written |= 1 << (byte % 8);
            if (slot.at..slot.at + slot.size).contains(&((byte % 8) as u8)) {
                slot.forget();
            }
        }
        let fits = start / 8 == (end - 1) / 8;
        let is_number = matches!(value, Value::Number(_));
        if fits && value != Value::Number(None) && (size == 8 || is_number) {
            let slot = &mut frame.slots[start / 8];
            (slot.value, slot.at, slot.size) = (value, (start % 8) as u8, size as u8);
        }
        Some(())
    }

    /// Are all of these bytes of a stack written?
    pub fn is_written(&self, depth: u8, offset: i32, size: u32) -> bool {
        let frame = self.frames.get(usize::from(depth));
        let (Some(mut bytes), Some(frame)) = (place(offset, size), frame) else {
            return false;
        };
        bytes.all(|byte| frame.slots[byte / 8].written & 1 << (byte % 8) != 0)
    }

    /// What was stored there.
    pub fn read(&self, depth: u8, offset: i32, size: u32) -> Value {
        let Some(start) = place(offset, size).map(|bytes| bytes.start) else {
            return Value::Number(None);
        };
        let slot = self.frames[usize::from(depth)].slots[start / 8];
        if usize::from(slot.at) == start % 8 && u32::from(slot.size) == size {
            slot.value
        } else {
            Value::Number(None)
        }
    }

    /// Changes every value that is kept anywhere.
    pub fn for_each(&mut self, mut change: impl FnMut(&mut Value)) {
        self.registers.iter_mut().for_each(&mut change);
        for frame in &mut self.frames {
            frame.saved.iter_mut().for_each(&mut change);
            for slot in frame.slots.iter_mut().filter(|slot| slot.size > 0) {
                change(&mut slot.value);
                if slot.value == Value::Number(None) {
                    slot.forget();
                }
            }
        }
    }

    /// Changes every copy of one typed pointer.
    pub fn for_each_of(&mut self, origin: Origin, mut change: impl FnMut(&mut Value, Typed)) {
        self.for_each(|value| {
            if let Value::Typed(typed) = *value
                && typed.origin == origin
            {
                change(value, typed);
            }
        });
    }

    /// Forgets what nobody reads any more in the function under way.
    pub fn keep(&mut self, live: Live) {
        for (index, value) in self.registers.iter_mut().enumerate() {
            if live.registers & 1 << index == 0 {
                *value = Value::Unset;
            }
        }
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        for (index, slot) in frame.slots.iter_mut().enumerate() {
            if live.shared & 1 << index != 0 {
                slot.share();
            } else if live.slots & 1 << index == 0 {
                *slot = Slot::default();
            }
        }
    }

    /// Is everything that may follow from `other` already seen from this state? `origins` are those of the other.
    pub fn covers(&self, other: &Self, origins: &[Origin]) -> bool {
        let all = |this: &[Value], other: &[Value]| {
            let mut pairs = this.iter().zip(other);
            pairs.all(|(this, other)| this.covers(*other, origins))
        };
        self.abilities.covers(other.abilities)
            && all(&self.registers, &other.registers)
            && self.frames.iter().zip(&other.frames).all(|(this, other)| {
                let mut slots = this.slots.iter().zip(&other.slots);
                all(&this.saved, &other.saved)
                    && slots.all(|(this, other)| this.covers(other, origins))
            })
    }

    /// The typed pointers that are kept anywhere.
    pub fn origins(&self) -> Vec<Origin> {
        let kept = self.frames.iter().flat_map(|frame| {
            let slots = frame.slots.iter().map(|slot| slot.value);
            frame.saved.iter().copied().chain(slots)
        });
        let all = self.registers.iter().copied().chain(kept);
        all.filter_map(|value| match value {
            Value::Typed(typed) => Some(typed.origin),
            _ => None,
        })
        .collect()
    }

    /// This state with every number unknown.
    pub fn blurred(&self) -> Self {
        let mut state = self.clone();
        state.for_each(|value| *value = value.blurred());
        state
    }
}

/// The bytes of a place in a stack, counted from its lower end.
fn place(offset: i32, size: u32) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(offset.checked_add(STACK)?).ok()?;
    let end = start + size as usize;
    (size > 0 && end <= STACK as usize).then_some(start..end)
}
