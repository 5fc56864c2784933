//! Hubs that are set up for one caller, role and network each, with what they call.

use crate::stories::managed_identities::with_type;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Amqp, Answer, Device, Identity, World};

pub(super) const NETWORKS: [&str; 3] = ["public", "closed", "exception"];
pub(super) const ROLES: [&str; 5] =
    ["data role", "Contributor", "Account Contributor", "none", "not seen yet"];
pub(super) const CALLERS: [&str; 3] = ["system", "user A", "user B"];
/// How long a role takes to be seen.
pub(super) const SPREADS_S: i64 = 300;
pub(super) const PUT: &str = "the device puts its file";
pub(super) const ARRIVED: &str = "the message arrives";

/// A hub that is set up for one caller, role and network.
pub(super) struct Cell {
    pub(super) network: usize,
    pub(super) role: usize,
    pub(super) caller: String,
    pub(super) hub: String,
    /// The identity that its endpoints name.
    pub(super) named: Option<String>,
    device: Device,
}

pub(super) struct Matrix {
    pub(super) world: World,
    pub(super) namespaces: Vec<String>,
    /// By network, then by role.
    pub(super) accounts: Vec<Vec<String>>,
}

impl Matrix {
    pub(super) fn new() -> Self {
        let world = World::spreading(&SPREADS_S.to_string());
        let (mut namespaces, mut accounts) = (Vec::new(), Vec::new());
        for network in NETWORKS {
            let namespace =
                world.target("Microsoft.EventHub/namespaces", &format!("plant-{network}"));
            let mut of_network = Vec::new();
            for role in 0..ROLES.len() {
                let body = json!({ "properties": { "partitionCount": 1 } });
                world.arm("PUT", &format!("{namespace}/eventhubs/to{role}"), &body).expect(200);
                let name = format!("plant{network}{role}");
                let account = world.target("Microsoft.Storage/storageAccounts", &name);
                world.container(&account, "files");
                of_network.push(account);
            }
            namespaces.push(namespace);
            accounts.push(of_network);
        }
        Self { world, namespaces, accounts }
    }

    /// A hub with the identities that `identity` says, and a device.
    pub(super) fn cell(
        &self,
        at: (usize, usize),
        caller: &str,
        named: Option<&str>,
        number: usize,
    ) -> Cell {
        let hub = self.world.hub_named(&format!("plant-hub-{number}"));
        let mut body = match named {
            None => with_type("SystemAssigned", &[]),
            Some(id) => with_type("UserAssigned", &[id]),
        };
        body["location"] = json!("westus");
        body["sku"] = json!({ "name": "S1", "capacity": 1 });
        self.world.arm("PUT", &hub, &body).expect(201);
        let device = self.world.device(&hub, "pump-1");
        let (network, role) = at;
        let named = named.map(str::to_owned);
        Cell { network, role, caller: caller.to_owned(), hub, named, device }
    }

    pub(super) fn own(&self, hub: &str) -> Option<Identity> {
        let shown = self.world.arm("GET", hub, &Value::Null).expect(200).body;
        let id = shown["identity"]["principalId"].as_str()?;
        Some(self.world.managed_identity(id))
    }

    pub(super) fn account_name(&self, cell: &Cell) -> &str {
        self.accounts[cell.network][cell.role].rsplit('/').next().unwrap()
    }

    pub(super) fn with_identity(cell: &Cell, mut endpoint: Value) -> Value {
        endpoint["authenticationType"] = json!("identityBased");
        if let Some(id) = &cell.named {
            endpoint["identity"] = json!({ "userAssignedIdentity": id });
        }
        endpoint
    }

    pub(super) fn saves_routing(&self, cell: &Cell, name: &str) -> Answer {
        let host = self.world.namespace_host(&self.namespaces[cell.network]);
        let endpoint = json!({ "name": name, "entityPath": format!("to{}", cell.role),
            "endpointUri": format!("sb://{host}/") });
        let routing = json!({
            "endpoints": { "eventHubs": [Self::with_identity(cell, endpoint)] },
            "routes": [{ "name": "all", "source": "DeviceMessages", "condition": "true",
                "endpointNames": [name], "isEnabled": true }],
        });
        self.world.arm("PATCH", &cell.hub, &json!({ "properties": { "routing": routing } }))
    }

    pub(super) fn saves_storage(&self, cell: &Cell, ttl: &str) -> Answer {
        let name = self.account_name(cell);
        let string = format!("AccountName={name};EndpointSuffix=core.windows.net");
        let storage = json!({ "connectionString": string, "containerName": "files",
            "sasTtlAsIso8601": ttl });
        let storage = json!({ "$default": Self::with_identity(cell, storage) });
        let body = json!({ "properties": { "storageEndpoints": storage } });
        self.world.arm("PATCH", &cell.hub, &body)
    }

    pub(super) fn asks(&self, cell: &Cell, path: &str, body: &[u8]) -> Answer {
        let own = cell.device.signature(self.world.now().plus_seconds(600));
        let path = format!("/devices/pump-1/{path}?api-version=2021-04-12");
        let url = format!("{}{path}", self.world.hub_origin(&cell.hub));
        let headers = [("Authorization", own.as_str()), ("Content-Type", "application/json")];
        self.world.wire().send("POST", &url, &headers, body)
    }

    /// A file on its way: whether it begins, and whether the device may put it.
    pub(super) fn uploads(&self, cell: &Cell) -> String {
        let begun = self.asks(cell, "files", br#"{"blobName":"a"}"#);
        if begun.status != 200 {
            return said(&begun);
        }
        let of = |name: &str| begun.body[name].as_str().unwrap();
        let url = format!("https://{}/files/{}{}", of("hostName"), of("blobName"), of("sasToken"));
        let put = self.world.wire().send("PUT", &url, &[("x-ms-blob-type", "BlockBlob")], b"x");
        match put.status {
            201 => PUT.to_owned(),
            _ => put.text(),
        }
    }

    pub(super) fn begins_export(&self, cell: &Cell) -> String {
        let shown = self.world.arm("GET", &self.accounts[cell.network][cell.role], &Value::Null);
        let shown = shown.expect(200).body;
        let blobs = shown["properties"]["primaryEndpoints"]["blob"].as_str().unwrap();
        let body = json!({ "type": "export", "storageAuthenticationType": "identityBased",
            "outputBlobContainerUri": format!("{}/files", blobs.trim_end_matches('/')),
            "identity": cell.named.as_ref().map(|it| json!({ "userAssignedIdentity": it })) });
        let path = "/jobs/create";
        let made = self.world.hub_by_key("iothubowner", "POST", &cell.hub, path, &[], &body);
        made.expect(200).body["jobId"].as_str().unwrap().to_owned()
    }

    pub(super) fn ends_export(&self, cell: &Cell, id: &str) -> String {
        let path = format!("/jobs/{id}");
        loop {
            let shown = self
                .world
                .hub_by_key("iothubowner", "GET", &cell.hub, &path, &[], &Value::Null)
                .expect(200)
                .body;
            match shown["status"].as_str().unwrap() {
                "completed" => return "completed".to_owned(),
                "failed" => return shown["failureReason"].as_str().unwrap().to_owned(),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// How sending to the endpoint goes, once it has gone somehow.
    pub(super) fn sent(&self, cell: &Cell) -> String {
        let path = format!("{}/routingEndpointsHealth", cell.hub);
        loop {
            let health =
                self.world.arm("GET", &path, &Value::Null).expect(200).body["value"][1].clone();
            if let Some(error) = health["lastKnownError"].as_str() {
                return error.to_owned();
            }
            if health["healthStatus"] == "healthy" {
                return ARRIVED.to_owned();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes the endpoint away, with what waits for it.
    pub(super) fn forgets(&self, cell: &Cell) {
        let none = json!({ "endpoints": { "eventHubs": [] }, "routes": [] });
        let body = json!({ "properties": { "routing": none } });
        self.world.arm("PATCH", &cell.hub, &body).expect(200);
    }

    /// Opens a network to everybody, or closes it as its name says.
    pub(super) fn opens(&self, network: usize, is_open: bool) {
        let action = if is_open { "Allow" } else { "Deny" };
        let trusts = NETWORKS[network] == "exception";
        let rules = json!({ "properties": { "defaultAction": action, "trustedServiceAccessEnabled": trusts } });
        let path = format!("{}/networkRuleSets/default", self.namespaces[network]);
        self.world.arm("PUT", &path, &rules).expect(200);
        let bypass = if trusts { "AzureServices" } else { "None" };
        let acls = json!({ "properties": { "networkAcls": { "defaultAction": action, "bypass": bypass } } });
        for account in &self.accounts[network] {
            self.world.arm("PATCH", account, &acls).expect(200);
        }
    }

    /// The hubs whose messages lie in an event hub, which are so many.
    pub(super) fn arrived(&self, network: usize, role: usize, count: usize) -> Vec<String> {
        let namespace = &self.namespaces[network];
        let host = self.world.namespace_host(namespace);
        let mut client = Amqp::begin(self.world.wire(), &host, self.world.amqp_port());
        let resource = format!("sb://{host}/to{role}");
        let rule = format!("{namespace}/authorizationRules/RootManageSharedAccessKey");
        assert_eq!(client.puts_token(&resource, &self.world.rule_sas(&rule, &resource)).0, 200);
        let address = format!("to{role}/ConsumerGroups/$Default/Partitions/0");
        let filter = "amqp.annotation.x-opt-offset > '-1'";
        client.receives_with(&address, Some(filter), amqp::Value::Null).unwrap();
        let body = |client: &mut Amqp| client.hears().message.data().unwrap().to_vec();
        let mut all: Vec<String> =
            (0..count).map(|_| String::from_utf8(body(&mut client)).unwrap()).collect();
        assert!(client.is_quiet(), "more than {all:?} lie at {namespace}/{role}");
        all.sort_unstable();
        all
    }
}

/// Why an answer is a no.
pub(super) fn said(answer: &Answer) -> String {
    let text = |path: &str| answer.body.pointer(path).and_then(Value::as_str);
    let said = text("/error/message").or_else(|| text("/Message"));
    said.unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}
