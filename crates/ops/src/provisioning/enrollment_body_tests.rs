//! Bodies of enrollments, good and bad.

use super::*;

/// 16 bytes each.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
const OTHER: &str = "BBBBBBBBBBBBBBBBBBBBBA==";
const MADE: &str = "CCCCCCCCCCCCCCCCCCCCCA==";

fn read(body: &Value) -> Result<Draft, Error> {
    Draft::read(Kind::Individual, "Pump-7", body)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn complete(body: &Value, former: Option<&Source>) -> Source {
    read(body).unwrap().complete(former, &|| MADE.to_owned(), at(1_000)).unwrap()
}

fn keys(source: &Source) -> (Value, Value) {
    let revealed = source.attestation().revealed();
    let keys = &revealed["symmetricKey"];
    (keys["primaryKey"].clone(), keys["secondaryKey"].clone())
}

fn with_keys(keys: Value) -> Value {
    json!({ "attestation": { "type": "symmetricKey", "symmetricKey": keys } })
}

#[track_caller]
fn place(body: &Value) -> String {
    match read(body) {
        Err(Error::Invalid { at: Some(at), message, .. }) => {
            assert!(!message.contains(KEY), "{message}");
            at
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_left_out_has_azures_defaults() {
    let source = complete(&with_keys(Value::Null), None);
    assert_eq!(
        source.shown("MQ=="),
        json!({
            "registrationId": "Pump-7",
            "attestation": { "type": "symmetricKey", "symmetricKey": {} },
            "capabilities": { "iotEdge": false },
            "provisioningStatus": "enabled",
            "reprovisionPolicy": { "updateHubAssignment": true, "migrateDeviceData": true },
            "etag": "MQ==",
            "createdDateTimeUtc": at(1_000).rfc3339(),
            "lastUpdatedDateTimeUtc": at(1_000).rfc3339(),
        })
    );
}

#[test]
fn what_is_given_is_shown_again_without_its_keys() {
    let given = json!({
        "registrationId": "pump-7",
        "deviceId": "Pump 7".replace(' ', "_"),
        "optionalDeviceInformation": { "colour": "red" },
        "attestation": { "type": "SYMMETRICKEY", "symmetricKey": { "primaryKey": KEY, "secondaryKey": OTHER } },
        "capabilities": { "iotEdge": true },
        "iotHubHostName": "127.71.3.2:8443",
        "initialTwin": { "tags": { "hall": 1 }, "properties": { "desired": { "rate": 5 } } },
        "provisioningStatus": "Disabled",
        "reprovisionPolicy": { "updateHubAssignment": false, "migrateDeviceData": false },
        "allocationPolicy": "STATIC",
        "iotHubs": ["a.example", "A.example", "b.example"],
        "etag": "old", "registrationState": { "status": "assigned" }, "unheardOf": [1],
    });
    let source = complete(&given, None);
    let shown = source.shown("e");
    for name in ["deviceId", "optionalDeviceInformation", "iotHubHostName", "initialTwin"] {
        assert_eq!(shown[name], given[name], "{name}");
    }
    assert_eq!(shown["registrationId"], "Pump-7", "the path's casing is the name's");
    assert_eq!(shown["provisioningStatus"], "disabled");
    assert_eq!(shown["allocationPolicy"], "static");
    assert_eq!(shown["iotHubs"], json!(["a.example", "b.example"]));
    assert_eq!(shown["reprovisionPolicy"], given["reprovisionPolicy"]);
    assert_eq!(shown["capabilities"], given["capabilities"]);
    assert_eq!(shown["etag"], "e");
    for gone in ["registrationState", "unheardOf"] {
        assert!(shown.get(gone).is_none(), "{gone}");
    }
    assert_eq!(keys(&source), (json!(KEY), json!(OTHER)));
    for text in [shown.to_string(), format!("{source:?}"), format!("{:?}", read(&given).unwrap())] {
        assert!(!text.contains(KEY) && !text.contains(OTHER), "{text}");
    }
}

#[test]
fn policy_sees_what_would_be_kept_without_keys() {
    let mut given = with_keys(json!({ "primaryKey": KEY }));
    // What no reader of the body sees, policy does not see either.
    model::json::set(&mut given, "provisioningstatus", "disabled");
    model::json::set(&mut given, "unheardOf", KEY);
    let judged = read(&given).unwrap().judged();
    assert_eq!(judged["attestation"], json!({ "type": "symmetricKey" }));
    assert_eq!(judged["provisioningStatus"], "disabled");
    assert!(!judged.to_string().contains(KEY), "{judged}");
}

#[test]
fn keys_are_made_where_none_are_and_kept_where_they_are() {
    let pair = |a: &str, b: &str| (json!(a), json!(b));
    let none = with_keys(json!({}));
    let made = complete(&none, None);
    assert_eq!(keys(&made), pair(MADE, MADE));
    let empty = with_keys(json!({ "primaryKey": "", "secondaryKey": null }));
    assert_eq!(keys(&complete(&empty, None)), pair(MADE, MADE));
    let first = complete(&with_keys(json!({ "primaryKey": KEY })), None);
    assert_eq!(keys(&first), pair(KEY, MADE));

    let second = complete(&with_keys(json!({ "secondaryKey": OTHER })), Some(&first));
    assert_eq!(keys(&second), pair(KEY, OTHER));
    assert_eq!(keys(&complete(&json!({}), Some(&second))), pair(KEY, OTHER));
    let refused = read(&json!({})).unwrap().complete(None, &|| MADE.to_owned(), at(0));
    assert!(
        matches!(&refused, Err(Error::Invalid { at: Some(at), .. }) if at == "attestation"),
        "{refused:?}"
    );
}

#[test]
fn an_update_keeps_the_name_and_the_time_of_creation() {
    let first = complete(&with_keys(Value::Null), None);
    let draft = Draft::read(Kind::Individual, "PUMP-7", &json!({})).unwrap();
    let later = draft.complete(Some(&first), &|| MADE.to_owned(), at(2_000)).unwrap();
    let shown = later.shown("");
    assert_eq!(shown["registrationId"], "Pump-7");
    assert_eq!(shown["createdDateTimeUtc"], at(1_000).rfc3339());
    assert_eq!(shown["lastUpdatedDateTimeUtc"], at(2_000).rfc3339());
}

#[test]
fn a_group_has_no_device_of_its_own() {
    let body = json!({
        "enrollmentGroupId": "Pumps", "deviceId": 7, "registrationId": 7,
        "attestation": { "type": "symmetricKey" },
    });
    let draft = Draft::read(Kind::Group, "pumps", &body).unwrap();
    let group = draft.complete(None, &|| MADE.to_owned(), at(0)).unwrap();
    let shown = group.shown("");
    assert_eq!(shown["enrollmentGroupId"], "pumps");
    assert!(shown.get("deviceId").is_none() && shown.get("registrationId").is_none(), "{shown}");
}

#[test]
fn an_initial_twin_with_nothing_in_it_is_none() {
    for empty in [
        Value::Null,
        json!({}),
        json!({ "tags": {}, "properties": { "desired": {} } }),
        json!({ "tags": null, "properties": null }),
        json!({ "properties": { "desired": null } }),
    ] {
        let mut body = with_keys(Value::Null);
        model::json::set(&mut body, "initialTwin", empty.clone());
        assert_eq!(read(&body).unwrap().terms.initial_twin, None, "{empty}");
    }
    let mut body = with_keys(Value::Null);
    model::json::set(&mut body, "initialTwin", json!({ "tags": { "a": null } }));
    let shown = complete(&body, None).shown("");
    assert_eq!(
        shown["initialTwin"],
        json!({ "tags": { "a": null }, "properties": { "desired": {} } })
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let check = |body: Value, expected: &str| assert_eq!(place(&body), expected, "{body}");
    check(json!([]), "body");
    check(Value::Null, "body");
    check(json!({ "registrationId": "pump-70" }), "registrationId");
    check(json!({ "registrationId": 7 }), "registrationId");
    check(json!({ "deviceId": "a b" }), "deviceId");
    check(json!({ "deviceId": 7 }), "deviceId");
    check(json!({ "optionalDeviceInformation": "x" }), "optionalDeviceInformation");
    check(json!({ "attestation": "x" }), "attestation");
    check(json!({ "attestation": {} }), "attestation.type");
    for kind in ["none", "symmetric"] {
        check(json!({ "attestation": { "type": kind } }), "attestation.type");
    }
    check(json!({ "attestation": { "type": "x509" } }), "attestation.x509");
    check(json!({ "attestation": { "type": "tpm" } }), "attestation.tpm");
    let tpm =
        |key: &str| json!({ "attestation": { "type": "tpm", "tpm": { "endorsementKey": key } } });
    for key in ["AAAA", "not base64"] {
        check(tpm(key), "attestation.tpm.endorsementKey");
    }
    check(with_keys(json!([])), "attestation.symmetricKey");
    for key in [json!(7), json!("not base64"), json!(STANDARD.encode([0; 15]))] {
        check(with_keys(json!({ "primaryKey": key })), "attestation.symmetricKey.primaryKey");
    }
    let long = STANDARD.encode([0; 65]);
    check(with_keys(json!({ "secondaryKey": long })), "attestation.symmetricKey.secondaryKey");
    assert!(read(&with_keys(json!({ "primaryKey": STANDARD.encode([0; 64]) }))).is_ok());
    check(json!({ "capabilities": { "iotEdge": "yes" } }), "capabilities.iotEdge");
    check(json!({ "provisioningStatus": "off" }), "provisioningStatus");
    check(json!({ "reprovisionPolicy": true }), "reprovisionPolicy");
    check(
        json!({ "reprovisionPolicy": { "migrateDeviceData": 1 } }),
        "reprovisionPolicy.migrateDeviceData",
    );
    check(json!({ "allocationPolicy": "custom" }), "customAllocationDefinition");
    let custom =
        |it: Value| json!({ "allocationPolicy": "custom", "customAllocationDefinition": it });
    check(custom(json!({})), "customAllocationDefinition.webhookUrl");
    check(custom(json!({ "webhookUrl": "https://u@h/" })), "customAllocationDefinition.webhookUrl");
    let old = json!({ "webhookUrl": "https://h/", "apiVersion": "2018-01-01" });
    check(custom(old), "customAllocationDefinition.apiVersion");
    check(json!({ "allocationPolicy": "nearest" }), "allocationPolicy");
    check(json!({ "customAllocationDefinition": {} }), "customAllocationDefinition");
    check(json!({ "iotHubHostName": "a b" }), "iotHubHostName");
    check(json!({ "iotHubHostName": "a".repeat(HOST_BYTES_MAX + 1) }), "iotHubHostName");
    check(json!({ "iotHubs": "a" }), "iotHubs");
    check(json!({ "iotHubs": ["a", ""] }), "iotHubs[1]");
    check(json!({ "iotHubs": vec!["a"; HUBS_MAX + 1] }), "iotHubs");
    check(json!({ "initialTwin": { "tags": [] } }), "initialTwin.tags");
    check(
        json!({ "initialTwin": { "properties": { "desired": 1 } } }),
        "initialTwin.properties.desired",
    );
}

#[test]
fn one_byte_past_a_limit_is_refused() {
    // `{"a":"..."}` is 8 bytes longer than its text.
    let text = |bytes: usize| json!({ "a": "x".repeat(bytes - 8) });
    let twin = |tags: usize, desired: usize| json!({ "initialTwin": { "tags": text(tags), "properties": { "desired": text(desired) } } });
    assert!(read(&twin(TAGS_BYTES_MAX, DESIRED_BYTES_MAX)).is_ok());
    assert_eq!(place(&twin(TAGS_BYTES_MAX + 1, DESIRED_BYTES_MAX)), "initialTwin.tags");
    assert_eq!(
        place(&twin(TAGS_BYTES_MAX, DESIRED_BYTES_MAX + 1)),
        "initialTwin.properties.desired"
    );
    let information = |bytes: usize| json!({ "optionalDeviceInformation": text(bytes) });
    assert!(read(&information(DEVICE_INFORMATION_BYTES_MAX)).is_ok());
    assert_eq!(place(&information(DEVICE_INFORMATION_BYTES_MAX + 1)), "optionalDeviceInformation");
}

#[test]
fn ids_are_letters_digits_and_four_marks() {
    for good in ["a", "A-1", "a.b_c:d", "7", "a-", "-a", &"a".repeat(ID_BYTES_MAX)] {
        assert!(is_id(good), "{good}");
    }
    for bad in
        ["", "a ", "a/b", "a.", "a_", "a:", "é", "a\0", "a%2e", &"a".repeat(ID_BYTES_MAX + 1)]
    {
        assert!(!is_id(bad), "{bad}");
        let refused = Draft::read(Kind::Group, bad, &json!({}));
        assert!(
            matches!(&refused, Err(Error::Invalid { at: Some(at), .. }) if at == "enrollmentGroupId"),
            "{refused:?}"
        );
    }
}
