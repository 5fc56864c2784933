//! A lock keeps a hub from deletion and from change, and the refusal says which lock and what to do.

use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";

fn id(scope: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/locks/{name}")
}

fn lock(world: &World, scope: &str, name: &str, level: &str) -> Answer {
    let body = json!({ "properties": { "level": level, "notes": "kept by the night shift" } });
    world.arm("PUT", &id(scope, name), &body)
}

fn names(answer: &Answer) -> Vec<&str> {
    let all = answer.body["value"].as_array().unwrap();
    all.iter().map(|it| it["name"].as_str().unwrap()).collect()
}

fn contributor(world: &World) -> Identity {
    let who = world.service_principal("operator");
    world.assign(&who, CONTRIBUTOR, &world.group()).expect(201);
    world.assign(&who, DATA_CONTRIBUTOR, &world.hub()).expect(201);
    who
}

fn is_locked(answer: &Answer, verb: &str, by: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (409, "ScopeLocked"), "{answer:?}");
    let message = answer.body["error"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("cannot perform {verb} operation")), "{message}");
    assert!(message.contains(&format!("are locked: '{by}'")), "{message}");
}

#[test]
fn a_locked_hub_stays_and_the_explanation_names_the_lock_to_delete() {
    let mut world = World::new();
    let (group, hub) = (world.group(), world.hub());
    let who = contributor(&world);
    let made = lock(&world, &hub, "keep", "cannotdelete").expect(201);
    assert_eq!(made.body["id"], id(&hub, "keep"));
    assert_eq!(made.body["type"], "Microsoft.Authorization/locks");
    assert_eq!(
        made.body["properties"],
        json!({ "notes": "kept by the night shift", "level": "CanNotDelete" })
    );
    lock(&world, &hub, "keep", "CanNotDelete").expect(200);

    // Neither the hub nor the group around it goes, whoever asks; the hub is changed as before.
    let refused = world.arm_as(&who, "DELETE", &hub, &Value::Null);
    is_locked(&refused, "delete", &hub);
    is_locked(&world.arm("DELETE", &group, &Value::Null), "delete", &hub);
    world.arm_as(&who, "PATCH", &hub, &json!({ "tags": { "line": "7" } })).expect(200);
    world.arm_as(&who, "POST", &format!("{hub}/listkeys"), &Value::Null).expect(200);

    let told = world.explained(&refused.tracking());
    let step = &told["decision"]["steps"][3];
    assert_eq!((&step["gate"], &step["verdict"]), (&json!("resource"), &json!("deny")));
    let found = &step["findings"][0];
    assert_eq!(found["kind"], "lock");
    assert_eq!(found["id"], id(&hub, "keep"));
    assert_eq!(found["name"], "keep");
    assert_eq!(found["lock"], json!({ "level": "CanNotDelete", "scope": hub }));
    assert_eq!(told["fixes"].as_array().unwrap().len(), 1);
    let fix = &told["fixes"][0];
    assert_eq!(fix["command"], format!("az lock delete --ids {}", id(&hub, "keep")));
    assert_eq!(fix["then"], "the call would pass every gate");

    // It outlives the process. Whoever may delete the hub may not delete its lock, and needs to.
    world.restart();
    is_locked(&world.arm_as(&who, "DELETE", &hub, &Value::Null), "delete", &hub);
    let forbidden = world.arm_as(&who, "DELETE", &id(&hub, "keep"), &Value::Null).expect(403);
    assert_eq!(forbidden.code(), "AuthorizationFailed");
    world.arm("DELETE", &id(&hub, "keep"), &Value::Null).expect(200);
    world.arm("DELETE", &id(&hub, "keep"), &Value::Null).expect(204);
    assert_eq!(
        world.arm("GET", &id(&hub, "keep"), &Value::Null).expect(404).code(),
        "LockNotFound"
    );
    let gone = world.arm_as(&who, "DELETE", &hub, &Value::Null);
    assert!([200, 202, 204].contains(&gone.status), "{gone:?}");
}

#[test]
fn a_group_that_is_read_only_hands_out_no_keys_and_its_devices_go_on() {
    let world = World::new();
    let (group, hub) = (world.group(), world.hub());
    let who = contributor(&world);
    lock(&world, &group, "freeze", "ReadOnly").expect(201);
    let tags = json!({ "tags": { "line": "7" } });
    is_locked(&world.arm_as(&who, "PATCH", &hub, &tags), "write", &group);
    is_locked(&world.arm_as(&who, "DELETE", &hub, &Value::Null), "delete", &group);
    let keys = format!("{hub}/listkeys");
    is_locked(&world.arm_as(&who, "POST", &keys, &Value::Null), "write", &group);
    world.arm_as(&who, "GET", &hub, &Value::Null).expect(200);
    world.puts_device(&who, &hub, "d1").expect(200);

    // The namesake beside it is not locked.
    let namesake = format!("{group}0");
    world.arm("PUT", &namesake, &json!({ "location": "westus" })).expect(201);
    world.arm("PATCH", &namesake, &tags).expect(200);

    // A role cannot be given in there, and who has none hears of that and not of the lock.
    let owner = world.assign(&who, OWNER, &group);
    is_locked(&owner, "write", &group);
    let stranger = world.service_principal("stranger");
    world.arm_as(&stranger, "DELETE", &hub, &Value::Null).expect(403);

    // Two locks: both are named, and both are in the command.
    lock(&world, &hub, "keep", "CanNotDelete").expect(201);
    let refused = world.arm_as(&who, "DELETE", &hub, &Value::Null);
    is_locked(&refused, "delete", &format!("{group},{hub}"));
    let told = world.explained(&refused.tracking());
    let both = format!("az lock delete --ids {} {}", id(&group, "freeze"), id(&hub, "keep"));
    assert_eq!(told["fixes"][0]["command"], both);
    world.arm("DELETE", &id(&group, "freeze"), &Value::Null).expect(200);
    world.arm_as(&who, "PATCH", &hub, &tags).expect(200);
    is_locked(&world.arm_as(&who, "DELETE", &hub, &Value::Null), "delete", &hub);
}

#[test]
fn locks_are_listed_where_they_lie_and_refused_where_they_cannot() {
    let world = World::new();
    let (subscription, group, hub) = (world.subscription(), world.group(), world.hub());
    for (scope, name) in [(&subscription, "a"), (&group, "b"), (&hub, "c.1")] {
        lock(&world, scope, name, "CanNotDelete").expect(201);
    }
    let list = |scope: &str, filter: &str| {
        world.arm("GET", &format!("{}{filter}", id(scope, "")), &Value::Null)
    };
    assert_eq!(names(&list(&subscription, "").expect(200)), ["a", "b", "c.1"]);
    assert_eq!(names(&list(&group, "").expect(200)), ["b", "c.1"]);
    assert_eq!(names(&list(&hub, "").expect(200)), ["c.1"]);
    assert_eq!(names(&list(&hub, "?$filter=atScope()").expect(200)), ["a", "b", "c.1"]);
    assert_eq!(names(&list(&group, "?$filter=atExactScope()").expect(200)), ["b"]);
    assert_eq!(list(&hub, "?$filter=mine").expect(400).body["error"]["target"], "$filter");
    // The Azure CLI sends an empty segment where a resource has no parent.
    let empty = hub.replace("Microsoft.Devices/", "Microsoft.Devices//");
    assert_eq!(names(&list(&empty, "").expect(200)), ["c.1"]);

    let refused = |scope: &str, name: &str, properties: &Value, status: u16, says: &str| {
        let body = json!({ "properties": properties });
        let answer = world.arm("PUT", &id(scope, name), &body).expect(status);
        assert!(answer.text().contains(says), "{answer:?}");
    };
    let good = json!({ "level": "ReadOnly" });
    refused(&hub, "x", &json!({}), 400, "CanNotDelete and ReadOnly");
    refused(&hub, "x", &json!({ "level": "NotSpecified" }), 400, "CanNotDelete and ReadOnly");
    let long = json!({ "level": "ReadOnly", "notes": "x".repeat(513) });
    refused(&hub, "x", &long, 400, "512 characters");
    refused(&hub, &"x".repeat(261), &good, 400, "260 characters");
    refused("", "x", &good, 400, "a lock lies at");
    refused(&format!("{hub}0"), "x", &good, 404, "there is nothing at the scope");
    refused(&format!("{hub}/devices/d1"), "x", &good, 400, "narrowest scope");
    for n in 1..20 {
        lock(&world, &group, &format!("n{n}"), "CanNotDelete").expect(201);
    }
    refused(&group, "x", &good, 400, "at most 20 locks");
    lock(&world, &group, "n1", "ReadOnly").expect(200);
}
