//! The one table: what can be done, what it needs, and at which address.
//!
//! Fronts route by it, gates decide by it, `az provider operation show` and `docs/reference/operations.md`
//! list it, tests walk it. Source of the actions: Azure's published operations of each provider.
//!
//! What a row says stands here, and the rows in `operations/`, a file for each part of [`PARTS`]: `grep -r Op::GetTwin`
//! finds one.

mod authorization;
mod blobs;
mod conditional_access;
mod deployments;
mod event_hubs;
mod events;
mod graph;
mod hub_devices;
mod hub_registry;
mod hub_services;
mod hubs;
mod insights;
mod managed_identity;
mod messages;
mod op;
mod private_endpoints;
mod provisioning;
mod resources;
mod right;
pub mod routing;
pub(crate) mod row;
mod security;
mod service_bus;
mod sign_in;
mod storage;
mod transfers;

pub use op::Op;
pub use right::Right;

use crate::action::ActionName;
use crate::published::PUBLISHED;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The table in its parts, whoever is asked after another.
const PARTS: &[&[Operation]] = &[
    sign_in::ROWS,
    resources::ROWS,
    deployments::ROWS,
    hubs::ROWS,
    security::ROWS,
    managed_identity::ROWS,
    private_endpoints::ROWS,
    authorization::ROWS,
    insights::ROWS,
    graph::ROWS,
    conditional_access::ROWS,
    hub_registry::ROWS,
    hub_services::ROWS,
    transfers::ROWS,
    hub_devices::ROWS,
    provisioning::ROWS,
    event_hubs::ROWS,
    events::ROWS,
    service_bus::ROWS,
    messages::ROWS,
    storage::ROWS,
    blobs::ROWS,
];

/// The table itself. A plain constant: no macro, no registration at start-up.
pub const OPERATIONS: &[Operation] = &{
    let mut all = [row::open(Op::Published, &[], ""); COUNT];
    let mut places: &mut [Operation] = &mut all;
    let mut parts = PARTS;
    while let [part, more @ ..] = parts {
        let (here, behind) = places.split_at_mut(part.len());
        here.copy_from_slice(part);
        (places, parts) = (behind, more);
    }
    all
};

const COUNT: usize = {
    let (mut count, mut parts) = (0, PARTS);
    while let [part, more @ ..] = parts {
        (count, parts) = (count + part.len(), more);
    }
    count
};

/// Where an operation lives, and with it which credentials and which part of a role count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Plane {
    /// Resource management: `actions` of a role.
    Control,
    /// A hub's or DPS's service API: `dataActions` of a role, or rights of a shared access policy.
    Service,
    /// The directory: applications, service principals, groups, users.
    Directory,
    /// Needed before anybody can sign in. Nobody is refused; bytes are still bounded.
    Open,
    /// The token endpoint: the credential is the client's secret.
    Token,
    /// What devices themselves call: no role reaches it, only a device's own credential.
    Device,
}

impl Plane {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Service => "service",
            Self::Directory => "directory",
            Self::Open => "open",
            Self::Token => "token",
            Self::Device => "device",
        }
    }
}

/// The names of Azure's own that the management origin can answer to, for programs that have them built in.
pub const AZURE_NAMES: [&str; 3] =
    ["management.azure.com", "login.microsoftonline.com", "graph.microsoft.com"];

/// Who answers at an address, and in which shape errors are put there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Surface {
    /// Azure Resource Manager, at the management origin.
    Arm,
    /// Sign-in, at the management origin.
    Entra,
    /// Microsoft Graph, at the management origin.
    Graph,
    /// A hub's own address.
    Hub,
    /// A provisioning service's own address.
    Dps,
    /// The own address of a namespace of Event Hubs.
    EventHubs,
    /// The own address of a namespace of Service Bus.
    ServiceBus,
    /// The own address of a storage account.
    Blob,
    /// Where applications of this machine get the tokens of a user-assigned identity: plain HTTP on loopback, a port
    /// for each identity.
    Identity,
}

impl Surface {
    /// True where whoever answers is one of many, each at an address of its own.
    pub const fn is_of_an_instance(self) -> bool {
        match self {
            Self::Hub | Self::Dps | Self::EventHubs | Self::ServiceBus | Self::Blob => true,
            Self::Arm | Self::Entra | Self::Graph | Self::Identity => false,
        }
    }
}

/// What a client speaks to reach an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Https,
    Mqtt,
    Amqp,
}

impl Protocol {
    /// The word in traces, and the one that policies compare `request.protocol` with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Mqtt => "mqtt",
            Self::Amqp => "amqp",
        }
    }
}

/// One address of an operation.
///
/// Over HTTPS a method and a path: `{scope}` stands for any number of leading segments, every other `{name}`
/// for one segment, and literals compare without regard to case. Behind a `?` stands what the query has to say of `comp`
/// and `restype`, where blobs are served. Over MQTT a packet and the topic that it
/// names: what stands behind the topic's last `/` are its properties, and everything compares exactly. Over
/// AMQP what the client does, as `SEND` and `RECEIVE` for the two ends of a link, and an address, which compares
/// as a path does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    pub surface: Surface,
    pub protocol: Protocol,
    pub method: &'static str,
    pub path: &'static str,
}

/// What a call of the operation leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    Reads,
    Writes,
    /// Writes through calls of its own, each judged for itself.
    Calls,
    /// Adds to a hub's log. No gate decides by what is there, so it waits for no change of facts and holds
    /// none up: what was admitted before a change may be synced behind it.
    Appends,
    /// Changes what gates decide by: no other write runs between its decision and its end.
    ChangesFacts,
}

/// What the operation takes as its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    None,
    /// One JSON value; absent is `null`.
    Json,
    /// The same as templates are written: with comments, names without quotes and texts of several lines.
    Template,
    /// `application/x-www-form-urlencoded`, read into an object of texts.
    Form,
    /// Bytes, which nobody looks into before the call is admitted.
    Raw,
    /// Bytes without end, which go to a file once the call is admitted; then it is judged anew.
    File,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub op: Op,
    pub plane: Plane,
    /// Every one of these is needed. Empty: any signed-in caller.
    pub actions: &'static [ActionName],
    /// Any one of these rights of a shared access policy is enough. Empty: no key reaches it.
    pub sas: &'static [Right],
    /// The type of object that policy judges, for data-plane writes and deletions; those of the control plane
    /// take it from the scope.
    pub object: Option<&'static str>,
    pub effect: Effect,
    pub body: Body,
    pub routes: &'static [Route],
    /// What it does, for lists of operations.
    pub says: &'static str,
}

impl Operation {
    pub fn name(&self) -> String {
        format!("{:?}", self.op)
    }

    /// The plane whose part of a role grants it. Containers are resources wherever they are asked for, and only the blobs
    /// in them are data. Source: the published operations of Microsoft.Storage.
    pub const fn role_plane(&self) -> Plane {
        let is_of_containers = matches!(
            self.op,
            Op::ListBlobContainers
                | Op::GetUserDelegationKey
                | Op::CreateBlobContainer
                | Op::GetBlobContainer
                | Op::DeleteBlobContainer
        );
        if is_of_containers { Plane::Control } else { self.plane }
    }

    /// Who answers it: the surface of its first address.
    pub fn surface(&self) -> Surface {
        match (self.routes.first(), self.plane) {
            (Some(route), _) => route.surface,
            (None, Plane::Service) if self.is_of_dps() => Surface::Dps,
            (None, Plane::Service) if self.op == Op::CreateBlob => Surface::Blob,
            (None, Plane::Service) => Surface::Hub,
            (None, _) => Surface::Arm,
        }
    }

    fn is_of_dps(&self) -> bool {
        let of_dps = "Microsoft.Devices/provisioningServices/";
        self.actions.iter().any(|it| it.as_str().starts_with(of_dps))
    }

    /// True where one action is a create or update, or a deletion, which policy judges. Policies themselves
    /// are not judged: a rule that catches everything must not stop its own repair. Nor are deletions of
    /// what keeps others out, see [`NEVER_GUARDED`].
    pub fn is_judged_by_policy(&self) -> bool {
        // What reads and what sends telemetry is most of all calls: one comparison each.
        !matches!(self.effect, Effect::Reads | Effect::Appends)
            && matches!(self.plane, Plane::Control | Plane::Service)
            && (self.writes() || self.deletes())
    }

    /// True where one action is a create or update of anything but policies, or where resources are written
    /// at another place.
    pub fn writes(&self) -> bool {
        self.moves()
            || self.actions.iter().any(|it| it.is_write() && !it.as_str().starts_with(POLICIES))
    }

    /// True for each change of the control plane: who made it can be asked for as long as it is kept.
    pub fn is_on_record(&self) -> bool {
        match self.effect {
            Effect::ChangesFacts => true,
            Effect::Writes => self.plane == Plane::Control && !self.moves(),
            Effect::Reads | Effect::Calls | Effect::Appends => false,
        }
    }

    /// True where resources leave their group for another one, or are asked about as if they did.
    pub const fn moves(&self) -> bool {
        matches!(self.op, Op::MoveResources | Op::ValidateMoveResources)
    }

    /// True for the endpoint from which services read what devices have sent: no role leads there.
    /// Source: IoT Hub documentation, "Read device-to-cloud messages from the built-in endpoint".
    pub const fn is_built_in_endpoint(&self) -> bool {
        matches!(
            self.op,
            Op::ConnectToEvents
                | Op::FindEvents
                | Op::GetEventHub
                | Op::GetEventHubPartition
                | Op::ReadEvents
                | Op::WatchEvents
                | Op::WatchDeviceEvents
        )
    }

    /// True where one action is a deletion that a policy can guard against.
    pub fn deletes(&self) -> bool {
        let is_guarded = |it: &ActionName| {
            !it.as_str().starts_with(POLICIES) && !NEVER_GUARDED.contains(&it.as_str())
        };
        self.actions.iter().any(|it| it.ends_in("delete") && is_guarded(it))
    }
}

/// How the actions on policies begin: definitions, initiatives, assignments, exemptions.
const POLICIES: &str = "Microsoft.Authorization/policy";

/// Deletions that no policy stops, or a policy could lock everybody out for good; those of policies are in
/// [`POLICIES`]. Source: Azure Policy documentation, "Azure Policy definitions denyAction effect".
const NEVER_GUARDED: &[&str] = &[
    "Microsoft.Authorization/denyAssignments/delete",
    "Microsoft.Authorization/locks/delete",
    "Microsoft.Resources/subscriptions/delete",
];

/// The rows by the number of their operation: each operation has one.
static BY_NUMBER: LazyLock<Vec<&'static Operation>> = LazyLock::new(|| {
    let mut rows: Vec<&Operation> = OPERATIONS.iter().collect();
    rows.sort_by_key(|it| it.op as usize);
    rows
});

/// The rows by the name that traces have for them.
static BY_NAME: LazyLock<BTreeMap<String, &'static Operation>> =
    LazyLock::new(|| OPERATIONS.iter().map(|it| (it.name(), it)).collect());

/// The row of an operation.
pub fn operation(op: Op) -> &'static Operation {
    BY_NUMBER.get(op as usize).expect("a test shows that every operation has a row")
}

/// Every row: what has an address, and what is only published.
pub fn known() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().chain(PUBLISHED)
}

/// Every action of the rows by its text: a trace has texts.
static ACTIONS: LazyLock<BTreeMap<&'static str, ActionName>> =
    LazyLock::new(|| known().flat_map(|it| it.actions).map(|it| (it.as_str(), *it)).collect());

/// The action of this name.
pub fn action(name: &str) -> Option<ActionName> {
    ACTIONS.get(name).copied()
}

/// The row of the operation of this name.
pub fn named(name: &str) -> Option<&'static Operation> {
    BY_NAME.get(name).copied()
}

#[cfg(test)]
mod tests;
