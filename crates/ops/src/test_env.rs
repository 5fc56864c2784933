//! A server's insides for unit tests: a store in memory, a clock that stands still, nobody listening.

use crate::entra::assertions::Assertions;
use crate::entra::signing::{Signer, SigningKeys};
use crate::env::{Clock, Env, IdentityTokens, Settings};
use crate::facts::FactsCell;
use crate::insights::diagnostics::Diagnostics;
use crate::metrics::Metrics;
use gate::Facts;
use model::{ObjectId, Timestamp};
use std::sync::Arc;
use store::Engine;

pub(crate) fn env() -> Env {
    let id = ObjectId(uuid::Uuid::nil());
    let origin = "https://localhost".to_owned();
    let settings = Settings {
        tenant: id,
        subscription: id,
        origin: origin.clone(),
        loopback_net: "127.71.3".into(),
        hub_port: 443,
        amqp_port: 5671,
        data_dir: "/nowhere".into(),
        propagation: crate::propagation::Propagation::default(),
        keeps_facts: true,
        latencies: crate::provisioning::latency::Latencies::default(),
        private_nets: Vec::new(),
        listens_at: None,
    };
    let metrics = Metrics::default();
    let (diagnostics, _writer) = Diagnostics::start("/nowhere".into(), metrics.clone());
    Env {
        settings,
        store: Engine::memory(),
        facts: Arc::new(FactsCell::new(Facts::new(id, origin))),
        clock: Clock {
            now: Arc::new(|| Timestamp::from_seconds(1_000_000)),
            monotonic_ns: Arc::new(|| 0),
        },
        signing_keys: SigningKeys::new(
            Signer::from_pkcs8(&Signer::generate().unwrap()).unwrap(),
            Vec::new(),
        ),
        assertions: Assertions::default(),
        newcomers: crate::entra::newcomers::Newcomers::default(),
        challenges: crate::provisioning::challenges::Challenges::default(),
        pace: crate::provisioning::pace::Pace::default(),
        tries: crate::entra::stretching::Tries::default(),
        device_tries: crate::entra::DeviceTries::default(),
        diagnostics,
        metrics,
        kept: crate::decisions::Kept::default(),
        observed: crate::observed::Observed::default(),
        opened_by_key: crate::local_auth::OpenedByKey::default(),
        presence: crate::devices::presence::Presence::default(),
        message_locks: crate::devices::messages::Locks::default(),
        bus_turns: crate::targets::service_bus::BusTurns::default(),
        message_rates: crate::devices::security::Rates::default(),
        held: crate::devices::service_queues::Held::default(),
        deployments: crate::resources::deployments::Deployments::default(),
        chores: crate::devices::chores::Chores::default(),
        queries: crate::devices::queries::Turns::default(),
        readers: crate::devices::readers::Readers::default(),
        limits: crate::limits::Limits::default(),
        routings: crate::devices::routing::Routings::default(),
        logs: crate::devices::logs::Logs::default(),
        blob_turns: crate::blobs::Turns::default(),
        journals: crate::devices::logs::Logs::journals(),
        egress: egress::Client::new(egress::Rule::default(), std::path::PathBuf::new()),
        identity_tokens: IdentityTokens::default(),
        hosts: None,
    }
}
