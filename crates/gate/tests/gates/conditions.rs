//! Conditions of role assignments and of roles: a further test that a grant must pass.

use super::world::*;
use gate::condition::Condition;
use gate::facts::{List, Permission, Role, RoleAssignment};
use gate::{Ask, Attributes, Facts, Judgement};
use model::operations::operation;
use model::trace::{Finding, FindingResult};
use model::{ActionPattern, Op, Verdict};
use serde_json::{Value, json};

/// Role Based Access Control Administrator.
const RBAC_ADMINISTRATOR: &str = "f58310d9-a9f6-439a-9e8d-f62e7b41a168";
const GIVES_READERS: &str = "!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'}) OR \
    @Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] \
    ForAnyOfAnyValues:GuidEquals {acdd72a7-3385-48ef-bd42-f606fba81ae7}";

fn condition(text: &str) -> Option<Condition> {
    Some(Condition::parse(text).unwrap())
}

fn assign_if(facts: &mut Facts, name: &str, who: &str, role: &str, at: &str, text: &str) {
    facts.put_role_assignment(RoleAssignment {
        id: format!("{at}/providers/Microsoft.Authorization/roleAssignments/{name}"),
        name: name.into(),
        principal: id(who),
        role: id(role),
        scope: scope(at),
        created: NOW,
        deleted: None,
        condition: condition(text),
    });
}

/// What the gates say to Ana, who assigns a role at the hub.
fn gives(facts: &Facts, request: &Value) -> Judgement {
    let (scope, head, caller) = (scope(HUB), head("PUT /x"), caller(ANA));
    judged(
        &Ask {
            attributes: Attributes { request: request.as_object(), ..Attributes::default() },
            ..Ask::new(operation(Op::PutRoleAssignment), &scope, &caller, &head)
        },
        facts,
    )
}

fn role(id: &str) -> Value {
    json!({ "Microsoft.Authorization/roleAssignments:RoleDefinitionId": id })
}

fn finding<'a>(judged: &'a Judgement, name: &str) -> &'a Finding {
    judged.trace.steps[2].findings.iter().find(|it| it.name == name).unwrap()
}

#[test]
fn an_assignment_grants_what_its_condition_lets_through_and_nothing_else() {
    let mut facts = facts();
    assign_if(&mut facts, "delegate", ANA, RBAC_ADMINISTRATOR, "/subscriptions/s1", GIVES_READERS);
    let passed = gives(&facts, &role(&READER.to_ascii_uppercase()));
    assert!(passed.denial.is_none());
    assert_eq!(finding(&passed, "delegate").conditions.len(), 2);
    // Other actions of the role are untouched.
    assert!(does(&facts, ANA, Op::GetRoleAssignment, HUB, &[]).denial.is_none());

    let refused = gives(&facts, &role(OWNER));
    let message = refused.denial.as_ref().unwrap().message.clone();
    assert!(
        message.contains(
            "does not have authorization or an ABAC condition not fulfilled to perform action \
             'Microsoft.Authorization/roleAssignments/write' over scope"
        ),
        "{message}"
    );
    let outcome = &refused.trace.outcome;
    assert_eq!((outcome.code.as_str(), outcome.status), ("AuthorizationFailed", 403));
    let step = &refused.trace.steps[2];
    assert_eq!(step.verdict, Verdict::Deny);
    assert!(step.reason.ends_with("but a condition is not fulfilled"), "{}", step.reason);
    let found = finding(&refused, "delegate");
    assert_eq!(found.result, FindingResult::NoMatch);
    assert!(found.reason.contains("RoleDefinitionId] ForAnyOfAnyValues:GuidEquals` is false"));
    let failing: Vec<_> = found.conditions.iter().filter(|it| !it.result).collect();
    assert_eq!(failing.len(), 1, "{failing:?}");
    assert_eq!(failing[0].actual, Some(json!(OWNER)));
    assert_eq!(failing[0].expected, json!(READER));
}

#[test]
fn what_a_condition_misses_or_cannot_compare_grants_nothing() {
    let mut facts = facts();
    assign_if(&mut facts, "delegate", ANA, RBAC_ADMINISTRATOR, HUB, GIVES_READERS);
    let missing = gives(&facts, &json!({}));
    assert!(finding(&missing, "delegate").reason.contains("the left is absent"));
    let mistyped = gives(&facts, &role("reader"));
    assert!(mistyped.denial.is_some());
    let reason = &finding(&mistyped, "delegate").reason;
    assert!(reason.contains("cannot be evaluated, at line 1, character"), "{reason}");
    assert!(reason.contains("no GUID"), "{reason}");
}

/// Grants add up: a condition that is not fulfilled takes nothing away from another assignment.
#[test]
fn a_condition_denies_nothing_that_another_assignment_grants() {
    let mut facts = facts();
    assign_if(&mut facts, "delegate", ANA, RBAC_ADMINISTRATOR, HUB, GIVES_READERS);
    assign(&mut facts, ANA, RBAC_ADMINISTRATOR, "/subscriptions/s1");
    let passed = gives(&facts, &role(OWNER));
    assert!(passed.denial.is_none());
    assert_eq!(finding(&passed, "delegate").result, FindingResult::NoMatch);
}

#[test]
fn a_condition_beside_the_scope_is_not_looked_at() {
    let mut facts = facts();
    assign_if(&mut facts, "beside", ANA, RBAC_ADMINISTRATOR, HUB10, GIVES_READERS);
    let refused = gives(&facts, &role(READER));
    assert!(!refused.denial.as_ref().unwrap().message.contains("ABAC"));
    assert!(finding(&refused, "beside").conditions.is_empty());
}

#[test]
fn each_block_of_a_role_has_a_condition_of_its_own_beside_that_of_the_assignment() {
    let block = |action: &str, text: Option<&str>| Permission {
        data_actions: vec![ActionPattern::new(action)],
        condition: text.and_then(condition),
        ..Permission::default()
    };
    let custom = "00000000-0000-4000-8000-000000000001";
    let check = |blocks: Vec<Permission>, on_assignment: Option<&str>, expected: bool| {
        let mut facts = facts();
        facts.put_role(Role {
            id: id(custom),
            name: "keeper".into(),
            is_builtin: false,
            permissions: blocks,
            assignable_scopes: vec![scope(HUB)],
        });
        match on_assignment {
            Some(text) => assign_if(&mut facts, "a", ANA, custom, HUB, text),
            None => assign(&mut facts, ANA, custom, HUB),
        }
        let judged = registers(&facts, ANA, HUB, "d1");
        assert_eq!(judged.denial.is_none(), expected, "{:?}", judged.trace.steps[2]);
        judged
    };
    let (write, any) = ("Microsoft.Devices/IotHubs/devices/write", "Microsoft.Devices/IotHubs/*");
    let yes = "@Environment[isPrivateLink] BoolEquals false";
    let no = "@Environment[UtcNow] DateTimeLessThan '2000-01-01T00:00:00Z'";
    check(vec![block(write, Some(yes))], None, true);
    check(vec![block(write, Some(yes))], Some(yes), true);
    check(vec![block(write, Some(yes))], Some(no), false);
    check(vec![block(write, Some(no))], Some(yes), false);
    check(vec![block(write, Some(no)), block(any, Some(yes))], None, true);
    check(vec![block(write, Some(no)), block(any, None)], None, true);
    check(vec![block(any, Some("ActionMatches{'*/read'}"))], None, false);
    let refused = check(vec![block(write, None), block(any, Some(no))], Some(no), false);
    assert_eq!(finding(&refused, "a").conditions[0].path, "condition, line 1, character 1");
    let refused = check(vec![block(write, Some(no)), block(any, Some(no))], None, false);
    let denial = refused.denial.unwrap();
    assert!(denial.message.contains("or an ABAC condition not fulfilled"), "{}", denial.message);
    let step = &refused.trace.steps[2];
    let paths: Vec<&str> = step.findings[0].conditions.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "permissions[0].condition, line 1, character 1",
            "permissions[1].condition, line 1, character 1"
        ]
    );
}

#[test]
fn a_condition_sees_the_time_of_the_call() {
    let check = |text: &str, expected: bool| {
        let mut facts = facts();
        assign_if(&mut facts, "shift", ANA, DATA_CONTRIBUTOR, HUB, text);
        assert_eq!(registers(&facts, ANA, HUB, "d1").denial.is_none(), expected, "{text}");
    };
    // NOW is 2027-01-15T08:00:00Z.
    check("@Environment[UtcNow] DateTimeGreaterThanEquals '2027-01-15T08:00:00Z'", true);
    check("@Environment[UtcNow] DateTimeGreaterThan '2027-01-15T08:00:00Z'", false);
}

#[test]
fn a_role_that_grants_only_under_a_condition_is_not_proposed_as_one_that_grants() {
    let block = Permission {
        data_actions: vec![ActionPattern::new("Microsoft.Devices/IotHubs/devices/write")],
        condition: condition("Exists @Request[a]"),
        ..Permission::default()
    };
    let role = Role {
        id: id("00000000-0000-4000-8000-000000000001"),
        name: "limited".into(),
        is_builtin: false,
        permissions: vec![block],
        assignable_scopes: vec![scope(HUB)],
    };
    let write = "Microsoft.Devices/IotHubs/devices/write";
    assert!(facts().grants(&role, write, List::DataActions).is_none());
    assert_eq!(facts().granting(&role, write, List::DataActions).count(), 1);
}

/// What who-can asks: the pattern, where conditions let it.
#[test]
fn an_assignment_tells_the_pattern_by_which_it_grants() {
    let mut facts = facts();
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, HUB);
    assign_if(&mut facts, "shift", BOB, DATA_CONTRIBUTOR, HUB, "Exists @Request[a]");
    let role = &facts.roles[&id(DATA_CONTRIBUTOR)];
    let subject = gate::condition::Subject {
        action: "Microsoft.Devices/IotHubs/devices/write",
        attributes: Attributes::default(),
        now: None,
    };
    let granted = |who: &str, list: List| {
        let held = &facts.role_assignments.of(id(who))[0];
        held.grants(role, list, &subject, &facts).map(|it| it.as_str().to_owned())
    };
    assert!(granted(ANA, List::DataActions).is_some_and(|it| it.ends_with('*')));
    assert_eq!(granted(ANA, List::Actions), None);
    assert_eq!(granted(BOB, List::DataActions), None);
}
