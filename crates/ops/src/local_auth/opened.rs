//! Sessions and links that were opened with the key of a policy, for as long as they are open.

use gate::Ask;
use model::{PrincipalKind, Scope, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who is connected by keys. How many there can be is bounded by the listeners: each is a connection, or a link of one.
#[derive(Clone, Default)]
pub struct OpenedByKey(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    next: u64,
    open: BTreeMap<u64, Opened>,
}

/// One that is open.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) scope: Scope,
    pub(crate) policy: String,
    pub(crate) operation: String,
    pub(crate) protocol: String,
    pub(crate) address: String,
    pub(crate) since: Timestamp,
}

/// Takes it out of the book when it ends.
pub(crate) struct Entered {
    book: OpenedByKey,
    number: u64,
}

impl OpenedByKey {
    /// Enters who was let in to stay, where that was by a key; keeps what is entered already.
    pub(crate) fn enter(&self, former: Option<Entered>, ask: &Ask<'_>) -> Option<Entered> {
        match (ask.caller.kind == PrincipalKind::SasKey, former) {
            (false, _) => None,
            (true, Some(former)) => {
                // It may lie in another resource group by now, and another policy's key may have renewed it.
                if let Some(known) = self.lock().open.get_mut(&former.number) {
                    known.scope = ask.scope.clone();
                    known.policy.clone_from(&ask.caller.name);
                }
                Some(former)
            }
            (true, None) => {
                let channel = &ask.head.channel;
                let opened = Opened {
                    scope: ask.scope.clone(),
                    policy: ask.caller.name.clone(),
                    operation: ask.operation.name(),
                    protocol: channel.protocol.clone(),
                    address: channel.address.clone(),
                    since: ask.head.time,
                };
                let mut book = self.lock();
                let number = book.next;
                book.next += 1;
                book.open.insert(number, opened);
                Some(Entered { book: self.clone(), number })
            }
        }
    }

    /// Those that are open, the oldest first.
    pub(crate) fn all(&self) -> Vec<Opened> {
        self.lock().open.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // No critical section leaves the book half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.book.lock().open.remove(&self.number);
    }
}
