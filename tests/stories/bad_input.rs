//! Hostile and clumsy bytes: a clear refusal in the client's own shape, a tracking id, nothing changed.

use serde_json::{Value, json};
use testkit::{Answer, World};

fn arm(
    world: &World,
    method: &str,
    path_and_query: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let token = format!("Bearer {}", world.token(&world.admin(), "https://management.azure.com"));
    let url = format!("{}{path_and_query}", world.setting("HUBWARD_ARM"));
    let mut all = vec![("Authorization", token.as_str())];
    all.extend_from_slice(headers);
    world.wire().send(method, &url, &all, body)
}

/// Every refusal has its surface's shape and an id.
fn is_well_formed(answer: &Answer) {
    assert!(!answer.tracking().is_empty(), "{answer:?}");
    let arm = answer.body.pointer("/error/code").is_some()
        && answer.body.pointer("/error/message").is_some();
    let hub = answer.body["Message"].as_str().is_some_and(|it| it.starts_with("ErrorCode:"))
        && answer.body["ExceptionMessage"]
            .as_str()
            .is_some_and(|it| it.starts_with("Tracking ID:"));
    let entra = answer.body["error_description"].is_string();
    assert!(arm || hub || entra, "{answer:?}");
}

/// Threat 50: a version that is missing, unknown or there twice, with those that are known.
#[test]
fn unknown_paths_methods_and_versions_are_told_apart() {
    let world = World::new();
    let group = world.group();
    let check = |method: &str, path: &str, status: u16, word: &str| {
        let answer = arm(&world, method, path, &[], b"").expect(status);
        if status >= 400 {
            is_well_formed(&answer);
        }
        assert!(answer.text().contains(word), "{method} {path}: {answer:?}");
    };
    check("GET", "/nowhere?api-version=2021-04-01", 404, "InvalidResourceType");
    check("POST", &format!("{group}?api-version=2021-04-01"), 405, "PUT");
    check("GET", &group, 400, "MissingApiVersionParameter");
    check("GET", &format!("{group}?api-version=yesterday"), 400, "2024-11-01");
    check(
        "GET",
        &format!("{group}?api-version=2021-04-01&api-version=2021-04-01"),
        400,
        "more than once",
    );
    check("GET", &format!("{group}?api-version=2030-01-01-preview"), 200, "westus");
    // ARM paths know no case and no empty segments.
    check(
        "GET",
        &format!(
            "{}?api-version=2021-04-01",
            group.to_uppercase().replace("/RESOURCEGROUPS", "//RESOURCEGROUPS")
        ),
        200,
        "westus",
    );
}

/// Threat 47.
#[test]
fn broken_bodies_are_refused_with_the_place_and_change_nothing() {
    let world = World::new();
    let path = format!("{}/resourceGroups/fresh?api-version=2021-04-01", world.subscription());
    let json_type = [("Content-Type", "application/json")];
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let long_number = format!("{{\"location\":{}}}", "1".repeat(10_000));
    type Case<'a> = (&'a [(&'a str, &'a str)], Vec<u8>, u16);
    let cases: Vec<Case<'_>> = vec![
        (&json_type, b"{".to_vec(), 400),
        (&json_type, b"{} {}".to_vec(), 400),
        (&json_type, b"\xff\xfe".to_vec(), 400),
        (&json_type, b"[]".to_vec(), 400),
        (&json_type, b"".to_vec(), 400),
        (&json_type, br#"{"location":"westus","location":"eastus"}"#.to_vec(), 400),
        (&json_type, deep.into_bytes(), 400),
        (&json_type, long_number.into_bytes(), 400),
        (&json_type, vec![b' '; (4 << 20) + 1], 413),
        (&[("Content-Type", "text/plain")], br#"{"location":"westus"}"#.to_vec(), 415),
        (
            &[("Content-Type", "application/json"), ("Content-Encoding", "gzip")],
            b"\x1f\x8b".to_vec(),
            415,
        ),
    ];
    for (headers, body, status) in cases {
        let answer = arm(&world, "PUT", &path, headers, &body);
        assert_eq!(
            answer.status,
            status,
            "{:?}: {answer:?}",
            String::from_utf8_lossy(&body[..body.len().min(60)])
        );
        is_well_formed(&answer);
    }
    let head = format!("{}/resourceGroups/fresh?api-version=2021-04-01", world.subscription());
    arm(&world, "HEAD", &head, &[], b"").expect(404);
}

/// Threat 46.
#[test]
fn hostile_paths_are_decoded_once_and_refused() {
    let world = World::new();
    let hub = world.hub();
    let (origin, sas) = (world.hub_origin(&hub), world.policy_sas(&hub, "iothubowner"));
    let long = "x".repeat(129);
    for path in [
        "%00",
        "a%2Fb",
        "a%252Fb%20c",
        "..%2f..",
        "%c0%ae%c0%ae",
        "%ff",
        "a%0Ab",
        &long,
        "d%23",
        "%E2%80%8B",
    ] {
        let url = format!("{origin}/devices/{path}?api-version=2021-04-12");
        let headers = [("Authorization", sas.as_str()), ("Content-Type", "application/json")];
        let answer = world.wire().send("PUT", &url, &headers, b"{}");
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        is_well_formed(&answer);
    }
    // A percent sign is a character that an id may hold; it is decoded once and stays one.
    let url = format!("{origin}/devices/{}?api-version=2021-04-12", "100%2525");
    let headers = [("Authorization", sas.as_str()), ("Content-Type", "application/json")];
    assert_eq!(
        world.wire().send("PUT", &url, &headers, b"{}").expect(200).body["deviceId"],
        "100%25"
    );
    let ids = world.hub_with(&sas, "GET", &hub, "/devices", &Value::Null).expect(200).body;
    assert_eq!(ids.as_array().unwrap().len(), 2, "{ids}");
}

/// Threat 10.
#[test]
fn huge_credentials_are_refused_before_they_are_read() {
    let world = World::new();
    let url = format!("{}/subscriptions?api-version=2022-12-01", world.setting("HUBWARD_ARM"));
    for size in [20_000, 60_000] {
        let token = format!("Bearer {}", "a".repeat(size));
        is_well_formed(&world.wire().json("GET", &url, &token, &Value::Null).expect(401));
    }
    // A mebibyte is refused while it is still being sent: the client may not even get to read the answer.
    let huge = format!("Bearer {}", "a".repeat(1 << 20));
    let answer = world.wire().try_send("GET", &url, &[("Authorization", &huge)], b"");
    assert!(answer.as_ref().map_or(true, |it| [400, 401, 431].contains(&it.status)), "{answer:?}");
    // And the server goes on.
    world.arm("GET", &world.group(), &Value::Null).expect(200);
}

#[test]
fn a_host_that_no_hub_has_is_told_so() {
    let world = World::new();
    let hub = world.hub();
    let url = world.hub_url(&hub, "/devices/d1");
    let answer = world.wire().send("GET", &url, &[("Host", "nobody.example")], b"").expect(404);
    assert_eq!(answer.code(), "IotHubNotFound");
    is_well_formed(&answer);
}

#[test]
fn policies_that_cannot_be_decided_by_are_refused_at_their_place() {
    let world = World::new();
    let check = |rule: Value, place: &str| {
        let answer = world.define_policy("bad", &rule).expect(400);
        assert_eq!(answer.code(), "InvalidPolicyRule");
        assert!(answer.text().contains(place), "{place}: {answer:?}");
    };
    let ok = json!({ "field": "type", "equals": "x" });
    check(json!({ "if": ok, "then": { "effect": "permit" } }), "policyRule.then.effect");
    check(
        json!({ "if": { "anyOf": [ok, { "field": "type", "sounds": "x" }] }, "then": { "effect": "deny" } }),
        "policyRule.if.anyOf[1].sounds",
    );
    let mut deep = ok.clone();
    for _ in 0..50 {
        deep = json!({ "not": deep });
    }
    world.define_policy("deep", &json!({ "if": deep, "then": { "effect": "deny" } })).expect(201);
    world
        .arm(
            "GET",
            &format!(
                "{}/providers/Microsoft.Authorization/policyDefinitions/bad",
                world.subscription()
            ),
            &Value::Null,
        )
        .expect(404);
}

#[test]
fn the_flat_error_form_is_served_on_request() {
    let world = World::new();
    let who = world.service_principal("nobody-special");
    let token = format!("Bearer {}", world.token(&who, "https://management.azure.com"));
    let url = format!("{}{}?api-version=2023-06-30", world.setting("HUBWARD_ARM"), world.hub());
    let answer = world
        .wire()
        .send("GET", &url, &[("Authorization", &token), ("Prefer", "error=flat")], b"")
        .expect(403);
    assert_eq!(answer.body["error"], "AuthorizationFailed");
    assert_eq!(answer.body["code"], 403);
}
