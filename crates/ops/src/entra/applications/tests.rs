use super::*;
use crate::entra::hash_secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::Facts;

fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).unwrap()
}

const OBJECT: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const APP: &str = "bbbbbbbb-0000-4000-8000-000000000002";
const KEY: &str = "cccccccc-0000-4000-8000-000000000003";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn pump() -> Application {
    let mut application = Application::new(id(OBJECT), id(APP), "pump", at(1_000));
    application.passwords.push(Password::new(
        id(KEY),
        Holder::Application,
        "open sesame",
        b"salt",
        at(1_000)..at(2_000),
    ));
    application
}

fn document(application: &Application) -> Vec<u8> {
    serde_json::to_vec(application).unwrap()
}

fn facts() -> Facts {
    Facts::new(id("dddddddd-0000-4000-8000-000000000004"), "https://localhost:8443")
}

#[test]
fn a_document_holds_no_secret_and_an_answer_neither_secret_nor_hash() {
    let application = pump();
    let kept = String::from_utf8(document(&application)).unwrap();
    assert!(!kept.contains("sesame"), "{kept}");
    let shown = Value::Object(application.shown()).to_string();
    let hash = STANDARD.encode(hash_secret(b"salt", "open sesame"));
    assert!(kept.contains(&hash) && !shown.contains(&hash) && !shown.contains("salt"), "{shown}");
    let credential = &application.shown()["passwordCredentials"][0];
    assert_eq!(credential["hint"], "ope");
    assert_eq!(credential["keyId"], KEY);
    assert_eq!(credential["secretText"], Value::Null);
    assert_eq!(credential["endDateTime"], "1970-01-01T00:33:20.000Z");
    assert_eq!(application.shown()["keyCredentials"], json!([]));
}

#[test]
fn a_document_becomes_a_fact_with_its_secrets_and_goes_by_its_key_alone() {
    let mut facts = facts();
    let application = pump();
    change_facts(&mut facts, &application.key(), Some(&document(&application))).unwrap();
    let fact = facts.applications.get(&id(APP)).unwrap();
    assert_eq!((fact.app_id, fact.display_name.as_str(), fact.principal), (id(APP), "pump", None));
    assert_eq!(fact.secrets.len(), 1);
    let secret = &fact.secrets[0];
    assert_eq!((secret.key_id, secret.expires), (id(KEY), at(2_000)));
    assert_eq!(
        (secret.salt.as_slice(), &secret.hash),
        (b"salt".as_slice(), &hash_secret(b"salt", "open sesame"))
    );

    let namesake = Application::new(id(KEY), id(KEY), "pump", at(0));
    change_facts(&mut facts, &namesake.key(), Some(&document(&namesake))).unwrap();
    change_facts(&mut facts, &application.key(), None).unwrap();
    assert!(
        !facts.applications.contains_key(&id(APP)) && facts.applications.contains_key(&id(KEY))
    );
}

#[test]
fn a_document_that_cannot_be_read_is_no_fact() {
    let mut facts = facts();
    let mut broken = serde_json::to_value(pump()).unwrap();
    broken["passwords"][0]["hash"] = "not base64!".into();
    let refusal =
        change_facts(&mut facts, &pump().key(), Some(broken.to_string().as_bytes())).unwrap_err();
    assert!(refusal.contains(KEY), "{refusal}");
    assert!(change_facts(&mut facts, "k", Some(b"{}")).is_err());
    assert!(change_facts(&mut facts, OBJECT, None).is_err());
    assert!(facts.applications.is_empty());
}

#[test]
fn what_az_sends_is_taken_and_what_cannot_work_is_refused() {
    let check = |body: Value, expected: Result<(), &str>| {
        let told = pump().change(&body).map_err(|it| it.to_string());
        match expected {
            Ok(()) => assert_eq!(told, Ok(()), "{body}"),
            Err(at) => {
                assert!(told.as_ref().is_err_and(|it| it.starts_with(at)), "{body}: {told:?}")
            }
        }
    };
    check(json!({ "displayName": "x", "keyCredentials": [] }), Ok(()));
    check(
        json!({ "web": { "implicitGrantSettings": { "enableIdTokenIssuance": true } }, "signInAudience": "AzureADMyOrg" }),
        Ok(()),
    );
    check(
        json!({ "requiredResourceAccess": [{ "resourceAppId": APP, "resourceAccess": [] }] }),
        Ok(()),
    );
    check(json!({ "identifierUris": ["api://plant", "https://plant.example/x"] }), Ok(()));
    check(Value::Object(pump().shown()), Ok(()));
    check(Value::Null, Ok(()));
    check(json!({ "keyCredentials": [{ "key": "x" }] }), Err("keyCredentials:"));
    check(json!({ "passwordCredentials": [] }), Err("passwordCredentials:"));
    check(json!({ "appId": OBJECT }), Err("appId:"));
    check(json!({ "displayName": "" }), Err("displayName:"));
    check(json!({ "unheardOf": 1 }), Err("unheardOf:"));
}

#[test]
fn an_identifier_uri_has_a_scheme_so_that_none_passes_for_an_app_id() {
    let check = |uris: Value, expected: bool| {
        assert_eq!(identifier_uris(&json!({ "identifierUris": uris })).is_ok(), expected, "{uris}");
    };
    check(json!([]), true);
    check(json!([format!("api://{APP}")]), true);
    check(json!(["urn:x:y"]), true);
    check(json!([APP]), false);
    check(json!([""]), false);
    check(json!([":x"]), false);
    check(json!(["api:"]), false);
    check(json!(["1api:x"]), false);
    check(json!(["api://a b"]), false);
    check(json!(["api://a", "API://A"]), false);
    check(json!([7]), false);
    check(json!("api://a"), false);
    let long = |bytes: usize| json!([format!("api:{}", "x".repeat(bytes - 4))]);
    check(long(IDENTIFIER_URI_BYTES_MAX), true);
    check(long(IDENTIFIER_URI_BYTES_MAX + 1), false);
    let many = |count: usize| json!((0..count).map(|it| format!("api:{it}")).collect::<Vec<_>>());
    check(many(IDENTIFIER_URIS_MAX), true);
    check(many(IDENTIFIER_URIS_MAX + 1), false);
}
