//! Deny assignments: whom they name, what they deny, where, and what they leave alone.

use super::world::*;
use gate::deny::{DenyAssignment, Whom};
use gate::facts::{Group, Permission};
use gate::{Ask, Facts, Judgement, Link};
use model::error::DenialKind;
use model::operations::operation;
use model::trace::{Finding, FindingKind, FindingResult};
use model::{ActionName, ActionPattern, Gate, Op};

const SUBSCRIPTION: &str = "/subscriptions/s1";
const TEAM: &str = "cccccccc-0000-4000-8000-000000000001";

fn these(ids: &[&str]) -> Whom {
    Whom::These(ids.iter().map(|it| id(it)).collect())
}

/// Denies everything of both planes at the hub, to everybody; tests change what they ask for.
fn denial(name: &str) -> DenyAssignment {
    let all = || vec![ActionPattern::new("*")];
    DenyAssignment {
        id: format!("{HUB}/providers/Microsoft.Authorization/denyAssignments/{name}"),
        name: name.into(),
        scope: scope(HUB),
        is_at_scope_only: false,
        permissions: vec![Permission {
            actions: all(),
            data_actions: all(),
            ..Permission::default()
        }],
        whom: Whom::Everyone,
        excluded: Vec::new(),
    }
}

/// Ana owns the subscription and may write devices in it. Bob is in a team that may, too.
fn allowed() -> Facts {
    let mut facts = facts();
    facts.put_group(Group {
        id: id(TEAM),
        display_name: "team".into(),
        members: [id(BOB)].into_iter().collect(),
    });
    for who in [ANA, TEAM] {
        assign(&mut facts, who, OWNER, SUBSCRIPTION);
        assign(&mut facts, who, DATA_CONTRIBUTOR, SUBSCRIPTION);
    }
    facts
}

fn is_denied(judged: &Judgement) -> bool {
    let Some(denial) = &judged.denial else { return false };
    assert_eq!((denial.gate, &denial.kind), (Gate::Access, &DenialKind::DeniedByAssignment));
    true
}

fn findings(judged: &Judgement) -> Vec<&Finding> {
    let all = judged.trace.steps[2].findings.iter();
    all.filter(|it| it.kind == FindingKind::DenyAssignment).collect()
}

#[test]
fn a_denial_takes_from_whom_it_names_by_id_or_by_group_and_from_nobody_else() {
    let check = |whom: Whom, ana: bool, bob: bool| {
        let mut facts = allowed();
        let told = format!("{whom:?}");
        facts.put_deny_assignment(DenyAssignment { whom, ..denial("d") });
        for (who, expected) in [(ANA, ana), (BOB, bob)] {
            let judged = registers(&facts, who, HUB, "d1");
            assert_eq!(is_denied(&judged), expected, "{who} {told}");
            let wanted = if expected { FindingResult::Deny } else { FindingResult::NoMatch };
            assert_eq!(findings(&judged)[0].result, wanted, "{who} {told}");
        }
    };
    check(Whom::Everyone, true, true);
    check(these(&[ANA]), true, false);
    check(these(&[BOB]), false, true);
    check(these(&[TEAM]), false, true);
    check(these(&[OWNER, BOB, ANA]), true, true);
    check(these(&[]), false, false);
}

#[test]
fn whom_a_denial_excludes_keeps_what_roles_grant() {
    let check = |excluded: &[&str], ana: bool, bob: bool| {
        let mut facts = allowed();
        let excluded = excluded.iter().map(|it| id(it)).collect();
        facts.put_deny_assignment(DenyAssignment { excluded, ..denial("d") });
        for (who, expected) in [(ANA, ana), (BOB, bob)] {
            let judged = registers(&facts, who, HUB, "d1");
            assert_eq!(is_denied(&judged), expected, "{who}");
            let wanted = if expected { FindingResult::Deny } else { FindingResult::Excluded };
            assert_eq!(findings(&judged)[0].result, wanted, "{who}");
        }
    };
    check(&[], true, true);
    check(&[ANA], false, true);
    check(&[TEAM], true, false);
    check(&[TEAM, ANA], false, false);
}

#[test]
fn a_denial_holds_at_and_below_its_scope_or_at_its_scope_alone() {
    let check = |at: &str, is_at_scope_only: bool, expected: bool| {
        let mut facts = allowed();
        let it = DenyAssignment { scope: scope(at), is_at_scope_only, ..denial("d") };
        facts.put_deny_assignment(it);
        let judged = registers(&facts, ANA, HUB, "d1");
        assert_eq!(is_denied(&judged), expected, "{at} {is_at_scope_only}");
        assert_eq!(findings(&judged).len(), usize::from(expected), "{at} {is_at_scope_only}");
    };
    for is_at_scope_only in [false, true] {
        check(HUB, is_at_scope_only, true);
        check(&HUB.to_uppercase(), is_at_scope_only, true);
        check(HUB10, is_at_scope_only, false);
        check(SUBSCRIPTION, is_at_scope_only, !is_at_scope_only);
        check("/subscriptions/s10", is_at_scope_only, false);
    }
}

#[test]
fn a_denial_takes_the_actions_of_its_plane_but_for_those_that_it_leaves_out() {
    let check = |permission: Permission, device: bool, hub: bool| {
        let mut facts = allowed();
        let told = format!("{permission:?}");
        let permissions = vec![Permission::default(), permission];
        facts.put_deny_assignment(DenyAssignment { permissions, ..denial("d") });
        assert_eq!(is_denied(&registers(&facts, ANA, HUB, "d1")), device, "{told}");
        assert_eq!(is_denied(&does(&facts, ANA, Op::GetHub, HUB, &[])), hub, "{told}");
    };
    let list = |text: &str| vec![ActionPattern::new(text)];
    let (all, none) = (|| list("*"), Permission::default);
    check(Permission { actions: all(), ..none() }, false, true);
    check(Permission { data_actions: all(), ..none() }, true, false);
    check(Permission { actions: all(), not_actions: list("*/read"), ..none() }, false, false);
    check(Permission { actions: all(), not_actions: list("*/write"), ..none() }, false, true);
    check(
        Permission { data_actions: all(), not_data_actions: list("*/WRITE"), ..none() },
        false,
        false,
    );
    check(Permission { actions: all(), not_data_actions: list("*"), ..none() }, false, true);
    check(none(), false, false);
}

#[test]
fn what_manages_denials_is_not_denied() {
    let mut facts = allowed();
    let it = denial("d");
    let at = it.id.clone();
    facts.put_deny_assignment(it);
    assert!(does(&facts, ANA, Op::DeleteDenyAssignment, &at, &[]).denial.is_none());
    assert!(is_denied(&does(&facts, ANA, Op::GetRoleAssignment, HUB, &[])));
    facts.remove_deny_assignment(&at.to_uppercase());
    assert!(does(&facts, ANA, Op::GetRoleAssignment, HUB, &[]).denial.is_none());
}

#[test]
fn the_trace_tells_every_denial_and_the_first_is_the_answer() {
    let mut facts = allowed();
    for name in ["a", "b"] {
        facts.put_deny_assignment(denial(name));
    }
    facts.put_deny_assignment(DenyAssignment { whom: these(&[BOB]), ..denial("c") });
    let judged = registers(&facts, ANA, HUB, "d1");
    let all = findings(&judged);
    let results: Vec<FindingResult> = all.iter().map(|it| it.result).collect();
    assert_eq!(results, [FindingResult::Deny, FindingResult::Deny, FindingResult::NoMatch]);
    let message = &judged.denial.as_ref().unwrap().message;
    assert!(message.contains("the deny assignment with name 'a'"), "{message}");
    assert_eq!(all[2].reason, "it denies other callers");
    assert_eq!(judged.trace.steps[2].reason, *message);
}

/// A call that reaches another scope needs its action there, where another role or a denial may be.
#[test]
fn an_action_at_a_linked_scope_is_granted_and_denied_there() {
    let lifts = ActionName::new("Microsoft.Authorization/policyAssignments/exempt/action");
    let check = |role_at: &[&str], denied_at: Option<&str>, expected: Option<DenialKind>| {
        let mut facts = facts();
        for at in role_at {
            assign(&mut facts, ANA, OWNER, at);
        }
        if let Some(at) = denied_at {
            facts.put_deny_assignment(DenyAssignment { scope: scope(at), ..denial("d") });
        }
        let (here, head, caller) = (scope(HUB), head("PUT /x"), caller(ANA));
        let ask = Ask {
            linked: &[Link { action: lifts, scope: scope(HUB10) }],
            ..Ask::new(operation(Op::PutPolicyExemption), &here, &caller, &head)
        };
        let found = judged(&ask, &facts).denial;
        let target = found.as_ref().map(|it| it.target.clone());
        assert_eq!(found.map(|it| it.kind), expected, "{role_at:?} {denied_at:?}");
        let place = if expected == Some(DenialKind::NotAuthorized) { HUB } else { HUB10 };
        assert_eq!(target, expected.map(|_| place.to_owned()));
    };
    check(&[HUB, HUB10], None, None);
    check(&[HUB], None, Some(DenialKind::NotAuthorizedLinked));
    check(&[HUB10], None, Some(DenialKind::NotAuthorized));
    check(&[HUB, HUB10], Some(HUB10), Some(DenialKind::DeniedByAssignment));
    check(&[HUB, HUB10], Some("/subscriptions/s1/resourceGroups/rg10"), None);
}
