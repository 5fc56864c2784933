use super::limits::{DEPTH_MAX, INTEGER_MAX, NAME_BYTES_MAX, TAGS_BYTES_MAX, TEXT_BYTES_MAX};
use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn wanted(body: Value) -> Wanted {
    Wanted::read(&body).unwrap()
}

fn desired(body: Value) -> Wanted {
    wanted(json!({ "properties": { "desired": body } }))
}

fn place(error: Error) -> String {
    let Error::DeviceInvalid { at, .. } = error else { panic!("{error:?}") };
    at
}

#[test]
fn a_patch_merges_objects_replaces_the_rest_and_null_deletes() {
    let mut twin = Twin::new(at(0));
    twin.write(&desired(json!({ "a": { "b": 1, "c": [1] }, "d": "x" })), at(1)).unwrap();
    let told =
        twin.write(&desired(json!({ "a": { "b": null, "e": {} }, "d": { "n": null } })), at(2));
    let told = told.unwrap().unwrap();
    assert_eq!(told.version, 3);
    assert_eq!(
        told.body,
        json!({ "a": { "b": null, "e": {} }, "d": { "n": null }, "$version": 3 })
    );
    let own = twin.own();
    assert_eq!(own["desired"], json!({ "a": { "c": [1], "e": {} }, "d": {}, "$version": 3 }));
    assert_eq!(own["reported"], json!({ "$version": 1 }));
}

#[test]
fn metadata_says_when_and_by_which_version_each_property_changed() {
    let mut twin = Twin::new(at(0));
    twin.write(&desired(json!({ "a": { "b": 1, "c": 2 } })), at(1)).unwrap();
    twin.write(&desired(json!({ "a": { "b": 3 } })), at(2)).unwrap();
    let shown = twin.properties();
    let stamp = |seconds, version| json!({ "$lastUpdated": at(seconds).rfc3339(), "$lastUpdatedVersion": version });
    assert_eq!(shown["desired"]["$metadata"]["a"]["b"], stamp(2, 3));
    assert_eq!(shown["desired"]["$metadata"]["a"]["c"], stamp(1, 2));
    assert_eq!(shown["desired"]["$metadata"]["a"]["$lastUpdatedVersion"], 3);
    assert_eq!(shown["desired"]["$metadata"]["$lastUpdated"], at(2).rfc3339());
    twin.report(&json!({ "a": 1 }), at(3)).unwrap();
    let reported = &twin.properties()["reported"];
    assert_eq!(reported["$metadata"]["a"], json!({ "$lastUpdated": at(3).rfc3339() }));
}

#[test]
fn versions_count_and_the_etag_is_the_services_own() {
    let mut twin = Twin::new(at(0));
    assert_eq!((twin.etag().as_str(), twin.version()), ("AAAAAAAAAAE=", 1));
    assert_eq!(twin.report(&json!({ "a": 1, "$version": 9 }), at(1)), Ok(2));
    assert_eq!((twin.etag().as_str(), twin.version()), ("AAAAAAAAAAE=", 2));
    assert_eq!(twin.write(&wanted(json!({ "tags": { "x": 1 } })), at(2)), Ok(None));
    assert_eq!((twin.etag().as_str(), twin.version()), ("AAAAAAAAAAI=", 3));
    assert_eq!(twin.own()["desired"]["$version"], 1);
}

#[test]
fn a_replacement_leaves_nothing_of_what_was_there_but_what_the_device_reported() {
    let mut twin = Twin::new(at(0));
    twin.write(
        &wanted(json!({ "tags": { "x": 1 }, "properties": { "desired": { "a": 1 } } })),
        at(1),
    )
    .unwrap();
    twin.report(&json!({ "r": 1 }), at(1)).unwrap();
    let body = json!({ "tags": null, "properties": { "desired": { "b": 2, "$version": 7, "$metadata": {} } } });
    let told = twin.replace(&wanted(body), at(2)).unwrap().unwrap();
    assert_eq!(told, Desired { version: 3, body: json!({ "b": 2, "$version": 3 }) });
    assert_eq!(twin.judged(), json!({ "tags": {}, "properties": { "desired": { "b": 2 } } }));
    assert_eq!(twin.own()["reported"], json!({ "r": 1, "$version": 2 }));
    assert!(twin.properties()["desired"]["$metadata"].get("a").is_none());
}

#[test]
fn one_past_each_limit_is_refused_with_its_place() {
    let tags = |value: Value| {
        let mut twin = Twin::new(at(0));
        twin.write(&wanted(json!({ "tags": value })), at(1)).map(drop)
    };
    let nested = |levels: usize| (1..levels).fold(json!({}), |it, _| json!({ "a": it }));
    assert_eq!(tags(nested(DEPTH_MAX)), Ok(()));
    assert_eq!(
        place(tags(nested(DEPTH_MAX + 1)).unwrap_err()),
        format!("tags{}", ".a".repeat(DEPTH_MAX))
    );
    assert_eq!(tags(json!({ "t": "x".repeat(TEXT_BYTES_MAX) })), Ok(()));
    assert_eq!(place(tags(json!({ "t": "x".repeat(TEXT_BYTES_MAX + 1) })).unwrap_err()), "tags.t");
    assert_eq!(tags(json!({ "n": INTEGER_MAX })), Ok(()));
    assert_eq!(place(tags(json!({ "n": INTEGER_MAX + 1 })).unwrap_err()), "tags.n");
    assert_eq!(tags(json!({ "x".repeat(NAME_BYTES_MAX): 1 })), Ok(()));
    for name in ["a.b", "$a", "a b", "a\u{7}", "", &"x".repeat(NAME_BYTES_MAX + 1)] {
        assert_eq!(place(tags(json!({ name: 1 })).unwrap_err()), "tags", "{name}");
    }
    // The frame around three texts has 22 bytes.
    let text = "x".repeat(4_000);
    let full = |bytes: usize| json!({ "a": text, "b": text, "c": "x".repeat(bytes - 8_022) });
    assert_eq!(tags(full(TAGS_BYTES_MAX)), Ok(()));
    assert_eq!(place(tags(full(TAGS_BYTES_MAX + 1)).unwrap_err()), "tags");
    assert_eq!(place(Wanted::read(&json!({ "tags": [] })).unwrap_err()), "tags");
    assert_eq!(
        place(Wanted::read(&json!({ "properties": { "desired": 1 } })).unwrap_err()),
        "properties.desired"
    );
    assert_eq!(place(Twin::new(at(0)).report(&json!([]), at(1)).unwrap_err()), "reported");
}
