//! What leaves a hub: messages routed to an event hub as the hub's own identity, and a million identities into a
//! container of blobs and out of it. Everything goes over TLS, to targets that the same server serves.

use super::readers::{Endpoint, own};
use super::{broker, devices, mqtt, now, server};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use testkit::{Process, Wire};

/// How many messages are routed. Each device sends as many.
const EVENTS: usize = 200_000;
const SENDERS: usize = 50;
/// How large the blobs of a route are.
const CHUNK: usize = 10 << 20;
/// How many identities go in and out.
const IDENTITIES: usize = 1_000_000;
const SENDER: &str = "2b629674-e913-4c01-ae53-ef4638d8f975";
const BLOBS: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const POLL: Duration = Duration::from_millis(500);

/// The control plane, and who owns it.
struct Plant<'a> {
    process: &'a Process,
    wire: Wire,
    arm: String,
    group: String,
}

impl<'a> Plant<'a> {
    fn new(process: &'a Process) -> Self {
        let (wire, arm) = (process.wire(), process.setting("HUBWARD_ARM"));
        Self { process, wire, arm, group: process.group() }
    }

    fn asks(&self, method: &str, id: &str, body: &Value) -> Value {
        let url = format!("{}{id}?api-version=2023-06-30", self.arm);
        let answer = self.wire.json(method, &url, &self.process.arm_bearer(), body);
        assert!(answer.status < 300, "{method} {id}: {}", answer.text());
        answer.body
    }

    /// Gives the hub an identity of its own, with a role.
    fn lets(&self, role: &str, at: &str) {
        let on = json!({ "identity": { "type": "SystemAssigned" } });
        let hub = self.asks("PATCH", &self.process.hub(), &on);
        self.assigns(hub["identity"]["principalId"].as_str().unwrap(), role, at);
    }

    /// An account with a container, which the hub and the administrator may write: the address of its blobs.
    fn stores(&self, container: &str) -> String {
        let account =
            format!("{}/providers/Microsoft.Storage/storageAccounts/benchblobs", self.group);
        let made = self.asks("PUT", &account, &json!({ "location": "westus" }));
        let container = format!("{account}/blobServices/default/containers/{container}");
        self.asks("PUT", &container, &json!({}));
        self.lets(BLOBS, &account);
        let app = self.process.connection().admin_app_id().to_owned();
        let url = format!("{}/v1.0/servicePrincipals?$filter=appId%20eq%20'{app}'", self.arm);
        let graph = self.process.admin_bearer("https://graph.microsoft.com");
        let found = self.wire.json("GET", &url, &graph, &Value::Null).body;
        self.assigns(found["value"][0]["id"].as_str().unwrap(), BLOBS, &account);
        let blobs = made["properties"]["primaryEndpoints"]["blob"].as_str().unwrap();
        blobs.trim_end_matches('/').to_owned()
    }

    fn assigns(&self, principal: &str, role: &str, at: &str) {
        let id = format!(
            "{at}/providers/Microsoft.Authorization/roleAssignments/{}",
            uuid::Uuid::new_v4()
        );
        let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
        let properties = json!({ "roleDefinitionId": role, "principalId": principal,
            "principalType": "ServicePrincipal" });
        self.asks("PUT", &id, &json!({ "properties": properties }));
    }
}

/// Messages through one route to an event hub, beside the same without any route: from the first that is sent to the
/// last that is read there.
pub fn routed(home: &Path) {
    let process = server(home);
    let plant = Plant::new(&process);
    let namespace = format!("{}/providers/Microsoft.EventHub/namespaces/bench-events", plant.group);
    let made = plant.asks("PUT", &namespace, &json!({ "location": "westus" }));
    let endpoint = made["properties"]["serviceBusEndpoint"].as_str().unwrap();
    let event_host = endpoint.trim_start_matches("https://").split(':').next().unwrap().to_owned();
    let event_hub = format!("{namespace}/eventhubs/far");
    plant.asks("PUT", &event_hub, &json!({ "properties": { "partitionCount": 4 } }));
    plant.lets(SENDER, &event_hub);

    let (host, _) = process.owner();
    let (senders, broker) = (mqtt::clients(&devices(&process, SENDERS)), broker(&process, &host));
    let spent = |count: usize, then: &dyn Fn()| {
        let (began, cpu) = (now(), testkit::cpu_seconds(process.pid()));
        mqtt::fill(&broker, &senders, count);
        then();
        let cpu = (testkit::cpu_seconds(process.pid()) - cpu) / count as f64 * 1e6;
        (count as f64 / began.elapsed().as_secs_f64(), cpu)
    };
    let (rate, without) = spent(EVENTS, &|| {});
    println!("messages kept, no routes: {rate:.0} per second, {without:.1} CPU s per million");
    let routing = json!({
        "endpoints": { "eventHubs": [{ "name": "far", "authenticationType": "identityBased",
            "endpointUri": format!("sb://{event_host}/"), "entityPath": "far" }] },
        "routes": [{ "name": "all", "source": "DeviceMessages", "condition": "true",
            "endpointNames": ["far"], "isEnabled": true }],
    });
    plant.asks("PATCH", &process.hub(), &json!({ "properties": { "routing": routing } }));
    let rule = format!("{namespace}/authorizationRules/RootManageSharedAccessKey/listKeys");
    let key = plant.asks("POST", &rule, &Value::Null)["primaryKey"].as_str().unwrap().to_owned();
    let reader = Endpoint {
        host: event_host,
        event_hub: "far".to_owned(),
        key_name: "RootManageSharedAccessKey",
        key,
    };
    let (rate, with) = spent(EVENTS, &|| own(&process, &reader, super::AMQP_PORT, EVENTS));
    println!(
        "messages routed to an event hub and read there: {rate:.0} per second, {with:.1} CPU s per million, reading \
         included"
    );
    process.kill();
}

/// The same to a container of blobs, in batches that are full, up to the last full one.
pub fn routed_to_blobs(home: &Path) {
    let process = server(home);
    let plant = Plant::new(&process);
    let blobs = plant.stores("far");
    let (host, _) = process.owner();
    let (senders, broker) = (mqtt::clients(&devices(&process, SENDERS)), broker(&process, &host));
    let routing = json!({
        "endpoints": { "storageContainers": [{ "name": "far", "authenticationType": "identityBased",
            "endpointUri": format!("{blobs}/"), "containerName": "far", "encoding": "json",
            "batchFrequencyInSeconds": 720, "maxChunkSizeInBytes": CHUNK }] },
        "routes": [{ "name": "all", "source": "DeviceMessages", "condition": "true",
            "endpointNames": ["far"], "isEnabled": true }],
    });
    plant.asks("PATCH", &process.hub(), &json!({ "properties": { "routing": routing } }));
    let token = process.admin_bearer("https://storage.azure.com");
    let headers = [("Authorization", token.as_str()), ("x-ms-version", "2021-12-02")];
    let listed = || {
        let url = format!("{blobs}/far?restype=container&comp=list");
        plant.wire.send("GET", &url, &headers, b"").expect(200).text()
    };
    let (began, cpu) = (now(), testkit::cpu_seconds(process.pid()));
    mqtt::fill(&broker, &senders, EVENTS);
    // What is there once nothing has come for two looks is all that is full.
    let (mut count, mut since, mut looks) = (0, began.elapsed(), 0);
    while looks < 2 || count == 0 {
        std::thread::sleep(POLL);
        let found = listed().matches("<Blob>").count();
        looks = if found == count { looks + 1 } else { 0 };
        if found != count {
            (count, since) = (found, began.elapsed());
        }
    }
    let cpu = testkit::cpu_seconds(process.pid()) - cpu;
    let xml = listed();
    let name = xml.split("<Name>").nth(1).unwrap().split("</Name>").next().unwrap();
    let blob = plant.wire.send("GET", &format!("{blobs}/far/{name}"), &headers, b"").expect(200);
    let written = count * blob.text().matches("EnqueuedTimeUtc").count();
    println!(
        "messages routed to blobs of 10 MiB: {:.0} per second, {count} blobs, {:.1} CPU s per million",
        written as f64 / since.as_secs_f64(),
        cpu / EVENTS as f64 * 1e6,
    );
    process.kill();
}

/// A million identities from a blob, and into one: how long each job takes, and the most memory that the server had.
pub fn moved(home: &Path) {
    let process = server(home);
    let plant = Plant::new(&process);
    let blobs = plant.stores("jobs");
    let mut lines = String::with_capacity(IDENTITIES * 100);
    for number in 0..IDENTITIES {
        writeln!(
            lines,
            "{{\"id\":\"pump-{number}\",\"importMode\":\"create\",\"status\":\"enabled\",\"tags\":{{\"hall\":{}}}}}",
            number % 100
        )
        .unwrap();
    }
    let container = format!("{blobs}/jobs");
    let token = process.admin_bearer("https://storage.azure.com");
    let headers = [
        ("Authorization", token.as_str()),
        ("x-ms-version", "2021-12-02"),
        ("x-ms-blob-type", "BlockBlob"),
    ];
    let url = format!("{container}/devices.txt");
    plant.wire.send("PUT", &url, &headers, lines.as_bytes()).expect(201);
    drop(lines);
    let before = process.peak_bytes();
    for (what, body) in [
        ("import", json!({ "type": "import", "inputBlobContainerUri": container })),
        ("export", json!({ "type": "export", "excludeKeysInExport": false })),
    ] {
        let mut body = body;
        body["outputBlobContainerUri"] = json!(container);
        body["storageAuthenticationType"] = json!("identityBased");
        let (began, cpu) = (now(), testkit::cpu_seconds(process.pid()));
        let (host, signature) = process.owner();
        let url = |path: &str| format!("https://{host}/jobs/{path}?api-version=2021-04-12");
        let made = plant.wire.json("POST", &url("create"), &signature, &body).expect(200).body;
        let id = made["jobId"].as_str().unwrap().to_owned();
        loop {
            let job = plant.wire.json("GET", &url(&id), &signature, &Value::Null).expect(200).body;
            match job["status"].as_str().unwrap() {
                "completed" => break,
                "failed" | "cancelled" => panic!("{job}"),
                _ => std::thread::sleep(POLL),
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{what} of {IDENTITIES}: {seconds:.0} s, {:.0} CPU s, peak {:.0} MiB (before the first {:.0})",
            testkit::cpu_seconds(process.pid()) - cpu,
            process.peak_bytes() as f64 / 1_048_576.0,
            before as f64 / 1_048_576.0,
        );
    }
    process.kill();
}
