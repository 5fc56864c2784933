//! Templates, as clients send their files.

use expression::Steps;
use model::json::{parse, parse_relaxed};
use model::{Scope, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use template::{Known, Plan, Stop, Surroundings};
use uuid::Uuid;

/// The bytes are a template as somebody sends it. Reading it, settling its plan and evaluating every body and output
/// does not panic, comes out the same when it is done again, and shows no secret; what is plain JSON is read as such;
/// everything stands behind what it depends on.
pub fn template(bytes: &[u8]) {
    let read = parse_relaxed(bytes);
    if let Ok(plain) = parse(bytes) {
        assert_eq!(read.as_ref(), Ok(&plain));
    }
    let Ok(text) = read else { return };
    let plan = match planned(&text) {
        Ok(it) => it,
        Err(because) => {
            assert!(!because.is_empty());
            return;
        }
    };
    let shown = plan.parameters.to_string();
    assert!(!shown.contains("sesame") || !plan.secrets.iter().any(|it| it == "sesame"));
    let mut ids = BTreeSet::new();
    for (at, resource) in plan.resources.iter().enumerate() {
        assert!(resource.depends_on.iter().all(|it| *it < at), "{resource:?}");
        assert!(ids.insert(resource.id.to_ascii_lowercase()), "{resource:?}");
        assert!(Scope::parse(&resource.id).is_ok());
        let body = || fetched(|known, steps| plan.body(resource, known, steps));
        assert_eq!(body(), body());
    }
    let outputs = || fetched(|known, steps| plan.outputs(known, steps));
    assert_eq!(outputs(), outputs());
}

fn planned(text: &Value) -> Result<Plan, String> {
    let around = Surroundings {
        scope: Scope::parse("/subscriptions/s/resourceGroups/rg").unwrap(),
        resource_group: Some(json!({ "name": "rg", "location": "westus" })),
        subscription: Some(json!({ "subscriptionId": "s" })),
        tenant: json!({}),
        environment: json!({}),
        deployment: json!({}),
        now: Timestamp::from_seconds(1_795_334_400),
    };
    let given = json!({ "iotHubName": { "value": "plant" } });
    let given = match model::json::at(text, &["parameters", "iotHubName"]) {
        Some(_) => given,
        None => Value::Null,
    };
    Plan::new(text, &given, around, &|| Uuid::from_u128(7)).map_err(|it| it.0)
}

/// Evaluates, and gives everything that it asks for.
fn fetched<T>(evaluate: impl Fn(&Known, &Steps) -> Result<T, Stop>) -> Result<T, String> {
    let mut known = Known::new();
    loop {
        match evaluate(&known, &Steps::default()) {
            Ok(it) => return Ok(it),
            Err(Stop::Fault(it)) => return Err(it),
            Err(Stop::Needs(it)) => {
                assert!(!known.contains_key(&it), "asked for twice: {it:?}");
                known.insert(it, json!({ "id": "x", "properties": { "b": "c" } }));
            }
        }
    }
}
