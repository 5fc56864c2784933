//! What is asked before an endpoint, or the storage for files, is saved: whether the hub could send there at all.
//!
//! Of a target of this server the gates are asked, by the identity that the endpoint names; of any other host only
//! whether the server calls it. An endpoint that stays as it was is not asked about again: taking a role away must not
//! keep a hub from being written.

use super::{Kind, connection, endpoints_of};
use crate::devices::endpoints::IDENTITY_BASED;
use crate::devices::hubs::HubDocument;
use crate::devices::uploads;
use crate::env::Env;
use crate::going_out;
use crate::targets::deeds::{Deed, ours, place};
use gate::Facts;
use gate::facts::Target;
use gate::network::{Part, ShownBy, Visitor};
use model::Error;
use model::json::{at, set, text};
use serde_json::Value;
use std::sync::Arc;

impl Kind {
    pub(crate) const fn deed(self) -> Deed {
        match self {
            Self::ServiceBusQueues => Deed::SendToQueue,
            Self::ServiceBusTopics => Deed::SendToTopic,
            Self::EventHubs => Deed::SendEvents,
            Self::StorageContainers => Deed::WriteBlobs,
        }
    }
}

/// Asks about every endpoint that is not as it was in `former`.
///
/// # Errors
/// `RoutingEndpointResponseForbidden` with the place of the endpoint, what stands against it, and what to do about it.
pub(crate) async fn check_endpoints(
    env: &Env,
    facts: &Facts,
    hub: &HubDocument,
    former: Option<&Value>,
) -> Result<(), Error> {
    let nothing = Value::Null;
    let properties = hub.resource.get("properties").unwrap_or(&nothing);
    let before = former.and_then(|it| it.get("properties")).unwrap_or(&nothing);
    for (kind, index, endpoint) in endpoints_of(properties) {
        let is_as_it_was =
            endpoints_of(before).any(|(its, _, it)| its == kind && is_same(it, endpoint));
        if is_as_it_was {
            continue;
        }
        let asked = Box::pin(may_send(env, facts, &hub.resource, (kind, endpoint))).await;
        asked.map_err(|because| Error::Invalid {
            code: "RoutingEndpointResponseForbidden",
            at: Some(format!("properties.routing.endpoints.{}[{index}]", kind.as_str())),
            message: format!("403008: {because}"),
        })?;
    }
    let files = ["storageEndpoints", "$default"];
    let storage = at(properties, &files).unwrap_or(&nothing);
    if at(before, &files).is_some_and(|it| is_same(it, storage)) {
        return Ok(());
    }
    let asked = Box::pin(may_store(env, facts, &hub.resource, storage)).await;
    asked.map_err(|because| Error::Invalid {
        code: "BlobContainerValidationError",
        at: Some("properties.storageEndpoints.$default".to_owned()),
        message: format!("400008: {because}"),
    })
}

/// Whether a hub could keep files there; a hub that is to keep none may do that.
async fn may_store(env: &Env, facts: &Facts, hub: &Value, storage: &Value) -> Result<(), String> {
    let of = |name: &str| text(storage, &[name]).unwrap_or_default();
    if of("connectionString").is_empty() {
        return Ok(());
    }
    let container = uploads::container_of(env, facts, storage)?;
    let host = container.host();
    let target = ours(facts, host, Deed::WriteBlobs)?;
    match (target, of("authenticationType") == IDENTITY_BASED) {
        (target, true) => {
            as_identity(
                env,
                facts,
                hub,
                (storage, Deed::WriteBlobs),
                (target, host, &container.name),
            )
            .await
        }
        (Some(target), false) => {
            place(facts, Deed::WriteBlobs, &target, &container.name)?;
            with_key(&target)
        }
        (None, false) => {
            let port = Some(container.port()).filter(|it| *it != 443);
            may_call(env, &connection::Host { name: host.to_owned(), port })
        }
    }
}

fn with_key(target: &Target) -> Result<(), String> {
    let reach = target.network.reach(Part::Service, Visitor::Hub(ShownBy::Key));
    match (target.takes_keys, reach.passes) {
        (true, true) => Ok(()),
        (false, _) => Err(format!(
            "`{}` takes no keys; let the hub sign in there as one of its identities (`identityBased`)",
            target.scope.name()
        )),
        (true, false) => {
            Err(format!("the network rules of `{}`: {}", target.scope.name(), reach.says))
        }
    }
}

/// Whether the identity that an endpoint names may do what it is for, at a target of this server.
async fn as_identity(
    env: &Env,
    facts: &Facts,
    hub: &Value,
    (endpoint, deed): (&Value, Deed),
    (target, host, entity): (Option<Arc<Target>>, &str, &str),
) -> Result<(), String> {
    let Some(target) = target else { return going_out::expect_ours(facts, host) };
    let place = place(facts, deed, &target, entity)?;
    let named = text(endpoint, &["identity", "userAssignedIdentity"]);
    let who = going_out::identity_of(hub, named, facts)?;
    let asked = going_out::ask(env, facts, &who, deed.row(), &place).await;
    asked.map_err(|it| format!("{} (tracking id {})", it.why, it.tracking))
}

/// True where nothing but the id differs, which no body sets.
fn is_same(one: &Value, other: &Value) -> bool {
    let without_id = |it: &Value| {
        let mut it = it.clone();
        set(&mut it, "id", Value::Null);
        it
    };
    without_id(one) == without_id(other)
}

async fn may_send(
    env: &Env,
    facts: &Facts,
    hub: &Value,
    (kind, endpoint): (Kind, &Value),
) -> Result<(), String> {
    let deed = kind.deed();
    let of = |name: &str| text(endpoint, &[name]).unwrap_or_default();
    if of("authenticationType") != IDENTITY_BASED {
        let connection =
            connection::parse(kind, of("connectionString"), text(endpoint, &["entityPath"]))?;
        return match ours(facts, &connection.host.name, deed)? {
            None => may_call(env, &connection.host),
            Some(target) => with_key(&target),
        };
    }
    let host = connection::host_of(kind, of("endpointUri"))?;
    let entity =
        if kind == Kind::StorageContainers { of("containerName") } else { of("entityPath") };
    let target = ours(facts, &host.name, deed)?;
    as_identity(env, facts, hub, (endpoint, deed), (target, &host.name, entity)).await
}

/// Whether the server calls a host that is not its own, as far as that can be told without resolving it.
fn may_call(env: &Env, host: &connection::Host) -> Result<(), String> {
    let port = host.port.map_or_else(String::new, |it| format!(":{it}"));
    let target = egress::Target::parse(&format!("https://{}{port}/", host.name));
    let target = target.map_err(|it| it.to_string())?;
    env.egress.check(&target).map_err(|it| it.to_string())
}
