//! Service Bus namespaces: who may send and receive, over what network, and what is refused.

use super::namespaces::{Plant, is_refused, message};
use super::service_bus::sends;
use amqp::{Condition, Value};
use serde_json::json;
use testkit::Amqp;

const SENDER: &str = "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39";
const RECEIVER: &str = "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0";
const OWNER: &str = "090c5cfd-751d-490a-894a-3ce6f1109419";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const HUBS: &str = "https://iothubs.azure.net";

#[test]
fn a_rule_opens_what_it_is_of_and_no_more_than_its_rights() {
    let plant = Plant::service_bus();
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

/// Data roles at their scopes count, and roles of the control plane do not.
#[test]
fn who_signs_in_needs_the_data_role_at_the_entity() {
    let plant = Plant::service_bus();
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
fn what_is_not_there_or_not_offered_or_switched_off_is_refused_with_a_sentence() {
    let plant = Plant::service_bus();
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
