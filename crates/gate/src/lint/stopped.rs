//! Which provisioning services a change of policies stops, seen before it counts.

use super::provisioning::{Way, denying, identity, registers, ways, which};
use crate::facts::{Dps, Facts, Hub, LinkAuthentication};
use model::principal::AuthType;
use model::trace::{Caller, FindingResult};
use model::{PrincipalKind, Timestamp};
use std::collections::BTreeSet;

/// Most links of provisioning services that are looked at.
const LINKS_MAX: usize = 200;

/// One sentence, without a full stop, for each provisioning service and hub of which `after` refuses
/// registrations by an assignment that did not refuse them `before`.
pub fn newly_stopped(before: &Facts, after: &Facts, now: Timestamp) -> Vec<String> {
    let mut services: Vec<&Dps> = after.provisioning.values().map(|it| &**it).collect();
    services.sort_by(|a, b| a.scope.as_str().cmp(b.scope.as_str()));
    let links = services.into_iter().flat_map(|dps| dps.links.iter().map(move |it| (dps, it)));
    let mut found = Vec::new();
    for (dps, link) in links.take(LINKS_MAX) {
        let Some(hub) = after.hub_at(&link.hub) else { continue };
        let caller = match (&link.authentication, dps.signs_in_as(link)) {
            (LinkAuthentication::KeyBased { policy, .. }, _) => by_key(hub, policy),
            (_, Some(id)) => {
                let app_id = after.principals.get(&id).and_then(|it| it.app_id);
                identity(id, app_id, dps.scope.name())
            }
            (_, None) => continue,
        };
        let stopped = |way: Way| {
            let denying = |facts: &Facts| assignments(way, &caller, hub, dps, facts, now);
            let mut new = denying(after);
            // Most changes stop nothing, and then the old rules need not be asked.
            if !new.is_empty() {
                let old = denying(before);
                new.retain(|it| !old.contains(it));
            }
            (!new.is_empty()).then_some((way, new))
        };
        let all: Vec<(Way, BTreeSet<String>)> = ways().filter_map(stopped).collect();
        if all.is_empty() {
            continue;
        }
        let stopped: Vec<Way> = all.iter().map(|it| it.0).collect();
        let names: BTreeSet<String> = all.into_iter().flat_map(|it| it.1).collect();
        found.push(format!(
            "devices that register through `{}`{} will be refused at `{}`, by the policy `{}`",
            dps.scope.name(),
            which(&stopped),
            hub.scope.name(),
            names.into_iter().collect::<Vec<_>>().join("`, `")
        ));
    }
    found
}

/// The names of the assignments that deny.
fn assignments(
    way: Way,
    caller: &Caller,
    hub: &Hub,
    dps: &Dps,
    facts: &Facts,
    now: Timestamp,
) -> BTreeSet<String> {
    let judged = registers(way, caller, &hub.scope, &dps.id_scope, facts, now);
    if denying(&judged).is_none() {
        return BTreeSet::new();
    }
    let findings = judged.trace.step(model::Gate::Policy).map_or(&[][..], |it| &it.findings);
    let denies = findings
        .iter()
        .filter(|it| matches!(it.result, FindingResult::Deny | FindingResult::Error));
    denies.map(|it| it.name.clone()).collect()
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
