//! Advice from use: who still uses keys and which role would take the place of each, which roles principals need for what
//! they have really done, and who reaches keys.
//!
//! What was not seen is not proposed: who has no use on record is listed as such. What is on record is in `observed.rs`,
//! roles are chosen in `advise/roles.rs`.

pub(crate) mod keys;
mod reaching;
mod roles;

use crate::advice::{assigns, quoted};
use crate::call::may_see;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::observed::{self, Use};
use crate::questions::caller_as;
use gate::facts::{Principal, RoleAssignment};
use gate::{Facts, Permit, rejudge};
use model::operations::named;
use model::trace::Recorded;
use model::{Error, Gate, ObjectId, Op, Plane, Scope, Timestamp};
use roles::{Need, needs};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most principals that an answer names of each kind.
const NAMED_MAX: usize = 1_000;
/// Most operations that are listed of one principal.
const USED_MAX: usize = 200;
/// Principals after which others get their turn.
const BETWEEN_PAUSES: usize = 20;
/// Stands for whoever holds the proposed roles and nothing else.
const TRIED: ObjectId = ObjectId(uuid::Uuid::from_u128(1));

/// `POST /decisions/advise`.
///
/// # Errors
/// [`Error::Unavailable`] where the store fails.
pub(crate) async fn ask(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let scope = permit.scope();
    let (mut by_key, mut by_principal) = (Vec::new(), BTreeMap::<ObjectId, Vec<Use>>::new());
    let span = observed::look(env, scope, &facts, &mut |mut it| {
        // What a call wrote is nothing to roles, and may be large.
        it.samples.iter_mut().for_each(|it| it.call.objects.clear());
        match it.object_id {
            _ if it.is_by_key() => by_key.push(it),
            // Roles of the directory are another matter: Owner alone has them.
            Some(id) if it.allowed > 0 && plane_of(&it) != Some(Plane::Directory) => {
                by_principal.entry(id).or_default().push(it);
            }
            Some(_) | None => {}
        }
    })
    .await?;
    let (mut seen, mut unseen) = (Vec::new(), Vec::new());
    let mut near: Vec<&Principal> = facts
        .principals
        .values()
        .filter(|it| by_principal.contains_key(&it.id) || facts.has_any_role_near(it.id, scope))
        .collect();
    near.sort_by(|a, b| (&a.display_name, a.id).cmp(&(&b.display_name, b.id)));
    for (index, principal) in near.into_iter().enumerate() {
        if index % BETWEEN_PAUSES == BETWEEN_PAUSES - 1 {
            // Others wait for this thread, too.
            tokio::task::yield_now().await;
        }
        let looked = Looked { permit, env, facts: &facts, scope };
        match by_principal.get(&principal.id) {
            Some(uses) => seen.push(looked.seen(principal, uses)),
            None => unseen.push(looked.who(principal)),
        }
    }
    let mut more = 0;
    for list in [&mut seen, &mut unseen] {
        more += list.len().saturating_sub(NAMED_MAX);
        list.truncate(NAMED_MAX);
    }
    let (reaching, is_cut) = reaching::keys(permit, scope, &facts, env).await;
    Ok(Reply::ok(json!({
        "scope": scope,
        "since": span.since.rfc3339(),
        "forgotten": span.forgotten,
        "keys": keys::by_policy(&by_key, &facts),
        "principals": seen,
        "unseen": unseen,
        "reachKeys": reaching,
        "isCut": is_cut,
        "more": more,
    })))
}

fn plane_of(used: &Use) -> Option<Plane> {
    named(&used.operation).map(|it| it.plane)
}

/// For whom advice is made, and where.
struct Looked<'a> {
    permit: &'a Permit,
    env: &'a Env,
    facts: &'a Facts,
    scope: &'a Scope,
}

impl Looked<'_> {
    fn who(&self, principal: &Principal) -> Value {
        json!({
            "name": principal.display_name,
            "objectId": principal.id,
            "type": principal.kind.as_str(),
            "holds": self.holds(principal),
        })
    }

    /// The role assignments that count in the place, those of groups included, as far as who asks may read them.
    fn holds(&self, principal: &Principal) -> Vec<Value> {
        let held = self.held(principal.id);
        let shown = held.filter(|it| {
            Scope::parse(&it.id).is_ok_and(|at| {
                may_see(self.permit, Op::GetRoleAssignment, &at, self.facts, self.env)
            })
        });
        let told = |it: &RoleAssignment| {
            let role = self.facts.roles.get(&it.role);
            let group = (it.principal != principal.id).then(|| self.facts.name_of(it.principal));
            json!({
                "roleAssignmentId": it.id,
                "roleName": role.map_or_else(|| it.role.to_string(), |it| it.name.clone()),
                "scope": it.scope,
                "group": group,
                // What it is used for elsewhere was not looked at.
                "reachesFurther": !self.facts.contains(self.scope, &it.scope),
            })
        };
        shown.map(told).collect()
    }

    fn held(&self, id: ObjectId) -> impl Iterator<Item = &RoleAssignment> {
        let (facts, scope) = (self.facts, self.scope);
        let is_near = move |it: &&RoleAssignment| {
            facts.contains(&it.scope, scope) || facts.contains(scope, &it.scope)
        };
        facts.held_by(id).map(|it| &**it).filter(is_near)
    }

    /// What somebody has used, beside what it holds and what would be enough.
    fn seen(&self, principal: &Principal, uses: &[Use]) -> Value {
        let mut told = self.who(principal);
        let used: Vec<Value> = uses
            .iter()
            .take(USED_MAX)
            .map(|it| {
                json!({
                    "operation": it.operation,
                    "actions": named(&it.operation).map(|it| it.actions.iter().map(|it| it.as_str()).collect::<Vec<_>>()),
                    "scope": it.scope,
                    "calls": it.allowed,
                    "last": it.last.map(Timestamp::rfc3339),
                })
            })
            .collect();
        let borrowed: Vec<&Use> = uses.iter().collect();
        let mut proposed = Vec::new();
        let mut given = Vec::new();
        for (at, need) in needs(&borrowed, self.facts) {
            let roles = need.roles(&at, self.facts);
            given.extend(roles.iter().map(|it| (it.id, at.clone())));
            proposed.push(self.proposal(principal, &at, &need, &roles));
        }
        let held: Vec<(ObjectId, &Scope)> =
            self.held(principal.id).map(|it| (it.role, &it.scope)).collect();
        let is_held = |(role, at): &(ObjectId, Scope)| {
            held.iter().any(|(its, where_)| its == role && where_.same_place(at))
        };
        let fits = held.len() == given.len() && given.iter().all(is_held);
        let (tried, passed) = self.tried(uses, &given);
        model::json::set(&mut told, "used", used);
        model::json::set(&mut told, "proposed", proposed);
        model::json::set(&mut told, "fits", fits);
        model::json::set(&mut told, "tried", json!({ "calls": tried, "granted": passed }));
        told
    }

    fn proposal(
        &self,
        principal: &Principal,
        at: &Scope,
        need: &Need,
        roles: &[std::sync::Arc<gate::facts::Role>],
    ) -> Value {
        let caller = caller_as(principal);
        let name = format!("{} at {}", principal.display_name, at.name());
        let custom = need.custom(&name, at);
        let assign = |role: &str| assigns(&caller, principal.id, role, at);
        let commands: Vec<String> = roles.iter().map(|it| assign(&it.name)).collect();
        let custom_command = format!(
            "az role definition create --role-definition {} && {}",
            quoted(&custom.to_string()),
            assign(&name)
        );
        let told: Vec<Value> =
            roles.iter().map(|it| json!({ "roleName": it.name, "roleId": it.id })).collect();
        json!({
            "scope": at,
            "roles": told,
            "command": commands.join(" && "),
            "needs": need.told(),
            "custom": custom,
            "customCommand": custom_command,
        })
    }

    /// How many calls on record there are, and how many of them somebody with the proposed roles alone would be
    /// granted. Policies and locks say the same as before.
    fn tried(&self, uses: &[Use], given: &[(ObjectId, Scope)]) -> (usize, usize) {
        let mut changed = self.facts.clone();
        let Some(principal) = uses.first().and_then(|it| it.object_id) else { return (0, 0) };
        let Some(known) = self.facts.principals.get(&principal) else { return (0, 0) };
        changed.put_principal(Principal { id: TRIED, ..known.clone() });
        for (index, (role, at)) in given.iter().enumerate() {
            let path = format!("providers/Microsoft.Authorization/roleAssignments/{index}");
            changed.put_role_assignment(RoleAssignment {
                id: at.join(&path).as_str().to_owned(),
                name: index.to_string(),
                principal: TRIED,
                role: *role,
                scope: at.clone(),
                created: self.env.now(),
                deleted: None,
                condition: None,
            });
        }
        let (mut tried, mut granted) = (0, 0);
        for sample in uses.iter().flat_map(|it| &it.samples) {
            let mut call: Recorded = sample.call.clone();
            call.caller.iter_mut().for_each(|it| it.object_id = Some(TRIED));
            let Ok(judged) = rejudge(&call, self.env.now(), &changed) else { continue };
            tried += 1;
            granted += usize::from(judged.denial.is_none_or(|it| it.gate != Gate::Access));
        }
        (tried, granted)
    }
}
