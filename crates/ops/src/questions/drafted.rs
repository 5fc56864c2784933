//! A question about facts as they would be: with a draft of a policy, or any other change that can be tried.
//!
//! What can be tried is in `what_if/proposed.rs`. What a draft of a policy says is looked over besides, as the linter
//! does it. Nothing is changed.

use crate::env::Env;
use crate::what_if::proposed;
use gate::lint::{self, Refusal, Rehearsed};
use gate::{Facts, Judgement};
use model::json::{member, text};
use model::trace::EnrollmentKind;
use model::{Error, Gate};
use serde_json::{Value, json};

/// The facts with the changes of a body; none where it names none.
///
/// # Errors
/// [`Error::Invalid`] with the place in the draft.
pub(super) async fn facts_with(
    body: &Value,
    facts: &Facts,
    env: &Env,
) -> Result<Option<Facts>, Error> {
    if member(body, "changes").is_none() {
        return Ok(None);
    }
    let changes = proposed::changes(body)?;
    proposed::facts_with(changes, facts, env).await.map(Some)
}

/// What is said of the drafts by themselves: warnings, and how registrations that are made up fare.
pub(super) fn looked_over(body: &Value, before: &Facts, after: &Facts, env: &Env) -> Value {
    let mut warnings = Vec::new();
    let mut rehearsed = Vec::new();
    for change in proposed::changes(body).unwrap_or_default() {
        let id = text(change, &["id"]).unwrap_or_default();
        let Some(properties) = member(change, "properties") else { continue };
        let is_policy =
            ["policyRule", "policyRules"].iter().any(|it| member(properties, it).is_some());
        if !is_policy {
            continue;
        }
        let given = given(body, id);
        // Where a parameter has no value yet, nothing can be told.
        let Ok(found) = lint::policy(properties, given.as_ref(), &[]) else { continue };
        warnings.extend(found.into_iter().map(|it| {
            json!({
                "id": id,
                "at": it.at,
                "rule": it.rule,
                "code": it.code.as_str(),
                "because": it.because,
                "advice": it.advice,
            })
        }));
        let all = lint::rehearse(properties, given.as_ref()).unwrap_or_default();
        rehearsed.extend(all.iter().map(|it| told(id, it)));
    }
    let stops = lint::newly_stopped(before, after, env.now());
    json!({ "warnings": warnings, "rehearsed": rehearsed, "stops": stops })
}

/// The parameters that an assignment among the changes gives a definition.
fn given(body: &Value, definition: &str) -> Option<Value> {
    let changes = proposed::changes(body).unwrap_or_default();
    let properties = changes.iter().filter_map(|it| member(it, "properties"));
    let of = |it: &&Value| {
        text(it, &["policyDefinitionId"]).is_some_and(|it| it.eq_ignore_ascii_case(definition))
    };
    properties.into_iter().find(of).and_then(|it| member(it, "parameters")).cloned()
}

fn told(id: &str, it: &Rehearsed) -> Value {
    let refusal = |it: &Refusal| json!({ "rule": it.rule, "reason": it.reason });
    json!({
        "id": id,
        "enrollment": match it.enrollment {
            EnrollmentKind::Individual => "individual",
            EnrollmentKind::Group => "group",
        },
        "protocol": it.protocol,
        "hasTwin": it.has_twin,
        "stranger": it.stranger.as_ref().map(refusal),
        "namesServices": it.named.is_some(),
        "named": it.named.as_ref().and_then(Option::as_ref).map(refusal),
    })
}

/// What is decided today, in short: who asks need not read what it is decided by.
pub(super) fn in_short(judged: &Judgement) -> Value {
    json!({
        "verdict": if judged.denial.is_none() { "allow" } else { "deny" },
        "gate": judged.denial.as_ref().map(|it| Gate::as_str(it.gate)),
    })
}
