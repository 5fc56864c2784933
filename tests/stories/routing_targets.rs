//! Endpoints of a hub at targets of this server: whether they may be saved.

use serde_json::{Value, json};
use testkit::{Answer, World};

const SENDER: &str = "2b629674-e913-4c01-ae53-ef4638d8f975";
const BLOB_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const ACCOUNT_CONTRIBUTOR: &str = "17d1049b-9a84-46fb-8f53-869881c3d3ab";

struct Plant {
    world: World,
    hub: String,
    namespace: String,
    /// The hub's own identity.
    principal: String,
}

impl Plant {
    fn new(world: World) -> Self {
        let hub = world.hub();
        let namespace = world.target("Microsoft.EventHub/namespaces", "plant-events");
        for name in ["telemetry1", "telemetry10"] {
            let body = json!({ "properties": { "partitionCount": 1 } });
            world.arm("PUT", &format!("{namespace}/eventhubs/{name}"), &body).expect(200);
        }
        let principal = world.own_identity(&hub).object_id;
        Self { world, hub, namespace, principal }
    }

    fn host(&self, scope: &str) -> String {
        let scope = model::Scope::parse(scope).unwrap();
        self.world.env().facts.load().target(&scope).unwrap().host.clone()
    }

    fn event_hub(&self, name: &str) -> Value {
        json!({ "name": name, "authenticationType": "identityBased", "entityPath": name,
            "endpointUri": format!("sb://{}/", self.host(&self.namespace)) })
    }

    fn by_key(&self) -> Value {
        let rule = format!("{}/authorizationRules/RootManageSharedAccessKey", self.namespace);
        let keys = self.world.arm("POST", &format!("{rule}/listKeys"), &Value::Null).expect(200);
        let string = keys.body["primaryConnectionString"].as_str().unwrap();
        json!({ "name": "telemetry1", "authenticationType": "keyBased",
            "connectionString": format!("{string};EntityPath=telemetry1") })
    }

    fn saves(&self, kind: &str, endpoint: &Value) -> Answer {
        let endpoints = json!({ kind: [endpoint] });
        let routing = json!({ "endpoints": endpoints, "fallbackRoute": {
            "endpointNames": ["events"], "isEnabled": true } });
        self.world.arm("PATCH", &self.hub, &json!({ "properties": { "routing": routing } }))
    }

    fn assigns(&self, principal: &str, role: &str, scope: &str) {
        let who = self.world.managed_identity(principal);
        self.world.assign(&who, role, scope).expect(201);
    }

    /// The endpoint is refused in these words.
    #[track_caller]
    fn is_refused(&self, kind: &str, endpoint: &Value, words: &[&str]) {
        let refused = self.saves(kind, endpoint).expect(400);
        assert_eq!(refused.code(), "RoutingEndpointResponseForbidden");
        for word in words {
            assert!(refused.text().contains(word), "`{word}` in {}", refused.text());
        }
    }
}

/// S3-15: each kind of target asks for its own data role; roles of the management plane are told from it. S3-18: the role
/// comes before the endpoint.
#[test]
fn an_endpoint_is_saved_once_its_identity_has_the_data_role() {
    let plant = Plant::new(World::new());
    let endpoint = plant.event_hub("telemetry1");
    let missing = [
        "403008",
        "Azure Event Hubs Data Sender",
        &plant.principal,
        "az role assignment create",
        "telemetry1",
    ];
    plant.is_refused("eventHubs", &endpoint, &missing);
    plant.assigns(&plant.principal, CONTRIBUTOR, &plant.namespace);
    plant.is_refused(
        "eventHubs",
        &endpoint,
        &["`Contributor` has no data actions", "Azure Event Hubs Data Sender"],
    );
    // A role at its namesake is not one here.
    plant.assigns(&plant.principal, SENDER, &format!("{}/eventhubs/telemetry10", plant.namespace));
    plant.is_refused("eventHubs", &endpoint, &["Azure Event Hubs Data Sender"]);
    plant.saves("eventHubs", &plant.event_hub("telemetry10")).expect(200);
    plant.assigns(&plant.principal, SENDER, &format!("{}/eventhubs/telemetry1", plant.namespace));
    plant.saves("eventHubs", &endpoint).expect(200);
    let mut nowhere = endpoint.clone();
    nowhere["entityPath"] = json!("telemetry");
    plant.is_refused("eventHubs", &nowhere, &["there is no event hub `telemetry`"]);
    let mut queue = endpoint;
    queue["name"] = json!("q");
    plant.is_refused("serviceBusQueues", &queue, &["is no place with queues"]);

    let account = plant.world.target("Microsoft.Storage/storageAccounts", "plantfiles");
    let container = plant.world.container(&account, "files");
    let files = json!({ "name": "files", "authenticationType": "identityBased", "containerName": "files",
        "endpointUri": format!("https://{}/", plant.host(&account)) });
    for role in [CONTRIBUTOR, ACCOUNT_CONTRIBUTOR] {
        plant.assigns(&plant.principal, role, &account);
    }
    let words = [
        "`Contributor` or `Storage Account Contributor` has no data actions",
        "Storage Blob Data Contributor",
    ];
    plant.is_refused("storageContainers", &files, &words);
    plant.assigns(&plant.principal, BLOB_CONTRIBUTOR, &container);
    plant.saves("storageContainers", &files).expect(200);
}

/// S3-18: a role that is not seen yet is told from one that is missing.
#[test]
fn a_role_that_is_not_visible_yet_is_told_with_the_seconds_that_are_left() {
    let plant = Plant::new(World::spreading("300"));
    let endpoint = plant.event_hub("telemetry1");
    plant.assigns(&plant.principal, SENDER, &plant.namespace);
    plant.world.pass_seconds(100);
    plant.is_refused("eventHubs", &endpoint, &["assigned, but not visible yet", "200 s more"]);
    plant.world.pass_seconds(200);
    plant.saves("eventHubs", &endpoint).expect(200);
}

/// S3-14, S3-17: a namespace behind a firewall is reached by the system-assigned identity alone, and only where it makes
/// the exception for trusted services.
#[test]
fn an_endpoint_behind_a_firewall_needs_the_exception_and_the_hubs_own_identity() {
    let plant = Plant::new(World::new());
    let rules = format!("{}/networkRuleSets/default", plant.namespace);
    let closes = |trusts: bool| {
        let body = json!({ "properties": { "defaultAction": "Deny", "trustedServiceAccessEnabled": trusts } });
        plant.world.arm("PUT", &rules, &body).expect(200);
    };
    let id = format!(
        "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/sender",
        plant.world.group()
    );
    let made = plant.world.arm("PUT", &id, &json!({ "location": "westus" }));
    let user = made.body["properties"]["principalId"].as_str().unwrap().to_owned();
    let both = json!({ "identity": { "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": { id.as_str(): {} } } });
    plant.world.arm("PATCH", &plant.hub, &both).expect(200);
    for principal in [plant.principal.as_str(), user.as_str()] {
        plant.assigns(principal, SENDER, &plant.namespace);
    }
    let own = plant.event_hub("telemetry1");
    let mut theirs = own.clone();
    theirs["identity"] = json!({ "userAssignedIdentity": id });
    let by_key = plant.by_key();

    closes(false);
    plant.is_refused("eventHubs", &own, &["trusted services"]);
    closes(true);
    plant.saves("eventHubs", &own).expect(200);
    plant.is_refused(
        "eventHubs",
        &theirs,
        &["a user-assigned identity", "system-assigned identity passes"],
    );
    plant.is_refused("eventHubs", &by_key, &["this hub comes with a key"]);
    let opens = json!({ "properties": { "defaultAction": "Allow" } });
    plant.world.arm("PUT", &rules, &opens).expect(200);
    plant.saves("eventHubs", &theirs).expect(200);
    plant.saves("eventHubs", &by_key).expect(200);
    // What is saved stays, and the hub can be written, when the way is closed behind it.
    closes(false);
    plant.world.arm("PATCH", &plant.hub, &json!({ "tags": { "a": "b" } })).expect(200);
}

#[test]
fn a_namespace_that_takes_no_keys_is_no_endpoint_with_one() {
    let plant = Plant::new(World::new());
    let by_key = plant.by_key();
    let takes_keys = |is_on: bool| {
        let body = json!({ "properties": { "disableLocalAuth": !is_on } });
        plant.world.arm("PATCH", &plant.namespace, &body).expect(200);
    };
    takes_keys(false);
    plant.is_refused("eventHubs", &by_key, &["takes no keys", "identityBased"]);
    takes_keys(true);
    plant.saves("eventHubs", &by_key).expect(200);
}

#[test]
fn a_host_inside_is_no_endpoint_unless_the_operator_says_so() {
    let plant = Plant::new(World::new());
    let inside = |host: &str| {
        let string =
            format!("Endpoint=sb://{host}/;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0");
        json!({ "name": "h", "authenticationType": "keyBased", "entityPath": "e",
            "connectionString": string })
    };
    for host in ["127.255.0.1", "10.0.0.1", "169.254.169.254"] {
        plant.is_refused("eventHubs", &inside(host), &["--allow-egress"]);
    }
    plant.saves("eventHubs", &inside("plant.example")).expect(200);
    // Threat 59: whoever is shown a token of an identity could show it to a target of this server.
    let elsewhere = json!({ "name": "h", "authenticationType": "identityBased", "entityPath": "e",
        "endpointUri": "sb://plant.example/" });
    plant.is_refused("eventHubs", &elsewhere, &["keyBased"]);
}
