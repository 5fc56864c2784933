//! Role assignments that one view of the facts counts and another does not yet.

use super::world::*;
use gate::facts::RoleAssignment;
use gate::{Ask, Facts, Judgement};
use model::error::DenialKind;
use model::operations::operation;
use model::trace::{FindingResult, Replica};
use model::{Op, Timestamp};

const DELAY_S: i64 = 60;

fn given(facts: &mut Facts, role: &str, at: Timestamp) -> RoleAssignment {
    let it = RoleAssignment {
        id: format!("{HUB}/providers/Microsoft.Authorization/roleAssignments/{role}"),
        name: role.into(),
        principal: id(ANA),
        role: id(role),
        scope: scope(HUB),
        created: at,
        deleted: None,
        condition: None,
    };
    facts.put_role_assignment(it.clone());
    it
}

/// What a view says that counts changes a minute late, to a token that was issued at a time.
fn seen(facts: &Facts, op: Op, is_healed_by_token: bool, issued: Timestamp) -> Judgement {
    let (here, mut head, mut caller) = (scope(HUB), head("POST /devices"), caller(ANA));
    head.replica = Some(Replica { index: 0, delay_s: 60, is_healed_by_token });
    caller.token_issued = Some(issued);
    let ask =
        Ask { objects: &[device(HUB, "d1")], ..Ask::new(operation(op), &here, &caller, &head) };
    judged(&ask, facts)
}

#[test]
fn a_role_counts_once_its_time_has_come_and_is_on_its_way_before() {
    let check = |age_s: i64, left_s: Option<i64>| {
        let mut facts = facts();
        given(&mut facts, DATA_CONTRIBUTOR, NOW.plus_seconds(-age_s));
        let judged = seen(&facts, Op::PutDevice, false, NOW);
        let step = &judged.trace.steps[2];
        match left_s {
            None => assert!(judged.denial.is_none(), "{age_s}"),
            Some(left_s) => {
                assert_eq!(judged.denial.unwrap().kind, DenialKind::NotAuthorizedYet, "{age_s}");
                assert!(step.reason.ends_with("; a role that does is on its way"), "{step:?}");
                assert_eq!(step.findings[0].result, FindingResult::NotVisible);
                let told = format!("not seen here for {left_s} s more");
                assert!(step.findings[0].reason.contains(&told), "{:?}", step.findings[0]);
            }
        }
    };
    check(0, Some(DELAY_S));
    check(DELAY_S - 1, Some(1));
    check(DELAY_S, None);
    check(DELAY_S + 1, None);
}

#[test]
fn a_token_that_was_issued_after_the_change_brings_it_along_where_that_is_so() {
    let check = |is_healed_by_token: bool, issued_after_s: i64, expected: bool| {
        let mut facts = facts();
        given(&mut facts, DATA_CONTRIBUTOR, NOW.plus_seconds(-5));
        let issued = NOW.plus_seconds(issued_after_s - 5);
        let judged = seen(&facts, Op::PutDevice, is_healed_by_token, issued);
        assert_eq!(judged.denial.is_none(), expected, "{is_healed_by_token} {issued_after_s}");
    };
    check(true, 0, true);
    check(true, 1, true);
    check(true, -1, false);
    check(false, 1, false);

    // A token tells the second it is of, the role its millisecond.
    let mut facts = facts();
    given(&mut facts, DATA_CONTRIBUTOR, Timestamp::from_millis(NOW.millis() - 4_001));
    let judged = |s| seen(&facts, Op::PutDevice, true, NOW.plus_seconds(s)).denial.is_none();
    assert_eq!((judged(-5), judged(-6)), (true, false));
}

/// Both actions must be on their way: a bulk call writes and deletes.
#[test]
fn a_role_that_would_not_do_is_not_told_to_be_on_its_way() {
    let mut facts = facts();
    given(&mut facts, DATA_READER, NOW);
    let refused = seen(&facts, Op::PutDevice, false, NOW).denial.unwrap();
    assert_eq!(refused.kind, DenialKind::NotAuthorized);
    let mut writes = (*facts.roles[&id(DATA_CONTRIBUTOR)]).clone();
    writes.permissions[0].not_data_actions =
        vec![model::ActionPattern::new("Microsoft.Devices/IotHubs/devices/delete")];
    facts.put_role(writes);
    given(&mut facts, DATA_CONTRIBUTOR, NOW);
    let refused = seen(&facts, Op::BulkDevices, false, NOW).denial.unwrap();
    assert_eq!(refused.kind, DenialKind::NotAuthorized);
    assert!(refused.message.contains("Microsoft.Devices/IotHubs/devices/delete"));
    // Without views there is nothing to wait for.
    assert_eq!(
        registers(&super::world::facts(), ANA, HUB, "d1").denial.unwrap().kind,
        DenialKind::NotAuthorized
    );
}

#[test]
fn what_was_taken_away_counts_until_a_view_has_seen_it() {
    let check = |age_s: i64, expected: bool| {
        let mut facts = facts();
        let it = given(&mut facts, DATA_CONTRIBUTOR, NOW.plus_seconds(-1_000));
        facts.remove_role_assignment(&it.id.to_uppercase());
        facts.fade_role_assignment(&it, NOW.plus_seconds(-age_s));
        let judged = seen(&facts, Op::PutDevice, false, NOW);
        assert_eq!(judged.denial.is_none(), expected, "{age_s}");
        let told = judged.trace.steps[2].findings.first().map(|it| it.reason.as_str());
        assert_eq!(told.is_some_and(|it| it.contains("the assignment is deleted")), expected);
        // A call that no view judges sees every change at once.
        assert!(registers(&facts, ANA, HUB, "d1").denial.is_some());
    };
    check(0, true);
    check(DELAY_S - 1, true);
    check(DELAY_S, false);
    let mut facts = facts();
    let it = given(&mut facts, DATA_CONTRIBUTOR, NOW);
    facts.fade_role_assignment(&it, NOW);
    facts.forget_faded(NOW);
    assert_eq!(facts.faded.len(), 1);
    facts.forget_faded(NOW.plus_seconds(1));
    assert!(facts.faded.is_empty());
}
