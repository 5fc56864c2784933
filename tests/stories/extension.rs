//! The azure-iot extension 0.25.0 of the Azure CLI, by its requests: it cannot be installed where these tests run.
//! How it finds a hub, a policy and a credential was recorded from the extension itself and is told again in
//! `account.rs`, step by step; so were its commands, and those that were not follow the published contract. All
//! read what the extension dereferences. Rows that rest on this file rest on recorded requests.

mod account;

use account::{Account, DPS, HUB, HUB_DATA, Lost, SERVICES, Show, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::{Identity, World};
use wire::mqtt::Qos;
use wire::sas;

const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const HUB_DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const HUB_DATA_READER: &str = "b447c946-2db7-41ec-983d-d8bf3b1c77e3";
const DPS_DATA_CONTRIBUTOR: &str = "dfce44e4-17b7-4bd1-a6d1-04996ec95633";

/// A world, the name of its hub, and whoever owns everything below the subscription.
fn stage() -> (World, String, Identity) {
    let world = World::new();
    let name = world.setting("HUBWARD_HUB");
    let owner = world.service_principal("owner");
    world.assign(&owner, OWNER, &world.subscription()).expect(201);
    (world, name, owner)
}

fn second_hub(world: &World, name: &str, policies: &Value) {
    let id = world.hub_named(name);
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 },
        "properties": { "authorizationPolicies": policies } });
    world.arm("PUT", &id, &body).expect(201);
}

/// A device as `device-identity create` writes one.
fn created(id: &str) -> Value {
    json!({ "deviceId": id, "status": "enabled", "statusReason": null,
        "authentication": { "type": "sas", "symmetricKey": { "primaryKey": null, "secondaryKey": null } },
        "capabilities": { "iotEdge": false } })
}

/// S2-62, S2-63: a policy is found and used, with the group and without it, for every command of devices.
#[test]
fn by_key_the_extension_finds_a_policy_and_keeps_devices() {
    let (world, name, owner) = stage();
    let account = Account::of(&world, owner);
    let group = world.setting("HUBWARD_RESOURCE_GROUP");
    for group in [None, Some(group.as_str()), Some(&group.to_uppercase())] {
        let target = account.by_key(HUB, &name, group).unwrap();
        assert!(matches!(&target.show, Show::Key { policy, .. } if policy == "iothubowner"));
        assert_eq!(target.device_ids(), ["device-1"]);
    }
    let hub = account.by_key(HUB, &name, None).unwrap();
    let made = hub.sends("PUT", "/devices/pump-1", &[], &created("pump-1")).expect(200).body;
    let clash = hub.sends("PUT", "/devices/pump-1", &[], &created("pump-1")).expect(409);
    assert_eq!(clash.code(), "DeviceAlreadyExists");
    let shown = hub.gets("/devices/pump-1").expect(200).body;
    assert_eq!(shown, made);
    // `connection-string show` is made of these.
    assert_eq!(text(&shown, "/authentication/type"), "sas");
    let key = STANDARD.decode(text(&shown, "/authentication/symmetricKey/primaryKey")).unwrap();
    let host = hub.host.split(':').next().unwrap();
    let token = sas::sign(
        &sas::resource_text(&format!("{host}/devices/pump-1")),
        &key,
        world.now().plus_seconds(60),
        None,
    );
    let url = format!("https://{}/devices/pump-1/messages/events?api-version={HUB_DATA}", hub.host);
    world.wire().send("POST", &url, &[("Authorization", &token)], b"1").expect(204);

    // `device-identity update`: what was shown goes back, changed, under its tag in quotes.
    let mut changed = shown.clone();
    changed["status"] = json!("disabled");
    changed["statusReason"] = json!("in repair");
    let tag = format!("\"{}\"", text(&shown, "/etag"));
    let under = [("If-Match", tag.as_str())];
    let updated = hub.sends("PUT", "/devices/pump-1", &under, &changed).expect(200).body;
    assert_eq!(text(&updated, "/statusReason"), "in repair");
    hub.sends("PUT", "/devices/pump-1", &under, &changed).expect(412);
    changed["status"] = json!("enabled");
    let any = [("If-Match", "\"*\"")];
    hub.sends("PUT", "/devices/pump-1", &any, &changed).expect(200);

    for id in ["pump-10", "pump-2"] {
        hub.sends("PUT", &format!("/devices/{id}"), &[], &created(id)).expect(200);
    }
    assert_eq!(hub.device_ids(), ["device-1", "pump-1", "pump-10", "pump-2"]);
    let edge = "select * from devices where capabilities.iotEdge = true";
    assert_eq!(hub.queries("/devices/query", edge, None), Vec::<Value>::new());
    hub.sends("DELETE", "/devices/pump-1", &under, &Value::Null).expect(412);
    hub.sends("DELETE", "/devices/pump-1", &any, &Value::Null).expect(204);
    assert_eq!(hub.gets("/devices/pump-1").expect(404).code(), "DeviceNotFound");
    hub.gets("/devices/pump-10").expect(200);
}

/// S2-62: twins, queries and methods by key and by login alike.
#[test]
fn twins_queries_and_methods_answer_the_extension() {
    let (world, name, owner) = stage();
    world.assign(&owner, HUB_DATA_CONTRIBUTOR, &world.hub()).expect(201);
    let account = Account::of(&world, owner);
    let by_key = account.by_key(HUB, &name, None).unwrap();
    let by_login = account.by_login(HUB, &name, None).unwrap();
    let pump = world.device(&world.hub(), "pump-1");
    let mut mqtt = pump.connects(world.wire(), world.now().plus_seconds(600));
    mqtt.subscribes("$iothub/methods/POST/#", Qos::AtMostOnce);
    for (number, hub) in [&by_key, &by_login].into_iter().enumerate() {
        let twin = hub.gets("/twins/pump-1").expect(200).body;
        for pointer in
            ["/etag", "/deviceEtag", "/status", "/connectionState", "/authenticationType"]
        {
            text(&twin, pointer);
        }
        // `device-twin update --tags --desired`, and with a tag of its own.
        let patch = json!({ "tags": { "floor": number },
            "properties": { "desired": { "rate": number } } });
        let any = [("If-Match", "\"*\"")];
        let after = hub.sends("PATCH", "/twins/pump-1", &any, &patch).expect(200).body;
        assert_eq!(after["tags"]["floor"], number);
        let stale = format!("\"{}\"", text(&twin, "/etag"));
        hub.sends("PATCH", "/twins/pump-1", &[("If-Match", &stale)], &patch).expect(412);
        // `device-twin replace`.
        let whole = json!({ "tags": { "hall": number }, "properties": { "desired": {} } });
        let after = hub.sends("PUT", "/twins/pump-1", &any, &whole).expect(200).body;
        assert_eq!(after["tags"], json!({ "hall": number }));

        let query = format!("select deviceId from devices where tags.hall = {number}");
        let found = hub.queries("/devices/query", &query, None);
        assert_eq!(found, [json!({ "deviceId": "pump-1" })]);
        for top in [1, 2] {
            let found = hub.queries("/devices/query", "select * from devices", Some(top));
            assert_eq!(found.len(), top);
        }
        let wrong = hub.sends("POST", "/devices/query", &[], &json!({ "query": "select" }));
        assert_eq!(wrong.expect(400).code(), "ArgumentInvalid");

        // The time-outs are texts.
        let body = json!({ "methodName": "restart", "payload": { "in": 5 },
            "responseTimeoutInSeconds": "30", "connectTimeoutInSeconds": "30" });
        let answer = std::thread::scope(|scope| {
            let asked =
                scope.spawn(|| hub.sends("POST", "/twins/pump-1/methods", &[], &body).expect(200));
            let (topic, _, payload) = mqtt.hears();
            assert_eq!(payload, r#"{"in":5}"#);
            let request = topic.rsplit('=').next().unwrap();
            let to = format!("$iothub/methods/res/200/?$rid={request}");
            mqtt.publish(&to, b"{\"done\":true}").unwrap();
            asked.join().unwrap()
        });
        assert_eq!(answer.body, json!({ "status": 200, "payload": { "done": true } }));
        let none = json!({ "methodName": "restart", "responseTimeoutInSeconds": "4" });
        hub.sends("POST", "/twins/pump-1/methods", &[], &none).expect(400);
        let word = json!({ "methodName": "restart", "responseTimeoutInSeconds": "soon" });
        hub.sends("POST", "/twins/pump-1/methods", &[], &word).expect(400);
    }
}

/// S2-63: the first policy with every right is taken, whatever it is called; without one the command ends there,
/// and so it does for whoever may not list keys.
#[test]
fn by_key_needs_a_fitting_policy_and_the_right_to_list_keys() {
    let (world, name, owner) = stage();
    let full = "RegistryRead, RegistryWrite, ServiceConnect, DeviceConnect";
    let policies = json!([
        { "keyName": "clerk", "rights": "RegistryRead, RegistryWrite" },
        { "keyName": "cli", "rights": full },
        { "keyName": "iothubowner", "rights": full },
    ]);
    second_hub(&world, "plant-hub", &policies);
    let policies = json!([{ "keyName": "clerk", "rights": "RegistryRead, RegistryWrite" },
        { "keyName": "service", "rights": "ServiceConnect, DeviceConnect" }]);
    second_hub(&world, "plant-hub-2", &policies);
    let account = Account::of(&world, owner);
    let found = account.by_key(HUB, "Plant-Hub", None).unwrap();
    assert!(matches!(&found.show, Show::Key { policy, .. } if policy == "cli"));
    assert_eq!(found.device_ids(), Vec::<String>::new());
    assert_eq!(account.by_key(HUB, "plant-hub-2", None).err(), Some(Lost::NoPolicy));
    assert_eq!(account.by_key(HUB, "plant", None).err(), Some(Lost::NotFound));

    let may_read = world.service_principal("reader");
    world.assign(&may_read, READER, &world.subscription()).expect(201);
    world.assign(&may_read, HUB_DATA_CONTRIBUTOR, &world.hub()).expect(201);
    let account = Account::of(&world, may_read);
    let refused = Some(Lost::Refused(403, "AuthorizationFailed".into()));
    assert_eq!(account.by_key(HUB, &name, None).err(), refused);
    // Contributor may, and has no role on data.
    let contributor = world.service_principal("contributor");
    world.assign(&contributor, CONTRIBUTOR, &world.hub()).expect(201);
    let account = Account::of(&world, contributor);
    let group = world.setting("HUBWARD_RESOURCE_GROUP");
    assert_eq!(account.by_key(HUB, &name, Some(&group)).unwrap().device_ids(), ["device-1"]);
    let by_token = account.by_login(HUB, &name, Some(&group)).unwrap();
    by_token.gets("/devices/device-1").expect(401);
    // With keys switched off they are still listed, and open nothing.
    let mut hub = world.arm("GET", &world.hub(), &Value::Null).expect(200).body;
    hub["properties"]["disableLocalAuth"] = json!(true);
    world.arm("PUT", &world.hub(), &hub).expect(200);
    let off = account.by_key(HUB, &name, Some(&group)).unwrap().gets("/devices/device-1");
    assert!(off.expect(401).text().contains("disableLocalAuth"));
}

/// S2-62, S2-64: a data role alone reaches the hub where its host is named, and finds none by its name.
#[test]
fn by_login_a_data_role_is_enough_where_the_host_is_named() {
    let (world, name, _) = stage();
    let host = world.hub_origin(&world.hub()).trim_start_matches("https://").to_owned();
    let group = world.setting("HUBWARD_RESOURCE_GROUP");
    let who = world.service_principal("clerk");
    let account = Account::of(&world, who.clone());
    let nobody = account.by_login(HUB, &host, None).unwrap();
    let refused = nobody.gets("/devices/device-1").expect(401);
    assert!(refused.text().contains("Microsoft.Devices/IotHubs/devices/read"), "{refused:?}");

    world.assign(&who, HUB_DATA_CONTRIBUTOR, &world.hub()).expect(201);
    let hub = account.by_login(HUB, &host, None).unwrap();
    assert_eq!(hub.device_ids(), ["device-1"]);
    hub.sends("PUT", "/devices/pump-1", &[], &created("pump-1")).expect(200);
    hub.gets("/devices/pump-1").expect(200);
    hub.sends("DELETE", "/devices/pump-1", &[("If-Match", "\"*\"")], &Value::Null).expect(204);
    // By name the hub is looked for in the control plane, where a data role shows nothing.
    for group in [None, Some(group.as_str())] {
        let lost = account.by_login(HUB, &name, group).err();
        let expected = match group {
            None => Lost::NotFound,
            Some(_) => Lost::Refused(403, "AuthorizationFailed".into()),
        };
        assert_eq!(lost, Some(expected));
    }
    world.assign(&who, READER, &world.hub()).expect(201);
    assert_eq!(account.by_login(HUB, &name, None).unwrap().device_ids(), ["device-1"]);

    let reader = world.service_principal("auditor");
    world.assign(&reader, HUB_DATA_READER, &world.hub()).expect(201);
    let account = Account::of(&world, reader);
    let hub = account.by_login(HUB, &host, None).unwrap();
    assert_eq!(hub.device_ids(), ["device-1"]);
    let refused = hub.sends("PUT", "/devices/pump-2", &[], &created("pump-2")).expect(401);
    assert!(refused.text().contains("Microsoft.Devices/IotHubs/devices/write"), "{refused:?}");
}

/// Members that the command line and its extension read without looking whether they are there.
#[test]
fn hubs_and_services_have_every_member_that_the_extension_reads() {
    let (world, name, owner) = stage();
    let account = Account::of(&world, owner);
    let services =
        format!("{}/providers/Microsoft.Devices/provisioningServices", world.subscription());
    let listed = account.arm("GET", &services, SERVICES).expect(200).body;
    let service = text(&listed, "/value/0/name").to_owned();
    for (kind, name, texts, others) in [
        (
            HUB,
            name.as_str(),
            &[
                "/sku/tier",
                "/etag",
                "/resourcegroup",
                "/subscriptionid",
                "/location",
                "/identity/type",
                "/properties/hostName",
                "/properties/eventHubEndpoints/events/endpoint",
                "/properties/eventHubEndpoints/events/path",
            ][..],
            &[
                "/properties/eventHubEndpoints/events/partitionCount",
                "/properties/eventHubEndpoints/events/partitionIds",
                "/properties/routing/endpoints",
                "/properties/routing/routes",
                "/properties/routing/fallbackRoute",
            ][..],
        ),
        (
            DPS,
            service.as_str(),
            &[
                "/etag",
                "/resourcegroup",
                "/subscriptionid",
                "/properties/idScope",
                "/properties/state",
                "/properties/serviceOperationsHostName",
                "/properties/deviceProvisioningHostName",
            ],
            &["/properties/iotHubs"],
        ),
    ] {
        let group = world.setting("HUBWARD_RESOURCE_GROUP");
        for group in [None, Some(group.as_str())] {
            let found = account.finds(kind, name, group).unwrap();
            for it in texts {
                assert!(!text(&found, it).is_empty(), "{it}");
            }
            for it in others {
                assert!(found.pointer(it).is_some_and(|it| !it.is_null()), "{it}: {found}");
            }
        }
    }
}

/// S2-63: enrollments and groups, by a policy that is found and by login.
#[test]
fn the_extension_enrolls_by_key_and_by_login() {
    let (world, _, owner) = stage();
    let dps = world.dps("onboarding");
    world.assign(&owner, DPS_DATA_CONTRIBUTOR, &dps).expect(201);
    let account = Account::of(&world, owner);
    let by_key = account.by_key(DPS, "onboarding", None).unwrap();
    let by_login = account.by_login(DPS, "onboarding", None).unwrap();
    let named = account.by_login(DPS, &by_key.host, None).unwrap();
    assert_eq!(named.host, by_login.host);
    for (number, dps) in [by_key, by_login].into_iter().enumerate() {
        let keys = json!({ "primaryKey": STANDARD.encode([1; 64]), "secondaryKey": STANDARD.encode([2; 64]) });
        let group = format!("line-{number}");
        let path = format!("/enrollmentGroups/{group}");
        let body = json!({ "enrollmentGroupId": group,
            "attestation": { "type": "symmetricKey", "symmetricKey": keys },
            "initialTwin": { "tags": { "hall": 1 }, "properties": { "desired": { "rate": 5 } } },
            "provisioningStatus": "enabled", "capabilities": { "iotEdge": false },
            "reprovisionPolicy": { "updateHubAssignment": true, "migrateDeviceData": true } });
        let made = dps.sends("PUT", &path, &[], &body).expect(200).body;
        assert_eq!(text(&made, "/enrollmentGroupId"), group);
        let shown = dps.gets(&path).expect(200).body;
        assert_eq!(shown["reprovisionPolicy"], body["reprovisionPolicy"]);
        let mechanism = dps
            .sends("POST", &format!("{path}/attestationmechanism"), &[], &Value::Null)
            .expect(200)
            .body;
        assert_eq!(mechanism["symmetricKey"], keys);
        let mut changed = shown.clone();
        changed["provisioningStatus"] = json!("disabled");
        changed["attestation"] = mechanism;
        let tag = text(&shown, "/etag").to_owned();
        let under = [("If-Match", tag.as_str())];
        let updated = dps.sends("PUT", &path, &under, &changed).expect(200).body;
        assert_eq!(text(&updated, "/provisioningStatus"), "disabled");
        dps.sends("PUT", &path, &under, &changed).expect(412);
        let query = "SELECT * FROM enrollmentGroups";
        let found = dps.queries("/enrollmentGroups/query", query, None);
        assert_eq!(text(&found[0], "/enrollmentGroupId"), group);

        let pump = format!("/enrollments/pump-{number}");
        let body = json!({ "registrationId": format!("pump-{number}"), "deviceId": "hall-1",
            "attestation": { "type": "symmetricKey", "symmetricKey": keys },
            "provisioningStatus": "enabled", "allocationPolicy": "hashed",
            "capabilities": { "iotEdge": false } });
        dps.sends("PUT", &pump, &[], &body).expect(200);
        let found = dps.queries("/enrollments/query", "SELECT * FROM enrollments", Some(1));
        assert_eq!(text(&found[0], "/deviceId"), "hall-1");
        let registrations = format!("/registrations/{group}/query");
        assert_eq!(dps.sends("POST", &registrations, &[], &json!({})).expect(200).body, json!([]));
        for path in [&path, &pump] {
            dps.sends("DELETE", path, &[("If-Match", "*")], &Value::Null).expect(204);
            dps.gets(path).expect(404);
        }
    }

    let clerk = world.service_principal("clerk");
    let account = Account::of(&world, clerk.clone());
    assert_eq!(account.by_key(DPS, "onboarding", None).err(), Some(Lost::NotFound));
    world.assign(&clerk, READER, &dps).expect(201);
    let refused = Some(Lost::Refused(403, "AuthorizationFailed".into()));
    assert_eq!(account.by_key(DPS, "onboarding", None).err(), refused);
    let token = account.by_login(DPS, "onboarding", None).unwrap();
    let refused = token.gets("/enrollmentGroups/line-0").expect(401);
    let action = "Microsoft.Devices/provisioningServices/enrollmentGroups/read";
    assert!(refused.text().contains(action), "{refused:?}");
}
