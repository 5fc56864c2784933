//! What is asked before an endpoint is saved: whether the hub could send there at all.
//!
//! Of a target of this server the gates are asked, by the identity that the endpoint names; of any other host only
//! whether the server calls it. An endpoint that stays as it was is not asked about again: taking a role away must not
//! keep a hub from being written.

use super::{Kind, connection, endpoints_of};
use crate::devices::endpoints::IDENTITY_BASED;
use crate::devices::hubs::HubDocument;
use crate::env::Env;
use crate::managed_identity::attached::{Identities, user_assigned_id};
use crate::targets::egress_check::{Deed, check, ours};
use gate::network::{Part, ShownBy, Visitor};
use gate::{Facts, Permit};
use model::json::{set, text};
use model::{Error, ObjectId, TrackingId};
use serde_json::Value;

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
pub(crate) fn check_endpoints(
    permit: &Permit,
    env: &Env,
    facts: &Facts,
    hub: &HubDocument,
    former: Option<&Value>,
) -> Result<(), Error> {
    // The same view of the roles as that of the call itself.
    let id = permit.trace().map_or_else(|| env.new_tracking_id(), |it| it.id);
    let nothing = Value::Null;
    let properties = hub.resource.get("properties").unwrap_or(&nothing);
    let before = former.and_then(|it| it.get("properties")).unwrap_or(&nothing);
    for (kind, index, endpoint) in endpoints_of(properties) {
        let is_as_it_was =
            endpoints_of(before).any(|(its, _, it)| its == kind && is_same(it, endpoint));
        if is_as_it_was {
            continue;
        }
        may_send(env, facts, id, hub, (kind, endpoint)).map_err(|because| Error::Invalid {
            code: "RoutingEndpointResponseForbidden",
            at: Some(format!("properties.routing.endpoints.{}[{index}]", kind.as_str())),
            message: format!("403008: {because}"),
        })?;
    }
    Ok(())
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

fn may_send(
    env: &Env,
    facts: &Facts,
    id: TrackingId,
    hub: &HubDocument,
    (kind, endpoint): (Kind, &Value),
) -> Result<(), String> {
    let deed = kind.deed();
    let of = |name: &str| text(endpoint, &[name]).unwrap_or_default();
    if of("authenticationType") != IDENTITY_BASED {
        let connection =
            connection::parse(kind, of("connectionString"), text(endpoint, &["entityPath"]))?;
        return match ours(facts, &connection.host.name, deed)? {
            None => may_call(env, &connection.host),
            Some(target) => {
                let reach = target.network.reach(Part::Service, Visitor::Hub(ShownBy::Key));
                if reach.passes {
                    Ok(())
                } else {
                    Err(format!("`{}`: {}", target.scope.name(), reach.says))
                }
            }
        };
    }
    let host = connection::host_of(kind, of("endpointUri"))?;
    let Some(target) = ours(facts, &host.name, deed)? else { return may_call(env, &host) };
    let entity =
        if kind == Kind::StorageContainers { of("containerName") } else { of("entityPath") };
    // INVARIANT: the gates have refused a hub whose endpoint names an identity that it does not have.
    let Some(identity) = identity(hub, endpoint) else { return Ok(()) };
    check(env, facts, id, identity, (deed, &target, entity))
}

/// The principal that an endpoint signs in as.
pub(crate) fn identity(hub: &HubDocument, endpoint: &Value) -> Option<ObjectId> {
    match text(endpoint, &["identity", "userAssignedIdentity"]).and_then(user_assigned_id) {
        Some(named) => Identities::of(Some(&hub.resource)).principals().get(&named.key()).copied(),
        None => hub.identity.map(|it| it.principal_id),
    }
}

/// Whether the server calls a host that is not its own, as far as that can be told without resolving it.
fn may_call(env: &Env, host: &connection::Host) -> Result<(), String> {
    let port = host.port.map_or_else(String::new, |it| format!(":{it}"));
    let target = egress::Target::parse(&format!("https://{}{port}/", host.name));
    let target = target.map_err(|it| it.to_string())?;
    env.egress.check(&target).map_err(|it| it.to_string())
}
