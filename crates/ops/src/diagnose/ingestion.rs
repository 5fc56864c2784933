//! Why does somebody who writes the security policies of devices get refused?
//!
//! Three sections, as people mend it: whether a role names what is asked, whether it is given where it counts and has
//! come everywhere, and whether the token is as new as it. The evidence are the decisions that were kept of the last day;
//! what would be decided now is put to the same gates.

mod kept;

use super::roles::{Grant, RightHeld};
use super::{Check, Mark, Section, check};
use crate::advice::{self, quoted};
use crate::call::may_see;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::questions::{caller_named, head, hide_roles};
use crate::resources::no_resource;
use gate::condition::Subject;
use gate::facts::{Hub, List, Role, RoleAssignment};
use gate::{Ask, Attributes, Facts, Permit};
use kept::Kept;
use model::operations::operation;
use model::trace::{Caller, FindingResult, Gate, TraceHead};
use model::{Error, Op, Scope};
use serde::Serialize;
use serde_json::json;

const NAMES: [&str; 3] =
    ["Policy enforcement permissions", "Role assignment scope", "Service principal and token"];
/// What a pipeline does, and what may come with it.
const OPS: [Op; 5] = [
    Op::PutSecurityPolicy,
    Op::GetSecurityPolicy,
    Op::DeleteSecurityPolicy,
    Op::PutSecuritySettings,
    Op::GetSecuritySettings,
];
/// Secrets that end within so many seconds are warned of: a week.
const ENDS_SOON_S: i64 = 7 * 24 * 3_600;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Diagnosis<'a> {
    time: String,
    hub: &'a Scope,
    /// Who writes.
    caller: &'a Caller,
    verdict: Mark,
    /// Of the last day, as they were kept.
    decisions: &'a Kept,
    sections: [Section; 3],
}

struct Case<'a> {
    env: &'a Env,
    permit: &'a Permit,
    facts: &'a Facts,
    hub: &'a Hub,
    caller: Caller,
    head: TraceHead,
    kept: Kept,
}

/// The hub that a question names.
///
/// # Errors
/// Where it is no resource of its type.
pub(crate) fn place(input: &Input) -> Result<Scope, Error> {
    super::place_of(input, "hub", "Microsoft.Devices/IotHubs")
}

/// `POST /decisions/diagnoseIngestion`.
///
/// # Errors
/// `ResourceNotFound` and `PrincipalNotFound` where there is no such hub or caller.
pub(crate) async fn diagnose(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let hub = place(input)?;
    let hub = facts.hub(&hub).ok_or_else(|| no_resource(&hub))?;
    let caller = caller_named(input.required_text(&["principal"])?, &facts)?;
    let head = head("diagnose ingestion", env);
    let kept = Kept::read(env, &caller, &hub.scope, head.time).await?;
    let case = Case { env, permit, facts: &facts, hub, caller, head, kept };
    let sections = [case.permissions(), case.scope(), case.token()];
    let diagnosis = Diagnosis {
        time: case.head.time.rfc3339(),
        hub: &hub.scope,
        caller: &case.caller,
        verdict: Mark::of(sections.iter().all(|it| it.verdict == Mark::Pass)),
        decisions: &case.kept,
        sections,
    };
    Ok(Reply::ok(json!(diagnosis)))
}

impl<'a> Case<'a> {
    /// All that the caller and its groups hold, wherever.
    fn held(&self) -> impl Iterator<Item = (&RoleAssignment, &Role)> {
        let all = self.caller.object_id.into_iter().flat_map(|it| self.facts.held_by(it));
        all.filter_map(|it| Some((&**it, &**self.facts.roles.get(&it.role)?)))
    }

    fn is_here(&self, assignment: &RoleAssignment) -> bool {
        self.facts.contains(&assignment.scope, &self.hub.scope)
    }

    /// The assignments whose role grants an action, wherever they are.
    fn granting(&self, action: &str) -> Vec<(&RoleAssignment, &Role, &str)> {
        let subject =
            Subject { action, attributes: Attributes::default(), now: Some(self.head.time) };
        let grants = |(assignment, role): (&'a RoleAssignment, &'a Role)| {
            let pattern = assignment.grants(role, List::Actions, &subject, self.facts)?;
            Some((assignment, role, pattern.as_str()))
        };
        let all = self.caller.object_id.into_iter().flat_map(|it| self.facts.held_by(it));
        let facts = self.facts;
        all.filter_map(|it| grants((&**it, &**facts.roles.get(&it.role)?))).collect()
    }

    /// What was asked in the last day, and writing policies in any case.
    fn needed(&self) -> Vec<Op> {
        let is_needed =
            |it: &Op| *it == Op::PutSecurityPolicy || self.kept.asked.contains(action(*it));
        OPS.into_iter().filter(is_needed).collect()
    }

    fn may_show(&self, assignment: &RoleAssignment) -> bool {
        Scope::parse(&assignment.id)
            .is_ok_and(|it| may_see(self.permit, Op::GetRoleAssignment, &it, self.facts, self.env))
    }

    /// 1: does a role that the caller holds, wherever, name what it asks?
    fn permissions(&self) -> Section {
        let needed = self.needed();
        let lacking: Vec<Op> =
            needed.iter().copied().filter(|it| self.granting(action(*it)).is_empty()).collect();
        let rights = OPS.map(|op| RightHeld {
            action: action(op),
            is_needed: needed.contains(&op),
            is_granted: !self.granting(action(op)).is_empty(),
            by: self.granting(action(op)).into_iter().filter_map(|it| self.grant(it)).collect(),
        });
        let names = quoted_actions(&lacking);
        let says = match lacking.is_empty() {
            true => format!("a role of `{}` names what it asks", self.caller.name),
            false => format!("no role of `{}` grants {names}", self.caller.name),
        };
        let mut section = section(NAMES[0], Mark::of(lacking.is_empty()), says);
        section.rights = rights.into();
        section.checks = self.evidence(&self.kept.missing, "lacked a permission");
        if let Some(op) = lacking.first() {
            let facts = self.facts.without_policies();
            let ask = Ask::new(operation(*op), &self.hub.scope, &self.caller, &self.head);
            let mut trace = gate::judge(&ask, &facts).trace;
            section.fixes = advice::access_fixes(&trace, &facts, self.env);
            hide_roles(&mut trace, self.permit, self.facts, self.env);
            let looked_at = trace.step(Gate::Access).map_or(&[][..], |it| &it.findings);
            let near = looked_at.iter().filter(|it| it.result == FindingResult::NoMatch);
            section.findings = near.cloned().collect();
        }
        section
    }

    fn grant(&self, (assignment, role, pattern): (&RoleAssignment, &Role, &str)) -> Option<Grant> {
        self.may_show(assignment).then(|| Grant {
            role: role.name.clone(),
            pattern: pattern.to_owned(),
            scope: assignment.scope.as_str().to_owned(),
            assignment: assignment.id.clone(),
        })
    }

    /// 2: is it given where it counts, and has that come everywhere?
    fn scope(&self) -> Section {
        let mut checks = Vec::new();
        let mut fixes = Vec::new();
        let mut is_good = true;
        for op in self.needed() {
            let granting = self.granting(action(op));
            let (here, elsewhere): (Vec<_>, Vec<_>) =
                granting.into_iter().partition(|it| self.is_here(it.0));
            is_good &= !here.is_empty() || elsewhere.is_empty();
            if let ([], [(assignment, role, _), ..]) = (here.as_slice(), elsewhere.as_slice()) {
                let says = format!(
                    "`{}` grants `{}`, and is given at `{}`, which does not contain this hub",
                    role.name,
                    action(op),
                    assignment.scope
                );
                checks.push(check(Mark::Fail, says));
                fixes.push(self.assigns(role));
            }
        }
        for (assignment, role) in self.named_here() {
            if !assignment.scope.same_place(&self.hub.scope) {
                let says = format!(
                    "`{}` is given at `{}`: the hub alone would be enough",
                    role.name, assignment.scope
                );
                checks.push(check(Mark::Note, says));
            }
            let spread = &self.env.settings.propagation;
            let left_s = spread.left_s(assignment.created, self.head.time);
            let behind = left_s.iter().filter(|it| **it > 0).count();
            let says = match left_s.iter().max().filter(|_| behind > 0) {
                None => format!("`{}` is seen everywhere", role.name),
                Some(longest_s) => format!(
                    "`{}`, given {}, is not seen by {behind} of {} replicas yet; by all in {longest_s} s",
                    role.name,
                    assignment.created.rfc3339(),
                    left_s.len()
                ),
            };
            is_good &= behind == 0;
            checks.push(check(Mark::of(behind == 0), says));
        }
        checks.extend(
            self.evidence(&self.kept.unseen, "met a replica that does not see the role yet"),
        );
        let says = match (is_good, self.named_here().next().is_none()) {
            (true, true) => "no role that would count at this hub is given (section 1)".to_owned(),
            (true, false) => "given where it counts, and seen everywhere".to_owned(),
            (false, _) => {
                "a role is given where it does not count, or not seen everywhere yet".to_owned()
            }
        };
        let mut section = section(NAMES[1], Mark::of(is_good), says);
        section.checks = checks;
        section.fixes = fixes;
        section
    }

    /// The assignments that count at the hub for something that a pipeline does.
    fn named_here(&self) -> impl Iterator<Item = (&RoleAssignment, &Role)> {
        self.held().filter(|(assignment, _)| {
            let grants = |op: &Op| {
                self.granting(action(*op)).iter().any(|(it, _, _)| it.id == assignment.id)
            };
            self.is_here(assignment) && self.needed().iter().any(grants)
        })
    }

    fn assigns(&self, role: &Role) -> advice::Fix {
        let principal = self.caller.object_id.map(|it| it.to_string()).unwrap_or_default();
        advice::Fix {
            says: format!("give `{}` the role `{}` at the hub", self.caller.name, role.name),
            command: format!(
                "az role assignment create --role {} --assignee-object-id {principal} --assignee-principal-type {} \
                 --scope {}",
                quoted(&role.name),
                self.caller.kind.directory_type(),
                quoted(self.hub.scope.as_str())
            ),
            then: "this section would pass once that has come everywhere".into(),
            warning: None,
        }
    }

    /// 3: can it sign in, and is its token as new as its role?
    fn token(&self) -> Section {
        let mut checks =
            self.evidence(&self.kept.stale, "came with a token that is older than the role");
        let mut fixes = Vec::new();
        let is_stale = self.kept.is_stale_now();
        if is_stale {
            fixes.push(advice::Fix {
                says: "ask for a new token, and again after each 403 that says `x-hubward-retry: propagation`".into(),
                command: format!("hubward ingest --hub {} FROM", quoted(self.hub.scope.as_str())),
                then: "the role is seen at once where the token brings it along".into(),
                warning: None,
            });
        }
        if self.kept.tokens > 1 && self.kept.tokens.saturating_mul(2) > self.kept.decisions {
            let says = format!(
                "{} tokens for {} decisions: one that is kept until five minutes before its end is enough, and is not \
                 throttled",
                self.kept.tokens, self.kept.decisions
            );
            checks.push(check(Mark::Warning, says));
        }
        if self.kept.unproven > 0 {
            let says = format!(
                "{} calls to policies of this hub were refused before anybody was proven, the last for {}; whose they \
                 were is not known: a token for another audience, or one that has ended",
                self.kept.unproven, self.kept.unproven_last
            );
            checks.push(check(Mark::Warning, says));
        }
        let (signs_in, says) = self.signs_in();
        if !signs_in {
            fixes.push(advice::Fix {
                says: "make a new secret".into(),
                command: format!(
                    "az ad app credential reset --id {}",
                    self.caller.app_id.map(|it| it.to_string()).unwrap_or_default()
                ),
                then: "it can sign in".into(),
                warning: Some("secrets that it has now end with that".into()),
            });
        }
        checks.push(check(Mark::of(signs_in), says));
        let says = match (is_stale, signs_in) {
            (true, _) => "its token is older than its role",
            (false, false) => "it cannot sign in",
            (false, true) => "nothing stands against its token",
        };
        let mut section = section(NAMES[2], Mark::of(!is_stale && signs_in), says.to_owned());
        section.checks = checks;
        section.fixes = fixes;
        section
    }

    /// Whether there is something to sign in with that has not ended.
    fn signs_in(&self) -> (bool, String) {
        let principal = self.caller.object_id.and_then(|it| self.facts.principals.get(&it));
        if principal.is_none_or(|it| !it.is_enabled) {
            return (false, "the principal is switched off".into());
        }
        let application = self.caller.app_id.and_then(|it| self.facts.applications.get(&it));
        let Some(application) = application else {
            return (true, "it signs in with what is not kept in the directory".into());
        };
        let now = self.head.time;
        let last = application.secrets.iter().map(|it| it.expires).max();
        match last {
            Some(end) if end <= now && application.certificates.is_empty() => {
                (false, format!("its last secret ended {}", end.rfc3339()))
            }
            Some(end) if end <= now.plus_seconds(ENDS_SOON_S) => {
                (true, format!("its last secret ends {}", end.rfc3339()))
            }
            Some(_) | None if application.has_credentials() => {
                (true, "it has what it signs in with".into())
            }
            Some(_) | None => (false, "it has nothing to sign in with".into()),
        }
    }

    fn evidence(&self, seen: &kept::Seen, what: &str) -> Vec<Check> {
        seen.last
            .iter()
            .map(|(id, time)| {
                let says = format!(
                    "{} of {} kept decisions {what}; the last {}, tracking id {id}",
                    seen.count,
                    self.kept.decisions,
                    time.rfc3339()
                );
                check(Mark::Note, says)
            })
            .collect()
    }
}

/// The one action that an operation takes.
fn action(op: Op) -> &'static str {
    operation(op).actions.first().map_or("", |it| it.as_str())
}

fn quoted_actions(ops: &[Op]) -> String {
    ops.iter().map(|it| format!("`{}`", action(*it))).collect::<Vec<_>>().join(", ")
}

fn section(name: &'static str, verdict: Mark, says: String) -> Section {
    Section {
        name,
        verdict,
        says,
        checks: Vec::new(),
        rights: Vec::new(),
        findings: Vec::new(),
        fixes: Vec::new(),
    }
}
