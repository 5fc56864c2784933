//! Services over AMQP: they send to devices, hear what became of it, and read what devices have sent.

use amqp::{Body, Condition, Message, Outcome, Properties, Value};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use testkit::{Amqp, Device, Identity, World};

const HUBS: &str = "https://iothubs.azure.net";
/// So soon whoever has lost its right is out, as the README says.
const CUT_S_MAX: u64 = 5;
const FEEDBACK: &str = "/messages/serviceBound/feedback";
const FILES: &str = "/messages/serviceBound/filenotifications";

struct Plant {
    world: World,
    hub: String,
    host: String,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let hub = world.hub();
        let origin = world.hub_origin(&hub);
        let host = origin.trim_start_matches("https://").split(':').next().unwrap().to_owned();
        Self { world, hub, host }
    }

    fn opens(&self) -> Amqp {
        Amqp::begin(self.world.wire(), &self.host, self.world.amqp_port())
    }

    /// A service by the key of a policy.
    #[track_caller]
    fn service(&self, policy: &str) -> Amqp {
        let mut amqp = self.opens();
        let token = self.world.sas(&self.hub, policy, &self.host);
        assert_eq!(amqp.puts_token(&self.host, &token), (200, "OK".to_owned()));
        amqp
    }

    /// A service that is signed in.
    #[track_caller]
    fn signed_in(&self, who: &Identity) -> Amqp {
        let mut amqp = self.opens();
        let token = format!("Bearer {}", self.world.token(who, HUBS));
        let name = format!("https://{}", self.host);
        assert_eq!(amqp.puts_token(&name, &token), (200, "OK".to_owned()));
        amqp
    }

    /// Somebody with a role that holds one action of a hub's data.
    fn holds(&self, name: &str, action: &str) -> Identity {
        let (id, who) = (self.world.guid(), self.world.service_principal(name));
        let group = self.world.group();
        let path = format!("{group}/providers/Microsoft.Authorization/roleDefinitions/{id}");
        let action = format!("Microsoft.Devices/IotHubs/{action}");
        let body = json!({ "properties": { "roleName": name, "assignableScopes": [group],
            "permissions": [{ "dataActions": [action] }] } });
        self.world.arm("PUT", &path, &body).expect(201);
        self.world.assign(&who, &id, &self.hub).expect(201);
        who
    }

    fn sets(&self, name: &str, value: bool) {
        let mut properties = json!({});
        properties[name] = json!(value);
        let body = json!({ "properties": properties });
        self.world.arm("PATCH", &self.hub, &body).expect(200);
    }

    /// Where the hub's events are read, as an address.
    fn event_hub(&self) -> String {
        self.hub.rsplit('/').next().unwrap().to_lowercase()
    }

    fn partition(&self, group: &str, partition: &str) -> String {
        format!(
            "amqps://{}/{}/ConsumerGroups/{group}/Partitions/{partition}",
            self.host,
            self.event_hub()
        )
    }

    /// A reader of events by a key of a policy: the signature is of the text of the key.
    fn reader(&self, policy: &str) -> Amqp {
        let mut amqp = self.opens();
        assert_eq!(self.puts_reader(&mut amqp, policy, 3_600).0, 200);
        amqp
    }

    fn puts_reader(&self, amqp: &mut Amqp, policy: &str, seconds: i64) -> (i64, String) {
        let name = format!("sb://{}/{}", self.host, self.event_hub());
        amqp.puts_token(&name, &self.signed_by_text(&name, policy, seconds))
    }

    /// A signature whose key is the text of a policy's key, as connection strings have it.
    fn signed_by_text(&self, name: &str, policy: &str, seconds: i64) -> String {
        use base64::Engine as _;
        let key = self.world.policy_key(&self.hub, policy);
        let key = base64::engine::general_purpose::STANDARD.encode(key);
        let until = self.world.now().plus_seconds(seconds);
        wire::sas::sign(&wire::sas::resource_text(name), key.as_bytes(), until, Some(policy))
    }

    fn sends(&self, device: &Device, bodies: &[&str]) {
        let mut amqp = Amqp::begin(self.world.wire(), &device.host, self.world.amqp_port());
        let token = device.signature(self.world.now().plus_seconds(600));
        let name = format!("{}/devices/{}", device.host, device.id);
        assert_eq!(amqp.puts_token(&name, &token).0, 200);
        let link = amqp.sends_to(&format!("/devices/{}/messages/events", device.id)).unwrap();
        for it in bodies {
            assert_eq!(amqp.sends(link, &text(it)), Outcome::Accepted);
        }
    }
}

fn text(body: &str) -> Message {
    Message {
        body: Body::Data(vec![Bytes::copy_from_slice(body.as_bytes())]),
        ..Message::default()
    }
}

fn said(message: &Message) -> String {
    String::from_utf8(message.data().unwrap().to_vec()).unwrap()
}

fn to_device(device: &str, id: &str) -> Message {
    Message {
        properties: Properties {
            message_id: Value::string(id),
            to: Some(format!("/devices/{device}/messages/devicebound")),
            ..Properties::default()
        },
        application: vec![(Value::string("iothub-ack"), Value::string("full"))],
        ..text("to the device")
    }
}

#[track_caller]
fn is_denied(condition: &Condition, names: &str) {
    assert_eq!(condition.condition, "amqp:unauthorized-access");
    let sentence = condition.description.as_deref().unwrap_or("");
    assert!(sentence.contains(names), "{sentence}");
}

#[test]
fn a_service_sends_to_devices_and_hears_what_became_of_it() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    let mut service = plant.service("service");
    let link = service.sends_to("/messages/devicebound").unwrap();
    service.receives(FEEDBACK).unwrap();
    assert_eq!(service.sends(link, &to_device("pump-1", "m1")), Outcome::Accepted);
    let refused = |outcome: Outcome| {
        let Outcome::Rejected(Some(why)) = outcome else { panic!("{outcome:?}") };
        why.condition
    };
    assert_eq!(refused(service.sends(link, &to_device("pump-2", "m2"))), "amqp:not-found");
    assert_eq!(refused(service.sends(link, &text("to nobody"))), "com.microsoft:argument-error");
    let mut late = to_device("pump-1", "m3");
    late.properties.absolute_expiry_time = Some(plant.world.now().millis() - 1);
    assert_eq!(refused(service.sends(link, &late)), "com.microsoft:argument-error");

    let mut device = Amqp::begin(plant.world.wire(), &pump.host, plant.world.amqp_port());
    let token = pump.signature(plant.world.now().plus_seconds(600));
    assert_eq!(device.puts_token(&format!("{}/devices/pump-1", pump.host), &token).0, 200);
    device.receives("/devices/pump-1/messages/devicebound").unwrap();
    let delivered = device.hears();
    assert_eq!(said(&delivered.message), "to the device");
    assert_eq!(delivered.message.property("iothub-ack"), Some(&Value::string("full")));
    device.settles(&delivered, Outcome::Accepted);
    // The service waits on its link; nobody asks.
    let feedback = service.hears();
    let told: Json = serde_json::from_str(&said(&feedback.message)).unwrap();
    assert_eq!(
        (&told[0]["originalMessageId"], &told[0]["statusCode"]),
        (&json!("m1"), &json!("Success"))
    );
    // Given back it comes again, and completed no more.
    service.settles(&feedback, Outcome::Released);
    let again = service.hears();
    assert_eq!(said(&again.message), said(&feedback.message));
    service.settles(&again, Outcome::Accepted);
    assert!(service.is_quiet());
}

/// S2-33, S2-34: sending to devices and receiving feedback need their own permission each, over AMQP, and a refusal
/// names it.
#[test]
fn each_link_of_a_service_needs_its_own_permission() {
    let plant = Plant::new();
    plant.world.device(&plant.hub, "pump-1");
    let links = [
        ("sender", "/messages/devicebound", "cloudToDeviceMessages/send/action"),
        ("listener", FEEDBACK, "cloudToDeviceMessages/feedback/action"),
        ("keeper", FILES, "fileUpload/notifications/action"),
    ];
    for (name, own, action) in links {
        let who = plant.holds(name, action);
        let mut amqp = plant.signed_in(&who);
        for (_, address, needed) in links {
            let attached = match address == links[0].1 {
                true => amqp.sends_to(address),
                false => amqp.receives(address),
            };
            match address == own {
                true => {
                    let link = attached.unwrap();
                    if address == links[0].1 {
                        let sent = amqp.sends(link, &to_device("pump-1", "m1"));
                        assert_eq!(sent, Outcome::Accepted);
                    }
                }
                false => is_denied(&attached.unwrap_err(), needed),
            }
        }
    }
    // A key without the right is refused as well.
    let mut amqp = plant.service("registryRead");
    is_denied(&amqp.receives(FEEDBACK).unwrap_err(), "ServiceConnect");
}

/// S2-51: switching keys off ends the open links that used them within [`CUT_S_MAX`], and no others.
#[test]
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is shown")]
fn keys_that_are_switched_off_end_what_they_had_opened_and_nothing_else() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    plant.sends(&pump, &["before"]);
    let (mut service, mut reader) = (plant.service("service"), plant.reader("service"));
    let mut signed_in = plant.signed_in(&plant.holds("sender", "cloudToDeviceMessages/*"));
    let sends = service.sends_to("/messages/devicebound").unwrap();
    let hears = service.receives(FEEDBACK).unwrap();
    let reads = reader.receives(&plant.partition("$Default", "0")).unwrap();
    let stays = signed_in.sends_to("/messages/devicebound").unwrap();
    let since = std::time::Instant::now();
    plant.sets("disableLocalAuth", true);
    for link in [sends, hears] {
        is_denied(&service.loses(link), "disableLocalAuth");
    }
    is_denied(&reader.loses(reads), "disableLocalAuth");
    assert!(since.elapsed().as_secs() < CUT_S_MAX, "{:?}", since.elapsed());
    assert_eq!(signed_in.sends(stays, &to_device("pump-1", "m1")), Outcome::Accepted);
    // Over HTTPS each call is refused for itself.
    let sas = plant.world.sas(&plant.hub, "iothubowner", &plant.host);
    let refused = plant.world.hub_with(&sas, "GET", &plant.hub, "/devices/pump-1", &Json::Null);
    assert_eq!(refused.status, 401);
    plant.sets("disableLocalAuth", false);
    assert!(plant.service("service").receives(FEEDBACK).is_ok());
}

#[test]
fn events_are_read_by_key_alone_from_wherever_a_reader_wants() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    plant.sends(&pump, &["one", "two"]);
    plant.world.pass_seconds(10);
    let between = plant.world.now().millis() - 1;
    plant.sends(&pump, &["three"]);
    // A token of Entra's is refused with what to do instead.
    let mut amqp = plant.opens();
    let token = plant.world.token(&plant.world.admin(), "https://eventhubs.azure.net");
    let name = format!("sb://{}/{}", plant.host, plant.event_hub());
    let (status, told) = amqp.puts_token(&name, &token);
    assert!(status == 401 && told.contains("Event Hubs endpoint of your own"), "{told}");
    // Such a key's text signs for nothing else.
    let text = plant.signed_by_text(&plant.host, "iothubowner", 600);
    assert_eq!(plant.opens().puts_token(&plant.host, &text).0, 401);
    // A policy without the right is refused, too.
    let mut amqp = plant.opens();
    assert_eq!(plant.puts_reader(&mut amqp, "device", 600).0, 401);
    let refused = amqp.receives(&plant.partition("$Default", "0")).unwrap_err();
    assert_eq!(refused.condition, "amqp:unauthorized-access");

    let mut reader = plant.reader("service");
    let partition = (0..4)
        .map(|it| it.to_string())
        .find(|it| {
            let filter = Some("amqp.annotation.x-opt-offset > '-1'");
            let at = plant.partition("$Default", it);
            let link = reader.receives_with(&at, filter, Value::Null).unwrap();
            let is_there = !reader.is_quiet();
            if !is_there {
                reader.detaches(link);
            }
            is_there
        })
        .unwrap();
    let all: Vec<Message> = (0..3).map(|_| reader.hears().message).collect();
    assert_eq!(all.iter().map(said).collect::<Vec<_>>(), ["one", "two", "three"]);
    let note = |it: &Message, name: &str| {
        let found = it.annotations.iter().find(|(key, _)| key.text() == Some(name));
        found.map(|(_, it)| it.clone()).unwrap()
    };
    assert_eq!(note(&all[0], "iothub-connection-device-id"), Value::string("pump-1"));
    assert_eq!(note(&all[1], "x-opt-sequence-number"), Value::Long(1));
    let Value::String(second) = note(&all[1], "x-opt-offset") else { panic!() };
    // What comes while it reads is sent as well.
    plant.sends(&pump, &["four"]);
    assert_eq!(said(&reader.hears().message), "four");

    let from = |filter: &str| {
        let mut reader = plant.reader("service");
        let at = plant.partition("$Default", &partition);
        reader.receives_with(&at, Some(filter), Value::Null).map(|_| said(&reader.hears().message))
    };
    let filter = |name: &str, is: &str| format!("amqp.annotation.x-opt-{name} {is}");
    assert_eq!(from(&filter("offset", &format!("> '{second}'"))).unwrap(), "three");
    assert_eq!(from(&filter("offset", &format!(">= '{second}'"))).unwrap(), "two");
    assert_eq!(from(&filter("sequence-number", "> '0'")).unwrap(), "two");
    assert_eq!(from(&filter("enqueued-time", &format!("> '{between}'"))).unwrap(), "three");
    assert_eq!(from("1 = 1").unwrap_err().condition, "com.microsoft:argument-error");
    for wrong in [plant.partition("$Default", "4"), plant.partition("nobody", "0")] {
        let refused = plant.reader("service").receives(&wrong).unwrap_err();
        assert_eq!(refused.condition, "amqp:not-found", "{wrong}");
    }
}

#[test]
fn a_reader_with_a_higher_owner_level_has_a_partition_alone() {
    let plant = Plant::new();
    let level = |it: i64| Value::Map(vec![(Value::symbol("com.microsoft:epoch"), Value::Long(it))]);
    let at = plant.partition("$Default", "0");
    let (mut first, mut second) = (plant.reader("service"), plant.reader("service"));
    let plain = first.receives(&at).unwrap();
    let owner = second.receives_with(&at, None, level(1)).unwrap();
    assert_eq!(first.loses(plain).condition, "amqp:link:stolen");
    assert_eq!(first.receives(&at).unwrap_err().condition, "amqp:link:stolen");
    assert_eq!(first.receives_with(&at, None, level(0)).unwrap_err().condition, "amqp:link:stolen");
    first.receives(&plant.partition("$Default", "1")).unwrap();
    first.receives_with(&at, None, level(2)).unwrap();
    assert_eq!(second.loses(owner).condition, "amqp:link:stolen");
}

#[test]
fn a_reader_is_sent_on_from_the_hubs_own_address_and_ends_with_its_token() {
    let plant = Plant::new();
    let mut service = plant.service("service");
    let redirect =
        service.receives("/messages/events/ConsumerGroups/$Default/Partitions/0").unwrap_err();
    assert_eq!(redirect.condition, "amqp:link:redirect");
    let info =
        |name: &str| redirect.info.iter().find(|(key, _)| key == name).map(|(_, it)| it.clone());
    let port = plant.world.amqp_port();
    let rest = "ConsumerGroups/$Default/Partitions/0";
    let address = format!("amqps://{}:{port}/{}/{rest}", plant.host, plant.event_hub());
    assert_eq!(info("address"), Some(Value::String(address)));
    assert_eq!(info("hostname"), Some(Value::String(plant.host.clone())));
    is_denied(
        &plant.service("device").receives("/messages/events/$management").unwrap_err(),
        "ServiceConnect",
    );

    let mut reader = plant.opens();
    assert_eq!(plant.puts_reader(&mut reader, "service", 100).0, 200);
    let link = reader.receives(&plant.partition("$Default", "0")).unwrap();
    plant.world.pass_seconds(90);
    assert_eq!(plant.puts_reader(&mut reader, "service", 100).0, 200);
    plant.world.pass_seconds(50);
    assert!(reader.is_quiet());
    plant.world.pass_seconds(51);
    // Any change of facts has it looked at; its own timer would, too.
    plant.sets("disableDeviceSAS", true);
    is_denied(&reader.loses(link), "expired");
}
