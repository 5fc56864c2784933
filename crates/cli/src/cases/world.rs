//! A world: what a case takes as given, merged with what the case adds and removes, as the gates' facts.

use super::file::{Stop, broken, lacks, take};
use super::told::{
    Enforcement, ExemptionTold, LockTold, PolicyAssignmentTold, PrincipalTold, ResourceTold, Told,
};
use super::{holders, initiatives};
use gate::Facts;
use gate::facts::{Dps, Group, Hub, Principal, SasPolicy, SharedAccess};
use gate::locks::{Level, Lock};
use gate::network::NetworkRules;
use gate::policy::{
    Exemption, NotAPolicy, PolicyAssignment, PolicyDefinition, bind, bind_initiative, check_mode,
    parse,
};
use model::operations::Right;
use model::trace::Replica;
use model::{ObjectId, PrincipalKind, Scope, Secret, Timestamp};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The issuer of the tokens that cases tell of.
pub(super) const ORIGIN: &str = "https://hubward.test";

/// What the gates decide by, and what a case can name.
pub(super) struct World {
    pub(super) facts: Facts,
    pub(super) now: Timestamp,
    /// How late changes of roles are seen.
    pub(super) replica: Option<Replica>,
    pub(super) principals: BTreeMap<String, ObjectId>,
    /// The file's own roles.
    pub(super) roles: BTreeMap<ObjectId, String>,
    /// Its policies, in their order.
    pub(super) definitions: Vec<PolicyDefinition>,
}

/// The world of a case. What the case adds is merged first: lists grow, objects take members one level deep,
/// everything else is set.
pub(super) fn merged(
    world: &Value,
    add: &Map<String, Value>,
    remove: &Map<String, Value>,
) -> Result<Value, Stop> {
    let Some(world) = world.as_object() else { return broken("world", "a world is an object") };
    let mut world = world.clone();
    for (name, more) in add {
        match (world.get_mut(name), more) {
            (Some(Value::Array(all)), Value::Array(more)) => all.extend(more.iter().cloned()),
            (Some(Value::Object(all)), Value::Object(more)) => {
                for (key, value) in more {
                    match (all.get_mut(key), value) {
                        (Some(Value::Object(old)), Value::Object(new)) => {
                            old.extend(new.clone());
                        }
                        (_, value) => {
                            all.insert(key.clone(), value.clone());
                        }
                    }
                }
            }
            (_, value) => {
                world.insert(name.clone(), value.clone());
            }
        }
    }
    for (section, names) in remove {
        let at = format!("remove.{section}");
        for name in take::<Vec<String>>(names, &at)? {
            let is_gone = match world.get_mut(section) {
                Some(Value::Array(all)) => {
                    let before = all.len();
                    all.retain(|it| it.get("name").and_then(Value::as_str) != Some(&name));
                    all.len() < before
                }
                Some(Value::Object(all)) => all.shift_remove(&name).is_some(),
                Some(_) | None => false,
            };
            if !is_gone {
                return broken(at, format!("the world has no `{name}` there"));
            }
        }
    }
    Ok(Value::Object(world))
}

/// Reads a merged world into facts.
pub(super) fn build(world: &Value) -> Result<World, Stop> {
    let told: Told = take(world, "world")?;
    let tenant = id(&told.tenant, "tenant")?;
    let mut world = World {
        facts: Facts::new(tenant, ORIGIN),
        now: time(&told.now, "now")?,
        replica: told.propagation.map(|it| Replica {
            index: 0,
            delay_s: it.delay_seconds,
            is_healed_by_token: it.token_refresh_forces,
        }),
        principals: BTreeMap::new(),
        roles: BTreeMap::new(),
        definitions: Vec::new(),
    };
    world.facts.has_explicit_grants = told.explicit_grant_operations.unwrap_or(true);
    holders::management_groups(&mut world, &told)?;
    for (key, value) in &told.resources {
        resource(&mut world, key, value)?;
    }
    principals(&mut world, &told)?;
    for (index, value) in told.locks.iter().enumerate() {
        lock(&mut world, index, value)?;
    }
    for (index, (name, value)) in told.role_definitions.iter().enumerate() {
        let role = holders::role(index, name, value)?;
        world.roles.insert(role.id, name.clone());
        world.facts.put_role(role);
    }
    let mut names = BTreeSet::new();
    for (index, value) in told.role_assignments.iter().enumerate() {
        let assignment = holders::role_assignment(&world, index, value)?;
        unique(&mut names, &assignment.name, &format!("roleAssignments[{index}].name"))?;
        match assignment.deleted {
            Some(at) => world.facts.fade_role_assignment(&assignment, at),
            None => world.facts.put_role_assignment(assignment),
        }
    }
    let mut names = BTreeSet::new();
    for (index, value) in told.deny_assignments.iter().enumerate() {
        let assignment = holders::deny_assignment(&world, index, value)?;
        unique(&mut names, &assignment.name, &format!("denyAssignments[{index}].name"))?;
        world.facts.put_deny_assignment(assignment);
    }
    policies(&mut world, &told)?;
    Ok(world)
}

/// Principals and groups, and who is in which.
fn principals(world: &mut World, told: &Told) -> Result<(), Stop> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut members: Vec<(String, ObjectId, String)> = Vec::new();
    for (alias, value) in &told.principals {
        let at = format!("principals.{alias}");
        let told: PrincipalTold = take(value, &at)?;
        let id_told = id(&told.object_id, &format!("{at}.objectId"))?;
        let app_id = told.app_id.map(|it| id(&it, &format!("{at}.appId"))).transpose()?;
        world.principals.insert(alias.clone(), id_told);
        for group in told.member_of {
            members.push((group, id_told, format!("{at}.memberOf")));
        }
        let display_name = alias.clone();
        match told.kind == PrincipalKind::Group {
            true => {
                let group = Group { id: id_told, display_name, members: BTreeSet::new() };
                groups.insert(alias.clone(), group);
            }
            false => world.facts.put_principal(Principal {
                id: id_told,
                kind: told.kind,
                app_id,
                display_name,
                is_enabled: true,
                resource: None,
            }),
        }
    }
    for (group, member, at) in members {
        match groups.get_mut(&group) {
            Some(group) => group.members.insert(member),
            None => return broken(at, format!("the world has no group `{group}`")),
        };
    }
    groups.into_values().for_each(|it| world.facts.put_group(it));
    Ok(())
}

fn lock(world: &mut World, index: usize, value: &Value) -> Result<(), Stop> {
    let at = format!("locks[{index}]");
    let told: LockTold = take(value, &at)?;
    let scope = place(&told.scope, &format!("{at}.scope"))?;
    let Some(level) = Level::parse(&told.level) else {
        return broken(format!("{at}.level"), "levels are CanNotDelete and ReadOnly");
    };
    world.facts.put_lock(Lock {
        id: format!("{scope}/providers/Microsoft.Authorization/locks/{}", told.name),
        name: told.name,
        scope,
        level,
    });
    Ok(())
}

fn resource(world: &mut World, key: &str, value: &Value) -> Result<(), Stop> {
    let at = format!("resources.{key}");
    let told: ResourceTold = take(value, &at)?;
    let scope = place(told.id.as_deref().unwrap_or(key), &at)?;
    let is = |kind: &str| told.kind.eq_ignore_ascii_case(kind);
    let (is_hub, known) = match is("Microsoft.Devices/IotHubs") {
        true => (true, Right::HUB),
        false => (false, Right::DPS),
    };
    if !is_hub && !is("Microsoft.Devices/provisioningServices") {
        // Other resources are places and nothing more.
        return Ok(());
    }
    let mut policies = Vec::new();
    for (name, rights) in told.shared_access_policies {
        let Some(rights) = Right::parse_list(&rights.join(","), known) else {
            return broken(
                format!("{at}.sharedAccessPolicies.{name}"),
                format!("rights are {}", Right::join(known)),
            );
        };
        let key = key_of(&name);
        policies.push(SasPolicy {
            primary: Secret::new(key.clone()),
            secondary: Secret::new(key),
            name,
            rights,
        });
    }
    let access = SharedAccess {
        is_disabled: told.disable_local_auth,
        is_disabled_for_devices: false,
        is_disabled_for_modules: false,
        off: None,
        policies,
    };
    let (uid, host) = (scope.key(), host_of(&scope));
    match is_hub {
        true => world.facts.put_hub(Hub {
            scope,
            uid,
            host,
            location: told.location,
            access,
            authorities: Vec::new(),
            security: None,
            routing: None,
            network: NetworkRules::default(),
        }),
        false => world.facts.put_dps(Dps {
            scope,
            uid,
            host,
            id_scope: String::new(),
            location: told.location,
            access,
            identity: None,
            user_assigned: std::collections::BTreeMap::new(),
            links: Vec::new(),
            authorities: Vec::new(),
            network: NetworkRules::default(),
            allocation: gate::facts::Allocation::default(),
        }),
    }
    Ok(())
}

/// The key of a shared access policy: cases tell which policy signed, not with what.
pub(super) fn key_of(policy: &str) -> Vec<u8> {
    format!("the key of {policy}").into_bytes()
}

/// The host name at which a hub or provisioning service answers.
pub(super) fn host_of(scope: &Scope) -> String {
    format!("{}.hubward.test", scope.name().to_ascii_lowercase())
}

fn policies(world: &mut World, told: &Told) -> Result<(), Stop> {
    for (name, value) in &told.policy_definitions {
        let definition = definition(name, value)?;
        world.facts.put_policy_definition(definition.clone());
        world.definitions.push(definition);
    }
    for (name, value) in &told.policy_set_definitions {
        let initiative = initiatives::initiative(world, name, value)?;
        world.facts.put_initiative(initiative);
    }
    let mut names = BTreeSet::new();
    for (index, value) in told.policy_assignments.iter().enumerate() {
        let assignment = policy_assignment(world, index, value)?;
        unique(&mut names, &assignment.name, &format!("policyAssignments[{index}].name"))?;
        world.facts.put_policy_assignment(assignment);
    }
    let mut names = BTreeSet::new();
    for (index, value) in told.policy_exemptions.iter().enumerate() {
        let exemption = exemption(world, index, value)?;
        unique(&mut names, &exemption.name, &format!("policyExemptions[{index}].name"))?;
        world.facts.put_policy_exemption(exemption);
    }
    Ok(())
}

fn definition(name: &str, value: &Value) -> Result<PolicyDefinition, Stop> {
    let at = format!("policyDefinitions.{name}");
    let Some(told) = value.as_object() else { return broken(at, "a definition is an object") };
    const KNOWN: &[&str] = &[
        "mode",
        "displayName",
        "description",
        "version",
        "metadata",
        "parameters",
        "policyRule",
        "policyRules",
    ];
    if let Some(other) = told.keys().find(|it| !KNOWN.contains(&it.as_str())) {
        return broken(format!("{at}.{other}"), format!("a definition has {}", KNOWN.join(", ")));
    }
    let text = |key: &str| told.get(key).and_then(Value::as_str);
    match text("mode").unwrap_or("All") {
        "All" | "Indexed" | "Microsoft.Devices.Data" => {}
        other => return lacks(format!("policy mode `{other}`")),
    }
    let mode = text("mode").unwrap_or("All");
    let parsed = parse(value)
        .and_then(|it| check_mode(mode, &it.rules).map(|()| it))
        .map_err(|it| not_a_policy(it, &format!("{at}.")))?;
    Ok(PolicyDefinition {
        id: definition_id(name),
        name: name.to_owned(),
        display_name: text("displayName").unwrap_or(name).to_owned(),
        version: text("version").unwrap_or("1.0.0").to_owned(),
        parameters: parsed.parameters,
        rules: parsed.rules,
    })
}

/// Rules that the gates cannot take: for want of a feature, or because nothing could.
pub(super) fn not_a_policy(fault: NotAPolicy, before: &str) -> Stop {
    match fault.lacks {
        Some(feature) => Stop::NotSupported(feature.to_owned()),
        None => Stop::Broken { at: format!("{before}{}", fault.at), because: fault.because },
    }
}

fn policy_assignment(world: &World, index: usize, value: &Value) -> Result<PolicyAssignment, Stop> {
    let at = format!("policyAssignments[{index}]");
    let told: PolicyAssignmentTold = take(value, &at)?;
    let definition_id = initiatives::assigned(world, &told.policy_definition, &at)?;
    let definition_key = definition_id.to_ascii_lowercase();
    let initiative = world.facts.initiatives.get(&definition_key).map(|it| &**it);
    let given = Value::Object(told.parameters);
    let bound = match (initiative, world.facts.policy_definitions.get(&definition_key)) {
        (Some(it), _) => bind_initiative(it, Some(&given), &world.facts),
        (None, Some(it)) => bind(it, Some(&given)),
        (None, None) => return broken(&at, "it brings nothing"),
    };
    let parameters = bound.map_err(|it| not_a_policy(it.into(), &format!("{at}.")))?;
    let scope = place(&told.scope, &format!("{at}.scope"))?;
    let mut not_scopes = Vec::new();
    for it in &told.not_scopes {
        not_scopes.push(place(it, &format!("{at}.notScopes"))?);
    }
    Ok(PolicyAssignment {
        id: id_at(&scope, "policyAssignments", &told.name),
        display_name: told.name.clone(),
        name: told.name,
        scope,
        not_scopes,
        definition_id,
        definition_key,
        parameters,
        is_enforced: told.enforcement_mode != Some(Enforcement::DoNotEnforce),
        messages: Vec::new(),
        overrides: initiatives::overrides(told.overrides, initiative, &at)?,
        resource_selectors: initiatives::resource_selectors(told.resource_selectors, &at)?,
    })
}

fn exemption(world: &World, index: usize, value: &Value) -> Result<Exemption, Stop> {
    let at = format!("policyExemptions[{index}]");
    let told: ExemptionTold = take(value, &at)?;
    let wanted = &told.policy_assignment;
    let assignments = world.facts.policy_assignments.values();
    let Some(assignment) = assignments.into_iter().find(|it| it.name.eq_ignore_ascii_case(wanted))
    else {
        return broken(
            format!("{at}.policyAssignment"),
            format!("the world has no policy assignment `{wanted}`"),
        );
    };
    let initiative = world.facts.initiatives.get(&assignment.definition_key).map(|it| &**it);
    for it in &told.policy_definition_reference_ids {
        let at = format!("{at}.policyDefinitionReferenceIds");
        initiatives::check_reference(&at, it, initiative)?;
    }
    let mut principal_ids = Vec::new();
    for it in &told.principal_ids {
        principal_ids.push(principal(world, it, &format!("{at}.principalIds"))?);
    }
    let scope = place(&told.scope, &format!("{at}.scope"))?;
    let expires = told.expires_on.map(|it| time(&it, &format!("{at}.expiresOn"))).transpose()?;
    Ok(Exemption {
        id: id_at(&scope, "policyExemptions", &told.name),
        name: told.name,
        scope,
        assignment_id: assignment.id.clone(),
        expires,
        principal_ids,
        reference_ids: told.policy_definition_reference_ids,
        resource_selectors: initiatives::resource_selectors(told.resource_selectors, &at)?,
    })
}

fn unique(seen: &mut BTreeSet<String>, name: &str, at: &str) -> Result<(), Stop> {
    match seen.insert(name.to_ascii_lowercase()) {
        true => Ok(()),
        false => broken(at, format!("`{name}` is the name of an earlier one, too")),
    }
}

pub(super) fn id_at(scope: &Scope, kind: &str, name: &str) -> String {
    scope.join(&format!("providers/Microsoft.Authorization/{kind}/{name}")).as_str().to_owned()
}

pub(super) fn definition_id(name: &str) -> String {
    id_at(&Scope::root(), "policyDefinitions", name)
}

pub(super) fn id(text: &str, at: &str) -> Result<ObjectId, Stop> {
    ObjectId::parse(text).map_or_else(|| broken(at, format!("`{text}` is no GUID")), Ok)
}

pub(super) fn time(text: &str, at: &str) -> Result<Timestamp, Stop> {
    Timestamp::parse(text)
        .map_or_else(|| broken(at, format!("`{text}` is no time such as 2026-11-22T08:00:00Z")), Ok)
}

/// A principal by its alias in the world, or by its object id.
pub(super) fn principal(world: &World, text: &str, at: &str) -> Result<ObjectId, Stop> {
    match world.principals.get(text).copied().or_else(|| ObjectId::parse(text)) {
        Some(it) => Ok(it),
        None => broken(at, format!("the world has no principal `{text}`")),
    }
}

pub(super) fn place(text: &str, at: &str) -> Result<Scope, Stop> {
    Scope::parse(text).map_err(|it| Stop::Broken { at: at.to_owned(), because: it.to_string() })
}
