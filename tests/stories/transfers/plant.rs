//! A hub with a storage account beside it, and jobs that carry identities between the two.

use crate::stories::managed_identities::{identity, with_type};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use egress::blob::{Blobs, Container, Credential, RANGE_BYTES_MAX};
use model::Secret;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use testkit::{Answer, Identity, World};
use tokio::runtime::Runtime;
use wire::storage::sas::{Place, Sas};

const ACCOUNT: &str = "plantblobs";
pub(super) const DATA_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";

pub(super) struct Plant {
    pub(super) world: World,
    pub(super) hub: String,
    pub(super) account: String,
    endpoint: String,
    key: Vec<u8>,
    runtime: Runtime,
}

impl Plant {
    /// With the containers `jobs` and `others`.
    pub(super) fn new() -> Self {
        let world = World::new();
        let account =
            format!("{}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}", world.group());
        let made = world.arm("PUT", &account, &json!({ "location": "westus" })).expect(200).body;
        let endpoint = made["properties"]["primaryEndpoints"]["blob"].as_str().unwrap().to_owned();
        let keys = world.arm("POST", &format!("{account}/listKeys"), &Value::Null).expect(200);
        let key = STANDARD.decode(keys.body["keys"][0]["value"].as_str().unwrap()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let plant = Self { hub: world.hub(), world, account, endpoint, key, runtime };
        for container in ["jobs", "others"] {
            plant.runtime.block_on(plant.blobs(container).create_container()).unwrap();
        }
        plant
    }

    pub(super) fn container(&self, name: &str) -> String {
        format!("{}/{name}", self.endpoint.trim_end_matches('/'))
    }

    fn blobs(&self, container: &str) -> Blobs {
        let env = self.world.env();
        let key = Credential::Key(Secret::new(self.key.clone()));
        let container = Container::parse(&self.container(container)).unwrap();
        Blobs::new(env.egress.clone(), container, key, Arc::clone(&env.clock.now))
    }

    /// The address of a container with a signature that lets its holder do this.
    pub(super) fn signed(&self, container: &str, may: &str) -> String {
        let expiry = self.world.now().plus_seconds(3_600).rfc3339_seconds();
        let fields = [("sv", "2021-12-02"), ("sr", "c"), ("sp", may), ("se", expiry.as_str())];
        let place = Place { account: ACCOUNT, container, blob: "" };
        format!("{}?{}", self.container(container), Sas::new(fields).signed(&place, &self.key))
    }

    pub(super) fn puts(&self, blob: &str, text: &str) {
        let mut blobs = self.blobs("jobs");
        let body = text.as_bytes().to_vec();
        let put = blobs.put(blob, "text/plain", body.into());
        self.runtime.block_on(put).unwrap();
    }

    /// The lines of a blob, as JSON.
    pub(super) fn lines(&self, container: &str, blob: &str) -> Vec<Value> {
        let mut blobs = self.blobs(container);
        let mut all = Vec::new();
        loop {
            let got = blobs.get(blob, all.len() as u64, RANGE_BYTES_MAX, None);
            let piece = self.runtime.block_on(got).unwrap();
            if piece.is_empty() {
                break;
            }
            all.extend_from_slice(&piece);
        }
        let text = String::from_utf8(all).unwrap();
        text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
    }

    /// Asks for a job with a key of the hub's owner.
    pub(super) fn asks(&self, body: &Value) -> Answer {
        self.asks_of(&self.hub, "POST", "/jobs/create", body)
    }

    pub(super) fn asks_of(&self, hub: &str, method: &str, path: &str, body: &Value) -> Answer {
        self.world.hub_by_key("iothubowner", method, hub, path, &[], body)
    }

    /// Runs a job to its end.
    pub(super) fn runs(&self, body: &Value) -> Value {
        let id = self.asks(body).expect(200).body["jobId"].as_str().unwrap().to_owned();
        self.ends(&self.hub, &id)
    }

    /// Waits for a job to end.
    pub(super) fn ends(&self, hub: &str, id: &str) -> Value {
        loop {
            let shown = self.asks_of(hub, "GET", &format!("/jobs/{id}"), &Value::Null);
            let shown = shown.expect(200).body;
            if shown["status"] != "enqueued" && shown["status"] != "running" {
                return shown;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// An import by signatures of the addresses.
    pub(super) fn import(&self) -> Value {
        json!({ "type": "import", "inputBlobContainerUri": self.signed("jobs", "r"),
            "outputBlobContainerUri": self.signed("others", "cw") })
    }

    pub(super) fn export(&self) -> Value {
        json!({ "type": "export", "outputBlobContainerUri": self.signed("others", "cw") })
    }

    /// An export as an identity: the named one, or the hub's own.
    pub(super) fn export_as(&self, named: Option<&str>) -> Value {
        json!({ "type": "export", "outputBlobContainerUri": self.container("jobs"),
            "storageAuthenticationType": "identityBased",
            "identity": named.map(|it| json!({ "userAssignedIdentity": it })) })
    }

    /// Gives the hub these identities.
    pub(super) fn has(&self, kind: &str, ids: &[&str]) {
        self.world.arm("PATCH", &self.hub, &with_type(kind, ids)).expect(200);
    }

    pub(super) fn identity(&self, name: &str) -> (String, Identity) {
        identity(&self.world, name)
    }

    /// The hub's own identity.
    pub(super) fn own(&self) -> Identity {
        let shown = self.world.arm("GET", &self.hub, &Value::Null).expect(200).body;
        self.world.managed_identity(shown["identity"]["principalId"].as_str().unwrap())
    }

    pub(super) fn shows(&self, hub: &str, device: &str) -> Answer {
        self.asks_of(hub, "GET", &format!("/devices/{device}"), &Value::Null)
    }
}
