//! What a decision costs in tenants of four sizes: the quick way of an allowed call and of a refused one, a
//! change, and everything made anew.

use super::{NOW, median, now};
use gate::facts::{Group, Hub, ManagementGroup, Permission, Role, RoleAssignment, SharedAccess};
use gate::policy::{Declared, PolicyAssignment, PolicyDefinition, Values, parse_rules};
use gate::{Ask, Attributes, Facts, judge_quickly};
use model::operations::operation;
use model::principal::AuthType;
use model::trace::{Caller, Channel, Object, TraceHead, Verb};
use model::{ActionPattern, ObjectId, Op, PrincipalKind, Scope, TrackingId};
use serde_json::json;
use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

/// Assignments, roles and policies on the hub that is asked about.
const SIZES: [(usize, usize, usize); 4] =
    [(1_000, 110, 8), (4_000, 110, 8), (40_000, 1_000, 10), (400_000, 5_000, 12)];
const SUBSCRIPTIONS: usize = 20;
const GROUPS_EACH: usize = 10;
const HUBS_EACH: usize = 4;
/// Assignments that a principal holds itself, on average.
const HELD: usize = 5;
const QUESTIONS: usize = 4_000;
const ROUNDS: usize = 25;

/// SplitMix64: the same tenant in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap_or(0) % end
    }
}

fn id(kind: u128, number: usize) -> ObjectId {
    ObjectId(uuid::Uuid::from_u128((kind << 96) | 0x4000_8000_0000_0000_0000 | number as u128))
}

struct Tenant {
    hubs: Vec<String>,
    principals: usize,
    roles: usize,
    assignments: Vec<RoleAssignment>,
}

fn tenant(assignments: usize, roles: usize) -> Tenant {
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
fn around(tenant: &Tenant, policies: usize) -> Facts {
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
                { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
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

fn caller(number: usize) -> Caller {
    Caller {
        kind: PrincipalKind::ServicePrincipal,
        object_id: Some(id(2, number)),
        auth: AuthType::Entra,
        name: "somebody".into(),
        ..Caller::anyone()
    }
}

pub fn decisions() {
    for (assignments, roles, policies) in SIZES {
        let tenant = tenant(assignments, roles);
        let mut facts = around(&tenant, policies);
        let began = now();
        for it in &tenant.assignments {
            facts.put_role_assignment(it.clone());
        }
        let built = began.elapsed().as_secs_f64() * 1e3;
        questions(assignments, &tenant, &facts);
        // One more assignment, as a commit brings it: a new version beside the one in force.
        let mut random = Random(13);
        let times = (0..200).map(|number| {
            let one = RoleAssignment {
                id: format!("/providers/Microsoft.Authorization/roleAssignments/x{number}"),
                name: format!("x{number}"),
                principal: id(2, random.below(tenant.principals)),
                ..tenant.assignments[0].clone()
            };
            let began = now();
            let mut next = facts.clone();
            next.put_role_assignment(one);
            let next = Arc::new(next);
            let took = began.elapsed().as_secs_f64() * 1e6;
            facts = Facts::clone(&next);
            took
        });
        let added = median(times.collect());
        println!(
            "access, {assignments} assignments: {built:.0} ms to build, {added:.1} us to add one"
        );
    }
}

/// Policy and access for random principals at random hubs, half of them at the one with policies.
fn questions(assignments: usize, tenant: &Tenant, facts: &Facts) {
    let mut random = Random(17);
    let head = TraceHead {
        id: TrackingId(uuid::Uuid::nil()),
        time: NOW,
        correlation_id: String::new(),
        channel: Channel { protocol: "https".into(), ..Channel::default() },
        replica: None,
    };
    let ops = [Op::PutDevice, Op::GetDevice, Op::DeleteDevice];
    let asked: Vec<(Op, Scope, Caller, Vec<Object>)> = (0..QUESTIONS)
        .map(|number| {
            let hub = match number % 2 {
                0 => &tenant.hubs[0],
                _ => &tenant.hubs[random.below(tenant.hubs.len())],
            };
            let op = ops[random.below(3)];
            let object = Object {
                kind: "Microsoft.Devices/IotHubs/devices".into(),
                name: "d1".into(),
                id: format!("{hub}/devices/d1"),
                body: json!({ "deviceId": "d1" }),
                verb: Verb::Write,
            };
            let objects = if op == Op::PutDevice { vec![object] } else { Vec::new() };
            (op, Scope::parse(hub).unwrap(), caller(random.below(tenant.principals)), objects)
        })
        .collect();
    let asks: Vec<Ask<'_>> = asked
        .iter()
        .map(|(op, scope, caller, objects)| Ask {
            operation: operation(*op),
            scope,
            objects,
            linked: &[],
            attributes: Attributes::default(),
            caller,
            head: &head,
        })
        .collect();
    // Each question on its own, several times at once so that the clock does not count.
    let mut times: Vec<f64> = Vec::with_capacity(asks.len());
    let mut allowed = 0;
    for ask in &asks {
        let began = now();
        for _ in 0..ROUNDS {
            black_box(judge_quickly(black_box(ask), facts));
        }
        times.push(began.elapsed().as_secs_f64() / ROUNDS as f64 * 1e9);
        allowed += usize::from(judge_quickly(ask, facts));
    }
    times.sort_by(f64::total_cmp);
    // And all of them in turn: nothing is warm but what fits.
    let rounds = (0..9).map(|_| {
        let began = now();
        for ask in &asks {
            black_box(judge_quickly(black_box(ask), facts));
        }
        began.elapsed().as_secs_f64() / asks.len() as f64 * 1e9
    });
    let in_turn = median(rounds.collect());
    println!(
        "access, {assignments} assignments: {:.0} ns median, {:.0} ns p99 when repeated; {in_turn:.0} ns in turn; {} % allowed",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        allowed * 100 / asks.len()
    );
}
