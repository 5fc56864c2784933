//! Sign-in over the wire: who gets a token, for what, and what forged ones meet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testkit::{Answer, World};

fn subscriptions(world: &World, authorization: &str) -> Answer {
    let url = format!("{}/subscriptions?api-version=2022-12-01", world.setting("HUBWARD_ARM"));
    world.wire().json("GET", &url, authorization, &Value::Null)
}

/// Signs any claims with the server's own key, as no client could.
fn minted(world: &World, change: impl FnOnce(&mut Value)) -> String {
    let now = world.now().seconds();
    let tenant = world.setting("HUBWARD_TENANT_ID");
    let admin = world.env().facts.load().principals.values().next().unwrap().id;
    let mut claims = json!({
        "iss": format!("{}/{tenant}/v2.0", world.setting("HUBWARD_ARM")), "tid": tenant, "oid": admin,
        "aud": "https://management.azure.com", "iat": now, "nbf": now, "exp": now + 3_600,
    });
    change(&mut claims);
    world.env().signing_keys.sign(&claims).unwrap()
}

/// S2-07: a token is needed, and each way of being wrong has its own reason and a kept decision.
#[test]
fn a_call_needs_a_live_token_of_this_tenant() {
    let world = World::new();
    subscriptions(&world, &format!("Bearer {}", minted(&world, |_| {}))).expect(200);
    let mut reasons = std::collections::BTreeSet::new();
    let mut refused = |authorization: &str, code: &str| {
        let url = format!("{}/subscriptions?api-version=2022-12-01", world.setting("HUBWARD_ARM"));
        let answer = match authorization {
            "" => world.wire().send("GET", &url, &[], b"").expect(401),
            shown => subscriptions(&world, shown).expect(401),
        };
        assert_eq!(answer.code(), code, "{answer:?}");
        assert!(
            answer.header("WWW-Authenticate").unwrap().starts_with("Bearer authorization_uri=")
        );
        let reason = answer.body["error"]["message"].as_str().unwrap().to_owned();
        assert!(reasons.insert(reason.clone()), "two faults share {reason}");
        let told = world.explained(&answer.tracking());
        assert_eq!(told["decision"]["outcome"]["gate"], "authentication");
        assert!(!told.to_string().contains("eyJ"), "a token in a trace: {told}");
    };
    let none = URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "kid": "k" }).to_string());
    let mut parts: Vec<String> = minted(&world, |_| {}).split('.').map(str::to_owned).collect();
    let unsigned = format!("Bearer {none}.{}.", parts[1]);
    parts[2] = URL_SAFE_NO_PAD.encode([7; 256]);
    let forged = format!("Bearer {}", parts.join("."));
    refused("", "AuthenticationFailed");
    refused("Bearer", "InvalidAuthenticationToken");
    refused("Bearer nonsense", "InvalidAuthenticationToken");
    refused("Basic YTpi", "InvalidAuthenticationToken");
    refused("Digest x", "InvalidAuthenticationToken");
    refused(&unsigned, "InvalidAuthenticationToken");
    refused(&forged, "InvalidAuthenticationToken");
    let of = |change: fn(&mut Value)| format!("Bearer {}", minted(&world, change));
    refused(&of(|it| it["exp"] = json!(1_700_000_000)), "ExpiredAuthenticationToken");
    refused(
        &of(|it| it["tid"] = json!("22222222-0000-4000-8000-000000000002")),
        "InvalidAuthenticationTokenTenant",
    );
    refused(
        &of(|it| it["aud"] = json!("https://iothubs.azure.net")),
        "InvalidAuthenticationTokenAudience",
    );
    refused(
        &of(|it| it["oid"] = json!("22222222-0000-4000-8000-000000000002")),
        "InvalidAuthenticationToken",
    );
}

/// S2-08: tokens for `https://iothubs.azure.net` open a hub's service API, and no others do.
#[test]
fn a_hub_takes_tokens_for_its_own_audience_only() {
    let world = World::new();
    let hub = world.hub();
    let admin = world.admin();
    for (audience, is_taken) in [
        ("https://iothubs.azure.net", true),
        ("https://iothubs.azure.net/", true),
        ("https://management.azure.com", false),
        ("https://graph.microsoft.com", false),
    ] {
        let token = world.token(&admin, audience);
        let answer =
            world.hub_with(&format!("Bearer {token}"), "GET", &hub, "/devices/d1", &Value::Null);
        // The administrator owns the control plane and has no data role: what differs is the gate.
        let gate = world.explained(&answer.tracking())["decision"]["outcome"]["gate"].clone();
        assert_eq!(gate, if is_taken { "access" } else { "authentication" }, "{audience}");
    }
    world.sign_in(&admin.app_id, &admin.secret, "https://example.com/.default").expect(400);
}

#[test]
fn the_token_endpoint_says_what_is_wrong_under_the_known_numbers() {
    let world = World::new();
    let admin = world.admin();
    let scope = "https://management.core.windows.net//.default";
    let right = world.sign_in(&admin.app_id, &admin.secret, scope).expect(200);
    assert_eq!(right.body["token_type"], "Bearer");
    assert_eq!(right.header("Cache-Control"), Some("no-store"));
    let check = |app: &str, secret: &str, scope: &str, error: &str, number: u64| {
        let answer = world.sign_in(app, secret, scope);
        assert_eq!(answer.body["error"], error, "{answer:?}");
        assert_eq!(answer.body["error_codes"][0], number);
        assert!(
            answer.body["error_description"]
                .as_str()
                .unwrap()
                .starts_with(&format!("AADSTS{number}: "))
        );
        assert!(!answer.text().contains(&admin.secret), "a secret in an answer");
        world.explained(&answer.tracking());
    };
    check(&admin.app_id, "wrong", scope, "invalid_client", 7_000_215);
    check(&world.guid(), &admin.secret, scope, "unauthorized_client", 700_016);
    check("nobody", &admin.secret, scope, "unauthorized_client", 700_016);
    check(&admin.app_id, "", scope, "invalid_request", 900_144);
}

#[test]
fn a_removed_secret_and_a_switched_off_principal_sign_in_no_more() {
    let world = World::new();
    let who = world.service_principal("leaver");
    let token = world.token(&who, "https://management.azure.com");
    subscriptions(&world, &format!("Bearer {token}")).expect(200);
    world
        .graph(
            "PATCH",
            &format!("/servicePrincipals/{}", who.object_id),
            &json!({ "accountEnabled": false }),
        )
        .expect(204);
    // The token is still unexpired; it opens nothing from the next request on.
    subscriptions(&world, &format!("Bearer {token}")).expect(401);
    let scope = "https://management.azure.com/.default";
    assert_ne!(world.sign_in(&who.app_id, &who.secret, scope).status, 200);
    world
        .graph(
            "PATCH",
            &format!("/servicePrincipals/{}", who.object_id),
            &json!({ "accountEnabled": true }),
        )
        .expect(204);
    world.sign_in(&who.app_id, &who.secret, scope).expect(200);
    world.pass_seconds(3 * 365 * 86_400);
    let late = world.sign_in(&who.app_id, &who.secret, scope);
    assert_eq!(late.body["error_codes"][0], 7_000_222, "{late:?}");
}

/// what was Azure AD and what is Microsoft Entra ID are one issuer with one directory: an endpoint of each name's
/// time signs the same principal in, and their tokens open the same.
#[test]
fn azure_ad_and_microsoft_entra_id_are_one_thing() {
    let world = World::new();
    let admin = world.admin();
    let base =
        format!("{}/{}", world.setting("HUBWARD_AUTHORITY"), world.setting("HUBWARD_TENANT_ID"));
    let arm = "https://management.azure.com";
    let document =
        |path: &str| world.wire().send("GET", &format!("{base}/{path}"), &[], b"").expect(200).body;
    let entra = document("v2.0/.well-known/openid-configuration");
    assert_eq!(document(".well-known/openid-configuration"), entra);
    let signed = |path: &str, what: &str| {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&{what}",
            admin.app_id, admin.secret
        );
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let url = format!("{base}/{path}");
        let answer = world.wire().send("POST", &url, &headers, form.as_bytes()).expect(200);
        answer.body["access_token"].as_str().unwrap().to_owned()
    };
    let of_ad = signed("oauth2/token", &format!("resource={arm}"));
    let of_entra = signed("oauth2/v2.0/token", &format!("scope={arm}/.default"));
    let said = |token: &str, name: &str| {
        let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&part).unwrap()[name].clone()
    };
    for name in ["iss", "tid", "oid", "appid", "aud"] {
        assert_eq!(said(&of_ad, name), said(&of_entra, name), "{name}");
    }
    assert_eq!(said(&of_ad, "iss"), entra["issuer"]);
    for token in [of_ad, of_entra] {
        subscriptions(&world, &format!("Bearer {token}")).expect(200);
    }
}

#[test]
fn tokens_survive_a_restart_and_expire_on_time() {
    let mut world = World::new();
    let token = world.token(&world.admin(), "https://management.azure.com");
    world.restart();
    subscriptions(&world, &format!("Bearer {token}")).expect(200);
    world.pass_seconds(3_600 + 299);
    subscriptions(&world, &format!("Bearer {token}")).expect(200);
    world.pass_seconds(1);
    assert_eq!(
        subscriptions(&world, &format!("Bearer {token}")).expect(401).code(),
        "ExpiredAuthenticationToken"
    );
}

fn key_ids(world: &World) -> Vec<String> {
    let tenant = world.setting("HUBWARD_TENANT_ID");
    let url = format!("{}/{tenant}/discovery/v2.0/keys", world.setting("HUBWARD_AUTHORITY"));
    let listed = world.wire().send("GET", &url, &[], b"").expect(200).body;
    let keys = listed["keys"].as_array().unwrap();
    keys.iter().map(|it| it["kid"].as_str().unwrap().to_owned()).collect()
}

/// Which key signed a token.
fn signer_of(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_gives_way_after_30_days_and_its_tokens_live_to_their_end() {
    let mut world = World::new();
    let first = key_ids(&world);
    assert_eq!(first.len(), 1);
    world.pass_seconds(30 * 86_400 - 1);
    world.hourly_round();
    assert_eq!(key_ids(&world), first, "not before its time");
    world.pass_seconds(1);
    let old = world.token(&world.admin(), "https://management.azure.com");
    assert_eq!(signer_of(&old), first[0]);

    world.hourly_round();
    let both = key_ids(&world);
    assert_eq!((both.len(), &both[1]), (2, &first[0]));
    let new = world.token(&world.admin(), "https://management.azure.com");
    assert_eq!(signer_of(&new), both[0]);
    subscriptions(&world, &format!("Bearer {new}")).expect(200);
    world.pass_seconds(3_600 + 299);
    subscriptions(&world, &format!("Bearer {old}")).expect(200);
    world.hourly_round();
    assert_eq!(key_ids(&world), both, "what it signed may still be taken");
    world.pass_seconds(1);
    let ended = subscriptions(&world, &format!("Bearer {old}")).expect(401);
    assert_eq!(ended.code(), "ExpiredAuthenticationToken");
    world.pass_seconds(300);
    world.hourly_round();
    assert_eq!(key_ids(&world), both[..1]);

    // The keys are on the disk. The clock goes back, because the wire's certificates are checked against the
    // system's own; a key from the future signs on.
    let late = world.token(&world.admin(), "https://management.azure.com");
    world.pass_seconds(-(30 * 86_400 + 3_600 + 600));
    world.restart();
    assert_eq!(key_ids(&world), both[..1]);
    let again = world.token(&world.admin(), "https://management.azure.com");
    assert_eq!(signer_of(&late), signer_of(&again));
}
