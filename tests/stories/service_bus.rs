//! Queues and topics of Service Bus namespaces: what becomes of the messages.

use super::namespaces::{Plant, annotation, message, text};
use amqp::message::BATCH;
use amqp::{Body, Condition, Header, Message, Outcome, Value};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use testkit::{Amqp, Delivered, IsSettled};

const ABANDONED: Outcome = Outcome::Modified { is_failed: true, is_undeliverable: false };

impl Plant {
    pub fn queue(&self, name: &str, properties: &Json) {
        self.puts(&format!("queues/{name}"), &json!({ "properties": properties }));
    }
}

pub fn living(text: &str, ttl_ms: u32) -> Message {
    let header = Header { ttl: Some(ttl_ms), ..Header::default() };
    Message { header: Some(header), ..message(text) }
}

/// The text of the next message, and how often it was delivered before.
#[track_caller]
pub fn next(amqp: &mut Amqp) -> (String, u32, Delivered) {
    let heard = amqp.hears();
    (text(&heard.message), heard.message.header.unwrap().delivery_count, heard)
}

#[track_caller]
pub fn sends(amqp: &mut Amqp, to: &str, texts: &[&str]) {
    let link = amqp.sends_to(to).unwrap();
    for it in texts {
        assert_eq!(amqp.sends(link, &message(it)), Outcome::Accepted);
    }
    amqp.detaches(link);
}

pub fn rejected(outcome: Outcome) -> Condition {
    let Outcome::Rejected(Some(why)) = outcome else { panic!("{outcome:?}") };
    why
}

#[test]
fn a_message_is_received_as_it_was_sent_and_gone_once_it_is_completed() {
    let plant = Plant::service_bus();
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
    let plant = Plant::service_bus();
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
    let plant = Plant::service_bus();
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
    let plant = Plant::service_bus();
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
    let plant = Plant::service_bus();
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
    let plant = Plant::service_bus();
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
    let plant = Plant::service_bus();
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
    let plant = Plant::service_bus();
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
    let plant = Plant::service_bus();
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
    let plant = Plant::service_bus();
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
fn a_message_is_taken_up_to_256_kib_and_what_is_not_offered_is_not() {
    let plant = Plant::service_bus();
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
    let mut plant = Plant::service_bus();
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
    let plant = Plant::service_bus();
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
