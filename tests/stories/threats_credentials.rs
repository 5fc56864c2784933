//! What attackers do with tokens and signatures, at every door that takes them: the numbers are those of the
//! threats that the project is measured against.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use testkit::{Amqp, Answer, Device};
use wire::mqtt::ConnectCode;
use wire::sas;

use super::namesakes::Namesakes;
use super::registration::Fleet;

const API: &str = "api-version=2021-04-12";

impl Namesakes {
    fn host(&self) -> String {
        self.world.hub_host(&self.hub)
    }

    fn asks(&self, authorization: &str, path: &str) -> Answer {
        self.world.hub_with(authorization, "GET", &self.hub, path, &Value::Null)
    }

    /// Sends a message over HTTPS as `device`.
    fn posts(&self, authorization: &str, device: &str) -> Answer {
        let url = format!("https://{}/devices/{device}/messages/events?{API}", self.host());
        self.world.wire().send("POST", &url, &[("Authorization", authorization)], b"1")
    }

    fn mqtt(&self, device: &Device, password: &str) -> ConnectCode {
        device.tries(self.world.wire(), device.greeting(password)).unwrap().0
    }

    /// What putting a token for `name` comes to over AMQP.
    fn amqp(&self, name: &str, token: &str) -> (i64, String) {
        let mut amqp = Amqp::begin(self.world.wire(), &self.one.host, self.world.amqp_port());
        amqp.puts_token(name, token)
    }

    fn signed(&self, resource: &str, key: &[u8], policy: Option<&str>) -> String {
        let until = self.world.now().plus_seconds(600);
        sas::sign(&sas::resource_text(resource), key, until, policy)
    }

    fn of(&self, device: &Device) -> String {
        format!("{}/devices/{}", device.host, device.id)
    }
}

/// What a refusal says, without what differs from one to the next.
fn told(answer: &Answer) -> (u16, String) {
    let message = answer.body.get("Message").or_else(|| answer.body.get("message"));
    (answer.status, message.and_then(Value::as_str).unwrap_or("").to_owned())
}

/// A token with another `sig`.
fn forged(token: &str, signature: &str) -> String {
    let fields = token.split('&').map(|it| match it.starts_with("sig=") {
        true => format!("sig={signature}"),
        false => it.to_owned(),
    });
    fields.collect::<Vec<_>>().join("&")
}

/// Threat 10: what is too long is refused before it is taken apart, and so is what is deep or wide.
#[test]
fn a_token_that_is_too_much_is_refused_at_every_door() {
    let plant = Namesakes::new();
    let world = &plant.world;
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let header = part(r#"{"alg":"RS256","typ":"JWT","kid":"x"}"#.into());
    let deep = part(format!("{}{}", "[".repeat(4_000), "]".repeat(4_000)));
    let groups: Vec<String> = (0..1_000).map(|it| format!("{it:08}")).collect();
    let wide = part(json!({ "aud": "https://iothubs.azure.net", "groups": groups }).to_string());
    let long_header = part(json!({ "alg": "RS256", "x": "x".repeat(12_000) }).to_string());
    let tokens = [
        format!("{header}.{deep}.AAAA"),
        format!("{header}.{wide}.AAAA"),
        format!("{long_header}.{wide}.AAAA"),
        format!("{header}.{}.AAAA", "A".repeat(50_000)),
        "a.".repeat(20_000),
    ];
    let arm = format!("{}/subscriptions?api-version=2022-12-01", world.setting("HUBWARD_ARM"));
    let graph = format!("{}/v1.0/users", world.setting("HUBWARD_GRAPH"));
    let hub = format!("https://{}/devices/device1?{API}", plant.host());
    let dps = format!(
        "{}/enrollments/e?api-version=2021-10-01",
        world.dps_origin(&world.dps("onboarding"))
    );
    for token in &tokens {
        let bearer = format!("Bearer {token}");
        for url in [&arm, &graph, &hub, &dps] {
            world.wire().json("GET", url, &bearer, &Value::Null).expect(401);
        }
        assert_eq!(plant.amqp(&plant.host(), token).0, 401);
    }
    let long = forged(&plant.one.signature(world.now().plus_seconds(600)), &"A".repeat(9_000));
    plant.posts(&long, "device1").expect(401);
    assert_eq!(plant.mqtt(&plant.one, &long), ConnectCode::NotAuthorized);
    assert_eq!(plant.amqp(&plant.of(&plant.one), &long).0, 401);
    // Still there, and for the right one.
    plant.posts(&plant.one.signature(world.now().plus_seconds(600)), "device1").expect(204);
}

/// Threat 11: whatever is wrong with a signature, nobody learns more than that it is.
#[test]
fn every_wrong_signature_gets_the_same_answer() {
    let plant = Namesakes::new();
    let wrongs = |token: &str| {
        let right = token.split("sig=").nth(1).unwrap().split('&').next().unwrap();
        let short = &right[..8];
        let other = STANDARD.encode([7; 32]).replace('=', "%3D");
        let signatures = [other.as_str(), short, "", "%%%", "not base64!", "%00", "AAAA"];
        signatures.map(|it| forged(token, it))
    };
    let own = plant.signed(&plant.of(&plant.one), &plant.one.key, None);
    let service = plant.world.sas(&plant.hub, "iothubowner", &plant.host());
    let first = told(&plant.posts(&wrongs(&own)[0], "device1").expect(401));
    for it in wrongs(&own) {
        assert_eq!(told(&plant.posts(&it, "device1")), first, "{it}");
        assert_eq!(plant.mqtt(&plant.one, &it), ConnectCode::NotAuthorized, "{it}");
        let (status, said) = plant.amqp(&plant.of(&plant.one), &it);
        assert!(status == 401 && first.1.ends_with(&said) && !said.is_empty(), "{it}: {said}");
    }
    // A device that nobody knows is none the wiser.
    let nobody = plant.signed(&format!("{}/devices/device2", plant.one.host), &[1; 32], None);
    assert_eq!(told(&plant.posts(&nobody, "device2")), first);
    let first = told(&plant.asks(&wrongs(&service)[0], "/devices/device1").expect(401));
    for it in wrongs(&service) {
        assert_eq!(told(&plant.asks(&it, "/devices/device1")), first, "{it}");
    }
    // Nor is one who guesses the name of a policy.
    let nobody = plant.signed(&plant.host(), &[1; 32], Some("no-such-policy"));
    assert_eq!(told(&plant.asks(&nobody, "/devices/device1")), first);

    let fleet = Fleet::new();
    let path = format!("/{}/registrations/pump-1/register", fleet.id_scope);
    let puts = |it: &str| told(&fleet.call(it, "PUT", &path, &json!({})));
    let own = fleet.signature("pump-1", &fleet.derived("pump-1"));
    let first = puts(&wrongs(&own)[0]);
    assert_eq!(first.0, 401);
    for it in wrongs(&own) {
        assert_eq!(puts(&it), first, "{it}");
    }
}

/// Threat 12: the second in which it expires still counts, the one behind it does not, and the refusal says so.
#[test]
fn an_expired_signature_is_refused_and_told_so_at_every_door() {
    let fleet = Fleet::new();
    let plant = Namesakes::new();
    let world = &plant.world;
    let at = |seconds: i64| plant.one.signature(world.now().plus_seconds(seconds));
    plant.posts(&at(0), "device1").expect(204);
    let late = at(-1);
    let answer = plant.posts(&late, "device1").expect(401);
    assert!(answer.text().contains("expired"), "{answer:?}");
    assert_eq!(plant.mqtt(&plant.one, &late), ConnectCode::NotAuthorized);
    let (status, said) = plant.amqp(&plant.of(&plant.one), &late);
    assert!(status == 401 && said.contains("expired"), "{said}");
    let key = world.policy_key(&plant.hub, "iothubowner");
    let until = |seconds: i64| {
        sas::sign(&plant.host(), &key, world.now().plus_seconds(seconds), Some("iothubowner"))
    };
    plant.asks(&until(0), "/devices/device1").expect(200);
    let answer = plant.asks(&until(-1), "/devices/device1").expect(401);
    assert!(answer.text().contains("expired"), "{answer:?}");
    // An expiry that no clock shows is none.
    for se in ["", "-1", "99999999999999999999", "1e9", "0x7fffffff"] {
        let (head, _) = until(0).split_once("&se=").map(|(a, b)| (a.to_owned(), b.len())).unwrap();
        let odd = format!("{head}&se={se}&skn=iothubowner");
        plant.asks(&odd, "/devices/device1").expect(401);
    }
    let resource = sas::resource_text(&format!("{}/registrations/pump-1", fleet.id_scope));
    let over = fleet.world.now().plus_seconds(-1);
    let over = sas::sign(&resource, &fleet.derived("pump-1"), over, Some("registration"));
    let path = format!("/{}/registrations/pump-1/register", fleet.id_scope);
    let answer = fleet.call(&over, "PUT", &path, &json!({})).expect(401);
    assert!(answer.text().contains("expired"), "{answer:?}");
}

/// Threats 13, 14: a signature is for its whole segments, and for its hub.
#[test]
fn a_signature_for_one_opens_neither_its_namesake_nor_another_hub() {
    let plant = Namesakes::new();
    let world = &plant.world;
    let owner = world.policy_key(&plant.hub, "iothubowner");
    let for_one = plant.signed(&plant.of(&plant.one), &owner, Some("iothubowner"));
    plant.posts(&for_one, "device1").expect(204);
    for device in ["device10", "Device1", "device"] {
        plant.posts(&for_one, device).expect(401);
    }
    assert_eq!(plant.mqtt(&plant.ten, &for_one), ConnectCode::NotAuthorized);
    assert_eq!(plant.amqp(&plant.of(&plant.ten), &for_one).0, 401);
    plant.asks(&for_one, "/twins/device1").expect(401);
    // Its own key does not sign for others, nor does a prefix of text.
    for resource in [plant.of(&plant.one), plant.of(&plant.ten), plant.one.host.clone()] {
        let token = plant.signed(&resource, &plant.one.key, None);
        plant.posts(&token, "device10").expect(401);
    }
    let text = plant.signed(&format!("{}/dev", plant.host()), &owner, Some("iothubowner"));
    plant.asks(&text, "/devices/device1").expect(401);

    let other = world.hub_named("plant-hub");
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    world.arm("PUT", &other, &body).expect(201);
    let there = world.device(&other, "device1");
    // The same key at both hubs, and still each signature is for one.
    let keys = json!({ "authentication": { "symmetricKey": {
        "primaryKey": STANDARD.encode(&plant.one.key), "secondaryKey": STANDARD.encode([2; 32]) } } });
    let twin = world.device_with(&other, "device2", &keys);
    let here = world.device_with(&plant.hub, "device2", &keys);
    plant.posts(&plant.signed(&plant.of(&here), &here.key, None), "device2").expect(204);
    let abroad = plant.signed(&plant.of(&twin), &twin.key, None);
    plant.posts(&abroad, "device2").expect(401);
    assert_eq!(plant.mqtt(&here, &abroad), ConnectCode::NotAuthorized);
    assert_eq!(plant.amqp(&plant.of(&here), &abroad).0, 401);
    let strange = plant.signed(&plant.of(&there), &owner, Some("iothubowner"));
    plant.posts(&strange, "device1").expect(401);
    let theirs = world.sas(&other, "iothubowner", &there.host);
    plant.asks(&theirs, "/devices/device1").expect(401);
    let ours_for_theirs = world.sas(&plant.hub, "iothubowner", &there.host);
    plant.asks(&ours_for_theirs, "/devices/device1").expect(401);
}

/// Threat 15: what a device holds opens no service API, whatever it signs for; nor does a policy for devices.
#[test]
fn the_key_of_a_device_opens_no_service_api() {
    let plant = Namesakes::new();
    let world = &plant.world;
    let resources = [plant.of(&plant.one), plant.host(), format!("{}/devices", plant.host())];
    let by_device = |policy| {
        let sign = |it: &String| plant.signed(it, &plant.one.key, policy);
        resources.iter().map(sign).collect::<Vec<_>>()
    };
    let all =
        [by_device(None), by_device(Some("iothubowner")), by_device(Some("device1"))].concat();
    let of_devices = world.sas(&plant.hub, "device", &plant.host());
    for token in all.iter().chain([&of_devices]) {
        plant.asks(token, "/devices/device1").expect(401);
        plant.asks(token, "/twins/device1").expect(401);
        let call = json!({ "methodName": "m" });
        world.hub_with(token, "POST", &plant.hub, "/twins/device1/methods", &call).expect(401);
        let query = json!({ "query": "select * from devices" });
        world.hub_with(token, "POST", &plant.hub, "/devices/query", &query).expect(401);
        let mut amqp = Amqp::begin(world.wire(), &plant.one.host, world.amqp_port());
        amqp.puts_token(&plant.of(&plant.one), token);
        amqp.puts_token(&plant.one.host, token);
        assert!(amqp.sends_to("/messages/devicebound").is_err());
        assert!(amqp.receives("/messages/serviceBound/feedback").is_err());
    }
}

/// Threat 16: a key that was replaced is worth nothing from that moment on: of a device, of a policy, of a group.
#[test]
fn a_key_that_was_replaced_signs_nothing_any_more() {
    let plant = Namesakes::new();
    let world = &plant.world;
    let owner = world.sas(&plant.hub, "iothubowner", &plant.host());
    let second = |shown: &Value, pointer: &str| {
        STANDARD.decode(shown.pointer(pointer).and_then(Value::as_str).unwrap()).unwrap()
    };
    let shown = plant.asks(&owner, "/devices/device1").expect(200).body;
    let key = second(&shown, "/authentication/symmetricKey/secondaryKey");
    let token = plant.signed(&plant.of(&plant.one), &key, None);
    plant.posts(&token, "device1").expect(204);
    let body = json!({ "policyKey": "secondaryKey", "devices": [{ "id": "device1" }] });
    let path = "/devices/keys/regenerate";
    world.hub_with(&owner, "POST", &plant.hub, path, &body).expect(200);
    plant.posts(&token, "device1").expect(401);
    assert_eq!(plant.mqtt(&plant.one, &token), ConnectCode::NotAuthorized);
    assert_eq!(plant.amqp(&plant.of(&plant.one), &token).0, 401);
    // The primary key goes on.
    plant.posts(&plant.signed(&plant.of(&plant.one), &plant.one.key, None), "device1").expect(204);

    let listed = format!("{}/IotHubKeys/service/listkeys", plant.hub);
    let key = second(&world.arm("POST", &listed, &Value::Null).expect(200).body, "/secondaryKey");
    let token = plant.signed(&plant.host(), &key, Some("service"));
    plant.asks(&token, "/twins/device1").expect(200);
    let mut hub = world.arm("GET", &plant.hub, &Value::Null).expect(200).body;
    let mut policies = world.arm("POST", &format!("{}/listkeys", plant.hub), &Value::Null);
    let policies = policies.body["value"].as_array_mut().unwrap();
    for it in policies.iter_mut().filter(|it| it["keyName"] == "service") {
        it["secondaryKey"] = json!(STANDARD.encode([9; 32]));
    }
    hub["properties"]["authorizationPolicies"] = json!(policies);
    world.arm("PUT", &plant.hub, &hub).expect(200);
    plant.asks(&token, "/twins/device1").expect(401);
    let new = plant.signed(&plant.host(), &[9; 32], Some("service"));
    plant.asks(&new, "/twins/device1").expect(200);

    let fleet = Fleet::new();
    let derive = |key: &[u8]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        ring::hmac::sign(&key, b"pump-1").as_ref().to_vec()
    };
    let path = format!("/{}/registrations/pump-1/register", fleet.id_scope);
    let old = fleet.signature("pump-1", &derive(&[8; 32]));
    fleet.call(&old, "PUT", &path, &json!({})).expect(202);
    fleet.enroll(
        "pumps",
        json!({ "attestation": { "type": "symmetricKey", "symmetricKey": {
        "primaryKey": STANDARD.encode([7; 32]), "secondaryKey": STANDARD.encode([9; 32]) } } }),
    );
    fleet.call(&old, "PUT", &path, &json!({})).expect(401);
    fleet.call(&fleet.signature("pump-1", &derive(&[9; 32])), "PUT", &path, &json!({})).expect(202);
}

/// Threat 18: a disabled device is refused at every door, and its own token says no more than that it is.
#[test]
fn a_disabled_device_is_refused_with_its_right_token() {
    let plant = Namesakes::new();
    let owner = plant.world.sas(&plant.hub, "iothubowner", &plant.host());
    let off = json!([{ "id": "device1", "importMode": "update", "status": "disabled" }]);
    plant.world.hub_with(&owner, "POST", &plant.hub, "/devices", &off).expect(200);
    let token = plant.signed(&plant.of(&plant.one), &plant.one.key, None);
    let answer = plant.posts(&token, "device1").expect(401);
    assert!(answer.text().contains("disabled"), "{answer:?}");
    assert_eq!(plant.mqtt(&plant.one, &token), ConnectCode::NotAuthorized);
    let (status, said) = plant.amqp(&plant.of(&plant.one), &token);
    assert!(status == 401 && said.contains("disabled"), "{said}");
    // Who cannot sign for it does not learn that it is there.
    let guess = plant.signed(&plant.of(&plant.one), &[1; 32], None);
    let known = told(&plant.posts(&guess, "device1").expect(401));
    let guess = plant.signed(&format!("{}/devices/device2", plant.one.host), &[1; 32], None);
    assert_eq!(told(&plant.posts(&guess, "device2")), known);
    plant.posts(&plant.signed(&plant.of(&plant.ten), &plant.ten.key, None), "device10").expect(204);
}
