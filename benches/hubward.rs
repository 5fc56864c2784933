//! What a decision costs, how many devices are written in a second, how soon a server is ready, how many
//! messages it keeps, how soon and for how much, how fast they are read again, what queries and templates take, how
//! many devices register, and how soon a page of the console is seen. `cargo bench` prints them all, `cargo bench --
//! telemetry` those that start with this word; `docs/benchmarks.md` keeps them with the machine they came from.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a bench stops at the first thing that is not as told"
)]

#[path = "hubward/access.rs"]
mod access;
#[path = "hubward/console.rs"]
mod console;
#[path = "hubward/deployments.rs"]
mod deployments;
#[path = "hubward/egress.rs"]
mod egress;
#[path = "hubward/idle.rs"]
mod idle;
#[path = "hubward/ingestion.rs"]
mod ingestion;
#[path = "hubward/latency.rs"]
mod latency;
#[path = "hubward/mqtt.rs"]
mod mqtt;
#[path = "hubward/queries.rs"]
mod queries;
#[path = "hubward/readers.rs"]
mod readers;
#[path = "hubward/registrations.rs"]
mod registrations;
#[path = "hubward/tenant.rs"]
mod tenant;

use gate::facts::{Hub, Principal, RoleAssignment, SasPolicy, SharedAccess};
use gate::network::NetworkRules;
use gate::policy::{Declared, PolicyAssignment, PolicyDefinition, Values, parse_rules};
use gate::{Ask, Authenticated, Door, Facts, admit, authenticate};
use model::operations::{Right, operation};
use model::trace::{Channel, Object, TraceHead, Verb};
use model::{
    Credential, ObjectId, Op, PrincipalKind, SasToken, Scope, Secret, Timestamp, TrackingId,
};
use mqtt::Broker;
use registrations::registrations;
use serde_json::json;
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use testkit::{Device, Process, Wire};

const HUB: &str = "/subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const MQTT_PORT: u16 = 21883;
/// The one that clients of Event Hubs know.
const AMQP_PORT: u16 = 5671;
/// Most devices that are idle at a time: as many as one address may connect.
const IDLE_MAX: usize = front::sessions::CONNECTIONS_PER_PEER_MAX;
const CLIENTS: usize = 16;
const WRITING: Duration = Duration::from_secs(5);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| name.starts_with(it));
    let all = tempfile::tempdir().unwrap();
    // Each of them begins with nothing.
    let home = |name: &str| all.path().join(name);
    if is_wanted("admit") {
        decisions();
    }
    if is_wanted("access") {
        access::decisions(&[], |_, _, _| {});
    }
    if is_wanted("start") {
        start_to_ready(&home("start_to_ready"));
    }
    if is_wanted("devices") {
        device_writes(&home("device_writes"));
    }
    if is_wanted("telemetry") {
        telemetry(&home("telemetry"));
    }
    if is_wanted("latency") {
        latency(&home("latency"));
    }
    if is_wanted("idle") {
        idle(&home("idle"));
    }
    if is_wanted("readers") {
        readers(&home("readers"));
    }
    if is_wanted("queries") {
        queries(&home("queries"));
    }
    if is_wanted("deployments") {
        deployments::template_of_many(&home("deployments"));
    }
    if is_wanted("ingestion") {
        ingestion::policies_of_many(&home("ingestion"));
    }
    if is_wanted("console") {
        console::first_paint(&home("console"));
    }
    if is_wanted("registrations") {
        registrations(&home("registrations"));
    }
    if is_wanted("routed") {
        egress::routed(&home("routed"));
        egress::routed_to_blobs(&home("routed-blobs"));
    }
    if is_wanted("moved") {
        egress::moved(&home("moved"));
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn now() -> Instant {
    Instant::now()
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// `admit` on a tenant as it stands today: 30 principals, 120 role assignments, 8 policies of two rules on
/// the hub, one device to write.
fn decisions() {
    let facts = facts(8);
    for (what, who) in [("allowed, by role", 0), ("refused, by policy", 1), ("refused, by role", 2)]
    {
        let (scope, head) = (Scope::parse(HUB).unwrap(), head());
        let objects = [Object {
            kind: "Microsoft.Devices/IotHubs/devices".into(),
            name: "d1".into(),
            id: format!("{HUB}/devices/d1"),
            body: json!({ "deviceId": "d1", "status": "enabled" }),
            verb: Verb::Write,
        }];
        let proven = proven(&facts, &scope, &head);
        let mut caller = proven.caller().clone();
        caller.kind = PrincipalKind::ServicePrincipal;
        caller.object_id = Some(principal(who));
        let ask = Ask::new(operation(Op::PutDevice), &scope, &caller, &head);
        let ask = Ask { objects: &objects, ..ask };
        let rounds = (0..15).map(|_| {
            let began = now();
            for _ in 0..20_000 {
                drop(black_box(admit(&proven, black_box(&ask), &facts, &|| 0)));
            }
            began.elapsed().as_secs_f64() / 20_000.0 * 1e9
        });
        println!("admit, {what}: {:.0} ns", median(rounds.collect()));
    }
}

fn principal(number: u128) -> ObjectId {
    ObjectId(uuid::Uuid::from_u128(0xaaaa_0000_0000_4000_8000_0000_0000_0000 + number))
}

fn head() -> TraceHead {
    TraceHead {
        id: TrackingId(uuid::Uuid::nil()),
        time: NOW,
        correlation_id: String::new(),
        channel: Channel {
            protocol: "https".into(),
            request: "PUT /devices/d1".into(),
            address: "127.0.0.1".into(),
            ..Channel::default()
        },
        replica: None,
    }
}

/// Somebody who proved itself: admission asks for the proof, not for how it was given.
fn proven(facts: &Facts, scope: &Scope, head: &TraceHead) -> Authenticated {
    let expiry = NOW.plus_seconds(60);
    let text = wire::sas::sign("127.70.1.2", &[1; 32], expiry, Some("iothubowner"));
    let token: SasToken = wire::sas::parse(&text).unwrap();
    let hub = facts.hub(scope).unwrap();
    let door = Door {
        access: Some(&hub.access),
        resource: "127.70.1.2/devices/d1",
        ..Door::new(operation(Op::PutDevice), scope, head)
    };
    authenticate(&Credential::Sas(token), &door, facts).unwrap()
}

fn facts(policies: usize) -> Facts {
    let mut facts = Facts::new(principal(999), "https://127.70.1.1:8443");
    facts.put_hub(Hub {
        scope: Scope::parse(HUB).unwrap(),
        uid: "hub1".into(),
        host: "127.70.1.2".into(),
        location: "westus".into(),
        access: SharedAccess {
            is_disabled: false,
            is_disabled_for_devices: false,
            is_disabled_for_modules: false,
            off: None,
            policies: vec![SasPolicy {
                name: "iothubowner".into(),
                rights: Right::HUB.to_vec(),
                primary: Secret::new(vec![1; 32]),
                secondary: Secret::new(vec![2; 32]),
            }],
        },
        authorities: Vec::new(),
        security: None,
        routing: None,
        network: NetworkRules::default(),
    });
    for number in 0..30_u128 {
        facts.put_principal(Principal {
            id: principal(number),
            kind: PrincipalKind::ServicePrincipal,
            app_id: None,
            display_name: format!("principal {number}"),
            is_enabled: true,
            resource: None,
        });
        for at in 0..4 {
            let scope = match (number, at) {
                (0 | 1, 3) => HUB.to_owned(),
                _ => format!("/subscriptions/s1/resourceGroups/rg{}", 10 + at),
            };
            facts.put_role_assignment(RoleAssignment {
                id: format!(
                    "{scope}/providers/Microsoft.Authorization/roleAssignments/{number}-{at}"
                ),
                name: format!("{number}-{at}"),
                principal: principal(number),
                role: ObjectId::parse(DATA_CONTRIBUTOR).unwrap(),
                scope: Scope::parse(&scope).unwrap(),
                created: NOW,
                deleted: None,
                condition: None,
            });
        }
    }
    for number in 0..policies {
        let whom = principal(if number == 0 { 1 } else { 500 }).to_string();
        let rules = json!({ "policyRule": [
            { "if": { "field": "name", "like": "never-*" }, "then": { "effect": "allow" } },
            { "if": { "allOf": [
                { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
                { "field": "identity.principalId", "equals": whom } ] }, "then": { "effect": "deny" } } ] });
        let id = format!(
            "/subscriptions/s1/providers/Microsoft.Authorization/policyDefinitions/p{number}"
        );
        facts.put_policy_definition(PolicyDefinition {
            id: id.clone(),
            name: format!("p{number}"),
            display_name: String::new(),
            version: "1.0.0".into(),
            parameters: Declared::default(),
            rules: parse_rules(&rules).unwrap(),
        });
        facts.put_policy_assignment(PolicyAssignment {
            id: format!("{HUB}/providers/Microsoft.Authorization/policyAssignments/p{number}"),
            name: format!("p{number}"),
            display_name: String::new(),
            scope: Scope::parse(HUB).unwrap(),
            not_scopes: Vec::new(),
            definition_key: id.to_ascii_lowercase(),
            definition_id: id,
            is_enforced: true,
            parameters: Values::default(),
            messages: Vec::new(),
            overrides: Vec::new(),
            resource_selectors: Vec::new(),
        });
    }
    facts
}

fn server(home: &Path) -> Process {
    let ports = format!(
        "--https-port 21443 --mqtt-port {MQTT_PORT} --management-port 21843 --metrics-port 21946"
    );
    let ports: Vec<&str> = ports.split(' ').collect();
    std::fs::create_dir_all(home).unwrap();
    Process::plain(Path::new(env!("CARGO_BIN_EXE_hubward")), &home.join("data"), &ports)
}

fn broker(process: &Process, host: &str) -> Broker {
    let host = host.split(':').next().unwrap_or(host).to_owned();
    Broker { host, port: MQTT_PORT, tls: process.wire().tls(), pid: process.pid() }
}

/// New devices of the hub.
fn devices(process: &Process, count: usize) -> Vec<Device> {
    let (host, token) = process.owner();
    let one = |wire: &Wire, number: usize| {
        let url = format!("https://{host}/devices/sender-{number}?api-version=2021-04-12");
        let made = wire.json("PUT", &url, &token, &json!({}));
        Device::new(MQTT_PORT, &host, &made.expect(200).body)
    };
    std::thread::scope(|threads| {
        let each = count.div_ceil(CLIENTS);
        let shares = (0..CLIENTS).map(|it| (it * each).min(count)..((it + 1) * each).min(count));
        let shares = shares.map(|numbers| {
            let (wire, one) = (process.wire(), &one);
            threads.spawn(move || numbers.map(|it| one(&wire, it)).collect::<Vec<_>>())
        });
        shares.collect::<Vec<_>>().into_iter().flat_map(|it| it.join().unwrap()).collect()
    })
}

fn telemetry(home: &Path) {
    let process = server(home);
    let (host, _) = process.owner();
    mqtt::telemetry(&process, &broker(&process, &host), &devices(&process, 1_000), home);
    process.kill();
}

fn latency(home: &Path) {
    let process = server(home);
    let (host, _) = process.owner();
    let clients = mqtt::clients(&devices(&process, 1_000));
    latency::latency(&broker(&process, &host), &clients, home);
    process.kill();
}

fn idle(home: &Path) {
    // What the server gives to connections, less some for itself; each takes a file of ours, too.
    let files = std::fs::read_to_string("/proc/self/limits").unwrap();
    let files = files.lines().find(|it| it.starts_with("Max open files")).unwrap();
    let files: u64 = files.split_whitespace().nth(3).unwrap().parse().unwrap();
    let most = files.saturating_sub(front::sessions::FILES_RESERVED + 256);
    let most = usize::try_from(most).unwrap().clamp(1_000, IDLE_MAX);
    let process = server(home);
    let (host, _) = process.owner();
    let clients = mqtt::clients(&devices(&process, most));
    idle::idle(&process, &broker(&process, &host), &clients, &[1_000, most - idle::WARM]);
    process.kill();
}

fn readers(home: &Path) {
    let process = server(home);
    let (host, _) = process.owner();
    let connection = process.connection();
    let string = connection.get("HUBWARD_HUB_CONNECTION_STRING").unwrap();
    let endpoint = readers::Endpoint {
        event_hub: connection.get("HUBWARD_HUB").unwrap().to_owned(),
        key_name: "iothubowner",
        key: string.split("SharedAccessKey=").nth(1).unwrap().to_owned(),
        host: host.split(':').next().unwrap_or(&host).to_owned(),
    };
    let clients = mqtt::clients(&devices(&process, 100));
    mqtt::fill(&broker(&process, &host), &clients, readers::EVENTS);
    readers::readers(&process, &endpoint, AMQP_PORT);
    process.kill();
}

fn queries(home: &Path) {
    let process = server(home);
    let (host, token) = process.owner();
    let pid = process.pid();
    queries::Asker { wire: process.wire(), pid, host: &host, token: &token }.register_template();
    let data = process.data().to_owned();
    process.kill();
    queries::fill(&data);
    let process = server(home);
    let pid = process.pid();
    queries::Asker { wire: process.wire(), pid, host: &host, token: &token }.queries();
    process.kill();
}

/// From `exec` to the line `ready`, on data that is there already.
fn start_to_ready(home: &Path) {
    server(home).kill();
    let rounds = (0..11).map(|_| {
        let began = now();
        let process = server(home);
        let took = began.elapsed().as_secs_f64() * 1e3;
        process.kill();
        took
    });
    println!("start to ready, after kill -9: {:.0} ms", median(rounds.collect()));
}

/// New devices over HTTPS with a shared access signature, each synced before its answer.
fn device_writes(home: &Path) {
    let process = server(home);
    let (host, token) = process.owner();
    let (written, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let began = now();
    std::thread::scope(|threads| {
        for client in 0..CLIENTS {
            let (written, stop, token, host) = (&written, &stop, &token, &host);
            let wire: Wire = process.wire();
            threads.spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let url = format!(
                        "https://{host}/devices/bench-{client}-{number}?api-version=2021-04-12"
                    );
                    wire.json("PUT", &url, token, &json!({})).expect(200);
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(WRITING);
        stop.store(true, Ordering::Relaxed);
    });
    let rate = written.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    println!("PUT /devices, {CLIENTS} clients on the same machine, synced: {rate:.0} per second");
    process.kill();
}
