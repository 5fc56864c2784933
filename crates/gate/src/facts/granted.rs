//! What a role says to each action of the table, worked out when it is first asked for: a decision then looks at
//! a bit where it would compare patterns.

use super::roles::{DIRECTORY, SECURITY_POLICIES, starts};
use super::{Facts, List, Permission, Quick, Role};
use model::operations::OPERATIONS;
use model::{ActionName, ObjectId, Operation};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, OnceLock};

/// Of so many actions there are bits; patterns decide about others.
const ACTIONS_MAX: usize = 64 * WORDS;
const WORDS: usize = 4;

/// Every action of the table with its number.
static NUMBERS: LazyLock<BTreeMap<&'static str, usize>> = LazyLock::new(|| {
    let mut all: BTreeMap<&str, usize> =
        OPERATIONS.iter().flat_map(|it| it.actions).map(|it| (it.as_str(), 0)).collect();
    all.values_mut().enumerate().for_each(|(number, it)| *it = number);
    all
});

/// The numbers of each operation's actions, by the number of the operation.
static OF_OPERATIONS: LazyLock<Vec<Vec<usize>>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for it in OPERATIONS {
        let at = it.op as usize;
        all.resize(all.len().max(at + 1), Vec::new());
        let number = |it: &ActionName| NUMBERS.get(it.as_str()).copied().unwrap_or(usize::MAX);
        if let Some(row) = all.get_mut(at) {
            *row = it.actions.iter().map(number).collect();
        }
    }
    all
});

/// An operation's actions, each with its number in the table.
pub(crate) fn numbered(operation: &Operation) -> impl Iterator<Item = (ActionName, usize)> {
    let numbers = OF_OPERATIONS.get(operation.op as usize).map_or(&[][..], Vec::as_slice);
    let numbers = numbers.iter().copied().chain(std::iter::repeat(usize::MAX));
    operation.actions.iter().copied().zip(numbers)
}

/// What a role says to an action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Says {
    /// A block without a condition grants it.
    Yes,
    No,
    /// That depends on the call.
    Depends,
}

/// By role, and made for the first who asks.
pub(crate) type AllGranted = Arc<HashMap<ObjectId, OnceLock<Granted>, Quick>>;

/// What one role grants.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    actions: Bits,
    data_actions: Bits,
}

#[derive(Clone, Debug, Default)]
struct Bits {
    yes: [u64; WORDS],
    depends: [u64; WORDS],
}

impl Bits {
    fn of(role: &Role, list: List) -> Self {
        let mut bits = Self::default();
        for (action, number) in &*NUMBERS {
            let covers = |it: &&Permission| it.covers(action, list).is_some();
            let mut blocks = role.permissions.iter().filter(covers).peekable();
            // Only patterns that name these grant them, as the facts say and not the role alone.
            let is_named = starts(action, SECURITY_POLICIES) || starts(action, DIRECTORY);
            let is_granted = blocks.peek().is_some();
            let words = match is_named || blocks.all(|it| it.condition.is_some()) {
                true => &mut bits.depends,
                false => &mut bits.yes,
            };
            if let Some(word) = words.get_mut(number / 64).filter(|_| is_granted) {
                *word |= 1 << (number % 64);
            }
        }
        bits
    }

    fn says(&self, number: usize) -> Says {
        let has = |words: &[u64; WORDS]| {
            words.get(number / 64).is_some_and(|it| it >> (number % 64) & 1 == 1)
        };
        match () {
            () if number >= ACTIONS_MAX || has(&self.depends) => Says::Depends,
            () if has(&self.yes) => Says::Yes,
            () => Says::No,
        }
    }
}

impl Facts {
    /// What `role` says to the action of that number. A role that does not exist says no.
    pub(crate) fn says(&self, role: ObjectId, list: List, number: usize) -> Says {
        let Some(granted) = self.granted.get(&role) else { return Says::No };
        let granted = granted.get_or_init(|| self.granted_by(role));
        match list {
            List::Actions => granted.actions.says(number),
            List::DataActions => granted.data_actions.says(number),
        }
    }

    fn granted_by(&self, role: ObjectId) -> Granted {
        let bits = |list| self.roles.get(&role).map(|it| Bits::of(it, list)).unwrap_or_default();
        Granted { actions: bits(List::Actions), data_actions: bits(List::DataActions) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_of_the_table_has_a_bit() {
        assert!(NUMBERS.len() <= ACTIONS_MAX, "{}", NUMBERS.len());
    }

    #[test]
    fn a_role_says_by_bits_what_it_says_by_patterns() {
        let facts = Facts::new(ObjectId(uuid::Uuid::from_u128(1)), "");
        let mut told = [0, 0, 0];
        let mut roles: Vec<&Arc<Role>> = facts.roles.values().collect();
        roles.sort_by_key(|it| it.id);
        for role in roles {
            for operation in OPERATIONS {
                for (action, number) in numbered(operation) {
                    let list = List::of(operation.role_plane());
                    let is_granted = facts.grants(role, action.as_str(), list).is_some();
                    let says = facts.says(role.id, list, number);
                    told[says as usize] += 1;
                    assert!(
                        says == Says::Depends || is_granted == (says == Says::Yes),
                        "{} {action}",
                        role.name
                    );
                }
            }
        }
        assert!(told.iter().all(|it| *it > 0), "{told:?}");
    }
}
