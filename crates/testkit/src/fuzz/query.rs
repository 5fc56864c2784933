//! Queries of devices.

use bytes::Bytes;
use model::Timestamp;
use ops::devices::message::{AuthMethod, Message, Sender, SystemProperty};
use ops::devices::query::message::{MessageCondition, seen};
use ops::devices::query::{Condition, DEPTH_MAX, Query, TEXT_BYTES_MAX};
use serde_json::json;

/// The bytes are a query as somebody sends it, where they are text, and a condition of a configuration, a job or a route.
/// Reading them does not panic; a refusal names a place in the text; answers are made of a twin without a panic,
/// and a condition and its negation are never both fulfilled.
pub fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let twin = json!({
        "deviceId": "pump-7", "status": "enabled", "statusReason": null, "version": 2,
        "tags": { "a": 1, "b": "x", "c": [1, "x", { "d": true }], "e": 0.5, "f": true, "g": {} },
        "properties": { "desired": { "n": 9_007_199_254_740_993_i64 }, "reported": { "s": "Success" } },
        "capabilities": { "iotEdge": false },
    });
    message_condition(text);
    match Query::parse(text) {
        Ok(query) => {
            assert!(text.len() <= TEXT_BYTES_MAX);
            let matches = query.condition().matches(&twin);
            let item = query.item(twin.clone());
            assert!(!query.shows_all() || item.as_ref() == Some(&twin));
            match query.totals() {
                Some(mut totals) => {
                    assert!(item.is_none());
                    totals.add(&twin).unwrap();
                    assert!(!totals.rows().is_empty());
                }
                None => assert!(item.is_some_and(|it| it.is_object()) || !matches),
            }
        }
        Err(error) => check_place(text, error.at.line, error.at.character, &error.because),
    }
    match Condition::parse(text) {
        Ok(condition) => {
            let negated = Condition::parse(&format!("NOT ({text})"));
            match negated {
                Ok(it) => assert!(!(it.matches(&twin) && condition.matches(&twin))),
                // It was as deep or as long as it may be, has as many tests, or is no `WHERE` alone.
                Err(error) => assert!(
                    ["more than", "longer than", "`*`", "`FROM`"]
                        .iter()
                        .any(|it| error.because.contains(it))
                        || error.because.contains(&format!("deeper than {DEPTH_MAX}")),
                    "{error}"
                ),
            }
        }
        Err(error) => check_place(text, error.at.line, error.at.character, &error.because),
    }
}

/// The bytes are the condition of a route.
fn message_condition(text: &str) {
    let (sender, body) =
        (Sender::new("pump-7", "", "1", AuthMethod::DeviceKey), br#"{"a":{"b":[1,"x"]},"c":true}"#);
    let mut draft = sender.message(body.len());
    draft.system(SystemProperty::ContentType, "application/json").unwrap();
    draft.system(SystemProperty::ContentEncoding, "utf-8").unwrap();
    draft.application("level", Some("3")).unwrap();
    let record: Bytes = draft.finish(body).unwrap();
    let message = Message::parse(&record).unwrap();
    let twin = json!({ "tags": { "a": 1 }, "properties": { "desired": {}, "reported": {} } });
    let truth = |condition: &MessageCondition| {
        condition.truth(&seen(condition.asks(), &message, Timestamp::from_seconds(0), Some(&twin)))
    };
    match MessageCondition::parse(text) {
        Ok(condition) => {
            if let Ok(negated) = MessageCondition::parse(&format!("NOT ({text})")) {
                assert_eq!(truth(&negated), truth(&condition).map(|it| !it));
            }
        }
        Err(error) => check_place(text, error.at.line, error.at.character, &error.because),
    }
}

fn check_place(text: &str, line: usize, character: usize, because: &str) {
    let characters = text.split('\n').nth(line - 1).map_or(0, |it| it.chars().count());
    assert!((1..=characters + 1).contains(&character), "{line}:{character} {because}");
    assert!(!because.is_empty());
}
