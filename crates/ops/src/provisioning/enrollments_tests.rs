//! Versions, queries and pages of enrollments.

use super::*;

fn headers(if_match: Option<&str>, if_none_match: Option<&str>) -> Headers {
    Headers {
        if_match: if_match.map(str::to_owned),
        if_none_match: if_none_match.map(str::to_owned),
        ..Headers::default()
    }
}

#[test]
fn the_headers_say_which_version_a_write_is_for() {
    let check = |if_match: Option<&str>, if_none_match: Option<&str>, found: Option<u64>| {
        Wanted::of(&headers(if_match, if_none_match))?.expect(Kind::Group, "g", found)
    };
    let tag = etag(7);
    assert_eq!(check(None, None, None), Ok(Expect::Absent));
    assert_eq!(check(None, None, Some(7)), Ok(Expect::Revision(7)));
    assert_eq!(check(Some("*"), None, Some(7)), Ok(Expect::Revision(7)));
    assert_eq!(check(Some(&tag), None, Some(7)), Ok(Expect::Revision(7)));
    assert_eq!(check(None, Some("*"), None), Ok(Expect::Absent));
    let status = |refused: Result<Expect, Error>| refused.unwrap_err().wire().hub_code;
    assert_eq!(status(check(Some(&tag), None, Some(8))), 412_201);
    assert_eq!(status(check(Some(""), None, Some(8))), 412_201);
    assert_eq!(status(check(Some(&tag), None, None)), 404_201);
    assert_eq!(status(check(Some("*"), None, None)), 404_201);
    assert_eq!(status(check(None, Some("*"), Some(7))), 409_201);
    assert_eq!(status(check(None, Some(&tag), Some(7))), 400_004);
    assert_eq!(status(check(Some("*"), Some("*"), Some(7))), 400_004);
}

#[test]
fn the_only_query_is_for_everything_of_the_kind() {
    let check = |kind: Kind, text: &str| check_query(kind, &json!({ "query": text })).is_ok();
    assert!(check(Kind::Individual, "select * from enrollments"));
    assert!(check(Kind::Individual, " SELECT *\n FROM Enrollments "));
    assert!(check(Kind::Group, "select * from enrollmentgroups"));
    for other in [
        "",
        "select * from enrollmentGroups",
        "select * from enrollments where deviceId = 'a'",
        "select registrationId from enrollments",
        "select*from enrollments",
        "select * from enrollments;",
        &format!("select * from {}enrollments", " ".repeat(QUERY_BYTES_MAX)),
    ] {
        assert!(!check(Kind::Individual, other), "{other}");
    }
    for body in [Value::Null, json!({}), json!({ "query": 1 }), json!("select * from enrollments")]
    {
        assert!(check_query(Kind::Individual, &body).is_err(), "{body}");
    }
}

#[test]
fn a_continuation_is_taken_only_as_it_was_given() {
    let longest = "a".repeat(super::super::enrollment_body::ID_BYTES_MAX);
    for id in ["a", "pump-7", &longest] {
        assert_eq!(continued(&STANDARD.encode(id)).as_deref(), Ok(id));
    }
    let past = STANDARD.encode(format!("{longest}a"));
    let not_an_id = STANDARD.encode("a/b");
    let not_text = STANDARD.encode([0xff, 0xfe]);
    for hostile in ["", "!", "YQ", &past, &not_an_id, &not_text, &"A".repeat(4_096)] {
        assert!(continued(hostile).is_err(), "{hostile}");
    }
}

#[tokio::test]
async fn a_first_group_lets_devices_in_by_the_key_that_is_printed() {
    let env = crate::test_env::env();
    let twin = json!({ "tags": { "site": "1" } });
    let (change, primary) = first_group("pumps", &twin, &env).unwrap();
    assert_eq!((change.table, change.key.as_str()), (tables::ENROLLMENT_GROUPS, "pumps"));
    let store::Write::Put(body) = &change.write else { panic!("{change:?}") };
    let source = Source::parse(Kind::Group, "pumps", body).unwrap();
    assert_eq!(source.attestation().revealed()["symmetricKey"]["primaryKey"], primary);
    assert_eq!(STANDARD.decode(&primary).unwrap().len(), 32);
    assert!(source.terms().initial_twin.is_some());
    assert!(first_group("a b", &Value::Null, &env).is_err());
}
