//! Enrollments over the provisioning service's own address, with keys and with tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const DATA_CONTRIBUTOR: &str = "dfce44e4-17b7-4bd1-a6d1-04996ec95633";
const DATA_READER: &str = "10745317-c249-44a1-a5ce-3a4353c0bbd8";
const HUB_DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";

/// Whoever calls one provisioning service with a key of its owner's policy.
pub struct Owner<'a> {
    pub world: &'a World,
    pub dps: String,
    pub sas: String,
}

impl<'a> Owner<'a> {
    pub fn new(world: &'a World, name: &str) -> Self {
        let dps = world.dps(name);
        let host = world.dps_origin(&dps).trim_start_matches("https://").to_owned();
        let sas = world.dps_sas(&dps, "provisioningserviceowner", &host);
        Self { world, dps, sas }
    }

    pub fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.call_with(&[], method, path, body)
    }

    pub fn call_with(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let mut all = vec![("Authorization", self.sas.as_str())];
        all.extend_from_slice(headers);
        self.world.dps_with(&all, method, &self.dps, path, body)
    }
}

pub fn symmetric() -> Value {
    json!({ "attestation": { "type": "symmetricKey" } })
}

pub fn contributor(world: &World, dps: &str) -> Identity {
    let who = world.service_principal("fleet-admin");
    world.assign(&who, DATA_CONTRIBUTOR, dps).expect(201);
    who
}

pub fn number(answer: &Answer) -> u64 {
    answer.body["errorCode"].as_u64().unwrap_or(0)
}

pub fn tag(answer: &Answer) -> String {
    answer.body["etag"].as_str().unwrap().to_owned()
}

#[test]
fn an_enrollment_is_created_shown_updated_and_deleted_with_a_key() {
    let world = World::new();
    let owner = Owner::new(&world, "onboarding");
    let path = "/enrollments/Pump-7";
    let body = json!({
        "registrationId": "pump-7", "deviceId": "hall-1-pump-7",
        "attestation": { "type": "symmetricKey", "symmetricKey": {} },
        "initialTwin": { "tags": { "hall": 1 }, "properties": { "desired": { "rate": 5 } } },
        "capabilities": { "iotEdge": true },
    });
    let made = owner.call("PUT", path, &body).expect(200);
    assert_eq!(made.body["registrationId"], "Pump-7");
    assert_eq!(made.body["provisioningStatus"], "enabled");
    assert_eq!(made.body["initialTwin"], body["initialTwin"]);
    assert_eq!(
        made.body["attestation"],
        json!({ "type": "symmetricKey", "symmetricKey": {} }),
        "keys stay inside"
    );
    assert_eq!(made.header("ETag"), Some(format!("\"{}\"", tag(&made)).as_str()));

    let shown = owner.call("GET", "/enrollments/PUMP-7", &Value::Null).expect(200);
    assert_eq!(shown.body, made.body, "ids compare without regard to case");
    let keys = |id: &str| {
        let path = format!("/enrollments/{id}/attestationmechanism");
        owner.call("POST", &path, &Value::Null).expect(200).body
    };
    let first = keys("pump-7");
    assert_eq!(first["type"], "symmetricKey");
    let primary = first["symmetricKey"]["primaryKey"].as_str().unwrap();
    assert_eq!(STANDARD.decode(primary).unwrap().len(), 32);
    assert!(!shown.text().contains(primary));

    world.pass_seconds(60);
    let off =
        json!({ "attestation": { "type": "symmetricKey" }, "provisioningStatus": "disabled" });
    let quoted = format!("\"{}\"", tag(&made));
    let updated = owner.call_with(&[("If-Match", &quoted)], "PUT", path, &off).expect(200);
    assert_eq!(updated.body["provisioningStatus"], "disabled");
    assert_eq!(updated.body["createdDateTimeUtc"], made.body["createdDateTimeUtc"]);
    assert_ne!(updated.body["lastUpdatedDateTimeUtc"], made.body["lastUpdatedDateTimeUtc"]);
    assert!(updated.body.get("initialTwin").is_none(), "a write replaces the whole");
    assert_eq!(keys("pump-7"), first, "an update keeps the keys");

    owner.call_with(&[("If-Match", &quoted)], "DELETE", path, &Value::Null).expect(412);
    owner.call("DELETE", path, &Value::Null).expect(204);
    let gone = owner.call("GET", path, &Value::Null).expect(404);
    assert_eq!((number(&gone), gone.header("x-ms-error-code")), (404_201, Some("404201")));
    assert_eq!(number(&owner.call("DELETE", path, &Value::Null).expect(404)), 404_201);
    assert_eq!(
        number(&owner.call("GET", "/registrations/pump-7", &Value::Null).expect(404)),
        404_201
    );
}

/// Threat 48.
#[test]
fn a_write_says_which_version_it_is_for() {
    let world = World::new();
    let owner = Owner::new(&world, "onboarding");
    let path = "/enrollmentGroups/pumps";
    let put = |headers: &[(&str, &str)]| owner.call_with(headers, "PUT", path, &symmetric());
    assert_eq!(number(&put(&[("If-Match", "*")]).expect(404)), 404_201);
    let made = put(&[("If-None-Match", "*")]).expect(200);
    assert_eq!(number(&put(&[("If-None-Match", "*")]).expect(409)), 409_201);
    let second = put(&[("If-Match", &tag(&made))]).expect(200);
    assert_eq!(number(&put(&[("If-Match", &tag(&made))]).expect(412)), 412_201);
    put(&[("If-Match", "*")]).expect(200);
    put(&[]).expect(200);
    let stale = tag(&second);
    owner.call_with(&[("If-Match", &stale)], "DELETE", path, &Value::Null).expect(412);
    owner.call_with(&[("If-Match", "*")], "DELETE", path, &Value::Null).expect(204);
}

#[test]
fn an_enrollment_survives_a_restart_and_is_not_its_namesakes() {
    let mut world = World::new();
    let made = {
        let owner = Owner::new(&world, "onboarding");
        owner.call("PUT", "/enrollments/pumps", &symmetric()).expect(200).body
    };
    world.restart();
    let dps =
        format!("{}/providers/Microsoft.Devices/provisioningServices/onboarding", world.group());
    let who = contributor(&world, &dps);
    let get = |dps: &str, path: &str| world.dps_as(&who, "GET", dps, path, &Value::Null);
    assert_eq!(get(&dps, "/enrollments/pumps").expect(200).body, made);
    get(&dps, "/enrollmentGroups/pumps").expect(404);
    get(&dps, "/enrollments/pumps0").expect(404);
    let other = world.dps("onboarding-2");
    world.assign(&who, DATA_READER, &other).expect(201);
    get(&other, "/enrollments/pumps").expect(404);
}

#[test]
fn what_is_wrong_with_a_body_is_said_with_its_place() {
    let world = World::new();
    let owner = Owner::new(&world, "onboarding");
    let refused = |path: &str, body: &Value, place: &str| {
        let answer = owner.call("PUT", path, body).expect(400);
        let message = answer.body["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(place), "{message}");
        assert!(answer.body["trackingId"].is_string() && answer.body["timestampUtc"].is_string());
    };
    let mut body = symmetric();
    body["registrationId"] = json!("pump-70");
    refused("/enrollments/pump-7", &body, "registrationId: ");
    refused("/enrollments/pump-7", &json!({}), "attestation: ");
    let certificate = json!({ "attestation": { "type": "x509" } });
    refused("/enrollmentGroups/pumps", &certificate, "attestation.x509: expected either");
    let short = json!({ "attestation": { "type": "symmetricKey", "symmetricKey": { "primaryKey": "AAAA" } } });
    refused("/enrollments/pump-7", &short, "attestation.symmetricKey.primaryKey: ");
    refused("/enrollments/pump%207", &symmetric(), "registrationId: ");
    owner.call("GET", "/enrollments/pump-7", &Value::Null).expect(404);
}

#[test]
fn a_query_lists_every_enrollment_of_its_kind_page_by_page() {
    let world = World::new();
    let owner = Owner::new(&world, "onboarding");
    for id in ["c", "a", "b"] {
        owner.call("PUT", &format!("/enrollments/{id}"), &symmetric()).expect(200);
    }
    owner.call("PUT", "/enrollmentGroups/pumps", &symmetric()).expect(200);
    let ids = |answer: &Answer, member: &str| -> Vec<String> {
        let all = answer.body.as_array().unwrap();
        all.iter().map(|it| it[member].as_str().unwrap().to_owned()).collect()
    };
    let ask = |headers: &[(&str, &str)], query: &str| {
        owner.call_with(headers, "POST", "/enrollments/query", &json!({ "query": query }))
    };
    let all = ask(&[], "SELECT * FROM enrollments").expect(200);
    assert_eq!(ids(&all, "registrationId"), ["a", "b", "c"]);
    assert_eq!(all.header("x-ms-item-type"), Some("enrollment"));
    assert_eq!(all.header("x-ms-continuation"), None);
    assert!(!all.text().contains("primaryKey"));

    let two = ask(&[("x-ms-max-item-count", "2")], "select * from enrollments").expect(200);
    assert_eq!(ids(&two, "registrationId"), ["a", "b"]);
    let next = two.header("x-ms-continuation").unwrap();
    let rest = [("x-ms-max-item-count", "1"), ("x-ms-continuation", next)];
    let rest = ask(&rest, "select * from enrollments").expect(200);
    assert_eq!(ids(&rest, "registrationId"), ["c"]);
    assert_eq!(rest.header("x-ms-continuation"), None);

    for query in ["select * from enrollmentGroups", "select * from enrollments where a = 1", ""] {
        let answer = ask(&[], query).expect(400);
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.contains("`select * from enrollments`"), "{message}");
    }
    for headers in [
        [("x-ms-max-item-count", "0")],
        [("x-ms-max-item-count", "-1")],
        [("x-ms-continuation", "???")],
    ] {
        ask(&headers, "select * from enrollments").expect(400);
    }
    let query = json!({ "query": "select * from enrollmentGroups" });
    let groups = owner.call("POST", "/enrollmentGroups/query", &query).expect(200);
    assert_eq!(ids(&groups, "enrollmentGroupId"), ["pumps"]);
    assert_eq!(groups.header("x-ms-item-type"), Some("enrollmentGroup"));
}

#[test]
fn a_provisioning_service_has_at_most_a_hundred_groups_with_keys() {
    let world = World::new();
    let owner = Owner::new(&world, "onboarding");
    let origin = world.dps_origin(&owner.dps);
    let put = |id: usize| {
        let url = format!("{origin}/enrollmentGroups/g{id}?api-version=2021-10-01");
        world.wire().json("PUT", &url, &owner.sas, &symmetric())
    };
    for id in 0..100 {
        put(id).expect(200);
    }
    let refused = put(100).expect(409);
    assert!(
        refused.text().contains("at most 100 enrollment groups of the type `symmetricKey`"),
        "{refused:?}"
    );
    put(99).expect(200);
    owner.call("DELETE", "/enrollmentGroups/g0", &Value::Null).expect(204);
    put(100).expect(200);
}

#[test]
fn a_data_reader_sees_enrollments_and_neither_writes_them_nor_sees_their_keys() {
    let world = World::new();
    let dps = world.dps("onboarding");
    let (writer, reader) = (contributor(&world, &dps), world.service_principal("auditor"));
    world.assign(&reader, DATA_READER, &dps).expect(201);
    let call = |who: &Identity, method: &str, path: &str, body: &Value| {
        world.dps_as(who, method, &dps, path, body)
    };
    let group = "/enrollmentGroups/pumps";
    let keys = "/enrollmentGroups/pumps/attestationmechanism";
    let query = json!({ "query": "select * from enrollmentGroups" });

    let refused = call(&reader, "PUT", group, &symmetric()).expect(401);
    let action = "Microsoft.Devices/provisioningServices/enrollmentGroups/write";
    assert!(refused.text().contains(action), "{refused:?}");
    let explained = world.explained(&refused.tracking());
    assert_eq!(explained["decision"]["outcome"]["gate"], "access");

    call(&writer, "PUT", group, &symmetric()).expect(200);
    call(&reader, "GET", group, &Value::Null).expect(200);
    assert_eq!(
        call(&reader, "POST", "/enrollmentGroups/query", &query).expect(200).body[0]["enrollmentGroupId"],
        "pumps"
    );
    call(&reader, "DELETE", group, &Value::Null).expect(401);
    call(&reader, "POST", keys, &Value::Null).expect(401);
    let revealed = call(&writer, "POST", keys, &Value::Null).expect(200).body;
    assert!(revealed["symmetricKey"]["primaryKey"].is_string());
    call(&writer, "DELETE", group, &Value::Null).expect(204);
}

/// S0-30: a group is made and changed by a role that names the action in the thread's own spelling; without it
/// both are refused, and the refusal names it. The number is this API's for a missing role, 401, as Azure has it.
#[test]
fn a_role_in_the_threads_spelling_writes_enrollment_groups_and_nothing_else_does() {
    let world = World::new();
    let dps = world.dps("onboarding");
    let role = |id: &str, actions: Value| {
        let scope = world.group();
        let path = format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{id}");
        let body = json!({ "properties": { "roleName": format!("role {id}"),
            "assignableScopes": [scope], "permissions": [actions] } });
        world.arm("PUT", &path, &body)
    };
    let action = "Microsoft.Devices/ProvisioningServices/enrollmentGroups/write";
    let (data, control) = (world.guid(), world.guid());
    role(&data, json!({ "dataActions": [action] })).expect(201);
    // The same words among the actions are about another plane: by name a mistake, by wildcard nothing.
    let mistaken = role(&control, json!({ "actions": [action] })).expect(400);
    assert_eq!(mistaken.code(), "InvalidActionOrNotAction");
    role(&control, json!({ "actions": ["Microsoft.Devices/ProvisioningServices/*"] })).expect(201);
    let who = world.service_principal("onboarding-team");
    world.assign(&who, &control, &dps).expect(201);
    let put = |tag: Option<&str>, status: &str| {
        let token = world.token(&who, "https://azure-devices-provisioning.net");
        let authorization = format!("Bearer {token}");
        let mut headers = vec![("Authorization", authorization.as_str())];
        headers.extend(tag.map(|it| ("If-Match", it)));
        let mut body = symmetric();
        body["provisioningStatus"] = json!(status);
        world.dps_with(&headers, "PUT", &dps, "/enrollmentGroups/line-3", &body)
    };
    let is_refused = |answer: Answer| {
        let answer = answer.expect(401);
        assert!(answer.text().to_lowercase().contains(&action.to_lowercase()), "{answer:?}");
        let explained = world.explained(&answer.tracking());
        assert_eq!(explained["decision"]["outcome"]["gate"], "access");
    };
    is_refused(put(None, "enabled"));
    world.assign(&who, &data, &dps).expect(201);
    let made = put(None, "enabled").expect(200);
    let changed = put(Some(&tag(&made)), "disabled").expect(200);
    assert_eq!(changed.body["provisioningStatus"], "disabled");
    // Writing groups is not writing single enrollments, nor reading keys.
    let single = |method: &str, path: &str| world.dps_as(&who, method, &dps, path, &symmetric());
    single("PUT", "/enrollments/pump-1").expect(401);
    single("POST", "/enrollmentGroups/line-3/attestationmechanism").expect(401);
    let held = format!("{dps}/providers/Microsoft.Authorization/roleAssignments");
    let held = world.arm("GET", &held, &Value::Null).expect(200).body;
    let given = held["value"].as_array().unwrap().iter();
    for it in
        given.filter(|it| it["properties"]["roleDefinitionId"].as_str().unwrap().ends_with(&data))
    {
        world.arm("DELETE", it["id"].as_str().unwrap(), &Value::Null).expect(200);
    }
    is_refused(put(Some(&tag(&changed)), "enabled"));
}

#[test]
fn only_keys_and_tokens_for_this_very_service_open_it() {
    let world = World::new();
    let owner = Owner::new(&world, "onboarding");
    let other = Owner::new(&world, "onboarding-2");
    let path = "/enrollmentGroups/pumps";
    let put = |authorization: &str| {
        let headers = [("Authorization", authorization)];
        world.dps_with(&headers, "PUT", &owner.dps, path, &symmetric())
    };
    put(&other.sas).expect(401);
    world.dps_with(&[], "PUT", &owner.dps, path, &symmetric()).expect(401);

    let who = contributor(&world, &owner.dps);
    for audience in ["https://iothubs.azure.net", "https://management.azure.com"] {
        let token = world.token(&who, audience);
        put(&format!("Bearer {token}")).expect(401);
    }
    // A role on hubs says nothing about enrollments, nor does one on the namesake.
    let stranger = world.service_principal("hub-admin");
    world.assign(&stranger, HUB_DATA_CONTRIBUTOR, &world.group()).expect(201);
    world.assign(&stranger, DATA_CONTRIBUTOR, &other.dps).expect(201);
    world.dps_as(&stranger, "PUT", &owner.dps, path, &symmetric()).expect(401);
    world.dps_as(&stranger, "PUT", &other.dps, path, &symmetric()).expect(200);
    world.dps_as(&who, "PUT", &owner.dps, path, &symmetric()).expect(200);
}

#[test]
fn policy_judges_a_group_by_what_would_be_kept() {
    let world = World::new();
    let owner = Owner::new(&world, "onboarding");
    let kind = "Microsoft.Devices/ProvisioningServices/enrollmentGroups";
    let rule = json!({
        "if": { "allOf": [
            { "field": "type", "equals": kind },
            { "field": "name", "like": "pump*" },
        ] },
        "then": { "effect": "deny" },
    });
    world.define_policy("no-pumps", &rule).expect(201);
    world.assign_policy("no-pumps", &owner.dps).expect(201);
    let refused = owner.call("PUT", "/enrollmentGroups/pumps", &symmetric()).expect(403);
    assert!(refused.text().contains("no-pumps"), "{refused:?}");
    let explained = world.explained(&refused.tracking()).to_string();
    assert!(explained.contains("/enrollmentGroups/pumps"), "{explained}");
    assert!(!explained.contains("primaryKey"), "{explained}");
    owner.call("PUT", "/enrollmentGroups/valves", &symmetric()).expect(200);
    owner.call("PUT", "/enrollments/pump-7", &symmetric()).expect(200);
}
