//! The facts that the plan is made from, as JSON: what `doctor --facts` prints, and what the planner's tests
//! read back for kernels that are not at hand (`tests/kernels/`).
//!
//! Everything that is asked for has a key; `null` says that the kernel does not have it. So a record that
//! was made before something new was asked for can be told from a kernel that lacks it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tracer_common::{FIELDS, UNRESOLVED};

use super::{BtfFacts, Facts, Feature, NULLABLE, Processor};
use crate::kernel::plan::{FUNCTIONS, TRACEPOINTS};

/// One object, keys in a fixed order.
pub fn to_json(facts: &Facts) -> Value {
    json!({
        "kernel_release": facts.kernel_release,
        // That of the kernel too: nothing is made for another.
        "architecture": std::env::consts::ARCH,
        "knows_cap_bpf": facts.knows_cap_bpf,
        "lockdown": facts.lockdown,
        "unprivileged_bpf_disabled": facts.unprivileged_bpf_disabled,
        "kptr_restrict": facts.kptr_restrict,
        "tick_ns": facts.tick_ns,
        "null_tests": null_tests_to_json(facts),
        "btf": match &facts.btf {
            Ok(btf) => btf_to_json(btf),
            Err(why) => Value::String(why.clone()),
        },
    })
}

/// Whether the verifier keeps a test for null, by argument; `null` when it was not asked.
fn null_tests_to_json(facts: &Facts) -> Value {
    let Some(tests) = facts.null_tests else {
        return Value::Null;
    };
    let entries = NULLABLE.iter().zip(tests).map(|(nullable, test)| {
        let name = format!("{} {}", nullable.tracepoint, nullable.name);
        (name, json!({"typed": test.typed, "untyped": test.untyped}))
    });
    Value::Object(Map::from_iter(entries))
}

fn btf_to_json(btf: &BtfFacts) -> Value {
    let tracepoints = TRACEPOINTS
        .iter()
        .map(|&name| (name.to_owned(), json!(btf.tracepoint_types.get(name))));
    let functions = FUNCTIONS
        .iter()
        .map(|&name| (name.to_owned(), json!(btf.functions.get(name))));
    let features = Feature::ALL.iter().map(|feature| {
        (
            feature.name().to_owned(),
            btf.features.contains(feature).into(),
        )
    });
    let fields = FIELDS.iter().zip(btf.offsets).map(|(field, offset)| {
        let offset = (offset != UNRESOLVED).then_some(offset);
        (field.name.to_owned(), json!(offset))
    });
    json!({
        "features": Map::from_iter(features),
        "tracepoints": Map::from_iter(tracepoints),
        "functions": Map::from_iter(functions),
        "file_refs_bias": btf.file_refs_bias,
        "ancestor_pointers": btf.ancestor_pointers,
        "processor": btf.processor.map(Processor::name),
        "registers_offset": btf.registers_offset,
        "timeout_counted_after_sending": btf.timeout_counted_after_sending,
        "preemptible_tracepoints": btf.preemptible_tracepoints,
        "perf_tracepoint_sends": btf.perf_tracepoint_sends.map(|ids| json!({
            "bpf_rdonly_cast": ids.cast,
            "sock": ids.sock,
            "tcp_sock": ids.tcp_sock,
        })),
        "fields": Map::from_iter(fields),
        "drop_reasons": names_to_json(&btf.drop_reasons),
        "drop_subsystems": names_to_json(&btf.drop_subsystems),
        "reset_reasons": names_to_json(&btf.reset_reasons),
    })
}

fn names_to_json(names: &Option<BTreeMap<u32, String>>) -> Value {
    let Some(names) = names else {
        return Value::Null;
    };
    let entries = names
        .iter()
        .map(|(number, name)| (number.to_string(), json!(name)));
    Value::Object(Map::from_iter(entries))
}

/// Reads a record back: a root user on that kernel, with what a record does not hold as on a perfect host.
#[cfg(test)]
pub(crate) fn from_json(record: &Value) -> Result<Facts, String> {
    let number = |value: &Value| value.as_u64();
    let small = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    Ok(Facts {
        kernel_release: text(&record["kernel_release"]),
        knows_cap_bpf: record["knows_cap_bpf"].as_bool(),
        lockdown: text(&record["lockdown"]),
        unprivileged_bpf_disabled: small(&record["unprivileged_bpf_disabled"]),
        kptr_restrict: small(&record["kptr_restrict"]),
        tick_ns: number(&record["tick_ns"]),
        null_tests: null_tests_from_json(&record["null_tests"]),
        btf: match &record["btf"] {
            Value::String(why) => Err(why.clone()),
            btf => Ok(btf_from_json(btf)?),
        },
        ..super::fixture::host()
    })
}

/// `None` also for a record that was made before the verifier was asked: that kernel's plan is the one for a kernel
/// that keeps the tests.
#[cfg(test)]
fn null_tests_from_json(tests: &Value) -> Option<super::NullTests> {
    let tests = tests.as_object()?;
    Some(NULLABLE.map(|nullable| {
        let test = tests.get(&format!("{} {}", nullable.tracepoint, nullable.name));
        let kept = |how: &str| test?.get(how)?.as_bool();
        super::NullTest {
            typed: kept("typed"),
            untyped: kept("untyped"),
        }
    }))
}

#[cfg(test)]
fn perf_tracepoint_sends(ids: &Value) -> Option<super::PerfTracepointSends> {
    let id = |name: &str| u32::try_from(ids[name].as_u64()?).ok();
    Some(super::PerfTracepointSends {
        cast: id("bpf_rdonly_cast")?,
        sock: id("sock")?,
        tcp_sock: id("tcp_sock")?,
    })
}

#[cfg(test)]
fn btf_from_json(btf: &Value) -> Result<BtfFacts, String> {
    // What was not asked for when this was recorded counts as not there: the plan is the one without it.
    let get = |kind: &str, name: &str| btf[kind].get(name).unwrap_or(&Value::Null);
    let count = |value: &Value| value.as_u64().and_then(|count| usize::try_from(count).ok());
    let mut offsets = [UNRESOLVED; tracer_common::OFFSET_COUNT];
    for (slot, field) in offsets.iter_mut().zip(FIELDS) {
        // Only programs that no event of failure depends on read what a record does not know.
        let known = btf["fields"].get(field.name);
        if let Some(offset) = known.unwrap_or(&Value::from(0)).as_u64() {
            *slot = u32::try_from(offset).map_err(|error| error.to_string())?;
        }
    }
    let mut tracepoint_types = BTreeMap::new();
    for &name in TRACEPOINTS {
        if let Some(types) = get("tracepoints", name).as_array() {
            let types: Vec<_> = types.iter().filter_map(Value::as_str).collect();
            tracepoint_types.insert(name, types.into_iter().map(ToOwned::to_owned).collect());
        }
    }
    let mut functions = BTreeMap::new();
    for &name in FUNCTIONS {
        if let Some(arguments) = count(get("functions", name)) {
            functions.insert(name, arguments);
        }
    }
    let mut features = std::collections::BTreeSet::new();
    for feature in Feature::ALL {
        if get("features", feature.name()).as_bool() == Some(true) {
            features.insert(feature);
        }
    }
    let names = |key: &str| {
        let entries = btf[key].as_object()?;
        let entry = |(number, name): (&String, &Value)| {
            Some((number.parse().ok()?, name.as_str()?.to_owned()))
        };
        Some(entries.iter().filter_map(entry).collect())
    };
    Ok(BtfFacts {
        offsets,
        file_refs_bias: btf["file_refs_bias"].as_u64().unwrap_or(0),
        ancestor_pointers: btf["ancestor_pointers"]
            .as_bool()
            .ok_or("ancestor_pointers was not asked for when this was recorded")?,
        processor: match btf.get("processor") {
            None => return Err("processor was not asked for when this was recorded".to_owned()),
            Some(name) => Processor::ALL
                .into_iter()
                .find(|processor| name.as_str() == Some(processor.name())),
        },
        registers_offset: btf["registers_offset"].as_u64(),
        timeout_counted_after_sending: btf
            .get("timeout_counted_after_sending")
            .ok_or("timeout_counted_after_sending was not asked for when this was recorded")?
            .as_bool(),
        preemptible_tracepoints: btf["preemptible_tracepoints"]
            .as_bool()
            .ok_or("preemptible_tracepoints was not asked for when this was recorded")?,
        perf_tracepoint_sends: perf_tracepoint_sends(&btf["perf_tracepoint_sends"]),
        tracepoints: tracepoint_types
            .iter()
            .map(|(&name, types): (_, &Vec<String>)| (name, types.len()))
            .collect(),
        tracepoint_types,
        functions,
        features,
        drop_reasons: names("drop_reasons"),
        drop_subsystems: names("drop_subsystems"),
        reset_reasons: names("reset_reasons"),
    })
}
