//! Devices that register over MQTT, from the TCP connection to `assigned`: of one group by its key, and of one group by
//! certificates of its CA. Each is a new device, is written at its hub, and is synced before it hears of it.

use super::mqtt::{Broker, connected};
use super::{broker, now, server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use model::{Secret, Timestamp};
use rustls::ClientConfig;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::x509::{Certified, authority, between};
use testkit::{Process, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use wire::mqtt::{ByteString, Connect, Packet, Publish, Qos, decode, encode};

/// Devices of each group, and how many of them are made at a time, before the clock starts.
const DEVICES: usize = 10_000;
const MADE_AT_ONCE: usize = 1_000;
/// Devices that register at a time.
const REGISTERING: usize = 16;
/// 2020-01-01 and 2100-01-01: certificates that outlive every run.
const FROM: Timestamp = Timestamp::from_seconds(1_577_836_800);
const UNTIL: Timestamp = Timestamp::from_seconds(4_102_444_800);

/// A device that has yet to register: what it says first, and over which connection.
struct Newcomer {
    id: String,
    tls: Arc<ClientConfig>,
    connect: Connect,
}

/// The provisioning service, seen by whoever holds its key.
struct Service {
    wire: Wire,
    host: String,
    id_scope: String,
    signature: String,
}

pub fn registrations(home: &Path) {
    let process = server(home);
    let service = Service::of(&process);
    let broker = broker(&process, &service.host);

    let group = service.call("POST", "fleet/attestationmechanism", &Value::Null);
    let key = decoded(&group["symmetricKey"]["primaryKey"]);
    measure("by a group's key", &broker, |number| service.by_key(&key, &format!("keyed-{number}")));

    let ca = Certified::by_itself(lasting(authority("Plant CA", FROM)));
    let certificate = STANDARD.encode(ca.der());
    let signing = json!({ "signingCertificates": { "primary": { "certificate": certificate } } });
    let attestation = json!({ "type": "x509", "x509": signing });
    let group = json!({ "enrollmentGroupId": "certified", "attestation": attestation });
    service.call("PUT", "certified", &group);
    measure("by certificates", &broker, |number| {
        service.by_certificate(&ca, &format!("certified-{number}"))
    });
    process.kill();
}

fn lasting(mut params: rcgen::CertificateParams) -> rcgen::CertificateParams {
    let times = between("", FROM, UNTIL);
    (params.not_before, params.not_after) = (times.not_before, times.not_after);
    params
}

fn decoded(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

impl Service {
    fn of(process: &Process) -> Self {
        let get = |key: &str| process.setting(key);
        let (wire, bearer) = (process.wire(), process.arm_bearer());
        let services = format!(
            "{}{}/providers/Microsoft.Devices/provisioningServices",
            get("HUBWARD_ARM"),
            process.group()
        );
        let ask = |method: &str, path: &str| {
            let url = format!("{services}{path}?api-version=2021-10-15");
            wire.json(method, &url, &bearer, &Value::Null).expect(200).body
        };
        let name = ask("GET", "")["value"][0]["name"].as_str().unwrap().to_owned();
        let keys = ask("POST", &format!("/{name}/keys/provisioningserviceowner/listkeys"));
        let host = get("HUBWARD_DPS_HOST");
        let key = decoded(&keys["primaryKey"]);
        let signature = wire::sas::sign(&host, &key, UNTIL, Some("provisioningserviceowner"));
        let id_scope = get("HUBWARD_DPS_ID_SCOPE");
        Self { wire, host, id_scope, signature }
    }

    /// A call below `/enrollmentGroups/`.
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("https://{}/enrollmentGroups/{path}?api-version=2021-10-01", self.host);
        self.wire.json(method, &url, &self.signature, body).expect(200).body
    }

    fn by_key(&self, group_key: &[u8], id: &str) -> Newcomer {
        let group = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, group_key);
        let key = ring::hmac::sign(&group, id.as_bytes());
        let resource = wire::sas::resource_text(&format!("{}/registrations/{id}", self.id_scope));
        let password = wire::sas::sign(&resource, key.as_ref(), UNTIL, Some("registration"));
        let password = Some(Secret::new(password.into_bytes()));
        Newcomer { id: id.to_owned(), tls: self.wire.tls(), connect: self.greeting(id, password) }
    }

    fn by_certificate(&self, ca: &Certified, id: &str) -> Newcomer {
        let own = Certified::by(between(id, FROM, UNTIL), ca);
        let tls = self.wire.showing(&own).tls();
        Newcomer { id: id.to_owned(), tls, connect: self.greeting(id, None) }
    }

    fn greeting(&self, id: &str, password: Option<Secret<Vec<u8>>>) -> Connect {
        Connect {
            protocol_level: 4,
            clean_session: true,
            keep_alive_s: 60,
            client_id: id.to_owned(),
            will: None,
            user_name: Some(format!("{}/registrations/{id}/api-version=2019-03-31", self.id_scope)),
            password,
        }
    }
}

fn measure(how: &str, broker: &Broker, newcomer: impl Fn(usize) -> Newcomer) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut took, mut cpu_s) = (Duration::ZERO, 0.0);
    let latencies = Arc::new(Mutex::new(Vec::with_capacity(DEVICES)));
    for first in (0..DEVICES).step_by(MADE_AT_ONCE) {
        let waiting: Vec<Newcomer> = (first..first + MADE_AT_ONCE).map(&newcomer).collect();
        let waiting = Arc::new(Mutex::new(waiting));
        let (began, cpu_before) = (now(), testkit::cpu_seconds(broker.pid));
        runtime.block_on(async {
            let mut running = tokio::task::JoinSet::new();
            for _ in 0..REGISTERING {
                let (waiting, latencies) = (Arc::clone(&waiting), Arc::clone(&latencies));
                let broker = broker.clone();
                running.spawn(async move {
                    loop {
                        let Some(next) = waiting.lock().unwrap().pop() else { break };
                        let began = now();
                        register(&broker, next).await;
                        latencies.lock().unwrap().push(began.elapsed());
                    }
                });
            }
            running.join_all().await;
        });
        took += began.elapsed();
        cpu_s += testkit::cpu_seconds(broker.pid) - cpu_before;
    }
    let mut latencies = latencies.lock().unwrap();
    latencies.sort();
    let ms = |hundredths: usize| latencies[latencies.len() * hundredths / 100].as_secs_f64() * 1e3;
    println!(
        "registrations over MQTT {how}, {DEVICES} devices of one group, {REGISTERING} at a time: {:.0} per second, \
         median {:.1} ms, p99 {:.1} ms, {:.2} CPU ms each",
        DEVICES as f64 / took.as_secs_f64(),
        ms(50),
        ms(99),
        cpu_s * 1e3 / DEVICES as f64
    );
}

async fn register(broker: &Broker, newcomer: Newcomer) {
    let Newcomer { id, tls, connect } = newcomer;
    let mut stream = connected(&Broker { tls, ..broker.clone() }, &connect).await;
    let mut incoming = BytesMut::new();
    let filters = vec![("$dps/registrations/res/#".to_owned(), Qos::AtMostOnce)];
    ask(&mut stream, &mut incoming, Packet::Subscribe { id: 1, filters }).await;
    let request = |topic: String, body: String| {
        Packet::Publish(Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: ByteString::from(topic),
            id: None,
            payload: body.into(),
        })
    };
    let body = format!(r#"{{"registrationId":"{id}"}}"#);
    let topic = "$dps/registrations/PUT/iotdps-register/?$rid=1".to_owned();
    let begun = ask(&mut stream, &mut incoming, request(topic, body)).await;
    let operation = begun["operationId"].as_str().unwrap().to_owned();
    let topic = format!(
        "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId={operation}"
    );
    let done = ask(&mut stream, &mut incoming, request(topic, String::new())).await;
    assert_eq!(done["status"], "assigned", "{done}");
}

/// Sends a packet and reads what comes: the body of a message as JSON.
async fn ask(stream: &mut TlsStream<TcpStream>, incoming: &mut BytesMut, packet: Packet) -> Value {
    let mut bytes = BytesMut::new();
    encode(&packet, &mut bytes).unwrap();
    stream.write_all(&bytes).await.unwrap();
    loop {
        if let Some(packet) = decode(incoming, 1 << 20).unwrap() {
            let Packet::Publish(answer) = packet else { return Value::Null };
            return serde_json::from_slice(&answer.payload).unwrap();
        }
        assert!(stream.read_buf(incoming).await.unwrap() > 0, "the server goes on");
    }
}
