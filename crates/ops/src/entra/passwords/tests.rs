use super::*;

#[test]
fn a_secret_is_kept_as_sha_256_of_salt_and_text() {
    let expected = ring::digest::digest(&SHA256, b"saltopen sesame");
    assert_eq!(hash_secret(b"salt", "open sesame"), expected.as_ref());
    assert_ne!(hash_secret(b"salt", "open sesame"), hash_secret(b"tlas", "open sesame"));
    assert_ne!(hash_secret(b"salt", "open sesame"), hash_secret(b"salt", "open Sesame"));
}

#[test]
fn a_secret_is_valid_from_now_until_a_later_time() {
    let now = Timestamp::parse("2026-11-22T08:00:00Z").unwrap();
    let check = |given: Value, expected: Option<(&str, &str)>| {
        let read = validity(&given, now).ok().map(|it| (it.start.rfc3339(), it.end.rfc3339()));
        let expected = expected
            .map(|(start, end)| (format!("{start}T08:00:00.000Z"), format!("{end}T08:00:00.000Z")));
        assert_eq!(read, expected, "{given}");
    };
    check(Value::Null, Some(("2026-11-22", "2028-11-21")));
    check(
        json!({ "displayName": null, "startDateTime": null, "endDateTime": null }),
        Some(("2026-11-22", "2028-11-21")),
    );
    check(
        json!({ "startDateTime": "2026-11-22T08:00:00Z", "endDateTime": "2027-11-22T08:00:00Z" }),
        Some(("2026-11-22", "2027-11-22")),
    );
    check(
        json!({ "startDateTime": "2026-11-21T08:00:00Z", "endDateTime": "2026-11-23T08:00:00Z" }),
        Some(("2026-11-21", "2026-11-23")),
    );
    check(json!({ "startDateTime": "2026-11-22T08:05:01Z" }), None);
    check(json!({ "endDateTime": "2026-11-22T08:00:00Z" }), None);
    check(
        json!({ "startDateTime": "2026-11-20T08:00:00Z", "endDateTime": "2026-11-21T08:00:00Z" }),
        None,
    );
    check(json!({ "endDateTime": "tomorrow" }), None);
    check(json!({ "endDateTime": 5 }), None);
}

#[test]
fn a_secrets_label_may_be_missing_or_null_but_not_nonsense() {
    assert_eq!(label(&Value::Null), Ok(None));
    assert_eq!(label(&json!({ "displayName": null })), Ok(None));
    assert_eq!(label(&json!({ "displayName": "rbac" })), Ok(Some("rbac".into())));
    assert!(label(&json!({ "displayName": 7 })).is_err());
    assert!(label(&json!({ "displayName": "a\0" })).is_err());
}
