//! The store is asked for no less than what the condition finds.

use super::super::identity::Live;
use super::super::identity::built;
use super::super::named::Named;
use super::super::query::{Condition, Place};
use super::super::twin::Wanted;
use super::places;
use crate::control::put as keep;
use crate::test_env::env;
use model::DeviceId;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::LazyLock;
use store::{Engine, Expect, Filter, Lookup, ShardId, tables};

/// Values as devices report them and people write them.
const VALUES: &[&str] = &[
    "3",
    "3.0",
    "-1",
    "0.1",
    "1e300",
    "4503599627370495",
    "\"\"",
    "\"x\"",
    "\"xy\"",
    "\"X\"",
    "\"é\"",
    "\"x\\u0000y\"",
    "\"o'n \\\"e\"",
    "true",
    "false",
    "{}",
    "{\"b\":1}",
    "{\"b\":\"x\"}",
    "[\"x\",3]",
    "1.9999999999999998",
    "\"\u{10ffff}\"",
];

/// A hub's devices and modules in files, and their twins.
struct Hub {
    _directory: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    store: Engine,
    shard: ShardId,
    devices: Vec<(String, Value)>,
    modules: Vec<(String, Value)>,
}

static HUB: LazyLock<Hub> = LazyLock::new(Hub::new);

impl Hub {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let env = {
            let _inside = runtime.enter();
            env()
        };
        let store = Engine::sqlite(directory.path()).unwrap();
        let shard = ShardId::hub("7f").unwrap();
        let (mut devices, mut modules, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        let number = VALUES.len();
        for at in 0..number * 2 {
            let value = |step: usize| -> Value {
                serde_json::from_str(VALUES[(at * step + step) % number]).unwrap()
            };
            let id = DeviceId::parse(&format!("d{at}")).unwrap();
            let module = (at % 3 == 0).then(|| DeviceId::parse(&format!("m{}", at % 2)).unwrap());
            let named = Named { device: id, module };
            let status = if at % 4 == 0 { "disabled" } else { "enabled" };
            let mut body = json!({ "status": status, "capabilities": { "iotEdge": at % 5 == 0 } });
            if at % 2 == 0 {
                body["statusReason"] = json!("x");
            }
            if at % 7 == 0 {
                body["authentication"] = json!({ "type": "selfSigned",
                    "x509Thumbprint": { "primaryThumbprint": "A".repeat(40) } });
            }
            let mut device = built(&named, &body, None, &env, "").unwrap();
            if at % 6 != 1 {
                let wanted = json!({ "tags": { "a": value(1), "b": { "c": value(2) } },
                    "properties": { "desired": { "a": value(3) } } });
                device.twin.write(&Wanted::read(&wanted).unwrap(), env.now()).unwrap();
                device.twin.report(&json!({ "a": value(5) }), env.now()).unwrap();
            }
            changes.push(keep(named.table(), named.key(), Expect::Absent, &device).unwrap());
            let twins = if named.module.is_some() { &mut modules } else { &mut devices };
            twins.push((named.key(), device.shown_twin(&Live::default())));
        }
        runtime.block_on(store.commit(&shard, changes)).unwrap();
        Self { _directory: directory, runtime, store, shard, devices, modules }
    }

    fn found(&self, table: store::Table, filter: Filter) -> Vec<String> {
        let lookup = Lookup { filter, after: None, limit: 1_000, examine: 1_000 };
        let found = self.runtime.block_on(self.store.query(&self.shard, table, lookup)).unwrap();
        found.documents.into_iter().map(|(key, _)| key).collect()
    }

    /// What the condition finds and what the store gives for it, for each of both tables.
    fn asked(&self, condition: &Condition) -> [(Vec<String>, Vec<String>); 2] {
        [
            self.asked_of(tables::DEVICES, &self.devices, condition, &places::of_device),
            self.asked_of(tables::MODULES, &self.modules, condition, &places::of_module),
        ]
    }

    fn asked_of(
        &self,
        table: store::Table,
        twins: &[(String, Value)],
        condition: &Condition,
        place: &dyn Fn(&[&str]) -> Place,
    ) -> (Vec<String>, Vec<String>) {
        let matching = twins.iter().filter(|(_, twin)| condition.matches(twin));
        let mut matching: Vec<String> = matching.map(|(key, _)| key.clone()).collect();
        matching.sort();
        (matching, self.found(table, condition.prefilter(place)))
    }
}

fn paths() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(
        [
            "tags",
            "tags.a",
            "tags.a.b",
            "tags.a[0]",
            "tags.b.c",
            "tags.nothing",
            "properties.desired.a",
            "properties.reported.a",
            "properties.reported.a.b",
            "properties.desired",
            "status",
            "properties.desired.$version",
            "properties.reported.$metadata",
            "statusReason",
            "deviceId",
            "moduleId",
            "capabilities.iotEdge",
            "authenticationType",
            "version",
            "connectionState",
            "x509Thumbprint.primaryThumbprint",
            "statusUpdateTime",
            "etag",
            "cloudToDeviceMessageCount",
        ]
        .as_slice(),
    )
}

fn constants() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(
        [
            "3",
            "-1",
            "0.1",
            "1e300",
            "9007199254740993",
            "4503599627370495",
            "2",
            "''",
            "'x'",
            "'xy'",
            "'X'",
            "'é'",
            "'x\\u0000y'",
            "'x\\u0000'",
            "'o\\'n \"e'",
            "true",
            "false",
            "null",
            "undefined",
            "['x']",
            "'enabled'",
            "'d1'",
            "'m1'",
            "'\u{10ffff}'",
        ]
        .as_slice(),
    )
}

fn conditions() -> impl Strategy<Value = String> {
    let relation =
        || prop_oneof![Just("="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")];
    let function = proptest::sample::select(
        [
            "is_defined",
            "is_null",
            "is_bool",
            "is_number",
            "is_string",
            "is_object",
            "is_array",
            "is_primitive",
        ]
        .as_slice(),
    );
    let texts = proptest::sample::select(["startswith", "endswith", "contains"].as_slice());
    let leaf = prop_oneof![
        (paths(), relation(), constants()).prop_map(|(a, is, b)| format!("{a} {is} {b}")),
        (constants(), relation(), paths()).prop_map(|(a, is, b)| format!("{a} {is} {b}")),
        (paths(), relation(), paths()).prop_map(|(a, is, b)| format!("{a} {is} {b}")),
        (paths(), any::<bool>(), proptest::collection::vec(constants(), 0..20)).prop_map(
            |(a, is_in, all)| format!(
                "{a} {} [{}]",
                if is_in { "IN" } else { "NIN" },
                all.join(",")
            )
        ),
        (function, paths()).prop_map(|(name, a)| format!("{name}({a})")),
        (texts, paths(), constants()).prop_map(|(name, a, b)| format!("{name}({a}, {b})")),
        paths().prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|it| format!("NOT ({it})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(2_000)
    })]

    #[test]
    fn the_store_passes_nothing_over_that_a_condition_finds(text in conditions()) {
        let condition = Condition::parse(&text).unwrap();
        for (matching, found) in HUB.asked(&condition) {
            let lost: Vec<_> = matching.iter().filter(|it| !found.contains(it)).collect();
            prop_assert!(lost.is_empty(), "{}: {:?} not in {:?}", text, lost, found);
        }
    }
}

/// A filter that lets everything through would be right, too, and of no use.
#[test]
fn what_is_asked_for_most_is_found_without_others() {
    for text in [
        "deviceId = 'd1'",
        "deviceId IN ['d1', 'd9', 'no']",
        "startswith(deviceId, 'd19')",
        "tags.a = 'x'",
        "tags.a = 3",
        "tags.b.c IN ['x', 'é']",
        "tags.a = 'x' AND status = 'disabled'",
        "tags.a = 'x' OR properties.reported.a = 3",
        "NOT (status != 'disabled')",
        "status != 'enabled' AND status = 'disabled'",
        "properties.desired.a = true",
        "properties.reported.a.b = 1",
        "capabilities.iotEdge = true",
        "capabilities.iotEdge AND is_defined(tags.a)",
        "authenticationType = 'selfSigned'",
        "moduleId = 'm1' AND tags.a = 3",
        "'disabled' = status",
        "tags.a IN [3, true]",
    ] {
        for (matching, found) in HUB.asked(&Condition::parse(text).unwrap()) {
            // Of a device nothing is known of `moduleId`, of a module's key only how it begins.
            let is_told = !text.contains("moduleId") || found.iter().any(|it| it.contains('/'));
            let is_spelled =
                !text.contains("startswith") || found.iter().all(|it| !it.contains('/'));
            if is_told && is_spelled {
                assert_eq!(found, matching, "{text}");
            }
        }
    }
    assert!(HUB.asked(&Condition::parse("deviceId = 'd0'").unwrap())[1].1 == ["d0/m0"]);
}
