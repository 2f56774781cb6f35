use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use super::*;
use object_proof::{Rule, prove, prove_some, stack};

#[test]
fn rings_are_powers_of_two_and_together_no_larger_than_asked() {
    let totals = [64 << 10, 1 << 20, 8 << 20, (8 << 20) + 12345];
    let wanted = [
        event_kind::FAILURES,
        event_kind::FAILURES | 1 << event_kind::SEND,
    ];
    for (total, wanted) in totals.into_iter().flat_map(|t| wanted.map(|w| (t, w))) {
        let sizes = ring_sizes(total, wanted);
        // A ring that is not wanted is a page beside the others.
        let unused = RINGS
            .iter()
            .filter(|(_, event_kind, _)| !has_share(*event_kind, wanted))
            .count();
        assert!(
            sizes
                .iter()
                .all(|(_, bytes)| bytes.is_power_of_two() && *bytes >= MIN_RING_BYTES)
        );
        assert!(
            sizes
                .iter()
                .map(|(_, bytes)| u64::from(*bytes))
                .sum::<u64>()
                <= total + unused as u64 * u64::from(MIN_RING_BYTES)
        );
    }
}

#[test]
fn the_default_ring_of_failed_sends_holds_the_default_rate() {
    let sizes = ring_sizes(8 << 20, event_kind::FAILURES);
    assert!(sizes.contains(&("EVENTS_SEND_ERROR", 2 << 20)), "{sizes:?}");
}

#[test]
fn an_error_that_only_the_kernel_knows_is_explained() {
    let error = ProgramError::SyscallError(aya::sys::SyscallError {
        call: "bpf_link_create",
        io_error: std::io::Error::from_raw_os_error(524),
    });
    match refused(&error) {
        ProgramVerdict::Refused { errno, text } => {
            assert_eq!(errno, Some(524));
            assert!(
                text.contains("does not support it on this processor"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
}

const BUILDS: [Build; 2] = [Build::Default, Build::Debug];

/// The BPF programs: name and instructions of their main function.
fn programs(build: Build) -> Vec<(String, Vec<[u8; 8]>)> {
    let object = object::File::parse(build.object()).unwrap();
    let mut found = Vec::new();
    for symbol in object.symbols().filter(|s| s.kind() == SymbolKind::Text) {
        let Some(section) = symbol.section_index() else {
            continue;
        };
        let section = object.section_by_index(section).unwrap();
        if section.name() == Ok(".text") || symbol.size() == 0 {
            continue;
        }
        let start = symbol.address() as usize;
        let code = &section.data().unwrap()[start..start + symbol.size() as usize];
        let instructions = code.chunks_exact(8).map(|c| c.try_into().unwrap());
        found.push((symbol.name().unwrap().to_owned(), instructions.collect()));
    }
    found
}

#[test]
fn a_program_that_calls_functions_of_its_own_does_nothing_else() {
    // BPF_JMP | BPF_CALL with BPF_PSEUDO_CALL as the source.
    let is_call = |code: &[u8; 8]| code[0] == 0x85 && code[1] >> 4 == 1;
    let programs: Vec<_> = BUILDS.into_iter().flat_map(programs).collect();
    assert!(programs.len() > 10, "{}", programs.len());
    let mut busy = Vec::new();
    for (name, code) in programs {
        let calls = code.iter().filter(|code| is_call(code)).count();
        // Arguments, one call, the end: no room to follow a pointer.
        if !(calls == 0 || (calls == 1 && code.len() <= 12)) {
            busy.push(format!(
                "{name}: {calls} calls in {} instructions",
                code.len()
            ));
        }
    }
    assert!(busy.is_empty(), "{}", busy.join("\n"));
}

#[test]
fn the_kernel_half_uses_no_atomic_operation_but_addition() {
    let object = object::File::parse(&OBJECT.0).unwrap();
    // BPF_STX | BPF_ATOMIC, 32 and 64 bits; the operation is the immediate, 0 is BPF_ADD without BPF_FETCH.
    let is_atomic = |code: &&[u8]| code[0] == 0xc3 || code[0] == 0xdb;
    for section in object.sections() {
        if section.kind() != object::SectionKind::Text {
            continue;
        }
        let code = section.data().unwrap();
        for code in code.chunks_exact(8).filter(is_atomic) {
            assert_eq!(
                code[4..],
                [0; 4],
                "kernels before 5.12: {:?}",
                section.name()
            );
        }
    }
}

#[test]
fn no_program_follows_a_null_pointer_or_reads_stack_that_it_has_not_written() {
    for build in BUILDS {
        nothing_is_unproven(build);
    }
}

fn nothing_is_unproven(build: Build) {
    let programs = prove(build.object()).unwrap();
    assert!(programs.len() > 30, "{}", programs.len());
    let followed: usize = programs.iter().map(|(_, found)| found.followed).sum();
    assert!(followed > 1000, "{followed}");
    let violations: Vec<_> = programs
        .iter()
        .flat_map(|(_, found)| &found.violations)
        .map(ToString::to_string)
        .collect();
    assert!(
        violations.is_empty(),
        "{build:?}: {}",
        violations.join("\n")
    );
}

#[test]
fn no_chain_of_calls_takes_more_stack_than_a_kernel_gives() {
    for build in BUILDS {
        let needed = stack::needed(build.object()).unwrap();
        assert!(needed.len() > 30, "{}", needed.len());
        assert!(needed.iter().any(|(_, bytes)| *bytes > 200));
        let too_much = |(_, bytes): &&(String, u32)| *bytes > stack::MOST;
        let refused: Vec<_> = needed.iter().filter(too_much).collect();
        assert!(refused.is_empty(), "{build:?}: {refused:?}");
    }
}

#[test]
fn the_object_that_is_loaded_by_default_says_nothing_of_itself() {
    let says = |build: Build| {
        let object = object::File::parse(build.object()).unwrap();
        let symbols = object.symbols().filter_map(|symbol| symbol.name().ok());
        let of_the_log = ["AYA_LOGS", "AYA_LOG_LEVEL"];
        let logs = symbols.filter(|name| of_the_log.contains(name)).count();
        let text = b" filtered: --netns";
        let texts = build.object().windows(text.len());
        (logs, texts.filter(|window| window == text).count() > 0)
    };
    assert_eq!(says(Build::Default), (0, false));
    assert_eq!(says(Build::Debug), (2, true));
}

#[test]
fn a_comparison_with_a_zero_that_is_known_would_be_found_in_the_object() {
    // The same object, with the zero under another name.
    let mut object = OBJECT.0.to_vec();
    let name = b"\0ZERO\0";
    let places: Vec<_> = (0..object.len() - name.len())
        .filter(|&at| object[at..].starts_with(name))
        .collect();
    for at in places {
        object[at + 1] = b'H';
    }
    let null_on_some_kernel = ["drop_rx_sk", "reset_sent", "reset_sent_reason"];
    let programs = prove_some(&object, |name| null_on_some_kernel.contains(&name)).unwrap();
    assert_eq!(programs.len(), null_on_some_kernel.len());
    for (name, found) in programs {
        let mut rules = found.violations.iter().map(|violation| violation.rule);
        assert!(rules.any(|rule| rule == Rule::Unproven), "{name}");
    }
}
