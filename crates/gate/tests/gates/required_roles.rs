//! `requiredRoles`: what the caller must hold, where it must be held, and what counts as holding it.

use super::world::*;
use gate::Facts;
use gate::condition::Condition;
use gate::facts::{Group, RoleAssignment};
use gate::policy::{PolicyDefinition, Values, check_given_roles, check_roles, parse};
use model::error::DenialKind;
use model::trace::{FindingResult, Gate};
use model::{Op, Verdict};
use serde_json::{Value, json};

const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const GROUP: &str = "cccccccc-0000-4000-8000-000000000003";
const OUTER: &str = "cccccccc-0000-4000-8000-000000000004";

fn requires(roles: Value, effect: &str) -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "requiredRoles": roles,
        "then": { "effect": effect } })
}

/// Ana may write devices by a role that the policy does not name.
fn world(rules: &Value) -> Facts {
    let mut facts = facts();
    assign(&mut facts, ANA, OWNER, "/subscriptions/s1");
    facts.put_role(gate::facts::Role {
        id: id("dddddddd-0000-4000-8000-000000000005"),
        name: "Device keeper".into(),
        is_builtin: false,
        permissions: vec![gate::facts::Permission {
            actions: Vec::new(),
            not_actions: Vec::new(),
            data_actions: vec![model::ActionPattern::new("Microsoft.Devices/*")],
            not_data_actions: Vec::new(),
            condition: None,
        }],
        assignable_scopes: vec![scope("/subscriptions/s1")],
    });
    assign(&mut facts, ANA, "dddddddd-0000-4000-8000-000000000005", HUB);
    policy(&mut facts, "keepers", rules, HUB);
    facts
}

fn passes(facts: &Facts) -> bool {
    registers(facts, ANA, HUB, "d1").denial.is_none()
}

/// S0-41: the policy gate refuses, and names the role and who lacks it, in every view of the refusal.
#[test]
fn who_lacks_a_required_role_is_refused_by_policy_and_told_which() {
    let mut facts = world(&requires(json!(["IoT Hub Data Contributor"]), "deny"));
    let judged = decided(&facts, ANA, Op::PutDevice, HUB, &[device(HUB, "d1")]);
    let (trace, denial) = (judged.trace, judged.denial.unwrap());
    assert_eq!(denial.gate, Gate::Policy);
    assert_eq!(trace.steps[2].verdict, Verdict::NotEvaluated);
    assert_eq!(
        facts.lookups.role.load(std::sync::atomic::Ordering::Relaxed),
        0,
        "the access gate has looked nothing up"
    );
    let said = "`ana` does not hold the required role `IoT Hub Data Contributor` at `";
    let found = trace.deciding().unwrap();
    assert!(found.reason.starts_with(&format!("rule 0 matches: deny; {said}")), "{found:?}");
    assert!(trace.steps[1].reason.contains(said), "{:?}", trace.steps[1]);
    let lacked = &found.rule.as_ref().unwrap().lacks[0];
    assert_eq!((lacked.role_id.as_str(), lacked.principal_id), (DATA_CONTRIBUTOR, Some(id(ANA))));
    assert_eq!(lacked.scope, HUB);
    let condition = found.conditions.last().unwrap();
    assert_eq!(
        (condition.path.as_str(), condition.operator.as_str(), condition.result),
        ("policyRule.requiredRoles", "requiredRoles", false)
    );
    assert_eq!(condition.expected, json!(["IoT Hub Data Contributor"]));
    assert_eq!(denial.violations[0]["missingRoles"][0]["roleName"], "IoT Hub Data Contributor");
    let named = "'ana' does not hold the required role 'IoT Hub Data Contributor'.";
    assert!(denial.message.contains(named), "{}", denial.message);
    let hidden = denial.named_only();
    assert!(hidden.message.ends_with(named), "{}", hidden.message);
    assert!(matches!(&hidden.kind, DenialKind::Policy { lacks, .. } if lacks.len() == 1));

    assign(&mut facts, ANA, DATA_CONTRIBUTOR, HUB);
    assert!(passes(&facts));
}

/// S0-41: at the judged place or above, by the caller itself or a group, and by that role alone.
#[test]
fn a_required_role_is_held_here_or_above_and_by_groups() {
    let bare = world(&requires(json!(["IoT Hub Data Contributor"]), "deny"));
    let with = |who: &str, role: &str, at: &str| {
        let mut facts = bare.clone();
        for (group, member) in [(GROUP, ANA), (OUTER, GROUP)] {
            facts.put_group(Group {
                id: id(group),
                display_name: group.into(),
                members: [id(member)].into(),
            });
        }
        assign(&mut facts, who, role, at);
        passes(&facts)
    };
    for at in [HUB, "/subscriptions/s1/resourceGroups/rg1", "/subscriptions/s1", "/"] {
        assert!(with(ANA, DATA_CONTRIBUTOR, at), "{at}");
    }
    assert!(with(GROUP, DATA_CONTRIBUTOR, HUB) && with(OUTER, DATA_CONTRIBUTOR, "/"));
    // The namesake hub, a device below, another's role, and another role that grants as much.
    for at in [HUB10, &format!("{HUB}/devices/d1"), "/subscriptions/s2"] {
        assert!(!with(ANA, DATA_CONTRIBUTOR, at), "{at}");
    }
    assert!(!with(BOB, DATA_CONTRIBUTOR, HUB) && !with(ANA, DATA_READER, HUB));
}

#[test]
fn a_required_role_is_named_by_its_name_or_its_id_and_all_are_needed() {
    let full = format!(
        "/subscriptions/s1/providers/Microsoft.Authorization/roleDefinitions/{}",
        DATA_CONTRIBUTOR.to_uppercase()
    );
    for name in ["iot hub data CONTRIBUTOR", DATA_CONTRIBUTOR, &full] {
        let mut facts = world(&requires(json!([name]), "deny"));
        assert!(!passes(&facts), "{name}");
        assign(&mut facts, ANA, DATA_CONTRIBUTOR, HUB);
        assert!(passes(&facts), "{name}");
    }
    let mut facts = world(&requires(json!(["Device keeper", "Reader", DATA_CONTRIBUTOR]), "deny"));
    assign(&mut facts, ANA, READER, HUB);
    let judged = registers(&facts, ANA, HUB, "d1");
    let found = judged.trace.deciding().unwrap();
    let lacks: Vec<&str> =
        found.rule.as_ref().unwrap().lacks.iter().map(|it| it.role_name.as_str()).collect();
    assert_eq!(lacks, ["IoT Hub Data Contributor"]);
    assert_eq!(found.conditions.last().unwrap().actual, Some(json!(["Device keeper", "Reader"])));
}

#[test]
fn a_requirement_takes_its_turn_in_the_order_of_the_rules() {
    let rule = requires(json!(["Reader"]), "deny");
    let allow = json!({ "if": { "field": "identity.principalId", "equals": ANA },
        "then": { "effect": "allow" } });
    assert!(passes(&world(&json!([allow, rule]))));
    assert!(!passes(&world(&json!([rule, allow]))));
    // Where the roles are held, the walk goes on to what stands behind.
    let deny = json!({ "if": { "field": "name", "equals": "d1" }, "then": { "effect": "deny" } });
    let mut facts = world(&json!([rule, deny]));
    assign(&mut facts, ANA, READER, HUB);
    let judged = registers(&facts, ANA, HUB, "d1");
    assert_eq!(judged.trace.deciding().unwrap().rule.as_ref().unwrap().index, 1);
    // Of what the condition is not about, nothing is required.
    let hub = model::trace::Object {
        kind: "Microsoft.Devices/IotHubs".into(),
        name: "hub1".into(),
        id: HUB.into(),
        body: json!({}),
        verb: model::trace::Verb::Write,
    };
    assert!(does(&world(&rule), ANA, Op::PutHub, HUB, &[hub]).denial.is_none());

    let facts = world(&requires(json!(["Reader"]), "audit"));
    let judged = registers(&facts, ANA, HUB, "d1");
    assert!(judged.denial.is_none());
    let audited = &judged.trace.steps[1].findings[0];
    assert_eq!(audited.result, FindingResult::Audit);
    assert!(audited.reason.contains("`ana` does not hold the required role `Reader`"));
}

/// A role that exists no more cannot be held; that is an error, and an error denies.
#[test]
fn a_required_role_that_is_gone_denies_whatever_the_effect() {
    for effect in ["deny", "audit"] {
        let mut facts = world(&requires(json!(["Device keeper"]), effect));
        assert!(passes(&facts));
        facts.remove_role(id("dddddddd-0000-4000-8000-000000000005"));
        assign(&mut facts, ANA, DATA_CONTRIBUTOR, HUB);
        let judged = registers(&facts, ANA, HUB, "d1");
        assert_eq!(judged.denial.unwrap().gate, Gate::Policy, "{effect}");
        let found = judged.trace.deciding().unwrap();
        assert_eq!(found.result, FindingResult::Error);
        assert!(
            found.reason.contains("policyRule.requiredRoles: there is no role `Device keeper`")
        );
    }
}

#[test]
fn a_role_that_is_held_under_a_condition_is_not_held() {
    let mut facts = world(&requires(json!(["Reader"]), "deny"));
    let held = RoleAssignment {
        id: "/r".into(),
        name: "r".into(),
        principal: id(ANA),
        role: id(READER),
        scope: scope(HUB),
        created: NOW,
        deleted: None,
        condition: Some(Condition::parse("(!(ActionMatches{'*/read'}))").unwrap()),
    };
    facts.put_role_assignment(held.clone());
    assert!(!passes(&facts));
    facts.put_role_assignment(RoleAssignment { condition: None, ..held });
    assert!(passes(&facts));
}

/// What a definition's own text, and then an assignment's values, name.
#[test]
fn a_role_that_is_not_there_is_refused_with_its_place_when_it_is_written() {
    let facts = facts();
    let check = |roles: Value| {
        let rules = json!([{ "if": { "field": "type", "equals": "x" }, "then": { "effect": "deny" } },
            requires(roles, "deny")]);
        let properties = json!({ "policyRule": rules, "parameters": {
            "role": { "type": "String", "defaultValue": "Readers" } } });
        let parsed = parse(&properties).unwrap();
        let written = check_roles(&parsed.rules, &facts).map_err(|it| it.at);
        let definition = PolicyDefinition {
            id: String::new(),
            name: String::new(),
            display_name: String::new(),
            version: String::new(),
            parameters: parsed.parameters,
            rules: parsed.rules,
        };
        let given = check_given_roles(&definition, &Values::default(), &facts);
        (written, given.map_err(|it| it.at))
    };
    assert_eq!(check(json!(["Reader", READER])), (Ok(()), Ok(())));
    let at = || "policyRule[1].requiredRoles".to_owned();
    assert_eq!(check(json!(["Reader", "Readers"])), (Err(format!("{}[1]", at())), Err(at())));
    assert_eq!(check(json!(["[parameters('role')]", "Reader"])), (Ok(()), Err(at())));
}
