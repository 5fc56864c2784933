//! Management locks: what they refuse, where, and what they leave alone.

use super::world::*;
use gate::locks::{Level, Lock};
use gate::{Facts, Judgement};
use model::trace::{FindingKind, LockPlace};
use model::{Error, Gate, Op, Verdict};

const SUBSCRIPTION: &str = "/subscriptions/s1";
const GROUP: &str = "/subscriptions/s1/resourceGroups/rg1";
const GROUP10: &str = "/subscriptions/s1/resourceGroups/rg10";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const USER_ACCESS_ADMINISTRATOR: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";

fn lock(facts: &mut Facts, name: &str, level: Level, at: &str) -> String {
    let id = format!("{at}/providers/Microsoft.Authorization/locks/{name}");
    facts.put_lock(Lock { id: id.clone(), name: name.into(), scope: scope(at), level });
    id
}

/// Ana owns the subscription.
fn owned() -> Facts {
    let mut facts = facts();
    assign(&mut facts, ANA, OWNER, SUBSCRIPTION);
    facts
}

fn ana(facts: &Facts, op: Op, at: &str) -> Judgement {
    does(facts, ANA, op, at, &[])
}

fn is_locked(judged: &Judgement) -> bool {
    let Some(denial) = &judged.denial else { return false };
    assert_eq!(denial.gate, Gate::Resource, "{denial:?}");
    let wire = Error::Denied(Box::new(denial.clone())).wire();
    assert_eq!((wire.http_status, wire.code), (409, "ScopeLocked"));
    true
}

#[test]
fn a_lock_against_deletion_refuses_deletes_at_and_below_its_scope_and_nothing_else() {
    for at in [SUBSCRIPTION, GROUP, HUB, &HUB.to_uppercase()] {
        let mut facts = owned();
        lock(&mut facts, "keep", Level::CanNotDelete, at);
        assert!(is_locked(&ana(&facts, Op::DeleteHub, HUB)), "{at}");
        for op in [Op::PutHub, Op::PatchHub, Op::GetHub, Op::ListHubKeys] {
            assert!(!is_locked(&ana(&facts, op, HUB)), "{op:?} {at}");
        }
        // What hangs on the hub is below it.
        let role = format!("{HUB}/providers/Microsoft.Authorization/roleAssignments/r1");
        assert!(is_locked(&ana(&facts, Op::DeleteRoleAssignment, &role)), "{at}");
        assert!(!is_locked(&ana(&facts, Op::PutRoleAssignment, &role)), "{at}");
    }
}

#[test]
fn a_lock_for_reading_only_refuses_writes_deletes_and_posts() {
    for at in [SUBSCRIPTION, GROUP, HUB] {
        let mut facts = owned();
        lock(&mut facts, "freeze", Level::ReadOnly, at);
        let key = format!("{HUB}/IotHubKeys/service");
        for (op, place) in [
            (Op::PutHub, HUB),
            (Op::PatchHub, HUB),
            (Op::DeleteHub, HUB),
            (Op::ListHubKeys, HUB),
            (Op::GetHubKey, &key),
        ] {
            assert!(is_locked(&ana(&facts, op, place)), "{op:?} {at}");
        }
        for op in [Op::GetHub, Op::ListRoleAssignments, Op::AskDecision] {
            assert!(!is_locked(&ana(&facts, op, HUB)), "{op:?} {at}");
        }
    }
}

#[test]
fn neighbours_and_namesakes_are_not_locked() {
    let mut facts = owned();
    lock(&mut facts, "freeze", Level::ReadOnly, HUB);
    assert!(!is_locked(&ana(&facts, Op::DeleteHub, HUB10)));
    let mut facts = owned();
    lock(&mut facts, "freeze", Level::ReadOnly, GROUP);
    let neighbour = HUB.replace("/rg1/", "/rg10/");
    for (op, at) in [
        (Op::DeleteHub, neighbour.as_str()),
        (Op::PutHub, &neighbour),
        (Op::DeleteResourceGroup, GROUP10),
        (Op::PutResourceGroup, GROUP10),
    ] {
        assert!(!is_locked(&ana(&facts, op, at)), "{op:?} {at}");
    }
    assert!(is_locked(&ana(&facts, Op::PutResourceGroup, GROUP)));
    // Nor does a lock in `rg10` keep `rg1` from being deleted.
    let mut facts = owned();
    lock(&mut facts, "keep", Level::CanNotDelete, &neighbour);
    assert!(!is_locked(&ana(&facts, Op::DeleteResourceGroup, GROUP)));
}

#[test]
fn a_lock_below_keeps_what_contains_it_from_deletion_but_not_from_change() {
    for level in Level::ALL {
        let mut facts = owned();
        let id = lock(&mut facts, "keep", level, HUB);
        let judged = ana(&facts, Op::DeleteResourceGroup, GROUP);
        assert!(is_locked(&judged), "{level:?}");
        assert_eq!(
            judged.denial.unwrap().message,
            format!(
                "The scope '{GROUP}' cannot perform delete operation because following scope(s) are locked: '{HUB}'. \
                 Please remove the lock and try again."
            )
        );
        assert!(!is_locked(&ana(&facts, Op::PutResourceGroup, GROUP)), "{level:?}");
        facts.remove_lock(&id.to_uppercase());
        assert!(!is_locked(&ana(&facts, Op::DeleteResourceGroup, GROUP)), "{level:?}");
    }
}

#[test]
fn the_plane_of_data_is_not_locked() {
    let mut facts = owned();
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, HUB);
    lock(&mut facts, "freeze", Level::ReadOnly, SUBSCRIPTION);
    assert!(registers(&facts, ANA, HUB, "d1").denial.is_none());
    assert!(does(&facts, ANA, Op::DeleteDevice, HUB, &[device(HUB, "d1")]).denial.is_none());
}

#[test]
fn roles_and_no_lock_say_who_manages_locks() {
    let mut facts = facts();
    let id = lock(&mut facts, "freeze", Level::ReadOnly, HUB);
    lock(&mut facts, "freeze", Level::ReadOnly, SUBSCRIPTION);
    let check = |role: &str, may: bool| {
        let mut facts = facts.clone();
        assign(&mut facts, BOB, role, GROUP);
        for op in [Op::DeleteLock, Op::PutLock] {
            let denial = does(&facts, BOB, op, &id, &[]).denial;
            assert_eq!(denial.map(|it| it.gate), (!may).then_some(Gate::Access), "{op:?} {role}");
        }
        assert!(does(&facts, BOB, Op::GetLock, &id, &[]).denial.is_none(), "{role}");
    };
    check(OWNER, true);
    check(USER_ACCESS_ADMINISTRATOR, true);
    check(CONTRIBUTOR, false);
    check(READER, false);
}

#[test]
fn who_has_no_role_hears_of_that_first_and_of_no_lock() {
    let mut facts = facts();
    lock(&mut facts, "freeze", Level::ReadOnly, HUB);
    let judged = does(&facts, BOB, Op::DeleteHub, HUB, &[]);
    assert_eq!(judged.denial.unwrap().gate, Gate::Access);
    assert_eq!(judged.trace.step(Gate::Resource).unwrap().verdict, Verdict::NotEvaluated);
}

#[test]
fn the_trace_names_every_lock_that_stands_against_the_call() {
    let mut facts = owned();
    let ids = [
        lock(&mut facts, "keep", Level::CanNotDelete, GROUP),
        lock(&mut facts, "freeze", Level::ReadOnly, HUB),
    ];
    lock(&mut facts, "elsewhere", Level::ReadOnly, HUB10);
    let judged = ana(&facts, Op::DeleteHub, HUB);
    let step = judged.trace.step(Gate::Resource).unwrap();
    assert_eq!(step.verdict, Verdict::Deny);
    assert!(step.findings.iter().all(|it| it.kind == FindingKind::Lock));
    let places: Vec<(&str, &str, LockPlace)> = step
        .findings
        .iter()
        .map(|it| (it.id.as_str(), it.name.as_str(), it.lock.clone().unwrap()))
        .collect();
    let place = |level: &str, at: &str| LockPlace { level: level.into(), scope: at.into() };
    assert_eq!(
        places,
        [
            (ids[0].as_str(), "keep", place("CanNotDelete", GROUP)),
            (ids[1].as_str(), "freeze", place("ReadOnly", HUB)),
        ]
    );
    assert_eq!(judged.trace.outcome.status, 409);
    assert_eq!(judged.trace.outcome.code, "ScopeLocked");
    assert!(judged.trace.outcome.message.contains(&format!("'{GROUP},{HUB}'")), "{judged:?}");
    // A write meets one of them alone.
    let judged = ana(&facts, Op::PutHub, HUB);
    assert_eq!(judged.trace.step(Gate::Resource).unwrap().findings.len(), 1);
}

#[test]
fn a_refusal_counts_the_locks_that_it_does_not_name() {
    let reason = |count: usize| {
        let mut facts = owned();
        for number in 0..count {
            lock(&mut facts, &format!("keep{number}"), Level::CanNotDelete, HUB);
        }
        let judged = ana(&facts, Op::DeleteHub, HUB);
        judged.trace.step(Gate::Resource).unwrap().reason.clone()
    };
    assert!(reason(1).ends_with("forbids to delete it"), "{}", reason(1));
    assert!(reason(2).ends_with("forbids to delete it, and 1 more locks do"), "{}", reason(2));
    assert!(reason(3).ends_with("and 2 more locks do"), "{}", reason(3));
}

#[test]
fn a_finding_says_whether_the_lock_lies_around_or_within() {
    let reason = |at: &str, op: Op, place: &str| {
        let mut facts = owned();
        lock(&mut facts, "freeze", Level::ReadOnly, at);
        let judged = ana(&facts, op, place);
        judged.trace.step(Gate::Resource).unwrap().findings[0].reason.clone()
    };
    assert!(reason(HUB, Op::DeleteResourceGroup, GROUP).contains("what lies in here is locked"));
    assert!(reason(GROUP, Op::DeleteHub, HUB).contains("nothing at or below"));
    assert!(reason(HUB, Op::DeleteHub, HUB).ends_with("is deleted"));
    assert!(reason(GROUP, Op::PutHub, HUB).contains("is changed"));
}

#[test]
fn a_level_is_read_in_any_casing() {
    assert_eq!(Level::parse("readonly"), Some(Level::ReadOnly));
    assert_eq!(Level::parse("CANNOTDELETE"), Some(Level::CanNotDelete));
    assert_eq!(Level::parse("NotSpecified"), None);
}
