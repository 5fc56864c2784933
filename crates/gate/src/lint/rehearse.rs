//! What rules say to registrations that are made up, one by one: the calls that the linter lays before the gates.

use super::defined;
use super::provisioning::{Told, candidates, denying, hub, identity, registers, ways, world};
use crate::policy::NotAPolicy;
use model::Timestamp;
use model::trace::EnrollmentKind;
use serde_json::Value;

/// One way in which a device can come, and what the rules say to the provisioning service that writes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rehearsed {
    pub enrollment: EnrollmentKind,
    /// `https` or `mqtt`.
    pub protocol: &'static str,
    pub has_twin: bool,
    /// Why a service that the rules do not name is refused; none where it gets through.
    pub stranger: Option<Refusal>,
    /// The same of those that the rules name somewhere, where all of them are refused; none where one gets through.
    /// Absent where no service is named.
    pub named: Option<Option<Refusal>>,
}

/// Which rule refused, from 0, and its reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub rule: Option<usize>,
    pub reason: String,
}

/// Every way of registering, under a definition's `properties` as it would be assigned with `parameters`.
///
/// # Errors
/// As [`super::policy`].
pub fn rehearse(
    properties: &Value,
    parameters: Option<&Value>,
) -> Result<Vec<Rehearsed>, NotAPolicy> {
    let (definition, given) = defined(properties, parameters)?;
    let told = Told { properties, definition: &definition, given: &given, identities: &[] };
    let worlds: Vec<_> = candidates(&told)
        .into_iter()
        .map(|it| {
            let facts = world(told.definition, told.given, &it);
            (it, facts)
        })
        .collect();
    let rehearsed = ways().map(|way| {
        let mut refusals = worlds.iter().map(|(who, facts)| {
            let caller = identity(who.id, None, "a provisioning service");
            let judged =
                registers(way, &caller, &hub(), "0ne00000000", facts, Timestamp::default());
            denying(&judged).map(|it| Refusal {
                rule: it.rule.as_ref().map(|it| it.index),
                reason: it.reason.clone(),
            })
        });
        let stranger = refusals.next().flatten();
        let named: Vec<Option<Refusal>> = refusals.collect();
        let is_any_through = named.iter().any(Option::is_none);
        let first = named.into_iter().next();
        Rehearsed {
            enrollment: way.enrollment,
            protocol: way.protocol,
            has_twin: way.has_twin,
            stranger,
            named: first.map(|it| it.filter(|_| !is_any_through)),
        }
    });
    Ok(rehearsed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
    const SERVICE: &str = "22222222-2222-4222-8222-222222222222";

    #[test]
    fn a_rule_that_names_a_service_lets_that_one_through_and_no_other() {
        let rules = json!({ "policyRule": [
            { "if": { "field": "identity.principalId", "equals": SERVICE }, "then": { "effect": "allow" } },
            { "if": { "allOf": [{ "field": "type", "equals": DEVICES },
                { "field": "request.enrollmentType", "equals": "group" }] }, "then": { "effect": "deny" } } ] });
        let all = rehearse(&rules, None).unwrap();
        assert_eq!(all.len(), 8);
        for it in all {
            let is_group = it.enrollment == EnrollmentKind::Group;
            assert_eq!(
                it.stranger.as_ref().and_then(|it| it.rule),
                is_group.then_some(1),
                "{it:?}"
            );
            assert_eq!(it.named, Some(None));
        }
    }

    #[test]
    fn where_nobody_is_named_nothing_is_said_of_named_services() {
        let rule = json!({ "policyRule": { "if": { "field": "type", "equals": "none" }, "then": { "effect": "deny" } } });
        let all = rehearse(&rule, None).unwrap();
        assert!(all.iter().all(|it| it.stranger.is_none() && it.named.is_none()));
        assert!(rehearse(&json!({ "policyRule": { "if": {} } }), None).is_err());
    }
}
