//! User-assigned identities, and what hubs and provisioning services say of theirs: who makes one, who may attach
//! one, and what becomes of it.

use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

/// Azure Event Hubs Data Sender.
const SENDER: &str = "2b629674-e913-4c01-ae53-ef4638d8f975";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const OPERATOR: &str = "f1a07417-d97a-45cb-824c-7a7467783830";

const KIND: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

/// The id of an identity, whether it exists or not.
pub fn id_of(group: &str, name: &str) -> String {
    format!("{group}/providers/{KIND}/{name}")
}

/// A new user-assigned identity: its id, and who can be given roles by it.
pub fn identity(world: &World, name: &str) -> (String, Identity) {
    let id = id_of(&world.group(), name);
    let made = world.arm("PUT", &id, &json!({ "location": "westus" })).expect(201).body;
    let text = |member: &str| made["properties"][member].as_str().unwrap().to_owned();
    let who = Identity {
        name: name.to_owned(),
        app_id: text("clientId"),
        object_id: text("principalId"),
        secret: String::new(),
    };
    (id, who)
}

/// A patch of a resource's `identity`.
pub fn with_type(kind: &str, ids: &[&str]) -> Value {
    let ids: serde_json::Map<String, Value> =
        ids.iter().map(|it| ((*it).to_owned(), json!({}))).collect();
    match ids.is_empty() {
        true => json!({ "identity": { "type": kind } }),
        false => json!({ "identity": { "type": kind, "userAssignedIdentities": ids } }),
    }
}

/// The principals of managed identities that the directory lists, by name.
fn principals(world: &World) -> Vec<(String, String)> {
    let path = "/servicePrincipals?$filter=servicePrincipalType%20eq%20'ManagedIdentity'";
    let all = world.graph("GET", path, &Value::Null).expect(200).body;
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    let all = all["value"].as_array().unwrap().iter();
    all.map(|it| (text(it, "displayName"), text(it, "id"))).collect()
}

fn names(answer: &Answer) -> Vec<&str> {
    let all = answer.body["value"].as_array().unwrap().iter();
    all.map(|it| it["name"].as_str().unwrap()).collect()
}

/// S3-08: a user-assigned identity is made on its own, a resource like others with a principal in the directory.
#[test]
fn a_user_assigned_identity_is_a_resource_with_a_principal_of_its_own() {
    let mut world = World::new();
    let (group, hub) = (world.group(), world.hub());
    let id = id_of(&group, "plant-id");
    world.arm("PATCH", &id, &json!({ "tags": { "a": "1" } })).expect(404);
    world.arm("PUT", &id, &json!({ "location": "nowhere" })).expect(400);
    world.arm("PUT", &id_of(&group, "-x"), &json!({ "location": "westus" })).expect(400);
    let made = world.arm("PUT", &id, &json!({ "location": "West US", "tags": { "a": "1" } }));
    let made = made.expect(201).body;
    assert_eq!((made["id"].as_str(), made["type"].as_str()), (Some(&*id), Some(KIND)));
    assert_eq!(made["properties"]["tenantId"], world.setting("HUBWARD_TENANT_ID").as_str());
    let principal = made["properties"]["principalId"].as_str().unwrap().to_owned();
    assert_ne!(made["properties"]["clientId"], principal.as_str());

    // Written again it stays who it is; a patch changes tags, and nothing moves it elsewhere.
    let again = world.arm("PUT", &id, &json!({ "location": "westus" })).expect(200).body;
    assert_eq!((&again["properties"], &again["tags"]), (&made["properties"], &json!({})));
    world.arm("PUT", &id, &json!({ "location": "eastus" })).expect(400);
    let patched = world.arm("PATCH", &id, &json!({ "tags": { "b": "2" } })).expect(200).body;
    assert_eq!(patched["tags"], json!({ "b": "2" }));
    let shown = world.arm("GET", &id.to_uppercase().replace("/SUB", "/sub"), &Value::Null);
    assert_eq!(shown.expect(200).body, patched);
    for list in [
        format!("{group}/providers/{KIND}"),
        format!("{}/providers/{KIND}", world.subscription()),
        format!("{group}/resources?$filter=resourceType%20eq%20'{KIND}'"),
    ] {
        assert_eq!(names(&world.arm("GET", &list, &Value::Null).expect(200)), ["plant-id"]);
    }

    // The directory knows it, shows no secret, and lets nobody give it one.
    assert!(principals(&world).contains(&("plant-id".into(), principal.clone())));
    let path = format!("/servicePrincipals/{principal}");
    let seen = world.graph("GET", &path, &Value::Null).expect(200).body;
    assert_eq!(seen["alternativeNames"], json!(["isExplicit=True", id]));
    assert_eq!((&seen["passwordCredentials"], &seen["keyCredentials"]), (&json!([]), &json!([])));
    world.graph("POST", &format!("{path}/addPassword"), &json!({})).expect(400);
    world.graph("DELETE", &path, &Value::Null).expect(400);

    // Its roles are roles like others, and stay with it over a restart.
    let who = Identity {
        name: "plant-id".into(),
        app_id: made["properties"]["clientId"].as_str().unwrap().into(),
        object_id: principal.clone(),
        secret: String::new(),
    };
    world.assign(&who, READER, &hub).expect(201);
    world.restart();
    let asks =
        json!({ "principal": principal, "scope": hub, "action": "Microsoft.Devices/IotHubs/read" });
    let asked = || {
        world.arm("POST", "/decisions/ask", &asks).expect(200).body["decision"]["outcome"]["verdict"].clone()
    };
    assert_eq!(asked(), "allow");

    // Roles and locks lie at it, policies judge it, and the activity log tells of it.
    let reader = world.service_principal("reader");
    world.arm_as(&reader, "GET", &id, &Value::Null).expect(403);
    world.assign(&reader, READER, &id).expect(201);
    world.arm_as(&reader, "GET", &id, &Value::Null).expect(200);
    world.arm_as(&reader, "DELETE", &id, &Value::Null).expect(403);
    let lock = format!("{id}/providers/Microsoft.Authorization/locks/keep");
    world.arm("PUT", &lock, &json!({ "properties": { "level": "CanNotDelete" } })).expect(201);
    assert_eq!(world.arm("DELETE", &id, &Value::Null).expect(409).code(), "ScopeLocked");
    world.arm("DELETE", &lock, &Value::Null).expect(200);
    let rule = json!({ "if": { "allOf": [{ "field": "type", "equals": KIND },
        { "field": "tags['owner']", "exists": "false" }] }, "then": { "effect": "deny" } });
    world.define_policy("owned", &rule).expect(201);
    world.assign_policy("owned", &group).expect(201);
    let other = id_of(&group, "other");
    let refused = world.arm("PUT", &other, &json!({ "location": "westus" })).expect(403);
    assert_eq!(refused.code(), "RequestDisallowedByPolicy");
    let owned = json!({ "location": "westus", "tags": { "owner": "ana" } });
    world.arm("PUT", &other, &owned).expect(201);
    let states =
        format!("{group}/providers/Microsoft.PolicyInsights/policyStates/latest/queryResults");
    let states = world.arm("POST", &states, &Value::Null).expect(200).body.to_string();
    assert!(states.contains(&id) && states.contains("NonCompliant"), "{states}");
    let since = world.now().plus_seconds(-60).rfc3339();
    let log = format!(
        "{}/providers/Microsoft.Insights/eventtypes/management/values?$filter=eventTimestamp%20ge%20'{since}'%20and%20resourceId%20eq%20'{id}'",
        world.subscription()
    );
    let log = world.arm("GET", &log, &Value::Null).expect(200).text();
    assert!(log.contains(&format!("{KIND}/write")), "{log}");
    let moved = json!({ "resources": [id], "targetResourceGroup": format!("{group}0") });
    world.arm("PUT", &format!("{group}0"), &json!({ "location": "westus" })).expect(201);
    let refused = world.arm("POST", &format!("{group}/moveResources"), &moved).expect(400);
    assert_eq!(refused.code(), "ResourceMoveNotSupported");

    // It goes with its principal; what it held elsewhere is left behind and grants nobody anything.
    world.arm("DELETE", &id, &Value::Null).expect(200);
    world.arm("DELETE", &id, &Value::Null).expect(204);
    world.arm("GET", &id, &Value::Null).expect(404);
    assert!(!principals(&world).iter().any(|it| it.1 == principal));
    world.graph("GET", &path, &Value::Null).expect(404);
    world.arm("PUT", &id, &owned).expect(201);
    let anew = world.arm("GET", &id, &Value::Null).expect(200).body;
    assert_ne!(anew["properties"]["principalId"], principal.as_str());
    world.arm_as(&reader, "GET", &id, &Value::Null).expect(403);
    world.arm("DELETE", &group, &Value::Null);
    assert!(principals(&world).is_empty());
}

/// S3-01, S3-07, S3-10: a hub has both kinds at once and shows them; taking one away from it deletes nothing.
#[test]
fn a_hub_has_its_own_identity_and_those_that_are_attached_to_it() {
    let mut world = World::new();
    let hub = world.hub();
    let (a, who) = identity(&world, "id-a");
    let (b, _) = identity(&world, "id-b");
    let patch = |body: &Value| world.arm("PATCH", &hub, body);
    let shown =
        |world: &World| world.arm("GET", &hub, &Value::Null).expect(200).body["identity"].clone();
    assert_eq!(shown(&world), json!({ "type": "None" }));

    let both = patch(&with_type("SystemAssigned, UserAssigned", &[&a, &b])).expect(200).body;
    let own = both["identity"]["principalId"].as_str().unwrap().to_owned();
    assert_eq!(both["identity"]["type"], "SystemAssigned, UserAssigned");
    assert_eq!(both["identity"]["tenantId"], world.setting("HUBWARD_TENANT_ID").as_str());
    let attached = json!({ "principalId": who.object_id, "clientId": who.app_id });
    assert_eq!(both["identity"]["userAssignedIdentities"][&a], attached);
    assert_eq!(both["identity"]["userAssignedIdentities"].as_object().unwrap().len(), 2);
    let name = hub.rsplit('/').next().unwrap().to_owned();
    assert!(principals(&world).contains(&(name, own.clone())));
    world.restart();
    assert_eq!(shown(&world), both["identity"]);

    // A client that does not know identities leaves them out, and changes none.
    let mut whole = both.clone();
    whole.as_object_mut().unwrap().remove("identity");
    assert_eq!(world.arm("PUT", &hub, &whole).expect(200).body["identity"], both["identity"]);
    // One goes by `null`, under whatever casing; the others stay.
    let patch = |body: &Value| world.arm("PATCH", &hub, body);
    let without = json!({ "identity": { "userAssignedIdentities": { a.to_uppercase(): null } } });
    let left = patch(&without).expect(200).body["identity"].clone();
    assert_eq!(left["principalId"], own.as_str());
    assert_eq!(
        left["userAssignedIdentities"].as_object().unwrap().keys().collect::<Vec<_>>(),
        [&b]
    );
    world.arm("GET", &a, &Value::Null).expect(200);
    // The own one goes with the switch, and comes back as another.
    let left = patch(&with_type("UserAssigned", &[])).expect(200).body["identity"].clone();
    assert_eq!((left.get("principalId"), left["type"].as_str()), (None, Some("UserAssigned")));
    assert!(!principals(&world).iter().any(|it| it.1 == own));
    let back = patch(&with_type("SystemAssigned", &[])).expect(200).body["identity"].clone();
    assert_ne!(back["principalId"], own.as_str());
    assert_eq!(back.get("userAssignedIdentities"), None);
    world.arm("GET", &b, &Value::Null).expect(200);

    // Deleted while it is attached it stays named, and nothing else is in the way.
    patch(&with_type("UserAssigned", &[&b])).expect(200);
    world.arm("DELETE", &b, &Value::Null).expect(200);
    let whole = world.arm("GET", &hub, &Value::Null).expect(200).body;
    assert!(whole["identity"]["userAssignedIdentities"].get(&b).is_some());
    world.arm("PUT", &hub, &whole).expect(200);
    patch(&with_type("None", &[])).expect(200);
    let refused = patch(&with_type("UserAssigned", &[&b])).expect(400);
    assert_eq!(refused.code(), "UserAssignedIdentityNotFound");
    // The own identity goes with the hub.
    patch(&with_type("SystemAssigned", &[])).expect(200);
    let count = principals(&world).len();
    world.arm("DELETE", &hub, &Value::Null);
    assert_eq!(principals(&world).len(), count - 1);
}

/// S3-12: a hub is made with three identities at once, and a provisioning service takes the same.
#[test]
fn several_identities_come_with_the_hub_that_names_them() {
    let world = World::new();
    let ids: Vec<String> = (1..=3).map(|it| identity(&world, &format!("id-{it}")).0).collect();
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let hub = world.hub_named("of-three");
    let mut body = with_type("UserAssigned", &all);
    body["location"] = json!("westus");
    body["sku"] = json!({ "name": "S1", "capacity": 1 });
    let made = world.arm("PUT", &hub, &body).expect(201).body;
    let named = |it: &Value| it["identity"]["userAssignedIdentities"].as_object().unwrap().len();
    assert_eq!(named(&made), 3);
    let dps = world.dps("of-three-too");
    let types = ["UserAssigned", "SystemAssigned,UserAssigned"];
    for (kind, shown) in types.into_iter().zip(["UserAssigned", "SystemAssigned, UserAssigned"]) {
        let patched = world.arm("PATCH", &dps, &with_type(kind, &all)).expect(200).body;
        assert_eq!((named(&patched), patched["identity"]["type"].as_str()), (3, Some(shown)));
    }
    let listed = world.arm("GET", &format!("{}/resources", world.group()), &Value::Null);
    assert!(listed.expect(200).text().contains("userAssignedIdentities"));
}

/// Threat 59: whoever may write a hub may not for that reason let it act as somebody's identity.
#[test]
fn an_identity_is_attached_only_by_whoever_may_assign_it() {
    let world = World::new();
    let (hub, dps) = (world.hub(), world.dps("plant"));
    let (id, _) = identity(&world, "id-1");
    let (namesake, _) = identity(&world, "id-10");
    let writer = world.service_principal("writer");
    world.assign(&writer, CONTRIBUTOR, &hub).expect(201);
    world.assign(&writer, CONTRIBUTOR, &dps).expect(201);
    // Of the one whose name begins with the other's: it is another identity.
    world.assign(&writer, OPERATOR, &namesake).expect(201);
    let operator = format!("--role 'Managed Identity Operator' --scope {id}");
    let patch = |at: &str, body: &Value| world.arm_as(&writer, "PATCH", at, body);
    for at in [&hub, &dps] {
        patch(at, &with_type("SystemAssigned", &[])).expect(200);
        let refused = patch(at, &with_type("UserAssigned", &[&id])).expect(403);
        assert_eq!(refused.code(), "LinkedAuthorizationFailed");
        assert!(refused.text().contains("userAssignedIdentities/assign/action"), "{refused:?}");
        let told = world.explained(&refused.tracking());
        assert_eq!(told["decision"]["outcome"]["gate"], "access", "{told}");
        let command = told["fixes"][0]["command"].as_str().unwrap();
        assert!(command.ends_with(&operator), "{command}");
        patch(at, &with_type("UserAssigned", &[&id, &namesake])).expect(403);
        patch(at, &with_type("UserAssigned", &[&namesake])).expect(200);
        // What does not exist is told only to those who may assign it there.
        let absent = id_of(&world.group(), "nobody");
        patch(at, &with_type("UserAssigned", &[&absent])).expect(403);
        world.arm("PATCH", at, &with_type("UserAssigned", &[&absent])).expect(400);
    }
    // Attached by somebody else it can be kept and taken away, but not named.
    world.arm("PATCH", &hub, &with_type("UserAssigned", &[&id])).expect(200);
    patch(&hub, &json!({ "tags": { "a": "1" } })).expect(200);
    let whole = world.arm("GET", &hub, &Value::Null).expect(200).body;
    world.arm_as(&writer, "PUT", &hub, &whole).expect(403);
    world.assign(&writer, OPERATOR, &id).expect(201);
    world.arm_as(&writer, "PUT", &hub, &whole).expect(200);
    patch(&hub, &with_type("None", &[])).expect(200);
    assert!(world.judged_again() > 0);
}

/// An endpoint for the routes of a hub, that signs in as an identity: the hub's own without an id.
fn endpoint(name: &str, host: &str, identity: Option<&str>) -> Value {
    let mut endpoint = json!({ "name": name, "endpointUri": format!("sb://{host}/"), "entityPath": "e",
        "authenticationType": "identityBased" });
    if let Some(id) = identity {
        endpoint["identity"] = json!({ "userAssignedIdentity": id });
    }
    endpoint
}

fn routing(endpoints: &[Value], storage: &Value) -> Value {
    json!({ "properties": { "routing": { "endpoints": { "eventHubs": endpoints } },
        "storageEndpoints": { "$default": storage } } })
}

/// S3-04: the system identity cannot be switched off while endpoints use it, all of which are named; nor can one that is
/// attached be taken away.
#[test]
fn an_identity_that_endpoints_use_cannot_be_taken_away() {
    let world = World::new();
    let hub = world.hub();
    let (id, named) = identity(&world, "id-1");
    let (namesake, _) = identity(&world, "id-10");
    let patch = |body: &Value| world.arm("PATCH", &hub, body);
    let by_key = json!({ "authenticationType": "keyBased", "containerName": "files",
        "connectionString": "AccountName=a;AccountKey=c2VjcmV0" });
    let namespace = world.target("Microsoft.EventHub/namespaces", "plant-events");
    world.arm("PUT", &format!("{namespace}/eventhubs/e"), &json!({})).expect(200);
    world.assign(&named, SENDER, &namespace).expect(201);
    let host = world.namespace_host(&namespace);
    let endpoint = |name: &str, identity: Option<&str>| endpoint(name, &host, identity);
    let by_identity = json!({ "authenticationType": "identityBased", "containerName": "c" });
    let own = routing(&[endpoint("one", None), endpoint("two", None)], &by_identity);

    // Without the identity there is no endpoint that signs in as it.
    let refused = patch(&own).expect(409);
    assert_eq!(refused.code(), "ManagedIdentityInUse");
    let both = with_type("SystemAssigned, UserAssigned", &[&namesake]);
    let shown = patch(&both).expect(200).body;
    let itself = world.managed_identity(shown["identity"]["principalId"].as_str().unwrap());
    world.assign(&itself, SENDER, &namespace).expect(201);
    patch(&own).expect(200);
    for kind in ["None", "UserAssigned"] {
        let refused = patch(&with_type(kind, &[])).expect(409);
        for name in ["`one`", "`two`", "`$default`", "system-assigned"] {
            assert!(refused.text().contains(name), "{refused:?}");
        }
        let told = world.explained(&refused.tracking())["decision"].clone();
        assert_eq!(told["outcome"]["gate"], "resource", "{told}");
        let deciding = told["steps"][3]["findings"].to_string();
        assert!(deciding.contains("`one`") && deciding.contains("`two`"), "{deciding}");
    }

    // Each endpoint of its own: one that names another identity needs that one.
    let one = routing(&[endpoint("one", Some(&id)), endpoint("two", None)], &by_key);
    let refused = patch(&one).expect(409);
    assert!(refused.text().contains("`one`") && !refused.text().contains("`two`"), "{refused:?}");
    let all = [&*id, &namesake];
    patch(&with_type("SystemAssigned, UserAssigned", &all)).expect(200);
    patch(&one).expect(200);
    let without = json!({ "identity": { "userAssignedIdentities": { id.to_uppercase(): null } } });
    let refused = patch(&without).expect(409);
    assert!(refused.text().contains("`one`") && !refused.text().contains("`two`"), "{refused:?}");
    let other = json!({ "identity": { "userAssignedIdentities": { &namesake: null } } });
    patch(&other).expect(200);

    // Whoever may not assign an identity gives it to no endpoint either, attached or not.
    let writer = world.service_principal("writer");
    world.assign(&writer, CONTRIBUTOR, &hub).expect(201);
    assert_eq!(
        world.arm_as(&writer, "PATCH", &hub, &one).expect(403).code(),
        "LinkedAuthorizationFailed"
    );

    // Once they sign in otherwise, or are gone, the identities can go, too.
    patch(&with_type("UserAssigned", &[&id])).expect(409);
    patch(&routing(&[endpoint("one", Some(&id))], &by_key)).expect(200);
    patch(&with_type("UserAssigned", &[&id])).expect(200);
    patch(&routing(&[], &by_key)).expect(200);
    patch(&with_type("None", &[])).expect(200);
    assert!(world.judged_again() > 0);
}
