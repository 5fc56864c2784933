//! Applications on this machine get tokens of a user-assigned identity, and nobody else gets them through one.

use super::managed_identities::identity;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use testkit::{Identity, World};

const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const MACHINE: &str =
    "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://iothubs.azure.net";
const SERVICE: &str = "/msi/token?api-version=2019-08-01&resource=https://iothubs.azure.net";

/// What is answered to a request, as it stands here: its status and its body.
fn asks(address: &str, target: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    let lines: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(stream, "GET {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// A world in which an identity that may use the hub has a port: its address, and what that is.
fn world() -> (World, String, String, Identity) {
    let mut world = World::new();
    let (id, who) = identity(&world, "plant-id");
    world.assign(&who, DATA_CONTRIBUTOR, &world.hub()).expect(201);
    world.restart_with(&["--identity-endpoint", "Plant-ID=18490"]);
    let address = world.setting("HUBWARD_IMDS").trim_start_matches("http://").to_owned();
    assert!(address.starts_with("127.") && address.ends_with(":18490"), "{address}");
    (world, address, id, who)
}

fn is_of(world: &World, body: &Value, who: &Identity) {
    for number in ["expires_in", "expires_on", "not_before"] {
        assert!(body[number].as_str().unwrap().parse::<i64>().is_ok(), "{body}");
    }
    assert_eq!((&body["token_type"], &body["client_id"]), (&json!("Bearer"), &json!(who.app_id)));
    assert_eq!(body["resource"], "https://iothubs.azure.net");
    let bearer = format!("Bearer {}", body["access_token"].as_str().unwrap());
    world.hub_with(&bearer, "GET", &world.hub(), "/devices", &Value::Null).expect(200);
}

/// S2-09: an application asks in the way of machines or in that of app services, and calls a hub as the identity.
#[test]
fn an_application_gets_a_token_of_the_identity_that_the_port_belongs_to() {
    let (mut world, address, id, who) = world();
    let machine = [("Host", address.as_str()), ("Metadata", "true")];
    let (status, body) = asks(&address, MACHINE, &machine);
    assert_eq!(status, 200, "{body}");
    is_of(&world, &body, &who);
    let header = world.setting("HUBWARD_IDENTITY_HEADER");
    assert_eq!(header.len(), 64);
    let service = [("Host", address.as_str()), ("X-IDENTITY-HEADER", header.as_str())];
    let (status, body) = asks(&address, SERVICE, &service);
    assert_eq!(status, 200, "{body}");
    is_of(&world, &body, &who);

    // Named in any way it is the same one; another is not here, a namesake not either.
    for (name, value) in [
        ("client_id", &who.app_id),
        ("object_id", &who.object_id),
        ("mi_res_id", &id),
        ("msi_res_id", &id),
    ] {
        assert_eq!(asks(&address, &format!("{MACHINE}&{name}={value}"), &machine).0, 200, "{name}");
        let other = match value == &id {
            true => format!("{id}0"),
            false => world.guid(),
        };
        let (status, body) = asks(&address, &format!("{MACHINE}&{name}={other}"), &machine);
        assert_eq!((status, body["error"].as_str()), (400, Some("invalid_request")), "{body}");
        assert!(
            body["error_description"].as_str().unwrap().contains("Identity not found"),
            "{body}"
        );
    }
    for wrong in ["", "&resource=", "&resource=https://elsewhere.example"] {
        let (status, body) = asks(
            &address,
            &format!("/metadata/identity/oauth2/token?api-version=2018-02-01{wrong}"),
            &machine,
        );
        assert_eq!(status, 400, "{wrong}: {body}");
    }
    // Kept over a restart, and useless to nobody once the identity is gone.
    world.restart();
    assert_eq!(world.setting("HUBWARD_IDENTITY_HEADER"), header);
    assert_eq!(asks(&address, SERVICE, &service).0, 200);
    world.arm("DELETE", &id, &Value::Null).expect(200);
    let (status, body) = asks(&address, MACHINE, &machine);
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_request")), "{body}");
    assert!(body["message"].as_str().unwrap().contains("does not exist"), "{body}");
}

/// Threat 60: a page whose name was rebound to this machine, a proxy, and whoever cannot set the header get nothing, each
/// with a decision that says why; nor does anything else answer there.
#[test]
fn nobody_elsewhere_gets_a_token_through_this_machine() {
    let (world, address, _, _) = world();
    let header = world.setting("HUBWARD_IDENTITY_HEADER");
    let host = ("Host", address.as_str());
    let refused = |target: &str, headers: &[(&str, &str)], expected: u16, because: &str| {
        let (status, body) = asks(&address, target, headers);
        assert_eq!(status, expected, "{headers:?}: {body}");
        assert!(body.get("access_token").is_none(), "{body}");
        let told = world.explained(body["correlationId"].as_str().unwrap());
        assert_eq!(told["decision"]["outcome"]["gate"], "authentication", "{told}");
        assert!(body["message"].as_str().unwrap().contains(because), "{body}");
        assert!(!told.to_string().contains(&header), "{told}");
    };
    let both = [("Metadata", "true"), ("X-IDENTITY-HEADER", header.as_str())];
    for target in [MACHINE, SERVICE] {
        for name in
            ["evil.example", "localhost", "127.0.0.1.evil.example", "169.254.169.254", "10.0.0.1"]
        {
            refused(target, &[("Host", name), both[0], both[1]], 403, "loopback address");
        }
        for (name, value) in [
            ("X-Forwarded-For", "10.0.0.1"),
            ("X-Forwarded-Host", "evil.example"),
            ("Forwarded", "for=10.0.0.1"),
            ("Via", "1.1 proxy"),
            ("x-real-ip", "10.0.0.1"),
        ] {
            refused(target, &[host, both[0], both[1], (name, value)], 403, "proxy");
        }
    }
    refused(MACHINE, &[host], 401, "`Metadata: true`");
    refused(MACHINE, &[host, ("Metadata", "false")], 401, "`Metadata: true`");
    refused(MACHINE, &[host, ("Metadata", "true"), ("Metadata", "true")], 401, "`Metadata: true`");
    refused(SERVICE, &[host, ("Metadata", "true")], 401, "X-IDENTITY-HEADER");
    for wrong in ["", "x", &header[1..], &format!("{header}0")] {
        refused(SERVICE, &[host, ("X-IDENTITY-HEADER", wrong)], 401, "X-IDENTITY-HEADER");
    }
    for other in ["/", "/metadata/endpoints", "/subscriptions", "/metrics", "/metadata/instance"] {
        let (status, _) =
            asks(&address, &format!("{other}?api-version=2018-02-01"), &[host, both[0], both[1]]);
        assert_eq!(status, 404, "{other}");
    }
    // Nor do the other listeners know these paths.
    for target in [MACHINE, SERVICE] {
        let url = format!("{}{target}", world.setting("HUBWARD_ARM"));
        let answer = world.wire().send("GET", &url, &[both[0], both[1]], b"");
        assert!([401, 404].contains(&answer.status), "{answer:?}");
    }
}
