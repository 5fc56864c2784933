//! The same of everything that is: policies as they are assigned, exemptions, roles and who holds them.
//!
//! Start at [`live`]. What is told is told by calls that are made up, as of files; here there are hubs, services and
//! principals to make them with.

mod assignments;
mod escalation;
mod exemptions;
mod policies;

use super::Warning;
use crate::decide::{Ask, is_granted};
use crate::facts::{Facts, List};
use model::operations::{Operation, known};
use model::principal::AuthType;
use model::trace::{Caller, TraceHead};
use model::{ActionName, ObjectId, PrincipalKind, Scope, Timestamp};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A warning about something that is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Found {
    /// The id of what the warning is about; its `at` says where in it.
    pub id: String,
    pub warning: Warning,
    /// The ids of everything that the warning tells of: who may not read one of them is not told.
    pub tells_of: Vec<String>,
}

/// One kind of thing that is looked over.
type Look = fn(&Facts, &Scope, Timestamp) -> Vec<Found>;

const LOOKS: [Look; 5] = [
    policies::stopped,
    policies::definitions,
    exemptions::exemptions,
    assignments::assignments,
    escalation::escalations,
];

/// All warnings about what counts at a scope, above it or below it. Of a large tenant that is a while's work.
pub fn live(facts: &Facts, scope: &Scope, now: Timestamp) -> Vec<Found> {
    LOOKS.iter().flat_map(|look| look(facts, scope, now)).collect()
}

/// True where one of the two lies in the other.
fn is_near(a: &Scope, b: &Scope, facts: &Facts) -> bool {
    facts.contains(a, b) || facts.contains(b, a)
}

/// Every action on each plane, with the operation that needs fewest others.
static ACTIONS: LazyLock<Vec<(ActionName, &'static Operation)>> = LazyLock::new(|| {
    let mut all: BTreeMap<(&'static str, bool), (ActionName, &'static Operation)> = BTreeMap::new();
    for row in known() {
        for action in row.actions {
            let is_data = List::of(row.role_plane()) == List::DataActions;
            let best = all.entry((action.as_str(), is_data)).or_insert((*action, row));
            if row.actions.len() < best.1.actions.len() {
                *best = (*action, row);
            }
        }
    }
    all.into_values().collect()
});

/// Somebody as if it called.
fn caller(id: ObjectId, facts: &Facts) -> Caller {
    let principal = facts.principals.get(&id);
    Caller {
        kind: facts.kind_of(id).unwrap_or(PrincipalKind::ServicePrincipal),
        object_id: Some(id),
        app_id: principal.and_then(|it| it.app_id),
        name: facts.name_of(id),
        auth: AuthType::Entra,
        signed_in: "not at all: nobody calls".into(),
        ..Caller::anyone()
    }
}

/// True where a role gives somebody the operation, whatever stands against it.
fn holds(
    row: &'static Operation,
    scope: &Scope,
    who: &Caller,
    head: &TraceHead,
    facts: &Facts,
) -> bool {
    is_granted(&Ask::new(row, scope, who, head), facts)
}

fn head(now: Timestamp) -> TraceHead {
    super::provisioning::head("nobody calls".into(), now)
}
