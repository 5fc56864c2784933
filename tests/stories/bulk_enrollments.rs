//! Many enrollments in one call: each with its own verdict, by the rights that each of them alone would take.

use super::enrollments::{Owner, contributor, number, symmetric, tag};
use serde_json::{Value, json};
use testkit::{Answer, World};

const INDIVIDUAL: (&str, &str) = ("enrollments", "registrationId");
const GROUP: (&str, &str) = ("enrollmentGroups", "enrollmentGroupId");

fn entry((_, member): (&str, &str), id: &str) -> Value {
    let mut entry = symmetric();
    entry[member] = json!(id);
    entry
}

fn body((collection, _): (&str, &str), mode: &str, entries: &[Value]) -> Value {
    json!({ "mode": mode, collection: entries })
}

fn sends(owner: &Owner<'_>, kind: (&str, &str), mode: &str, entries: &[Value]) -> Answer {
    owner.call("POST", &format!("/{}", kind.0), &body(kind, mode, entries))
}

/// The entries that failed, with their numbers.
fn failed(answer: &Answer, kind: (&str, &str)) -> Vec<(String, u64)> {
    let all = answer.body["errors"].as_array().unwrap();
    assert_eq!(answer.body["isSuccessful"], all.is_empty());
    let one = |it: &Value| {
        assert!(it["errorStatus"].is_string(), "{it}");
        (it[kind.1].as_str().unwrap().to_owned(), it["errorCode"].as_u64().unwrap())
    };
    all.iter().map(one).collect()
}

#[test]
fn each_entry_of_a_bulk_call_has_its_own_verdict() {
    let world = World::new();
    let owner = Owner::new(&world, "onboarding");
    for kind in [INDIVIDUAL, GROUP] {
        let bulk = |mode: &str, entries: &[Value]| {
            failed(&sends(&owner, kind, mode, entries).expect(200), kind)
        };
        let get = |id: &str| owner.call("GET", &format!("/{}/{id}", kind.0), &Value::Null);
        let (one, two) = (entry(kind, "one"), entry(kind, "two"));
        assert_eq!(bulk("create", &[one.clone(), two.clone()]), []);
        let first = get("one").expect(200);
        assert_eq!(bulk("create", &[one.clone(), entry(kind, "three")]), [("one".into(), 409_201)]);
        get("three").expect(200);

        let mut off = one.clone();
        off["provisioningStatus"] = json!("disabled");
        assert_eq!(bulk("update", &[off.clone(), entry(kind, "four")]), [("four".into(), 404_201)]);
        get("four").expect(404);
        assert_eq!(get("one").body["provisioningStatus"], "disabled");
        // An update keeps the keys, as one for itself does.
        off["etag"] = json!(tag(&first));
        let mut fresh = two.clone();
        fresh["etag"] = json!(tag(&get("two")));
        fresh["provisioningStatus"] = json!("disabled");
        assert_eq!(bulk("updateIfMatchETag", &[off.clone(), fresh]), [("one".into(), 412_201)]);
        assert_eq!(get("two").body["provisioningStatus"], "disabled");
        off["etag"] = json!("*");
        assert_eq!(bulk("updateIfMatchETag", &[off]), []);

        let gone = |id: &str| json!({ kind.1: id });
        let mut stale = gone("two");
        stale["etag"] = json!(tag(&first));
        let left = bulk("delete", &[gone("one"), stale, gone("four")]);
        assert_eq!(left, [("two".into(), 412_201), ("four".into(), 404_201)]);
        get("one").expect(404);
        get("two").expect(200);
    }
}

/// What cannot be read refuses the call as a whole, and leaves nothing behind.
#[test]
fn a_bulk_call_that_cannot_be_read_writes_nothing() {
    let world = World::new();
    let owner = Owner::new(&world, "onboarding");
    let good = entry(INDIVIDUAL, "good");
    let refused = |body: Value, place: &str| {
        let answer = owner.call("POST", "/enrollments", &body).expect(400);
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{place}: ")), "{message}");
        assert_eq!(number(&answer), 400_004);
    };
    let bulk = |mode: &str, second: Value| body(INDIVIDUAL, mode, &[good.clone(), second]);
    refused(json!({ "enrollments": [good] }), "mode");
    refused(json!({ "mode": "upsert", "enrollments": [good] }), "mode");
    refused(json!({ "mode": "create" }), "enrollments");
    refused(json!({ "mode": "create", "enrollments": [] }), "enrollments");
    refused(json!({ "mode": "create", "enrollmentGroups": [good] }), "enrollments");
    refused(bulk("create", json!({})), "enrollments[1].registrationId");
    refused(bulk("create", json!(1)), "enrollments[1]");
    let mut odd = entry(INDIVIDUAL, "odd");
    odd["provisioningStatus"] = json!("off");
    refused(bulk("create", odd), "enrollments[1].provisioningStatus");
    refused(bulk("updateIfMatchETag", good.clone()), "enrollments[0].etag");
    let many: Vec<Value> = (0..11).map(|it| entry(INDIVIDUAL, &format!("e{it}"))).collect();
    refused(body(INDIVIDUAL, "create", &many), "enrollments");
    owner.call("GET", "/enrollments/good", &Value::Null).expect(404);
    assert_eq!(failed(&sends(&owner, INDIVIDUAL, "create", &many[..10]), INDIVIDUAL), []);
}

/// S0-29 in part: a call for many is no way round the right to delete, nor round a policy.
#[test]
fn a_bulk_call_takes_the_rights_and_meets_the_policies_of_its_entries() {
    let world = World::new();
    let owner = Owner::new(&world, "onboarding");
    let dps = owner.dps.clone();
    let who = world.service_principal("writer");
    let role = world.guid();
    let path =
        format!("{}/providers/Microsoft.Authorization/roleDefinitions/{role}", world.group());
    let write = "Microsoft.Devices/provisioningServices/enrollments/write";
    let permissions = json!([{ "dataActions": [write] }]);
    let definition = json!({ "properties": { "roleName": "Writer", "permissions": permissions,
        "assignableScopes": [world.group()] } });
    world.arm("PUT", &path, &definition).expect(201);
    world.assign(&who, &role, &dps).expect(201);
    let tries = |mode: &str, id: &str| {
        let all = body(INDIVIDUAL, mode, &[entry(INDIVIDUAL, id)]);
        world.dps_as(&who, "POST", &dps, "/enrollments", &all)
    };
    assert_eq!(failed(&tries("create", "pump-1").expect(200), INDIVIDUAL), []);
    let refused = tries("delete", "pump-1").expect(401);
    assert!(refused.text().contains("enrollments/delete"), "{refused:?}");
    let groups = body(GROUP, "create", &[entry(GROUP, "pumps")]);
    world.dps_as(&who, "POST", &dps, "/enrollmentGroups", &groups).expect(401);
    let all = contributor(&world, &dps);
    let deletes = body(INDIVIDUAL, "delete", &[json!({ "registrationId": "pump-1" })]);
    assert_eq!(
        failed(&world.dps_as(&all, "POST", &dps, "/enrollments", &deletes).expect(200), INDIVIDUAL),
        []
    );

    let kind = "Microsoft.Devices/ProvisioningServices/enrollments";
    let rule = json!({ "if": { "allOf": [
        { "field": "type", "equals": kind }, { "field": "name", "like": "pump*" } ] },
        "then": { "effect": "deny" } });
    world.define_policy("no-pumps", &rule).expect(201);
    world.assign_policy("no-pumps", &dps).expect(201);
    let mixed = [entry(INDIVIDUAL, "valve"), entry(INDIVIDUAL, "pump-2")];
    let refused = sends(&owner, INDIVIDUAL, "create", &mixed).expect(403);
    assert!(refused.text().contains("no-pumps"), "{refused:?}");
    owner.call("GET", "/enrollments/valve", &Value::Null).expect(404);
    sends(&owner, INDIVIDUAL, "create", &mixed[..1]).expect(200);

    let keep = json!({ "if": { "field": "type", "equals": kind },
        "then": { "effect": "denyAction", "details": { "actionNames": ["delete"] } } });
    world.define_policy("keep", &keep).expect(201);
    world.assign_policy("keep", &dps).expect(201);
    let gone = [json!({ "registrationId": "valve" })];
    let refused = sends(&owner, INDIVIDUAL, "delete", &gone).expect(403);
    assert!(refused.text().contains("keep"), "{refused:?}");
    owner.call("GET", "/enrollments/valve", &Value::Null).expect(200);
}
