//! Which change made a gate refuse: the noted changes of what decides are taken back one after another, on
//! a copy of the facts, until the gate would have let the call pass.

use super::case::{Case, Planned, is_refused_at, without_policies};
use crate::authorization::revisions::{self, Author, Before, Noted};
use crate::call::may_see;
use crate::facts;
use gate::Facts;
use gate::policy::Exemption;
use model::trace::{Finding, FindingResult};
use model::{Error, Gate, Op, Scope, Timestamp, Trace};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use store::{Table, tables};

/// What happened to a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Verb {
    Created,
    Updated,
    Deleted,
    /// By itself, at its end.
    Expired,
}

/// A change as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    /// `policyAssignment` and the like.
    pub(super) kind: &'static str,
    pub(super) id: String,
    /// Its name for people; a role's with whom it was given to would be longer than an id.
    pub(super) name: String,
    pub(super) verb: Verb,
    pub(super) time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) author: Option<Author>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tracking_id: Option<String>,
}

/// A change that can be taken back.
struct Past {
    time: Timestamp,
    commit: u64,
    undo: Undo,
    change: Change,
}

enum Undo {
    Document {
        table: Table,
        key: String,
        /// `None` where there was nothing.
        body: Option<Value>,
    },
    Lifted(Box<Exemption>),
    /// Nobody knows any more what was there.
    Forgotten,
}

/// The change that made a gate refuse.
pub(super) struct Cause {
    pub(super) time: Timestamp,
    /// `None` where the asker may not read what was changed.
    pub(super) change: Option<Change>,
}

/// Changes to take back, and whether there are more than were read.
#[derive(Default)]
struct History {
    past: Vec<Past>,
    is_cut: bool,
}

/// The last change since which `gate` refuses the call, where one is noted that explains it; `true` beside
/// it where not everything that is noted was read.
pub(super) async fn cause(
    case: &Case<'_>,
    gate: Gate,
    call: &Planned,
    trace: &Trace,
) -> Result<(Option<Cause>, bool), Error> {
    let History { mut past, is_cut } = match gate {
        Gate::Policy => policies(case, trace).await?,
        Gate::Access => roles(case).await?,
        Gate::Authentication | Gate::ConditionalAccess | Gate::Resource => History::default(),
    };
    past.sort_by_key(|it| (it.time, it.commit));
    let mut before = match gate {
        Gate::Access => without_policies(case.facts),
        Gate::Authentication | Gate::ConditionalAccess | Gate::Policy | Gate::Resource => {
            case.facts.clone()
        }
    };
    for it in past.into_iter().rev() {
        if !it.undo.apply(&mut before)? {
            break;
        }
        let judged = case.judge_as(call, &case.proof.caller, &before, it.time);
        if !is_refused_at(&judged, gate) {
            let is_shown = may_read(case, &it);
            let change = is_shown.then_some(it.change);
            return Ok((Some(Cause { time: it.time, change }), is_cut));
        }
    }
    Ok((None, is_cut))
}

impl Undo {
    /// `false` where it cannot be taken back.
    fn apply(&self, before: &mut Facts) -> Result<bool, Error> {
        match self {
            Self::Forgotten => return Ok(false),
            Self::Lifted(exemption) => before.put_policy_exemption((**exemption).clone()),
            Self::Document { table, key, body } => {
                let body = body.as_ref().map(Value::to_string);
                let body = body.as_ref().map(String::as_bytes);
                facts::put(before, *table, key, body)
                    .map_err(|message| Error::Internal { message })?;
            }
        }
        Ok(true)
    }
}

fn may_read(case: &Case<'_>, past: &Past) -> bool {
    let op = match past.change.kind {
        "policyDefinition" => Op::GetPolicyDefinition,
        "policySetDefinition" => Op::GetPolicySetDefinition,
        "policyExemption" => Op::GetPolicyExemption,
        "roleAssignment" => Op::GetRoleAssignment,
        "roleDefinition" => Op::GetRoleDefinition,
        _ => Op::GetPolicyAssignment,
    };
    Scope::parse(&past.change.id)
        .is_ok_and(|it| may_see(case.permit, op, &it, case.facts, case.env))
}

/// The changes of every policy that denies, and of the exemptions from it.
async fn policies(case: &Case<'_>, trace: &Trace) -> Result<History, Error> {
    let denying: Vec<&Finding> = denying(trace).collect();
    let ids: BTreeSet<String> = denying.iter().map(|it| it.id.to_ascii_lowercase()).collect();
    let definitions: BTreeSet<String> = denying
        .iter()
        .filter_map(|it| Some(it.rule.as_ref()?.definition_id.to_ascii_lowercase()))
        .collect();
    let mut found = History::default();
    let everything = |_: &Noted| true;
    for id in &ids {
        let kind = Kind { table: tables::POLICY_ASSIGNMENTS, name: "policyAssignment" };
        kind.note(case, &revisions::prefix(id), &everything, &mut found).await?;
    }
    for id in &definitions {
        let kind = Kind { table: tables::POLICY_DEFINITIONS, name: "policyDefinition" };
        kind.note(case, &revisions::prefix(id), &everything, &mut found).await?;
    }
    let initiatives: BTreeSet<String> = denying
        .iter()
        .filter_map(|it| Some(it.rule.as_ref()?.initiative.as_ref()?.id.to_ascii_lowercase()))
        .collect();
    for id in &initiatives {
        let kind = Kind { table: tables::POLICY_SET_DEFINITIONS, name: "policySetDefinition" };
        kind.note(case, &revisions::prefix(id), &everything, &mut found).await?;
    }
    let is_from_one = |it: &Noted| {
        let exempts = |document: &Value| {
            model::json::text(document, &["properties", "policyAssignmentId"])
                .is_some_and(|it| ids.contains(&it.to_ascii_lowercase()))
        };
        exempts(&it.after) || matches!(&it.before, Before::Document(former) if exempts(former))
    };
    let kind = Kind { table: tables::POLICY_EXEMPTIONS, name: "policyExemption" };
    for scope in at_and_above(&case.hub.scope) {
        let prefix = format!("{scope}/providers/microsoft.authorization/policyexemptions/");
        kind.note(case, &prefix, &is_from_one, &mut found).await?;
    }
    let over = case.facts.policy_exemptions.values().filter_map(|it| {
        let end = it.expires.filter(|end| *end <= case.head.time)?;
        let is_meant = ids.contains(&it.assignment_id.to_ascii_lowercase());
        is_meant.then(|| expired(it, end))
    });
    found.past.extend(over);
    Ok(found)
}

/// What denies in a trace.
pub(super) fn denying(trace: &Trace) -> impl Iterator<Item = &Finding> {
    let step = trace.step(Gate::Policy);
    step.into_iter()
        .flat_map(|it| &it.findings)
        .filter(|it| matches!(it.result, FindingResult::Deny | FindingResult::Error))
}

fn expired(exemption: &Exemption, end: Timestamp) -> Past {
    Past {
        time: end,
        commit: 0,
        undo: Undo::Lifted(Box::new(Exemption { expires: None, ..exemption.clone() })),
        change: Change {
            kind: "policyExemption",
            id: exemption.id.clone(),
            name: exemption.name.clone(),
            verb: Verb::Expired,
            time: end.rfc3339(),
            author: None,
            tracking_id: None,
        },
    }
}

/// The changes of the roles that the service's identity has or had at the hub.
async fn roles(case: &Case<'_>) -> Result<History, Error> {
    let Some(identity) = case.proof.caller.object_id else { return Ok(History::default()) };
    // Who is in a group has no former states: what its groups of today were given counts.
    let groups = case.facts.groups.of(identity).iter().map(|it| it.group.to_string());
    let holders: Vec<String> = groups.chain([identity.to_string()]).collect();
    let is_own = |it: &Noted| {
        let names = |document: &Value| {
            model::json::text(document, &["properties", "principalId"])
                .is_some_and(|id| holders.iter().any(|it| it.eq_ignore_ascii_case(id)))
        };
        names(&it.after) || matches!(&it.before, Before::Document(former) if names(former))
    };
    let places = at_and_above(&case.hub.scope);
    let kind = Kind { table: tables::ROLE_ASSIGNMENTS, name: "roleAssignment" };
    let mut found = History::default();
    for scope in &places {
        let prefix = format!("{scope}/providers/microsoft.authorization/roleassignments/");
        kind.note(case, &prefix, &is_own, &mut found).await?;
    }
    // Built-in roles never change. One of the tenant's own is written at any scope at which it can be assigned.
    let own: BTreeSet<String> = case
        .facts
        .held_by(identity)
        .filter(|it| case.facts.roles.get(&it.role).is_some_and(|it| !it.is_builtin))
        .map(|it| it.role.to_string())
        .collect();
    let kind = Kind { table: tables::ROLE_DEFINITIONS, name: "roleDefinition" };
    for scope in &places {
        for role in &own {
            let id = format!("{scope}/providers/microsoft.authorization/roledefinitions/{role}");
            kind.note(case, &revisions::prefix(&id), &|_| true, &mut found).await?;
        }
    }
    Ok(found)
}

/// A scope and all above it, as keys begin that lie there.
fn at_and_above(scope: &Scope) -> Vec<String> {
    let above = [scope.resource_group_scope(), scope.subscription_scope()];
    let mut all: Vec<String> = above.into_iter().flatten().map(|it| it.key()).collect();
    all.extend([scope.key(), String::new()]);
    all
}

/// A kind of document with its name for people.
struct Kind {
    table: Table,
    name: &'static str,
}

impl Kind {
    /// Adds the wanted changes behind a prefix.
    async fn note(
        &self,
        case: &Case<'_>,
        prefix: &str,
        wanted: &(dyn Fn(&Noted) -> bool + Sync),
        found: &mut History,
    ) -> Result<(), Error> {
        let (noted, is_cut) = revisions::noted(case.env, prefix, wanted).await?;
        found.past.extend(noted.into_iter().map(|it| self.past(case, it)));
        found.is_cut |= is_cut;
        Ok(())
    }

    fn past(&self, case: &Case<'_>, noted: Noted) -> Past {
        let Noted { key, commit, time, author, tracking_id, before, after } = noted;
        let verb = match (&before, after.is_null()) {
            (_, true) => Verb::Deleted,
            (Before::Nothing, false) => Verb::Created,
            (Before::Document(_) | Before::Forgotten, false) => Verb::Updated,
        };
        let shown = match &before {
            Before::Document(former) if after.is_null() => former,
            Before::Document(_) | Before::Nothing | Before::Forgotten => &after,
        };
        let text = |path: &[&str]| model::json::text(shown, path).unwrap_or("").to_owned();
        let id = Some(text(&["id"])).filter(|it| !it.is_empty()).unwrap_or_else(|| key.clone());
        let name = match self.table {
            tables::ROLE_ASSIGNMENTS => role_name(case, shown),
            tables::ROLE_DEFINITIONS => text(&["properties", "roleName"]),
            _ => text(&["name"]),
        };
        let key = match self.table {
            tables::ROLE_DEFINITIONS => key.rsplit('/').next().unwrap_or("").to_owned(),
            _ => key,
        };
        let undo = match before {
            Before::Nothing => Undo::Document { table: self.table, key, body: None },
            Before::Document(body) => Undo::Document { table: self.table, key, body: Some(body) },
            Before::Forgotten => Undo::Forgotten,
        };
        let change = Change {
            kind: self.name,
            id,
            name,
            verb,
            time: time.rfc3339(),
            author: Some(author),
            tracking_id: Some(tracking_id).filter(|it| !it.is_empty()),
        };
        Past { time, commit, undo, change }
    }
}

/// The role that an assignment gives, by its name.
fn role_name(case: &Case<'_>, assignment: &Value) -> String {
    let id = model::json::text(assignment, &["properties", "roleDefinitionId"]).unwrap_or("");
    let id = id.rsplit('/').next().unwrap_or("");
    let role = model::ObjectId::parse(id).and_then(|it| case.facts.roles.get(&it));
    role.map_or_else(|| id.to_owned(), |it| it.name.clone())
}
