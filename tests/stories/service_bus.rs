//! Service Bus namespaces: who may send and receive, over what network, and what becomes of the messages.

use amqp::message::BATCH;
use amqp::{Body, Condition, Header, Message, Outcome, Value};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use testkit::{Amqp, Delivered, Identity, IsSettled, World};

const SENDER: &str = "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39";
const RECEIVER: &str = "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0";
const OWNER: &str = "090c5cfd-751d-490a-894a-3ce6f1109419";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const AUDIENCE: &str = "https://servicebus.azure.net";
const HUBS: &str = "https://iothubs.azure.net";
const ROOT: &str = "authorizationRules/RootManageSharedAccessKey";
const ABANDONED: Outcome = Outcome::Modified { is_failed: true, is_undeliverable: false };

struct Plant {
    world: World,
    id: String,
    host: String,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let id = world.target("Microsoft.ServiceBus/namespaces", "plant-messages");
        let host = world.namespace_host(&id);
        let plant = Self { world, id, host };
        for name in ["q1", "q10"] {
            plant.puts(&format!("queues/{name}"), &json!({}));
        }
        plant
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.id)
    }

    fn puts(&self, path: &str, body: &Json) {
        self.world.arm("PUT", &self.at(path), body).expect(200);
    }

    fn queue(&self, name: &str, properties: &Json) {
        self.puts(&format!("queues/{name}"), &json!({ "properties": properties }));
    }

    fn rule(&self, path: &str, rights: &[&str]) {
        self.puts(path, &json!({ "properties": { "rights": rights } }));
    }

    fn opens(&self) -> Amqp {
        Amqp::begin(self.world.wire(), &self.host, self.world.amqp_port())
    }

    /// Somebody who shows a signature of a rule for an entity.
    fn by_key(&self, rule: &str, entity: &str) -> Amqp {
        let mut amqp = self.opens();
        let resource = format!("sb://{}/{entity}", self.host);
        let token = self.world.rule_sas(&self.at(rule), &resource);
        assert_eq!(amqp.puts_token(&resource, &token), (200, "OK".to_owned()));
        amqp
    }

    /// Somebody who may do everything.
    fn root(&self) -> Amqp {
        self.by_key(ROOT, "")
    }

    /// Somebody who signs in, with a role at a place.
    fn holds(&self, name: &str, role: &str, at: &str) -> Identity {
        let who = self.world.service_principal(name);
        let scope = if at.is_empty() { self.id.clone() } else { self.at(at) };
        self.world.assign(&who, role, &scope).expect(201);
        who
    }

    fn signed_in(&self, who: &Identity) -> Amqp {
        let mut amqp = self.opens();
        let token = self.world.token(who, AUDIENCE);
        for entity in ["q1", "q10", "t1"] {
            let name = format!("sb://{}/{entity}", self.host);
            assert_eq!(amqp.puts_token(&name, &token), (200, "OK".to_owned()));
        }
        amqp
    }
}

fn message(text: &str) -> Message {
    Message {
        body: Body::Data(vec![Bytes::copy_from_slice(text.as_bytes())]),
        ..Message::default()
    }
}

fn living(text: &str, ttl_ms: u32) -> Message {
    let header = Header { ttl: Some(ttl_ms), ..Header::default() };
    Message { header: Some(header), ..message(text) }
}

fn annotation<'a>(message: &'a Message, name: &str) -> &'a Value {
    let found = message.annotations.iter().find(|it| it.0.text() == Some(name));
    &found.unwrap_or_else(|| panic!("{name}: {message:?}")).1
}

fn text(message: &Message) -> String {
    String::from_utf8(message.data().unwrap().to_vec()).unwrap()
}

/// The text of the next message, and how often it was delivered before.
#[track_caller]
fn next(amqp: &mut Amqp) -> (String, u32, Delivered) {
    let heard = amqp.hears();
    (text(&heard.message), heard.message.header.unwrap().delivery_count, heard)
}

#[track_caller]
fn is_refused(refused: Result<u32, Condition>) -> Condition {
    let why = refused.unwrap_err();
    assert_eq!(why.condition, "amqp:unauthorized-access", "{why:?}");
    why
}

#[track_caller]
fn sends(amqp: &mut Amqp, to: &str, texts: &[&str]) {
    let link = amqp.sends_to(to).unwrap();
    for it in texts {
        assert_eq!(amqp.sends(link, &message(it)), Outcome::Accepted);
    }
    amqp.detaches(link);
}

fn rejected(outcome: Outcome) -> Condition {
    match outcome {
        Outcome::Rejected(Some(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_is_received_as_it_was_sent_and_gone_once_it_is_completed() {
    let plant = Plant::new();
    let mut client = plant.root();
    let link = client.sends_to("q1").unwrap();
    let mut first = message("one");
    first.annotations.push((Value::symbol("x-opt-sequence-number"), Value::Long(77)));
    first.application.push((Value::string("level"), Value::Int(3)));
    first.properties.subject = Some("pump".into());
    first.properties.group_id = Some("g".into());
    first.properties.message_id = Value::Ulong(5);
    first.body = Body::Value(Value::string("one"));
    assert_eq!(client.sends(link, &first), Outcome::Accepted);
    let parts = vec![message("two").write(), message("three").write()];
    let batch = Message { body: Body::Data(parts), ..Message::default() };
    assert_eq!(client.sends_as(link, batch.write(), BATCH), Outcome::Accepted);

    let queue = client.receives("q1").unwrap();
    let heard: Vec<Delivered> = (0..3).map(|_| client.hears()).collect();
    assert_eq!(heard[0].message.body, first.body);
    assert_eq!(heard[0].message.property("level"), Some(&Value::Int(3)));
    assert_eq!(heard[0].message.properties, first.properties);
    // What only the queue says of a message, nobody can say for it.
    assert_eq!(annotation(&heard[0].message, "x-opt-sequence-number"), &Value::Long(1));
    let texts: Vec<String> = heard.iter().skip(1).map(|it| text(&it.message)).collect();
    assert_eq!(texts, ["two", "three"]);
    let locked = annotation(&heard[2].message, "x-opt-locked-until").signed().unwrap();
    assert_eq!(locked, plant.world.now().plus_seconds(60).millis());
    assert!(heard.iter().all(|it| it.tag.len() == 16 && !it.settled));
    // Whatever came without an id has got one.
    let id = |it: &Delivered| it.message.properties.message_id.clone();
    assert!(id(&heard[1]).text().is_some() && id(&heard[1]) != id(&heard[2]));
    for it in &heard {
        assert_eq!(client.decides(it, Outcome::Accepted), Outcome::Accepted);
    }
    client.detaches(queue);
    plant.world.pass_seconds(61);
    client.receives("q1").unwrap();
    assert!(client.is_quiet());
}

#[test]
fn who_waits_hears_of_a_message_at_once_and_only_one_gets_it() {
    let plant = Plant::new();
    let (mut one, mut other, mut sender) = (plant.root(), plant.root(), plant.root());
    one.receives_some("q1", IsSettled::No, 1).unwrap();
    sends(&mut sender, "q1", &["a"]);
    let (heard, count, _) = next(&mut one);
    assert_eq!((heard.as_str(), count), ("a", 0));
    other.receives("q1").unwrap();
    assert!(other.is_quiet());
    sends(&mut sender, "q1", &["b"]);
    assert_eq!(next(&mut other).0, "b");
    assert!(one.is_quiet());
}

#[test]
fn what_is_abandoned_comes_again_and_counts_and_what_is_released_does_not() {
    let plant = Plant::new();
    let mut client = plant.root();
    sends(&mut client, "q1", &["a"]);
    client.receives("q1").unwrap();
    for count in [0, 1] {
        let (_, delivered, it) = next(&mut client);
        assert_eq!(delivered, count);
        assert_eq!(client.decides(&it, ABANDONED), ABANDONED);
    }
    for _ in 0..2 {
        let (_, delivered, it) = next(&mut client);
        assert_eq!(delivered, 2);
        assert_eq!(client.decides(&it, Outcome::Released), Outcome::Released);
    }
    assert_eq!(next(&mut client).1, 2);
}

#[test]
fn a_lock_ends_with_its_time_and_who_settles_late_learns_that_it_lost_it() {
    let plant = Plant::new();
    plant.queue("q1", &json!({ "lockDuration": "PT30S" }));
    let mut client = plant.root();
    sends(&mut client, "q1", &["a"]);
    client.receives_some("q1", IsSettled::No, 1).unwrap();
    let (_, _, late) = next(&mut client);
    let mut other = plant.root();
    let link = other.receives_some("q1", IsSettled::No, 1).unwrap();
    plant.world.pass_seconds(29);
    other.takes(link, 0, 1);
    assert!(other.is_quiet(), "it is held for 30 s");
    plant.world.pass_seconds(2);
    other.takes(link, 0, 1);
    let (_, count, it) = next(&mut other);
    assert_eq!(count, 1);
    let why = rejected(client.decides(&late, Outcome::Accepted));
    assert_eq!(why.condition, "com.microsoft:message-lock-lost", "{why:?}");
    assert_eq!(other.decides(&it, Outcome::Accepted), Outcome::Accepted);
}

#[test]
fn a_lock_is_renewed_and_a_message_settled_at_the_desk() {
    let plant = Plant::new();
    let mut client = plant.root();
    sends(&mut client, "q1", &["a", "b"]);
    let link = client.receives("q1").unwrap();
    let (a, b) = (client.hears(), client.hears());
    client.detaches(link);
    let token = |it: &Delivered| {
        let bytes: [u8; 16] = it.tag[..].try_into().unwrap();
        Value::Uuid(uuid::Uuid::from_bytes_le(bytes).into_bytes())
    };
    let locks = |all: Vec<Value>| (Value::string("lock-tokens"), Value::Array(all));
    plant.world.pass_seconds(40);
    let desk = "q1/$management";
    let renewed =
        client.asks(desk, "com.microsoft:renew-lock", Value::Map(vec![locks(vec![token(&a)])]));
    assert_eq!(renewed.property("statusCode"), Some(&Value::Int(200)));
    let Body::Value(body) = &renewed.body else { panic!("{renewed:?}") };
    let until = Value::Timestamp(plant.world.now().plus_seconds(60).millis());
    assert_eq!(body.get("expirations"), Some(&Value::Array(vec![until])));
    plant.world.pass_seconds(40);

    let mut dispose = |it: &Delivered| {
        let status = (Value::string("disposition-status"), Value::string("completed"));
        let body = Value::Map(vec![status, locks(vec![token(it)])]);
        let answer = client.asks(desk, "com.microsoft:update-disposition", body);
        let condition = answer.property("errorCondition").and_then(Value::text);
        condition.unwrap_or("").to_owned()
    };
    assert_eq!(dispose(&a), "");
    for lost in [&a, &b] {
        assert_eq!(dispose(lost), "com.microsoft:message-lock-lost");
    }
    client.receives("q1").unwrap();
    assert_eq!(next(&mut client).0, "b");
    assert!(client.is_quiet());
}

#[test]
fn what_is_put_aside_waits_in_the_dead_letter_queue_with_its_reason() {
    let plant = Plant::new();
    plant.queue("q1", &json!({ "maxDeliveryCount": 2 }));
    let mut client = plant.root();
    sends(&mut client, "q1", &["bad", "worn"]);
    client.receives("q1").unwrap();
    let (bad, worn) = (client.hears(), client.hears());
    let mut why = Condition::new("com.microsoft:dead-letter", "");
    for (key, value) in [("DeadLetterReason", "broken"), ("DeadLetterErrorDescription", "no JSON")]
    {
        why.info.push((key.into(), Value::string(value)));
    }
    assert_eq!(client.decides(&bad, Outcome::Rejected(Some(why))), Outcome::Rejected(None));
    assert_eq!(client.decides(&worn, ABANDONED), ABANDONED);
    let (_, count, worn) = next(&mut client);
    assert_eq!(count, 1);
    assert_eq!(client.decides(&worn, ABANDONED), ABANDONED);
    assert!(client.is_quiet());

    client.receives("q1/$DeadLetterQueue").unwrap();
    let (first, _, bad) = next(&mut client);
    let reason = |it: &Delivered| it.message.property("DeadLetterReason").cloned();
    assert_eq!((first.as_str(), reason(&bad)), ("bad", Some(Value::string("broken"))));
    let description = bad.message.property("DeadLetterErrorDescription");
    assert_eq!(description, Some(&Value::string("no JSON")));
    let (second, _, worn) = next(&mut client);
    let expected = Some(Value::string("MaxDeliveryCountExceeded"));
    assert_eq!((second.as_str(), reason(&worn)), ("worn", expected));
    // Nothing is put aside twice, and completed it is gone.
    assert_eq!(client.decides(&bad, Outcome::Accepted), Outcome::Accepted);
    assert!(matches!(client.decides(&worn, Outcome::Rejected(None)), Outcome::Rejected(None)));
    assert_eq!(next(&mut client).0, "worn");
    assert!(client.is_quiet());
}

#[test]
fn messages_end_with_their_time_and_are_put_aside_where_the_queue_says_so() {
    let plant = Plant::new();
    plant.queue(
        "q10",
        &json!({
            "defaultMessageTimeToLive": "PT1M", "deadLetteringOnMessageExpiration": true
        }),
    );
    let mut client = plant.root();
    for queue in ["q1", "q10"] {
        let link = client.sends_to(queue).unwrap();
        // The shorter time counts: the message's own, or the queue's.
        for it in [living("short", 10_000), living("long", 3_600_000), message("plain")] {
            assert_eq!(client.sends(link, &it), Outcome::Accepted);
        }
    }
    plant.world.pass_seconds(61);
    let mut heard = |address: &str| {
        let link = client.receives_some(address, IsSettled::Yes, 9).unwrap();
        let mut all = Vec::new();
        while !client.is_quiet() {
            all.push(next(&mut client).0);
        }
        client.detaches(link);
        all
    };
    assert_eq!(heard("q1"), ["long", "plain"]);
    assert_eq!(heard("q1/$DeadLetterQueue"), [""; 0]);
    assert_eq!(heard("q10"), [""; 0]);
    assert_eq!(heard("q10/$DeadLetterQueue"), ["short", "long", "plain"]);
}

#[test]
fn receive_and_delete_settles_by_handing_out() {
    let plant = Plant::new();
    let mut client = plant.root();
    sends(&mut client, "q1", &["a", "b"]);
    let link = client.receives_some("q1", IsSettled::Yes, 1).unwrap();
    let (heard, _, it) = next(&mut client);
    assert!(it.settled && heard == "a");
    client.detaches(link);
    client.receives("q1").unwrap();
    assert_eq!(next(&mut client).0, "b");
    assert!(client.is_quiet());
}

#[test]
fn looking_at_messages_takes_and_locks_none() {
    let plant = Plant::new();
    let mut client = plant.root();
    sends(&mut client, "q1", &["a", "b", "c"]);
    let mut peek = |from: i64, count: i32| {
        let body = Value::Map(vec![
            (Value::string("from-sequence-number"), Value::Long(from)),
            (Value::string("message-count"), Value::Int(count)),
        ]);
        let answer = client.asks("q1/$management", "com.microsoft:peek-message", body);
        let Body::Value(body) = &answer.body else { panic!("{answer:?}") };
        let Some(Value::List(all)) = body.get("messages") else {
            assert_eq!(answer.property("statusCode"), Some(&Value::Int(204)));
            return Vec::new();
        };
        let one = |it: &Value| match it.get("message") {
            Some(Value::Binary(bytes)) => text(&Message::read(bytes.clone()).unwrap()),
            other => panic!("{other:?}"),
        };
        all.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(peek(0, 2), ["a", "b"]);
    assert_eq!(peek(3, 2), ["c"]);
    assert_eq!(peek(4, 2), [""; 0]);
    let answer =
        client.asks("q1/$management", "com.microsoft:schedule-message", Value::Map(vec![]));
    assert_eq!(answer.property("statusCode"), Some(&Value::Int(501)));
    client.receives("q1").unwrap();
    assert_eq!(next(&mut client).1, 0);
}

#[test]
fn each_subscription_of_a_topic_gets_a_copy_of_its_own() {
    let plant = Plant::new();
    plant.puts("topics/t1", &json!({}));
    for name in ["s1", "s10"] {
        plant.puts(&format!("topics/t1/subscriptions/{name}"), &json!({}));
    }
    let mut client = plant.root();
    sends(&mut client, "t1", &["a"]);
    for name in ["s1", "s10"] {
        client.receives(&format!("t1/Subscriptions/{name}")).unwrap();
        let (heard, _, it) = next(&mut client);
        assert_eq!(heard, "a");
        assert_eq!(client.decides(&it, Outcome::Accepted), Outcome::Accepted);
    }
    // What is made later gets what comes later.
    plant.puts("topics/t1/subscriptions/s2", &json!({}));
    client.receives("t1/subscriptions/s2").unwrap();
    assert!(client.is_quiet());
    let why = client.receives("t1").unwrap_err();
    assert!(why.description.unwrap().contains("Subscriptions"));
    assert_eq!(client.sends_to("t1/Subscriptions/s1").unwrap_err().condition, "amqp:not-found");
}

#[test]
fn a_rule_opens_what_it_is_of_and_no_more_than_its_rights() {
    let plant = Plant::new();
    plant.puts("topics/t1", &json!({}));
    plant.puts("topics/t1/subscriptions/s1", &json!({}));
    plant.rule("authorizationRules/sends", &["Send"]);
    plant.rule("authorizationRules/listens", &["Listen"]);
    plant.rule("queues/q1/authorizationRules/own", &["Send", "Listen"]);
    plant.rule("topics/t1/authorizationRules/own", &["Listen"]);

    let mut sends = plant.by_key("authorizationRules/sends", "q1");
    sends.sends_to("q1").unwrap();
    is_refused(sends.receives("q1"));
    is_refused(sends.receives("q1/$DeadLetterQueue"));
    let peeked = sends.asks("q1/$management", "com.microsoft:peek-message", Value::Map(vec![]));
    assert_eq!(peeked.property("statusCode"), Some(&Value::Int(401)));
    let mut listens = plant.by_key("authorizationRules/listens", "q1");
    listens.receives("q1").unwrap();
    is_refused(listens.sends_to("q1"));

    let mut own = plant.by_key("queues/q1/authorizationRules/own", "q1");
    own.sends_to("q1").unwrap();
    own.receives("q1").unwrap();
    // The token is for `q1`, and the rule is of `q1`: the namesake is another.
    is_refused(own.sends_to("q10"));
    let resource = format!("sb://{}/q10", plant.host);
    let token = plant.world.rule_sas(&plant.at("queues/q1/authorizationRules/own"), &resource);
    let (status, why) = own.puts_token(&resource, &token);
    assert_eq!(status, 401, "{why}");
    assert!(why.contains("fits no authorization rule"), "{why}");

    let mut topic = plant.by_key("topics/t1/authorizationRules/own", "t1");
    topic.receives("t1/Subscriptions/s1").unwrap();
    is_refused(topic.sends_to("t1"));
}

#[test]
fn a_renewed_key_and_keys_switched_off_end_the_links() {
    let plant = Plant::new();
    let mut client = plant.root();
    let link = client.sends_to("q1").unwrap();
    let path = format!("{}/regenerateKeys", plant.at(ROOT));
    plant.world.arm("POST", &path, &json!({ "keyType": "PrimaryKey" })).expect(200);
    assert_eq!(client.loses(link).condition, "amqp:unauthorized-access");

    let mut client = plant.root();
    let link = client.receives("q1").unwrap();
    let off = json!({ "properties": { "disableLocalAuth": true } });
    plant.world.arm("PATCH", &plant.id, &off).expect(200);
    let why = client.loses(link);
    assert!(why.description.as_deref().unwrap_or("").contains("disableLocalAuth"), "{why:?}");
}

/// Data roles at their scopes count, and roles of the control plane do not.
#[test]
fn who_signs_in_needs_the_data_role_at_the_entity() {
    let plant = Plant::new();
    plant.puts("topics/t1", &json!({}));
    plant.puts("topics/t1/subscriptions/s1", &json!({}));
    let mut sender = plant.signed_in(&plant.holds("sender", SENDER, "queues/q1"));
    sends(&mut sender, "q1", &["x"]);
    is_refused(sender.sends_to("q10"));
    is_refused(sender.receives("q1"));

    let at = "topics/t1/subscriptions/s1";
    let mut receiver = plant.signed_in(&plant.holds("receiver", RECEIVER, at));
    receiver.receives("t1/Subscriptions/s1").unwrap();
    is_refused(receiver.sends_to("t1"));
    is_refused(receiver.receives("q1"));

    let mut owner = plant.signed_in(&plant.holds("owner", OWNER, ""));
    owner.sends_to("q10").unwrap();
    owner.receives("q1").unwrap();

    let contributor = plant.holds("contributor", CONTRIBUTOR, "");
    let why = is_refused(plant.signed_in(&contributor).sends_to("q1"));
    let tracking = why.info.iter().find(|it| it.0 == "com.microsoft:tracking-id");
    let told = plant.world.explained(tracking.unwrap().1.text().unwrap()).to_string();
    assert!(told.contains("Microsoft.ServiceBus/namespaces/messages/send/action"), "{told}");

    // A token for hubs is none for namespaces.
    let token = plant.world.token(&contributor, HUBS);
    let (status, why) = plant.opens().puts_token(&format!("sb://{}/q1", plant.host), &token);
    assert_eq!(status, 401, "{why}");
}

#[test]
fn a_role_that_is_taken_away_ends_the_link() {
    let plant = Plant::new();
    let who = plant.world.service_principal("receiver");
    let made = plant.world.assign(&who, RECEIVER, &plant.id).expect(201).body;
    let mut amqp = plant.signed_in(&who);
    let link = amqp.receives("q1").unwrap();
    plant.world.arm("DELETE", made["id"].as_str().unwrap(), &Json::Null).expect(200);
    assert_eq!(amqp.loses(link).condition, "amqp:unauthorized-access");
}

#[test]
fn network_rules_of_a_namespace_are_asked() {
    let plant = Plant::new();
    let mut client = plant.root();
    let link = client.receives("q1").unwrap();
    let closed = json!({ "properties": { "defaultAction": "Deny", "ipRules": [] } });
    plant.puts("networkRuleSets/default", &closed);
    assert_eq!(client.loses(link).condition, "amqp:unauthorized-access");
    let rule = json!([{ "ipMask": "127.0.0.1", "action": "Allow" }]);
    let named = json!({ "properties": { "defaultAction": "Deny", "ipRules": rule } });
    plant.puts("networkRuleSets/default", &named);
    plant.root().sends_to("q1").unwrap();
}

#[test]
fn what_is_not_there_or_not_offered_or_switched_off_is_refused_with_a_sentence() {
    let plant = Plant::new();
    let mut client = plant.root();
    for address in ["q2", "t1/Subscriptions/s1", "q1/x", "$management", "/messages/devicebound"] {
        let why = client.receives(address).unwrap_err();
        assert_eq!(why.condition, "amqp:not-found", "{address}: {why:?}");
    }
    assert_eq!(client.sends_to("q1/$DeadLetterQueue").unwrap_err().condition, "amqp:not-found");
    plant.queue("sessions", &json!({ "requiresSession": true }));
    plant.queue("once", &json!({ "requiresDuplicateDetection": true }));
    for (name, what) in [("sessions", "sessions"), ("once", "duplicate detection")] {
        for refused in [client.receives(name), client.sends_to(name)] {
            let why = refused.unwrap_err();
            assert!(why.description.as_deref().unwrap_or("").contains(what), "{why:?}");
        }
    }
    let (to, from) = (client.sends_to("q1").unwrap(), client.receives("q1").unwrap());
    plant.queue("q1", &json!({ "status": "SendDisabled" }));
    let why = rejected_or_lost(&mut client, to);
    assert_eq!(why.condition, "amqp:not-allowed", "{why:?}");
    assert_eq!(client.sends_to("q1").unwrap_err().condition, "amqp:not-allowed");
    plant.queue("q1", &json!({ "status": "ReceiveDisabled" }));
    assert_eq!(client.loses(from).condition, "amqp:not-allowed");
    client.sends_to("q1").unwrap();
    plant.queue("q1", &json!({ "status": "Disabled" }));
    assert_eq!(client.receives("q1").unwrap_err().condition, "amqp:not-allowed");
}

fn rejected_or_lost(client: &mut Amqp, link: u32) -> Condition {
    client.transfers(link, message("x").write(), 0, false);
    client.loses(link)
}

#[test]
fn a_message_is_taken_up_to_256_kib_and_what_is_not_offered_is_not() {
    let plant = Plant::new();
    let mut client = plant.root();
    let link = client.sends_to("q1").unwrap();
    let around = message("").write().len() + 3;
    let fits = message(&"x".repeat((256 << 10) - around));
    assert_eq!(fits.write().len(), 256 << 10);
    assert_eq!(client.sends(link, &fits), Outcome::Accepted);
    let due = Value::Timestamp(plant.world.now().plus_seconds(9).millis());
    let mut later = message("later");
    later.annotations.push((Value::symbol("x-opt-scheduled-enqueue-time"), due));
    assert_eq!(rejected(client.sends(link, &later)).condition, "amqp:not-implemented");
    assert_eq!(
        rejected(client.sends_as(link, Bytes::from_static(b"x"), 0)).condition,
        "amqp:decode-error"
    );
    client.receives("q1").unwrap();
    let it = client.hears();
    let deferred = Outcome::Modified { is_failed: true, is_undeliverable: true };
    assert_eq!(rejected(client.decides(&it, deferred)).condition, "amqp:not-implemented");
    client.transfers(link, message(&"x".repeat(256 << 10)).write(), 0, false);
    assert_eq!(client.loses(link).condition, "amqp:link:message-size-exceeded");
}

#[test]
fn a_restart_loses_no_message_and_counts_what_was_handed_out() {
    let mut plant = Plant::new();
    let mut client = plant.root();
    sends(&mut client, "q1", &["held", "done", "waits"]);
    client.receives_some("q1", IsSettled::No, 2).unwrap();
    let (_, done) = (client.hears(), client.hears());
    assert_eq!(client.decides(&done, Outcome::Accepted), Outcome::Accepted);

    plant.world.restart();
    let mut client = plant.root();
    client.receives("q1").unwrap();
    let (held, count, _) = next(&mut client);
    assert_eq!((held.as_str(), count), ("held", 1));
    let (waits, count, _) = next(&mut client);
    assert_eq!((waits.as_str(), count), ("waits", 0));
    assert!(client.is_quiet());
}

#[test]
fn a_queue_made_again_is_empty_and_the_link_to_the_former_is_over() {
    let plant = Plant::new();
    let mut client = plant.root();
    sends(&mut client, "q1", &["former"]);
    let link = client.receives_some("q1", IsSettled::No, 1).unwrap();
    next(&mut client);
    plant.world.arm("DELETE", &plant.at("queues/q1"), &Json::Null).expect(200);
    plant.queue("q1", &json!({}));
    assert_eq!(client.loses(link).condition, "amqp:not-found");
    client.receives("q1").unwrap();
    assert!(client.is_quiet());
    sends(&mut client, "q1", &["new"]);
    assert_eq!(next(&mut client).0, "new");
}
