//! Roles: planes apart, scopes by segment, grants that add up.

use super::world::*;
use gate::Ask;
use gate::facts::{List, Permission, Role};
use model::error::DenialKind;
use model::operations::{Right, operation};
use model::trace::{Caller, FindingResult};
use model::{ActionPattern, ObjectId, Op, PrincipalKind, Verdict};
use std::sync::atomic::Ordering;

const REGISTRY_CONTRIBUTOR: &str = "4ea46cd5-c1b2-4a8e-910b-273211f9ce47";
/// A role of the tenant's own.
const OF_THE_TENANT: &str = "cccccccc-0000-4000-8000-000000000003";

#[test]
fn without_a_role_nothing_is_granted() {
    let judged = registers(&facts(), ANA, HUB, "d1");
    let denial = judged.denial.unwrap();
    assert!(
        denial.message.contains("Microsoft.Devices/IotHubs/devices/write"),
        "{}",
        denial.message
    );
    assert_eq!(judged.trace.outcome.status, 401);
    assert_eq!(judged.trace.outcome.code, "IotHubUnauthorized");
}

#[test]
fn control_plane_roles_open_no_data_and_data_roles_no_control_plane() {
    let mut facts = facts();
    assign(&mut facts, ANA, OWNER, HUB);
    assign(&mut facts, BOB, DATA_CONTRIBUTOR, HUB);
    let judged = registers(&facts, ANA, HUB, "d1");
    assert!(judged.denial.is_some());
    let near = &judged.trace.steps[2].findings[0];
    assert!(near.reason.contains("`*` in its actions"), "{}", near.reason);
    assert!(does(&facts, ANA, Op::GetHub, HUB, &[]).denial.is_none());
    assert!(registers(&facts, BOB, HUB, "d1").denial.is_none());
    assert!(does(&facts, BOB, Op::GetHub, HUB, &[]).denial.is_some());
}

#[test]
fn a_role_counts_at_and_below_its_scope_and_not_beside_it() {
    let check = |at: &str, hub: &str, expected: bool| {
        let mut facts = facts();
        assign(&mut facts, ANA, DATA_CONTRIBUTOR, at);
        assert_eq!(registers(&facts, ANA, hub, "d1").denial.is_none(), expected, "{at} {hub}");
    };
    check(HUB, HUB, true);
    check(HUB, HUB10, false);
    check("/subscriptions/S1/resourcegroups/RG1", HUB, true);
    check("/subscriptions/s1/resourceGroups/rg10", HUB, false);
    check("/subscriptions/s1/resourceGroups/rg", HUB, false);
    check("/subscriptions/s1", HUB, true);
    check("/subscriptions/s10", HUB, false);
    check("/", HUB, true);
}

/// S2-12: the built-in roles bundle permissions under their public ids.
#[test]
fn a_reader_reads_devices_and_writes_none() {
    let mut facts = facts();
    assign(&mut facts, ANA, DATA_READER, HUB);
    assert!(does(&facts, ANA, Op::GetDevice, HUB, &[]).denial.is_none());
    assert!(does(&facts, ANA, Op::ListDevices, HUB, &[]).denial.is_none());
    for op in [Op::PutDevice, Op::DeleteDevice, Op::BulkDevices] {
        assert!(does(&facts, ANA, op, HUB, &[device(HUB, "d1")]).denial.is_some(), "{op:?}");
    }
}

#[test]
fn listing_keys_is_an_action_and_no_read() {
    let mut facts = facts();
    assign(&mut facts, ANA, READER, HUB);
    assert!(does(&facts, ANA, Op::GetHub, HUB, &[]).denial.is_none());
    assert!(does(&facts, ANA, Op::ListHubKeys, HUB, &[]).denial.is_some());
}

#[test]
fn a_bulk_call_needs_writing_and_deleting_and_two_roles_may_share_them() {
    let custom = |number: u8, actions: &[&str], not: &[&str]| {
        let patterns = |texts: &[&str]| texts.iter().map(|it| ActionPattern::new(it)).collect();
        Role {
            id: id(&format!("00000000-0000-4000-8000-0000000000{number:02}")),
            name: format!("role {number}"),
            is_builtin: false,
            permissions: vec![Permission {
                data_actions: patterns(actions),
                not_data_actions: patterns(not),
                ..Permission::default()
            }],
            assignable_scopes: vec![scope(HUB)],
        }
    };
    let mut facts = facts();
    let writes = custom(
        1,
        &["Microsoft.Devices/IotHubs/devices/*"],
        &["Microsoft.Devices/IotHubs/devices/delete"],
    );
    let deletes = custom(2, &["microsoft.devices/iothubs/*/DELETE"], &[]);
    for role in [&writes, &deletes] {
        facts.put_role(role.clone());
    }
    let bulk =
        |facts: &gate::Facts| does(facts, ANA, Op::BulkDevices, HUB, &[device(HUB, "d1")]).denial;
    assign(&mut facts, ANA, &writes.id.to_string(), HUB);
    assert!(bulk(&facts).unwrap().message.contains("devices/delete"));
    // A subtraction counts in its own role only: it is no deny.
    assign(&mut facts, ANA, &deletes.id.to_string(), HUB);
    assert!(bulk(&facts).is_none());
}

/// S0-25: where policy refuses, no role is looked up, and the trace says so.
#[test]
fn a_refusal_by_policy_looks_up_no_role() {
    let mut facts = facts();
    let rule = serde_json::json!({ "if": { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" }, "then": { "effect": "deny" } });
    policy(&mut facts, "v2", &rule, HUB);
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, HUB);
    let roles = |facts: &gate::Facts| facts.lookups.role.load(Ordering::SeqCst);
    let before = roles(&facts);
    let judged = decided(&facts, ANA, Op::PutDevice, HUB, &[device(HUB, "d1")]);
    assert_eq!(roles(&facts), before);
    assert_eq!(judged.trace.steps[2].verdict, Verdict::NotEvaluated);
    assert_eq!(judged.trace.steps[3].verdict, Verdict::NotEvaluated);
    assert!(decided(&facts, ANA, Op::GetDevice, HUB, &[]).denial.is_none());
    assert_eq!(roles(&facts), before + 1);
    // A question moves no counter.
    assert!(does(&facts, ANA, Op::GetDevice, HUB, &[]).denial.is_none());
    assert_eq!(roles(&facts), before + 1);
}

#[test]
fn a_role_that_was_deleted_grants_nothing() {
    let mut facts = facts();
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, HUB);
    facts.remove_role(id(DATA_CONTRIBUTOR));
    assert!(registers(&facts, ANA, HUB, "d1").denial.is_some());
}

#[test]
fn the_same_call_facts_and_time_give_the_same_trace() {
    let mut facts = facts();
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, HUB);
    assert_eq!(registers(&facts, ANA, HUB, "d1").trace, registers(&facts, ANA, HUB, "d1").trace);
}

/// S1-12: no built-in role covers security policies, Owner and Contributor included.
#[test]
fn no_built_in_role_covers_security_policies() {
    let facts = facts();
    let builtin: Vec<_> = facts.roles.values().filter(|it| it.is_builtin).collect();
    assert!(builtin.iter().any(|it| it.id == id(OWNER)), "Owner is among them");
    for role in builtin {
        for verb in ["read", "write", "delete"] {
            let action = format!("Microsoft.Devices/IotHubs/securityPolicies/{verb}");
            for list in [List::Actions, List::DataActions] {
                assert!(facts.grants(role, &action, list).is_none(), "{} {action}", role.name);
            }
        }
    }
}

/// No role and no right of a key leads to what a device does for itself.
#[test]
fn what_devices_do_for_themselves_nobody_else_may() {
    let mut facts = facts();
    assign(&mut facts, ANA, OWNER, "/");
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, "/");
    let check = |kind: PrincipalKind, object_id: Option<ObjectId>, expected: bool| {
        let (here, head) = (scope(HUB), head("PUT /d1"));
        let it = caller(ANA);
        let caller = Caller { kind, object_id, rights: Right::HUB.to_vec(), ..it };
        let ask = Ask::new(operation(Op::RegisterDevice), &here, &caller, &head);
        assert_eq!(judged(&ask, &facts).denial.is_none(), expected, "{kind:?} {object_id:?}");
    };
    check(PrincipalKind::Device, None, true);
    check(PrincipalKind::ServicePrincipal, Some(id(ANA)), false);
    check(PrincipalKind::User, Some(id(ANA)), false);
    check(PrincipalKind::SasKey, None, false);
    check(PrincipalKind::User, None, false);
}

#[test]
fn a_near_miss_is_told_in_the_words_that_lead_to_a_fix() {
    let check = |role: &str, at: &str, op: Op, words: &str| {
        let mut facts = facts();
        assign(&mut facts, ANA, role, at);
        let judged = does(&facts, ANA, op, HUB, &[]);
        let reason = &judged.trace.steps[2].findings[0].reason;
        assert!(reason.contains(words), "{reason}");
        assert_eq!(judged.denial.unwrap().kind, DenialKind::NotAuthorized);
        let step = &judged.trace.steps[2].reason;
        assert!(step.starts_with("no role at this scope grants"), "{step}");
    };
    check(DATA_CONTRIBUTOR, HUB10, Op::PutDevice, "would grant");
    check(DATA_CONTRIBUTOR, HUB10, Op::PutDevice, "which does not contain");
    check(DATA_CONTRIBUTOR, HUB, Op::GetHub, "in its dataActions, but");
    check(READER, HUB, Op::DeleteHub, "does not grant");
    check(READER, HUB10, Op::DeleteHub, "does not grant");
}

#[test]
fn of_two_roles_that_grant_the_first_allows_and_the_second_does_too() {
    let mut facts = facts();
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, HUB);
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, "/subscriptions/s1");
    let judged = registers(&facts, ANA, HUB, "d1");
    let found: Vec<_> = judged.trace.steps[2].findings.iter().map(|it| it.result).collect();
    assert_eq!(found, [FindingResult::Allow, FindingResult::Match]);
}

/// The reasons of what grants, in the order of the findings.
fn reasons(facts: &gate::Facts) -> Vec<String> {
    let judged = registers(facts, ANA, HUB, "d1");
    assert!(judged.denial.is_none(), "{:?}", judged.denial);
    let found = &judged.trace.steps[2].findings;
    let grants = found.iter().filter(|it| it.result != FindingResult::NoMatch);
    grants.map(|it| it.reason.clone()).collect()
}

#[test]
fn a_role_that_grants_all_that_another_does_says_that_the_other_is_not_needed() {
    const AT_GROUP: &str = "/subscriptions/s1/resourceGroups/rg1";
    const WORDS: &str =
        "grants all that `IoT Hub Registry Contributor` grants, which is not needed";
    let check = |held: &[(&str, &str)], expected: &[bool]| {
        let mut facts = facts();
        for (role, at) in held {
            assign(&mut facts, ANA, role, at);
        }
        let said: Vec<bool> = reasons(&facts).iter().map(|it| it.contains(WORDS)).collect();
        assert_eq!(said, expected, "{held:?}: {:?}", reasons(&facts));
    };
    check(&[(REGISTRY_CONTRIBUTOR, HUB), (DATA_CONTRIBUTOR, HUB)], &[false, true]);
    check(&[(DATA_CONTRIBUTOR, HUB), (REGISTRY_CONTRIBUTOR, HUB)], &[true, false]);
    check(&[(REGISTRY_CONTRIBUTOR, HUB), (DATA_CONTRIBUTOR, AT_GROUP)], &[false, true]);
    // What reaches further is not needless beside what does not, and one alone is not beside itself.
    check(&[(REGISTRY_CONTRIBUTOR, AT_GROUP), (DATA_CONTRIBUTOR, HUB)], &[false, false]);
    check(&[(REGISTRY_CONTRIBUTOR, HUB)], &[false]);
    // A reader's other place does not make it one of those that grant.
    check(&[(DATA_CONTRIBUTOR, HUB), (REGISTRY_CONTRIBUTOR, HUB10)], &[false]);
    // Of two that are the same, one stays.
    check(&[(REGISTRY_CONTRIBUTOR, HUB), (REGISTRY_CONTRIBUTOR, AT_GROUP)], &[false, true]);
}

/// A role with `given` minus `taken`, beside the one that grants all about devices.
fn makes_needless(given: &str, taken: &[&str], condition: Option<&str>) -> bool {
    let mut facts = facts();
    let patterns = |all: &[&str]| all.iter().map(|it| ActionPattern::new(it)).collect();
    facts.put_role(Role {
        id: id(OF_THE_TENANT),
        name: "Wide".into(),
        is_builtin: false,
        permissions: vec![Permission {
            data_actions: patterns(&[given]),
            not_data_actions: patterns(taken),
            condition: condition.map(|it| gate::condition::Condition::parse(it).unwrap()),
            ..Permission::default()
        }],
        assignable_scopes: Vec::new(),
    });
    assign(&mut facts, ANA, OF_THE_TENANT, HUB);
    assign(&mut facts, ANA, REGISTRY_CONTRIBUTOR, HUB);
    let reasons = reasons(&facts);
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    reasons.iter().any(|it| it.contains("Registry Contributor` grants, which is not needed"))
}

#[test]
fn a_role_that_leaves_something_out_makes_no_other_needless() {
    const DEVICES: &str = "Microsoft.Devices/IotHubs/devices/";
    assert!(makes_needless("microsoft.devices/iothubs/*", &[], None));
    assert!(!makes_needless("Microsoft.Devices/IotHubs/devices/write", &[], None));
    assert!(!makes_needless("Microsoft.Devices/IotHubs/devices/*e", &[], None));
    assert!(!makes_needless("*", &[&format!("{DEVICES}delete")], None));
    assert!(!makes_needless("*", &[], Some("!(Exists @Request[a])")));
}

/// the data actions of a hub under `actions` give nothing, nor what belongs to management under
/// `dataActions`, and both are warned of.
#[test]
fn an_action_in_the_list_of_the_other_plane_gives_nothing() {
    use gate::lint::{Code, role};
    use model::operations::known;
    use model::{ActionPattern, Plane};

    let hub = "Microsoft.Devices/IotHubs/";
    let of = |plane: Plane| -> Vec<&str> {
        let rows = known().filter(|it| it.plane == plane).flat_map(|it| it.actions);
        let mut all: Vec<&str> =
            rows.map(|it| it.as_str()).filter(|it| it.starts_with(hub)).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let (data, management) = (of(Plane::Service), of(Plane::Control));
    assert_eq!(data.len(), 19, "{data:?}");
    for action in ["listkeys/action", "securityPolicies/write", "securityPolicies/read"] {
        let action = format!("{hub}{action}");
        assert!(management.contains(&action.as_str()) && !data.contains(&action.as_str()));
    }
    let mixed = |list: &str, all: &[&str]| {
        let warnings = role(&[serde_json::json!({ list: all })]).unwrap();
        let told: Vec<&str> =
            warnings.iter().map(|it| it.advice.split('`').nth(1).unwrap()).collect();
        assert_eq!(told, all);
        assert!(warnings.iter().all(|it| it.code == Code::WrongPlane), "{warnings:#?}");
    };
    mixed("actions", &data);
    mixed("dataActions", &management);

    // What the warnings say is what the gate does.
    let patterns = |all: &[&str]| all.iter().map(|it| ActionPattern::new(it)).collect::<Vec<_>>();
    let mut facts = facts();
    let custom = |actions, data_actions| gate::facts::Role {
        id: id("dddddddd-0000-4000-8000-000000000006"),
        name: "mixed".into(),
        is_builtin: false,
        permissions: vec![gate::facts::Permission {
            actions,
            data_actions,
            ..gate::facts::Permission::default()
        }],
        assignable_scopes: vec![scope("/")],
    };
    assign(&mut facts, ANA, "dddddddd-0000-4000-8000-000000000006", HUB);
    let passes = |facts: &gate::Facts, op| does(facts, ANA, op, HUB, &[]).denial.is_none();
    facts.put_role(custom(patterns(&data), patterns(&management)));
    assert!(!passes(&facts, Op::GetDevice) && !passes(&facts, Op::GetHub));
    facts.put_role(custom(patterns(&management), patterns(&data)));
    assert!(passes(&facts, Op::GetDevice) && passes(&facts, Op::GetHub));
}
