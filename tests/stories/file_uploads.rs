//! Files that devices upload: the address that they get, what it opens and until when, and who is told.

use super::managed_identities::{identity, with_type};
use amqp::Outcome;
use serde_json::{Value, json};
use testkit::{Amqp, Answer, Device, Identity, World};

const DATA_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const DATA: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const READER: &str = "b447c946-2db7-41ec-983d-d8bf3b1c77e3";
const REGISTRY: &str = "4ea46cd5-c1b2-4a8e-910b-273211f9ce47";
const NOTIFICATIONS: &str = "/messages/serviceBound/filenotifications";
const BY_KEY: &str = "keyBased";
const BY_IDENTITY: &str = "identityBased";

struct Plant {
    world: World,
    hub: String,
    account: String,
    device: Device,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let hub = world.hub();
        let account = world.target("Microsoft.Storage/storageAccounts", "plantfiles");
        for name in ["uploads", "uploads10"] {
            world.container(&account, name);
        }
        let device = world.device(&hub, "pump-1");
        Self { world, hub, account, device }
    }

    fn container(&self, name: &str) -> String {
        format!("{}/blobServices/default/containers/{name}", self.account)
    }

    fn connection_string(&self) -> String {
        let keys = self.world.arm("POST", &format!("{}/listKeys", self.account), &Value::Null);
        let keys = keys.expect(200).body;
        let key = keys["keys"][0]["value"].as_str().unwrap();
        format!(
            "DefaultEndpointsProtocol=https;AccountName=plantfiles;AccountKey={key};EndpointSuffix=core.windows.net"
        )
    }

    /// Has the hub keep files in a container, as whom the words say.
    fn stores(&self, how: &str, identity: Option<&str>, others: &Value) -> Answer {
        let mut endpoint = json!({
            "connectionString": self.connection_string(),
            "containerName": "uploads",
            "authenticationType": how,
        });
        if let Some(id) = identity {
            endpoint["identity"] = json!({ "userAssignedIdentity": id });
        }
        for (name, value) in others.as_object().into_iter().flatten() {
            endpoint[name] = value.clone();
        }
        let properties = json!({
            "storageEndpoints": { "$default": endpoint },
            "enableFileUploadNotifications": true,
        });
        self.world.arm("PATCH", &self.hub, &json!({ "properties": properties }))
    }

    fn says(&self, device: &Device, path: &str, body: &Value) -> Answer {
        let signature = device.signature(self.world.now().plus_seconds(600));
        let path = format!("/devices/{}/files{path}?api-version=2021-04-12", device.id);
        let url = format!("{}{path}", self.world.hub_origin(&self.hub));
        self.world.wire().json("POST", &url, &signature, body)
    }

    fn begins(&self, name: &str) -> Answer {
        self.says(&self.device, "", &json!({ "blobName": name }))
    }

    fn ends(&self, begun: &Value, is_success: bool) -> Answer {
        let body = json!({ "correlationId": begun["correlationId"], "isSuccess": is_success,
            "statusCode": 200, "statusDescription": "done" });
        self.says(&self.device, "/notifications", &body)
    }

    /// Puts a file where the hub has said.
    fn puts(&self, begun: &Value, body: &[u8]) -> Answer {
        self.world.wire().send("PUT", &address(begun), &[("x-ms-blob-type", "BlockBlob")], body)
    }

    fn opens(&self) -> Amqp {
        Amqp::begin(self.world.wire(), &self.device.host, self.world.amqp_port())
    }

    /// A service that hears of uploads.
    fn hears(&self) -> Amqp {
        let mut amqp = self.opens();
        let token = self.world.policy_sas(&self.hub, "service");
        assert_eq!(amqp.puts_token(&self.device.host, &token).0, 200);
        amqp.receives(NOTIFICATIONS).unwrap();
        amqp
    }

    /// What waits for services, the first of it, which is completed by that.
    fn told(&self) -> Option<Value> {
        let mut amqp = self.hears();
        if amqp.is_quiet() {
            return None;
        }
        let heard = amqp.hears();
        amqp.settles(&heard, Outcome::Accepted);
        Some(serde_json::from_slice(&heard.message.data().unwrap()).unwrap())
    }

    fn may(&self, who: &Identity, role: &str, at: &str) {
        self.world.assign(who, role, at).expect(201);
    }
}

fn address(begun: &Value) -> String {
    let of = |name: &str| begun[name].as_str().unwrap();
    format!(
        "https://{}/{}/{}{}",
        of("hostName"),
        of("containerName"),
        of("blobName"),
        of("sasToken")
    )
}

/// As whom an address is signed.
fn signer(begun: &Value) -> String {
    let signed = begun["sasToken"].as_str().unwrap().replace("%2D", "-");
    signed.split('&').find_map(|it| it.strip_prefix("skoid=")).unwrap_or_default().to_owned()
}

/// S3-22, S3-24: a device gets an address for one blob, puts its file there, says so, and a service is told.
#[test]
fn a_file_is_put_by_the_device_and_a_service_is_told() {
    let plant = Plant::new();
    plant.stores(BY_KEY, None, &json!({})).expect(200);
    let begun = plant.begins("logs/today.txt").expect(200).body;
    assert_eq!(begun["blobName"], "pump-1/logs/today.txt");
    assert_eq!(begun["containerName"], "uploads");
    plant.puts(&begun, b"0123456789").expect(201);
    assert_eq!(plant.told(), None);
    plant.ends(&begun, true).expect(204);
    let told = plant.told().unwrap();
    assert_eq!((&told["deviceId"], &told["blobName"]), (&json!("pump-1"), &begun["blobName"]));
    assert_eq!(told["blobSizeInBytes"], 10);
    let uri = told["blobUri"].as_str().unwrap();
    assert!(address(&begun).starts_with(uri), "{uri}");
    // Once said it is over.
    assert_eq!(plant.ends(&begun, true).expect(400).code(), "InvalidFileUploadCorrelationId");

    // Two wait: the second comes once the first is settled.
    for name in ["one", "two"] {
        plant.world.pass_seconds(1);
        let begun = plant.begins(name).expect(200).body;
        plant.puts(&begun, b"x").expect(201);
        plant.ends(&begun, true).expect(204);
    }
    let mut service = plant.hears();
    for name in ["pump-1/one", "pump-1/two"] {
        let heard = service.hears();
        let told: Value = serde_json::from_slice(&heard.message.data().unwrap()).unwrap();
        assert_eq!(told["blobName"], name);
        service.settles(&heard, Outcome::Accepted);
    }
    assert!(service.is_quiet());

    let failed = plant.begins("never").expect(200).body;
    plant.ends(&failed, false).expect(204);
    assert_eq!(plant.told(), None);
    let missing = plant.begins("missing").expect(200).body;
    let said = plant.ends(&missing, true).expect(400);
    assert_eq!(said.code(), "InvalidStorageEndpointOrBlob", "{said:?}");
}

/// S3-22: the life of the signature, and of what services are told, as the hub says.
#[test]
fn an_address_opens_its_one_blob_and_ends_with_its_time() {
    let plant = Plant::new();
    plant.stores(BY_KEY, None, &json!({ "sasTtlAsIso8601": "PT10M" })).expect(200);
    let begun = plant.begins("a").expect(200).body;
    let mut other = begun.clone();
    other["blobName"] = json!("pump-1/b");
    plant.puts(&other, b"x").expect(403);
    other["blobName"] = json!("pump-10/a");
    plant.puts(&other, b"x").expect(403);
    let mut namesake = begun.clone();
    namesake["containerName"] = json!("uploads10");
    plant.puts(&namesake, b"x").expect(403);
    let wire = plant.world.wire();
    wire.send("DELETE", &address(&begun), &[], b"").expect(403);
    plant.puts(&begun, b"x").expect(201);
    plant.world.pass_seconds(599);
    plant.puts(&begun, b"y").expect(201);
    plant.world.pass_seconds(2);
    plant.puts(&begun, b"z").expect(403);
    assert_eq!(plant.ends(&begun, true).expect(400).code(), "ExpiredFileUploadCorrelationId");
}

#[test]
fn a_device_ends_its_own_uploads_and_has_so_many() {
    let plant = Plant::new();
    let without = plant.begins("a").expect(400);
    assert_eq!(without.code(), "DefaultStorageEndpointNotConfigured");
    plant.stores(BY_KEY, None, &json!({ "sasTtlAsIso8601": "PT1M" })).expect(200);
    let namesake = plant.world.device(&plant.hub, "pump-10");
    let begun = plant.begins("a").expect(200).body;
    let body = json!({ "correlationId": begun["correlationId"], "isSuccess": true });
    let said = plant.says(&namesake, "/notifications", &body).expect(400);
    assert_eq!(said.code(), "InvalidFileUploadCorrelationId");
    let path = format!("/notifications/{}", begun["correlationId"].as_str().unwrap());
    plant.says(&plant.device, &path, &json!({ "isSuccess": false })).expect(204);

    let all: Vec<Value> =
        (0..10).map(|it| plant.begins(&it.to_string()).expect(200).body).collect();
    let refused = plant.begins("one more").expect(403);
    assert_eq!(refused.code(), "DeviceMaximumActiveFileUploadLimitExceeded");
    plant.ends(&all[3], false).expect(204);
    plant.begins("one more").expect(200);
    plant.world.pass_seconds(61);
    plant.begins("another").expect(200);

    for name in ["", "/a", "a/../b", "..", "a\u{7}b", "a\\b", &"x".repeat(1_018)] {
        let said = plant.begins(name);
        assert_eq!(said.status, 400, "{name}: {said:?}");
    }
    plant.begins(&"x".repeat(1_017)).expect(200);
}

/// S3-22, S3-25: by identity the address is signed with a user delegation key, which is worth what the identity's roles
/// are worth.
#[test]
fn the_hubs_identity_signs_where_the_endpoint_says_so() {
    let plant = Plant::new();
    let own = plant.world.own_identity(&plant.hub);
    let (id, named) = identity(&plant.world, "uploads");
    plant.stores(BY_IDENTITY, None, &json!({})).expect(400);
    plant.may(&own, CONTRIBUTOR, &plant.account);
    let said = plant.stores(BY_IDENTITY, None, &json!({})).expect(400);
    let text = said.text();
    assert!(
        text.contains("Storage Blob Data Contributor") && text.contains("no data actions"),
        "{text}"
    );

    plant.may(&own, DATA_CONTRIBUTOR, &plant.container("uploads"));
    // A role at the container is enough to write there, but keys are given out by the account.
    plant.may(&own, DATA_CONTRIBUTOR, &plant.account);
    plant.stores(BY_IDENTITY, None, &json!({})).expect(200);
    let begun = plant.begins("a").expect(200).body;
    assert_eq!(signer(&begun), own.object_id);
    plant.puts(&begun, b"x").expect(201);
    plant.ends(&begun, true).expect(204);
    assert_eq!(plant.told().unwrap()["blobSizeInBytes"], 1);

    // Another identity, which has to be attached and to hold the role.
    let refused = plant.stores(BY_IDENTITY, Some(&id), &json!({})).expect(409);
    assert!(refused.text().contains("uploads"), "{refused:?}");
    plant.may(&named, DATA_CONTRIBUTOR, &plant.account);
    let both = with_type("SystemAssigned, UserAssigned", &[&id]);
    plant.world.arm("PATCH", &plant.hub, &both).expect(200);
    plant.stores(BY_IDENTITY, Some(&id), &json!({})).expect(200);
    let begun = plant.begins("b").expect(200).body;
    assert_eq!(signer(&begun), named.object_id);
    plant.puts(&begun, b"x").expect(201);
}

/// S3-23: closed networks refuse the save; opened it is saved; closed again with the exception for trusted services the
/// hub's own identity goes on, and nobody else's does.
#[test]
fn a_closed_storage_is_opened_saved_and_closed_again() {
    let plant = Plant::new();
    let own = plant.world.own_identity(&plant.hub);
    plant.may(&own, DATA_CONTRIBUTOR, &plant.account);
    let acls = |action: &str, bypass: &str| {
        let acls = json!({ "defaultAction": action, "bypass": bypass });
        let body = json!({ "properties": { "networkAcls": acls } });
        plant.world.arm("PATCH", &plant.account, &body).expect(200);
    };
    acls("Deny", "None");
    let said = plant.stores(BY_IDENTITY, None, &json!({})).expect(400);
    assert!(said.text().contains("network"), "{said:?}");
    acls("Allow", "None");
    plant.stores(BY_IDENTITY, None, &json!({})).expect(200);
    acls("Deny", "AzureServices");
    let begun = plant.begins("a").expect(200).body;
    // The device is no trusted service: it needs a rule of its own.
    plant.puts(&begun, b"x").expect(403);
    acls("Deny", "None");
    let said = plant.begins("b").expect(400);
    assert_eq!(said.code(), "InvalidStorageEndpointOrBlob", "{said:?}");
    acls("Allow", "None");
    plant.stores(BY_KEY, None, &json!({})).expect(200);
    acls("Deny", "AzureServices");
    let said = plant.begins("c").expect(200).body;
    let ended = plant.ends(&said, true).expect(400);
    assert!(ended.text().contains("403"), "{ended:?}");
}

/// Threats 58, 59: no token of an identity goes to a storage that is not this server's.
#[test]
fn an_identity_is_shown_to_targets_of_this_server_alone() {
    let plant = Plant::new();
    plant.world.own_identity(&plant.hub);
    let string = "AccountName=elsewhere;BlobEndpoint=https://evil.example/";
    let said = plant.stores(BY_IDENTITY, None, &json!({ "connectionString": string })).expect(400);
    assert!(said.text().contains("keyBased"), "{said:?}");
}

/// S3-22: what services are told is kept for its time and tried as often as the hub says.
#[test]
fn a_notification_has_its_time_and_its_tries() {
    let plant = Plant::new();
    plant.stores(BY_KEY, None, &json!({})).expect(200);
    let queue =
        json!({ "ttlAsIso8601": "PT1M", "maxDeliveryCount": 2, "lockDurationAsIso8601": "PT5S" });
    let properties = json!({ "messagingEndpoints": { "fileNotifications": queue },
        "enableFileUploadNotifications": true });
    plant.world.arm("PATCH", &plant.hub, &json!({ "properties": properties })).expect(200);
    let uploads = |name: &str| {
        let begun = plant.begins(name).expect(200).body;
        plant.puts(&begun, b"x").expect(201);
        plant.ends(&begun, true).expect(204);
    };
    uploads("late");
    plant.world.pass_seconds(61);
    assert_eq!(plant.told(), None);
    uploads("tried");
    let mut amqp = plant.hears();
    for _ in 0..2 {
        let heard = amqp.hears();
        amqp.settles(&heard, Outcome::Released);
    }
    assert!(amqp.is_quiet());
}

/// S2-15, S2-16, S2-19, S2-37: receiving and settling notifications is a permission of its own, which Data Contributor
/// and Data Reader have, and a role that names it alone; Registry Contributor has not.
#[test]
fn notifications_are_received_and_settled_by_their_permission() {
    let plant = Plant::new();
    plant.stores(BY_KEY, None, &json!({})).expect(200);
    let custom = plant.world.guid();
    let group = plant.world.group();
    let body = json!({ "properties": { "roleName": "hears", "assignableScopes": [group], "permissions": [
        { "dataActions": ["Microsoft.Devices/IotHubs/fileUpload/notifications/action"] }] } });
    let path = format!("{group}/providers/Microsoft.Authorization/roleDefinitions/{custom}");
    plant.world.arm("PUT", &path, &body).expect(201);
    for (name, role) in [("contributor", DATA), ("reader", READER), ("custom", custom.as_str())] {
        let begun = plant.begins(name).expect(200).body;
        plant.puts(&begun, b"x").expect(201);
        plant.ends(&begun, true).expect(204);
        let who = plant.world.service_principal(name);
        plant.may(&who, role, &plant.hub);
        let mut amqp = plant.opens();
        let token = format!("Bearer {}", plant.world.token(&who, "https://iothubs.azure.net"));
        assert_eq!(amqp.puts_token(&plant.device.host, &token).0, 200, "{name}");
        amqp.receives(NOTIFICATIONS).unwrap();
        let heard = amqp.hears();
        amqp.settles(&heard, Outcome::Released);
        let again = amqp.hears();
        assert_eq!(again.message.data(), heard.message.data(), "{name}");
        amqp.settles(&again, Outcome::Accepted);
        assert!(amqp.is_quiet(), "{name}");
    }
    let who = plant.world.service_principal("registry");
    plant.may(&who, REGISTRY, &plant.hub);
    let mut amqp = plant.opens();
    let token = format!("Bearer {}", plant.world.token(&who, "https://iothubs.azure.net"));
    assert_eq!(amqp.puts_token(&plant.device.host, &token).0, 200);
    let why = amqp.receives(NOTIFICATIONS).unwrap_err();
    assert_eq!(why.condition, "amqp:unauthorized-access", "{why:?}");
}
