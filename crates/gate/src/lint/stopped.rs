//! Which provisioning services a change of policies stops, seen before it counts.

use super::provisioning::{Way, denying, identity, registers, ways, which};
use crate::facts::{Dps, DpsLink, Facts, Hub, LinkAuthentication};
use model::principal::AuthType;
use model::trace::{Caller, FindingResult};
use model::{PrincipalKind, Scope, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Most links of provisioning services that are looked at.
const LINKS_MAX: usize = 200;

/// A provisioning service and a hub of which registrations are refused.
#[derive(Clone, Debug)]
pub(super) struct Stopped {
    pub(super) dps: Scope,
    pub(super) hub: Scope,
    ways: Vec<Way>,
    /// The assignments that deny, by id, with their names.
    pub(super) assignments: BTreeMap<String, String>,
}

impl Stopped {
    /// One sentence without a full stop.
    pub(super) fn sentence(&self) -> String {
        let names: BTreeSet<&str> = self.assignments.values().map(String::as_str).collect();
        format!(
            "devices that register through `{}`{} will be refused at `{}`, by the policy `{}`",
            self.dps.name(),
            which(&self.ways),
            self.hub.name(),
            names.into_iter().collect::<Vec<_>>().join("`, `")
        )
    }
}

/// One sentence, without a full stop, for each provisioning service and hub of which `after` refuses
/// registrations by an assignment that did not refuse them `before`.
pub fn newly_stopped(before: &Facts, after: &Facts, now: Timestamp) -> Vec<String> {
    stopped(Some(before), after, now).iter().map(Stopped::sentence).collect()
}

/// What `after` refuses, and `before` did not, where that is asked about.
pub(super) fn stopped(before: Option<&Facts>, after: &Facts, now: Timestamp) -> Vec<Stopped> {
    let mut services: Vec<&Dps> = after.provisioning.values().map(|it| &**it).collect();
    services.sort_by(|a, b| a.scope.as_str().cmp(b.scope.as_str()));
    let links = services.into_iter().flat_map(|dps| dps.links.iter().map(move |it| (dps, it)));
    let mut found = Vec::new();
    for (dps, link) in links.take(LINKS_MAX) {
        let Some(hub) = after.hub_at(&link.hub) else { continue };
        let Some(caller) = caller_of(dps, link, hub, after) else { continue };
        let stopped = |way: Way| {
            let denying = |facts: &Facts| assignments(way, &caller, hub, dps, facts, now);
            let mut new = denying(after);
            // Most changes stop nothing, and then the old rules need not be asked.
            if let Some(before) = before.filter(|_| !new.is_empty()) {
                let old = denying(before);
                new.retain(|id, _| !old.contains_key(id));
            }
            (!new.is_empty()).then_some((way, new))
        };
        let all: Vec<(Way, BTreeMap<String, String>)> = ways().filter_map(stopped).collect();
        if all.is_empty() {
            continue;
        }
        let ways = all.iter().map(|it| it.0).collect();
        let assignments = all.into_iter().flat_map(|it| it.1).collect();
        found.push(Stopped { dps: dps.scope.clone(), hub: hub.scope.clone(), ways, assignments });
    }
    found
}

/// How the service shows itself to the hub; nothing where it has no identity.
pub(super) fn caller_of(dps: &Dps, link: &DpsLink, hub: &Hub, facts: &Facts) -> Option<Caller> {
    match (&link.authentication, dps.signs_in_as(link)) {
        (LinkAuthentication::KeyBased { policy, .. }, _) => Some(by_key(hub, policy)),
        (_, Some(id)) => {
            let app_id = facts.principals.get(&id).and_then(|it| it.app_id);
            Some(identity(id, app_id, dps.scope.name()))
        }
        (_, None) => None,
    }
}

/// The assignments that deny, by id, with their names.
fn assignments(
    way: Way,
    caller: &Caller,
    hub: &Hub,
    dps: &Dps,
    facts: &Facts,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let judged = registers(way, caller, &hub.scope, &dps.id_scope, facts, now);
    if denying(&judged).is_none() {
        return BTreeMap::new();
    }
    let findings = judged.trace.step(model::Gate::Policy).map_or(&[][..], |it| &it.findings);
    let denies = findings
        .iter()
        .filter(|it| matches!(it.result, FindingResult::Deny | FindingResult::Error));
    denies.map(|it| (it.id.clone(), it.name.clone())).collect()
}

fn by_key(hub: &Hub, policy: &str) -> Caller {
    let known = hub.access.policies.iter().find(|it| it.name.eq_ignore_ascii_case(policy));
    Caller {
        kind: PrincipalKind::SasKey,
        name: policy.to_owned(),
        auth: AuthType::Sas,
        signed_in: "not at all: nobody calls".into(),
        rights: known.map_or_else(Vec::new, |it| it.rights.clone()),
        ..Caller::anyone()
    }
}
