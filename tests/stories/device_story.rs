//! A device's story: when it came and went and why, and who made, changed and deleted it.

use serde_json::{Value, json};
use testkit::{Amqp, Device, Mqtt, World};
use wire::mqtt::{ConnectCode, Qos};

struct Plant {
    world: World,
    hub: String,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        Self { hub: world.hub(), world }
    }

    fn connects(&self, device: &Device) -> Mqtt {
        device.connects(self.world.wire(), self.world.now().plus_seconds(3_600))
    }

    fn asks(&self, method: &str, path: &str, body: &Value) -> testkit::Answer {
        let headers = [("If-Match", "*")];
        // What is new has no version that could be named.
        let headers = if path.contains("/modules/") { &[][..] } else { &headers[..] };
        self.world.hub_by_key("iothubowner", method, &self.hub, path, headers, body)
    }

    /// What is told of a device once there are so many entries: an end is told a moment after it was seen.
    fn story(&self, device: &str, count: usize) -> Vec<Value> {
        loop {
            let answer = self.asks("GET", &format!("/devices/{device}/story"), &json!(null));
            let entries = answer.expect(200).body["entries"].as_array().unwrap().clone();
            if entries.len() >= count {
                assert_eq!(entries.len(), count, "{entries:#?}");
                return entries;
            }
            std::thread::yield_now();
        }
    }
}

fn events(story: &[Value]) -> Vec<&str> {
    story.iter().map(|it| it["event"].as_str().unwrap()).collect()
}

/// Each end has its reason, with the hub's number for it.
#[test]
fn a_story_tells_why_each_connection_ended() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    plant.world.device(&plant.hub, "pump-10");
    plant.connects(&pump).disconnect();
    plant.story("pump-1", 3);
    let mut first = plant.connects(&pump);
    let mut second = plant.connects(&pump);
    assert_eq!(first.until_closed(), []);
    plant.story("pump-1", 6);
    plant.asks("PUT", "/devices/pump-1", &json!({ "deviceId": "pump-1", "status": "disabled" }));
    assert_eq!(second.until_closed(), []);
    let story = plant.story("pump-1", 8);
    let expected = [
        ("created", None),
        ("connected", None),
        ("disconnected", None),
        ("connected", None),
        ("connected", None),
        ("disconnected", Some(400_027)),
        ("updated", None),
        ("disconnected", Some(401_002)),
    ];
    let numbers: Vec<_> = story.iter().map(|it| it["reason"]["number"].as_u64()).collect();
    assert_eq!(numbers, expected.map(|it| it.1), "{story:#?}");
    assert_eq!(events(&story)[..5], expected.map(|it| it.0)[..5]);
    assert_eq!(story[0]["by"]["name"], "iothubowner");
    assert_eq!(story[6]["status"], "disabled");
    assert_eq!(story[3]["connection"]["protocol"], "mqtt");
    assert_eq!(story[5]["connection"]["since"], story[3]["time"]);
    // What gates refused can be explained.
    let tracking = story[7]["reason"]["trackingId"].as_str().unwrap();
    assert_eq!(plant.world.explained(tracking)["decision"]["outcome"]["gate"], "authentication");
    // A namesake has a story of its own.
    assert_eq!(events(&plant.story("pump-10", 1)), ["created"]);
}

/// MQTT 3.1.1 has no words for why; the story names the packet and the rule that it broke.
#[test]
fn what_no_hub_takes_is_told_with_the_packet_and_the_rule() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    let mut mqtt = plant.connects(&pump);
    let _ = mqtt.publish_as(Qos::AtLeastOnce, "devices/pump-10/messages/events/", b"not mine");
    mqtt.until_closed();
    let mut mqtt = plant.connects(&pump);
    let _ = mqtt.publish_as(Qos::ExactlyOnce, &pump.events(), b"once");
    mqtt.until_closed();
    let mut mqtt = plant.connects(&pump);
    mqtt.send_bytes(&[0xF0, 0x00]).unwrap();
    mqtt.until_closed();
    let mut amqp = Amqp::begin(plant.world.wire(), &pump.host, plant.world.amqp_port());
    let token = pump.signature(plant.world.now().plus_seconds(600));
    let name = format!("{}/devices/pump-1", pump.host);
    assert_eq!(amqp.puts_token(&name, &token).0, 200);
    amqp.send_bytes(&[0, 0, 0, 4, 2, 0, 0, 0]).unwrap();
    amqp.until_closed();
    let story = plant.story("pump-1", 9);
    let said = [
        ("PUBLISH devices/pump-10/messages/events/", "devices/pump-10/messages/events/"),
        ("PUBLISH devices/pump-1/messages/events/", "QoS 2"),
        ("bytes", ""),
        ("a frame: amqp:connection:framing-error", ""),
    ];
    for (entry, (packet, rule)) in story.iter().filter(|it| it["event"] == "disconnected").zip(said)
    {
        assert_eq!(entry["reason"]["number"], 400_004, "{entry:#}");
        let explained = plant.world.explained(entry["reason"]["trackingId"].as_str().unwrap());
        let decision = &explained["decision"];
        assert_eq!(decision["call"]["channel"]["request"], packet, "{decision:#}");
        assert_eq!(decision["outcome"]["gate"], "resource");
        assert_eq!(decision["outcome"]["status"], 400);
        let verdicts: Vec<_> =
            decision["steps"].as_array().unwrap().iter().map(|it| &it["verdict"]).collect();
        assert_eq!(verdicts, ["allow", "allow", "allow", "deny"]);
        assert!(decision["outcome"]["message"].as_str().unwrap().contains(rule), "{decision:#}");
    }
}

/// Who cannot get in learns no reason over MQTT; whoever may read the device does. Nobody is told of devices that
/// there are not, and repeats are told a few times only.
#[test]
fn refused_connections_are_told_to_who_may_read_the_device() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    let stranger = Device { key: vec![1; 32], ..pump.clone() };
    let unknown = stranger.called("pump-2");
    for _ in 0..12 {
        let password = stranger.signature(plant.world.now().plus_seconds(600));
        let (code, _) = stranger.tries(plant.world.wire(), stranger.greeting(&password)).unwrap();
        assert_eq!(code, ConnectCode::NotAuthorized);
    }
    let password = unknown.signature(plant.world.now().plus_seconds(600));
    unknown.tries(plant.world.wire(), unknown.greeting(&password)).unwrap();
    let story = plant.story("pump-1", 11);
    assert!(events(&story)[1..].iter().all(|it| *it == "refused"), "{story:#?}");
    let last = &story[10]["reason"];
    assert_eq!(last["number"], 401_002);
    let explained = plant.world.explained(last["trackingId"].as_str().unwrap());
    assert_eq!(explained["decision"]["outcome"]["gate"], "authentication");
    assert_eq!(plant.asks("GET", "/devices/pump-2/story", &json!(null)).status, 404);

    let device = plant.world.policy_sas(&plant.hub, "device");
    let told =
        plant.world.hub_with(&device, "GET", &plant.hub, "/devices/pump-1/story", &json!(null));
    assert_eq!(told.status, 401, "{told:?}");
}

/// A deleted device's story ends with its end, and stays; a restart loses none of it, nor does a page's end.
#[test]
fn a_story_outlives_its_device_and_the_server() {
    let mut plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    let module = json!({ "deviceId": "pump-1", "moduleId": "cam" });
    plant.asks("PUT", "/devices/pump-1/modules/cam", &module).expect(200);
    let mqtt = plant.connects(&pump);
    plant.world.restart();
    drop(mqtt);
    plant.world.pass_seconds(5);
    plant.asks("DELETE", "/devices/pump-1", &json!(null)).expect(204);
    let story = plant.story("pump-1", 6);
    let expected = ["created", "created", "connected", "disconnected", "deleted", "deleted"];
    assert_eq!(events(&story), expected);
    assert_eq!((&story[1]["moduleId"], &story[5]["moduleId"]), (&json!("cam"), &json!("cam")));
    assert!(story.iter().all(|it| it.get("twin").is_none()), "{story:#?}");
    let from = format!("/devices/pump-1/story?from={}", story[4]["time"].as_str().unwrap());
    let later = plant.asks("GET", &from, &json!(null)).expect(200);
    assert_eq!(later.body["exists"], false);
    assert_eq!(events(later.body["entries"].as_array().unwrap()), ["deleted", "deleted"]);
    let wrong = plant.asks("GET", "/devices/pump-1/story?from=yesterday", &json!(null));
    assert_eq!(wrong.status, 400, "{wrong:?}");
}
