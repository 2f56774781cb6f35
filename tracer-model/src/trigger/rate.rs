//! How many events within how much time: a window that slides with the events.

use std::collections::VecDeque;

/// Up to this many entries a window is exact to the nanosecond: one entry is at least one event, and no more
/// entries than events that fire are needed. Larger limits merge events that are closer together than the
/// window's length divided by this (60 s: 0.9 ms), and count them at the time of the first.
const ENTRIES: u64 = 1 << 16;

/// `rate>N/T` or `rate>=N/T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// The least number of events that fires: N+1 for `>`, N for `>=`. Above 0.
    pub fires_at: u64,
    /// The length of the window, nanoseconds. Above 0.
    pub window_ns: u64,
}

/// The events of the last `window_ns`, or the newest of them if those alone fire.
#[derive(Clone, Debug)]
pub(super) struct Window {
    limit: Limit,
    /// (nanoseconds of CLOCK_BOOTTIME, events), the oldest first.
    entries: VecDeque<(u64, u128)>,
    /// The sum of all entries.
    events: u128,
    /// Events that are as close as this share an entry, nanoseconds; 0 when each has its own.
    merge_ns: u64,
    /// The latest time of all events so far: time does not go back.
    now_ns: u64,
}

impl Window {
    pub fn new(limit: Limit) -> Self {
        let merge_ns = if limit.fires_at <= ENTRIES {
            0
        } else {
            limit.window_ns.div_ceil(ENTRIES)
        };
        Self {
            limit,
            entries: VecDeque::new(),
            events: 0,
            merge_ns,
            now_ns: 0,
        }
    }

    /// Counts `count` events at a time, and says whether as many as fire lie in the window that ends with the
    /// latest event. An event that is exactly the window's length older than the latest is out.
    pub fn add(&mut self, boot_ns: u64, count: u64) -> bool {
        self.now_ns = self.now_ns.max(boot_ns);
        self.insert(boot_ns, count);
        let oldest = self.now_ns.checked_sub(self.limit.window_ns);
        while let Some(&(at, events)) = self.entries.front() {
            let over = oldest.is_some_and(|oldest| at <= oldest);
            // What is newer fires alone, so this will never decide.
            let needless = self.events - events >= u128::from(self.limit.fires_at);
            if !over && !needless {
                break;
            }
            self.entries.pop_front();
            self.events -= events;
        }
        self.events >= u128::from(self.limit.fires_at)
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.events = 0;
    }

    /// Events come nearly in order, so the place is near the end.
    fn insert(&mut self, boot_ns: u64, count: u64) {
        if count == 0 {
            return;
        }
        let count = u128::from(count);
        self.events += count;
        let after = self
            .entries
            .iter()
            .rev()
            .take_while(|(at, _)| *at > boot_ns);
        let place = self.entries.len() - after.count();
        let earlier = place.checked_sub(1).and_then(|i| self.entries.get_mut(i));
        match earlier {
            Some((at, events)) if *at == boot_ns || boot_ns - *at < self.merge_ns => {
                *events += count;
            }
            _ => self.entries.insert(place, (boot_ns, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn window(fires_at: u64, window_ns: u64) -> Window {
        Window::new(Limit {
            fires_at,
            window_ns,
        })
    }

    #[test]
    fn one_event_less_than_fires_does_not() {
        let mut window = window(11, SECOND);
        for i in 0..10 {
            assert!(!window.add(5 * SECOND + i, 1));
        }
        assert!(window.add(5 * SECOND + 10, 1));
    }

    #[test]
    fn an_event_leaves_exactly_when_the_window_is_over() {
        let mut inside = window(2, SECOND);
        assert!(!inside.add(7, 1));
        assert!(inside.add(7 + SECOND - 1, 1));
        let mut outside = window(2, SECOND);
        assert!(!outside.add(7, 1));
        assert!(!outside.add(7 + SECOND, 1));
    }

    #[test]
    fn an_aggregated_event_counts_for_all_that_it_stands_for() {
        let mut window = window(11, SECOND);
        assert!(!window.add(1, 4));
        assert!(!window.add(2, 6));
        assert!(window.add(3, 1));
        assert!(self::window(11, SECOND).add(1, 11));
        assert!(!self::window(11, SECOND).add(1, 10));
        assert!(self::window(u64::MAX, SECOND).add(1, u64::MAX));
        assert!(!self::window(1, SECOND).add(1, 0));
    }

    #[test]
    fn sums_beyond_64_bits_are_no_problem() {
        let mut window = window(u64::MAX, SECOND);
        assert!(!window.add(1, u64::MAX - 1));
        assert!(window.add(1, u64::MAX));
        assert!(window.add(2, u64::MAX));
        assert!(!window.add(3 + SECOND, 1));
    }

    #[test]
    fn it_fires_as_long_as_the_rate_holds_and_then_stops() {
        let mut window = window(3, SECOND);
        let tenth = SECOND / 10;
        let fired: Vec<bool> = [0, 1, 2, 3, 12, 13, 14]
            .map(|tenths| window.add(SECOND + tenths * tenth, 1))
            .into();
        assert_eq!(fired, [false, false, true, true, false, false, true]);
    }

    #[test]
    fn a_late_event_counts_at_its_own_time() {
        let mut counts = window(3, SECOND);
        counts.add(10 * SECOND, 1);
        counts.add(10 * SECOND + 5, 1);
        assert!(counts.add(10 * SECOND - 5, 1));
        // And leaves at its own time: one of three is gone here.
        assert!(!counts.add(11 * SECOND - 5, 0));
    }

    #[test]
    fn time_does_not_go_back() {
        let mut window = window(2, SECOND);
        window.add(10 * SECOND, 1);
        assert!(!window.add(9 * SECOND, 1));
        assert!(!window.add(0, 1));
        assert!(window.add(10 * SECOND - 1, 1));
    }

    #[test]
    fn what_was_counted_is_forgotten_when_armed_again() {
        let mut window = window(2, SECOND);
        window.add(1, 1);
        window.clear();
        assert!(!window.add(2, 1));
        assert!(window.add(3, 1));
    }

    #[test]
    fn memory_is_bounded_by_the_events_that_fire_and_by_the_entries() {
        let mut small = window(5, 3600 * SECOND);
        for i in 0..10_000 {
            small.add(i, 1);
        }
        assert!(small.entries.len() <= 5);

        let mut large = window(10_000_000, SECOND);
        for i in 0..300_000_u64 {
            assert!(!large.add(i * 7919, 1), "{i}");
        }
        assert!(
            large.entries.len() as u64 <= ENTRIES + 1,
            "{}",
            large.entries.len()
        );
    }

    #[test]
    fn what_is_merged_for_a_large_limit_is_counted_to_the_last_event() {
        let mut window = window(100_000, SECOND);
        let fired = (0..100_000).find(|i| window.add(SECOND + i * 9_999, 1));
        assert_eq!(fired, Some(99_999));
    }

    /// All events of (now − window, now], the slow way.
    #[test]
    fn it_agrees_with_a_plain_count_on_any_ordered_run() {
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            let (fires_at, window_ns) = (1 + random(30), 1 + random(50));
            let mut window = window(fires_at, window_ns);
            let mut all: Vec<(u64, u64)> = Vec::new();
            let mut now = 0;
            for _ in 0..200 {
                now += random(8);
                let count = 1 + random(4);
                all.push((now, count));
                let plain: u64 = all
                    .iter()
                    .filter(|(at, _)| at + window_ns > now)
                    .map(|(_, count)| count)
                    .sum();
                assert_eq!(window.add(now, count), plain >= fires_at);
            }
        }
    }
}
