//! Conditions of role assignments.

use gate::Attributes;
use gate::condition::{Condition, DEPTH_MAX, Subject, TEXT_BYTES_MAX};
use model::Timestamp;
use serde_json::json;

/// The bytes are a condition as somebody writes it, where they are text. Reading it does not panic; a refusal
/// names a place in the text; and a call gets the same answer whether or not what is looked at is noted, which
/// a negation turns round.
pub fn condition(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let condition = match Condition::parse(text) {
        Ok(condition) => condition,
        Err(error) => {
            let line = text.split('\n').nth(error.at.line - 1);
            let characters = line.map_or(0, |it| it.chars().count());
            assert!((1..=characters + 1).contains(&error.at.character), "{error}");
            return assert!(!error.because.is_empty());
        }
    };
    assert!(text.len() <= TEXT_BYTES_MAX && *condition.text == *text);
    let request = json!({
        "Microsoft.Authorization/roleAssignments:RoleDefinitionId": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
        "Microsoft.Authorization/roleAssignments:PrincipalType": "User",
        "a": "red", "b": ["red", "blue"], "n": [1, 2, 3], "on": true, "mixed": [1, "red", null],
    });
    let subject = Subject {
        action: "Microsoft.Authorization/roleAssignments/write",
        attributes: Attributes {
            request: request.as_object(),
            resource: request.as_object(),
            ..Attributes::default()
        },
        now: Some(Timestamp::from_seconds(1_800_000_000)),
    };
    let quick = condition.holds(&subject, None);
    let mut noted = Vec::new();
    let full = condition.holds(&subject, Some(("condition", &mut noted)));
    assert!(!noted.is_empty());
    assert_eq!(quick.as_ref().ok(), full.as_ref().ok(), "{quick:?} {full:?}");
    match Condition::parse(&format!("!({text})")) {
        Ok(negated) => {
            assert_eq!(negated.holds(&subject, None).ok(), quick.ok().map(|it| !it));
        }
        // It was as deep or as long as it may be, or has as many tests.
        Err(error) => assert!(
            ["more than", "longer than"].iter().any(|it| error.because.contains(it))
                || error.because.contains(&format!("deeper than {DEPTH_MAX}")),
            "{error}"
        ),
    }
}
