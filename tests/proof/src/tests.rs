//! The proof must be able to fail: each rule has a program that breaks it, and a healthy twin.

use super::code::{Function, Symbol};
use super::instruction::Instruction;
use super::*;

type Bytes = [u8; 8];

const ZERO: i32 = 0;
const FROZEN_ZERO: i32 = 1;
const MAP: i32 = 2;
const CONFIG: i32 = 3;

fn symbols() -> Vec<Symbol> {
    let global = |name: &str, writable| Symbol::Global {
        name: name.to_owned(),
        writable,
    };
    vec![
        global(UNKNOWN_ZERO, true),
        global(UNKNOWN_ZERO, false),
        Symbol::Map {
            name: "MAP".to_owned(),
            key: Some(4),
            value: Some(16),
        },
        global("CONFIG", false),
    ]
}

fn code(opcode: u8, to: u8, source: u8, offset: i16, immediate: i32) -> Bytes {
    let [a, b] = offset.to_le_bytes();
    let [c, d, e, f] = immediate.to_le_bytes();
    [opcode, to | source << 4, a, b, c, d, e, f]
}

fn load(to: u8, base: u8, offset: i16) -> Bytes {
    code(0x79, to, base, offset, 0)
}

fn load4(to: u8, base: u8, offset: i16) -> Bytes {
    code(0x61, to, base, offset, 0)
}

fn store(base: u8, offset: i16, from: u8) -> Bytes {
    code(0x7b, base, from, offset, 0)
}

fn store4(base: u8, offset: i16, from: u8) -> Bytes {
    code(0x63, base, from, offset, 0)
}

fn copy(to: u8, from: u8) -> Bytes {
    code(0xbf, to, from, 0, 0)
}

fn set(to: u8, number: i32) -> Bytes {
    code(0xb7, to, 0, 0, number)
}

fn add(to: u8, number: i32) -> Bytes {
    code(0x07, to, 0, 0, number)
}

fn and(to: u8, number: i32) -> Bytes {
    code(0x57, to, 0, 0, number)
}

/// Skips instructions when a register is this number.
fn skip_if(register: u8, number: i32, count: i16) -> Bytes {
    code(0x15, register, 0, count, number)
}

fn skip_if_same(register: u8, other: u8, count: i16) -> Bytes {
    code(0x1d, register, other, count, 0)
}

fn skip(count: i16) -> Bytes {
    code(0x05, 0, 0, count, 0)
}

fn helper(number: i32) -> Bytes {
    code(0x85, 0, 0, 0, number)
}

/// The function that starts so many instructions after the next one.
fn function(distance: i32) -> Bytes {
    code(0x85, 0, 1, 0, distance)
}

const EXIT: Bytes = [0x95, 0, 0, 0, 0, 0, 0, 0];

/// Two instructions: the address of a symbol.
fn address(to: u8, symbol: i32) -> [Bytes; 2] {
    [code(0x18, to, 0, 0, symbol), [0; 8]]
}

/// What is wrong with a program; its functions start at these indices.
fn rules_of(section: &str, bytes: &[Bytes], functions: &[usize]) -> Vec<Rule> {
    let mut code = Code {
        symbols: symbols(),
        ..Code::default()
    };
    code.append(&bytes.concat()).unwrap();
    for instruction in &mut code.instructions {
        if let Instruction::Constant { to, value } = *instruction {
            let (symbol, offset) = (value as u16, 0);
            *instruction = Instruction::Address { to, symbol, offset };
        }
    }
    let mut starts = vec![0];
    starts.extend(functions);
    starts.push(bytes.len());
    for (index, range) in starts.windows(2).enumerate() {
        code.functions.push(Function {
            name: format!("function {index}"),
            section: if index == 0 { section } else { ".text" }.to_owned(),
            start: range[0],
            end: range[1],
        });
    }
    let liveness = Liveness::of(&code);
    let program = code.programs().next().unwrap();
    let findings = Machine::new(&code, &liveness, program).run();
    findings
        .violations
        .into_iter()
        .map(|found| found.rule)
        .collect()
}

fn rules(bytes: &[Bytes]) -> Vec<Rule> {
    rules_of("tp_btf/kfree_skb", bytes, &[])
}

/// r6 is the first argument; `tests` may leave by skipping to the two last instructions.
fn with_argument(tests: &[Bytes], follow: &[Bytes]) -> Vec<Rule> {
    let [zero, rest] = address(2, ZERO);
    let start = [load(6, 1, 0), zero, rest, load(2, 2, 0)];
    rules(&[&start, tests, follow, &[set(0, 0), EXIT]].concat())
}

#[test]
fn a_load_through_an_argument_needs_both_tests_in_their_order() {
    let follow = [load4(3, 6, 18)];
    let (unknown, constant) = (
        |count| skip_if_same(6, 2, count),
        |count| skip_if(6, 0, count),
    );
    assert_eq!(with_argument(&[unknown(2), constant(1)], &follow), []);
    assert_eq!(with_argument(&[], &follow), [Rule::Unproven]);
    assert_eq!(with_argument(&[constant(1)], &follow), [Rule::Unproven]);
    assert_eq!(with_argument(&[unknown(1)], &follow), [Rule::Untested]);
    assert_eq!(
        with_argument(&[constant(2), unknown(1)], &follow),
        [Rule::DeletedTest]
    );
}

#[test]
fn a_store_through_an_argument_is_no_better_than_a_load() {
    let follow = [store4(6, 18, 2)];
    assert_eq!(with_argument(&[], &follow), [Rule::Unproven]);
    let tests = [skip_if_same(6, 2, 2), skip_if(6, 0, 1)];
    assert_eq!(with_argument(&tests, &follow), []);
}

#[test]
fn the_way_on_which_the_pointer_is_null_is_not_proven() {
    let follow = [load4(3, 6, 18)];
    // JNE in the place of JEQ.
    let inverted = [code(0x5d, 6, 2, 2, 0), skip_if(6, 0, 1)];
    assert_eq!(with_argument(&inverted, &follow), [Rule::Unproven]);
}

#[test]
fn a_zero_that_the_verifier_knows_proves_nothing() {
    let program = |symbol| {
        let [zero, rest] = address(2, symbol);
        rules(&[
            load(6, 1, 0),
            zero,
            rest,
            load(2, 2, 0),
            skip_if_same(6, 2, 2),
            skip_if(6, 0, 1),
            load4(3, 6, 18),
            set(0, 0),
            EXIT,
        ])
    };
    assert_eq!(program(ZERO), []);
    assert_eq!(program(FROZEN_ZERO), [Rule::Unproven]);
}

#[test]
fn a_test_of_another_pointer_or_of_a_place_behind_it_proves_nothing() {
    let tests = [skip_if_same(7, 2, 2), skip_if(7, 0, 1)];
    let follow = [load4(3, 6, 18)];
    let with = |seven: &[Bytes]| with_argument(&[seven, &tests].concat(), &follow);
    assert_eq!(with(&[copy(7, 6)]), []);
    assert_eq!(with(&[copy(7, 6), add(7, 8)]), [Rule::Unproven]);
    assert_eq!(with(&[load(7, 1, 8)]), [Rule::Unproven]);
}

#[test]
fn a_test_proves_the_copies_in_the_stack_and_the_places_behind_the_pointer() {
    let tests = [
        store(10, -8, 6),
        copy(8, 6),
        add(8, 24),
        skip_if_same(6, 2, 4),
        skip_if(6, 0, 3),
    ];
    let follow = [load(7, 10, -8), load4(3, 7, 18), load4(3, 8, 0)];
    assert_eq!(with_argument(&tests, &follow), []);
    assert_eq!(with_argument(&tests[..3], &follow), [Rule::Unproven; 2]);
}

#[test]
fn a_pointer_that_is_tested_on_one_of_two_ways_is_not_proven() {
    let way = |tested: bool| {
        let tests = if tested {
            [skip_if_same(6, 2, 5), skip_if(6, 0, 4)]
        } else {
            [set(4, 0), set(4, 0)]
        };
        let fork = [load4(5, 1, 8), skip_if(5, 7, 3)];
        let other = [skip(2), skip_if_same(6, 2, 2), skip_if(6, 0, 1)];
        with_argument(&[&fork[..], &tests, &other].concat(), &[load4(3, 6, 18)])
    };
    assert_eq!(way(true), []);
    assert_eq!(way(false), [Rule::Unproven]);
}

#[test]
fn a_pointer_that_was_loaded_on_the_way_must_be_proven_too() {
    let tests = [skip_if_same(6, 2, 5), skip_if(6, 0, 4), load(7, 6, 24)];
    let follow = [load4(3, 7, 0)];
    let proven = [skip_if_same(7, 2, 2), skip_if(7, 0, 1)];
    assert_eq!(with_argument(&[&tests[..], &proven].concat(), &follow), []);
    let unproven = [set(4, 0), set(4, 0)];
    assert_eq!(
        with_argument(&[&tests[..], &unproven].concat(), &follow),
        [Rule::Unproven]
    );
}

#[test]
fn what_was_proven_of_a_pointer_does_not_hold_for_the_next_one_in_a_list() {
    // r7 walks a list of which each element is proven only in the healthy form.
    let walk = |again: i16| {
        let tests = [
            skip_if_same(6, 2, 8),
            skip_if(6, 0, 7),
            set(8, 4),
            load(7, 6, 0),
        ];
        let each = [
            skip_if_same(7, 2, 5),
            skip_if(7, 0, 4),
            load(7, 7, 0),
            add(8, -1),
            skip_if(8, 0, 1),
            skip(again),
        ];
        with_argument(&[&tests[..], &each].concat(), &[])
    };
    assert_eq!(walk(-6), []);
    // Back to the load, behind both tests.
    assert_eq!(walk(-4), [Rule::Unproven]);
}

#[test]
fn a_helper_that_follows_a_pointer_must_get_a_proven_one() {
    // bpf_get_socket_cookie
    let follow = [copy(1, 6), helper(46)];
    assert_eq!(
        with_argument(&[skip_if_same(6, 2, 3), skip_if(6, 0, 2)], &follow),
        []
    );
    assert_eq!(with_argument(&[], &follow), [Rule::Unproven]);
    // bpf_probe_read_kernel finds out by itself.
    let probe = [set(2, 8), copy(3, 6), copy(1, 10), add(1, -8), helper(113)];
    assert_eq!(with_argument(&[], &probe), []);
}

#[test]
fn what_a_helper_returns_needs_the_test_that_the_verifier_insists_on() {
    let lookup = |tests: &[Bytes]| {
        let [map, rest] = address(1, MAP);
        let start = [
            set(3, 0),
            store4(10, -4, 3),
            copy(2, 10),
            add(2, -4),
            map,
            rest,
            helper(1),
        ];
        rules(&[&start[..], tests, &[load(3, 0, 0), set(0, 0), EXIT]].concat())
    };
    assert_eq!(lookup(&[skip_if(0, 0, 1)]), []);
    assert_eq!(lookup(&[]), [Rule::Untested]);
    // bpf_skc_to_tcp_sock
    let tests = [
        skip_if_same(6, 2, 4),
        skip_if(6, 0, 3),
        copy(1, 6),
        helper(137),
    ];
    let cast = |test, follow| with_argument(&[&tests[..], &[test]].concat(), &[follow]);
    assert_eq!(cast(skip_if(0, 0, 1), load4(3, 0, 4)), []);
    assert_eq!(cast(set(4, 0), load4(3, 0, 4)), [Rule::Untested]);
}

#[test]
fn the_current_task_is_never_null_but_its_pointers_may_be() {
    // bpf_get_current_task_btf
    assert_eq!(rules(&[helper(158), load4(3, 0, 4), set(0, 0), EXIT]), []);
    let second = [helper(158), load(3, 0, 8), load4(4, 3, 4), set(0, 0), EXIT];
    assert_eq!(rules(&second), [Rule::Unproven]);
}

#[test]
fn an_untrusted_pointer_may_be_anything() {
    // bpf_rdonly_cast: each load has an exception entry.
    let cast = helper(tracer_common::TYPED_CALL as i32);
    let program = [
        load(1, 1, 8),
        cast,
        load(3, 0, 8),
        load4(4, 3, 4),
        set(0, 0),
        EXIT,
    ];
    assert_eq!(rules_of("tracepoint", &program, &[]), []);
}

#[test]
fn the_context_of_an_iterator_is_typed_and_that_of_a_perf_event_is_not() {
    let program = [load(6, 1, 8), load4(3, 6, 4), set(0, 0), EXIT];
    assert_eq!(rules_of("iter/task_file", &program, &[]), [Rule::Unproven]);
    assert_eq!(rules_of("tracepoint", &program, &[]), []);
}

#[test]
fn a_function_knows_what_its_caller_has_proven() {
    let program = |tests: [Bytes; 2]| {
        let [zero, rest] = address(2, ZERO);
        let main = [load(6, 1, 0), zero, rest, load(2, 2, 0)];
        let call = [copy(1, 6), function(2), set(0, 0), EXIT];
        let callee = [load4(3, 1, 18), set(0, 0), EXIT];
        rules_of(
            "tp_btf/x",
            &[&main[..], &tests, &call, &callee].concat(),
            &[10],
        )
    };
    assert_eq!(program([skip_if_same(6, 2, 3), skip_if(6, 0, 2)]), []);
    assert_eq!(program([set(4, 0), set(4, 0)]), [Rule::Unproven]);
}

#[test]
fn every_byte_that_is_read_from_the_stack_was_written() {
    let read = |writes: &[Bytes]| rules(&[writes, &[load(3, 10, -8), set(0, 0), EXIT]].concat());
    assert_eq!(read(&[store(10, -8, 1)]), []);
    assert_eq!(read(&[]), [Rule::Unwritten]);
    let byte = |offset| code(0x73, 10, 1, offset, 0);
    let half = [store4(10, -8, 1), byte(-4), byte(-3), byte(-2)];
    assert_eq!(read(&half), [Rule::Unwritten]);
    assert_eq!(read(&[&half[..], &[byte(-1)]].concat()), []);
    // Only on one of two ways.
    let fork = [load4(5, 1, 8), skip_if(5, 7, 1), store(10, -8, 1)];
    assert_eq!(read(&fork), [Rule::Unwritten]);
}

#[test]
fn helpers_write_the_stack_and_read_only_what_was_written() {
    // bpf_probe_read_kernel of eight bytes, or of four.
    let probe = |size| {
        let call = [
            copy(1, 10),
            add(1, -8),
            set(2, size),
            set(3, 0),
            helper(113),
        ];
        rules(&[&call[..], &[load(3, 10, -8), set(0, 0), EXIT]].concat())
    };
    assert_eq!(probe(8), []);
    assert_eq!(probe(4), [Rule::Unwritten]);
    // A key of four bytes, and a value of 16.
    let update = |key: &[Bytes], value: &[Bytes]| {
        let [map, rest] = address(1, MAP);
        let call = [
            copy(2, 10),
            add(2, -4),
            copy(3, 10),
            add(3, -24),
            map,
            rest,
            helper(2),
            EXIT,
        ];
        rules(&[&[set(5, 0)], key, value, &call].concat())
    };
    let (key, value) = ([store4(10, -4, 5)], [store(10, -24, 5), store(10, -16, 5)]);
    assert_eq!(update(&key, &value), []);
    assert_eq!(update(&[], &value), [Rule::Unwritten]);
    assert_eq!(update(&key, &value[..1]), [Rule::Unwritten]);
}

#[test]
fn a_function_has_a_stack_of_its_own_and_may_write_that_of_its_caller() {
    let program = |callee: Bytes| {
        let main = [
            copy(1, 10),
            add(1, -8),
            function(3),
            load(3, 10, -8),
            set(0, 0),
            EXIT,
        ];
        rules_of(
            "tp_btf/x",
            &[&main[..], &[callee, set(0, 0), EXIT]].concat(),
            &[6],
        )
    };
    assert_eq!(program(store(1, 0, 1)), []);
    assert_eq!(program(store(10, -8, 1)), [Rule::Unwritten]);
}

#[test]
fn the_abilities_of_a_kernel_do_not_change_on_the_way() {
    let bit = tracer_common::ability::TASK_REGISTERS as i32;
    let program = |second: i32| {
        let ask = |bit, count| {
            let [config, rest] = address(2, CONFIG);
            let abilities = std::mem::offset_of!(tracer_common::Config, abilities) as i16;
            [
                config,
                rest,
                load(2, 2, abilities),
                and(2, bit),
                skip_if(2, 0, count),
            ]
        };
        // r7 is the current task where the ability is there, else an argument that nobody has tested.
        let first = [load(7, 1, 0)];
        let task = [helper(158), copy(7, 0)];
        let follow = [load4(3, 7, 4), set(0, 0), EXIT];
        let parts = [&first[..], &ask(bit, 2), &task, &ask(second, 1), &follow];
        rules(&parts.concat())
    };
    assert_eq!(program(bit), []);
    assert_eq!(
        program(tracer_common::ability::CURRENT_TASK as i32),
        [Rule::Unproven]
    );
}

#[test]
fn what_is_not_known_here_is_not_taken_for_right() {
    assert_eq!(rules(&[helper(4242), set(0, 0), EXIT]), [Rule::Unknown]);
    // bpf_seq_write of so many bytes as the context says.
    let unknown_size = [
        load4(3, 1, 8),
        copy(2, 10),
        add(2, -8),
        set(1, 0),
        helper(127),
        EXIT,
    ];
    assert_eq!(rules(&unknown_size), [Rule::Unknown]);
}
