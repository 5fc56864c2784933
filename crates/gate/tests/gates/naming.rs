//! Actions that only a pattern grants that names them, and which role is the narrowest that grants.

use super::world::*;
use gate::Facts;
use gate::facts::{List, Permission, Role};
use model::{ActionName, ActionPattern, Op};

const CUSTOM: &str = "00000000-0000-4000-8000-000000000001";
const SECURITY: &str = "Microsoft.Devices/IotHubs/securityPolicies/write";
const APPLICATIONS: &str = "Microsoft.Directory/applications/write";

fn role(pattern: &str) -> Role {
    Role {
        id: id(CUSTOM),
        name: "custom".into(),
        is_builtin: false,
        permissions: vec![Permission {
            actions: vec![ActionPattern::new(pattern)],
            ..Permission::default()
        }],
        assignable_scopes: vec![scope("/")],
    }
}

fn grants(facts: &Facts, role: &Role, action: &str) -> bool {
    facts.grants(role, action, List::Actions).is_some()
}

#[test]
fn security_policies_are_granted_by_patterns_that_name_them_unless_that_is_switched_off() {
    let explicit = facts();
    assert!(explicit.has_explicit_grants);
    let mut loose = facts();
    loose.has_explicit_grants = false;
    let check = |pattern: &str, named: bool, matched: bool| {
        assert_eq!(grants(&explicit, &role(pattern), SECURITY), named, "{pattern}");
        assert_eq!(grants(&loose, &role(pattern), SECURITY), matched, "{pattern}");
    };
    check("*", false, true);
    check("*/write", false, true);
    check("Microsoft.Devices/IotHubs/*", false, true);
    check("Microsoft.Devices/IotHubs/securityPolicies/*", true, true);
    check("microsoft.devices/iothubs/SECURITYPOLICIES/write", true, true);
    check("Microsoft.Devices/IotHubs/securityPolicies/read", false, false);
    let owner = &explicit.roles[&id(OWNER)];
    assert!(!grants(&explicit, owner, SECURITY), "not even Owner");
    assert!(grants(&loose, owner, SECURITY));
    // What must not be named is granted as ever.
    assert!(grants(&explicit, &role("*"), "Microsoft.Devices/IotHubs/write"));
}

#[test]
fn the_directory_is_granted_by_patterns_that_name_it_and_to_owners() {
    for has_explicit_grants in [true, false] {
        let mut facts = facts();
        facts.has_explicit_grants = has_explicit_grants;
        let check = |role: &Role, expected: bool| {
            assert_eq!(grants(&facts, role, APPLICATIONS), expected, "{role:?}");
        };
        check(&role("*"), false);
        check(&role("*/write"), false);
        check(&role("Microsoft.Directory*"), false);
        check(&role("Microsoft.Directory/*"), true);
        check(&role("microsoft.directory/applications/write"), true);
        let owner = &facts.roles[&id(OWNER)];
        check(owner, true);
        check(&Role { is_builtin: false, ..(**owner).clone() }, false);
        check(&Role { id: id(CUSTOM), ..(**owner).clone() }, false);
    }
}

#[test]
fn who_has_a_wildcard_alone_is_told_that_the_action_must_be_named() {
    let mut facts = facts();
    facts.put_role(role("*"));
    assign(&mut facts, ANA, CUSTOM, "/");
    let judged = does(&facts, ANA, Op::CreateApplication, "/", &[]);
    assert!(judged.denial.is_some());
    let reason = &judged.trace.steps[2].findings[0].reason;
    assert!(reason.contains("that needs a role that names it"), "{reason}");
    facts.put_role(role("Microsoft.Directory/*"));
    assert!(does(&facts, ANA, Op::CreateApplication, "/", &[]).denial.is_none());
}

#[test]
fn the_roles_that_grant_come_narrowest_first() {
    let facts = facts();
    let named = |actions: &[&'static str], list: List| {
        let actions: Vec<ActionName> = actions.iter().map(|it| ActionName::new(it)).collect();
        let found = facts.roles_that_grant(&actions, list);
        found.iter().map(|it| it.id.to_string()).collect::<Vec<_>>()
    };
    let (read, write) =
        ("Microsoft.Devices/IotHubs/devices/read", "Microsoft.Devices/IotHubs/devices/write");
    let reads = named(&[read], List::DataActions);
    let place = |all: &[String], role: &str| all.iter().position(|it| it == role);
    assert!(place(&reads, DATA_READER).unwrap() < place(&reads, DATA_CONTRIBUTOR).unwrap());
    assert_eq!(place(&reads, OWNER), None);
    let both = named(&[read, write], List::DataActions);
    assert_eq!(place(&both, DATA_READER), None);
    assert!(place(&both, DATA_CONTRIBUTOR).is_some());
    let hub = named(&["Microsoft.Devices/IotHubs/read"], List::Actions);
    assert!(place(&hub, READER).unwrap() < place(&hub, OWNER).unwrap());
}

#[test]
fn a_scope_is_known_to_whom_holds_a_role_at_above_or_below_it() {
    let check = |at: &str, asked: &str, expected: bool| {
        let mut facts = facts();
        assign(&mut facts, ANA, READER, at);
        assert_eq!(facts.has_any_role_near(id(ANA), &scope(asked)), expected, "{at} {asked}");
        assert!(!facts.has_any_role_near(id(BOB), &scope(asked)));
    };
    check(HUB, "/subscriptions/s1", true);
    check("/subscriptions/s1", HUB, true);
    check(HUB, HUB, true);
    check(HUB, HUB10, false);
    check(HUB, "/subscriptions/s10", false);
}
