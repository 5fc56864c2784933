use super::*;
use crate::entra::properties::object;
use model::Scope;
use serde_json::json;
use std::collections::BTreeMap;

const FORMS: Forms = Forms {
    set: "applications",
    equals: &["id", "appId", "displayName"],
    flags: &["accountEnabled"],
    starts: &["displayName"],
    any: &["identifierUris"],
};

fn input(query: &[(&str, &str)]) -> Input {
    Input {
        params: BTreeMap::new(),
        query: query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        body: Value::Null,
        raw: bytes::Bytes::new(),
        received: None,
        scope: Scope::root(),
        path: String::new(),
        channel: model::trace::Channel::default(),
        certificates: None,
        correlation_id: String::new(),
        headers: crate::input::Headers::default(),
    }
}

fn pump() -> Object {
    object(
        json!({ "id": "1", "appId": "a-1", "displayName": "O'Brien's Pump", "accountEnabled": true,
        "identifierUris": ["api://pump", "api://pump/2"], "notes": null }),
    )
}

#[test]
fn filters_find_what_they_name_and_nothing_beside_it() {
    let check = |text: &str, expected: bool| {
        let clauses = read_filter(text, &FORMS).unwrap();
        assert_eq!(clauses.iter().all(|it| it.holds(&pump())), expected, "{text}");
    };
    check("appId eq 'a-1'", true);
    check("appId eq 'A-1'", true);
    check("appId eq 'a-10'", false);
    check("appId eq 'a-'", false);
    check("appId eq ''", false);
    check("id eq '1'", true);
    check("displayName eq 'O''Brien''s Pump'", true);
    check("displayName eq 'o''brien''s pump'", true);
    check("displayName eq 'O''Brien'", false);
    check("startswith(displayName,'O''B')", true);
    check("startsWith( displayName , 'o''b' )", true);
    check("startswith(displayName,'Brien')", false);
    check("startswith(displayName,'')", true);
    check("identifierUris/any(s:s eq 'api://pump')", true);
    check("identifierUris/any(x: x eq 'API://PUMP/2')", true);
    check("identifierUris/any(s:s eq 'api://pum')", false);
    check("id eq '1' and accountEnabled eq true", true);
    check("accountEnabled eq true", true);
    check("accountEnabled eq false", false);
    check("appId eq 'a-1' and startswith(displayName,'O')", true);
    check("appId eq 'a-1' and startswith(displayName,'P')", false);
    check("  appId  eq  'a-1'  ", true);
}

#[test]
fn a_filter_that_is_not_understood_is_refused_and_names_the_forms_that_work() {
    let check = |text: &str| {
        let refusal = read_filter(text, &FORMS).unwrap_err().to_string();
        assert!(refusal.contains("`appId eq '...'`"), "{text}: {refusal}");
        assert!(refusal.contains("`identifierUris/any(c:c eq '...')`"), "{text}: {refusal}");
    };
    for text in [
        "",
        "appId",
        "appId eq",
        "appId eq a-1",
        "appId eq 'a-1",
        "appId eq 'a-1''",
        "appId eq \"a-1\"",
        "appId ne 'a-1'",
        "appIdeq 'a-1'",
        "notes eq 'x'",
        "accountEnabled eq 'true'",
        "accountEnabled eq TRUE",
        "appId eq true",
        "appId eq 'a-1' or appId eq 'b'",
        "appId eq 'a-1' and",
        "appId eq 'a-1' appId eq 'b'",
        "appId eq 'a-1'and",
        "not(appId eq 'a-1')",
        "(appId eq 'a-1')",
        "endswith(displayName,'x')",
        "startswith(appId,'x')",
        "startswith(displayName,'x'",
        "startswith(displayName 'x')",
        "identifierUris/any(s:t eq 'x')",
        "identifierUris/all(s:s eq 'x')",
        "identifierUris/any(s:startswith(s,'x'))",
        "displayName/any(s:s eq 'x')",
        "identifierUris eq 'x'",
        "äppId eq 'x'",
        "'",
        "''''",
        "\0",
    ] {
        check(text);
    }
}

#[test]
fn a_filter_has_bounds() {
    let fits = format!("appId eq '{}'", "x".repeat(FILTER_BYTES_MAX - "appId eq ''".len()));
    assert!(read_filter(&fits, &FORMS).is_ok());
    assert!(read_filter(&format!("{fits} "), &FORMS).is_err());
    let clauses = |count: usize| vec!["id eq 'x'"; count].join(" and ");
    assert!(read_filter(&clauses(CLAUSES_MAX), &FORMS).is_ok());
    assert!(read_filter(&clauses(CLAUSES_MAX + 1), &FORMS).is_err());
    assert!(read_filter(&"'".repeat(FILTER_BYTES_MAX), &FORMS).is_err());
}

#[test]
fn options_are_checked_and_unknown_ones_refused() {
    let check = |query: &[(&str, &str)], expected: bool| {
        assert_eq!(Listing::read(&input(query), &FORMS).is_ok(), expected, "{query:?}");
    };
    check(&[], true);
    check(&[("$top", "1")], true);
    check(&[("$top", "999")], true);
    check(&[("$top", "0")], false);
    check(&[("$top", "1000")], false);
    check(&[("$top", "-1")], false);
    check(&[("$top", "99999999999999999999999")], false);
    check(&[("$orderby", "displayName")], false);
    check(&[("$search", "x")], false);
    check(&[("$expand", "owners")], false);
    check(&[("api-version", "1")], true);
    check(&[("$select", "id,displayName")], true);
    check(&[("$select", "id;displayName")], false);
    check(&[("$select", &vec!["id"; SELECT_MAX + 1].join(","))], false);
    check(&[("$filter", "nonsense")], false);
    check(&[("$filter", "")], true);
}

#[test]
fn pages_follow_each_other_without_gap_or_repeat() {
    let objects = |count: usize| {
        (0..count)
            .rev()
            .map(|it| object(json!({ "id": format!("{it:03}"), "x": it })))
            .collect::<Vec<_>>()
    };
    let page = |query: &[(&str, &str)]| {
        let listing = Listing::read(&input(query), &FORMS).unwrap();
        listing.answer("https://localhost:8443", &FORMS, objects(5)).body.unwrap()
    };
    let ids = |body: &Value| {
        body["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    let first = page(&[("$top", "2"), ("$select", "id"), ("$count", "true")]);
    assert_eq!(ids(&first), ["000", "001"]);
    assert_eq!(first["@odata.count"], 5);
    assert_eq!(first["value"][0], json!({ "id": "000" }));
    assert_eq!(
        first["@odata.nextLink"],
        "https://localhost:8443/v1.0/applications?$top=2&$select=id&$count=true&$skiptoken=001"
    );
    let second = page(&[("$top", "2"), ("$skiptoken", "001")]);
    assert_eq!(ids(&second), ["002", "003"]);
    let third = page(&[("$top", "2"), ("$skiptoken", "003")]);
    assert_eq!(ids(&third), ["004"]);
    assert_eq!(third.get("@odata.nextLink"), None);
    assert_eq!(page(&[("$top", "5")]).get("@odata.nextLink"), None);
    assert_eq!(page(&[])["@odata.context"], "https://localhost:8443/v1.0/$metadata#applications");
}
