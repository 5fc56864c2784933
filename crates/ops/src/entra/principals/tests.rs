use super::*;
use crate::managed_identity::Identity;
use gate::Facts;
use store::{Change, Write};

const TENANT: &str = "dddddddd-0000-4000-8000-000000000004";
const APP: &str = "bbbbbbbb-0000-4000-8000-000000000002";
const SP: &str = "eeeeeeee-0000-4000-8000-000000000005";

fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).unwrap()
}

fn pump() -> (Application, ServicePrincipal) {
    let now = Timestamp::from_seconds(1_000);
    let mut application =
        Application::new(id("aaaaaaaa-0000-4000-8000-000000000001"), id(APP), "pump", now);
    application.identifier_uris = vec!["api://pump".into()];
    let principal = ServicePrincipal::new(id(SP), &application, id(TENANT), now);
    (application, principal)
}

/// Facts after the documents of an application (`a`) and its principal (`p`) came, or went (`A`, `P`).
fn facts_after(steps: &str) -> Facts {
    let (application, principal) = pump();
    let (application_body, principal_body) =
        (serde_json::to_vec(&application).unwrap(), serde_json::to_vec(&principal).unwrap());
    let mut facts = Facts::new(id(TENANT), "https://localhost:8443");
    for step in steps.chars() {
        match step {
            'a' => {
                applications::change_facts(&mut facts, &application.key(), Some(&application_body))
            }
            'A' => applications::change_facts(&mut facts, &application.key(), None),
            'p' => change_facts(&mut facts, &principal.key(), Some(&principal_body)),
            _ => change_facts(&mut facts, &principal.key(), None),
        }
        .unwrap();
    }
    facts
}

#[test]
fn application_and_principal_are_tied_in_whatever_order_they_come() {
    let check = |steps: &str, application: Option<Option<ObjectId>>, has_principal: bool| {
        let facts = facts_after(steps);
        assert_eq!(facts.applications.get(&id(APP)).map(|it| it.principal), application, "{steps}");
        assert_eq!(facts.principals.contains_key(&id(SP)), has_principal, "{steps}");
    };
    check("a", Some(None), false);
    check("p", None, true);
    check("ap", Some(Some(id(SP))), true);
    check("pa", Some(Some(id(SP))), true);
    check("apa", Some(Some(id(SP))), true);
    check("apP", Some(None), false);
    check("apPa", Some(None), false);
    check("apAP", None, false);
    check("apPA", None, false);
    check("apA", None, true);
}

#[test]
fn a_switched_off_principal_is_a_fact() {
    let (application, mut principal) = pump();
    principal.change(&json!({ "accountEnabled": false }), &application).unwrap();
    let mut facts = Facts::new(id(TENANT), "https://localhost:8443");
    change_facts(&mut facts, &principal.key(), Some(&serde_json::to_vec(&principal).unwrap()))
        .unwrap();
    let fact = facts.principals.get(&id(SP)).unwrap();
    assert!(!fact.is_enabled);
    assert_eq!(
        (fact.kind, fact.app_id, fact.display_name.as_str()),
        (PrincipalKind::ServicePrincipal, Some(id(APP)), "pump")
    );
}

#[test]
fn a_principal_is_found_by_its_app_id_first_and_by_its_applications_uris() {
    let (application, principal) = pump();
    let shown = principal.shown(&application);
    assert_eq!(shown["servicePrincipalNames"], json!([APP, "api://pump"]));
    assert_eq!(shown["id"], SP);
    assert_eq!(shown["appOwnerOrganizationId"], TENANT);
    assert_eq!((&shown["passwordCredentials"], &shown["keyCredentials"]), (&json!([]), &json!([])));
}

#[test]
fn a_principal_takes_what_az_sends_and_stays_with_its_application() {
    let check = |body: Value, expected: bool| {
        let (application, mut principal) = pump();
        assert_eq!(principal.change(&body, &application).is_ok(), expected, "{body}");
    };
    check(json!({ "appId": APP, "accountEnabled": true }), true);
    check(
        json!({ "appId": APP.to_uppercase(), "tags": ["a"], "servicePrincipalType": "Application" }),
        true,
    );
    check(Value::Null, true);
    check(json!({ "appId": SP }), false);
    check(json!({ "appId": null }), false);
    check(json!({ "accountEnabled": "false" }), false);
    check(json!({ "accountEnabled": null }), false);
    check(json!({ "appRoleAssignmentRequired": true }), false);
    check(json!({ "servicePrincipalNames": ["api://other"] }), false);
}

#[test]
fn a_look_up_answers_the_types_that_it_asks_for() {
    let check = |types: &[&str], principals: bool, groups: bool| {
        assert_eq!(are_wanted(types, "servicePrincipal"), principals, "{types:?}");
        assert_eq!(are_wanted(types, "group"), groups, "{types:?}");
    };
    check(&[], true, true);
    check(&["user", "group", "servicePrincipal"], true, true);
    check(&["DirectoryObject"], true, true);
    check(&["serviceprincipal"], true, false);
    check(&["group"], false, true);
    check(&["user"], false, false);
    check(&["groups"], false, false);
}

#[test]
fn a_look_up_takes_1000_ids_and_answers_each_once() {
    let check = |body: Value, expected: Option<usize>| {
        assert_eq!(wanted_ids(&body).ok().map(|it| it.0.len()), expected, "{body}");
    };
    let ids = |count: u128| {
        json!((0..count).map(|it| uuid::Uuid::from_u128(it).to_string()).collect::<Vec<_>>())
    };
    check(json!({ "ids": ids(1_000) }), Some(1_000));
    check(json!({ "ids": ids(1_001) }), None);
    check(json!({ "ids": [SP, SP.to_uppercase()] }), Some(1));
    check(json!({ "ids": [SP], "types": ["user"] }), Some(1));
    check(json!({ "ids": ["x"] }), None);
    check(json!({ "ids": [7] }), None);
    check(json!({ "ids": SP }), None);
    check(json!({}), None);
    check(Value::Null, None);
}

#[test]
fn the_first_administrator_can_sign_in_by_the_given_secret() {
    let now = Timestamp::from_seconds(1_000);
    let object = id("aaaaaaaa-0000-4000-8000-000000000001");
    let changes = crate::entra::administrator(
        now,
        id(TENANT),
        "admin",
        id(APP),
        object,
        id(SP),
        "open sesame",
        b"salt",
    );
    let mut facts = Facts::new(id(TENANT), "https://localhost:8443");
    for Change { table, key, write, .. } in &changes {
        let Write::Put(body) = write else { panic!("{key} is not put") };
        assert!(!String::from_utf8_lossy(body).contains("sesame"));
        match *table == tables::APPLICATIONS {
            true => applications::change_facts(&mut facts, key, Some(body)).unwrap(),
            false => change_facts(&mut facts, key, Some(body)).unwrap(),
        }
    }
    let application = facts.applications.get(&id(APP)).unwrap();
    assert_eq!(application.principal, Some(id(SP)));
    assert_eq!(application.secrets[0].hash, crate::entra::hash_secret(b"salt", "open sesame"));
    assert!(application.secrets[0].expires > now);
    assert_eq!(facts.principals.get(&id(SP)).unwrap().display_name, "admin");
}

#[tokio::test]
async fn a_resources_identity_is_a_managed_identity_and_has_no_application() {
    let resource =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/provisioningServices/plant";
    let scope = Scope::parse(resource).unwrap();
    let identity = Identity { principal_id: id(SP), client_id: id(APP) };
    let mut env = crate::test_env::env();
    env.settings.tenant = id(TENANT);
    let change = change_managed_identity(identity, &scope, &env).unwrap();
    let Write::Put(body) = &change.write else { panic!("{change:?}") };
    let mut facts = Facts::new(id(TENANT), "https://localhost:8443");
    change_facts(&mut facts, &change.key, Some(body)).unwrap();
    let fact = facts.principals.get(&id(SP)).unwrap();
    assert_eq!(
        (fact.kind, fact.app_id, fact.display_name.as_str()),
        (PrincipalKind::ManagedIdentity, Some(id(APP)), "plant")
    );
    assert!(facts.applications.is_empty());

    let principal: ServicePrincipal = serde_json::from_slice(body).unwrap();
    let shown = principal.shown(&principal.stand_in().unwrap());
    assert_eq!(shown["servicePrincipalType"], "ManagedIdentity");
    assert_eq!(shown["servicePrincipalNames"], json!([APP]));
    assert_eq!(shown["alternativeNames"], json!(["isExplicit=False", resource]));
    assert_eq!(shown["passwordCredentials"], json!([]));
    assert!(pump().1.stand_in().is_none());

    let gone = change_no_identity(id(SP));
    change_facts(&mut facts, &gone.key, None).unwrap();
    assert!(facts.principals.is_empty());
}
