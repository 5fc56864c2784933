//! How somebody stands to an operation, as an asker is shown it: through what, and what stands against it.
//!
//! Decides nothing: `gate::standing` asks the gates. Here are the question's parts, and what of the answer the asker
//! may read.

use crate::call::may_see;
use crate::env::Env;
use gate::facts::SharedAccess;
use gate::standing::{Standing, Survey};
use gate::{Ask, Facts, Permit};
use model::operations::{Operation, Right};
use model::trace::{Caller, Finding, FindingKind, Object, TraceHead};
use model::{Error, Op, Scope};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// What is asked, ready for the gates.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) row: &'static Operation,
    pub(crate) scope: &'a Scope,
    pub(crate) objects: &'a [Object],
    pub(crate) head: &'a TraceHead,
}

/// Who asks, and what of the answer is shown.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) permit: &'a Permit,
    pub(crate) env: &'a Env,
    pub(crate) facts: &'a Facts,
    /// The question is about the asker: its own roles it may always see.
    pub(crate) is_own: bool,
}

impl Question<'_> {
    pub(crate) fn standing(&self, caller: &Caller, survey: &Survey<'_>) -> Standing {
        let ask = Ask::new(self.row, self.scope, caller, self.head);
        survey.standing(&Ask { objects: self.objects, ..ask })
    }
}

/// Looks that take a while and run at once; the others wait.
const LOOKS_MAX: usize = 2;
static LOOKS: Semaphore = Semaphore::const_new(LOOKS_MAX);

/// Runs what takes a while beside the threads that serve.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let ended = |it: String| Error::Internal { message: format!("the look ended badly: {it}") };
    let _turn = LOOKS.acquire().await.map_err(|it| ended(it.to_string()))?;
    tokio::task::spawn_blocking(work).await.map_err(|it| ended(it.to_string()))
}

/// Who it is.
pub(crate) fn who(caller: &Caller) -> Value {
    json!({ "objectId": caller.object_id, "name": caller.name, "type": caller.kind.as_str() })
}

impl Asker<'_> {
    /// The role assignments that the asker could read where they lie.
    pub(crate) fn through(&self, found: &[Finding]) -> Value {
        let seen = found.iter().filter(|it| self.is_own || self.may_read(it));
        seen.map(assignment).collect()
    }

    /// What stands against it; of what the asker could not read, the kind alone.
    pub(crate) fn against(&self, found: &[Finding]) -> Value {
        let told = found.iter().map(|it| match self.may_read(it) {
            true => {
                json!({ "kind": kind(it), "id": it.id, "name": it.name, "reason": it.reason })
            }
            false => json!({ "kind": kind(it) }),
        });
        told.collect()
    }

    fn may_read(&self, found: &Finding) -> bool {
        let op = match found.kind {
            FindingKind::RoleAssignment => Op::GetRoleAssignment,
            FindingKind::DenyAssignment => Op::GetDenyAssignment,
            FindingKind::Lock => Op::GetLock,
            // Who may not read the policies of a place does not see its network rules either.
            FindingKind::Token
            | FindingKind::Sas
            | FindingKind::Secret
            | FindingKind::Certificate
            | FindingKind::ConditionalAccessPolicy
            | FindingKind::PolicyRule
            | FindingKind::SasRight
            | FindingKind::Plane
            | FindingKind::Network
            | FindingKind::Resource
            | FindingKind::SecurityPolicy => Op::GetPolicyAssignment,
        };
        Scope::parse(&found.id).is_ok_and(|it| may_see(self.permit, op, &it, self.facts, self.env))
    }
}

fn assignment(found: &Finding) -> Value {
    let role = found.role.as_ref();
    json!({
        "roleAssignmentId": found.id,
        "roleName": role.map(|it| &it.role_name),
        "scope": role.map(|it| &it.scope),
        "groups": role.map(|it| &it.through),
    })
}

fn kind(found: &Finding) -> &'static str {
    match found.kind {
        FindingKind::PolicyRule => "policy",
        FindingKind::DenyAssignment => "denyAssignment",
        FindingKind::RoleAssignment => "condition",
        FindingKind::Lock => "lock",
        FindingKind::Network => "network",
        FindingKind::Token
        | FindingKind::Sas
        | FindingKind::Secret
        | FindingKind::Certificate
        | FindingKind::ConditionalAccessPolicy
        | FindingKind::SasRight
        | FindingKind::Plane
        | FindingKind::Resource
        | FindingKind::SecurityPolicy => "resource",
    }
}

/// The keys of the service that lies at a place, and the operations that list and that set them.
pub(crate) fn keys_at<'f>(scope: &Scope, facts: &'f Facts) -> Option<([Op; 2], &'f SharedAccess)> {
    let hub = facts.hub(scope).map(|it| ([Op::ListHubKeys, Op::PutHub], &it.access));
    hub.or_else(|| facts.dps(scope).map(|it| ([Op::ListDpsKeys, Op::PutDps], &it.access)))
}

/// What gets somebody keys that do the same as a role would: who may list those of a policy with a right for it, while
/// keys count, and always who may write the service: a body can hold policies with keys of its own, and switches keys
/// on again.
pub(crate) fn by_keys(
    row: &Operation,
    scope: &Scope,
    facts: &Facts,
) -> impl Iterator<Item = (&'static str, Op)> {
    let found = keys_at(scope, facts).filter(|_| !row.sas.is_empty());
    let ways = found.map(|([lists, writes], access)| {
        let covers = |held: &Right| row.sas.iter().any(|needed| held.covers(*needed));
        let does = access.policies.iter().any(|it| it.rights.iter().any(covers));
        let lists = (does && !access.is_disabled).then_some(("lists", lists));
        lists.into_iter().chain([("writes", writes)])
    });
    ways.into_iter().flatten()
}

/// What else follows for who can do this: keys open all data, whatever roles say. Nothing where they do not.
pub(crate) fn opens(row: &Operation, scope: &Scope, facts: &Facts) -> Option<&'static str> {
    let keys = keys_at(scope, facts);
    if matches!(row.op, Op::PutHub | Op::PatchHub | Op::PutDps | Op::PatchDps) && keys.is_some() {
        return Some(
            "all data, without any data role: whoever may write the service sets the keys of its policies, and \
             switches them on",
        );
    }
    if !matches!(row.op, Op::ListHubKeys | Op::GetHubKey | Op::ListDpsKeys | Op::GetDpsKey) {
        return None;
    }
    match keys {
        Some((_, access)) if access.is_disabled => {
            Some("no data: the keys are switched off (`disableLocalAuth`)")
        }
        Some(_) | None => Some(
            "all data, without any data role: whoever has the keys signs for what their policies allow, \
             until `disableLocalAuth` switches them off",
        ),
    }
}
