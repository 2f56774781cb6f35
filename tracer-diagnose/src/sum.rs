//! A sum of events of one kind.

/// No more events than this are named as examples.
const EXAMPLES: usize = 3;

/// How many, how much, when; with the first few by their `boot_ns`, by which they are found in the trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub count: u64,
    /// Payload, where the events say it.
    pub bytes: u64,
    /// Of how many events the payload is known.
    pub sized: u64,
    /// TCP segments, where the events say it.
    pub segments: u64,
    /// Time of the first event, nanoseconds of the wall clock; 0 while there is none.
    pub first_ns: i64,
    /// Time of the last event, nanoseconds of the wall clock; 0 while there is none.
    pub last_ns: i64,
    /// CLOCK_BOOTTIME of the first few.
    pub examples: Vec<u64>,
}

impl Sum {
    pub fn add(&mut self, wall_ns: i64, boot_ns: u64, count: u64) {
        if self.count == 0 {
            (self.first_ns, self.last_ns) = (wall_ns, wall_ns);
        }
        self.first_ns = self.first_ns.min(wall_ns);
        self.last_ns = self.last_ns.max(wall_ns);
        self.count = self.count.saturating_add(count);
        if self.examples.len() < EXAMPLES {
            self.examples.push(boot_ns);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other.clone();
            return;
        }
        self.count = self.count.saturating_add(other.count);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.sized = self.sized.saturating_add(other.sized);
        self.segments = self.segments.saturating_add(other.segments);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
        let room = EXAMPLES - self.examples.len().min(EXAMPLES);
        self.examples.extend(other.examples.iter().take(room));
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The sum of sums.
    pub fn of<'a>(sums: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        sums.for_each(|sum| all.merge(sum));
        all
    }
}
