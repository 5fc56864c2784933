//! Role assignments and roles as they are written: what is refused, and one past each limit.

use super::world::*;
use gate::Facts;
use gate::facts::{ManagementGroup, Role, RoleAssignment};
use gate::writes::{NewAssignment, PrincipalGiven, check_assignment, check_role_unused};
use model::Error;

const TEAM: &str = "cccccccc-0000-4000-8000-000000000001";
const SUBSCRIPTION: &str = "/subscriptions/s1";

/// What is said to one more assignment of the reader's role.
fn writes(facts: &Facts, name: &str, who: &str, at: &str) -> Result<(), &'static str> {
    gives(facts, name, who, &facts.roles[&id(READER)], at, PrincipalGiven::ById)
}

fn gives(
    facts: &Facts,
    name: &str,
    who: &str,
    role: &Role,
    at: &str,
    given: PrincipalGiven,
) -> Result<(), &'static str> {
    let scope = scope(at);
    let new = NewAssignment { name, principal: id(who), role, scope: &scope };
    check_assignment(&new, given, facts).map_err(|error| {
        let (Error::Invalid { code, .. } | Error::Conflict { code, .. }) = error else {
            panic!("{error}")
        };
        code
    })
}

#[test]
fn an_assignment_names_somebody_who_is_there_or_tells_the_type() {
    let facts = facts();
    let reader = &facts.roles[&id(READER)];
    assert_eq!(writes(&facts, "a", ANA, HUB), Ok(()));
    assert_eq!(writes(&facts, "a", TEAM, HUB), Err("PrincipalNotFound"));
    let told = gives(&facts, "a", TEAM, reader, HUB, PrincipalGiven::WithType);
    assert_eq!(told, Ok(()));
}

#[test]
fn a_role_of_ones_own_is_assigned_at_its_scopes_and_below() {
    let facts = facts();
    let role = |is_builtin: bool| Role {
        is_builtin,
        assignable_scopes: vec![scope(HUB10), scope("/subscriptions/s1/resourceGroups/rg1")],
        ..(*facts.roles[&id(READER)]).clone()
    };
    let check = |is_builtin: bool, at: &str, expected: bool| {
        let found = gives(&facts, "a", ANA, &role(is_builtin), at, PrincipalGiven::ById);
        let code = "RoleAssignmentScopeNotAssignableToRoleDefinition";
        assert_eq!(found, if expected { Ok(()) } else { Err(code) }, "{is_builtin} {at}");
    };
    check(false, HUB, true);
    check(false, "/subscriptions/s1/resourceGroups/rg1", true);
    check(false, "/subscriptions/s1/resourceGroups/rg10", false);
    check(false, SUBSCRIPTION, false);
    check(true, SUBSCRIPTION, true);
}

#[test]
fn an_assignment_is_written_again_as_it_is_and_not_changed() {
    let mut facts = facts();
    assign(&mut facts, ANA, READER, HUB);
    let name = format!("{ANA}-{READER}-{HUB}");
    let update = Err("RoleAssignmentUpdateNotPermitted");
    assert_eq!(writes(&facts, &name.to_uppercase(), ANA, &HUB.to_uppercase()), Ok(()));
    assert_eq!(writes(&facts, &name, BOB, HUB), update);
    assert_eq!(writes(&facts, &name, ANA, HUB10), update);
    let owner = &facts.roles[&id(OWNER)];
    assert_eq!(gives(&facts, &name, ANA, owner, HUB, PrincipalGiven::ById), update);
    // Nor given twice under two names.
    assert_eq!(writes(&facts, "other", ANA, &HUB.to_uppercase()), Err("RoleAssignmentExists"));
    assert_eq!(writes(&facts, "other", BOB, HUB), Ok(()));
    assert_eq!(writes(&facts, "other", ANA, HUB10), Ok(()));
    assert_eq!(gives(&facts, "other", ANA, owner, HUB, PrincipalGiven::ById), Ok(()));
}

fn fill(facts: &mut Facts, at: impl Fn(usize) -> String, count: usize) {
    for number in 0..count {
        facts.put_role_assignment(RoleAssignment {
            id: format!("{}/x/{number}", at(number)),
            name: format!("filled{number}"),
            principal: id(BOB),
            role: id(OWNER),
            scope: scope(&at(number)),
            created: NOW,
            deleted: None,
            condition: None,
        });
    }
}

#[test]
fn a_subscription_takes_so_many_assignments_with_all_that_is_in_it() {
    let full = Err("RoleAssignmentLimitExceeded");
    let within = |number: usize| match number % 2 {
        0 => "/subscriptions/S1".to_owned(),
        _ => format!("{HUB}/x/{number}"),
    };
    let mut facts = facts();
    fill(&mut facts, within, 3_999);
    assert_eq!(writes(&facts, "a", ANA, HUB), Ok(()));
    fill(&mut facts, within, 4_000);
    assert_eq!(writes(&facts, "a", ANA, HUB), full);
    assert_eq!(writes(&facts, "a", ANA, "/subscriptions/s10"), Ok(()));
    assert_eq!(writes(&facts, "a", ANA, "/"), Ok(()));
}

#[test]
fn a_management_group_takes_so_many_assignments_of_its_own() {
    let full = Err("RoleAssignmentLimitExceeded");
    let group = "/providers/Microsoft.Management/managementGroups/plants";
    let mut facts = facts();
    facts.put_management_group(ManagementGroup {
        name: "plants".into(),
        display_name: "plants".into(),
        parent: Some(TENANT.into()),
    });
    facts.put_subscription("s1", Some("plants"));
    fill(&mut facts, |_| group.to_uppercase(), 499);
    assert_eq!(writes(&facts, "a", ANA, group), Ok(()));
    fill(&mut facts, |_| group.to_uppercase(), 500);
    assert_eq!(writes(&facts, "a", ANA, group), full);
    assert_eq!(writes(&facts, "a", ANA, HUB), Ok(()));
    assert_eq!(writes(&facts, "a", ANA, &format!("{group}s")), Ok(()));
}

#[test]
fn a_role_that_somebody_holds_is_not_deleted() {
    let mut facts = facts();
    assign(&mut facts, ANA, READER, HUB);
    assert!(check_role_unused(id(READER), &facts).is_err());
    assert!(check_role_unused(id(OWNER), &facts).is_ok());
}
