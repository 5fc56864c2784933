//! Jobs of hubs: they call as whoever has made them, as long as that is who it was.

use super::{Door, Proof, finding, no};
use crate::facts::Facts;
use model::error::AuthFault;
use model::trace::{Caller, FindingKind, FindingResult};
use model::{JobMaker, Timestamp};

/// Who has made the job must be there and switched on, or the policy by whose key it was made, and the job in its time.
pub(super) fn for_maker(maker: &JobMaker, door: &Door<'_>, facts: &Facts, now: Timestamp) -> Proof {
    let JobMaker { caller, job, until } = maker;
    let kind = match caller.object_id {
        Some(_) => FindingKind::Token,
        None => FindingKind::Sas,
    };
    let deny = |fault, message: String| {
        let found = finding(kind, "job", FindingResult::Deny, &message);
        Err(no(fault, message, found))
    };
    if now >= *until {
        return deny(AuthFault::Expired, "the job has taken longer than it may".into());
    }
    let name = &caller.name;
    let signed_in = format!("through the job `{job}`");
    let caller = match caller.object_id.map(|it| (it, facts.principals.get(&it))) {
        Some((_, Some(it))) if it.is_enabled => {
            Caller { name: it.display_name.clone(), signed_in, ..caller.clone() }
        }
        Some((id, Some(_))) => {
            let told = format!("the principal `{id}`, which made the job, is switched off");
            return deny(AuthFault::Invalid, told);
        }
        Some((id, None)) => {
            let told = format!("the principal `{id}`, which made the job, does not exist any more");
            return deny(AuthFault::Invalid, told);
        }
        None => {
            let access = door.access.filter(|it| !it.is_disabled);
            let policy = access
                .and_then(|it| it.policies.iter().find(|it| it.name.eq_ignore_ascii_case(name)));
            let Some(policy) = policy else {
                let told = format!(
                    "the shared access policy `{name}`, by whose key the job was made, opens this hub no more"
                );
                return deny(AuthFault::Invalid, told);
            };
            Caller { rights: policy.rights.clone(), signed_in, ..caller.clone() }
        }
    };
    let why = "who made the job is there and switched on";
    Ok((caller, finding(kind, "job", FindingResult::Allow, why)))
}
