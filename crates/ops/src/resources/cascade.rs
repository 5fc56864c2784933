//! What goes with a resource when it is deleted.
//!
//! Everything at or below it: resources, role assignments, policy assignments, exemptions and diagnostic
//! settings, so that none of them takes effect on a later resource of the same name. Azure leaves role
//! assignments behind, orphaned. Definitions lie at the subscription and stay.

use crate::control;
use crate::env::Env;
use model::{Error, Scope};
use serde::Deserialize;
use serde::de::IgnoredAny;
use store::{Change, Expect, Table, tables};

/// Most documents that one deletion takes: they go in one commit, with room for its records.
pub(crate) const CASCADE_DOCUMENTS_MAX: usize = 900;

/// Documents that lie at a scope besides the resource itself.
const EXTENSIONS: [Table; 4] = [
    tables::ROLE_ASSIGNMENTS,
    tables::POLICY_ASSIGNMENTS,
    tables::POLICY_EXEMPTIONS,
    tables::DIAGNOSTIC_SETTINGS,
];

/// A deletion that is worked out and not yet done.
#[derive(Debug)]
pub(crate) struct Cascade {
    pub(crate) changes: Vec<Change>,
    /// Hubs whose devices lie in shards of their own, which go after the commit.
    pub(crate) hub_uids: Vec<String>,
}

/// What a cascade needs to know of a resource: the uid is a hub's.
#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    uid: Option<String>,
}

impl Cascade {
    /// Everything at and below `scope`, which exists.
    ///
    /// # Errors
    /// `ScopeTooLarge` above [`CASCADE_DOCUMENTS_MAX`]: parts of it have to be deleted first.
    pub(crate) async fn of(scope: &Scope, env: &Env) -> Result<Self, Error> {
        let below = format!("{}/", scope.key());
        let mut changes = Vec::new();
        for table in EXTENSIONS {
            let found = control::all::<IgnoredAny>(env, table, &below).await?;
            changes.extend(
                found.into_iter().map(|(key, _)| control::delete(table, key, Expect::Present)),
            );
        }
        let mut hub_uids = Vec::new();
        let mut resources = control::all::<Resource>(env, tables::RESOURCES, &below).await?;
        if let Some((own, _)) =
            control::get::<Resource>(env, tables::RESOURCES, &scope.key()).await?
        {
            resources.push((scope.key(), own));
        }
        for (key, resource) in resources {
            changes.push(control::delete(tables::RESOURCES, key, Expect::Present));
            hub_uids.extend(resource.uid);
        }
        let documents = changes.len().saturating_add(hub_uids.len());
        if documents > CASCADE_DOCUMENTS_MAX {
            return Err(Error::Conflict {
                code: "ScopeTooLarge",
                message: format!(
                    "`{scope}` holds {documents} documents; at most {CASCADE_DOCUMENTS_MAX} are deleted \
                     at once: delete role assignments or resources in it first"
                ),
            });
        }
        Ok(Self { changes, hub_uids })
    }
}
