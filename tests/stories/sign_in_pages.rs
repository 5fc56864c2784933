//! People who sign in with a browser: by a code that a program shows them, and sent there by a client.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use testkit::{Answer, Browser, Shown, World, encoded};

const CLI: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const POWERSHELL: &str = "1950a258-227b-4e31-a9cf-717495945fc2";
const UPN: &str = "ana@plant.example";
const PASSWORD: &str = "Right-Pass-1";
const LOOPBACK: &str = "http://localhost:8400";
const VERIFIER: &str = "a-verifier-that-nobody-guesses-0123456789-abcdef";
const SCOPE: &str = "https://management.azure.com/.default offline_access openid profile";

fn person(world: &World, change: Value) -> String {
    let mut body = json!({
        "accountEnabled": true, "displayName": "Ana", "mailNickname": "ana", "userPrincipalName": UPN,
        "passwordProfile": { "forceChangePasswordNextSignIn": false, "password": PASSWORD } });
    for (key, value) in change.as_object().unwrap() {
        body[key] = value.clone();
    }
    let made = world.graph("POST", "/users", &body).expect(201).body;
    made["id"].as_str().unwrap().to_owned()
}

fn posts(world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
    let form: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", encoded(v))).collect();
    let tenant = world.setting("HUBWARD_TENANT_ID");
    let url = format!("{}/{tenant}/{path}", world.setting("HUBWARD_AUTHORITY"));
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    world.wire().send("POST", &url, &headers, form.join("&").as_bytes())
}

fn token(world: &World, fields: &[(&str, &str)]) -> Answer {
    posts(world, "oauth2/v2.0/token", fields)
}

fn text(answer: &Answer, name: &str) -> String {
    answer.body[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer:?}")).to_owned()
}

fn fault(answer: &Answer, word: &str, number: u64) {
    assert_eq!(
        (&answer.body["error"], &answer.body["error_codes"][0]),
        (&json!(word), &json!(number)),
        "{answer:?}"
    );
    assert!(!answer.tracking().is_empty());
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn browser(world: &World) -> Browser {
    Browser::new(world.wire(), &world.setting("HUBWARD_AUTHORITY"))
}

fn asks_for_device_code(world: &World, client: &str) -> (String, String) {
    let fields = [("client_id", client), ("scope", SCOPE)];
    let answer = posts(world, "oauth2/v2.0/devicecode", &fields).expect(200);
    assert_eq!((&answer.body["expires_in"], &answer.body["interval"]), (&json!(900), &json!(5)));
    assert!(text(&answer, "message").contains(&text(&answer, "user_code")));
    (text(&answer, "user_code"), text(&answer, "device_code"))
}

/// As MSAL polls: it does not say again what for.
fn polls(world: &World, client: &str, code: &str) -> Answer {
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    token(world, &[("grant_type", grant), ("client_id", client), ("device_code", code)])
}

fn refreshes(world: &World, client: &str, refresh: &str) -> Answer {
    let grant = [("grant_type", "refresh_token"), ("client_id", client)];
    token(world, &[grant.as_slice(), &[("refresh_token", refresh), ("scope", SCOPE)]].concat())
}

#[test]
fn a_device_code_waits_for_a_person_gives_tokens_once_and_outlives_a_restart() {
    let mut world = World::new();
    let ana = person(&world, json!({}));
    let (user_code, code) = asks_for_device_code(&world, CLI);
    assert_eq!(user_code.len(), 9);
    fault(&polls(&world, CLI, &code).expect(400), "authorization_pending", 70_016);
    fault(&polls(&world, CLI, &code).expect(400), "slow_down", 70_016);
    world.pass_seconds(5);
    fault(&polls(&world, CLI, &code).expect(400), "authorization_pending", 70_016);
    // Another client, another secret, no such code.
    fault(&polls(&world, POWERSHELL, &code), "bad_verification_code", 70_018);
    let other = format!("{}x", &code[..code.len() - 1]);
    fault(&polls(&world, CLI, &other), "bad_verification_code", 70_018);
    fault(&polls(&world, CLI, "BCDFGHJKL.00"), "bad_verification_code", 70_018);
    world.restart();
    browser(&world).approves("/device", &user_code.to_lowercase(), UPN, PASSWORD);
    fault(&polls(&world, POWERSHELL, &code), "bad_verification_code", 70_018);
    let given = polls(&world, CLI, &code).expect(200);
    assert_eq!(claims(&text(&given, "access_token"))["oid"], json!(ana));
    assert_eq!(claims(&text(&given, "id_token"))["aud"], CLI);
    assert!(given.body["client_info"].is_string());
    fault(&polls(&world, CLI, &code), "bad_verification_code", 70_018);
    refreshes(&world, CLI, &text(&given, "refresh_token")).expect(200);
}

#[test]
fn a_device_code_is_declined_ends_and_is_no_ones_who_guesses() {
    let world = World::new();
    person(&world, json!({}));
    let (user_code, code) = asks_for_device_code(&world, CLI);
    let mut ana = browser(&world);
    let form = ana.opens("/common/oauth2/deviceauth");
    let entered = ana.signs_in(&form, UPN, PASSWORD);
    let asked = ana.submits(&entered, &[("user_code", &user_code), ("step", "code")]);
    let asked = asked.says("Microsoft Azure CLI");
    ana.submits(&asked, &[("step", "decline")]).says("Nobody was signed in");
    fault(&polls(&world, CLI, &code).expect(400), "authorization_declined", 65_004);
    // An answer is given once.
    ana.submits(&asked, &[("step", "approve")]).says("no client waits for this code");

    let (user_code, code) = asks_for_device_code(&world, CLI);
    world.pass_seconds(900);
    fault(&polls(&world, CLI, &code).expect(400), "expired_token", 70_020);
    ana.submits(&entered, &[("user_code", &user_code), ("step", "code")])
        .says("no client waits for this code");
    // Ten wrong codes, and even the right one is not heard for a while.
    let (user_code, _) = asks_for_device_code(&world, CLI);
    for _ in 0..10 {
        ana.submits(&entered, &[("user_code", "BBBBBBBBB"), ("step", "code")]);
    }
    let barred = ana.submits(&entered, &[("user_code", &user_code), ("step", "code")]);
    barred.says("too many codes were entered");
    world.pass_seconds(3_600);
    // An application has to say that it holds no secret.
    let made = world.graph("POST", "/applications", &json!({ "displayName": "tool" })).expect(201);
    let app = text(&made, "appId");
    let fields = [("client_id", app.as_str()), ("scope", SCOPE)];
    posts(&world, "oauth2/v2.0/devicecode", &fields).expect(400);
    let path = format!("/applications/{}", text(&made, "id"));
    world.graph("PATCH", &path, &json!({ "isFallbackPublicClient": true })).expect(204);
    asks_for_device_code(&world, &app);
    let unknown = [("client_id", "00000000-0000-0000-0000-000000000001"), ("scope", SCOPE)];
    fault(&posts(&world, "oauth2/v2.0/devicecode", &unknown), "unauthorized_client", 700_016);
    let scope = [("client_id", CLI), ("scope", "https://elsewhere.example/.default")];
    fault(&posts(&world, "oauth2/v2.0/devicecode", &scope), "invalid_resource", 500_011);
}

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()))
}

/// What a client sends a browser to.
fn request(world: &World, change: &[(&str, &str)]) -> String {
    let challenge = challenge();
    let mut fields = vec![
        ("client_id", CLI),
        ("redirect_uri", LOOPBACK),
        ("response_type", "code"),
        ("scope", SCOPE),
        ("state", "a state&of=it"),
        ("nonce", "n-1"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in change {
        fields.retain(|(it, _)| it != name);
        fields.push((name, value));
    }
    let query: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", encoded(v))).collect();
    format!("/{}/oauth2/v2.0/authorize?{}", world.setting("HUBWARD_TENANT_ID"), query.join("&"))
}

/// A code for a person who signs in.
fn code(world: &World, change: &[(&str, &str)]) -> (Browser, String) {
    let mut browser = browser(world);
    let form = browser.opens(&request(world, change));
    let sent = browser.signs_in(&form, UPN, PASSWORD);
    assert_eq!(sent.answer.status, 303, "{sent:?}");
    assert_eq!(sent.parameter("state"), "a state&of=it");
    let code = sent.parameter("code");
    (browser, code)
}

fn redeems(world: &World, code: &str, change: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("client_id", CLI),
        ("code", code),
        ("redirect_uri", LOOPBACK),
        ("code_verifier", VERIFIER),
        ("scope", SCOPE),
        ("client_info", "1"),
    ];
    for (name, value) in change {
        fields.retain(|(it, _)| it != name);
        fields.push((name, value));
    }
    token(world, &fields)
}

/// Threat 9.
#[test]
fn an_authorization_code_counts_once_and_a_second_use_revokes_what_the_first_gave() {
    let world = World::new();
    let ana = person(&world, json!({}));
    let (_, code) = code(&world, &[]);
    let given = redeems(&world, &code, &[]).expect(200);
    let identity = claims(&text(&given, "id_token"));
    assert_eq!((&identity["nonce"], &identity["oid"]), (&json!("n-1"), &json!(ana)));
    let access = claims(&text(&given, "access_token"));
    assert_eq!((&access["appid"], &access["appidacr"]), (&json!(CLI), &json!("0")));
    let refresh =
        text(&refreshes(&world, CLI, &text(&given, "refresh_token")).expect(200), "refresh_token");
    fault(&redeems(&world, &code, &[]).expect(400), "invalid_grant", 54_005);
    fault(&refreshes(&world, CLI, &refresh).expect(400), "invalid_grant", 50_173);
}

/// Threat 9.
#[test]
fn a_code_is_of_its_client_its_address_its_verifier_and_its_time() {
    let world = World::new();
    let ana = person(&world, json!({}));
    let (_, code_) = code(&world, &[]);
    let check = |change: &[(&str, &str)], number: u64| {
        fault(&redeems(&world, &code_, change).expect(400), "invalid_grant", number);
    };
    check(&[("client_id", POWERSHELL)], 70_000);
    check(&[("redirect_uri", "http://localhost:8401")], 500_112);
    check(&[("redirect_uri", "http://localhost:8400/")], 500_112);
    check(&[("code_verifier", &VERIFIER.replace('a', "b"))], 501_481);
    check(&[("code_verifier", "")], 501_481);
    check(&[("code", "00")], 70_000);
    world.pass_seconds(300);
    check(&[], 70_008);
    // What ends the session ends the code: another password, and signing out.
    let (_, code_) = code(&world, &[]);
    let path = format!("/users/{ana}");
    let other = json!({ "passwordProfile": { "password": "Right-Pass-2", "forceChangePasswordNextSignIn": false } });
    world.graph("PATCH", &path, &other).expect(204);
    fault(&redeems(&world, &code_, &[]), "invalid_grant", 70_000);
    let back = json!({ "passwordProfile": { "password": PASSWORD, "forceChangePasswordNextSignIn": false } });
    world.graph("PATCH", &path, &back).expect(204);
    let (_, code_) = code(&world, &[]);
    world.graph("PATCH", &path, &json!({ "accountEnabled": false })).expect(204);
    fault(&redeems(&world, &code_, &[]), "invalid_grant", 50_057);
    let mut browser = browser(&world);
    let form = browser.opens(&request(&world, &[]));
    browser.signs_in(&form, UPN, PASSWORD).says("switched off");
}

/// Threat 9, 65.
#[test]
fn a_code_is_sent_to_a_registered_address_and_to_no_other() {
    let world = World::new();
    person(&world, json!({}));
    let mut ana = browser(&world);
    for elsewhere in [
        "http://localhost.evil.example:8400",
        "http://localhost:8400/x",
        "https://localhost:8400",
        "https://evil.example/",
        "http://localhost@evil.example",
        "javascript:alert(1)",
        "",
    ] {
        let page = ana.opens(&request(&world, &[("redirect_uri", elsewhere)]));
        assert_eq!((page.answer.status, page.location()), (400, ""), "{elsewhere}");
    }
    let unknown = [("client_id", "00000000-0000-0000-0000-000000000001")];
    assert_eq!(ana.opens(&request(&world, &unknown)).location(), "");
    for missing in ["code_challenge", "code_challenge_method"] {
        assert_eq!(ana.opens(&request(&world, &[(missing, "")])).location(), "", "{missing}");
    }
    assert_eq!(ana.opens(&request(&world, &[("code_challenge_method", "plain")])).location(), "");
    // What the client may be told goes to it.
    let told = ana.opens(&request(&world, &[("response_type", "token")]));
    assert!(told.location().starts_with("http://localhost:8400?"), "{told:?}");
    assert_eq!(told.parameter("error"), "unsupported_response_type");
    assert_eq!(told.parameter("state"), "a state&of=it");
    let told = ana
        .opens(&request(&world, &[("scope", "nothing/.default"), ("response_mode", "fragment")]));
    assert!(
        told.location().starts_with("http://localhost:8400#error=invalid_resource"),
        "{told:?}"
    );
    let told = ana.opens(&request(&world, &[("prompt", "none")]));
    assert_eq!(told.parameter("error"), "login_required");
    // And the same where somebody is signed in: a GET gives nothing.
    let form = ana.opens(&request(&world, &[]));
    ana.signs_in(&form, UPN, PASSWORD).parameter("code");
    let told = ana.opens(&request(&world, &[("prompt", "none")]));
    assert_eq!(
        (told.parameter("error").as_str(), told.find_parameter("code")),
        ("interaction_required", None)
    );
}

#[test]
fn somebody_who_is_signed_in_goes_on_without_a_password_until_signing_out() {
    let world = World::new();
    person(&world, json!({}));
    let (mut ana, _) = code(&world, &[]);
    let asked = ana.opens(&request(&world, &[])).says("Continue as ana@plant.example");
    let policy = asked.answer.header("content-security-policy").unwrap();
    assert!(
        policy.contains("form-action 'self' http://localhost:8400")
            && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    let sent = ana.submits(&asked, &[("step", "continue")]);
    redeems(&world, &sent.parameter("code"), &[]).expect(200);
    ana.opens(&request(&world, &[("prompt", "login"), ("login_hint", "x@y")])).says("x@y");
    ana.submits(&asked, &[("step", "other")]).says("Sign in");
    let posted = ana.opens(&request(&world, &[("response_mode", "form_post")]));
    let posted =
        ana.submits(&posted, &[("step", "continue")]).says("action=\"http://localhost:8400\"");
    redeems(&world, &posted.hidden()["code"], &[]).expect(200);

    let path = format!("/{}/oauth2/v2.0/logout", world.setting("HUBWARD_TENANT_ID"));
    let (_, waiting) = (0, ana.submits(&asked, &[("step", "continue")]).parameter("code"));
    let leaving = ana.opens(&format!("{path}?post_logout_redirect_uri=https://evil.example"));
    assert!(!leaving.text().contains("evil"));
    ana.opens(&request(&world, &[])).says("Continue as");
    ana.submits(&leaving, &[]).says("You are signed out");
    let form = ana.opens(&request(&world, &[]));
    assert!(!form.text().contains("Continue as"));
    fault(&redeems(&world, &waiting, &[]), "invalid_grant", 70_000);
}

/// Threat 64.
#[test]
fn a_form_of_another_site_and_one_without_its_text_change_nothing() {
    let world = World::new();
    person(&world, json!({}));
    let (mut ana, _) = code(&world, &[]);
    let asked = ana.opens(&request(&world, &[]));
    let mut fields = asked.hidden();
    fields.insert("step".into(), "continue".into());
    let path = request(&world, &[]);
    let own = world.setting("HUBWARD_AUTHORITY");
    for origin in ["https://evil.example", "null", "https://localhost.evil.example"] {
        let refused = ana.posts(&path, &fields, origin);
        assert_eq!((refused.answer.status, refused.location()), (403, ""), "{origin}");
    }
    fields.insert("forgery".into(), "x".into());
    assert_eq!(ana.posts(&path, &fields, &own).answer.status, 403);
    fields.remove("forgery");
    assert_eq!(ana.posts(&path, &fields, &own).answer.status, 403);
    for (name, value) in &ana.submits(&asked, &[("step", "continue")]).answer.headers {
        assert!(
            !name.eq_ignore_ascii_case("set-cookie") || value.contains("SameSite=Lax"),
            "{value}"
        );
    }
}

#[test]
fn a_password_that_somebody_else_has_set_is_changed_at_the_page() {
    let world = World::new();
    let profile = json!({ "passwordProfile": { "forceChangePasswordNextSignIn": true, "password": PASSWORD } });
    person(&world, profile);
    let mut ana = browser(&world);
    let form = ana.opens(&request(&world, &[]));
    let change = ana.signs_in(&form, UPN, PASSWORD).says("Choose a password");
    let with = |new: &'static str, again: &'static str| {
        [("password", PASSWORD), ("new_password", new), ("again", again)]
    };
    ana.submits(&change, &with("Right-Pass-2", "Right-Pass-3")).says("differ");
    ana.submits(&change, &with("weak", "weak")).says("complexity");
    ana.submits(&change, &with(PASSWORD, PASSWORD)).says("is the one before");
    let mut wrong = with("Right-Pass-2", "Right-Pass-2");
    wrong[0].1 = "Wrong-Pass-1";
    ana.submits(&change, &wrong).says("the password is wrong");
    let sent: Shown = ana.submits(&change, &with("Right-Pass-2", "Right-Pass-2"));
    redeems(&world, &sent.parameter("code"), &[]).expect(200);
    ana.forgets();
    let form = ana.opens(&request(&world, &[]));
    ana.signs_in(&form, UPN, "Right-Pass-2").parameter("code");
}

#[test]
fn an_application_of_the_tenant_proves_itself_where_it_is_a_server() {
    let world = World::new();
    person(&world, json!({}));
    let back = "https://app.example/back";
    let body = json!({ "displayName": "portal", "web": { "redirectUris": [back] },
        "spa": { "redirectUris": ["https://spa.example/"] } });
    let made = world.graph("POST", "/applications", &body).expect(201);
    let (app, id) = (text(&made, "appId"), text(&made, "id"));
    world.graph("POST", "/servicePrincipals", &json!({ "appId": app })).expect(201);
    let secret =
        world.graph("POST", &format!("/applications/{id}/addPassword"), &json!({})).expect(200);
    let secret = text(&secret, "secretText");
    let plain = [
        ("client_id", app.as_str()),
        ("redirect_uri", back),
        ("code_challenge", ""),
        ("code_challenge_method", ""),
    ];
    let (_, code_) = code(&world, &plain);
    let of_app = [("client_id", app.as_str()), ("redirect_uri", back), ("code_verifier", "")];
    fault(&redeems(&world, &code_, &of_app).expect(401), "invalid_client", 7_000_218);
    let wrong = [of_app.as_slice(), &[("client_secret", "wrong")]].concat();
    fault(&redeems(&world, &code_, &wrong).expect(401), "invalid_client", 7_000_215);
    let proven = [of_app.as_slice(), &[("client_secret", secret.as_str())]].concat();
    let given = redeems(&world, &code_, &proven).expect(200);
    assert_eq!(claims(&text(&given, "access_token"))["appidacr"], "1");
    // So it does each time that it comes back.
    let refresh = text(&given, "refresh_token");
    fault(&refreshes(&world, &app, &refresh).expect(401), "invalid_client", 7_000_218);
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", &app),
        ("client_secret", &secret),
        ("refresh_token", &refresh),
        ("scope", SCOPE),
    ];
    token(&world, &fields).expect(200);
    // One letter off, and a page in a browser without a challenge.
    let mut ana = browser(&world);
    for (address, challenge) in [("https://app.example/back/", ""), ("https://spa.example/", "")] {
        let change = [
            ("client_id", app.as_str()),
            ("redirect_uri", address),
            ("code_challenge", challenge),
            ("code_challenge_method", ""),
        ];
        assert_eq!(ana.opens(&request(&world, &change)).location(), "", "{address}");
    }
    let (_, code_) = code(&world, &[("client_id", &app), ("redirect_uri", "https://spa.example/")]);
    let with_secret = [
        ("client_id", app.as_str()),
        ("redirect_uri", "https://spa.example/"),
        ("client_secret", &secret),
    ];
    fault(&redeems(&world, &code_, &with_secret), "invalid_client", 700_025);
    redeems(&world, &code_, &with_secret[..2]).expect(200);
    for wrong in ["http://app.example/back", "javascript:alert(1)", "https://*.example/"] {
        let body = json!({ "web": { "redirectUris": [wrong] } });
        world.graph("PATCH", &format!("/applications/{id}"), &body).expect(400);
    }
}
