//! The way to an endpoint: a client with the endpoint's address and credential.

use super::Endpoint;
use crate::devices::endpoints::IDENTITY_BASED;
use crate::devices::routing::{Kind, connection};
use crate::devices::uploads;
use crate::entra::tokens;
use crate::env::Env;
use crate::going_out;
use egress::TokenSource;
use egress::amqp::{Credential, Endpoint as Address, Message, Sender, Verdicts};
use egress::blob::{self, Blobs, Container};
use gate::Facts;
use gate::facts::Instance;
use model::json::text;
use std::sync::Arc;

/// Of AMQP over TLS.
const PORT: u16 = 5671;

/// What sends to one endpoint.
pub(super) struct Way(Sender);

impl Way {
    /// A way that has not connected yet.
    ///
    /// # Errors
    /// Why there is none, as a sentence.
    pub(super) fn of(env: &Arc<Env>, endpoint: &Endpoint) -> Result<Self, String> {
        let of = |name: &str| text(&endpoint.body, &[name]).unwrap_or_default();
        let facts = env.facts.load();
        let (host, entity, credential) = if of("authenticationType") == IDENTITY_BASED {
            let host = connection::host_of(endpoint.kind, of("endpointUri"))?;
            let audience = match endpoint.kind {
                Kind::EventHubs => tokens::EVENT_HUBS,
                Kind::ServiceBusQueues | Kind::ServiceBusTopics | Kind::StorageContainers => {
                    tokens::SERVICE_BUS
                }
            };
            let source = identity(env, &facts, endpoint, (&host.name, audience))?;
            (host, of("entityPath").to_owned(), Credential::Token(source))
        } else {
            let entity = text(&endpoint.body, &["entityPath"]);
            let found = connection::parse(endpoint.kind, of("connectionString"), entity)?;
            let credential = Credential::Key { name: found.key_name, key: found.key };
            (found.host, found.entity.unwrap_or_default(), credential)
        };
        let is_ours = facts.instance_at(&host.name).is_some();
        let own = if is_ours { env.settings.amqp_port } else { PORT };
        let address = Address { host: host.name, port: host.port.unwrap_or(own), entity };
        let now = Arc::clone(&env.clock.now);
        Ok(Self(Sender::new(env.egress.clone(), address, credential, now)))
    }

    /// A verdict of each message, in their order.
    pub(super) async fn send(&mut self, messages: &[Message]) -> Verdicts {
        self.0.send(messages).await
    }

    /// Keeps the connection while there is nothing to send. Never ends.
    pub(super) async fn rest(&mut self) {
        self.0.rest().await;
    }
}

/// The container of an endpoint, which is not called yet.
///
/// # Errors
/// As [`Way::of`].
pub(super) fn container(env: &Arc<Env>, endpoint: &Endpoint) -> Result<Blobs, String> {
    let of = |name: &str| text(&endpoint.body, &[name]).unwrap_or_default();
    let facts = env.facts.load();
    let (container, credential) = if of("authenticationType") == IDENTITY_BASED {
        let host = connection::host_of(endpoint.kind, of("endpointUri"))?.name;
        let source = identity(env, &facts, endpoint, (&host, tokens::STORAGE))?;
        // It may be written without what leads to the account where its host has no name.
        let account = match facts.instance_at(&host) {
            Some(Instance::Target(it)) => uploads::served_at(it.scope.name(), &facts, env),
            Some(Instance::Hub(_) | Instance::Dps(_)) | None => None,
        };
        let address = account.unwrap_or_else(|| of("endpointUri").to_owned());
        let container = Container::at(&address, of("containerName"));
        (container.map_err(|it| it.to_string())?, blob::Credential::Token(source))
    } else {
        let container = uploads::container_of(env, &facts, &endpoint.body)?;
        (container, uploads::key_of_account(&endpoint.body)?)
    };
    let now = Arc::clone(&env.clock.now);
    Ok(Blobs::new(env.egress.clone(), container, credential, now).without_replacing())
}

/// Tokens of the identity that an endpoint names, for a host of this server.
fn identity(
    env: &Arc<Env>,
    facts: &Facts,
    endpoint: &Endpoint,
    place: (&str, &'static str),
) -> Result<Arc<dyn TokenSource>, String> {
    let named = text(&endpoint.body, &["identity", "userAssignedIdentity"]);
    let identity = going_out::identity_of(&endpoint.hub, named, facts)?;
    going_out::tokens_for(env, facts, &identity, place)
}
