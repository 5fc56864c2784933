//! The evaluator's few operations are the product's.

use super::bridge::{plane, right, row};
use model::operations::Effect;
use oracle::OPERATIONS;

#[test]
fn both_tables_say_the_same_of_an_operation() {
    for mine in OPERATIONS {
        let its = row(mine);
        let actions: Vec<&str> = its.actions.iter().map(|it| it.as_str()).collect();
        assert_eq!(mine.actions, actions, "{}", mine.name);
        assert_eq!(plane(mine.plane), its.plane, "{}", mine.name);
        let rights: Vec<_> = mine.rights.iter().map(|it| right(*it)).collect();
        assert_eq!(rights, its.sas, "{}", mine.name);
        let changes_facts = mine.effect == oracle::Effect::ChangesFacts;
        assert_eq!(changes_facts, its.effect == Effect::ChangesFacts, "{}", mine.name);
        let is_kept = mine.effect != oracle::Effect::Other;
        assert_eq!(is_kept, its.is_on_record(), "{}", mine.name);
    }
}
