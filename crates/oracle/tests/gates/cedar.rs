//! Roles without subtraction, against Cedar: groups and scopes are its hierarchies, each role assignment is
//! one of its policies.
//!
//! Left out is what Cedar has no word for: subtraction, denials with exclusions, a segment that `*` stands for
//! and that is missing, groups in circles, actions that must be named, changes that are seen late.

use super::bridge::{Question, caller, facts};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request, RestrictedExpression,
};
use model::trace::Gate;
use oracle::generate::{self, Names};
use oracle::request::Who;
use oracle::{Plane, Random, World};
use std::collections::{BTreeMap, BTreeSet, HashSet};

const WORLDS: u64 = 200;
const REQUESTS: usize = 50;

#[test]
fn roles_without_subtraction_grant_what_cedar_permits() {
    let names = Names::usual();
    let mut compared = [0, 0];
    for seed in 0..WORLDS {
        let mut random = Random::new(seed);
        let world = without_what_cedar_lacks(generate::world(&mut random, &names));
        let (facts, policies) = (facts(&world), policies(&world));
        for _ in 0..REQUESTS {
            let mut request = generate::request(&mut random, &names);
            request.view = None;
            let Who::Principal { id, .. } = &request.who else { continue };
            let plane = match request.operation.plane {
                Plane::Control => "control",
                Plane::Data => "data",
                Plane::Directory | Plane::Device => continue,
            };
            let question = Question::new(&request);
            let Ok((caller, step)) = caller(&request, &question, &facts) else { continue };
            if !request.linked.is_empty() {
                continue;
            }
            let judged = gate::judge_timed(step, &question.ask(&caller), &facts, &|| 0);
            let is_granted = judged.trace.outcome.gate != Some(Gate::Access);
            let entities = entities(&world, &request.scope);
            let permits = request
                .operation
                .actions
                .iter()
                .all(|it| is_permitted(id, it, plane, &request.scope, &policies, &entities));
            assert_eq!(is_granted, permits, "seed {seed}\n{request:#?}\n{policies}");
            compared[usize::from(permits)] += 1;
        }
    }
    println!("refused and permitted: {compared:?}");
    assert!(compared.iter().all(|it| *it > 500), "{compared:?}");
}

fn without_what_cedar_lacks(mut world: World) -> World {
    world.has_explicit_grants = false;
    world.deny_assignments.clear();
    world.policy_assignments.clear();
    world.locks.clear();
    world.role_assignments.retain(|it| it.deleted_ms.is_none());
    for block in world.roles.iter_mut().flat_map(|it| &mut it.permissions) {
        block.not_actions.clear();
        block.not_data_actions.clear();
        block.actions.retain(|it| !it.contains("/*/"));
        block.data_actions.retain(|it| !it.contains("/*/"));
    }
    // A group holds only groups that come after it.
    let ids: Vec<String> = world.groups.iter().map(|it| it.id.clone()).collect();
    for (at, group) in world.groups.iter_mut().enumerate() {
        group.members.retain(|it| !ids.iter().take(at + 1).any(|id| id == it));
    }
    world
}

fn uid(kind: &str, id: &str) -> EntityUid {
    let kind: EntityTypeName = kind.parse().unwrap();
    EntityUid::from_type_name_and_id(kind, EntityId::new(id.to_lowercase()))
}

fn policies(world: &World) -> PolicySet {
    let mut text = String::new();
    for assignment in &world.role_assignments {
        for role in world.roles.iter().filter(|it| it.id == assignment.role) {
            for block in &role.permissions {
                for (plane, patterns) in
                    [("control", &block.actions), ("data", &block.data_actions)]
                {
                    for pattern in patterns {
                        text += &format!(
                            "permit(principal in {}, action == {}, resource in {}) when {{ context.name like {:?} }};\n",
                            uid("Principal", &assignment.principal),
                            uid("Action", plane),
                            uid("Scope", &tidied(&assignment.scope)),
                            pattern.to_lowercase(),
                        );
                    }
                }
            }
        }
    }
    text.parse().unwrap()
}

fn tidied(scope: &str) -> String {
    chain(scope).pop().unwrap_or_else(|| "/".into())
}

/// The places on the way to a scope, itself last: kind and name each, with the provider where one stands.
fn chain(scope: &str) -> Vec<String> {
    let lower = scope.to_lowercase();
    let all: Vec<&str> = lower.split('/').filter(|it| !it.is_empty()).collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < all.len() {
        at += if all[at] == "providers" { 4 } else { 2 };
        found.push(format!("/{}", all[..at.min(all.len())].join("/")));
    }
    found
}

fn entities(world: &World, asked: &str) -> Entities {
    const GROUPS: &str = "/providers/microsoft.management/managementgroups/";
    let group = |name: &str| format!("{GROUPS}{}", name.to_lowercase());
    let mut above: BTreeMap<String, String> = BTreeMap::new();
    for it in &world.management_groups {
        let parent = it.parent.as_deref().map_or("/".to_owned(), group);
        above.insert(group(&it.name), parent);
    }
    for it in &world.subscriptions {
        let parent = it.management_group.as_deref().unwrap_or(&world.tenant);
        above.insert(format!("/subscriptions/{}", it.id.to_lowercase()), group(parent));
    }
    let scopes = world.role_assignments.iter().map(|it| it.scope.as_str()).chain([asked]);
    for scope in scopes {
        let mut parent = "/".to_owned();
        for place in chain(scope) {
            above.entry(place.clone()).or_insert(parent);
            parent = place;
        }
    }
    let mut listed_in: BTreeMap<String, HashSet<EntityUid>> = BTreeMap::new();
    for it in &world.groups {
        for member in &it.members {
            listed_in.entry(member.clone()).or_default().insert(uid("Principal", &it.id));
        }
    }
    let mut all: BTreeSet<String> = listed_in.keys().cloned().collect();
    all.extend(world.principals.iter().map(|it| it.id.clone()));
    all.extend(world.groups.iter().map(|it| it.id.clone()));
    let people = all.into_iter().map(|it| {
        let groups = listed_in.remove(&it).unwrap_or_default();
        Entity::new_no_attrs(uid("Principal", &it), groups)
    });
    let places = above.iter().map(|(at, parent)| {
        Entity::new_no_attrs(uid("Scope", at), HashSet::from([uid("Scope", parent)]))
    });
    let root = Entity::new_no_attrs(uid("Scope", "/"), HashSet::new());
    Entities::from_entities(people.chain(places).chain([root]), None).unwrap()
}

fn is_permitted(
    who: &str,
    action: &str,
    plane: &str,
    scope: &str,
    policies: &PolicySet,
    entities: &Entities,
) -> bool {
    let name = RestrictedExpression::new_string(action.to_lowercase());
    let context = Context::from_pairs([("name".to_owned(), name)]).unwrap();
    let request = Request::new(
        uid("Principal", who),
        uid("Action", plane),
        uid("Scope", &tidied(scope)),
        context,
        None,
    );
    let answer = Authorizer::new().is_authorized(&request.unwrap(), policies, entities);
    answer.decision() == Decision::Allow
}
