//! What goes with a resource when it is deleted.
//!
//! Everything at or below it: resources, role and deny assignments, policy assignments, exemptions, locks
//! and diagnostic settings, so that none of them takes effect on a later resource of the same name. Azure leaves role
//! assignments behind, orphaned. A resource's own identity goes with it; the roles that it held elsewhere
//! stay, orphaned. Definitions lie at the subscription and stay.

use crate::control;
use crate::entra::principals;
use crate::env::Env;
use crate::managed_identity::Identity;
use crate::targets;
use model::{Error, Scope};
use serde::Deserialize;
use serde::de::IgnoredAny;
use store::{Change, Expect, ShardId, Table, tables};

/// Most documents that one deletion takes: they go in one commit, with room for its records.
pub(crate) const CASCADE_DOCUMENTS_MAX: usize = 900;

/// Documents that lie at a scope besides the resource itself.
const EXTENSIONS: [Table; 7] = [
    tables::DEPLOYMENTS,
    tables::ROLE_ASSIGNMENTS,
    tables::DENY_ASSIGNMENTS,
    tables::POLICY_ASSIGNMENTS,
    tables::POLICY_EXEMPTIONS,
    tables::LOCKS,
    tables::DIAGNOSTIC_SETTINGS,
];

/// A document that lies at a scope or below it, and is no resource.
pub(super) struct Attached {
    pub(super) table: Table,
    /// Its id in lower case.
    pub(super) key: String,
}

impl Attached {
    pub(super) fn deletion(self) -> Change {
        control::delete(self.table, self.key, Expect::Present)
    }
}

/// What lies at and below `scope` besides resources.
pub(super) async fn attached(scope: &Scope, env: &Env) -> Result<Vec<Attached>, Error> {
    let below = format!("{}/", scope.key());
    let mut all = Vec::new();
    for table in EXTENSIONS {
        let found = control::all::<IgnoredAny>(env, table, &below).await?;
        all.extend(found.into_iter().map(|(key, _)| Attached { table, key }));
    }
    Ok(all)
}

/// A deletion that is worked out and not yet done.
#[derive(Debug)]
pub(crate) struct Cascade {
    pub(crate) changes: Vec<Change>,
    /// What lies apart from the control plane, a hub's devices or a provisioning service's enrollments.
    /// It goes after the commit.
    pub(crate) shards: Vec<ShardId>,
}

/// What a cascade needs to know of a resource.
#[derive(Deserialize)]
struct Resource {
    /// Names its shard, where it has one.
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    identity: Option<Identity>,
}

impl Resource {
    /// The shard of the resource under `key`.
    fn shard(&self, key: &str) -> Result<Option<ShardId>, Error> {
        let Some(uid) = &self.uid else { return Ok(None) };
        let shard = match key.contains("/providers/microsoft.devices/provisioningservices/") {
            _ if targets::is_key(key) && !targets::has_shard(key) => return Ok(None),
            _ if targets::is_key(key) => ShardId::target(uid),
            true => ShardId::dps(uid),
            false => ShardId::hub(uid),
        };
        shard.map(Some).map_err(|it| Error::Internal { message: format!("`{key}`: {it}") })
    }
}

impl Cascade {
    /// Everything at and below `scope`, which exists.
    ///
    /// # Errors
    /// `ScopeTooLarge` above [`CASCADE_DOCUMENTS_MAX`]: parts of it have to be deleted first.
    pub(crate) async fn of(scope: &Scope, env: &Env) -> Result<Self, Error> {
        let below = format!("{}/", scope.key());
        let mut changes: Vec<Change> =
            attached(scope, env).await?.into_iter().map(|it| it.deletion()).collect();
        let mut shards = Vec::new();
        let mut resources = control::all::<Resource>(env, tables::RESOURCES, &below).await?;
        if let Some((own, _)) =
            control::get::<Resource>(env, tables::RESOURCES, &scope.key()).await?
        {
            resources.push((scope.key(), own));
        }
        for (key, resource) in resources {
            shards.extend(resource.shard(&key)?);
            changes.extend(
                resource.identity.map(|it| principals::change_no_identity(it.principal_id)),
            );
            changes.push(control::delete(tables::RESOURCES, key, Expect::Present));
        }
        let documents = changes.len().saturating_add(shards.len());
        if documents > CASCADE_DOCUMENTS_MAX {
            return Err(Error::Conflict {
                code: "ScopeTooLarge",
                message: format!(
                    "`{scope}` holds {documents} documents; at most {CASCADE_DOCUMENTS_MAX} are deleted \
                     at once: delete role assignments or resources in it first"
                ),
            });
        }
        Ok(Self { changes, shards })
    }
}
