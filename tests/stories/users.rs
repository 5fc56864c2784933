//! Users over the wire: made by an Owner, signed in by name and password as MSAL does it, refused, revoked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testkit::{Answer, World};

/// The Azure CLI's own client id.
const CLI: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const ARM: &str = "https://management.azure.com";
const HUBS: &str = "https://iothubs.azure.net";
const PASSWORD: &str = "Right-Pass-1";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";

/// A new user, by object id.
fn user(world: &World, upn: &str) -> String {
    let made = made(world, upn, json!({})).expect(201).body;
    assert!(!made.to_string().contains(PASSWORD) && !made.to_string().contains("argon2"), "{made}");
    made["id"].as_str().unwrap().to_owned()
}

fn made(world: &World, upn: &str, change: Value) -> Answer {
    let mut body = json!({
        "accountEnabled": true, "displayName": upn.split('@').next(), "mailNickname": upn.split('@').next(),
        "userPrincipalName": upn,
        "passwordProfile": { "forceChangePasswordNextSignIn": false, "password": PASSWORD } });
    for (key, value) in change.as_object().unwrap() {
        body[key] = value.clone();
    }
    world.graph("POST", "/users", &body)
}

fn patch(world: &World, user: &str, body: Value) -> Answer {
    world.graph("PATCH", &format!("/users/{user}"), &body)
}

fn posts_form(world: &World, fields: &[(&str, &str)]) -> Answer {
    let encoded = |it: &str| it.replace('%', "%25").replace('&', "%26").replace(' ', "+");
    let form: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", encoded(v))).collect();
    let tenant = world.setting("HUBWARD_TENANT_ID");
    let url = format!("{}/{tenant}/oauth2/v2.0/token", world.setting("HUBWARD_AUTHORITY"));
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    world.wire().send("POST", &url, &headers, form.join("&").as_bytes())
}

/// What MSAL sends for a name and a password.
fn signs_in(world: &World, upn: &str, password: &str, audience: &str) -> Answer {
    let scope = format!("offline_access openid profile {audience}/.default");
    posts_form(
        world,
        &[
            ("client_id", CLI),
            ("grant_type", "password"),
            ("username", upn),
            ("password", password),
            ("scope", &scope),
            ("client_info", "1"),
        ],
    )
}

fn refreshes(world: &World, token: &str, audience: &str) -> Answer {
    refreshes_as(world, CLI, token, audience)
}

fn refreshes_as(world: &World, client: &str, token: &str, audience: &str) -> Answer {
    let scope = format!("offline_access openid profile {audience}/.default");
    posts_form(
        world,
        &[
            ("client_id", client),
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("scope", &scope),
            ("client_info", "1"),
        ],
    )
}

fn text<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.body[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer:?}"))
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A token of a user, as an `Authorization`.
fn bearer(world: &World, upn: &str, audience: &str) -> String {
    let answer = signs_in(world, upn, PASSWORD, audience).expect(200);
    format!("Bearer {}", text(&answer, "access_token"))
}

fn subscriptions(world: &World, authorization: &str) -> Answer {
    let url = format!("{}/subscriptions?api-version=2022-12-01", world.setting("HUBWARD_ARM"));
    world.wire().json("GET", &url, authorization, &Value::Null)
}

fn assign(world: &World, principal: &str, kind: &str, role: &str, scope: &str) {
    let body = json!({ "properties": {
        "roleDefinitionId": format!("{}/providers/Microsoft.Authorization/roleDefinitions/{role}", world.subscription()),
        "principalId": principal, "principalType": kind } });
    let name = world.guid();
    let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
    let answer = world.arm("PUT", &path, &body).expect(201);
    assert_eq!(answer.body["properties"]["principalType"], kind);
}

fn group(world: &World, name: &str, member: &str) -> String {
    let body = json!({ "displayName": name, "mailNickname": name, "mailEnabled": false, "securityEnabled": true });
    let made = world.graph("POST", "/groups", &body).expect(201).body;
    let id = made["id"].as_str().unwrap().to_owned();
    let address = format!("https://graph.microsoft.com/v1.0/directoryObjects/{member}");
    let path = format!("/groups/{id}/members/$ref");
    world.graph("POST", &path, &json!({ "@odata.id": address })).expect(204);
    id
}

fn puts(world: &World, authorization: &str, device: &str) -> Answer {
    let body = json!({ "deviceId": device });
    world.hub_with(authorization, "PUT", &world.hub(), &format!("/devices/{device}"), &body)
}

fn fault(answer: &Answer, number: u64) {
    assert_eq!(answer.body["error_codes"][0], number, "{answer:?}");
}

#[test]
fn a_person_signs_in_by_name_and_password_as_msal_does_it() {
    let world = World::new();
    let ana = user(&world, "ana@plant.example");
    let realm = |name: &str| {
        let url = format!(
            "{}/common/userrealm/{name}?api-version=1.0",
            world.setting("HUBWARD_AUTHORITY")
        );
        world.wire().send("GET", &url, &[], b"").expect(200).body
    };
    assert_eq!(realm("ana@plant.example")["account_type"], "Managed");
    assert_eq!(realm("nobody@plant.example"), realm("ana@plant.example"));

    let answer =
        signs_in(&world, "Ana@Plant.example", PASSWORD, "https://management.core.windows.net/");
    let answer = answer.expect(200);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert_eq!(answer.body["token_type"], "Bearer");
    let scope = text(&answer, "scope");
    assert!(scope.contains("https://management.core.windows.net//.default"), "{scope}");
    let access = claims(text(&answer, "access_token"));
    for (name, expected) in [
        ("oid", ana.as_str()),
        ("upn", "ana@plant.example"),
        ("preferred_username", "ana@plant.example"),
        ("name", "ana"),
        ("scp", "user_impersonation"),
        ("appid", CLI),
        ("aud", "https://management.core.windows.net/"),
    ] {
        assert_eq!(access[name], expected, "{name} in {access}");
    }
    assert!(access.get("idtyp").is_none(), "{access}");
    let identity = claims(text(&answer, "id_token"));
    assert_eq!((&identity["aud"], &identity["oid"]), (&json!(CLI), &json!(ana)));
    assert!(identity.get("scp").is_none(), "{identity}");
    let account = URL_SAFE_NO_PAD.decode(text(&answer, "client_info")).unwrap();
    let account: Value = serde_json::from_slice(&account).unwrap();
    assert_eq!(account, json!({ "uid": ana, "utid": world.setting("HUBWARD_TENANT_ID") }));
    subscriptions(&world, &format!("Bearer {}", text(&answer, "access_token"))).expect(200);

    // Who is told nothing of coming back or of who it is gets neither.
    let scope = format!("{ARM}/.default");
    let plain = posts_form(
        &world,
        &[
            ("client_id", CLI),
            ("grant_type", "password"),
            ("username", "ana@plant.example"),
            ("password", PASSWORD),
            ("scope", &scope),
        ],
    );
    let plain = plain.expect(200);
    assert!(plain.body.get("refresh_token").is_none() && plain.body.get("id_token").is_none());

    let graph = signs_in(&world, "ana@plant.example", PASSWORD, "https://graph.microsoft.com");
    let url = format!("{}/v1.0/me", world.setting("HUBWARD_GRAPH"));
    let token = format!("Bearer {}", text(&graph, "access_token"));
    let me = world.wire().json("GET", &url, &token, &Value::Null).expect(200);
    assert_eq!(me.body["userPrincipalName"], "ana@plant.example");
    world.graph("GET", "/me", &Value::Null).expect(400);
}

#[test]
fn each_way_of_not_signing_in_has_its_number_and_names_are_not_told() {
    let world = World::new();
    let ana = user(&world, "ana@plant.example");
    let wrong = signs_in(&world, "ana@plant.example", "right-Pass-1", ARM).expect(400);
    fault(&wrong, 50_126);
    assert_eq!(wrong.body["error"], "invalid_grant");
    let unknown = signs_in(&world, "bob@plant.example", PASSWORD, ARM).expect(400);
    fault(&unknown, 50_126);
    let said =
        |it: &Answer| text(it, "error_description").split("Trace").next().unwrap().to_owned();
    assert_eq!(said(&wrong), said(&unknown));
    // Who may read decisions sees which it was.
    let reason =
        |it: &Answer| world.explained(&it.tracking())["decision"]["steps"][0]["reason"].clone();
    assert_eq!(reason(&wrong), "the password is wrong");
    assert_eq!(reason(&unknown), "no user has this name");
    for kept in [world.explained(&wrong.tracking()), world.explained(&unknown.tracking())] {
        assert!(!kept.to_string().contains("ight-Pass-1"), "a password in a trace: {kept}");
    }
    fault(&signs_in(&world, "ana@plant.example", "", ARM).expect(400), 900_144);
    fault(&signs_in(&world, "ana@plant.example", &"Aa1-".repeat(65), ARM).expect(400), 50_126);
    fault(
        &signs_in(&world, "ana@plant.example", PASSWORD, "https://example.com").expect(400),
        500_011,
    );

    let scope = format!("{ARM}/.default");
    let fields = |client: &'static str, more: &'static [(&'static str, &'static str)]| {
        let mut all = vec![
            ("client_id", client),
            ("grant_type", "password"),
            ("username", "ana@plant.example"),
            ("password", PASSWORD),
        ];
        all.extend(more);
        all
    };
    let mut stranger = fields("11111111-1111-4111-8111-111111111111", &[]);
    stranger.push(("scope", &scope));
    fault(&posts_form(&world, &stranger).expect(400), 700_016);
    let mut both = fields(CLI, &[("client_secret", "x")]);
    both.push(("scope", &scope));
    assert_ne!(posts_form(&world, &both).status, 200);

    patch(&world, &ana, json!({ "passwordProfile": { "forceChangePasswordNextSignIn": true } }))
        .expect(204);
    fault(&signs_in(&world, "ana@plant.example", PASSWORD, ARM).expect(400), 50_055);
    fault(&signs_in(&world, "ana@plant.example", "Wrong-Pass-1", ARM).expect(400), 50_126);
}

#[test]
fn ten_wrong_passwords_in_a_row_bar_a_user_for_a_minute_and_nobody_else() {
    let world = World::new();
    user(&world, "ana@plant.example");
    user(&world, "bob@plant.example");
    for _ in 0..9 {
        fault(&signs_in(&world, "ana@plant.example", "Wrong-Pass-1", ARM), 50_126);
    }
    // A right one forgives the nine before it.
    signs_in(&world, "ana@plant.example", PASSWORD, ARM).expect(200);
    for _ in 0..10 {
        fault(&signs_in(&world, "ana@plant.example", "Wrong-Pass-1", ARM), 50_126);
    }
    let barred = signs_in(&world, "ana@plant.example", PASSWORD, ARM).expect(400);
    fault(&barred, 50_053);
    assert!(text(&barred, "error_description").contains("sign in again after 2026-11-22T08:01:00"));
    signs_in(&world, "bob@plant.example", PASSWORD, ARM).expect(200);
    world.pass_seconds(59);
    fault(&signs_in(&world, "ana@plant.example", PASSWORD, ARM), 50_053);
    world.pass_seconds(1);
    signs_in(&world, "ana@plant.example", PASSWORD, ARM).expect(200);
}

#[test]
fn a_refresh_token_is_another_with_each_use_and_a_stolen_one_ends_the_sign_in() {
    let mut world = World::new();
    user(&world, "ana@plant.example");
    let first = signs_in(&world, "ana@plant.example", PASSWORD, ARM).expect(200);
    let first = text(&first, "refresh_token").to_owned();
    world.restart();
    let hubs = refreshes(&world, &first, HUBS).expect(200);
    assert_eq!(claims(text(&hubs, "access_token"))["aud"], HUBS);
    let second = text(&hubs, "refresh_token").to_owned();
    assert_ne!(first, second);
    // Another process of the same client was a moment late: it gets a token, and no other refresh token.
    world.pass_seconds(59);
    let late = refreshes(&world, &first, ARM).expect(200);
    assert!(late.body.get("refresh_token").is_none(), "{late:?}");
    let third = text(&refreshes(&world, &second, ARM).expect(200), "refresh_token").to_owned();
    fault(&refreshes(&world, &first, ARM).expect(400), 50_173);
    refreshes(&world, &third, ARM).expect(200);
    world.pass_seconds(60);
    let stolen = refreshes(&world, &third, ARM).expect(400);
    fault(&stolen, 50_173);
    let told = world.explained(&stolen.tracking());
    assert!(told.to_string().contains("was used before; its sign-in is over"), "{told}");
    fault(&refreshes(&world, &third, ARM).expect(400), 50_173);

    let again = signs_in(&world, "ana@plant.example", PASSWORD, ARM).expect(200);
    let token = text(&again, "refresh_token");
    for wrong in ["x", &token[..token.len() - 1], &token.replace('.', "-"), &format!("{token}0")] {
        fault(&refreshes(&world, wrong, ARM).expect(400), 50_173);
    }
    let other_client = "1950a258-227b-4e31-a9cf-717495945fc2";
    fault(&refreshes_as(&world, other_client, token, ARM).expect(400), 50_173);
    fault(&refreshes(&world, "", ARM).expect(400), 900_144);
    refreshes(&world, token, ARM).expect(200);
}

#[test]
fn a_sign_in_ends_unused_by_revocation_and_with_its_password() {
    let world = World::new();
    let ana = user(&world, "ana@plant.example");
    let sign_in = |password: &str| {
        let answer = signs_in(&world, "ana@plant.example", password, ARM).expect(200);
        text(&answer, "refresh_token").to_owned()
    };
    let (unused, revoked) = (sign_in(PASSWORD), sign_in(PASSWORD));
    world.pass_seconds(14 * 86_400 - 1);
    let revoked = text(&refreshes(&world, &revoked, ARM).expect(200), "refresh_token").to_owned();
    world.pass_seconds(1);
    fault(&refreshes(&world, &unused, ARM).expect(400), 700_082);
    let path = format!("/users/{ana}/revokeSignInSessions");
    world.graph("POST", &path, &Value::Null).expect(200);
    fault(&refreshes(&world, &revoked, ARM).expect(400), 50_173);

    let before = sign_in(PASSWORD);
    patch(&world, &ana, json!({ "displayName": "Ana" })).expect(204);
    let before = text(&refreshes(&world, &before, ARM).expect(200), "refresh_token").to_owned();
    let profile = json!({ "passwordProfile": { "password": "Other-Pass-2" } });
    patch(&world, "ana@plant.example", profile).expect(204);
    fault(&refreshes(&world, &before, ARM).expect(400), 50_173);
    fault(&signs_in(&world, "ana@plant.example", PASSWORD, ARM).expect(400), 50_126);
    sign_in("Other-Pass-2");
}

#[test]
fn a_user_who_is_switched_off_or_deleted_gets_no_token_and_no_call() {
    let world = World::new();
    let ana = user(&world, "ana@plant.example");
    let signed_in = signs_in(&world, "ana@plant.example", PASSWORD, ARM).expect(200);
    let token = format!("Bearer {}", text(&signed_in, "access_token"));
    subscriptions(&world, &token).expect(200);
    patch(&world, &ana, json!({ "accountEnabled": false })).expect(204);
    let refused = subscriptions(&world, &token).expect(401);
    assert!(refused.text().contains("is switched off"), "{refused:?}");
    let off = signs_in(&world, "ana@plant.example", PASSWORD, ARM).expect(400);
    fault(&off, 50_057);
    assert!(text(&off, "error_description").contains("switched off"));
    // Who does not know the password is not told.
    fault(&signs_in(&world, "ana@plant.example", "Wrong-Pass-1", ARM).expect(400), 50_126);
    fault(&refreshes(&world, text(&signed_in, "refresh_token"), ARM).expect(400), 50_057);
    patch(&world, &ana, json!({ "accountEnabled": true })).expect(204);
    subscriptions(&world, &token).expect(200);

    world.graph("DELETE", "/users/ana@plant.example", &Value::Null).expect(204);
    assert!(subscriptions(&world, &token).expect(401).text().contains("does not exist any more"));
    fault(&signs_in(&world, "ana@plant.example", PASSWORD, ARM).expect(400), 50_126);
    fault(&refreshes(&world, text(&signed_in, "refresh_token"), ARM).expect(400), 50_173);
    // One of the same name is another: what the first held it does not hold.
    assert_ne!(user(&world, "ana@plant.example"), ana);
    subscriptions(&world, &token).expect(401);
}

/// S2-03: a user holds a role itself, and another only through a group in a group, as applications do.
#[test]
fn users_hold_roles_themselves_and_through_nested_groups() {
    let world = World::new();
    let (ana, bob) = (user(&world, "ana@plant.example"), user(&world, "bob@plant.example"));
    let ana_token = bearer(&world, "ana@plant.example", HUBS);
    let bob_token = bearer(&world, "bob@plant.example", HUBS);
    let refused = puts(&world, &ana_token, "device1").expect(401);
    assert!(refused.text().contains("ana@plant.example"), "{refused:?}");
    let told = world.explained(&refused.tracking());
    assert_eq!(told["decision"]["call"]["caller"]["kind"], "User", "{told}");

    assign(&world, &ana, "User", DATA_CONTRIBUTOR, &world.hub());
    puts(&world, &ana_token, "device1").expect(200);
    puts(&world, &bob_token, "device2").expect(401);
    let inner = group(&world, "inner", &bob);
    let outer = group(&world, "outer", &inner);
    assign(&world, &outer, "Group", DATA_CONTRIBUTOR, &world.hub());
    puts(&world, &bob_token, "device2").expect(200);
    let pump = world.service_principal("pump");
    world.puts_device(&pump, &world.hub(), "device3").expect(401);
    world.assign(&pump, DATA_CONTRIBUTOR, &world.hub()).expect(201);
    world.puts_device(&pump, &world.hub(), "device3").expect(200);

    let ids = |answer: Answer| -> Vec<String> {
        let all = answer.expect(200).body["value"].as_array().unwrap().clone();
        let id = |it: &Value| it.as_str().or_else(|| it["id"].as_str()).unwrap().to_owned();
        all.iter().map(id).collect()
    };
    let get = |path: &str| ids(world.graph("GET", path, &Value::Null));
    assert_eq!(get(&format!("/groups/{inner}/members")), [bob.as_str()]);
    assert_eq!(get("/users/bob@plant.example/memberOf"), [inner.as_str()]);
    let both = world.graph("POST", "/users/bob@plant.example/getMemberGroups", &json!({}));
    assert_eq!(ids(both), [inner.clone(), outer]);
    let looked_up = json!({ "ids": [ana, inner], "types": ["user"] });
    assert_eq!(ids(world.graph("POST", "/directoryObjects/getByIds", &looked_up)), [ana.as_str()]);
    let found = "/users?$filter=userPrincipalName%20eq%20'ANA@plant.example'";
    assert_eq!(get(found), [ana.as_str()]);

    let path = format!("/groups/{inner}/members/{bob}/$ref");
    world.graph("DELETE", &path, &Value::Null).expect(204);
    puts(&world, &bob_token, "device4").expect(401);
}

/// S0-33 in part: a rule tells users from service principals.
#[test]
fn a_user_can_be_denied_by_name_and_by_a_policy_that_looks_at_the_kind_of_caller() {
    let world = World::new();
    let ana = user(&world, "ana@plant.example");
    let pump = world.service_principal("pump");
    assign(&world, &ana, "User", DATA_CONTRIBUTOR, &world.hub());
    world.assign(&pump, DATA_CONTRIBUTOR, &world.hub()).expect(201);
    let token = bearer(&world, "ana@plant.example", HUBS);
    let rule = json!({
        "if": { "allOf": [
            { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
            { "field": "identity.principalType", "equals": "User" }] },
        "then": { "effect": "deny" } });
    puts(&world, &token, "device1").expect(200);
    world.define_policy("no-people", &rule).expect(201);
    world.assign_policy("no-people", &world.hub()).expect(201);
    let refused = puts(&world, &token, "device2").expect(403);
    assert!(refused.text().contains("no-people"), "{refused:?}");
    world.puts_device(&pump, &world.hub(), "device2").expect(200);
    let gone =
        format!("{}/providers/Microsoft.Authorization/policyAssignments/no-people", world.hub());
    world.arm("DELETE", &gone, &Value::Null).expect(200);
    puts(&world, &token, "device4").expect(200);

    let denial = json!({ "properties": {
        "denyAssignmentName": "not-ana",
        "permissions": [{ "actions": [], "notActions": [],
            "dataActions": ["Microsoft.Devices/IotHubs/devices/write"], "notDataActions": [] }],
        "principals": [{ "id": ana, "type": "User" }] } });
    let path = format!(
        "{}/providers/Microsoft.Authorization/denyAssignments/{}",
        world.hub(),
        world.guid()
    );
    world.arm("PUT", &path, &denial).expect(201);
    let refused = puts(&world, &token, "device3").expect(401);
    let told = world.explained(&refused.tracking());
    assert!(told.to_string().contains("not-ana"), "{told}");
    world.puts_device(&pump, &world.hub(), "device3").expect(200);
}

#[test]
fn what_cannot_be_a_user_is_refused_and_only_owners_make_one() {
    let world = World::new();
    let refused = |answer: Answer, words: &str| {
        let answer = answer.expect(400);
        assert!(answer.body["error"]["message"].as_str().unwrap().contains(words), "{answer:?}");
    };
    let create = |change: Value| made(&world, "eve@plant.example", change);
    refused(create(json!({ "userPrincipalName": "eve" })), "userPrincipalName");
    refused(create(json!({ "displayName": "" })), "displayName");
    refused(create(json!({ "mailNickname": "a b" })), "mailNickname");
    refused(create(json!({ "accountEnabled": "yes" })), "accountEnabled");
    refused(create(json!({ "passwordProfile": { "password": "short" } })), "complexity");
    refused(create(json!({ "passwordProfile": { "password": "Eve-1234567" } })), "complexity");
    refused(create(json!({ "passwordProfile": {} })), "passwordProfile.password");
    refused(create(json!({ "passwordProfile": "x" })), "passwordProfile");
    refused(create(json!({ "id": world.guid() })), "id");
    refused(create(json!({ "colour": "red" })), "colour");
    user(&world, "eve@plant.example");
    refused(made(&world, "EVE@plant.example", json!({})), "already exists");
    let bob = user(&world, "bob@plant.example");
    let taken = json!({ "userPrincipalName": "eve@plant.example" });
    refused(patch(&world, &bob, taken), "already exists");
    patch(&world, &bob, json!({ "userPrincipalName": "rob@plant.example" })).expect(204);
    world.graph("GET", "/users/bob@plant.example", &Value::Null).expect(404);
    let shown = world.graph("GET", "/users/rob@plant.example", &Value::Null).expect(200).body;
    assert_eq!(shown["id"], json!(bob));
    assert!(!shown.to_string().contains("argon2"), "{shown}");
    signs_in(&world, "rob@plant.example", PASSWORD, ARM).expect(200);

    let token = bearer(&world, "rob@plant.example", "https://graph.microsoft.com");
    let call = |method: &str, path: &str, body: &Value| {
        let url = format!("{}/v1.0{path}", world.setting("HUBWARD_GRAPH"));
        world.wire().json(method, &url, &token, body)
    };
    let own = format!("/users/{bob}");
    call("GET", &own, &Value::Null).expect(200);
    call("PATCH", &own, &json!({ "displayName": "Boss" })).expect(403);
    call("POST", "/users", &json!({})).expect(403);
    call("DELETE", "/users/eve@plant.example", &Value::Null).expect(403);
    call("POST", "/users/eve@plant.example/revokeSignInSessions", &Value::Null).expect(403);
}
