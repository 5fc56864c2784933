//! Messages of a hub become files in containers of storage accounts that this server serves.

use super::managed_identities::{identity, with_type};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::{Answer, Device, Identity, World};

const CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
/// Of each test's endpoints.
const BATCH_S: i64 = 60;

struct Plant {
    world: World,
    hub: String,
    account: String,
    device: Device,
    reader: Identity,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let hub = world.hub();
        let account = world.target("Microsoft.Storage/storageAccounts", "plantfiles");
        let device = world.device(&hub, "pump-1");
        let reader = world.service_principal("reader");
        world.assign(&reader, READER, &account).expect(201);
        for name in ["files", "files10"] {
            world.container(&account, name);
        }
        Self { world, hub, account, device, reader }
    }

    fn container(&self, name: &str) -> String {
        format!("{}/blobServices/default/containers/{name}", self.account)
    }

    fn key(&self) -> String {
        let keys = self.world.arm("POST", &format!("{}/listKeys", self.account), &Value::Null);
        keys.expect(200).body["keys"][0]["value"].as_str().unwrap().to_owned()
    }

    fn address(&self) -> String {
        let shown = self.world.arm("GET", &self.account, &Value::Null).expect(200).body;
        shown["properties"]["primaryEndpoints"]["blob"].as_str().unwrap().to_owned()
    }

    fn by_key(&self, name: &str, key: &str) -> Value {
        let string =
            format!("AccountName=plantfiles;AccountKey={key};BlobEndpoint={}", self.address());
        json!({ "name": name, "authenticationType": "keyBased", "connectionString": string,
            "containerName": "files", "batchFrequencyInSeconds": BATCH_S, "encoding": "json" })
    }

    fn by_identity(&self, name: &str, container: &str, id: Option<&str>) -> Value {
        let mut endpoint = json!({ "name": name, "authenticationType": "identityBased",
            "endpointUri": self.address(), "containerName": container,
            "batchFrequencyInSeconds": BATCH_S, "encoding": "json" });
        if let Some(id) = id {
            endpoint["identity"] = json!({ "userAssignedIdentity": id });
        }
        endpoint
    }

    /// Sends all that devices send to each of the endpoints.
    fn saves(&self, endpoints: &[Value]) {
        let route = |it: &Value| {
            json!({ "name": it["name"], "source": "DeviceMessages", "condition": "true",
                "endpointNames": [it["name"]], "isEnabled": true })
        };
        let routes: Vec<Value> = endpoints.iter().map(route).collect();
        let routing = json!({ "endpoints": { "storageContainers": endpoints }, "routes": routes });
        self.world
            .arm("PATCH", &self.hub, &json!({ "properties": { "routing": routing } }))
            .expect(200);
    }

    fn sends(&self, device: &Device, headers: &[(&str, &str)], body: &[u8]) {
        let path = format!("/devices/{}/messages/events", device.id);
        let url = self.world.hub_url(&self.hub, &path);
        let own = device.signature(self.world.now().plus_seconds(600));
        let headers = [&[("Authorization", own.as_str())], headers].concat();
        self.world.wire().send("POST", &url, &headers, body).expect(204);
    }

    fn says(&self, text: &str) {
        self.sends(&self.device, &[], text.as_bytes());
    }

    /// Asks the storage as somebody who may read all of it.
    fn storage(&self, path: &str) -> Answer {
        let token = self.world.token(&self.reader, "https://storage.azure.com");
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("x-ms-version", "2021-12-02")];
        let url = format!("{}/{path}", self.address());
        self.world.wire().send("GET", &url, &headers, b"").expect(200)
    }

    fn names(&self, container: &str) -> Vec<String> {
        let listed = self.storage(&format!("{container}?restype=container&comp=list")).text();
        let names = listed.split("<Name>").skip(1);
        names.map(|it| it.split("</Name>").next().unwrap().to_owned()).collect()
    }

    /// The files of a container, once there are so many.
    fn files(&self, container: &str, count: usize) -> Vec<String> {
        loop {
            let names = self.names(container);
            if names.len() >= count {
                assert_eq!(names.len(), count, "{names:?}");
                return names;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    fn lines(&self, container: &str, name: &str) -> Vec<Value> {
        let body = self.storage(&format!("{container}/{name}")).body;
        match body.as_str() {
            Some(text) => text.lines().map(|it| serde_json::from_str(it).unwrap()).collect(),
            None => vec![body],
        }
    }

    fn bodies(&self, container: &str, name: &str) -> Vec<String> {
        let text = |it: &Value| {
            let bytes = STANDARD.decode(it["Body"].as_str().unwrap()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        self.lines(container, name).iter().map(text).collect()
    }

    fn health(&self, at: usize) -> Value {
        let path = format!("{}/routingEndpointsHealth", self.hub);
        self.world.arm("GET", &path, &Value::Null).expect(200).body["value"][at].clone()
    }

    /// The health of an endpoint once it has failed.
    fn failed(&self, at: usize) -> Value {
        loop {
            let health = self.health(at);
            if !health["lastKnownError"].is_null() {
                return health;
            }
            std::thread::yield_now();
        }
    }
}

/// S3-15: with `Storage Blob Data Contributor` files are written; without it the health of the endpoint says what is
/// missing, and nothing is lost.
#[test]
fn a_batch_of_a_partition_becomes_a_file() {
    let plant = Plant::new();
    let hub = plant.world.own_identity(&plant.hub);
    let role = plant.world.assign(&hub, CONTRIBUTOR, &plant.container("files")).expect(201).body;
    plant.saves(&[plant.by_identity("far", "files", None)]);
    let kind = [("iothub-contenttype", "application/json"), ("iothub-contentencoding", "utf-8")];
    let tagged = [&kind[..], &[("iothub-app-level", "high")]].concat();
    plant.sends(&plant.device, &tagged, b"{\"bar\": 4}");
    plant.sends(&plant.device, &[], b"{\"bar\": 5}");
    plant.world.pass_seconds(BATCH_S - 1);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(plant.names("files"), Vec::<String>::new());
    plant.world.pass_seconds(1);
    let files = plant.files("files", 1);
    let hub_name = plant.hub.rsplit('/').next().unwrap();
    let name = files[0].strip_prefix(&format!("{hub_name}/")).unwrap();
    let pattern: String =
        name.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
    assert_eq!(pattern, "00/0000/00/00/00/00.json");
    let lines = plant.lines("files", &files[0]);
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["Body"], &lines[1]["Body"]),
        (&json!({ "bar": 4 }), &json!("eyJiYXIiOiA1fQ=="))
    );
    assert_eq!(lines[0]["Properties"], json!({ "level": "high" }));
    assert_eq!(lines[0]["SystemProperties"]["connectionDeviceId"], "pump-1");
    assert_eq!(lines[0]["SystemProperties"]["enqueuedTime"], lines[0]["EnqueuedTimeUtc"]);
    while plant.health(1)["healthStatus"] != "healthy" {
        std::thread::yield_now();
    }

    let path = role["id"].as_str().unwrap();
    plant.world.arm("DELETE", path, &Value::Null).expect(200);
    plant.says("held up");
    plant.world.pass_seconds(BATCH_S);
    let health = plant.failed(1);
    assert!(health["lastKnownError"].to_string().contains("403"), "{health}");
    assert_eq!(health["healthStatus"], "degraded");
    plant.says("held up behind it");
    plant.world.assign(&hub, CONTRIBUTOR, &plant.container("files")).expect(201);
    let files = plant.files("files", 2);
    let found = plant.bodies("files", &files[1]);
    assert_eq!(found, ["held up", "held up behind it"]);
}

/// S3-13: each endpoint writes as the identity that it was given, and may do no more than that.
#[test]
fn each_endpoint_writes_as_its_own_identity() {
    let plant = Plant::new();
    let (one, first) = identity(&plant.world, "writer1");
    let (ten, second) = identity(&plant.world, "writer10");
    let both = with_type("UserAssigned", &[&one, &ten]);
    plant.world.arm("PATCH", &plant.hub, &both).expect(200);
    for (who, container) in [(&first, "files"), (&second, "files10")] {
        plant.world.assign(who, CONTRIBUTOR, &plant.container(container)).expect(201);
    }
    plant.saves(&[
        plant.by_identity("far1", "files", Some(&one)),
        plant.by_identity("far10", "files10", Some(&ten)),
    ]);
    plant.says("for both");
    plant.world.pass_seconds(BATCH_S);
    for container in ["files", "files10"] {
        let files = plant.files(container, 1);
        assert_eq!(plant.bodies(container, &files[0]), ["for both"]);
    }
}

#[test]
fn files_are_never_written_over_and_a_restart_loses_nothing() {
    let mut plant = Plant::new();
    let key = plant.key();
    // Two endpoints that give their files the same names.
    let both = [plant.by_key("far", &key), plant.by_key("far2", &key)];
    plant.saves(&both);
    plant.says("one");
    plant.world.restart();
    plant.says("two");
    plant.world.pass_seconds(BATCH_S);
    let files = plant.files("files", 2);
    let plain = files[0].strip_suffix(".json").unwrap();
    assert_eq!(files[1], format!("{plain}_01.json"));
    for name in &files {
        assert_eq!(plant.bodies("files", name), ["one", "two"]);
    }

    // Devices of several partitions, each in one file and in order.
    plant.saves(&both[..1]);
    let devices: Vec<Device> =
        (0..8).map(|it| plant.world.device(&plant.hub, &format!("valve-{it}"))).collect();
    for round in ["a", "b"] {
        for device in &devices {
            plant.sends(device, &[], format!("{} {round}", device.id).as_bytes());
        }
    }
    plant.world.pass_seconds(BATCH_S);
    let mut found = Vec::new();
    while found.len() < 16 {
        found = plant
            .names("files")
            .iter()
            .filter(|it| !files.contains(it))
            .flat_map(|it| plant.bodies("files", it))
            .collect();
    }
    for device in &devices {
        let its: Vec<&String> =
            found.iter().filter(|it| it.starts_with(&format!("{} ", device.id))).collect();
        assert_eq!(its, [&format!("{} a", device.id), &format!("{} b", device.id)]);
    }
    let parts = plant.names("files").len() - files.len();
    assert!((2..=4).contains(&parts), "{parts}");
}

#[test]
fn a_file_that_is_full_is_written_at_once_and_goes_on_in_another() {
    let plant = Plant::new();
    let mut endpoint = plant.by_key("far", &plant.key());
    endpoint["maxChunkSizeInBytes"] = json!(10_485_760);
    plant.saves(&[endpoint]);
    // Some 341 kB each as base64: a little more than a file holds.
    let long = "x".repeat(250 << 10);
    for at in 0..32 {
        plant.says(&format!("{at:02}{long}"));
    }
    let full = plant.files("files", 1);
    let first = plant.bodies("files", &full[0]);
    plant.world.pass_seconds(BATCH_S);
    let both = plant.files("files", 2);
    assert_eq!(both[1], format!("{}_01.json", both[0].strip_suffix(".json").unwrap()));
    let second = plant.bodies("files", &both[1]);
    assert_eq!(first.len(), 30);
    let found: Vec<&str> = first.iter().chain(&second).map(|it| &it[..2]).collect();
    let expected: Vec<String> = (0..32).map(|it| format!("{it:02}")).collect();
    assert_eq!(found, expected);
    assert!(first.iter().chain(&second).all(|it| it[2..] == long));
}

#[test]
fn files_are_avro_where_nothing_else_is_said() {
    let plant = Plant::new();
    let mut endpoint = plant.by_key("far", &plant.key());
    endpoint.as_object_mut().unwrap().remove("encoding");
    plant.saves(&[endpoint]);
    plant.sends(&plant.device, &[("iothub-app-level", "high")], b"one");
    plant.says("two");
    plant.world.pass_seconds(BATCH_S);
    let files = plant.files("files", 1);
    assert!(files[0].ends_with(".avro"), "{files:?}");
    let file = plant.storage(&format!("files/{}", files[0]));
    // What begins a file has some 300 bytes, and each of the messages some 300 more.
    let length: usize = file.header("content-length").unwrap().parse().unwrap();
    assert!((700..2_000).contains(&length), "{length}");
}
