//! A hub or a provisioning service, for what both have alike: CAs, private endpoint connections.

use crate::devices::hubs::{self, HubDocument, etag};
use crate::env::Env;
use crate::input::Input;
use crate::provisioning::services::{self, DpsDocument};
use gate::Permit;
use model::json::set;
use model::{Error, Scope};
use serde_json::{Value, json};

/// Whose they are. It holds keys: no `Debug`.
pub(crate) enum Owner {
    Hub(HubDocument),
    Dps(DpsDocument),
}

impl Owner {
    /// The one that the path names, with the revision of its document.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `ResourceGroupNotFound` or `ResourceNotFound`.
    pub(crate) async fn of(input: &Input, env: &Env) -> Result<(Self, u64), Error> {
        Ok(match input.params.contains_key("dps") {
            true => {
                let (dps, revision) = services::named(input, env).await?;
                (Self::Dps(dps), revision)
            }
            false => {
                let (hub, revision) = hubs::named(input, env).await?;
                (Self::Hub(hub), revision)
            }
        })
    }

    /// The one that something at a scope belongs to: the one at `{owner}/{type}/{name}`, where it exists.
    ///
    /// # Errors
    /// [`Error::Internal`] where the store fails.
    pub(crate) async fn above(scope: &Scope, env: &Env) -> Result<Option<Self>, Error> {
        let above = scope.as_str().rsplitn(3, '/').last().and_then(|it| Scope::parse(it).ok());
        let Some(above) = above else { return Ok(None) };
        let kind = above.resource_type().unwrap_or_default();
        Ok(match kind.eq_ignore_ascii_case("Microsoft.Devices/IotHubs") {
            true => hubs::stored(env, &above).await?.map(|(hub, _)| Self::Hub(hub)),
            false => services::stored(env, &above).await?.map(|(dps, _)| Self::Dps(dps)),
        })
    }

    /// Keeps it, and lets the gates and its sessions know.
    ///
    /// # Errors
    /// [`Error::Stale`] where somebody else changed it since that revision.
    pub(crate) async fn save(
        &self,
        permit: &Permit,
        env: &Env,
        revision: u64,
    ) -> Result<(), Error> {
        match self {
            Self::Hub(it) => hubs::save(permit, env, it, revision).await,
            Self::Dps(it) => services::save(permit, env, it, revision).await,
        }
    }

    pub(crate) fn scope(&self) -> Result<Scope, Error> {
        match self {
            Self::Hub(it) => hubs::scope_of_document(it),
            Self::Dps(it) => services::scope_of_document(it),
        }
    }

    /// As ARM shows it, secrets included.
    pub(crate) const fn resource(&self) -> &Value {
        match self {
            Self::Hub(it) => &it.resource,
            Self::Dps(it) => &it.resource,
        }
    }

    /// Changes one of its properties, and with it its etag.
    pub(crate) fn set_property(&mut self, name: &str, value: Value) {
        let (resource, version) = match self {
            Self::Hub(it) => (&mut it.resource, &mut it.version),
            Self::Dps(it) => (&mut it.resource, &mut it.version),
        };
        *version = version.saturating_add(1);
        set(resource, "etag", json!(etag(*version)));
        if let Some(properties) = resource.get_mut("properties") {
            set(properties, name, value);
        }
    }

    pub(crate) const fn noun(&self) -> &'static str {
        match self {
            Self::Hub(_) => "a hub",
            Self::Dps(_) => "a provisioning service",
        }
    }
}
