//! Tenants of four sizes, the same in every run, and what is asked about them.

use super::NOW;
use gate::facts::{Group, Hub, ManagementGroup, Permission, Role, RoleAssignment, SharedAccess};
use gate::network::NetworkRules;
use gate::policy::{Declared, PolicyAssignment, PolicyDefinition, Values, parse_rules};
use gate::{Ask, Facts};
use model::operations::operation;
use model::principal::AuthType;
use model::trace::{Caller, Channel, Object, TraceHead, Verb};
use model::{ActionPattern, ObjectId, Op, PrincipalKind, Scope, TrackingId};
use serde_json::json;
use std::collections::BTreeSet;

/// Assignments, roles and policies on the hub that is asked about.
pub const SIZES: [(usize, usize, usize); 4] =
    [(1_000, 110, 8), (4_000, 110, 8), (40_000, 1_000, 10), (400_000, 5_000, 12)];
pub const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const SUBSCRIPTIONS: usize = 20;
const GROUPS_EACH: usize = 10;
const HUBS_EACH: usize = 4;
/// Assignments that a principal holds itself, on average.
const HELD: usize = 5;
const QUESTIONS: usize = 4_000;

/// SplitMix64: the same tenant in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap_or(0) % end
    }
}

pub fn id(kind: u128, number: usize) -> ObjectId {
    ObjectId(uuid::Uuid::from_u128((kind << 96) | 0x4000_8000_0000_0000_0000 | number as u128))
}

pub struct Tenant {
    pub hubs: Vec<String>,
    pub principals: usize,
    pub roles: usize,
    pub assignments: Vec<RoleAssignment>,
}

pub fn tenant(assignments: usize, roles: usize) -> Tenant {
    let mut random = Random(7);
    let mut scopes: Vec<Scope> = Vec::new();
    let mut hubs = Vec::new();
    for number in 0..5 {
        let at = format!("/providers/Microsoft.Management/managementGroups/mg{number}");
        scopes.push(Scope::parse(&at).unwrap());
    }
    for subscription in 0..SUBSCRIPTIONS {
        let s = format!("/subscriptions/{}", id(1, subscription));
        scopes.push(Scope::parse(&s).unwrap());
        for group in 0..GROUPS_EACH {
            let rg = format!("{s}/resourceGroups/rg-production-{group}");
            scopes.push(Scope::parse(&rg).unwrap());
            for hub in 0..HUBS_EACH {
                let hub = format!(
                    "{rg}/providers/Microsoft.Devices/IotHubs/hub-{subscription}-{group}-{hub}"
                );
                scopes.push(Scope::parse(&hub).unwrap());
                hubs.push(hub);
            }
        }
    }
    let principals = (assignments / HELD).max(1);
    let all = (0..assignments).map(|number| {
        // One in ten is a group's.
        let principal = match number % 10 {
            0 => id(3, random.below(200)),
            _ => id(2, random.below(principals)),
        };
        let scope = scopes[random.below(scopes.len())].clone();
        let name = id(4, number).to_string();
        RoleAssignment {
            id: format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"),
            name,
            principal,
            role: id(5, random.below(roles)),
            scope,
            created: NOW,
            condition: None,
            deleted: None,
        }
    });
    let assignments = all.collect();
    Tenant { hubs, principals, roles, assignments }
}

/// Everything but the assignments.
pub fn around(tenant: &Tenant, policies: usize) -> Facts {
    let mut random = Random(11);
    let mut facts = Facts::new(id(9, 0), "https://127.70.1.1:8443");
    let root = facts.tenant.to_string();
    for number in 0..5 {
        facts.put_management_group(ManagementGroup {
            name: format!("mg{number}"),
            display_name: String::new(),
            parent: Some(if number == 0 { root.clone() } else { "mg0".into() }),
        });
    }
    for number in 0..SUBSCRIPTIONS {
        facts.put_subscription(&id(1, number).to_string(), Some(&format!("mg{}", number % 5)));
    }
    for (number, hub) in tenant.hubs.iter().enumerate() {
        facts.put_hub(Hub {
            scope: Scope::parse(hub).unwrap(),
            uid: format!("u{number}"),
            host: format!("127.70.{}.{}", number / 250, number % 250),
            location: "westus".into(),
            access: SharedAccess::default(),
            authorities: Vec::new(),
            security: None,
            routing: None,
            network: NetworkRules::default(),
        });
    }
    let verbs = ["read", "write", "delete", "*"];
    let kinds = ["devices", "twins", "jobs", "configurations", "*"];
    for number in 0..tenant.roles {
        let patterns = (0..1 + random.below(6)).map(|_| {
            let (kind, verb) = (kinds[random.below(5)], verbs[random.below(4)]);
            ActionPattern::new(&format!("Microsoft.Devices/IotHubs/{kind}/{verb}"))
        });
        let data_actions = patterns.collect();
        let actions = vec![ActionPattern::new("Microsoft.Devices/IotHubs/read")];
        facts.put_role(Role {
            id: id(5, number),
            name: format!("role {number}"),
            is_builtin: false,
            permissions: vec![Permission { actions, data_actions, ..Permission::default() }],
            assignable_scopes: vec![Scope::root()],
        });
    }
    // Groups of principals in groups of groups.
    for number in 0..200 {
        let members: BTreeSet<ObjectId> = match number {
            0..20 => (0..9).map(|it| id(3, 20 + number * 9 + it)).collect(),
            _ => (0..tenant.principals / 100 + 1)
                .map(|_| id(2, random.below(tenant.principals)))
                .collect(),
        };
        facts.put_group(Group { id: id(3, number), display_name: String::new(), members });
    }
    for number in 0..policies {
        let rules = json!({ "policyRule": [
            { "if": { "field": "name", "like": "never-*" }, "then": { "effect": "allow" } },
            { "if": { "allOf": [
                { "field": "type", "equals": DEVICES },
                { "field": "identity.principalId", "equals": id(8, number).to_string() } ] },
              "then": { "effect": "deny" } } ] });
        let key = format!("/providers/Microsoft.Authorization/policyDefinitions/p{number}");
        facts.put_policy_definition(PolicyDefinition {
            id: key.clone(),
            name: format!("p{number}"),
            display_name: String::new(),
            version: "1.0.0".into(),
            parameters: Declared::default(),
            rules: parse_rules(&rules).unwrap(),
        });
        let hub = &tenant.hubs[0];
        facts.put_policy_assignment(PolicyAssignment {
            id: format!("{hub}/providers/Microsoft.Authorization/policyAssignments/p{number}"),
            name: format!("p{number}"),
            display_name: String::new(),
            scope: Scope::parse(hub).unwrap(),
            not_scopes: Vec::new(),
            definition_key: key.to_ascii_lowercase(),
            definition_id: key,
            is_enforced: true,
            parameters: Values::default(),
            messages: Vec::new(),
            overrides: Vec::new(),
            resource_selectors: Vec::new(),
        });
    }
    facts
}

fn caller(who: ObjectId) -> Caller {
    Caller {
        kind: PrincipalKind::ServicePrincipal,
        object_id: Some(who),
        auth: AuthType::Entra,
        name: "somebody".into(),
        ..Caller::anyone()
    }
}

/// What [`Ask`] borrows.
pub struct Question {
    pub op: Op,
    pub scope: Scope,
    pub caller: Caller,
    pub objects: Vec<Object>,
    head: TraceHead,
}

impl Question {
    pub fn ask(&self) -> Ask<'_> {
        let ask = Ask::new(operation(self.op), &self.scope, &self.caller, &self.head);
        Ask { objects: &self.objects, ..ask }
    }

    /// True where every policy of the tenant has its say.
    pub fn is_under_policies(&self, tenant: &Tenant) -> bool {
        !self.objects.is_empty() && self.scope.as_str() == tenant.hubs[0]
    }
}

/// A third would write a device. Half are of random principals, mostly refused: at the hub with policies and
/// at random ones. Half are of who holds an assignment, at a hub that it reaches.
pub fn questions(tenant: &Tenant) -> Vec<Question> {
    let mut random = Random(17);
    let ops = [Op::PutDevice, Op::GetDevice, Op::DeleteDevice];
    let own: Vec<&RoleAssignment> = tenant
        .assignments
        .iter()
        .filter(|it| it.principal.0 >= id(2, 0).0 && it.principal.0 < id(3, 0).0)
        .collect();
    let question = |number: usize| {
        let held = own[random.below(own.len())];
        let anywhere = &tenant.hubs[random.below(tenant.hubs.len())];
        let is_reached = |it: &&String| it.starts_with(held.scope.as_str());
        let (who, hub) = match number % 4 {
            0 => (id(2, random.below(tenant.principals)), &tenant.hubs[0]),
            1 => (id(2, random.below(tenant.principals)), anywhere),
            _ => (held.principal, tenant.hubs.iter().find(is_reached).unwrap_or(anywhere)),
        };
        let op = ops[random.below(3)];
        let object = Object {
            kind: DEVICES.into(),
            name: "d1".into(),
            id: format!("{hub}/devices/d1"),
            body: json!({ "deviceId": "d1" }),
            verb: Verb::Write,
        };
        Question {
            op,
            scope: Scope::parse(hub).unwrap(),
            caller: caller(who),
            objects: if op == Op::PutDevice { vec![object] } else { Vec::new() },
            head: TraceHead {
                id: TrackingId(uuid::Uuid::nil()),
                time: NOW,
                correlation_id: String::new(),
                channel: Channel { protocol: "https".into(), ..Channel::default() },
                replica: None,
            },
        }
    };
    (0..QUESTIONS).map(question).collect()
}
