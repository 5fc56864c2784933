//! Policies as they are assigned: do they stop provisioning services that are linked, and what of them decides nothing?

use super::super::provisioning::Told;
use super::super::stopped::stopped as all_stopped;
use super::super::{Code, Warning, by_themselves};
use super::{Found, is_near};
use crate::facts::Facts;
use crate::policy::{Brought, PolicyDefinition};
use model::{Scope, Timestamp};
use serde_json::{Value, json};

/// Most definitions that are looked over, each as often as it is assigned.
const DEFINITIONS_MAX: usize = 200;

pub(super) fn stopped(facts: &Facts, scope: &Scope, now: Timestamp) -> Vec<Found> {
    let all = all_stopped(None, facts, now);
    let here = all.into_iter().filter(|it| is_near(scope, &it.hub, facts));
    let found = here.flat_map(|it| {
        let sentence = it.sentence();
        let ids: Vec<String> = it.assignments.into_keys().collect();
        let services = [it.dps.as_str().to_owned(), it.hub.as_str().to_owned()];
        let tells_of: Vec<String> = ids.iter().cloned().chain(services).collect();
        let warning = Warning {
            at: String::new(),
            rule: None,
            code: Code::StopsProvisioning,
            because: sentence,
            advice: format!(
                "`hubward policy who-is-hit {}` shows the rules, and what would let the service through",
                ids.first().map_or("", String::as_str)
            ),
        };
        let found = ids.into_iter().map(|id| Found {
            id,
            warning: warning.clone(),
            tells_of: tells_of.clone(),
        });
        found.collect::<Vec<_>>()
    });
    found.collect()
}

/// What of the definitions that are assigned decides nothing, or is open to everybody.
pub(super) fn definitions(facts: &Facts, scope: &Scope, _now: Timestamp) -> Vec<Found> {
    let near = facts.policy_assignments.values().filter(|it| is_near(scope, &it.scope, facts));
    let mut found = Vec::new();
    let mut looked_at = 0;
    for assignment in near {
        let brought = Brought::of(assignment, facts);
        for part in brought.parts(facts) {
            let Some(definition) = part.definition else { continue };
            let Ok(given) = brought.given(assignment, part) else { continue };
            looked_at += 1;
            if looked_at > DEFINITIONS_MAX {
                return found;
            }
            let properties = written(definition);
            let linted = PolicyDefinition {
                id: super::super::provisioning::definition_id(),
                ..definition.clone()
            };
            let told = Told {
                properties: &properties,
                definition: &linted,
                given: &given,
                identities: &[],
            };
            for warning in by_themselves(&told) {
                let tells_of = vec![assignment.id.clone(), definition.id.clone()];
                found.push(Found { id: definition.id.clone(), warning, tells_of });
            }
        }
    }
    found.sort();
    // Assigned twice with the same parameters, the same is said of it.
    found.dedup_by(|a, b| a.id == b.id && a.warning == b.warning);
    found
}

/// A definition's rules as they were written.
fn written(definition: &PolicyDefinition) -> Value {
    let rules: Vec<&Value> = definition.rules.iter().map(|it| &it.source).collect();
    match rules.as_slice() {
        [one] => json!({ "policyRule": one }),
        all => json!({ "policyRule": all }),
    }
}
