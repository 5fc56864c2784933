//! What devices send is watched over HTTPS, a page at a time.

use serde_json::{Value, json};
use testkit::{Answer, World};

struct Plant {
    world: World,
    hub: String,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        Self { hub: world.hub(), world }
    }

    fn asks(&self, credential: &str, partition: &str, query: &str) -> Answer {
        let path = format!("/messages/events/partitions/{partition}?{query}");
        self.world.hub_with(credential, "GET", &self.hub, &path, &Value::Null)
    }

    fn key(&self, policy: &str) -> String {
        self.world.policy_sas(&self.hub, policy)
    }

    /// The page of the partition that has something.
    fn page(&self, query: &str) -> Value {
        let pages = (0..4)
            .map(|it| self.asks(&self.key("service"), &it.to_string(), query).expect(200).body);
        let with_events = |it: &Value| !it["events"].as_array().unwrap().is_empty();
        pages.into_iter().find(with_events).unwrap_or_default()
    }
}

#[test]
fn what_devices_send_is_shown_a_page_at_a_time_from_any_place() {
    let plant = Plant::new();
    let device = plant.world.device(&plant.hub, "pump-1");
    let mut mqtt = device.connects(plant.world.wire(), plant.world.now().plus_seconds(600));
    mqtt.publish(&format!("{}%24.ct=text%2Fplain&a%20b=1&c=", device.events()), b"first").unwrap();
    plant.world.pass_seconds(60);
    mqtt.publish(&device.events(), b"\xff").unwrap();
    let page = plant.page("from=earliest");
    assert_eq!((&page["partitionCount"], &page["next"]), (&json!(4), &json!(2)));
    let [first, second] = &page["events"].as_array().unwrap()[..] else { panic!("{page}") };
    assert_eq!((&first["sequenceNumber"], &first["deviceId"]), (&json!(0), &json!("pump-1")));
    assert_eq!((&first["body"], first.get("moduleId")), (&json!("first"), None));
    assert_eq!(first["systemProperties"], json!({ "contentType": "text/plain" }));
    assert_eq!(first["properties"], json!({ "a b": "1", "c": "" }));
    assert_eq!((second.get("body"), &second["bodyBase64"]), (None, &json!("/w==")));
    assert_ne!(first["enqueuedTime"], second["enqueuedTime"]);

    let bodies = |query: &str| {
        let page = plant.page(query);
        page["events"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(bodies("from=1"), 1);
    assert_eq!(bodies("from=2"), 0);
    assert_eq!(bodies("from=latest"), 0);
    assert_eq!(bodies(""), 0);
    let later = second["enqueuedTime"].as_str().unwrap();
    assert_eq!(bodies(&format!("from={later}")), 1);
    assert_eq!(bodies("from=2000-01-01T00:00:00Z"), 2);

    // Who waits is told when something comes, and gets it with the next call.
    let partition = page["partition"].to_string();
    let waited = std::thread::scope(|scope| {
        let waits = scope
            .spawn(|| plant.asks(&plant.key("service"), &partition, "from=2&waitInSeconds=30"));
        mqtt.publish(&device.events(), b"third").unwrap();
        waits.join().unwrap().expect(200).body
    });
    // Where it came before the call did, the call has it.
    if waited["events"] == json!([]) {
        assert_eq!(waited["next"], 2);
        assert_eq!(bodies("from=2"), 1);
    }
}

#[test]
fn only_a_key_that_reads_the_built_in_endpoint_watches_and_what_is_asked_must_be_meant() {
    let plant = Plant::new();
    let refused = |credential: &str, said: &str| {
        let answer = plant.asks(credential, "0", "from=earliest");
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.body.to_string().contains(said), "{answer:?}");
    };
    refused(&plant.key("device"), "ServiceConnect");
    refused(&plant.key("registryReadWrite"), "ServiceConnect");
    let owner =
        format!("Bearer {}", plant.world.token(&plant.world.admin(), "https://iothubs.azure.net"));
    refused(&owner, "connection string whose policy holds ServiceConnect");
    refused("", "cannot be read");

    let bad = |partition: &str, query: &str, status: u16, said: &str| {
        let answer = plant.asks(&plant.key("service"), partition, query);
        assert_eq!(answer.status, status, "{partition} {query}: {answer:?}");
        assert!(answer.body.to_string().contains(said), "{answer:?}");
    };
    bad("4", "", 404, "those from 0 to 3");
    bad("x", "", 404, "those from 0 to 3");
    bad("0", "from=noon", 400, "a time as `2026-11-22T08:00:00Z`");
    bad("0", "from=-1", 400, "from");
    bad("0", "waitInSeconds=31", 400, "from 0 to 30");
}

#[test]
fn what_one_device_sends_is_shown_without_that_of_its_namesakes() {
    let plant = Plant::new();
    let asks = |credential: &str, device: &str, query: &str| {
        let path = format!("/devices/{device}/messages/events?{query}");
        plant.world.hub_with(credential, "GET", &plant.hub, &path, &Value::Null)
    };
    let bodies = |page: &Value| -> Vec<String> {
        let all = page["events"].as_array().unwrap();
        all.iter().map(|it| it["body"].as_str().unwrap().to_owned()).collect()
    };
    let expires = plant.world.now().plus_seconds(600);
    let sends = |id: &str, from: usize, to: usize| {
        let device = plant.world.device(&plant.hub, id);
        let mut mqtt = device.connects(plant.world.wire(), expires);
        for number in from..to {
            mqtt.publish(&device.events(), format!("{id} {number}").as_bytes()).unwrap();
        }
    };
    sends("pump-10", 0, 300);
    sends("pump-1", 0, 260);
    sends("pump-13", 0, 20);
    let key = plant.key("service");

    // A page holds so many, and the next begins behind it.
    let first = asks(&key, "pump-1", "from=earliest").expect(200).body;
    assert_eq!(bodies(&first).len(), 256);
    let next = format!("from={}", first["next"]);
    let second = asks(&key, "pump-1", &next).expect(200).body;
    assert_eq!(bodies(&second), ["pump-1 256", "pump-1 257", "pump-1 258", "pump-1 259"]);
    assert_eq!(second["next"], second["end"]);
    assert_eq!(bodies(&asks(&key, "pump-13", "from=earliest").expect(200).body).len(), 20);
    for (device, query) in [("pump-1", ""), ("pump-1", "from=latest"), ("pump-2", "from=earliest")]
    {
        assert_eq!(asks(&key, device, query).expect(200).body["events"], json!([]), "{device}");
    }

    let refused = |credential: &str, said: &str| {
        let answer = asks(credential, "pump-1", "from=earliest");
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.body.to_string().contains(said), "{answer:?}");
    };
    refused(&plant.key("registryReadWrite"), "ServiceConnect");
    let owner =
        format!("Bearer {}", plant.world.token(&plant.world.admin(), "https://iothubs.azure.net"));
    refused(&owner, "connection string whose policy holds ServiceConnect");
    for (device, query) in
        [("pump%2F1", ""), ("pump-1", "from=noon"), ("pump-1", "waitInSeconds=31")]
    {
        assert_eq!(asks(&key, device, query).status, 400, "{device} {query}");
    }
}
