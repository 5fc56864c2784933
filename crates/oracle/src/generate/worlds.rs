//! A world: who is there, what lies where, who may do what.

use super::names::OWNER;
use super::rules::{PRINCIPALS, rule};
use super::{EDGES_MS, NOW_MS, Names, moment_before, patterns};
use crate::world::{
    Definition, DenyAssignment, Exemption, Group, Hub, Lock, ManagementGroup, Permission,
    PolicyAssignment, Principal, Role, RoleAssignment, SasPolicy, Subscription,
};
use crate::{Random, Right, World};

const GROUPS: usize = 3;
const ROLES: usize = 4;

pub fn world(random: &mut Random, names: &Names) -> World {
    let mut world = World {
        tenant: names.tenant.clone(),
        has_explicit_grants: random.chance(70),
        management_groups: management_groups(random, names),
        subscriptions: subscriptions(random, names),
        hubs: hubs(random, names),
        principals: principals(random, names),
        groups: groups(random, names),
        roles: roles(random, names),
        ..World::default()
    };
    let several = |random: &mut Random, from: usize, to: usize| from + random.below(to - from + 1);
    world.role_assignments =
        (0..several(random, 8, 16)).map(|it| role_assignment(random, names, it)).collect();
    if random.chance(45) {
        world.deny_assignments =
            (0..several(random, 1, 2)).map(|it| deny_assignment(random, names, it)).collect();
    }
    if random.chance(65) {
        let count = several(random, 1, 3);
        world.definitions = (0..count)
            .map(|it| Definition {
                name: names.named("definition", it),
                rules: (0..=random.below(3)).map(|_| rule(random, names)).collect(),
            })
            .collect();
        world.policy_assignments = (0..several(random, 1, 3))
            .map(|it| policy_assignment(random, names, it, count))
            .collect();
        world.exemptions =
            (0..several(random, 0, 2)).map(|it| exemption(random, names, it)).collect();
    }
    if random.chance(60) {
        world.locks = (0..several(random, 1, 2)).map(|it| lock(random, names, it)).collect();
    }
    world
}

fn management_groups(random: &mut Random, names: &Names) -> Vec<ManagementGroup> {
    let [first, second, third] = names.management_groups;
    let mut above = |name: &str, one: &str| ManagementGroup {
        name: name.to_owned(),
        parent: Some(match random.chance(60) {
            true => random.cased(one),
            false => names.tenant.clone(),
        }),
    };
    let groups = [above(second, first), above(third, second)];
    let root = ManagementGroup { name: names.tenant.clone(), parent: None };
    let top = ManagementGroup { name: first.to_owned(), parent: Some(names.tenant.clone()) };
    [root, top].into_iter().chain(groups).collect()
}

fn subscriptions(random: &mut Random, names: &Names) -> Vec<Subscription> {
    let mut put = |id: &&str| Subscription {
        id: (*id).to_owned(),
        management_group: random
            .chance(80)
            .then(|| (*random.one_of(&names.management_groups)).to_owned()),
    };
    names.subscriptions.iter().map(&mut put).collect()
}

pub(super) fn subscription(random: &mut Random, names: &Names) -> String {
    format!("/subscriptions/{}", random.one_of(&names.subscriptions))
}

pub(super) fn resource_group(random: &mut Random, names: &Names) -> String {
    let above = subscription(random, names);
    format!("{above}/resourceGroups/{}", random.one_of(&names.resource_groups))
}

pub(super) fn hub(random: &mut Random, names: &Names) -> String {
    let above = resource_group(random, names);
    format!("{above}/providers/Microsoft.Devices/IotHubs/{}", random.one_of(&names.hubs))
}

/// Any place, broad or narrow.
pub(super) fn place(random: &mut Random, names: &Names) -> String {
    let scope = match random.below(20) {
        0 => "/".to_owned(),
        1..=5 => names.management_group(random.below(4)),
        6..=11 => subscription(random, names),
        12..=15 => resource_group(random, names),
        _ => hub(random, names),
    };
    random.cased(&scope)
}

fn hubs(random: &mut Random, names: &Names) -> Vec<Hub> {
    let mut found = Vec::new();
    for subscription in names.subscriptions {
        for group in names.resource_groups {
            for hub in names.hubs {
                let (is_there, is_disabled) = (random.chance(90), random.chance(5));
                if is_there {
                    found.push(Hub {
                        scope: format!(
                            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}"
                        ),
                        host: format!("127.70.2.{}", found.len() + 1),
                        is_local_auth_disabled: is_disabled,
                        policies: sas_policies(),
                    });
                }
            }
        }
    }
    found
}

/// The policies that every hub starts with. Source: IoT Hub documentation, "Access control and permissions".
fn sas_policies() -> Vec<SasPolicy> {
    use Right::{DeviceConnect, RegistryRead, RegistryWrite, ServiceConnect};
    let policies: [(&str, &[Right]); 5] = [
        ("iothubowner", &[RegistryRead, RegistryWrite, ServiceConnect, DeviceConnect]),
        ("service", &[ServiceConnect]),
        ("device", &[DeviceConnect]),
        ("registryRead", &[RegistryRead]),
        ("registryReadWrite", &[RegistryWrite]),
    ];
    let made =
        |(name, rights): (&str, &[Right])| SasPolicy { name: name.into(), rights: rights.to_vec() };
    policies.into_iter().map(made).collect()
}

fn principals(random: &mut Random, names: &Names) -> Vec<Principal> {
    (0..PRINCIPALS)
        .map(|it| {
            let is_user = random.chance(50);
            Principal {
                id: names.principal(it),
                app_id: (!is_user).then(|| names.application(it)),
                kind: if is_user { "User" } else { "ServicePrincipal" }.into(),
            }
        })
        .collect()
}

/// Groups in groups, now and then in a circle, and members that are nobody.
fn groups(random: &mut Random, names: &Names) -> Vec<Group> {
    (0..GROUPS)
        .map(|it| {
            let mut members: Vec<String> = (0..PRINCIPALS + 1)
                .filter(|_| random.chance(45))
                .map(|it| names.principal(it))
                .collect();
            members.extend((0..GROUPS + 1).filter(|_| random.chance(45)).map(|it| names.group(it)));
            Group { id: names.group(it), members }
        })
        .collect()
}

fn roles(random: &mut Random, names: &Names) -> Vec<Role> {
    let owner = Role {
        id: OWNER.to_owned(),
        is_owner: true,
        permissions: vec![Permission { actions: vec!["*".into()], ..Permission::default() }],
    };
    let mut roles = vec![owner];
    roles.extend((0..ROLES).map(|it| Role {
        id: names.role(it),
        is_owner: false,
        permissions: permissions(random),
    }));
    roles
}

/// Every other role grants everything on both planes but for what it subtracts: half of all requests should
/// pass, and few patterns reach far.
fn permissions(random: &mut Random) -> Vec<Permission> {
    let mut blocks: Vec<Permission> =
        (0..=random.below(3)).map(|_| patterns::permission(random)).collect();
    if let (true, Some(first)) = (random.chance(55), blocks.first_mut()) {
        first.actions.push("*".into());
        first.data_actions.push("*".into());
    }
    blocks
}

/// A principal or a group; now and then nobody.
fn whom(random: &mut Random, names: &Names) -> String {
    match random.chance(60) {
        true => names.principal(random.below(PRINCIPALS + 1)),
        false => names.group(random.below(GROUPS + 1)),
    }
}

fn role_assignment(random: &mut Random, names: &Names, number: usize) -> RoleAssignment {
    let created_ms = moment_before(random);
    let (is_deleted, lasts) = (random.chance(15), *random.one_of(&[0, 1, 60_000, 300_000]));
    let role = match random.chance(25) {
        true => OWNER.to_owned(),
        // The last of them does not exist.
        false => names.role(random.below(ROLES + 1)),
    };
    RoleAssignment {
        name: names.named("grant", number),
        principal: whom(random, names),
        role,
        scope: match random.chance(20) {
            true => names.management_group(0),
            false => place(random, names),
        },
        created_ms,
        deleted_ms: is_deleted.then_some(created_ms + lasts),
    }
}

fn deny_assignment(random: &mut Random, names: &Names, number: usize) -> DenyAssignment {
    let is_for_everyone = random.chance(30);
    let whom_all = |random: &mut Random, count: usize| {
        (0..count).map(|_| whom(random, names)).collect::<Vec<_>>()
    };
    let principals = whom_all(random, 2);
    let count = random.below(3);
    DenyAssignment {
        name: names.named("denial", number),
        scope: place(random, names),
        is_at_scope_only: random.chance(30),
        permissions: (0..=random.below(2)).map(|_| patterns::permission(random)).collect(),
        principals: (!is_for_everyone).then_some(principals),
        excluded: whom_all(random, count),
    }
}

fn policy_assignment(
    random: &mut Random,
    names: &Names,
    number: usize,
    definitions: usize,
) -> PolicyAssignment {
    // One time in thirty the definition is gone.
    let definition = if random.chance(3) { definitions } else { random.below(definitions) };
    let count = random.below(3);
    PolicyAssignment {
        name: names.named("policy", number),
        scope: place(random, names),
        definition: names.named("definition", definition),
        not_scopes: (0..count).map(|_| place_or_device(random, names)).collect(),
        is_enforced: random.chance(80),
    }
}

/// Any place, or a device in a hub.
fn place_or_device(random: &mut Random, names: &Names) -> String {
    let (hub, place) = (hub(random, names), place(random, names));
    let device = *random.one_of(&super::rules::DEVICES);
    match random.chance(40) {
        true => format!("{}/{}/{device}", random.cased(&hub), random.cased("devices")),
        false => place,
    }
}

fn exemption(random: &mut Random, names: &Names, number: usize) -> Exemption {
    let (expires, edge) = (random.chance(60), *random.one_of(&EDGES_MS));
    let count = if random.chance(40) { 1 } else { 0 };
    Exemption {
        name: names.named("exemption", number),
        scope: place_or_device(random, names),
        assignment: names.named("policy", random.below(3)),
        expires_ms: expires.then_some(NOW_MS + edge),
        principal_ids: (0..count).map(|_| names.principal(random.below(PRINCIPALS))).collect(),
    }
}

fn lock(random: &mut Random, names: &Names, number: usize) -> Lock {
    let scope = match random.below(3) {
        0 => subscription(random, names),
        1 => resource_group(random, names),
        _ => hub(random, names),
    };
    Lock {
        name: names.named("lock", number),
        scope: random.cased(&scope),
        is_read_only: random.chance(60),
    }
}
