//! Which key and which role opens which part of a provisioning service, and how keys are switched off.

use super::enrollments::{Owner, contributor, symmetric};
use super::registration::Fleet;
use serde_json::{Value, json};
use testkit::{Answer, World};

/// Every call of the service API, on things that are there.
const CALLS: [(&str, &str, &str); 9] = [
    ("GET", "/enrollments/one", "EnrollmentRead"),
    ("POST", "/enrollments/query", "EnrollmentRead"),
    ("PUT", "/enrollments/one", "EnrollmentWrite"),
    ("POST", "/enrollments/one/attestationmechanism", "EnrollmentWrite"),
    ("GET", "/enrollmentGroups/pumps", "EnrollmentRead"),
    ("PUT", "/enrollmentGroups/pumps", "EnrollmentWrite"),
    ("POST", "/enrollmentGroups", "EnrollmentWrite"),
    ("GET", "/registrations/pump-1", "RegistrationStatusRead"),
    ("POST", "/registrations/pumps/query", "RegistrationStatusRead"),
];

fn body(method: &str, path: &str) -> Value {
    match (method, path) {
        (_, "/enrollments/query") => json!({ "query": "select * from enrollments" }),
        ("POST", "/enrollmentGroups") => {
            let mut group = symmetric();
            group["enrollmentGroupId"] = json!("pumps");
            json!({ "mode": "update", "enrollmentGroups": [group] })
        }
        ("PUT", _) => symmetric(),
        (_, _) => Value::Null,
    }
}

/// A right opens what it names and what it covers, and nothing else; deleting a registration takes the right to
/// write its state.
#[test]
fn each_right_of_a_policy_opens_its_part_of_the_service_api() {
    let fleet = Fleet::new();
    let world = &fleet.world;
    fleet.call(&fleet.key(), "PUT", "/enrollments/one", &symmetric()).expect(200);
    fleet.registers("pump-1");
    let rights = [
        "ServiceConfig",
        "DeviceConnect",
        "EnrollmentRead",
        "EnrollmentWrite",
        "RegistrationStatusRead",
        "RegistrationStatusWrite",
    ];
    let policies: Vec<Value> =
        rights.iter().map(|it| json!({ "keyName": it.to_lowercase(), "rights": it })).collect();
    let shown = world.arm("GET", &fleet.dps, &Value::Null).expect(200).body;
    let mut with_policies = shown.clone();
    with_policies["properties"]["authorizationPolicies"] = json!(policies);
    world.arm("PUT", &fleet.dps, &with_policies).expect(200);
    let host = world.dps_origin(&fleet.dps).trim_start_matches("https://").to_owned();
    let covers = |right: &str, needed: &str| {
        right == needed || (right.replace("Write", "Read") == needed && right.ends_with("Write"))
    };
    for right in rights {
        let sas = world.dps_sas(&fleet.dps, &right.to_lowercase(), &host);
        for (method, path, needed) in CALLS {
            let answer = fleet.call(&sas, method, path, &body(method, path));
            let expected = if covers(right, needed) { 200 } else { 401 };
            assert_eq!(answer.status, expected, "{right}: {method} {path}: {answer:?}");
        }
        let answer = fleet.call(&sas, "DELETE", "/registrations/pump-1", &Value::Null);
        let expected = if right == "RegistrationStatusWrite" { 204 } else { 401 };
        assert_eq!(answer.status, expected, "{right}");
    }
    // A signature that ends, or is for another service, opens nothing whatever its right.
    let elsewhere = world.dps_sas(&fleet.dps, "enrollmentread", &host.replacen("127.", "128.", 1));
    fleet.call(&elsewhere, "GET", "/enrollments/one", &Value::Null).expect(401);
    let ending = world.dps_sas(&fleet.dps, "enrollmentread", &host);
    world.pass_seconds(3_601);
    fleet.call(&ending, "GET", "/enrollments/one", &Value::Null).expect(401);
}

/// `disableLocalAuth` ends every key of a policy at once, and neither tokens nor the keys of devices.
#[test]
fn switching_keys_off_counts_from_the_answer_on() {
    let world = World::new();
    let owner = Owner::new(&world, "onboarding");
    owner.call("PUT", "/enrollments/one", &symmetric()).expect(200);
    let switch = |is_off: bool| {
        let body = json!({ "properties": { "disableLocalAuth": is_off } });
        world.arm("PATCH", &owner.dps, &body).expect(200);
    };
    let get = || owner.call("GET", "/enrollments/one", &Value::Null);
    switch(true);
    let refused = get().expect(401);
    assert!(refused.text().contains("provisioning service (`disableLocalAuth`)"), "{refused:?}");
    owner.call("PUT", "/enrollments/two", &symmetric()).expect(401);
    let who = contributor(&world, &owner.dps);
    world.dps_as(&who, "GET", &owner.dps, "/enrollments/one", &Value::Null).expect(200);
    world.dps_as(&who, "GET", &owner.dps, "/enrollments/two", &Value::Null).expect(404);
    switch(false);
    get().expect(200);

    let fleet = Fleet::new();
    let off = json!({ "properties": { "disableLocalAuth": true } });
    fleet.world.arm("PATCH", &fleet.dps, &off).expect(200);
    fleet.call(&fleet.key(), "GET", "/enrollmentGroups/pumps", &Value::Null).expect(401);
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
}

/// The registrations of a group and of no namesake, a page at a time.
#[test]
fn the_registrations_of_a_group_are_listed_page_by_page() {
    let fleet = Fleet::new();
    let sas = fleet.key();
    for id in ["c", "a", "b"] {
        fleet.registers(id);
    }
    // An individual enrollment of the group's name is not the group.
    fleet.call(&sas, "PUT", "/enrollments/pumps", &symmetric()).expect(200);
    let ask = |group: &str, headers: &[(&str, &str)]| -> Answer {
        let mut all = vec![("Authorization", sas.as_str())];
        all.extend_from_slice(headers);
        let path = format!("/registrations/{group}/query");
        fleet.world.dps_with(&all, "POST", &fleet.dps, &path, &Value::Null)
    };
    let ids = |answer: &Answer| -> Vec<String> {
        let all = answer.body.as_array().unwrap().iter();
        all.map(|it| it["registrationId"].as_str().unwrap().to_owned()).collect()
    };
    let all = ask("PUMPS", &[]).expect(200);
    assert_eq!(ids(&all), ["a", "b", "c"]);
    assert_eq!(all.header("x-ms-item-type"), Some("deviceRegistration"));
    assert_eq!(all.header("x-ms-continuation"), None);
    assert_eq!(all.body[0]["status"], "assigned");
    let two = ask("pumps", &[("x-ms-max-item-count", "2")]).expect(200);
    assert_eq!(ids(&two), ["a", "b"]);
    let next = two.header("x-ms-continuation").unwrap();
    let rest = ask("pumps", &[("x-ms-max-item-count", "2"), ("x-ms-continuation", next)]);
    assert_eq!((ids(&rest), rest.header("x-ms-continuation")), (vec!["c".to_owned()], None));
    assert_eq!(ids(&ask("pump", &[]).expect(200)), [""; 0]);
    ask("pumps", &[("x-ms-max-item-count", "0")]).expect(400);
    ask("pumps", &[("x-ms-continuation", "???")]).expect(400);
}
