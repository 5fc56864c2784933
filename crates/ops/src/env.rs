//! What operations reach outside themselves: the store, the facts, the clock, chance, and the listeners.

use crate::blobs;
use crate::decisions::Kept;
use crate::devices::chores::Chores;
use crate::devices::logs::Logs;
use crate::devices::messages::Locks;
use crate::devices::presence::Presence;
use crate::devices::queries::Turns;
use crate::devices::readers::Readers;
use crate::devices::routing::Routings;
use crate::devices::security::Rates;
use crate::devices::service_queues::Held;
use crate::entra::DeviceTries;
use crate::entra::assertions::Assertions;
use crate::entra::newcomers::Newcomers;
use crate::entra::signing::SigningKeys;
use crate::entra::stretching::Tries;
use crate::entra::tokens::Issued;
use crate::facts::FactsCell;
use crate::insights::diagnostics::Diagnostics;
use crate::limits::Limits;
use crate::local_auth::OpenedByKey;
use crate::metrics::Metrics;
use crate::observed::Observed;
use crate::propagation::Propagation;
use crate::provisioning::challenges::Challenges;
use crate::provisioning::latency::Latencies;
use crate::provisioning::pace::Pace;
use crate::resources::deployments::Deployments;
use crate::targets::service_bus::BusTurns;
use model::{Network, ObjectId, Timestamp, TrackingId};
use rand::RngCore;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use store::Engine;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// What was decided at first start and does not change while the server runs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub tenant: ObjectId,
    pub subscription: ObjectId,
    /// `https://host:port`, where ARM, sign-in and Graph answer. No trailing slash.
    pub origin: String,
    /// The first three numbers of the /24 in which hubs get their addresses: `127.71.3`.
    pub loopback_net: String,
    /// The port in hubs' host names, where it is not 443.
    pub hub_port: u16,
    /// The port of AMQP.
    pub amqp_port: u16,
    pub data_dir: PathBuf,
    /// How changes of roles spread.
    pub propagation: Propagation,
    /// Whether each change of facts leaves what was there before, see [`crate::facts::former`].
    pub keeps_facts: bool,
    /// How far devices are from regions.
    pub latencies: Latencies,
    /// From where callers come through private endpoints.
    pub private_nets: Vec<Network>,
    /// The one address at which the server listens, where it has not one for each of its names.
    pub listens_at: Option<IpAddr>,
}

/// Asks the server to listen at a hub's address; answered once it does, or with the reason why not.
#[derive(Debug)]
pub struct OpenHost {
    pub address: String,
    pub done: oneshot::Sender<Result<(), String>>,
}

/// Both clocks. Nothing else in the workspace reads one.
#[derive(Clone)]
pub struct Clock {
    /// The wall clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// A clock that never jumps, in ns since some start.
    pub monotonic_ns: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// Tokens of managed identities that were issued and hold for a while.
pub type IdentityTokens = std::sync::Mutex<BTreeMap<(ObjectId, String), Issued>>;

/// One server's insides.
pub struct Env {
    pub settings: Settings,
    pub store: Engine,
    pub facts: Arc<FactsCell>,
    pub clock: Clock,
    pub signing_keys: SigningKeys,
    /// The client assertions that were used.
    pub assertions: Assertions,
    /// Who is too new in the directory to be known everywhere.
    pub newcomers: Newcomers,
    /// Keys that TPMs were sent.
    pub challenges: Challenges,
    /// How many registrations began by each enrollment.
    pub pace: Pace,
    /// Wrong passwords of people.
    pub tries: Tries,
    /// Who asks after device codes, and enters wrong ones.
    pub device_tries: DeviceTries,
    pub diagnostics: Diagnostics,
    pub metrics: Metrics,
    pub kept: Kept,
    /// Who has used what, how and where.
    pub observed: Observed,
    /// What is open by keys of policies.
    pub opened_by_key: OpenedByKey,
    /// Which devices are connected.
    pub presence: Presence,
    /// Who holds which message to a device, or of a queue of a namespace.
    pub message_locks: Locks,
    /// Whose turn it is at each namespace of Service Bus.
    pub bus_turns: BusTurns,
    /// How many messages devices have sent in this minute.
    pub message_rates: Rates,
    /// Which records of a hub's queues services hold.
    pub held: Held,
    /// Which deployments run.
    pub deployments: Deployments,
    /// Which hubs have jobs and configurations to look at.
    pub chores: Chores,
    /// How many queries may run at a time.
    pub queries: Turns,
    /// Who reads what devices have sent.
    pub readers: Readers,
    /// How much hubs take, where that is limited.
    pub limits: Limits,
    /// Where the messages of hubs go.
    pub routings: Routings,
    /// What devices have sent, by hub.
    pub logs: Logs,
    /// What happened to devices, by hub.
    pub journals: Logs,
    /// Whose turn it is to write a blob.
    pub blob_turns: blobs::Turns,
    /// Calls others: every outgoing connection is its.
    pub egress: egress::Client,
    /// Tokens of managed identities, by identity and audience, each with the time until which it is used.
    pub identity_tokens: IdentityTokens,
    /// To whoever owns the listeners. Where nobody does (tests without sockets), hubs open unheard.
    pub hosts: Option<mpsc::Sender<OpenHost>>,
}

impl Settings {
    /// True where who has an address comes through private endpoints.
    pub fn is_private(&self, address: &str) -> bool {
        let parsed: Option<IpAddr> = address.parse().ok();
        parsed.is_some_and(|it| self.private_nets.iter().any(|net| net.contains(it)))
    }

    /// The address that the server itself calls from, where it calls what it serves.
    pub fn own_address(&self) -> String {
        self.listens_at.map_or_else(|| format!("{}.1", self.loopback_net), |it| it.to_string())
    }

    /// True where it is the server itself that calls.
    pub fn is_within(&self, address: &str) -> bool {
        match self.listens_at {
            Some(own) => address.parse() == Ok(own),
            None => address.strip_prefix(&*self.loopback_net) == Some(".1"),
        }
    }
}

impl Env {
    pub fn now(&self) -> Timestamp {
        (self.clock.now)()
    }

    /// A random (version 4) id from the system's generator.
    pub fn new_uuid(&self) -> Uuid {
        let mut bytes = [0_u8; 16];
        rand::rngs::ThreadRng::default().fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    pub fn new_tracking_id(&self) -> TrackingId {
        TrackingId(self.new_uuid())
    }

    /// `N` random bytes for a key or a secret.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0_u8; N];
        rand::rngs::ThreadRng::default().fill_bytes(&mut bytes);
        bytes
    }

    /// Waits until the server listens at `address`.
    pub async fn open_host(&self, address: &str) -> Result<(), String> {
        let Some(hosts) = &self.hosts else { return Ok(()) };
        let (done, answered) = oneshot::channel();
        let ask = OpenHost { address: address.to_owned(), done };
        hosts.send(ask).await.map_err(|_| "the server is stopping".to_owned())?;
        answered.await.unwrap_or_else(|_| Err("the server is stopping".to_owned()))
    }
}
