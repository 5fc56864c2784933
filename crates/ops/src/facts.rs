//! From documents to the facts that gates decide by, and back again never.
//!
//! At start every gate-relevant document is read once; afterwards each commit brings its own changes.
//! Documents are the truth: [`load`] gives the same facts at any time. What they were before is kept where that
//! is asked for: [`former`] writes it, [`past`] makes facts of it.

pub mod former;
pub mod past;

use crate::{
    authorization, devices, entra, managed_identity, management, provisioning, resources, targets,
};
use arc_swap::ArcSwap;
use gate::Facts;
use gate::facts::VerifyingKey;
use model::{Error, ObjectId};
use std::sync::Arc;
use store::{Change, Engine, Scan, ShardId, StoreError, Table, Write, tables};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, watch};

/// The facts in force, and the order of what changes them.
pub struct FactsCell {
    current: ArcSwap<Facts>,
    order: RwLock<()>,
    /// The version in force, for who waits for the next.
    epoch: watch::Sender<u64>,
}

/// The tables whose documents gates decide by.
const TABLES: &[Table] = &[
    tables::APPLICATIONS,
    tables::SERVICE_PRINCIPALS,
    tables::USERS,
    tables::GROUPS,
    tables::NAMED_LOCATIONS,
    tables::CONDITIONAL_ACCESS,
    tables::RESOURCES,
    tables::ROLE_DEFINITIONS,
    tables::ROLE_ASSIGNMENTS,
    tables::POLICY_DEFINITIONS,
    tables::POLICY_SET_DEFINITIONS,
    tables::POLICY_ASSIGNMENTS,
    tables::POLICY_EXEMPTIONS,
    tables::LOCKS,
    tables::DENY_ASSIGNMENTS,
    tables::MANAGEMENT_GROUPS,
    tables::SUBSCRIPTION_PLACES,
];

impl FactsCell {
    pub fn new(facts: Facts) -> Self {
        Self {
            epoch: watch::Sender::new(facts.epoch),
            current: ArcSwap::from_pointee(facts),
            order: RwLock::new(()),
        }
    }

    /// The facts as of now. Holding them holds nobody up.
    pub fn load(&self) -> Arc<Facts> {
        self.current.load_full()
    }

    /// Held by a write from its decision to its end.
    pub async fn writing(&self) -> RwLockReadGuard<'_, ()> {
        self.order.read().await
    }

    /// Held by a change of facts from its decision to its end.
    pub async fn changing(&self) -> RwLockWriteGuard<'_, ()> {
        self.order.write().await
    }

    /// The facts as they will be after `changes`. The caller holds [`FactsCell::changing`].
    ///
    /// # Errors
    /// [`Error::Internal`] where a document could not be decided by.
    pub(crate) fn with(&self, changes: &[Change]) -> Result<Facts, Error> {
        let mut facts = Facts::clone(&self.current.load());
        bring(&mut facts, changes).map_err(|message| Error::Internal { message })?;
        Ok(facts)
    }

    /// Lets the gates see what was committed as `revision`.
    pub(crate) fn swap(&self, mut facts: Facts, revision: u64) {
        facts.epoch = revision;
        self.current.store(Arc::new(facts));
        self.epoch.send_replace(revision);
    }

    /// Tells of every version that comes from now on.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }
}

impl FactsCell {
    /// Lets the gates verify tokens with other keys, committed as `revision`. The caller holds
    /// [`FactsCell::changing`].
    pub fn set_keys(&self, keys: Vec<VerifyingKey>, revision: u64) {
        let mut facts = Facts::clone(&self.current.load());
        facts.keys = Arc::new(keys);
        self.swap(facts, revision);
    }
}

/// Reads all facts from the store.
///
/// # Errors
/// A sentence naming the document that cannot be read: deciding without it could allow what it forbids.
pub async fn load(store: &Engine, tenant: ObjectId, origin: &str) -> Result<Facts, String> {
    let mut facts = Facts::new(tenant, origin);
    // Not the newest of the documents: where one was deleted last, that is the epoch of other facts.
    facts.epoch = *store.watch(&ShardId::control()).borrow();
    let told = |it: StoreError| format!("the control plane cannot be read: {it}");
    for table in TABLES {
        let mut after = None;
        loop {
            let scan = Scan { prefix: String::new(), after: after.take(), limit: 500 };
            let page = store.scan(&ShardId::control(), *table, scan).await.map_err(told)?;
            for (key, document) in &page {
                put(&mut facts, *table, key, Some(&document.body))?;
            }
            match page.last() {
                Some((key, _)) => after = Some(key.clone()),
                None => break,
            }
        }
    }
    Ok(facts)
}

/// Brings a commit into the facts.
///
/// # Errors
/// Says which document cannot be read.
fn bring(facts: &mut Facts, changes: &[Change]) -> Result<(), String> {
    for change in changes {
        let body = match &change.write {
            Write::Put(body) => Some(body.as_ref()),
            Write::Delete => None,
            Write::Check => continue,
        };
        put(facts, change.table, &change.key, body)?;
    }
    Ok(())
}

/// Brings one document's change into the facts.
///
/// # Errors
/// Says which document cannot be read.
pub(crate) fn put(
    facts: &mut Facts,
    table: Table,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let told = |it: String| format!("the document `{key}` in `{table:?}` cannot be read: {it}");
    match table {
        tables::APPLICATIONS => entra::applications::change_facts(facts, key, body).map_err(told),
        tables::SERVICE_PRINCIPALS => {
            entra::principals::change_facts(facts, key, body).map_err(told)
        }
        tables::USERS => entra::users::change_facts(facts, key, body).map_err(told),
        tables::NAMED_LOCATIONS => {
            entra::named_locations::change_facts(facts, key, body).map_err(told)
        }
        tables::CONDITIONAL_ACCESS => {
            entra::conditional_access::change_facts(facts, key, body).map_err(told)
        }
        tables::GROUPS => entra::groups::change_facts(facts, key, body).map_err(told),
        tables::RESOURCES if key.contains("/providers/microsoft.devices/iothubs/") => {
            devices::hubs::change_facts(facts, key, body).map_err(told)
        }
        tables::RESOURCES if key.contains("/providers/microsoft.devices/provisioningservices/") => {
            provisioning::services::change_facts(facts, key, body).map_err(told)
        }
        tables::RESOURCES
            if key.contains("/providers/microsoft.managedidentity/userassignedidentities/") =>
        {
            managed_identity::user_assigned::change_facts(facts, key, body).map_err(told)
        }
        tables::RESOURCES if targets::is_key(key) => {
            targets::change_facts(facts, key, body).map_err(told)
        }
        tables::RESOURCES => resources::groups::change_facts(facts, key, body).map_err(told),
        tables::ROLE_DEFINITIONS => {
            authorization::roles::change_facts(facts, key, body).map_err(told)
        }
        tables::ROLE_ASSIGNMENTS => {
            authorization::role_assignments::change_facts(facts, key, body).map_err(told)
        }
        tables::POLICY_DEFINITIONS => {
            authorization::policies::change_definition(facts, key, body).map_err(told)
        }
        tables::POLICY_SET_DEFINITIONS => {
            authorization::policy_sets::change_facts(facts, key, body).map_err(told)
        }
        tables::POLICY_ASSIGNMENTS => {
            authorization::policies::change_assignment(facts, key, body).map_err(told)
        }
        tables::POLICY_EXEMPTIONS => {
            authorization::exemptions::change_facts(facts, key, body).map_err(told)
        }
        tables::DENY_ASSIGNMENTS => {
            authorization::deny_assignments::change_facts(facts, key, body).map_err(told)
        }
        tables::MANAGEMENT_GROUPS => management::change_group(facts, key, body).map_err(told),
        tables::SUBSCRIPTION_PLACES => management::change_place(facts, key, body).map_err(told),
        tables::LOCKS => authorization::locks::change_facts(facts, key, body).map_err(told),
        _ => Ok(()),
    }
}
