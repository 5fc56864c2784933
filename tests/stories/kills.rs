//! A server that is killed again and again while devices send and register: what it acknowledged is there, and nothing is
//! left half done.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::{Device, Process, Wire};

const KILLS: usize = 100;
const DEVICES: usize = 4;
/// Messages that each device has under way.
const UNDER_WAY: usize = 8;
const PORTS: &str =
    "--https-port 22443 --mqtt-port 22883 --management-port 22843 --metrics-port 22946";
const MQTT_PORT: u16 = 22_883;

/// Of signatures and their texts.
const UNTIL: model::Timestamp = model::Timestamp::from_seconds(4_000_000_000);
const GROUP_KEY: [u8; 32] = [7; 32];
const REGISTERING_KILLS: usize = 30;

fn start(data: &Path) -> Process {
    let flags: Vec<&str> = PORTS.split(' ').collect();
    Process::start(Path::new(env!("CARGO_BIN_EXE_hubward")), data, &flags)
}

/// The first device of a fresh server, as four: each connects by itself, so each needs an id of its own.
fn devices(process: &Process) -> Vec<Device> {
    let (host, sas) = process.owner();
    let make = |number: usize| {
        let url = format!("https://{host}/devices/sender-{number}?api-version=2021-04-12");
        let made = process.wire().json("PUT", &url, &sas, &json!({}));
        Device::new(MQTT_PORT, &host, &made.expect(200).body)
    };
    (0..DEVICES).map(make).collect()
}

/// Sends numbers until the server is gone; those that it acknowledged go into the record.
fn sends(device: &Device, wire: &Wire, next: &mut u64, acknowledged: &Mutex<BTreeSet<String>>) {
    let tried = device.tries(wire, device.greeting(&device.signature(UNTIL)));
    let Ok((_, mut mqtt)) = tried else { return };
    let mut under_way = std::collections::VecDeque::new();
    loop {
        while under_way.len() < UNDER_WAY {
            let text = format!("{} {next}", device.id);
            *next += 1;
            match mqtt.publish_unacknowledged(&device.events(), text.as_bytes()) {
                Ok(_) => under_way.push_back(text),
                Err(_) => return,
            }
        }
        match mqtt.receive() {
            Ok(_) => {
                let text = under_way.pop_front().unwrap();
                acknowledged.lock().unwrap().insert(text);
            }
            Err(_) => return,
        }
    }
}

#[test]
fn nothing_that_was_acknowledged_is_lost_in_a_hundred_kills() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let mut process = start(&data);
    let (devices, wire) = (devices(&process), process.wire());
    let (acknowledged, is_over) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    std::thread::scope(|threads| {
        for device in &devices {
            let (wire, acknowledged, is_over) = (wire.clone(), &acknowledged, &is_over);
            threads.spawn(move || {
                let mut next = 0;
                while !is_over.load(Ordering::Relaxed) {
                    sends(device, &wire, &mut next, acknowledged);
                    // Nobody listens for a moment.
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        for kill in 0..KILLS {
            // At another moment each time, and never before something was acknowledged.
            let before = acknowledged.lock().unwrap().len();
            while acknowledged.lock().unwrap().len() == before {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_micros((kill * 397 % 5_000) as u64));
            process.crash();
        }
        is_over.store(true, Ordering::Relaxed);
        process.kill();
    });
    let kept: BTreeSet<String> = testkit::messages_in(&data)
        .into_iter()
        .map(|it| String::from_utf8(it.body.to_vec()).unwrap())
        .collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    println!(
        "{} messages acknowledged over {KILLS} kills, {} kept",
        acknowledged.len(),
        kept.len()
    );
    assert!(acknowledged.len() > KILLS);
    let lost: Vec<&String> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
}

/// A provisioning service with a group, as those who ask it see it.
struct Service {
    wire: Wire,
    host: String,
    id_scope: String,
    /// Of its own policy, and of the hub's.
    signatures: [String; 2],
    hub: String,
}

impl Service {
    fn of(process: &Process) -> Self {
        let (wire, setting) = (process.wire(), |key: &str| process.setting(key));
        let bearer = process.arm_bearer();
        let arm = |method: &str, path: &str| {
            let url = format!("{}{path}?api-version=2022-12-12", setting("HUBWARD_ARM"));
            wire.json(method, &url, &bearer, &json!({})).expect(200).body
        };
        let all = format!(
            "/subscriptions/{}/providers/Microsoft.Devices/provisioningServices",
            setting("HUBWARD_SUBSCRIPTION_ID")
        );
        let id = arm("GET", &all)["value"][0]["id"].as_str().unwrap().to_owned();
        let keys = arm("POST", &format!("{id}/listkeys"));
        let host = setting("HUBWARD_DPS_HOST");
        let key = keys["value"][0]["primaryKey"].as_str().unwrap();
        let key = STANDARD.decode(key).unwrap();
        let own = wire::sas::sign(&host, &key, UNTIL, Some("provisioningserviceowner"));
        let (hub, at_hub) = process.owner();
        let id_scope = setting("HUBWARD_DPS_ID_SCOPE");
        Self { wire, host, id_scope, signatures: [own, at_hub], hub }
    }

    /// An answer of the service's own API.
    fn own(&self, method: &str, path: &str, body: &Value) -> testkit::Answer {
        let url = format!("https://{}{path}?api-version=2021-10-01", self.host);
        self.wire.json(method, &url, &self.signatures[0], body)
    }

    /// Registers a device. What comes of it is for the outcome to say: the server may be killed at any time.
    fn registers(&self, id: &str) -> bool {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &GROUP_KEY);
        let derived = ring::hmac::sign(&key, id.as_bytes());
        let place = format!("{}/registrations/{id}", self.id_scope);
        let resource = wire::sas::resource_text(&place);
        let sas = wire::sas::sign(&resource, derived.as_ref(), UNTIL, Some("registration"));
        let headers = [("Authorization", sas.as_str()), ("Content-Type", "application/json")];
        let ask = |method: &str, path: &str| {
            let url = format!("https://{}/{place}{path}?api-version=2021-06-01", self.host);
            self.wire.try_send(method, &url, &headers, b"{}")
        };
        let begun = ask("PUT", "/register").is_ok_and(|it| it.status == 202);
        begun && ask("POST", "").is_ok_and(|it| it.body["status"] == "assigned")
    }
}

/// What a registration came to is the same on both sides, whenever the server was killed, and who was told of a hub has it.
#[test]
fn a_kill_in_the_middle_of_registrations_leaves_neither_half_a_device_nor_a_lost_enrollment() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let mut process = start(&data);
    let service = Service::of(&process);
    let group = json!({ "enrollmentGroupId": "pumps", "attestation": { "type": "symmetricKey",
        "symmetricKey": { "primaryKey": STANDARD.encode(GROUP_KEY), "secondaryKey": STANDARD.encode([8; 32]) } } });
    service.own("PUT", "/enrollmentGroups/pumps", &group).expect(200);
    let (told, is_over) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    let tried: usize = std::thread::scope(|threads| {
        let registering: Vec<_> = (0..DEVICES)
            .map(|line| {
                let (service, told, is_over) = (&service, &told, &is_over);
                threads.spawn(move || {
                    let mut next = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let id = format!("pump-{line}-{next}");
                        next += 1;
                        match service.registers(&id) {
                            true => drop(told.lock().unwrap().insert(id)),
                            // Nobody listens for a moment.
                            false => std::thread::sleep(Duration::from_millis(1)),
                        }
                    }
                    next
                })
            })
            .collect();
        for kill in 0..REGISTERING_KILLS {
            let before = told.lock().unwrap().len();
            while told.lock().unwrap().len() == before {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_micros((kill * 397 % 5_000) as u64));
            process.crash();
        }
        is_over.store(true, Ordering::Relaxed);
        registering.into_iter().map(|it| it.join().unwrap()).max().unwrap()
    });
    // The start has finished what the last kill interrupted.
    process.crash();
    service.own("GET", "/enrollmentGroups/pumps", &Value::Null).expect(200);
    let told = told.into_inner().unwrap();
    let (mut assigned, mut unknown) = (0, 0);
    for id in (0..DEVICES).flat_map(|line| (0..tried).map(move |it| format!("pump-{line}-{it}"))) {
        let registration = service.own("GET", &format!("/registrations/{id}"), &Value::Null);
        let url = format!("https://{}/devices/{id}?api-version=2021-04-12", service.hub);
        let device = service.wire.json("GET", &url, &service.signatures[1], &Value::Null);
        match (registration.status, registration.body["status"].as_str()) {
            (200, Some("assigned")) => {
                assert_eq!(device.status, 200, "{id} has no device: {registration:?}");
                assigned += 1;
            }
            (404, _) => {
                assert_eq!(device.status, 404, "{id} has half a device");
                assert!(!told.contains(&id), "{id} was told of a hub");
                unknown += 1;
            }
            _ => panic!("{id}: {registration:?}"),
        }
    }
    println!(
        "{} told, {assigned} assigned, {unknown} never begun, over {REGISTERING_KILLS} kills",
        told.len()
    );
    assert!(assigned >= told.len() && told.len() >= REGISTERING_KILLS);
}

/// Threat 61: an import that is killed again and again goes on where it was, and every line of it is applied.
#[test]
fn a_kill_in_the_middle_of_an_import_loses_no_line() {
    const LINES: usize = 4_000;
    const IMPORT_KILLS: usize = 6;
    let home = tempfile::tempdir().unwrap();
    let mut process = start(&home.path().join("data"));
    let administrator = Administrator::of(&process);
    let account =
        format!("{}/providers/Microsoft.Storage/storageAccounts/plantblobs", process.group());
    let made = administrator.arm("PUT", &account, &json!({ "location": "westus" }));
    let endpoint = made["properties"]["primaryEndpoints"]["blob"].as_str().unwrap().to_owned();
    let keys = administrator.arm("POST", &format!("{account}/listKeys"), &Value::Null);
    let key = STANDARD.decode(keys["keys"][0]["value"].as_str().unwrap()).unwrap();
    let sas = wire::storage::sas::Sas::new([
        ("sv", "2021-12-02"),
        ("ss", "b"),
        ("srt", "sco"),
        ("sp", "rcw"),
        ("se", "2096-01-01T00:00:00Z"),
    ]);
    let place = wire::storage::sas::Place { account: "plantblobs", container: "", blob: "" };
    let sas = sas.signed(&place, &key);
    let jobs = format!("{}/jobs", endpoint.trim_end_matches('/'));
    let wire = process.wire();
    let headers = [("x-ms-version", "2021-12-02"), ("x-ms-blob-type", "BlockBlob")];
    wire.send("PUT", &format!("{jobs}?restype=container&{sas}"), &headers, b"").expect(201);
    let lines: String = (0..LINES).map(|it| format!("{{\"id\":\"moved-{it}\"}}\n")).collect();
    let blob = format!("{jobs}/devices.txt?{sas}");
    wire.send("PUT", &blob, &headers, lines.as_bytes()).expect(201);
    let uri = format!("{jobs}?{sas}");
    let body =
        json!({ "type": "import", "inputBlobContainerUri": uri, "outputBlobContainerUri": uri });
    let begun = administrator.hub(&wire, "POST", "/jobs/create", &body).expect(200).body;
    let job = format!("/jobs/{}", begun["jobId"].as_str().unwrap());
    let (mut kills, mut before) = (0, 0);
    let ended = loop {
        let shown = administrator.hub(&process.wire(), "GET", &job, &Value::Null).expect(200).body;
        if shown["status"] != "running" && shown["status"] != "enqueued" {
            break shown;
        }
        let progress = shown["progress"].as_u64().unwrap();
        assert!(progress >= before, "it goes on where it was");
        if progress > before && kills < IMPORT_KILLS {
            (kills, before) = (kills + 1, progress);
            process.crash();
        }
    };
    assert_eq!(ended["status"], "completed", "{ended}");
    assert!(kills > 2, "it was killed in the middle");
    let wire = process.wire();
    for it in (0..LINES).step_by(37).chain([LINES - 1]) {
        let shown = administrator.hub(&wire, "GET", &format!("/devices/moved-{it}"), &Value::Null);
        shown.expect(200);
    }
    let told = wire.send("GET", &format!("{jobs}/importErrors.log?{sas}"), &headers, b"");
    assert!(told.expect(200).body.as_str().is_none_or(str::is_empty));
}

/// Whoever manages a server that is a process.
struct Administrator {
    wire: Wire,
    arm: String,
    bearer: String,
    host: String,
    sas: String,
}

impl Administrator {
    fn of(process: &Process) -> Self {
        let (host, sas) = process.owner();
        let arm = process.setting("HUBWARD_ARM");
        Self { wire: process.wire(), arm, bearer: process.arm_bearer(), host, sas }
    }

    fn arm(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}?api-version=2023-01-01", self.arm);
        self.wire.json(method, &url, &self.bearer, body).expect(200).body
    }

    fn hub(&self, wire: &Wire, method: &str, path: &str, body: &Value) -> testkit::Answer {
        let url = format!("https://{}{path}?api-version=2021-04-12", self.host);
        wire.json(method, &url, &self.sas, body)
    }
}
