//! Event hubs of namespaces: who may send and receive, over what network, and what becomes of the events.

use super::namespaces::{Plant, ROOT, annotation, is_refused, message as event, text};
use amqp::message::BATCH;
use amqp::{Body, Condition, Message, Outcome, Value};
use serde_json::{Value as Json, json};

const SENDER: &str = "2b629674-e913-4c01-ae53-ef4638d8f975";
const RECEIVER: &str = "a638d3c7-ab3a-418d-83e6-5f17a39d4fde";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const HUBS: &str = "https://iothubs.azure.net";

impl Plant {
    fn partition(&self, event_hub: &str, group: &str, partition: u8) -> String {
        format!("amqps://{}/{event_hub}/ConsumerGroups/{group}/Partitions/{partition}", self.host)
    }
}

fn keyed(text: &str, key: &str) -> Message {
    let annotations = vec![(Value::symbol("x-opt-partition-key"), Value::string(key))];
    Message { annotations, ..event(text) }
}

#[test]
fn events_are_read_as_they_were_sent_and_keep_their_order() {
    let plant = Plant::event_hubs();
    let mut client = plant.by_key(ROOT, "eh1");
    let link = client.sends_to("eh1/Partitions/1").unwrap();
    let mut first = keyed("one", "pump");
    first.annotations.push((Value::symbol("x-opt-sequence-number"), Value::Long(77)));
    first.application.push((Value::string("level"), Value::Int(3)));
    first.body = Body::Value(Value::string("one"));
    assert_eq!(client.sends(link, &first), Outcome::Accepted);
    let parts = vec![event("two").write(), event("three").write()];
    let batch = Message { body: Body::Data(parts), ..Message::default() };
    assert_eq!(client.sends_as(link, batch.write(), BATCH), Outcome::Accepted);

    client.receives(&plant.partition("eh1", "$Default", 1)).unwrap();
    let heard: Vec<Message> = (0..3).map(|_| client.hears().message).collect();
    assert_eq!(heard[0].body, Body::Value(Value::string("one")));
    assert_eq!(heard[0].property("level"), Some(&Value::Int(3)));
    // What only the event hub says of an event, nobody can say for it.
    assert_eq!(annotation(&heard[0], "x-opt-sequence-number"), &Value::Long(0));
    assert_eq!(annotation(&heard[0], "x-opt-partition-key"), &Value::string("pump"));
    assert_eq!((text(&heard[1]), text(&heard[2])), ("two".into(), "three".into()));
    assert_eq!(annotation(&heard[2], "x-opt-sequence-number"), &Value::Long(2));
    client.receives(&plant.partition("eh1", "$Default", 0)).unwrap();
    assert!(client.is_quiet());
}

#[test]
fn events_of_one_key_are_in_one_partition_and_those_without_spread() {
    let plant = Plant::event_hubs();
    let mut client = plant.by_key(ROOT, "eh1");
    let link = client.sends_to("eh1").unwrap();
    for count in 0..6 {
        assert_eq!(client.sends(link, &keyed(&format!("k{count}"), "pump")), Outcome::Accepted);
        assert_eq!(client.sends(link, &event(&format!("n{count}"))), Outcome::Accepted);
    }
    let mut of_key = Vec::new();
    for partition in [0, 1] {
        let own = client.receives(&plant.partition("eh1", "$Default", partition)).unwrap();
        let mut heard = Vec::new();
        while !client.is_quiet() {
            heard.push(text(&client.hears().message));
        }
        assert_eq!(heard.iter().filter(|it| it.starts_with('n')).count(), 3, "{heard:?}");
        of_key.push(heard.into_iter().filter(|it| it.starts_with('k')).collect::<Vec<_>>());
        client.detaches(own);
    }
    of_key.sort_by_key(Vec::len);
    assert!(of_key[0].is_empty());
    assert_eq!(of_key[1], ["k0", "k1", "k2", "k3", "k4", "k5"]);
}

#[test]
fn a_rule_opens_what_it_is_of_and_no_more_than_its_rights() {
    let plant = Plant::event_hubs();
    plant.rule("authorizationRules/sends", &["Send"]);
    plant.rule("authorizationRules/listens", &["Listen"]);
    plant.rule("eventhubs/eh1/authorizationRules/own", &["Send", "Listen"]);
    let reads = |event_hub: &str| plant.partition(event_hub, "$Default", 0);

    let mut sends = plant.by_key("authorizationRules/sends", "eh1");
    sends.sends_to("eh1").unwrap();
    is_refused(sends.receives(&reads("eh1")));
    let mut listens = plant.by_key("authorizationRules/listens", "eh1");
    listens.receives(&reads("eh1")).unwrap();
    is_refused(listens.sends_to("eh1"));

    let mut own = plant.by_key("eventhubs/eh1/authorizationRules/own", "eh1");
    own.sends_to("eh1").unwrap();
    own.receives(&reads("eh1")).unwrap();
    // The token is for `eh1`, and the rule is of `eh1`: the namesake is another.
    is_refused(own.sends_to("eh10"));
    let resource = format!("sb://{}/eh10", plant.host);
    let token = plant.world.rule_sas(&plant.at("eventhubs/eh1/authorizationRules/own"), &resource);
    let (status, why) = own.puts_token(&resource, &token);
    assert_eq!(status, 401, "{why}");
    assert!(why.contains("fits no authorization rule"), "{why}");
}

/// Data roles at their scopes count, and roles of the control plane do not.
#[test]
fn who_signs_in_needs_the_data_role_at_the_event_hub() {
    let plant = Plant::event_hubs();
    let reads = plant.partition("eh1", "$Default", 0);
    let sender = plant.holds("sender", SENDER, "eventhubs/eh1");
    let mut amqp = plant.signed_in(&sender);
    let link = amqp.sends_to("eh1").unwrap();
    assert_eq!(amqp.sends(link, &event("x")), Outcome::Accepted);
    is_refused(amqp.sends_to("eh10"));
    is_refused(amqp.receives(&reads));

    let receiver = plant.holds("receiver", RECEIVER, "");
    let mut amqp = plant.signed_in(&receiver);
    amqp.receives(&reads).unwrap();
    is_refused(amqp.sends_to("eh1"));

    let contributor = plant.holds("contributor", CONTRIBUTOR, "");
    let why = is_refused(plant.signed_in(&contributor).sends_to("eh1"));
    let tracking = why.info.iter().find(|it| it.0 == "com.microsoft:tracking-id");
    let trace = plant.world.explained(tracking.unwrap().1.text().unwrap());
    let told = trace.to_string();
    assert!(told.contains("Microsoft.EventHub/namespaces/messages/send/action"), "{told}");

    // A token for hubs is none for event hubs.
    let mut amqp = plant.opens();
    let token = plant.world.token(&sender, HUBS);
    let (status, why) = amqp.puts_token(&format!("sb://{}/eh1", plant.host), &token);
    assert_eq!(status, 401, "{why}");
}

#[test]
fn what_is_not_there_is_not_found_and_what_is_switched_off_says_so() {
    let plant = Plant::event_hubs();
    let mut client = plant.root();
    let not_found = |refused: Result<u32, Condition>, what: &str| {
        let why = refused.unwrap_err();
        assert_eq!(why.condition, "amqp:not-found", "{what}: {why:?}");
    };
    not_found(client.sends_to("eh2"), "event hub");
    not_found(client.sends_to("eh1/Partitions/2"), "partition");
    not_found(client.receives(&plant.partition("eh1", "readers", 0)), "group");
    not_found(client.sends_to("/messages/devicebound"), "an address of hubs");
    plant.puts("eventhubs/eh1/consumergroups/readers", &json!({}));
    client.receives(&plant.partition("eh1", "readers", 0)).unwrap();

    let off = json!({ "properties": { "partitionCount": 2, "status": "SendDisabled" } });
    plant.puts("eventhubs/eh1", &off);
    let why = client.sends_to("eh1").unwrap_err();
    assert_eq!(why.condition, "amqp:not-allowed", "{why:?}");
    client.receives(&plant.partition("eh1", "$Default", 0)).unwrap();
}

#[test]
fn an_event_hub_made_again_is_empty_and_a_restart_loses_nothing() {
    let mut plant = Plant::event_hubs();
    let mut client = plant.by_key(ROOT, "eh1");
    let link = client.sends_to("eh1/Partitions/0").unwrap();
    assert_eq!(client.sends(link, &event("kept")), Outcome::Accepted);
    let other = client.sends_to("eh10/Partitions/0");
    assert!(other.is_err(), "the token was for eh1");

    plant.world.restart();
    let mut client = plant.by_key(ROOT, "eh1");
    client.receives(&plant.partition("eh1", "$Default", 0)).unwrap();
    assert_eq!(text(&client.hears().message), "kept");

    plant.world.arm("DELETE", &plant.at("eventhubs/eh1"), &Json::Null).expect(200);
    plant.puts("eventhubs/eh1", &json!({ "properties": { "partitionCount": 2 } }));
    let mut client = plant.by_key(ROOT, "eh1");
    client.receives(&plant.partition("eh1", "$Default", 0)).unwrap();
    assert!(client.is_quiet());
}

#[test]
fn a_transfer_is_taken_up_to_a_mebibyte() {
    let plant = Plant::event_hubs();
    let mut client = plant.by_key(ROOT, "eh1");
    let link = client.sends_to("eh1/Partitions/0").unwrap();
    let around = event("").write().len() + 8;
    let fits = event(&"x".repeat((1 << 20) - around));
    assert_eq!(client.sends(link, &fits), Outcome::Accepted);
    client.transfers(link, event(&"x".repeat(1 << 20)).write(), 0, false);
    assert_eq!(client.loses(link).condition, "amqp:link:message-size-exceeded");
}
