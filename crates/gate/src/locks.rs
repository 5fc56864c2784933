//! Management locks, which the last gate looks at: what is locked is not deleted, or not changed at all,
//! whoever asks and whatever their roles.
//!
//! A lock holds at its scope and everywhere below it. It keeps the control plane alone: devices and their
//! data come and go as before. Locks are managed by role, and no lock stands against that, or a lock could
//! keep itself. Source: Azure Resource Manager documentation, "Lock your resources".
//!
//! What moves to another group is stopped by a `ReadOnly` lock at either end. A `CanNotDelete` lock stops it
//! where the move would take the resource out from under the lock: otherwise whoever may move could delete.

use crate::decide::{Ask, Findings, Ruling};
use crate::facts::Facts;
use model::error::{Denial, DenialKind};
use model::trace::{Finding, FindingKind, FindingResult, LockPlace, Verb};
use model::{Gate, Operation, Plane, Scope};
use std::sync::Arc;

/// Most locked scopes that a refusal's message names; its trace names more.
const SCOPES_NAMED_MAX: usize = 10;
/// Most locks that one trace names.
const LOCKS_NAMED_MAX: usize = 100;

/// The actions that manage locks.
const MANAGE: &str = "Microsoft.Authorization/locks/";

/// How much a lock forbids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    CanNotDelete,
    /// No write and no POST either: one that lists keys hands out the right to change things.
    ReadOnly,
}

impl Level {
    pub const ALL: [Self; 2] = [Self::CanNotDelete, Self::ReadOnly];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CanNotDelete => "CanNotDelete",
            Self::ReadOnly => "ReadOnly",
        }
    }

    /// Reads the word in any casing.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str().eq_ignore_ascii_case(text))
    }
}

/// A management lock.
#[derive(Clone, Debug)]
pub struct Lock {
    /// Its full id.
    pub id: String,
    pub name: String,
    /// What it locks, with everything below.
    pub scope: Scope,
    pub level: Level,
}

impl Facts {
    pub fn put_lock(&mut self, lock: Lock) {
        Arc::make_mut(&mut self.locks).insert(lock.id.to_ascii_lowercase(), Arc::new(lock));
    }

    /// `id` is the full id, in any casing.
    pub fn remove_lock(&mut self, id: &str) {
        Arc::make_mut(&mut self.locks).remove(&id.to_ascii_lowercase());
    }
}

/// What a call would do to its scope.
#[derive(Clone, Copy)]
enum Deed {
    Write,
    Delete,
    /// Leaves its group for another one.
    Move,
}

impl Deed {
    /// `None` for what only reads, lies outside the control plane, or manages locks.
    fn of(operation: &Operation) -> Option<Self> {
        let manages_locks = operation.actions.iter().any(|it| it.as_str().starts_with(MANAGE));
        if operation.plane != Plane::Control || manages_locks {
            return None;
        }
        let does = |verb: &str| operation.actions.iter().any(|it| it.ends_in(verb));
        match () {
            () if operation.moves() => Some(Self::Move),
            () if does("delete") => Some(Self::Delete),
            () if does("write") || does("action") => Some(Self::Write),
            () => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Move => "move",
        }
    }

    /// What is deleted takes all below it along, so a lock there stands against it, too.
    fn is_stopped_by(self, lock: &Lock, at: &Scope, ways: &[Way]) -> bool {
        match self {
            Self::Write => lock.level == Level::ReadOnly && lock.scope.contains(at),
            Self::Delete => lock.scope.contains(at) || at.contains(&lock.scope),
            Self::Move => {
                let is_frozen = lock.level == Level::ReadOnly && lock.scope.contains(at);
                is_frozen || ways.iter().any(|it| it.is_stopped_by(lock))
            }
        }
    }
}

/// Where a resource is, and where it would be after a move.
struct Way {
    from: Scope,
    to: Scope,
}

impl Way {
    /// The ways of what the call moves: each object lies at its new place, and the call at the old group.
    fn all(ask: &Ask<'_>) -> Vec<Self> {
        let moved = ask.objects.iter().filter(|it| it.verb == Verb::Move);
        let way = |id: &str| {
            let to = Scope::parse(id).ok()?;
            let group = to.resource_group_scope()?.segments().count();
            let below: Vec<&str> = to.segments().skip(group).collect();
            Some(Self { from: ask.scope.join(&below.join("/")), to })
        };
        moved.filter_map(|it| way(&it.id)).collect()
    }

    fn is_stopped_by(&self, lock: &Lock) -> bool {
        let lies_on_it = self.from.contains(&lock.scope);
        match lock.level {
            Level::ReadOnly => {
                lies_on_it || lock.scope.contains(&self.from) || lock.scope.contains(&self.to)
            }
            // One above both groups goes on holding.
            Level::CanNotDelete => {
                lies_on_it || lock.scope.contains(&self.from) && !lock.scope.contains(&self.to)
            }
        }
    }
}

/// The refusal, where a lock stands against the call.
pub(crate) fn rule(ask: &Ask<'_>, facts: &Facts, findings: &mut Findings) -> Option<Ruling> {
    let deed = Deed::of(ask.operation)?;
    let ways = Way::all(ask);
    let against: Vec<&Lock> = facts
        .locks
        .values()
        .map(AsRef::as_ref)
        .filter(|it| deed.is_stopped_by(it, ask.scope, &ways))
        .collect();
    let first = against.first()?;
    for lock in against.iter().take(LOCKS_NAMED_MAX) {
        findings.add(|| finding(lock, deed, ask.scope));
    }
    let more = against.len() - 1;
    let others = if more == 0 { String::new() } else { format!(", and {more} more locks do") };
    let reason = findings.told(|| {
        format!(
            "the lock `{}` ({}) at `{}` forbids to {} it{others}",
            first.name,
            first.level.as_str(),
            first.scope,
            deed.as_str()
        )
    });
    let denial = Denial {
        gate: Gate::Resource,
        kind: DenialKind::Locked,
        message: message(ask.scope, deed, &against),
        violations: Vec::new(),
        target: ask.scope.as_str().to_owned(),
    };
    Some(Ruling { denial: Some(denial), reason })
}

fn finding(lock: &Lock, deed: Deed, at: &Scope) -> Finding {
    let (level, below) = (lock.level.as_str(), !lock.scope.contains(at));
    let reason = match (deed, below) {
        (Deed::Delete, true) => {
            format!("{level}: what lies in here is locked and would be deleted, too")
        }
        (Deed::Delete, false) => {
            format!("{level}: nothing at or below `{}` is deleted", lock.scope)
        }
        (Deed::Write, _) => format!(
            "{level}: nothing at or below `{}` is changed, and no POST action runs there",
            lock.scope
        ),
        (Deed::Move, _) => {
            format!(
                "{level}: nothing is moved out from under the lock at `{}`, or into it",
                lock.scope
            )
        }
    };
    Finding {
        kind: FindingKind::Lock,
        id: lock.id.clone(),
        name: lock.name.clone(),
        result: FindingResult::Deny,
        reason,
        rule: None,
        role: None,
        lock: Some(LockPlace { level: level.to_owned(), scope: lock.scope.as_str().to_owned() }),
        conditions: Vec::new(),
    }
}

/// Azure's sentence, which calls a POST action a write.
fn message(at: &Scope, deed: Deed, against: &[&Lock]) -> String {
    let mut scopes: Vec<&str> = Vec::new();
    for lock in against {
        if !scopes.iter().any(|it| it.eq_ignore_ascii_case(lock.scope.as_str())) {
            scopes.push(lock.scope.as_str());
        }
    }
    let named = scopes.iter().take(SCOPES_NAMED_MAX).copied().collect::<Vec<_>>().join(",");
    let more = match scopes.len().saturating_sub(SCOPES_NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "The scope '{at}' cannot perform {} operation because following scope(s) are locked: '{named}'{more}. \
         Please remove the lock and try again.",
        deed.as_str()
    )
}
