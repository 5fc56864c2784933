//! Keys of a hub switched off on the command line: who would lose it is told first, and is who loses it.

use super::linked_by_key::Service;
use super::registration::Fleet;
use super::roles::DATA_CONTRIBUTOR;
use super::what_if::hubward;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::{Amqp, World};

const FEEDBACK: &str = "/messages/serviceBound/feedback";

fn told(world: &World, hub: &str) -> Value {
    world.arm("POST", "/decisions/localAuth", &json!({ "scope": hub })).expect(200).body
}

/// Answers to the question what it is answered.
fn disable(world: &World, hub: &str, answer: &str) -> (Option<i32>, String) {
    let mut child = Command::new(Path::new(env!("CARGO_BIN_EXE_hubward")))
        .args(["local-auth", "disable", hub, "--data", &world.setting("HUBWARD_DATA")])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout) + &text(done.stderr))
}

fn reads(world: &World, hub: &str, policy: &str) -> testkit::Answer {
    world.hub_by_key(policy, "GET", hub, "/devices/before", &[], &Value::Null)
}

/// S2-53, S2-55, S2-52, S2-51: a dry run names the provisioning service, the users and the open links; once it is confirmed
/// they are who is refused, a signature is told since when and by whom, and who comes by identity goes on.
#[test]
fn who_would_lose_a_hub_is_named_first_and_loses_it_then() {
    let mut fleet = Fleet::new();
    let hub = fleet.world.hub();
    let name = fleet.world.setting("HUBWARD_HUB");
    let by_identity = Service { dps: fleet.dps.clone(), id_scope: fleet.id_scope.clone() };
    let other = fleet.world.hub_named(&format!("{name}0"));
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    fleet.world.arm("PUT", &other, &body).expect(201);
    // Nobody yet: neither the namesake's users count here, nor those who sign in.
    reads(&fleet.world, &other, "registryRead").expect(404);
    let who = fleet.world.service_principal("app");
    fleet.world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    fleet.world.puts_device(&who, &hub, "before").expect(200);
    let nobody = told(&fleet.world, &hub);
    for list in ["links", "users", "open"] {
        assert_eq!(nobody[list], json!([]), "{list}: {nobody}");
    }
    assert_eq!(hubward(&fleet.world, &["local-auth", "disable", &name, "--dry-run"]).0, Some(0));

    let by_key = Service::by_key(&fleet.world, &hub);
    fleet.is_at(&by_key).enroll("pumps", json!({}));
    assert_eq!(fleet.registers("d1")["status"], "assigned");
    reads(&fleet.world, &hub, "registryRead").expect(200);
    let host = fleet.world.hub_host(&hub);
    let host = host.split(':').next().unwrap().to_owned();
    let mut amqp = Amqp::begin(fleet.world.wire(), &host, fleet.world.amqp_port());
    let token = fleet.world.sas(&hub, "service", &host);
    assert_eq!(amqp.puts_token(&host, &token).0, 200);
    let link = amqp.receives(FEEDBACK).unwrap();

    let all = told(&fleet.world, &hub);
    assert_eq!(all["links"][0]["name"], "by-key", "{all}");
    assert!(
        all["links"][0]["policyLast"].is_string() && all["links"].as_array().unwrap().len() == 1
    );
    let user = |policy: &str| {
        let users = all["users"].as_array().unwrap();
        users.iter().find(|it| it["policy"] == policy).unwrap_or_else(|| panic!("{policy}: {all}"))
    };
    let reader = user("registryRead");
    assert_eq!((&reader["calls"], &reader["operations"]), (&json!(1), &json!(["GetDevice"])));
    assert_eq!(reader["replacedBy"][0]["roleName"], "IoT Hub Data Reader", "{reader}");
    let agents = user("iothubowner")["clients"].to_string();
    assert!(agents.contains("provisioning service by-key"), "{agents}");
    assert_eq!(
        (&all["open"][0]["policy"], &all["open"][0]["protocol"]),
        (&json!("service"), &json!("amqp"))
    );
    let (code, said) = hubward(&fleet.world, &["local-auth", "disable", &name, "--dry-run"]);
    assert_eq!(code, Some(1), "{said}");
    for words in ["by-key", "registryRead", "IoT Hub Data Reader", "Open now", "service"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // Nothing happens before it is confirmed.
    for answer in ["", "no\n", "y\n"] {
        let (code, said) = disable(&fleet.world, &name, answer);
        assert!(code == Some(1) && said.contains("not confirmed"), "{said}");
    }
    reads(&fleet.world, &hub, "registryRead").expect(200);

    let (code, said) = disable(&fleet.world, &name, "yes\n");
    assert!(code == Some(0) && said.contains("are off"), "{said}");
    amqp.loses(link);
    let refused = reads(&fleet.world, &hub, "registryRead").expect(401);
    let message = refused.body.to_string();
    let since = fleet.world.now().to_string();
    assert!(message.contains(&format!("since {since} by `")), "{since}: {message}");
    // To whom no key belongs it is nobody's business.
    let wrong = wire::sas::sign(
        &wire::sas::resource_text(&host),
        &[1; 32],
        fleet.world.now().plus_seconds(60),
        Some("registryRead"),
    );
    let headers = [("Authorization", wrong.as_str())];
    let url = fleet.world.hub_url(&hub, "/devices/before");
    let stranger = fleet.world.wire().send("GET", &url, &headers, b"").expect(401);
    let message = stranger.body.to_string();
    assert!(message.contains("disableLocalAuth") && !message.contains("since"), "{message}");
    let state = fleet.registers("d2");
    assert_eq!(state["status"], "failed", "{state}");
    assert!(state["errorMessage"].as_str().unwrap().contains("HTTP 401: Unauthorized"), "{state}");
    assert_eq!(fleet.is_at(&by_identity).registers("d3")["status"], "assigned");
    fleet.world.puts_device(&who, &hub, "after").expect(200);
    reads(&fleet.world, &other, "registryRead").expect(404);
    assert_eq!(told(&fleet.world, &hub)["open"], json!([]));
    let (code, said) = hubward(&fleet.world, &["local-auth", "disable", &name, "--yes"]);
    assert!(code == Some(0) && said.contains("off already since"), "{said}");
    // Switched on and off again, it is the new time and the new one that count.
    let set = |is_off: bool| {
        let body = json!({ "properties": { "disableLocalAuth": is_off } });
        fleet.world.arm("PATCH", &hub, &body).expect(200);
    };
    set(false);
    reads(&fleet.world, &hub, "registryRead").expect(200);
    fleet.world.pass_seconds(60);
    set(true);
    fleet.world.pass_seconds(60);
    set(true);
    let message = reads(&fleet.world, &hub, "registryRead").expect(401).body.to_string();
    let since = fleet.world.now().plus_seconds(-60).to_string();
    assert!(message.contains(&format!("since {since}")), "{since}: {message}");
}

/// Who may read decisions at a hub alone is told that there are links, and not of whom.
#[test]
fn links_of_services_that_one_may_not_read_are_counted_alone() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    Service::by_key(world, &hub);
    let who = world.service_principal("auditor");
    let ask = |expected| {
        let body = json!({ "scope": hub });
        world.arm_as(&who, "POST", "/decisions/localAuth", &body).expect(expected).body
    };
    ask(403);
    world.assign(&who, super::roles::READER, &hub).expect(201);
    let told = ask(200);
    assert_eq!((&told["links"], &told["hiddenLinks"]), (&json!([]), &json!(1)), "{told}");
    let missing = json!({ "scope": format!("{hub}0") });
    world.arm("POST", "/decisions/localAuth", &missing).expect(404);
}
