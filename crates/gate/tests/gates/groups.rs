//! Groups: roles that are held through them, at any depth, and end with them.

use super::world::*;
use gate::Facts;
use gate::facts::Group;
use model::trace::FindingResult;
use model::{Op, PrincipalKind};
use std::sync::atomic::Ordering;

const INNER: &str = "cccccccc-0000-4000-8000-000000000001";
const MIDDLE: &str = "cccccccc-0000-4000-8000-000000000002";
const OUTER: &str = "cccccccc-0000-4000-8000-000000000003";
/// Begins as `INNER` does, and is named as it is.
const NAMESAKE: &str = "cccccccc-0000-4000-8000-000000000010";

fn group(facts: &mut Facts, which: &str, members: &[&str]) {
    let name = match which {
        INNER | NAMESAKE => "inner",
        MIDDLE => "middle",
        _ => "outer",
    };
    facts.put_group(Group {
        id: id(which),
        display_name: name.into(),
        members: members.iter().map(|it| id(it)).collect(),
    });
}

fn writes(facts: &Facts, who: &str) -> bool {
    registers(facts, who, HUB, "d1").denial.is_none()
}

/// Ana in `inner`, in `middle`, in `outer`, which may write devices.
fn nested() -> Facts {
    let mut facts = facts();
    group(&mut facts, INNER, &[ANA]);
    group(&mut facts, MIDDLE, &[INNER]);
    group(&mut facts, OUTER, &[MIDDLE]);
    assign(&mut facts, OUTER, DATA_CONTRIBUTOR, HUB);
    facts
}

#[test]
fn a_role_of_a_group_counts_for_its_members_three_deep_and_for_nobody_else() {
    let facts = nested();
    assert!(writes(&facts, ANA));
    assert!(!writes(&facts, BOB));
    assert!(registers(&facts, ANA, HUB10, "d1").denial.is_some());
    assert!(does(&facts, ANA, Op::GetHub, HUB, &[]).denial.is_some(), "planes stay apart");
}

#[test]
fn the_finding_names_every_group_on_the_way() {
    let mut facts = nested();
    assign(&mut facts, ANA, DATA_READER, HUB);
    let judged = registers(&facts, ANA, HUB, "d1");
    let findings = &judged.trace.steps[2].findings;
    assert_eq!(findings[0].result, FindingResult::NoMatch);
    assert!(findings[0].role.as_ref().unwrap().through.is_empty());
    assert_eq!(findings[1].result, FindingResult::Allow);
    assert!(
        findings[1].reason.ends_with(", through the group `inner` in `middle` in `outer`"),
        "{}",
        findings[1].reason
    );
    let through = &findings[1].role.as_ref().unwrap().through;
    let ids: Vec<String> = through.iter().map(|it| it.id.to_string()).collect();
    assert_eq!(ids, [INNER, MIDDLE, OUTER]);
}

#[test]
fn being_in_a_group_without_roles_grants_nothing() {
    let mut facts = nested();
    group(&mut facts, NAMESAKE, &[BOB]);
    let judged = registers(&facts, BOB, HUB, "d1");
    assert!(judged.denial.is_some());
    let reason = &judged.trace.steps[2].reason;
    assert!(
        reason.contains("no role is assigned to `bob` or to a group that it is in"),
        "{reason}"
    );
}

#[test]
fn a_group_with_the_same_name_and_nearly_the_same_id_is_another_one() {
    let mut facts = facts();
    group(&mut facts, INNER, &[ANA]);
    group(&mut facts, NAMESAKE, &[BOB]);
    assign(&mut facts, INNER, DATA_CONTRIBUTOR, HUB);
    assert!(writes(&facts, ANA));
    assert!(!writes(&facts, BOB));
}

#[test]
fn two_ways_to_a_group_count_as_one_and_each_holds_alone() {
    let mut facts = facts();
    group(&mut facts, OUTER, &[INNER, MIDDLE]);
    group(&mut facts, INNER, &[ANA]);
    group(&mut facts, MIDDLE, &[ANA]);
    assign(&mut facts, OUTER, DATA_CONTRIBUTOR, HUB);
    let granted = registers(&facts, ANA, HUB, "d1");
    assert_eq!(granted.trace.steps[2].findings.len(), 1, "one assignment, one finding");
    assert_eq!(facts.groups.of(id(ANA)).len(), 3);
    group(&mut facts, INNER, &[]);
    assert!(writes(&facts, ANA), "still in `middle`");
    group(&mut facts, MIDDLE, &[]);
    assert!(!writes(&facts, ANA));
    assert!(facts.groups.of(id(ANA)).is_empty());
    assert_eq!(facts.groups.most_of_one(), 1, "`inner` and `middle` are in `outer` alone");
    assert_eq!(nested().groups.most_of_one(), 3);
}

#[test]
fn what_is_taken_out_at_any_depth_ends_what_was_held_through_it() {
    let check = |change: fn(&mut Facts)| {
        let mut facts = nested();
        change(&mut facts);
        assert!(!writes(&facts, ANA));
        assert!(nested().groups.is_in(id(ANA), id(OUTER)));
    };
    check(|it| group(it, INNER, &[]));
    check(|it| group(it, MIDDLE, &[]));
    check(|it| group(it, OUTER, &[]));
    check(|it| it.remove_group(id(INNER)));
    check(|it| it.remove_group(id(MIDDLE)));
    check(|it| it.remove_group(id(OUTER)));
}

#[test]
fn a_group_that_was_deleted_passes_nothing_on_though_it_is_still_listed() {
    let mut facts = nested();
    facts.remove_group(id(MIDDLE));
    assert!(facts.groups.is_in(id(ANA), id(INNER)));
    assert!(!facts.groups.is_in(id(ANA), id(OUTER)));
    assert_eq!(facts.kind_of(id(MIDDLE)), None);
    assert_eq!(facts.kind_of(id(OUTER)), Some(PrincipalKind::Group));
}

#[test]
fn groups_come_in_any_order() {
    let orders: [[usize; 3]; 6] =
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let mut facts = facts();
        assign(&mut facts, OUTER, DATA_CONTRIBUTOR, HUB);
        for it in order {
            match it {
                0 => group(&mut facts, INNER, &[ANA]),
                1 => group(&mut facts, MIDDLE, &[INNER]),
                _ => group(&mut facts, OUTER, &[MIDDLE]),
            }
        }
        assert!(writes(&facts, ANA), "{order:?}");
        assert_eq!(facts.groups.of(id(ANA)), nested().groups.of(id(ANA)), "{order:?}");
    }
}

/// None can be written, see `ops`; a document that says so all the same must not hang a decision.
#[test]
fn groups_in_a_circle_end() {
    let mut facts = nested();
    group(&mut facts, INNER, &[ANA, OUTER]);
    assert!(writes(&facts, ANA));
    assert!(!writes(&facts, BOB));
    assert_eq!(facts.groups.of(id(ANA)).len(), 3);
    assert_eq!(facts.groups.of(id(INNER)).len(), 2);
}

#[test]
fn facts_that_were_taken_before_a_change_stay_as_they_were() {
    let before = nested();
    let mut after = before.clone();
    after.remove_group(id(INNER));
    assert!(writes(&before, ANA));
    assert!(!writes(&after, ANA));
}

#[test]
fn a_decision_counts_one_look_up_whatever_the_groups() {
    let facts = nested();
    let judged = decided(&facts, ANA, Op::PutDevice, HUB, &[device(HUB, "d1")]);
    assert!(judged.denial.is_none());
    assert_eq!(facts.lookups.role.load(Ordering::Relaxed), 1);
}
