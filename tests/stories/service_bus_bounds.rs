//! Queues of Service Bus namespaces: how much they hold, and what goes by itself.

use super::namespaces::{Plant, message};
use super::service_bus::{living, next, rejected, sends};
use amqp::message::BATCH;
use amqp::{Body, Message, Outcome, Value};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use store::{Change, Expect, Scan, ShardId, Table, Write, tables};
use testkit::IsSettled;

impl Plant {
    fn shard(&self) -> ShardId {
        let facts = self.world.env().facts.load();
        let namespace = facts.targets.values().find(|it| it.scope.as_str() == self.id);
        ShardId::target(&namespace.unwrap().uid).unwrap()
    }

    fn count(&self, table: Table) -> u64 {
        let store = &self.world.env().store;
        self.world.waits(store.count(&self.shard(), table)).unwrap()
    }
}

#[test]
fn what_nobody_looks_at_is_put_where_it_belongs_once_an_hour() {
    let plant = Plant::service_bus();
    plant.queue("q10", &json!({ "deadLetteringOnMessageExpiration": true }));
    let mut client = plant.root();
    let link = client.sends_to("q10").unwrap();
    for it in [message("stays"), living("goes", 10_000)] {
        assert_eq!(client.sends(link, &it), Outcome::Accepted);
    }
    sends(&mut client, "q1", &["left"]);
    plant.world.arm("DELETE", &plant.at("queues/q1"), &Json::Null).expect(200);
    plant.world.pass_seconds(11);
    let count = |table| plant.count(table);
    assert_eq!((count(tables::BUS_MESSAGES), count(tables::BUS_QUEUES)), (3, 2));
    plant.world.hourly_round();
    assert_eq!((count(tables::BUS_MESSAGES), count(tables::BUS_PAYLOADS)), (2, 2));
    assert_eq!(count(tables::BUS_QUEUES), 1);
    let body = Value::Map(vec![(Value::string("message-count"), Value::Int(9))]);
    for (desk, expected) in [("q10/$management", 1), ("q10/$DeadLetterQueue/$management", 1)] {
        let answer = client.asks(desk, "com.microsoft:peek-message", body.clone());
        let Body::Value(body) = &answer.body else { panic!("{answer:?}") };
        let Some(Value::List(all)) = body.get("messages") else { panic!("{desk}: {answer:?}") };
        assert_eq!(all.len(), expected, "{desk}");
    }
}

#[test]
fn a_batch_of_many_messages_is_kept_whole_and_comes_in_order() {
    let plant = Plant::service_bus();
    let mut client = plant.root();
    let link = client.sends_to("q1").unwrap();
    let parts: Vec<Bytes> = (0..600).map(|it| message(&it.to_string()).write()).collect();
    let batch = Message { body: Body::Data(parts), ..Message::default() };
    assert_eq!(client.sends_as(link, batch.write(), BATCH), Outcome::Accepted);
    client.receives_some("q1", IsSettled::Yes, 600).unwrap();
    for count in 0..600 {
        assert_eq!(next(&mut client).0, count.to_string());
    }
}

/// Of whatever size a queue may be made, this one says that it is full.
#[test]
fn a_full_queue_is_refused_to_the_sender_and_takes_more_once_there_is_room() {
    let plant = Plant::service_bus();
    let mut client = plant.root();
    sends(&mut client, "q1", &["a"]);
    let shard = plant.shard();
    let store = &plant.world.env().store;
    let change = |bytes: u64| {
        let heads = Scan { prefix: String::new(), after: None, limit: 1 };
        let found = plant.world.waits(store.scan(&shard, tables::BUS_QUEUES, heads)).unwrap();
        let (key, document) = found.into_iter().next().unwrap();
        let mut head: Json = serde_json::from_slice(&document.body).unwrap();
        head["bytes"] = json!(bytes);
        let write = Write::Put(serde_json::to_vec(&head).unwrap().into());
        let change = Change { table: tables::BUS_QUEUES, key, expect: Expect::Present, write };
        plant.world.waits(store.commit(&shard, vec![change])).unwrap();
    };
    // All but what one small message takes.
    let link = client.sends_to("q1").unwrap();
    let mut small = message("b");
    small.properties.message_id = Value::string("1");
    let one = (small.write().len() + 256) as u64;
    change((1_024 << 20) - one);
    assert_eq!(client.sends(link, &small), Outcome::Accepted);
    let why = rejected(client.sends(link, &small));
    assert_eq!(why.condition, "amqp:resource-limit-exceeded", "{why:?}");
    assert!(why.description.unwrap().contains("maxSizeInMegabytes"));
    client.receives_some("q1", IsSettled::Yes, 1).unwrap();
    assert_eq!(next(&mut client).0, "a");
    assert_eq!(client.sends(link, &small), Outcome::Accepted);
}
