//! Conditional access: tokens that are refused by application, by network and by what was shown, before any role is
//! looked at.

use serde_json::{Value, json};
use testkit::{Answer, Browser, Identity, World, encoded};

const CLI: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const PASSWORD: &str = "Right-Pass-1";
const ARM: &str = "https://management.azure.com";
const HUBS: &str = "https://iothubs.azure.net";
/// Source: Microsoft Entra, "Application IDs of commonly used Microsoft applications".
const HUBS_APP: &str = "89d10474-74af-4874-99a7-c23c2f643083";
const POLICIES: &str = "/identity/conditionalAccess/policies";
const LOCATIONS: &str = "/identity/conditionalAccess/namedLocations";

fn person(world: &World, name: &str) -> String {
    let body = json!({
        "accountEnabled": true, "displayName": name, "mailNickname": name,
        "userPrincipalName": format!("{name}@plant.example"),
        "passwordProfile": { "forceChangePasswordNextSignIn": false, "password": PASSWORD } });
    id(&world.graph("POST", "/users", &body).expect(201))
}

fn id(answer: &Answer) -> String {
    answer.body["id"].as_str().unwrap().to_owned()
}

fn group(world: &World, name: &str, member: &str) -> String {
    let body = json!({ "displayName": name, "mailNickname": name, "mailEnabled": false, "securityEnabled": true });
    let group = id(&world.graph("POST", "/groups", &body).expect(201));
    let address = format!("https://graph.microsoft.com/v1.0/directoryObjects/{member}");
    let path = format!("/groups/{group}/members/$ref");
    world.graph("POST", &path, &json!({ "@odata.id": address })).expect(204);
    group
}

fn posts(world: &World, fields: &[(&str, &str)]) -> Answer {
    let form: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", encoded(v))).collect();
    let tenant = world.setting("HUBWARD_TENANT_ID");
    let url = format!("{}/{tenant}/oauth2/v2.0/token", world.setting("HUBWARD_AUTHORITY"));
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    world.wire().send("POST", &url, &headers, form.join("&").as_bytes())
}

fn signs_in(world: &World, name: &str, audience: &str) -> Answer {
    let username = format!("{name}@plant.example");
    let scope = format!("offline_access openid profile {audience}/.default");
    let fields = [("client_id", CLI), ("grant_type", "password"), ("username", &username)];
    posts(world, &[fields.as_slice(), &[("password", PASSWORD), ("scope", &scope)]].concat())
}

fn refreshes(world: &World, token: &str, audience: &str) -> Answer {
    let scope = format!("offline_access openid profile {audience}/.default");
    let fields = [("client_id", CLI), ("grant_type", "refresh_token"), ("refresh_token", token)];
    posts(world, &[fields.as_slice(), &[("scope", &scope)]].concat())
}

fn policy(name: &str, conditions: Value, grant: Value) -> Value {
    let mut all = json!({
        "displayName": name, "state": "enabled",
        "conditions": {
            "applications": { "includeApplications": ["All"] },
            "clientAppTypes": ["all"],
        },
        "grantControls": grant,
    });
    for (key, value) in conditions.as_object().unwrap() {
        all["conditions"][key] = value.clone();
    }
    all
}

fn block() -> Value {
    json!({ "operator": "OR", "builtInControls": ["block"] })
}

fn makes(world: &World, body: &Value) -> String {
    id(&world.graph("POST", POLICIES, body).expect(201))
}

#[track_caller]
fn blocked(answer: &Answer) {
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(
        (&answer.body["error"], &answer.body["error_codes"][0]),
        (&json!("access_denied"), &json!(53_003)),
        "{answer:?}"
    );
}

/// What a trace says of conditional access: the verdict of its step, and each policy's result.
fn step(world: &World, answer: &Answer) -> (Value, Value) {
    let told = world.explained(&answer.tracking())["decision"].clone();
    let steps = told["steps"].as_array().unwrap();
    let gates: Vec<&str> = steps.iter().map(|it| it["gate"].as_str().unwrap()).collect();
    assert_eq!(gates, ["authentication", "conditionalAccess", "policy", "access", "resource"]);
    assert_eq!(steps[0]["verdict"], "allow");
    (told.clone(), steps[1].clone())
}

/// S0-39: a policy refuses tokens by application, and its refusal is told by its id, at a gate of its own.
#[test]
fn a_policy_blocks_an_application_for_whom_it_names_and_nobody_else() {
    let world = World::new();
    let (ana, bob) = (person(&world, "ana"), person(&world, "bob"));
    let crew = group(&world, "crew", &bob);
    group(&world, "crew1", &ana);
    let users = json!({ "users": { "includeUsers": ["All"], "excludeGroups": [crew] },
        "applications": { "includeApplications": [HUBS_APP] } });
    let made = makes(&world, &policy("no hubs", users, block()));
    let refresh = signs_in(&world, "ana", ARM).expect(200).body["refresh_token"].clone();
    let refused = signs_in(&world, "ana", HUBS);
    blocked(&refused);
    assert!(
        refused.text().contains("AADSTS53003") && refused.text().contains("no hubs"),
        "{refused:?}"
    );
    signs_in(&world, "bob", HUBS).expect(200);
    // A refresh token is asked as well, and is as good as before for what is allowed.
    blocked(&refreshes(&world, refresh.as_str().unwrap(), HUBS));
    refreshes(&world, refresh.as_str().unwrap(), ARM).expect(200);

    let (trace, step) = step(&world, &refused);
    assert_eq!(
        (&trace["outcome"]["gate"], &step["verdict"]),
        (&json!("conditionalAccess"), &json!("deny"))
    );
    assert_eq!(trace["call"]["caller"]["objectId"], json!(ana));
    let finding = &step["findings"][0];
    assert_eq!(
        (&finding["id"], &finding["name"], &finding["result"]),
        (&json!(made), &json!("no hubs"), &json!("deny"))
    );
    let conditions = finding["conditions"].as_array().unwrap();
    let looked_at: Vec<&str> =
        conditions.iter().map(|it| it["expression"].as_str().unwrap()).collect();
    assert_eq!(
        looked_at,
        ["users", "applications", "locations", "clientAppTypes", "grantControls"]
    );

    // Wrong passwords are told as such: the gate behind is not asked.
    let fields =
        [("client_id", CLI), ("grant_type", "password"), ("username", "ana@plant.example")];
    let scope = format!("{HUBS}/.default");
    let wrong =
        posts(&world, &[fields.as_slice(), &[("password", "x"), ("scope", &scope)]].concat());
    assert_eq!(wrong.body["error_codes"][0], 50_126);

    // By the client that asks.
    let path = format!("{POLICIES}/{made}");
    let by_client = json!({ "conditions": { "applications": { "includeApplications": [CLI] } } });
    world.graph("PATCH", &path, &by_client).expect(204);
    blocked(&signs_in(&world, "ana", ARM));
    world
        .graph("PATCH", &path, &json!({ "state": "enabledForReportingButNotEnforced" }))
        .expect(204);
    let passed = signs_in(&world, "ana", ARM).expect(200);
    let told = world.explained(&passed.tracking())["decision"].clone();
    assert_eq!(told["steps"][1]["findings"][0]["result"], "wouldDeny");
    world.graph("PATCH", &path, &json!({ "state": "disabled" })).expect(204);
    signs_in(&world, "ana", ARM).expect(200);
    world.graph("DELETE", &path, &Value::Null).expect(204);
    world.graph("GET", &path, &Value::Null).expect(404);
}

/// S0-39: a policy refuses by network, for people and for applications.
#[test]
fn a_policy_blocks_by_network() {
    let mut world = World::new();
    person(&world, "ana");
    let here = json!({ "@odata.type": "#microsoft.graph.ipNamedLocation", "displayName": "plant", "isTrusted": true,
        "ipRanges": [{ "@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "10.1.0.0/16" }] });
    let plant = id(&world.graph("POST", LOCATIONS, &here).expect(201));
    let everywhere_but = |excluded: &str| {
        json!({ "users": { "includeUsers": ["All"] },
            "locations": { "includeLocations": ["All"], "excludeLocations": [excluded] } })
    };
    let made = makes(&world, &policy("from the plant", everywhere_but(&plant), block()));
    blocked(&signs_in(&world, "ana", ARM));
    world.restart();
    blocked(&signs_in(&world, "ana", ARM));
    let path = format!("{LOCATIONS}/{plant}");
    world.graph("DELETE", &path, &Value::Null).expect(400);
    let loopback = json!({ "ipRanges": [{ "@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "127.0.0.0/8" }] });
    world.graph("PATCH", &path, &loopback).expect(204);
    signs_in(&world, "ana", ARM).expect(200);
    let trusted = json!({ "conditions": { "locations": { "includeLocations": ["AllTrusted"], "excludeLocations": [] } } });
    world.graph("PATCH", &format!("{POLICIES}/{made}"), &trusted).expect(204);
    blocked(&signs_in(&world, "ana", ARM));
    world.graph("PATCH", &path, &json!({ "isTrusted": false })).expect(204);
    signs_in(&world, "ana", ARM).expect(200);
    let unknown = everywhere_but("00000000-0000-0000-0000-000000000001");
    world.graph("POST", POLICIES, &policy("x", unknown, block())).expect(400);
    for wrong in [json!([]), json!([{ "cidrAddress": "10.0.0.0/33" }]), json!("10.0.0.0/8")] {
        let body = json!({ "displayName": "wrong", "ipRanges": wrong });
        world.graph("POST", LOCATIONS, &body).expect(400);
    }
}

fn of_app(world: &World, who: &Identity) -> Answer {
    world.sign_in(&who.app_id, &who.secret, &format!("{ARM}/.default"))
}

/// S0-39: a policy refuses by strength: a password alone, or the secret of an application.
#[test]
fn a_policy_demands_more_than_was_shown() {
    let world = World::new();
    let ana = person(&world, "ana");
    let mfa = json!({ "operator": "OR", "builtInControls": ["mfa"] });
    let users = json!({ "users": { "includeUsers": ["All"] } });
    let made = makes(&world, &policy("two factors", users, mfa));
    let refused = signs_in(&world, "ana", ARM).expect(400);
    assert_eq!(
        (&refused.body["error"], &refused.body["error_codes"][0]),
        (&json!("interaction_required"), &json!(50_076))
    );
    let path = format!("{POLICIES}/{made}");
    let excluded = json!({ "conditions": { "users": { "excludeUsers": [ana] } } });
    world.graph("PATCH", &path, &excluded).expect(204);
    signs_in(&world, "ana", ARM).expect(200);

    let (pump, pump1) = (world.service_principal("pump"), world.service_principal("pump1"));
    let strong = json!({ "operator": "AND", "builtInControls": [],
        "authenticationStrength": { "allowedCombinations": ["x509CertificateSingleFactor", "federatedSingleFactor"] } });
    let clients = json!({ "clientApplications": { "includeServicePrincipals": [pump.object_id] },
        "users": { "includeUsers": ["None"] } });
    makes(&world, &policy("no secrets", clients, strong));
    let refused = of_app(&world, &pump);
    assert_eq!(refused.body["error_codes"][0], 50_076, "{refused:?}");
    of_app(&world, &pump1).expect(200);
}

#[test]
fn what_cannot_be_looked_at_is_no_condition_and_nobody_shuts_oneself_out() {
    let world = World::new();
    person(&world, "ana");
    let all = || json!({ "users": { "includeUsers": ["All"] } });
    let refuses = |body: &Value, at: &str| {
        let answer = world.graph("POST", POLICIES, body).expect(400);
        assert!(answer.text().contains(at), "{at}: {answer:?}");
    };
    let with = |key: &str, value: Value| {
        let mut conditions = all();
        conditions[key] = value;
        policy("x", conditions, block())
    };
    refuses(&with("platforms", json!({ "includePlatforms": ["android"] })), "conditions.platforms");
    refuses(&with("signInRiskLevels", json!(["high"])), "conditions.signInRiskLevels");
    refuses(&with("users", json!({ "includeRoles": [HUBS_APP] })), "includeRoles");
    refuses(&with("users", json!({})), "conditions.users");
    refuses(&with("users", json!({ "includeUsers": ["everybody"] })), "includeUsers");
    refuses(&with("clientAppTypes", json!(["phone"])), "clientAppTypes");
    let grant = |it: Value| policy("x", all(), it);
    refuses(&grant(Value::Null), "grantControls");
    refuses(&grant(json!({ "operator": "OR", "builtInControls": [] })), "grantControls");
    refuses(
        &grant(json!({ "operator": "OR", "builtInControls": ["block", "mfa"] })),
        "grantControls",
    );
    refuses(&grant(json!({ "operator": "XOR", "builtInControls": ["block"] })), "operator");
    let mut stateless = policy("x", all(), block());
    stateless["state"] = json!("on");
    refuses(&stateless, "state");
    let mut sessions = policy("x", all(), block());
    sessions["sessionControls"] = json!({ "signInFrequency": { "value": 1 } });
    refuses(&sessions, "sessionControls");
    // The administrator is an application, and would have shut itself out.
    let everybody = json!({ "clientApplications": { "includeServicePrincipals": ["ServicePrincipalsInMyTenant"] } });
    refuses(&policy("all", everybody.clone(), block()), "exclude the caller");
    let mut reporting = policy("all", everybody, block());
    reporting["state"] = json!("enabledForReportingButNotEnforced");
    let made = makes(&world, &reporting);
    world.graph("PATCH", &format!("{POLICIES}/{made}"), &json!({ "state": "enabled" })).expect(400);
    // What is sent back as it was read changes nothing.
    let read = world.graph("GET", &format!("{POLICIES}/{made}"), &Value::Null).expect(200).body;
    world.graph("PATCH", &format!("{POLICIES}/{made}"), &read).expect(204);
    let listed = world.graph("GET", POLICIES, &Value::Null).expect(200).body;
    assert_eq!(listed["value"].as_array().map(Vec::len), Some(1));
    // And who holds no role reads none.
    let nobody = world.service_principal("nobody");
    let token = world.token(&nobody, "https://graph.microsoft.com");
    let url = format!("{}/v1.0{POLICIES}", world.setting("HUBWARD_GRAPH"));
    world.wire().json("GET", &url, &format!("Bearer {token}"), &Value::Null).expect(403);
}

/// S0-39: a browser is told at its page, and no code is given.
#[test]
fn a_browser_gets_no_code_where_its_token_would_be_refused() {
    let world = World::new();
    person(&world, "ana");
    let browsers = json!({ "users": { "includeUsers": ["All"] }, "clientAppTypes": ["browser"] });
    makes(&world, &policy("no browsers", browsers, block()));
    signs_in(&world, "ana", ARM).expect(200);
    let body =
        json!({ "displayName": "portal", "spa": { "redirectUris": ["https://spa.example/"] } });
    let made = world.graph("POST", "/applications", &body).expect(201);
    let query = format!(
        "client_id={}&redirect_uri={}&response_type=code&scope={}&code_challenge={}&code_challenge_method=S256",
        made.body["appId"].as_str().unwrap(),
        encoded("https://spa.example/"),
        encoded(&format!("{ARM}/.default")),
        "a".repeat(43),
    );
    let origin = world.setting("HUBWARD_AUTHORITY");
    let mut ana = Browser::new(world.wire(), &origin);
    let tenant = world.setting("HUBWARD_TENANT_ID");
    let form = ana.opens(&format!("/{tenant}/oauth2/v2.0/authorize?{query}"));
    let refused = ana.signs_in(&form, "ana@plant.example", PASSWORD);
    assert_eq!((refused.answer.status, refused.location()), (400, ""), "{refused:?}");
    refused.says("AADSTS53003").says("no browsers");
}
