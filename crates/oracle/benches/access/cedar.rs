//! The same tenants in Cedar, in the shape that suits it: groups and scopes are its hierarchies, a role is a
//! group of actions, each role assignment one `permit` and each policy one `forbid`.

use super::access::Times;
use super::tenant::{Question, Tenant, id};
use cedar_policy::{
    Authorizer, Context, Decision, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    Policy, PolicyId, PolicySet, Request,
};
use gate::facts::List;
use gate::{Facts, judge_quickly};
use model::operations::operation;
use model::{ObjectId, Op, Scope};
use std::collections::{BTreeMap, HashSet};

/// More assignments than these are too many to wait for, with all of them in one set.
const WHOLE_MAX: usize = 4_000;
/// And of all questions that set is asked so many.
const WHOLE_QUESTIONS: usize = 100;
const OPS: [Op; 3] = [Op::PutDevice, Op::GetDevice, Op::DeleteDevice];

/// One question with the policies that somebody who knew the tenant would pick for it.
struct Asked {
    request: Request,
    sliced: PolicySet,
}

/// Asks Cedar what was asked of the gates: every answer must be the same, and only the answers are timed.
pub fn beside(tenant: &Tenant, facts: &Facts, questions: &[Question]) {
    let count = tenant.assignments.len();
    let what = format!("cedar, {count} assignments");
    let entities = entities(tenant, facts);
    let policies = Policies::of(tenant, facts);
    let asked: Vec<Asked> = questions
        .iter()
        .map(|it| Asked { request: request(it), sliced: policies.of_caller(it, facts) })
        .collect();
    let cedar = Authorizer::new();
    let is_allowed = |request: &Request, set: &PolicySet| {
        cedar.is_authorized(request, set, &entities).decision() == Decision::Allow
    };
    for (it, question) in asked.iter().zip(questions) {
        let ours = judge_quickly(&question.ask(), facts);
        assert_eq!(is_allowed(&it.request, &it.sliced), ours, "{}", it.request);
    }
    let asks: Vec<_> = questions.iter().map(Question::ask).collect();
    let ours = Times::of(&asks, |it| judge_quickly(it, facts));
    let tell = |which: &str, its: &Times| {
        println!(
            "{what}, {which}: {:.0} ns median, {:.0} ns p99; {:.0} and {:.0} times Hubward's",
            its.median(),
            its.p99(),
            its.median() / ours.median(),
            its.p99() / ours.p99()
        );
    };
    tell(
        "the caller's policies picked",
        &Times::of(&asked, |it| is_allowed(&it.request, &it.sliced)),
    );
    if count > WHOLE_MAX {
        println!("{what}, all policies: not measured");
        return;
    }
    let whole = policies.all();
    let some = asked.get(..WHOLE_QUESTIONS).unwrap_or(&asked);
    tell("all policies", &Times::of(some, |it| is_allowed(&it.request, &whole)));
}

fn uid(kind: &str, id: &str) -> EntityUid {
    let kind: EntityTypeName = kind.parse().unwrap();
    EntityUid::from_type_name_and_id(kind, EntityId::new(id.to_ascii_lowercase()))
}

fn principal(id: ObjectId) -> EntityUid {
    uid("Principal", &id.to_string())
}

fn place(scope: &Scope) -> EntityUid {
    uid("Scope", scope.as_str())
}

fn action(op: Op) -> EntityUid {
    uid("Action", &format!("{op:?}"))
}

fn request(question: &Question) -> Request {
    let caller = question.caller.object_id.unwrap();
    let scope = place(&question.scope);
    let context = Context::empty();
    Request::new(principal(caller), action(question.op), scope, context, None).unwrap()
}

/// All policies of a tenant, each parsed once.
struct Policies {
    grants: BTreeMap<ObjectId, Vec<Policy>>,
    denials: Vec<Policy>,
}

impl Policies {
    fn of(tenant: &Tenant, facts: &Facts) -> Self {
        let mut grants: BTreeMap<ObjectId, Vec<Policy>> = BTreeMap::new();
        for (number, it) in tenant.assignments.iter().enumerate() {
            let text = format!(
                "permit(principal in {}, action in {}, resource in {});",
                principal(it.principal),
                uid("Action", &it.role.to_string()),
                place(&it.scope)
            );
            let policy = Policy::parse(Some(PolicyId::new(format!("a{number}"))), text).unwrap();
            assert_eq!(policy.effect(), Effect::Permit);
            grants.entry(it.principal).or_default().push(policy);
        }
        let hub = uid("Scope", &tenant.hubs[0]);
        let denials = (0..facts.policy_assignments.len()).map(|number| {
            // `never-*` names nothing that is asked about: its rule is left out, which is to Cedar's favour.
            let text = format!(
                "forbid(principal == {}, action == {}, resource in {hub});",
                principal(id(8, number)),
                action(Op::PutDevice)
            );
            Policy::parse(Some(PolicyId::new(format!("p{number}"))), text).unwrap()
        });
        Self { grants, denials: denials.collect() }
    }

    fn all(&self) -> PolicySet {
        let all = self.grants.values().flatten().chain(&self.denials);
        PolicySet::from_policies(all.cloned()).unwrap()
    }

    /// What the caller and its groups hold, and every denial.
    fn of_caller(&self, question: &Question, facts: &Facts) -> PolicySet {
        let caller = question.caller.object_id.unwrap();
        let groups = facts.groups.of(caller).iter().map(|it| it.group);
        let held = std::iter::once(caller).chain(groups).filter_map(|it| self.grants.get(&it));
        PolicySet::from_policies(held.flatten().chain(&self.denials).cloned()).unwrap()
    }
}

fn entities(tenant: &Tenant, facts: &Facts) -> Entities {
    let mut parents: BTreeMap<EntityUid, HashSet<EntityUid>> = BTreeMap::new();
    // A role is a group of the actions that it grants.
    for op in OPS {
        let actions = operation(op).actions;
        let granting = facts.roles_that_grant(actions, List::DataActions);
        let roles = granting.iter().map(|it| uid("Action", &it.id.to_string()));
        parents.insert(action(op), roles.collect());
    }
    for number in 0..tenant.principals {
        let groups = facts.groups.of(id(2, number)).iter().map(|it| principal(it.group));
        parents.insert(principal(id(2, number)), groups.collect());
    }
    let group = |name: &str| format!("/providers/Microsoft.Management/managementGroups/{name}");
    for it in facts.management.all() {
        let above = it.parent.iter().map(|it| uid("Scope", &group(it)));
        parents.insert(uid("Scope", &group(&it.name)), above.collect());
    }
    for hub in &tenant.hubs {
        let hub = Scope::parse(hub).unwrap();
        let (group_scope, subscription) =
            (hub.resource_group_scope().unwrap(), hub.subscription_scope().unwrap());
        let name = facts.management.of_subscription(hub.subscription_id().unwrap());
        parents.insert(place(&hub), HashSet::from([place(&group_scope)]));
        parents.insert(place(&group_scope), HashSet::from([place(&subscription)]));
        parents.insert(place(&subscription), HashSet::from([uid("Scope", &group(name))]));
    }
    let all = parents.into_iter().map(|(it, parents)| Entity::new_no_attrs(it, parents));
    Entities::from_entities(all, None).unwrap()
}
