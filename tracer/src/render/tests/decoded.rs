//! Whatever the BPF programs may write, its lines are whole.

use tracer_capture::decode::{self, Names, decode};

use super::*;

/// A host that knows no name.
struct Nameless;

impl Names for Nameless {
    fn drop_reason(&self, _: u32) -> Option<String> {
        None
    }
    fn reset_reason(&self, _: u32) -> Option<String> {
        None
    }
    fn symbol(&self, _: u64) -> Option<String> {
        None
    }
    fn interface(&self, _: u32, _: u32) -> Option<String> {
        None
    }
    fn hz(&self) -> u64 {
        0
    }
}

#[test]
fn every_record_of_any_bytes_makes_one_line() {
    let clock = Clock {
        wall_minus_boot_ns: 0,
        zone: TimeZone::UTC,
    };
    let mut rng = tracer_model::testing::Rng::new(11);
    let mut rendered = [0; 7];
    for round in 0..300 {
        for (event_kind, rendered) in rendered.iter_mut().enumerate() {
            let event_kind = event_kind as u32;
            for length in (8..400).step_by(8) {
                let mut bytes: Vec<u8> = (0..length)
                    .map(|_| match round % 3 {
                        0 => 0,
                        1 => 0xff,
                        _ => rng.any() as u8,
                    })
                    .collect();
                if let Some(number) = bytes.get_mut(8..12) {
                    number.copy_from_slice(&event_kind.to_ne_bytes());
                }
                // The family, so that all of them are met.
                if let Some(family) = bytes.get_mut(88..90) {
                    family.copy_from_slice(&(round as u16 % 50).to_ne_bytes());
                }
                let Ok(record) = decode(event_kind, &bytes) else {
                    continue;
                };
                let event = decode::event(&record, Owner::default(), &Nameless);
                for renderer in [Renderer::Json, Renderer::Text { colour: false }] {
                    assert!(renderer.event(&event, &clock).ends_with('\n'));
                }
                *rendered += 1;
            }
        }
    }
    assert!(rendered.iter().all(|count| *count >= 300), "{rendered:?}");
}
