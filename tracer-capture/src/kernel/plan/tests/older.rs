//! Kernels before 5.15: each helper that is missing is replaced, and costs what is said and nothing else.

use tracer_common::{SystemCalls, ability};

use super::*;

const ALL: u64 = ability::SOCKET_STORAGE
    | ability::CURRENT_TASK
    | ability::TASK_REGISTERS
    | ability::SOCKET_COOKIE
    | ability::SOCKET_FROM_FILE
    | ability::ANCESTOR_POINTERS
    | ability::TIMEOUT_COUNTED_BEFORE;

fn without(features: &[Feature]) -> Facts {
    with_btf(|btf| btf.features.retain(|feature| !features.contains(feature)))
}

#[test]
fn a_perfect_host_has_every_ability_and_needs_no_other_way() {
    let plan = plan(&host(), EVERYTHING).unwrap();
    assert_eq!((plan.abilities, plan.registers_offset), (ALL, 0));
}

#[test]
fn without_socket_storage_the_end_of_sockets_is_hooked_and_nothing_else_changes() {
    let facts = without(&[Feature::TracingSocketStorage]);
    let (gone, new, losses) = difference(&facts);
    assert_eq!((gone, new), (vec![], vec!["socket_end", "tcp_socket_end"]));
    assert_eq!(losses.len(), 1);
    assert!(losses[0].lost.contains("65536 sockets"), "{losses:?}");
    let plan = plan(&facts, EVERYTHING).unwrap();
    assert_eq!(plan.abilities, ALL & !ability::SOCKET_STORAGE);
}

#[test]
fn without_socket_storage_and_fexit_only_tcp_keeps_its_owners() {
    let facts = without(&[Feature::TracingSocketStorage, Feature::Fexit]);
    let (_, new, losses) = difference(&facts);
    assert_eq!(new, ["tcp_socket_end"]);
    let udp = "owners of UDP and raw sockets are not kept with them";
    assert!(losses.iter().any(|loss| loss.lost.starts_with(udp)));
}

#[test]
fn where_the_end_of_no_socket_is_seen_no_owner_is_kept_and_that_is_said() {
    let facts = with_btf(|btf| {
        btf.features.remove(&Feature::TracingSocketStorage);
        btf.functions.remove("inet_sock_destruct");
        btf.tracepoints.remove("tcp_destroy_sock");
    });
    let (gone, new, losses) = difference(&facts);
    assert!(gone.is_empty() && new.is_empty());
    assert!(losses.iter().all(|loss| loss.serves.name() == "owner"));
    assert_eq!(losses.len(), 3, "{losses:?}");
}

#[test]
fn without_cookies_a_socket_has_no_id_and_that_is_all() {
    let facts = without(&[Feature::SocketCookie]);
    let (gone, new, losses) = difference(&facts);
    assert!(gone.is_empty() && new.is_empty());
    assert_eq!(losses.len(), 1);
    assert!(losses[0].lost.starts_with("flow.socket is null"));
}

#[test]
fn what_is_found_in_another_way_costs_the_user_nothing() {
    for (feature, bits) in [
        (
            Feature::CurrentTask,
            ability::CURRENT_TASK | ability::TASK_REGISTERS,
        ),
        (Feature::TaskRegisters, ability::TASK_REGISTERS),
    ] {
        let facts = without(&[feature]);
        assert_eq!(difference(&facts), (vec![], vec![], vec![]), "{feature:?}");
        let plan = plan(&facts, EVERYTHING).unwrap();
        assert_eq!(plan.abilities, ALL & !bits, "{feature:?}");
        let looked_for = bits & ability::TASK_REGISTERS != 0;
        assert_eq!(plan.registers_offset != 0, looked_for, "{feature:?}");
    }
}

#[test]
fn without_sockets_of_files_nobody_is_seen_waiting() {
    let facts = without(&[Feature::SocketFromFile]);
    let (gone, new, losses) = difference(&facts);
    assert_eq!((gone, new, losses.len()), (vec!["walk_sockets"], vec![], 1));
    assert_eq!(losses[0].serves.name(), "waiting");
    let plan = plan(&facts, EVERYTHING).unwrap();
    assert_eq!(plan.abilities, ALL & !ability::SOCKET_FROM_FILE);
}

#[test]
fn without_helper_and_size_of_the_stack_the_registers_are_lost_and_not_guessed() {
    let facts = with_btf(|btf| {
        btf.features.remove(&Feature::TaskRegisters);
        btf.registers_offset = None;
    });
    let (gone, new, losses) = difference(&facts);
    assert!(gone.is_empty() && new.is_empty());
    assert_eq!(losses.len(), 1);
    assert!(losses[0].lost.starts_with("send_error.requested_bytes"));
    assert_eq!(plan(&facts, EVERYTHING).unwrap().registers_offset, 0);
}

#[test]
fn on_a_processor_that_is_not_known_no_register_is_taken_for_an_argument() {
    let facts = with_btf(|btf| btf.processor = None);
    let (gone, new, losses) = difference(&facts);
    assert!(gone.is_empty() && new.is_empty());
    assert_eq!(losses.len(), 1);
    assert!(losses[0].lost.starts_with("send_error.requested_bytes"));
    assert_eq!(plan(&facts, EVERYTHING).unwrap().calls, SystemCalls::NONE);
}

#[test]
fn ids_of_ancestors_do_as_well_as_pointers() {
    let facts = with_btf(|btf| btf.ancestor_pointers = false);
    assert_eq!(difference(&facts), (vec![], vec![], vec![]));
    let plan = plan(&facts, EVERYTHING).unwrap();
    assert_eq!(plan.abilities, ALL & !ability::ANCESTOR_POINTERS);
}
