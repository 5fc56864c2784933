//! Queries of devices.

use ops::devices::query::{Condition, DEPTH_MAX, Query, TEXT_BYTES_MAX};
use serde_json::json;

/// The bytes are a query as somebody sends it, where they are text, and a condition of a configuration or a job.
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

fn check_place(text: &str, line: usize, character: usize, because: &str) {
    let characters = text.split('\n').nth(line - 1).map_or(0, |it| it.chars().count());
    assert!((1..=characters + 1).contains(&character), "{line}:{character} {because}");
    assert!(!because.is_empty());
}
