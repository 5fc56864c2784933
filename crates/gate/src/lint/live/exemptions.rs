//! Exemptions that have ended, and such as let everybody past a denial.

use super::super::reach::everybody;
use super::super::wanted::{Wanted, object_kinds, told_as};
use super::super::{Code, Warning};
use super::{Found, is_near};
use crate::facts::Facts;
use crate::policy::Exemption;
use model::{Scope, Timestamp};

/// Most exemptions that are looked at.
const EXEMPTIONS_MAX: usize = 500;
/// Most hubs below an exemption that calls are made up for.
const HUBS_MAX: usize = 10;

pub(super) fn exemptions(facts: &Facts, scope: &Scope, now: Timestamp) -> Vec<Found> {
    let near = facts.policy_exemptions.values().filter(|it| is_near(scope, &it.scope, facts));
    let looked_at = near.take(EXEMPTIONS_MAX);
    looked_at.filter_map(|it| ended(it, now).or_else(|| open(it, facts, now))).collect()
}

fn found(exemption: &Exemption, code: Code, because: String, advice: String) -> Found {
    let warning = Warning { at: "properties".into(), rule: None, code, because, advice };
    let tells_of = vec![exemption.id.clone(), exemption.assignment_id.clone()];
    Found { id: exemption.id.clone(), warning, tells_of }
}

fn ended(exemption: &Exemption, now: Timestamp) -> Option<Found> {
    let end = exemption.expires.filter(|it| *it <= now)?;
    let because = format!("it has ended at {} and exempts nobody", end.rfc3339());
    let advice = "delete it, or give it a later `expiresOn`".into();
    Some(found(exemption, Code::ExpiredExemption, because, advice))
}

/// An exemption wider than one resource, for everybody, by which somebody whom nothing is known of gets past a denial.
fn open(exemption: &Exemption, facts: &Facts, now: Timestamp) -> Option<Found> {
    let is_of_one = {
        let group = exemption.scope.resource_group_scope();
        group.is_some_and(|it| !it.same_place(&exemption.scope))
    };
    if is_of_one {
        return None;
    }
    let mut without = facts.clone();
    without.remove_policy_exemption(&exemption.id);
    let hubs = facts.hubs.values().filter(|it| facts.contains(&exemption.scope, &it.scope));
    for hub in hubs.take(HUBS_MAX) {
        for kind in object_kinds() {
            let gets_past = |call: Wanted| {
                let denied = |facts: &Facts| told_as(&call, &hub.scope, now, facts);
                denied(facts) == Some(false) && denied(&without) == Some(true)
            };
            if everybody(&kind).all(gets_past) {
                let name = exemption.assignment_id.rsplit('/').next().unwrap_or("");
                let because = format!(
                    "it lets everybody past the policy `{name}`: whoever writes `{kind}` at or below `{}`",
                    exemption.scope
                );
                let advice = "name whom it is for in `principalIds`, or put it at the one resource that it is for";
                return Some(found(exemption, Code::OpensForEveryone, because, advice.into()));
            }
        }
    }
    None
}
