//! A storage account, and who calls it by its keys, by addresses that are signed, or by tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use testkit::{Answer, Identity, Process, Wire, World};
use wire::storage::sas::{Place, Sas};
use wire::storage::shared_key::Request;

const NAME: &str = "plantblobs";
const VERSION: &str = "2024-11-04";

/// A world with a storage account.
pub(super) struct Blobs {
    pub(super) world: World,
    pub(super) id: String,
    endpoint: String,
}

/// A user delegation key, as the service gave it.
pub(super) struct DelegationKey(Vec<(&'static str, String)>, Vec<u8>);

/// Whose key signs an address.
#[derive(Clone, Copy)]
pub(super) enum SignedBy<'a> {
    Key,
    User(&'a DelegationKey),
}

impl Blobs {
    pub(super) fn new() -> Self {
        let world = World::new();
        let id = format!("{}/providers/Microsoft.Storage/storageAccounts/{NAME}", world.group());
        let made = world.arm("PUT", &id, &json!({ "location": "westus" })).expect(200).body;
        let endpoint = made["properties"]["primaryEndpoints"]["blob"].as_str().unwrap().to_owned();
        Self { world, id, endpoint }
    }

    /// Changes properties of the account.
    pub(super) fn update(&self, properties: Value) {
        self.world.arm("PATCH", &self.id, &json!({ "properties": properties })).expect(200);
    }

    fn key(&self) -> Vec<u8> {
        let keys =
            self.world.arm("POST", &format!("{}/listKeys", self.id), &Value::Null).expect(200);
        STANDARD.decode(keys.body["keys"][0]["value"].as_str().unwrap()).unwrap()
    }

    pub(super) fn url(&self, path: &str) -> String {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        format!("{}/{}?{query}", self.endpoint, path.replace(' ', "%20"))
    }

    /// Calls with a key of the account.
    pub(super) fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.call_at(0, method, path, headers, body)
    }

    /// The same with a date that is off.
    fn call_at(
        &self,
        off_s: i64,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let url = self.url(path);
        let after_host = url.splitn(4, '/').nth(3).unwrap();
        let (path, query) = after_host.split_once('?').unwrap();
        let (path, length) = (format!("/{path}"), body.len().to_string());
        let date = self.world.now().plus_seconds(off_s).rfc1123();
        let query: Vec<(String, String)> = ops::input::pairs(query).collect();
        let mut headers = headers.to_vec();
        headers.extend([("x-ms-date", date.as_str()), ("x-ms-version", VERSION)]);
        let mut signed = headers.clone();
        if method != "GET" && method != "HEAD" {
            signed.push(("content-length", &length));
        }
        let request = Request { method, path: &path, query: &query, headers: &signed };
        let authorization = request.authorization(NAME, &self.key());
        headers.push(("authorization", &authorization));
        self.world.wire().send(method, &url, &headers, body)
    }

    /// Reads a blob by a request that was signed so many seconds from now.
    pub(super) fn signed_at(&self, off_s: i64) -> Answer {
        self.call_at(off_s, "GET", "plant/a", &[], b"")
    }

    pub(super) fn container(&self, name: &str) {
        self.call("PUT", &format!("{name}?restype=container"), &[], b"").expect(201);
    }

    pub(super) fn put(&self, path: &str, bytes: &[u8], headers: &[(&str, &str)]) -> Answer {
        let headers = [headers, &[("x-ms-blob-type", "BlockBlob")]].concat();
        self.call("PUT", path, &headers, bytes)
    }

    /// What a blob says, which is no JSON.
    pub(super) fn text(&self, path: &str) -> String {
        let read = self.call("GET", path, &[], b"").expect(200).body;
        read.as_str().map_or_else(|| read.to_string(), str::to_owned)
    }

    /// Calls with an address that is signed, or with nothing.
    pub(super) fn by_address(&self, method: &str, path: &str, sas: &str, body: &[u8]) -> Answer {
        let joint = if path.contains('?') { "&" } else { "?" };
        let headers = [("x-ms-version", VERSION), ("x-ms-blob-type", "BlockBlob")];
        self.world.wire().send(method, &self.url(&format!("{path}{joint}{sas}")), &headers, body)
    }

    pub(super) fn by_token(&self, who: &Identity, method: &str, path: &str, body: &[u8]) -> Answer {
        let token = format!("Bearer {}", self.world.token(who, "https://storage.azure.com"));
        let headers = [
            ("authorization", token.as_str()),
            ("x-ms-version", VERSION),
            ("x-ms-blob-type", "BlockBlob"),
        ];
        self.world.wire().send(method, &self.url(path), &headers, body)
    }

    /// An address of `{container}/{blob}` that is signed, for so many seconds.
    pub(super) fn sas(
        &self,
        by: SignedBy<'_>,
        path: &str,
        fields: &[(&'static str, &str)],
        for_s: i64,
    ) -> String {
        let expiry = self.world.now().plus_seconds(for_s).rfc3339_seconds();
        let (container, blob) = path.split_once('/').unwrap_or((path, ""));
        let place = Place { account: NAME, container, blob };
        let fixed = [("sv", VERSION), ("se", expiry.as_str())];
        let fields = fields.iter().copied().chain(fixed);
        match by {
            SignedBy::Key => Sas::new(fields).signed(&place, &self.key()),
            SignedBy::User(DelegationKey(more, key)) => {
                let more = more.iter().map(|(name, value)| (*name, value.as_str()));
                Sas::new(fields.chain(more)).signed(&place, key)
            }
        }
    }

    pub(super) fn delegation_key(&self, who: &Identity, for_s: i64) -> DelegationKey {
        let now = self.world.now();
        let (start, expiry) = (now.rfc3339_seconds(), now.plus_seconds(for_s).rfc3339_seconds());
        let asked = format!("<KeyInfo><Start>{start}</Start><Expiry>{expiry}</Expiry></KeyInfo>");
        let path = "?restype=service&comp=userdelegationkey";
        let told = self.by_token(who, "POST", path, asked.as_bytes()).expect(200).text();
        let field = |name: &str| {
            let value =
                told.split(&format!("<{name}>")).nth(1).and_then(|it| it.split("</").next());
            value.unwrap().to_owned()
        };
        let fields = [
            ("skoid", "SignedOid"),
            ("sktid", "SignedTid"),
            ("skt", "SignedStart"),
            ("ske", "SignedExpiry"),
            ("sks", "SignedService"),
            ("skv", "SignedVersion"),
        ];
        let fields = fields.map(|(name, element)| (name, field(element)));
        DelegationKey(fields.to_vec(), STANDARD.decode(field("Value")).unwrap())
    }

    fn folder(&self) -> std::path::PathBuf {
        self.world.env().settings.data_dir.join("blobs")
    }

    /// How many files there are, of all containers and of those that never became any.
    pub(super) fn files(&self) -> usize {
        files_in(&self.folder())
    }

    /// Leaves files as a crash would: one in each container, one of a container that is gone, one that has no place.
    pub(super) fn strew(&self, gone: &str) {
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        for place in [gone, "incoming"] {
            std::fs::create_dir_all(self.folder().join(place)).unwrap();
            mode(&self.folder().join(place), 0o700);
        }
        for container in std::fs::read_dir(self.folder()).unwrap() {
            let left = container.unwrap().path().join("left");
            std::fs::write(&left, "behind").unwrap();
            mode(&left, 0o600);
        }
    }
}

pub(super) fn files_in(folder: &Path) -> usize {
    let Ok(containers) = std::fs::read_dir(folder) else { return 0 };
    containers.map(|it| std::fs::read_dir(it.unwrap().path()).unwrap().count()).sum()
}

/// A container of a server that is killed, by an address that is signed for all of it.
pub(super) struct Killed {
    wire: Wire,
    container: String,
    sas: String,
}

impl Killed {
    pub(super) fn new(server: &Process) -> Self {
        let (wire, manager) = (server.wire(), server.arm_bearer());
        let arm = |method: &str, below: &str, body: &Value| {
            let url = format!(
                "{}{}/providers/Microsoft.Storage/storageAccounts/{NAME}{below}?api-version=2025-08-01",
                server.setting("HUBWARD_ARM"),
                server.group()
            );
            wire.json(method, &url, &manager, body).expect(200).body
        };
        let made = arm("PUT", "", &json!({ "location": "westus" }));
        arm("PUT", "/blobServices/default/containers/plant", &json!({}));
        let keys = arm("POST", "/listKeys", &Value::Null);
        let key = STANDARD.decode(keys["keys"][0]["value"].as_str().unwrap()).unwrap();
        let fields = [("sv", VERSION), ("sr", "c"), ("sp", "rw"), ("se", "2999-01-01T00:00:00Z")];
        let place = Place { account: NAME, container: "plant", blob: "" };
        let endpoint = made["properties"]["primaryEndpoints"]["blob"].as_str().unwrap();
        Self {
            wire,
            container: format!("{endpoint}/plant"),
            sas: Sas::new(fields).signed(&place, &key),
        }
    }

    fn sends(&self, method: &str, number: usize, body: &[u8]) -> Result<Answer, String> {
        let url = format!("{}/{number}?{}", self.container, self.sas);
        self.wire.try_send(method, &url, &[("x-ms-blob-type", "BlockBlob")], body)
    }

    /// True where it was acknowledged.
    pub(super) fn puts(&self, number: usize, bytes: &[u8]) -> bool {
        self.sends("PUT", number, bytes).is_ok_and(|it| it.status == 201)
    }

    pub(super) fn reads(&self, number: usize) -> Vec<u8> {
        let read = self.sends("GET", number, b"").unwrap().expect(200).body;
        read.as_str().unwrap().as_bytes().to_vec()
    }
}
