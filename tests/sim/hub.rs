//! The hub that every run begins with, and one life of a server over a disk.

use super::disk::Disk;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use front::sessions::Room;
use model::operations::{Surface, operation};
use model::trace::Channel;
use model::{Credential, ObjectId, Op, Scope, Secret, Timestamp, roles};
use ops::devices::logs::{HubLog, Logs};
use ops::entra::signing::{Signer, SigningKeys};
use ops::env::{Clock, Env, IdentityTokens, Settings};
use ops::facts::{self, FactsCell};
use ops::input::Headers;
use ops::insights::diagnostics::Diagnostics;
use ops::metrics::Metrics;
use ops::{Answer, Call, authorization, call, entra, insights, provisioning, resources};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::log::{Log, LogOptions};
use store::{Engine, Memory, ShardId};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use uuid::Uuid;

/// When every run begins: 2026-11-22T08:00:00Z.
const BEGINNING_S: i64 = 1_795_334_400;
/// Of a hub, where nobody chose otherwise.
pub const PARTITIONS: u16 = 4;

/// What is the same in all runs: a hub with its devices, as it lies on the disk, and who has its keys.
pub struct Plan {
    pub memory: Memory,
    pub host: String,
    pub shard: ShardId,
    pub devices: Vec<DeviceKey>,
    /// Of the policy `iothubowner`.
    owner_key: Vec<u8>,
    signing_key: Vec<u8>,
    /// Where the writers of diagnostic records wait: a thread that waits would stop a run's own clock.
    aside: Runtime,
}

pub struct DeviceKey {
    pub id: String,
    key: Vec<u8>,
}

impl Plan {
    /// Makes it as first start does: by calls of an administrator.
    pub fn new(devices: &[&str]) -> Self {
        let signing_key = Signer::generate().unwrap();
        let mut plan = Self {
            memory: Memory::default(),
            host: String::new(),
            shard: ShardId::control(),
            devices: Vec::new(),
            owner_key: Vec::new(),
            signing_key,
            aside: Runtime::new().unwrap(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(plan.make(devices));
        plan
    }

    async fn make(&mut self, devices: &[&str]) {
        let now = Timestamp::from_seconds(BEGINNING_S);
        let store = Engine::Memory(self.memory.clone());
        let mut changes = vec![
            resources::subscriptions::change_create(id(2), "simulated").unwrap(),
            authorization::role_assignments::first(id(6), id(5), roles::OWNER, &Scope::root(), now)
                .unwrap(),
        ];
        changes.extend(entra::administrator(
            now,
            id(1),
            "administrator",
            id(3),
            id(4),
            id(5),
            "secret",
            &[7; 16],
        ));
        store.commit(&ShardId::control(), changes).await.unwrap();
        let log = Log::memory(PARTITIONS);
        let env = self.environment(store, log, Instant::now()).await;
        let group = format!("/subscriptions/{}/resourceGroups/hall", id(2));
        let hub = format!("{group}/providers/Microsoft.Devices/IotHubs/hub");
        self.arm(&env, Op::PutResourceGroup, &group, json!({ "location": "westus" })).await;
        let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 }, "properties": {} });
        self.arm(&env, Op::PutHub, &hub, body).await;
        let path = format!("{hub}/IotHubKeys/iothubowner/listkeys");
        let keys = self.arm(&env, Op::GetHubKey, &path, Value::Null).await;
        self.owner_key = STANDARD.decode(keys["primaryKey"].as_str().unwrap()).unwrap();
        let facts = env.facts.load();
        let known = facts.hub(&Scope::parse(&hub).unwrap()).unwrap();
        self.host.clone_from(&known.host);
        self.shard = ShardId::hub(&known.uid).unwrap();
        for (number, device) in devices.iter().enumerate() {
            let key = vec![u8::try_from(number).unwrap() + 1; 32];
            let text = STANDARD.encode(&key);
            let body = json!({ "deviceId": device, "authentication": { "type": "sas",
                "symmetricKey": { "primaryKey": text, "secondaryKey": text } } });
            let ask = Ask { op: Op::PutDevice, device, lock: String::new(), body };
            assert_eq!(self.call(&env, ask).await.status, 200);
            self.devices.push(DeviceKey { id: (*device).to_owned(), key });
        }
    }

    /// A server's insides over a store, as a start makes them.
    async fn environment(&self, store: Engine, log: Log, began: Instant) -> Env {
        let settings = Settings {
            tenant: id(1),
            subscription: id(2),
            origin: "https://127.71.3.1:8443".into(),
            loopback_net: "127.71.3".into(),
            hub_port: 443,
            amqp_port: 5671,
            data_dir: "nowhere".into(),
            propagation: "off".parse().unwrap(),
            keeps_facts: true,
            latencies: ops::provisioning::latency::Latencies::default(),
            private_nets: Vec::new(),
            listens_at: None,
        };
        let ticks = AtomicU64::new(0);
        let clock = Clock {
            now: Arc::new(move || now(began)),
            // Every reading is a microsecond after the one before.
            monotonic_ns: Arc::new(move || ticks.fetch_add(1_000, Ordering::SeqCst)),
        };
        let signer = Signer::from_pkcs8(&self.signing_key).unwrap();
        let signing_keys = SigningKeys::new(signer, Vec::new());
        let mut facts = facts::load(&store, settings.tenant, &settings.origin).await.unwrap();
        facts.has_explicit_grants = true;
        facts.keys = Arc::new(signing_keys.verifying_keys());
        let spread = &settings.propagation;
        facts::former::begin(&store, true, &mut facts, spread, (clock.now)()).await.unwrap();
        // Its disks break all the time: a test that fails shows what it said of that, and so does `--nocapture`.
        let metrics = Metrics::telling(|line| eprint!("{line}"));
        let diagnostics = {
            let _aside = self.aside.enter();
            Diagnostics::start(settings.data_dir.clone(), metrics.clone()).0
        };
        let hub_log = HubLog { log, partitions: PARTITIONS };
        let env = Env {
            settings,
            store,
            facts: Arc::new(FactsCell::new(facts)),
            clock,
            signing_keys,
            assertions: entra::assertions::Assertions::default(),
            newcomers: entra::newcomers::Newcomers::default(),
            challenges: ops::provisioning::challenges::Challenges::default(),
            pace: ops::provisioning::pace::Pace::default(),
            tries: entra::stretching::Tries::default(),
            device_tries: entra::DeviceTries::default(),
            diagnostics,
            metrics,
            kept: ops::decisions::Kept::default(),
            observed: ops::observed::Observed::default(),
            opened_by_key: ops::local_auth::OpenedByKey::default(),
            presence: ops::devices::presence::Presence::default(),
            message_locks: ops::devices::messages::Locks::default(),
            message_rates: ops::devices::security::Rates::default(),
            held: ops::devices::service_queues::Held::default(),
            queries: ops::devices::queries::Turns::default(),
            deployments: ops::resources::deployments::Deployments::default(),
            chores: ops::devices::chores::Chores::default(),
            readers: ops::devices::readers::Readers::default(),
            routings: ops::devices::routing::Routings::default(),
            logs: Logs::with(self.shard.clone(), hub_log),
            bus_turns: ops::targets::service_bus::BusTurns::default(),
            blob_turns: ops::blobs::Turns::default(),
            journals: Logs::journals(),
            egress: egress::Client::new(egress::Rule::default(), std::path::PathBuf::new()),
            identity_tokens: IdentityTokens::default(),
            limits: ops::limits::Limits::default(),
            hosts: None,
        };
        insights::settings::load(&env).await.unwrap();
        env
    }

    /// Starts a server on what a disk holds, and finishes what the one before left half done.
    pub async fn start(&self, disk: &Disk, began: Instant) -> Arc<Env> {
        let store = Engine::Memory(disk.memory.clone());
        let env = self.environment(store, Log::Memory(disk.log.clone()), began).await;
        resources::long_running::finish_open_intents(&env).await.unwrap();
        provisioning::register::finish_open_registrations(&env).await.unwrap();
        Arc::new(env)
    }

    /// A disk as it is at the beginning of a run.
    pub fn disk(&self) -> Disk {
        let log = Log::memory_with(LogOptions::new(PARTITIONS, 0)).unwrap();
        let Log::Memory(log) = log else { panic!("a log in memory is asked for") };
        Disk { memory: self.memory.killed(), log }
    }

    /// A call of a service to the hub, by its owner's key.
    pub async fn call(&self, env: &Env, ask: Ask<'_>) -> Answer {
        let Ask { op, device, lock, body } = ask;
        let row = operation(op);
        let until = env.now().plus_seconds(60);
        let token = wire::sas::sign(&self.host, &self.owner_key, until, Some("iothubowner"));
        let credential = Credential::Sas(wire::sas::parse(&token).unwrap());
        let path = row.routes[0].path.replace("{device}", device).replace("{lock}", &lock);
        let params = [("device", device.to_owned()), ("lock", lock)];
        run(env, op, self.host.clone(), path, BTreeMap::from(params), credential, body).await
    }

    /// A call of the administrator to the control plane: the answer's body.
    async fn arm(&self, env: &Env, op: Op, path: &str, body: Value) -> Value {
        let now = env.now().seconds();
        let claims = json!({
            "iss": format!("{}/{}/v2.0", env.settings.origin, id(1)),
            "aud": "https://management.azure.com",
            "tid": id(1), "oid": id(5), "appid": id(3), "iat": now, "nbf": now, "exp": now + 60,
        });
        let token = env.signing_keys.sign(&claims).unwrap();
        let params = BTreeMap::from([
            ("subscription", id(2).to_string()),
            ("group", "hall".to_owned()),
            ("hub", "hub".to_owned()),
            ("key", "iothubowner".to_owned()),
        ]);
        let credential = Credential::Bearer(Secret::new(token));
        let answer = run(env, op, String::new(), path.to_owned(), params, credential, body).await;
        assert!(answer.status < 300, "{path}: {answer:?}");
        answer.body.unwrap_or_default()
    }
}

impl DeviceKey {
    /// A signature of the device for itself.
    pub fn signature(&self, host: &str, until: Timestamp) -> String {
        let resource = wire::sas::resource_text(&format!("{host}/devices/{}", self.id));
        wire::sas::sign(&resource, &self.key, until, None)
    }
}

/// A call of a service. What its route does not name is empty.
pub struct Ask<'a> {
    pub op: Op,
    pub device: &'a str,
    pub lock: String,
    pub body: Value,
}

async fn run(
    env: &Env,
    op: Op,
    host: String,
    path: String,
    params: BTreeMap<&'static str, String>,
    credential: Credential,
    body: Value,
) -> Answer {
    let row = operation(op);
    let surface = row.surface();
    let version = if surface == Surface::Hub { "2021-04-12" } else { "2025-02-01-preview" };
    let body = bytes::Bytes::from(body.to_string());
    let call = Call {
        operation: row,
        surface,
        host,
        params,
        query: vec![("api-version".into(), version.into())],
        headers: Headers { content_type: Some("application/json".into()), ..Headers::default() },
        credential,
        channel: Channel {
            protocol: "https".into(),
            request: format!("{} {path}", row.routes[0].method),
            address: "127.0.0.1".into(),
            ..Channel::default()
        },
        path,
        body: Box::new(move |_, _| Box::pin(async move { Ok(body) })),
    };
    call::run(env, call).await
}

/// The time of a run that began at a moment of the runtime's clock.
pub fn now(began: Instant) -> Timestamp {
    let elapsed = i64::try_from(began.elapsed().as_millis()).unwrap();
    Timestamp::from_millis(BEGINNING_S * 1_000 + elapsed)
}

/// As much room as one plant needs.
pub fn room() -> Room {
    Room::new(1 << 16)
}

const fn id(number: u128) -> ObjectId {
    ObjectId(Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000 | number))
}
