//! Containers of blobs, as an import or export reaches them, and why it does not.

use super::body::{Place, Shows};
use super::run::Stop;
use crate::devices::hubs;
use crate::entra::tokens;
use crate::env::Env;
use crate::going_out::{self, Identity};
use egress::blob::{BlobError, Blobs, Container, Credential, Why};
use gate::facts::Hub;
use std::sync::Arc;

/// What lets an identity read and write blobs.
const ROLE: &str = "Storage Blob Data Contributor";
/// The error code of storage whose network rules do not let the caller in.
const CLOSED: &str = "AuthorizationFailure";

/// A container, and as whom it is reached.
pub(super) struct Storage {
    pub(super) blobs: Blobs,
    pub(super) blob: String,
    who: Option<Identity>,
}

impl Storage {
    /// # Errors
    /// Where the hub does not have the identity that the job is to use.
    pub(super) async fn of(
        env: &Arc<Env>,
        hub: &Hub,
        shows: &Shows,
        place: &Place,
    ) -> Result<Self, Stop> {
        let container = Container::parse(&place.container)
            .map_err(|it| Stop::Failed(format!("the address of a container is none: {it}")))?;
        let (credential, who) = match shows {
            Shows::KeyBased => (Credential::InAddress, None),
            Shows::IdentityBased(named) => {
                let who = identity(env, hub, named.as_deref()).await?;
                let place = (container.host(), tokens::STORAGE);
                let source = going_out::tokens_for(env, &env.facts.load(), &who, place);
                (Credential::Token(source.map_err(Stop::Failed)?), Some(who))
            }
        };
        let now = Arc::clone(&env.clock.now);
        let blobs = Blobs::new(env.egress.clone(), container, credential, now);
        Ok(Self { blobs, blob: place.blob.clone(), who })
    }

    /// Why the job fails, in a sentence that says what to do.
    pub(super) fn failed(&self, error: &BlobError) -> Stop {
        let container = self.blobs.container();
        let mut said = format!("`{container}`, blob `{}`: {error}", self.blob);
        let tracking = error.request_id.as_deref();
        let tracking = tracking.map(|it| format!("; tracking id {it}")).unwrap_or_default();
        let as_whom = |who: &Identity| {
            format!("; the job calls as {} (object id {})", who.called, who.principal)
        };
        match (error.why, &self.who) {
            (Why::Unauthorized, Some(who)) if error.code == CLOSED => said.push_str(&format!(
                "{}: let its network in, or make the exception for trusted services, by which the hub's system-assigned \
                 identity passes and no user-assigned one{tracking}",
                as_whom(who)
            )),
            (Why::Unauthorized, Some(who)) => said.push_str(&format!(
                "{}: assign that identity the role `{ROLE}` there, with `az role assignment create \
                 --assignee-object-id {} --assignee-principal-type ServicePrincipal --role \"{ROLE}\" --scope <the storage \
                 account or its container>`; roles that manage the account, such as Contributor, open no blob of it{tracking}",
                as_whom(who),
                who.principal
            )),
            (Why::Unauthorized, None) => said.push_str(&format!(
                "; the shared access signature in the address does not open this{tracking}"
            )),
            (
                Why::NotFound | Why::Conflict | Why::Throttled | Why::Unreachable | Why::Refused,
                _,
            ) => said.push_str(&tracking),
        }
        Stop::Failed(said)
    }
}

/// The identity that a job shows: the named one, which the hub has to have attached, or the hub's own.
async fn identity(env: &Env, hub: &Hub, named: Option<&str>) -> Result<Identity, Stop> {
    let Some((document, _)) = hubs::stored(env, &hub.scope).await? else { return Err(Stop::Gone) };
    going_out::identity_of(&document.resource, named, &env.facts.load()).map_err(Stop::Failed)
}
