//! Which endpoints a message goes to, and what it gets there.

use super::super::numbers::Numbers;
use super::*;
use crate::devices::message::{AuthMethod, Sender};

/// A hub with two event hubs and two queues, of which the names are alike.
fn routing(routing: Value) -> Routing {
    let mut resource = json!({ "name": "Plant", "properties": { "routing": routing } });
    let list = |names: &[&str]| names.iter().map(|it| json!({ "name": it })).collect::<Vec<_>>();
    resource["properties"]["routing"]["endpoints"] =
        json!({ "serviceBusQueues": list(&["one", "one1"]), "eventHubs": list(&["two", "two2"]) });
    let mut numbers = Numbers::default();
    numbers.draw(&mut resource, uuid::Uuid::nil);
    Routing::of(&resource, &numbers)
}

fn route(name: &str, source: Source, condition: &str, to: &str) -> Value {
    json!({ "name": name, "source": source.as_str(), "condition": condition, "endpointNames": [to], "isEnabled": true })
}

fn judged(routing: &Routing, level: &str, source: Source, twin: Option<&Value>) -> Routed {
    let mut draft = Sender::new("pump-1", "", "1", AuthMethod::DeviceKey).message(0);
    draft.application("level", Some(level)).unwrap();
    let message = Message::parse(&draft.finish(b"").unwrap()).unwrap();
    routing.judge(&message, source, Timestamp::from_seconds(0), twin)
}

fn fallback(is_enabled: bool) -> Value {
    json!({ "isEnabled": is_enabled })
}

#[test]
fn every_enabled_route_of_the_source_is_asked_and_an_endpoint_gets_a_message_once() {
    let messages = Source::DeviceMessages;
    let mut off = route("off", messages, "true", "two2");
    off["isEnabled"] = json!(false);
    let all = [
        route("high", messages, "level = 'high'", "one"),
        route("again", messages, "level = 'high'", "ONE"),
        route("all", messages, "level <> 'none'", "two"),
        route("unsure", messages, "nothing = 'x'", "one1"),
        route("twins", Source::TwinChangeEvents, "true", "one1"),
        off,
    ];
    let routing = routing(json!({ "routes": all, "fallbackRoute": fallback(true) }));
    let to = |level: &str| judged(&routing, level, messages, None).to;
    assert_eq!(to("high"), [1, 3]);
    assert_eq!(to("low"), [3]);
    assert_eq!(to("none"), [EVENTS]);
    let twins = judged(&routing, "high", Source::TwinChangeEvents, None);
    assert_eq!(twins.to, [2]);
    // What no route takes of another source goes nowhere, fallback or not.
    assert_eq!(judged(&routing, "high", Source::DeviceLifecycleEvents, None).to, [0_u32; 0]);
}

#[test]
fn without_a_fallback_what_no_route_takes_goes_nowhere() {
    let messages = Source::DeviceMessages;
    let all = [route("high", messages, "level = 'high'", "events")];
    let routing = routing(json!({ "routes": all, "fallbackRoute": fallback(false) }));
    assert_eq!(judged(&routing, "high", messages, None).to, [EVENTS]);
    assert_eq!(judged(&routing, "low", messages, None).to, [0_u32; 0]);
}

#[test]
fn a_route_of_its_own_keeps_messages_from_the_built_in_endpoint() {
    let all = [route("all", Source::DeviceMessages, "true", "two")];
    let routing = routing(json!({ "routes": all, "fallbackRoute": fallback(true) }));
    assert_eq!(judged(&routing, "low", Source::DeviceMessages, None).to, [3]);
}

#[test]
fn enrichments_are_resolved_and_kept_for_their_endpoints() {
    let added = |key: &str, value: &str, to: &[&str]| json!({ "key": key, "value": value, "endpointNames": to });
    let messages = Source::DeviceMessages;
    let routing = routing(json!({
        "routes": [route("a", messages, "true", "one"), route("b", messages, "true", "events")],
        "fallbackRoute": fallback(true),
        "enrichments": [
            added("site", "$twin.tags.site", &["events", "one"]),
            added("gone", "$twin.tags.gone", &["one"]),
            added("deep", "$twin.properties.desired.x", &["events"]),
            added("hub", "$iotHubName", &["events"]),
            added("plain", "$price 5", &["events", "one"]),
            added("elsewhere", "x", &["one1", "two"]),
        ],
    }));
    assert!(routing.needs_twin(messages));
    let twin =
        json!({ "tags": { "site": "north" }, "properties": { "desired": { "x": { "y": 1 } } } });
    let routed = judged(&routing, "", messages, Some(&twin));
    assert_eq!(routed.to, [1, EVENTS]);
    let all: Vec<_> =
        routed.enrichments.iter().map(|it| (it.at, it.name.as_str(), it.value.as_str())).collect();
    assert_eq!(
        all,
        [
            (0b11, "site", "north"),
            (0b01, "gone", "$twin.tags.gone"),
            (0b10, "deep", r#"{"y":1}"#),
            (0b10, "hub", "Plant"),
            (0b11, "plain", "$price 5"),
        ]
    );
    let without = judged(&routing, "", messages, None);
    assert_eq!(without.enrichments[0].value, "$twin.tags.site");
}

#[test]
fn what_would_make_a_message_too_long_is_not_added_to_it() {
    let messages = Source::DeviceMessages;
    let added =
        |key: &str, value: &str| json!({ "key": key, "value": value, "endpointNames": ["events"] });
    let routing = routing(json!({
        "fallbackRoute": fallback(true),
        "enrichments": [added("long", "0123456789"), added("a", "b")],
    }));
    let mut draft = Sender::new("pump-1", "", "1", AuthMethod::DeviceKey).message(0);
    draft.application("n", Some("v")).unwrap();
    let body = vec![0; MESSAGE_BYTES_MAX - 16];
    let message = Message::parse(&draft.finish(&body).unwrap()).unwrap();
    let routed = routing.judge(&message, messages, Timestamp::from_seconds(0), None);
    let names: Vec<_> = routed.enrichments.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["long"]);
    assert_eq!(routed.to, [EVENTS]);
}
