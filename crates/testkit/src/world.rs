//! A server in this process, with its own clock, and the people in it.

mod hubs;
mod targets;

use crate::wire_client::{Answer, Wire};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Parser as _;
use cli::Connection;
use model::{Timestamp, Trace};
use ops::Env;
use ops::env::Clock;
use ops::replay::{Difference, PassedOver, Replayed};
use serde_json::{Value, json};
use server::{Server, Up};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use store::{Scan, ShardId, tables};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// When every world begins: 2026-11-22T08:00:00Z.
const BEGINNING_S: i64 = 1_795_334_400;
/// Ports that no privileges are needed for; each world has a loopback net of its own.
const HTTPS_PORT: u16 = 20_443;
const MQTT_PORT: u16 = 20_883;
const AMQP_PORT: u16 = 20_671;
const MANAGEMENT_PORT: u16 = 20_843;
const METRICS_PORT: u16 = 20_946;

/// A server that listens on real sockets and keeps a real store, on a clock that the test drives.
pub struct World {
    runtime: Runtime,
    server: Option<Server>,
    now_ms: Arc<AtomicI64>,
    dir: TempDir,
    wire: Wire,
    connection: Connection,
    /// What of `up` the test chooses, as a person would write it.
    flags: Vec<String>,
}

/// A command line of `up`.
#[derive(clap::Parser)]
struct CommandLine {
    #[command(flatten)]
    up: Up,
}

/// Somebody who can call.
#[derive(Clone, Debug)]
pub struct Identity {
    pub name: String,
    pub app_id: String,
    pub object_id: String,
    pub secret: String,
}

impl World {
    /// A fresh server with a resource group, a hub and a device.
    pub fn new() -> Self {
        Self::started(&[])
    }

    /// The same, where changes of roles spread as `--propagation` says.
    pub fn spreading(propagation: &str) -> Self {
        Self::started(&["--propagation", propagation])
    }

    /// The same, where hubs are limited as `--limits` says.
    pub fn limited(sku: &str) -> Self {
        Self::started(&["--limits", sku])
    }

    /// The same, started with more flags of `up`.
    pub fn started(flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(|it| (*it).to_owned()).collect();
        let dir = tempfile::tempdir().expect("the system has room for a data directory");
        let now_ms = Arc::new(AtomicI64::new(BEGINNING_S * 1_000));
        let runtime = Runtime::new().expect("the system has threads");
        let server = start(&runtime, dir.path(), &now_ms, &flags);
        let data = dir.path().join("data");
        let connection =
            Connection::read(&data).expect("a server that runs has written connection.env");
        let wire = Wire::new(connection.ca_file());
        Self { runtime, server: Some(server), now_ms, dir, wire, connection, flags }
    }

    /// What a question to the server's insides comes to.
    pub fn waits<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    /// The server's insides, for counters and for minting what no client could.
    pub fn env(&self) -> &Env {
        &self.server.as_ref().expect("it runs as long as the world").env
    }

    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    pub fn setting(&self, key: &str) -> String {
        self.connection.get(key).unwrap_or("").to_owned()
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.load(Ordering::SeqCst))
    }

    /// Lets time pass.
    pub fn pass_seconds(&self, seconds: i64) {
        self.now_ms.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    /// Lets the server do what it does every hour.
    pub fn hourly_round(&self) {
        let server = self.server.as_ref().expect("it runs as long as the world");
        self.runtime.block_on(server.hourly_round());
    }

    /// Stops the server in order and starts it on the same data.
    pub fn restart(&mut self) {
        let server = self.server.take().expect("it runs as long as the world");
        self.runtime.block_on(server.stop()).expect("the server stops in order");
        self.server = Some(start(&self.runtime, self.dir.path(), &self.now_ms, &self.flags));
    }

    /// The same, started with more flags of `up` from then on.
    pub fn restart_with(&mut self, flags: &[&str]) {
        self.flags.extend(flags.iter().map(|it| (*it).to_owned()));
        self.restart();
        self.connection = Connection::read(&self.dir.path().join("data"))
            .expect("a server that runs has written connection.env");
    }

    /// How many kept decisions come out the same when they are judged again, offline, from their traces and
    /// the facts of their time. One that does not fails the test when the world ends.
    pub fn judged_again(&self) -> usize {
        let replayed = ops::replay::again(&self.env().store, |_, _| {});
        self.runtime.block_on(replayed).expect("what was kept can be read").same
    }

    pub fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.setting("HUBWARD_SUBSCRIPTION_ID"))
    }

    pub fn group(&self) -> String {
        format!("{}/resourceGroups/{}", self.subscription(), self.setting("HUBWARD_RESOURCE_GROUP"))
    }

    /// The id of the hub that first start made.
    pub fn hub(&self) -> String {
        self.hub_named(&self.setting("HUBWARD_HUB"))
    }

    pub fn hub_named(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.Devices/IotHubs/{name}", self.group())
    }

    /// Takes the role of the administrator's person away, so that its application is the only Owner there is.
    pub fn leave_one_owner(&self) {
        let path = "/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()";
        let list = self.arm("GET", path, &Value::Null).expect(200).body;
        let all = list.get("value").and_then(Value::as_array).into_iter().flatten();
        let is_person =
            |it: &&Value| it.pointer("/properties/principalType") == Some(&"User".into());
        let mut ids = all.filter(is_person).filter_map(|it| it.get("id")?.as_str());
        let id = ids.next().expect("first start gave a person the role");
        self.arm("DELETE", id, &Value::Null).expect(200);
    }

    pub fn admin(&self) -> Identity {
        Identity {
            name: "administrator".into(),
            app_id: self.setting("HUBWARD_ADMIN_APP_ID"),
            object_id: String::new(),
            secret: self.setting("HUBWARD_ADMIN_SECRET"),
        }
    }

    /// Signs in over the wire.
    pub fn token(&self, who: &Identity, audience: &str) -> String {
        let answer =
            self.sign_in(&who.app_id, &who.secret, &format!("{audience}/.default")).expect(200);
        text(&answer.body, "/access_token").to_owned()
    }

    pub fn sign_in(&self, app_id: &str, secret: &str, scope: &str) -> Answer {
        let url = format!(
            "{}/{}/oauth2/v2.0/token",
            self.setting("HUBWARD_AUTHORITY"),
            self.setting("HUBWARD_TENANT_ID")
        );
        let form = format!(
            "grant_type=client_credentials&client_id={app_id}&client_secret={secret}&scope={scope}"
        );
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        self.wire.send("POST", &url, &headers, form.as_bytes())
    }

    /// A call of the administrator to the control plane.
    pub fn arm(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.arm_as(&self.admin(), method, path, body)
    }

    pub fn arm_as(&self, who: &Identity, method: &str, path: &str, body: &Value) -> Answer {
        let token = self.token(who, "https://management.azure.com");
        let mark = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}{path}{mark}api-version=2024-11-01", self.setting("HUBWARD_ARM"));
        self.wire.json(method, &url, &format!("Bearer {token}"), body)
    }

    pub fn graph(&self, method: &str, path: &str, body: &Value) -> Answer {
        let token = self.token(&self.admin(), "https://graph.microsoft.com");
        let url = format!("{}/v1.0{path}", self.setting("HUBWARD_GRAPH"));
        self.wire.json(method, &url, &format!("Bearer {token}"), body)
    }

    /// A new provisioning service in the group, as its resource id.
    pub fn dps(&self, name: &str) -> String {
        let id =
            format!("{}/providers/Microsoft.Devices/provisioningServices/{name}", self.group());
        let body = json!({
            "location": "westus", "sku": { "name": "S1", "capacity": 1 }, "properties": {} });
        self.arm("PUT", &id, &body).expect(201);
        id
    }

    /// `https://{address}:{port}` of a provisioning service.
    pub fn dps_origin(&self, dps: &str) -> String {
        let shown = self.arm("GET", dps, &Value::Null).expect(200);
        format!("https://{}", text(&shown.body, "/properties/serviceOperationsHostName"))
    }

    /// A call to a provisioning service's service API with an Entra token.
    pub fn dps_as(
        &self,
        who: &Identity,
        method: &str,
        dps: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let token = self.token(who, "https://azure-devices-provisioning.net");
        self.dps_with(&[("Authorization", &format!("Bearer {token}"))], method, dps, path, body)
    }

    /// The same with any headers.
    pub fn dps_with(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        dps: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let url = format!("{}{path}?api-version=2021-10-01", self.dps_origin(dps));
        self.wire.json_with(method, &url, headers, body)
    }

    /// A shared access signature of a provisioning service's policy for a resource, valid for an hour.
    pub fn dps_sas(&self, dps: &str, policy: &str, resource: &str) -> String {
        let shown = self.arm("POST", &format!("{dps}/keys/{policy}/listkeys"), &Value::Null);
        let shown = shown.expect(200).body;
        let key = STANDARD.decode(text(&shown, "/primaryKey")).expect("a key is base64");
        wire::sas::sign(resource, &key, self.now().plus_seconds(3_600), Some(policy))
    }

    /// A new application with a service principal and a secret.
    pub fn service_principal(&self, name: &str) -> Identity {
        let app =
            self.graph("POST", "/applications", &json!({ "displayName": name })).expect(201).body;
        let id = text(&app, "/id");
        let app_id = text(&app, "/appId").to_owned();
        let principal =
            self.graph("POST", "/servicePrincipals", &json!({ "appId": app_id })).expect(201).body;
        let password = self.graph("POST", &format!("/applications/{id}/addPassword"), &json!({}));
        Identity {
            name: name.to_owned(),
            app_id,
            object_id: text(&principal, "/id").to_owned(),
            secret: text(&password.body, "/secretText").to_owned(),
        }
    }

    /// Gives somebody a built-in role, by its id.
    pub fn assign(&self, who: &Identity, role: &str, scope: &str) -> Answer {
        let name = fresh_guid();
        let body = json!({ "properties": {
            "roleDefinitionId": format!("{}/providers/Microsoft.Authorization/roleDefinitions/{role}", self.subscription()),
            "principalId": who.object_id } });
        self.arm(
            "PUT",
            &format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"),
            &body,
        )
    }

    /// Writes a policy definition in the subscription.
    pub fn define_policy(&self, name: &str, rule: &Value) -> Answer {
        let path = format!(
            "{}/providers/Microsoft.Authorization/policyDefinitions/{name}",
            self.subscription()
        );
        self.arm("PUT", &path, &json!({ "properties": { "mode": "All", "policyRule": rule } }))
    }

    /// Brings a definition to a scope under its own name.
    pub fn assign_policy(&self, name: &str, scope: &str) -> Answer {
        let definition = format!(
            "{}/providers/Microsoft.Authorization/policyDefinitions/{name}",
            self.subscription()
        );
        let path = format!("{scope}/providers/Microsoft.Authorization/policyAssignments/{name}");
        self.arm("PUT", &path, &json!({ "properties": { "policyDefinitionId": definition } }))
    }

    /// What `GET /decisions/{id}` tells the administrator.
    pub fn explained(&self, tracking: &str) -> Value {
        self.arm("GET", &format!("/decisions/{tracking}"), &Value::Null).expect(200).body
    }

    /// The refusals that were kept from a time on: over MQTT nobody is told their ids.
    pub fn refusals(&self, since: Timestamp) -> Vec<Trace> {
        let scan = Scan { prefix: String::new(), after: None, limit: 10_000 };
        let decisions = ShardId::decisions();
        let found = self.env().store.scan(&decisions, tables::DECISIONS, scan);
        let kept = self.runtime.block_on(found).expect("what was kept can be read");
        let read = kept.iter().map(|(_, it)| serde_json::from_slice::<Trace>(&it.body));
        read.filter_map(Result::ok).filter(|it| it.time >= since).collect()
    }

    /// Where devices connect over MQTT.
    pub const fn mqtt_port(&self) -> u16 {
        MQTT_PORT
    }

    /// Where devices and services connect over AMQP.
    pub const fn amqp_port(&self) -> u16 {
        AMQP_PORT
    }

    /// Waits until every diagnostic record is in its file.
    pub fn flush_diagnostics(&self) {
        self.runtime.block_on(self.env().diagnostics.flush());
    }

    /// A GUID that no other test draws in this process.
    pub fn guid(&self) -> String {
        fresh_guid()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let replayed = ops::replay::again(&server.env.store, |_, _| {});
            let replayed = self.runtime.block_on(replayed);
            drop(self.runtime.block_on(server.stop()));
            // A test that has failed says why itself.
            if !std::thread::panicking() {
                check(&replayed.expect("what was kept can be read"));
            }
        }
    }
}

/// Fails where a decision did not come out as it was, or could not be judged again for want of anything but a
/// credential or a large body.
fn check(replayed: &Replayed) {
    let told = |it: &Difference| {
        let (id, operation) = (it.then.id, &it.then.call.operation);
        format!("{id} {operation}: {:?}, now {:?}", it.then.outcome, it.now)
    };
    let faults: Vec<String> = replayed.differences.iter().map(told).collect();
    assert!(faults.is_empty(), "judged again, otherwise: {}", faults.join("\n"));
    let known = [PassedOver::AtAuthentication, PassedOver::Shortened];
    let unknown = replayed.passed_over.keys().find(|it| !known.contains(it));
    assert_eq!(unknown, None, "a decision that could not be judged again");
}

fn start(runtime: &Runtime, dir: &Path, now_ms: &Arc<AtomicI64>, flags: &[String]) -> Server {
    let data = dir.join("data").display().to_string();
    let port = |name: &str, port: u16| [format!("--{name}-port"), port.to_string()];
    let own = ["up".to_owned(), "--keep-facts".to_owned(), "--data".to_owned(), data];
    let ports = [
        port("https", HTTPS_PORT),
        port("mqtt", MQTT_PORT),
        port("amqp", AMQP_PORT),
        port("management", MANAGEMENT_PORT),
        port("metrics", METRICS_PORT),
    ];
    let line = own.into_iter().chain(ports.into_iter().flatten()).chain(flags.iter().cloned());
    let options = CommandLine::try_parse_from(line).expect("`up` takes such flags").up;
    let wall = Arc::clone(now_ms);
    let ticks = AtomicU64::new(0);
    let clock = Clock {
        now: Arc::new(move || Timestamp::from_millis(wall.load(Ordering::SeqCst))),
        // Every reading is a microsecond after the one before.
        monotonic_ns: Arc::new(move || ticks.fetch_add(1_000, Ordering::SeqCst)),
    };
    runtime.block_on(Server::start(&options, clock)).expect("the server starts")
}

/// The text at a JSON pointer, which the test knows to be there.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no text at {pointer} in {value}"))
}

fn fresh_guid() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    uuid::Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000_u128 | u128::from(number))
        .to_string()
}
