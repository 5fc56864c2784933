//! The console over the wire: who sees what, what a browser may do with a page, and what other sites cannot.

use serde_json::{Value, json};
use testkit::{Answer, World};

/// A browser with its cookies, without scripts.
struct Browser<'a> {
    world: &'a World,
    cookie: String,
}

impl<'a> Browser<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, cookie: String::new() }
    }

    fn signed_in(world: &'a World, user: &str, password: &str) -> Self {
        let mut browser = testkit::Browser::new(world.wire(), &world.setting("HUBWARD_ARM"));
        let authority = browser.opens("/console").location().to_owned();
        let form = browser.opens(&authority);
        let given = browser.signs_in(&form, user, password).location().to_owned();
        let back = browser.opens(&given);
        assert_eq!((back.answer.status, back.location()), (303, "/console"), "{back:?}");
        let cookie = back.answer.header("set-cookie").unwrap();
        for rule in ["__Host-", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
            assert!(cookie.contains(rule), "{rule} in {cookie}");
        }
        Self { world, cookie: browser.cookies() }
    }

    fn administrator(world: &'a World) -> Self {
        let password = world.setting("HUBWARD_ADMIN_PASSWORD");
        Self::signed_in(world, &world.setting("HUBWARD_ADMIN_USER"), &password)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.world.setting("HUBWARD_ARM"))
    }

    fn opens(&self, path: &str) -> Answer {
        self.world.wire().send("GET", &self.url(path), &[("Cookie", &self.cookie)], b"")
    }

    /// Sends a form as a page of the console would, but for what `instead` says.
    fn sends(&self, path: &str, form: &str, instead: &[(&str, &str)]) -> Answer {
        let origin = self.world.setting("HUBWARD_ARM");
        let mut headers = vec![
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Cookie", self.cookie.as_str()),
        ];
        match instead {
            [] => headers.push(("Origin", &origin)),
            _ => headers.extend_from_slice(instead),
        }
        self.world.wire().send("POST", &self.url(path), &headers, form.as_bytes())
    }

    /// What a form of a page carries.
    fn forgery(&self, path: &str) -> String {
        let page = self.opens(path).expect(200).body.as_str().unwrap().to_owned();
        let (_, behind) = page.split_once("name=\"forgery\" value=\"").unwrap();
        behind.split('"').next().unwrap().to_owned()
    }
}

fn text(answer: &Answer) -> &str {
    answer.body.as_str().unwrap()
}

/// A user of the directory, with a password.
fn person(world: &World, upn: &str) -> String {
    let body = json!({
        "accountEnabled": true, "displayName": upn, "mailNickname": "someone", "userPrincipalName": upn,
        "passwordProfile": { "password": "Right-Pass-1", "forceChangePasswordNextSignIn": false },
    });
    let made = world.graph("POST", "/users", &body).expect(201).body;
    made["id"].as_str().unwrap().to_owned()
}

/// Threats 63 and 65: strict rules, no frame, nothing kept, and every page leads to signing in first.
#[test]
fn pages_are_whole_without_scripts_and_under_strict_rules() {
    let world = World::new();
    let nobody = Browser::new(&world);
    let sent_away = nobody.opens("/console/pulse?x=1").expect(303);
    let authority = format!("/{}/oauth2/v2.0/authorize?", world.setting("HUBWARD_TENANT_ID"));
    assert!(sent_away.header("location").unwrap().starts_with(&authority), "{sent_away:?}");
    assert_eq!(nobody.opens("/").expect(303).header("location"), Some("/console"));
    let admin = Browser::administrator(&world);
    for path in ["/console", "/console/pulse", "/console/refusals", "/console/ask"] {
        let page = admin.opens(path).expect(200);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert!(!text(&page).contains("<script>") && !text(&page).contains("style="), "{path}");
    }
    assert!(text(&admin.opens("/console")).contains(&world.setting("HUBWARD_HUB")));
    let style = admin.opens("/console/files/console.css").expect(200);
    let etag = style.header("etag").unwrap().to_owned();
    let known = [("If-None-Match", etag.as_str())];
    world.wire().send("GET", &admin.url("/console/files/console.css"), &known, b"").expect(304);
    admin.opens("/console/files/../../etc/passwd").expect(404);
    admin.opens("/console/nowhere").expect(404);
    world
        .wire()
        .send("DELETE", &admin.url("/console"), &[("Cookie", &admin.cookie)], b"")
        .expect(400);
}

/// Threat 64: a form from another site, of another session or without its text changes nothing.
#[test]
fn forms_of_other_sites_change_nothing() {
    let world = World::new();
    let admin = Browser::administrator(&world);
    let (own, other) =
        (admin.forgery("/console"), Browser::administrator(&world).forgery("/console"));
    let origin = world.setting("HUBWARD_ARM");
    for (forgery, headers) in [
        (&own, [("Origin", "https://evil.example")].as_slice()),
        (&own, &[("Sec-Fetch-Site", "cross-site"), ("Origin", &origin)]),
        (&own, &[("Sec-Fetch-Site", "none")]),
        (&own, &[("X-Nobody", "says")]),
        (&other, &[]),
        (&String::new(), &[]),
    ] {
        admin.sends("/console/sign-out", &format!("forgery={forgery}"), headers).expect(403);
    }
    admin.opens("/console").expect(200);
    admin.opens("/console/sign-out").expect(404);
    let out = admin.sends("/console/sign-out", &format!("forgery={own}"), &[]).expect(303);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    admin.opens("/console").expect(303);
}

/// Threats 9 and 65: signing in leads to a page of the console alone, and a code counts only in the browser that asked for
/// it, once.
#[test]
fn signing_in_leads_to_no_other_site_and_takes_no_code_of_others() {
    let world = World::new();
    let (user, password) =
        (world.setting("HUBWARD_ADMIN_USER"), world.setting("HUBWARD_ADMIN_PASSWORD"));
    let fresh = || testkit::Browser::new(world.wire(), &world.setting("HUBWARD_ARM"));
    let begun = |browser: &testkit::Browser| {
        let all = browser.cookies();
        let found = all.split("; ").find_map(|it| it.strip_prefix("__Host-hubward-begun="));
        found.unwrap().to_owned()
    };
    for elsewhere in
        ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2Fconsole%5C%5Cevil.example"]
    {
        let mut browser = fresh();
        let authority = browser.opens("/console/pulse").location().to_owned();
        let own = begun(&browser);
        let (ours, _) = own.rsplit_once('.').unwrap();
        browser.shows("__Host-hubward-begun", &format!("{ours}.{elsewhere}"));
        let form = browser.opens(&authority);
        let given = browser.signs_in(&form, &user, &password).location().to_owned();
        assert_eq!(browser.opens(&given).location(), "/console", "{elsewhere}");
    }

    let mut browser = fresh();
    let authority = browser.opens("/console/pulse").location().to_owned();
    let form = browser.opens(&authority);
    let wrong = browser.signs_in(&form, &user, "wrong-Password-1");
    assert_eq!(wrong.answer.status, 400);
    let form = wrong.says("hubward explain");
    let given = browser.signs_in(&form, &user, &password).location().to_owned();
    // In a browser that never asked, it begins anew; likewise with another state.
    for other in [given.as_str(), "/console/signed-in?code=x&state=y", "/console/signed-in"] {
        let led = fresh().opens(other);
        assert!(led.location().contains("/oauth2/v2.0/authorize?"), "{other}: {led:?}");
        assert!(!led.answer.headers.iter().any(|(_, it)| it.starts_with("__Host-hubward=")));
    }
    let own = begun(&browser);
    assert_eq!(browser.opens(&given).location(), "/console/pulse");
    // A second time it ends what it gave.
    let mut second = fresh();
    second.shows("__Host-hubward-begun", &own);
    assert!(second.opens(&given).says("Refused").answer.status >= 400);
}

/// A session ends when it is not used, with its person's account and with the server; others go on.
#[test]
fn a_session_ends_unused_with_its_person_and_with_the_server() {
    let mut world = World::new();
    let id = person(&world, "ana@plant.example");
    let ana = Browser::signed_in(&world, "ana@plant.example", "Right-Pass-1").cookie;
    let admin = Browser::administrator(&world).cookie;
    let status = |world: &World, cookie: &str| {
        Browser { world, cookie: cookie.to_owned() }.opens("/console").status
    };
    assert_eq!((status(&world, &ana), status(&world, &admin)), (200, 200));
    world.graph("PATCH", &format!("/users/{id}"), &json!({ "accountEnabled": false })).expect(204);
    assert_eq!((status(&world, &ana), status(&world, &admin)), (303, 200));
    world.pass_seconds(12 * 3_600 - 1);
    assert_eq!(status(&world, &admin), 200);
    world.pass_seconds(12 * 3_600 + 1);
    assert_eq!(status(&world, &admin), 303);
    let admin = Browser::administrator(&world).cookie;
    world.restart();
    assert_eq!(status(&world, &admin), 303);
}

/// What a page shows, its person could have asked the API for, and nothing else.
#[test]
fn a_page_shows_what_its_person_may_read_and_names_the_decision_where_it_may_not() {
    let world = World::new();
    let id = person(&world, "ana@plant.example");
    let hub = world.hub();
    let refused =
        world.arm_as(&world.service_principal("line-1"), "GET", &hub, &Value::Null).expect(403);
    let page = format!("/console/decisions/{}", refused.tracking());
    let ana = Browser::signed_in(&world, "ana@plant.example", "Right-Pass-1");
    assert!(text(&ana.opens("/console").expect(200)).contains("You can read no subscription"));
    for closed in ["/console/pulse", &page, &format!("/console/at{hub}")] {
        let shown = ana.opens(closed).expect(403);
        assert!(text(&shown).contains("/console/decisions/"), "{closed}: {}", text(&shown));
        assert!(!text(&shown).contains("line-1"), "{closed}");
    }
    let body = json!({ "properties": {
        "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "principalId": id, "principalType": "User",
    } });
    let role = format!("{hub}/providers/Microsoft.Authorization/roleAssignments/{}", world.guid());
    world.arm("PUT", &role, &body).expect(201);
    assert!(text(&ana.opens(&page).expect(200)).contains("line-1"));
    // Reader of one hub sees that hub, and no pulse of the whole server.
    assert!(text(&ana.opens("/console").expect(200)).contains(&world.setting("HUBWARD_HUB")));
    ana.opens(&format!("/console/at{hub}")).expect(200);
    ana.opens("/console/pulse").expect(403);
}
