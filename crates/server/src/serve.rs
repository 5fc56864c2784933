//! From a data directory to a server that listens, and back to a process that has ended in order.

use crate::config::Up;
use crate::data_dir::DataDir;
use crate::greeting::{self, Strings};
use crate::listeners::{Listeners, Plan, can_bind};
use crate::saved::Saved;
use crate::{clock, first_start, identity_endpoints, signing_keys, trusted_issuers};
use front::stopped;
use front::tls::Certificates;
use ops::blobs;
use ops::devices::chores::Chores;
use ops::devices::logs::Logs;
use ops::devices::messages::Locks;
use ops::devices::presence::Presence;
use ops::devices::queries::Turns;
use ops::devices::readers::Readers;
use ops::devices::routing::Routings;
use ops::devices::security::Rates;
use ops::devices::service_queues::Held;
use ops::entra::DeviceTries;
use ops::entra::assertions::Assertions;
use ops::entra::newcomers::Newcomers;
use ops::entra::stretching::Tries;
use ops::env::{Clock, IdentityTokens, OpenHost, Settings};
use ops::facts::{self, FactsCell};
use ops::insights::diagnostics::{Diagnostics, DiagnosticsWriter};
use ops::limits::Limits;
use ops::local_auth::OpenedByKey;
use ops::managed_identity::endpoints;
use ops::metrics::Metrics;
use ops::observed::{self, Observed};
use ops::provisioning::challenges::Challenges;
use ops::provisioning::latency::Latencies;
use ops::provisioning::pace::Pace;
use ops::resources::deployments::Deployments;
use ops::targets::service_bus::{self, BusTurns};
use ops::{Env, decisions, devices, insights, provisioning, resources, targets};
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use store::{Engine, ShardId};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::interval;

/// How many hubs may wait for their address at a time.
const HOSTS_WAITING_MAX: usize = 16;
/// How often old decisions and messages are forgotten, and the keys that sign tokens are looked at.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// How often messages that nobody received in time are taken out.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// A server that listens, in this process.
pub struct Server {
    /// Its insides, for whoever runs it in a test.
    pub env: Arc<Env>,
    /// What a person pastes, without the line `ready`.
    pub greeting: String,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    forgetting: JoinHandle<()>,
    working: JoinHandle<()>,
    writer: DiagnosticsWriter,
    _dir: DataDir,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// The sentence for a person: what is wrong and what to do.
pub(crate) async fn serve(options: &Up) -> Result<(), String> {
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|it| format!("cannot watch for SIGTERM: {it}"))?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|it| format!("cannot watch for Ctrl-C: {it}"))?;
    let server = Server::start(options, clock::system()).await?;
    say(&format!("{}\nready\n", server.greeting));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.stop().await
}

impl Server {
    /// Opens the data directory, making what first start makes, and listens. The clock is the caller's.
    ///
    /// # Errors
    /// The sentence for a person: what is wrong and what to do.
    pub async fn start(options: &Up, clock: Clock) -> Result<Self, String> {
        let dir = DataDir::open(&options.data)?;
        let store = Engine::sqlite(&dir.path.join("store"))
            .map_err(|it| format!("cannot open the store: {it}"))?;
        let mut saved = match Saved::read(&store).await? {
            Some((saved, _)) => saved,
            None => first_start::found(options, &store, (clock.now)()).await?,
        };
        signing_keys::renew_saved(&mut saved, &store, (clock.now)()).await?;
        if let Some(net) = &options.loopback_net
            && *net != saved.loopback_net
        {
            return Err(format!(
                "hubs here have addresses in `{}`, which first start chose; `--loopback-net {net}` comes too late",
                saved.loopback_net
            ));
        }
        let plan = plan(options, &saved)?;
        let own = plan.own;
        let (hosts, asked) = mpsc::channel::<OpenHost>(HOSTS_WAITING_MAX);
        let certificates =
            Certificates::new(&saved.ca_certificate, saved.ca_key.reveal(), clock.clone())
                .map_err(|it| it.to_string())?;
        let (env, writer) =
            environment(options, &mut saved, &plan, &dir, store, clock, hosts).await?;
        let env = Arc::new(env);
        tidy_up(&env).await?;

        let (stop, stopping) = watch::channel(false);
        let mut listeners =
            Listeners::new(plan, Arc::clone(&env), Arc::new(certificates), stopping.clone());
        listeners.open_own().await?;
        for address in addresses(&env) {
            listeners.open_hub(&address).await?;
        }
        match options.azure_names {
            true => listeners.open_azure_names().await?,
            false => listeners.open_realm().await,
        }
        listeners.open_localhost().await;
        let serving = tokio::spawn(listeners.run(asked));
        if !saved.is_complete {
            first_start::complete(options, &mut saved, &env).await?;
        }
        let strings = Strings::read(&saved, &env).await;
        let greeting = greeting::write(&saved, &env, &dir, &strings, options.mqtt_port, own)?;
        let forgetting = tokio::spawn(forget_regularly(Arc::clone(&env), stopping.clone()));
        let working = tokio::spawn(work(Arc::clone(&env), stopping));
        Ok(Self { env, greeting, stop, serving, forgetting, working, writer, _dir: dir })
    }

    /// Does what is done every hour, for whoever drives the clock.
    pub async fn hourly_round(&self) {
        round(&self.env).await;
    }

    /// Stops listening, lets running calls end, and closes the store.
    ///
    /// # Errors
    /// The sentence for a person; the data directory is whole all the same.
    pub async fn stop(self) -> Result<(), String> {
        self.stop.send_replace(true);
        self.serving.await.map_err(|it| format!("the listeners ended badly: {it}"))?;
        self.forgetting.await.map_err(|it| format!("the hourly round ended badly: {it}"))?;
        self.working.await.map_err(|it| format!("jobs ended badly: {it}"))?;
        keep_observed(&self.env).await;
        self.writer.stop().await;
        self.env.logs.close().await;
        self.env.journals.close().await;
        self.env.store.close().await.map_err(|it| format!("cannot close the store: {it}"))
    }
}

/// The addresses of every hub, provisioning service and target.
fn addresses(env: &Env) -> Vec<String> {
    let facts = env.facts.load();
    let hubs = facts.hubs.values().map(|it| it.host.clone());
    let services = facts.provisioning.values().map(|it| it.host.clone());
    let targets = facts.targets.values().map(|it| it.host.clone()).filter(|it| !it.is_empty());
    hubs.chain(services).chain(targets).collect()
}

/// Where to listen; falls back to the management port where hubs' own cannot be bound.
fn plan(options: &Up, saved: &Saved) -> Result<Plan, String> {
    let own: IpAddr = format!("{}.1", saved.loopback_net)
        .parse()
        .map_err(|_| format!("the loopback net `{}` is no network; start on a new data directory with `--loopback-net 127.71.3`", saved.loopback_net))?;
    let mut hub_port = options.https_port;
    let probe = options.listen.unwrap_or(own);
    if let Err(error) = can_bind(probe, hub_port) {
        if options.listen.is_some() || error.kind() != std::io::ErrorKind::PermissionDenied {
            return Err(format!(
                "cannot listen at {probe}:{hub_port}: {error}; choose another port with `--https-port`"
            ));
        }
        eprintln!(
            "hubward: this user may not listen at port {hub_port}, which device SDKs insist on, so hubs answer at port {} instead; \
             `sudo sysctl net.ipv4.ip_unprivileged_port_start={hub_port}` changes that",
            options.management_port
        );
        hub_port = options.management_port;
    }
    Ok(Plan {
        own,
        listen: options.listen,
        hub_port,
        mqtt_port: options.mqtt_port,
        amqp_port: options.amqp_port,
        management_port: options.management_port,
        metrics_port: options.metrics_port,
    })
}

async fn environment(
    options: &Up,
    saved: &mut Saved,
    plan: &Plan,
    dir: &DataDir,
    store: Engine,
    clock: Clock,
    hosts: mpsc::Sender<OpenHost>,
) -> Result<(Env, DiagnosticsWriter), String> {
    let settings = Settings {
        tenant: saved.tenant,
        subscription: saved.subscription,
        origin: format!("https://{}:{}", plan.own, plan.management_port),
        loopback_net: saved.loopback_net.clone(),
        hub_port: plan.hub_port,
        amqp_port: plan.amqp_port,
        data_dir: dir.path.clone(),
        propagation: options.propagation.clone(),
        keeps_facts: options.keep_facts,
        latencies: latencies(options)?,
        private_nets: options.private_net.clone(),
        // Whoever listens everywhere is reached at the addresses of its names, too.
        listens_at: plan.listen.filter(|it| !it.is_unspecified()),
    };
    let signing_keys = signing_keys::in_force(&saved.signing_keys)?;
    let mut facts = facts::load(&store, settings.tenant, &settings.origin).await?;
    facts.has_explicit_grants = options.explicit_grants;
    let told = |it: String| format!("`--identity-endpoint`: {it}");
    let find = |it: &str| endpoints::find(it, &facts);
    let ports = identity_endpoints::read(&options.identity_endpoint, saved, &store, find).await;
    endpoints::open(ports.map_err(told)?, &mut facts).map_err(told)?;
    facts.issuers = Arc::new(trusted_issuers::read(&dir.path)?);
    facts.keys = Arc::new(signing_keys.verifying_keys());
    let spread = &settings.propagation;
    facts::former::begin(&store, settings.keeps_facts, &mut facts, spread, (clock.now)()).await?;
    let metrics = Metrics::default();
    let (diagnostics, writer) = Diagnostics::start(dir.path.clone(), metrics.clone());
    let facts = Arc::new(FactsCell::new(facts));
    let rule = egress::Rule::new(options.allow_egress.clone());
    let rule = rule.with_own(targets::reaching::own(Arc::clone(&facts), &settings));
    let env = Env {
        settings,
        store,
        facts,
        clock,
        signing_keys,
        assertions: Assertions::default(),
        newcomers: Newcomers::new(options.directory_lag.clone()),
        challenges: Challenges::default(),
        pace: Pace::default(),
        tries: Tries::default(),
        device_tries: DeviceTries::default(),
        diagnostics,
        metrics,
        kept: decisions::Kept::default(),
        observed: Observed::default(),
        opened_by_key: OpenedByKey::default(),
        presence: Presence::default(),
        message_locks: Locks::default(),
        bus_turns: BusTurns::default(),
        message_rates: Rates::default(),
        held: Held::default(),
        deployments: Deployments::default(),
        chores: Chores::default(),
        queries: Turns::default(),
        readers: Readers::default(),
        limits: Limits::new(options.limits, options.throttle.clone()),
        routings: Routings::default(),
        logs: Logs::below(dir.path.join("log")),
        blob_turns: blobs::Turns::default(),
        journals: Logs::journals_below(dir.path.join("journal")),
        egress: egress::Client::new(rule, dir.path.join(greeting::CA_BUNDLE)),
        identity_tokens: IdentityTokens::default(),
        hosts: Some(hosts),
    };
    insights::settings::load(&env).await.map_err(|it| it.to_string())?;
    Ok((env, writer))
}

/// The table of latencies that the operator has written.
fn latencies(options: &Up) -> Result<Latencies, String> {
    let Some(path) = &options.latencies else { return Ok(Latencies::default()) };
    let read = std::fs::read_to_string(path).map_err(|it| it.to_string());
    read.and_then(|it| Latencies::parse(&it))
        .map_err(|it| format!("`--latencies {}`: {it}", path.display()))
}

/// Finishes what a crash left half done, and removes what nothing refers to.
async fn tidy_up(env: &Env) -> Result<(), String> {
    resources::long_running::finish_open_intents(env).await.map_err(|it| it.cause())?;
    provisioning::register::finish_open_registrations(env).await.map_err(|it| it.cause())?;
    resources::deployments::finish_interrupted(env).await.map_err(|it| it.cause())?;
    let facts = env.facts.load();
    let mut known = vec![ShardId::control(), ShardId::decisions()];
    for hub in facts.hubs.values() {
        known.push(ShardId::hub(&hub.uid).map_err(|it| it.to_string())?);
    }
    for dps in facts.provisioning.values() {
        known.push(ShardId::dps(&dps.uid).map_err(|it| it.to_string())?);
    }
    let targets = facts.targets.values().map(|it| &it.uid);
    for uid in targets.chain(facts.entities.values().map(|it| &it.uid)) {
        known.push(ShardId::target(uid).map_err(|it| it.to_string())?);
    }
    for shard in env.store.shards().await.map_err(|it| it.to_string())? {
        if !known.contains(&shard) {
            env.store.drop_shard(&shard).await.map_err(|it| it.to_string())?;
        }
    }
    blobs::tidy::mend(env).await.map_err(|it| it.cause())?;
    for logs in [&env.logs, &env.journals] {
        for shard in logs.kept().map_err(|it| it.cause())? {
            if !known.contains(&shard) {
                logs.remove(&shard).await.map_err(|it| it.cause())?;
            }
        }
    }
    Ok(())
}

async fn forget_regularly(env: Arc<Env>, mut stopping: watch::Receiver<bool>) {
    let (mut hours, mut minutes) = (interval(FORGET_EVERY), interval(SWEEP_EVERY));
    let mut observing = interval(Duration::from_secs(observed::KEEP_EVERY_S));
    loop {
        tokio::select! {
            _ = hours.tick() => round(&env).await,
            _ = minutes.tick() => {
                if let Err(error) = devices::sweep(&env).await {
                    eprintln!("hubward: expired messages could not be taken out: {}", error.cause());
                }
            }
            _ = observing.tick() => keep_observed(&env).await,
            () = stopped(&mut stopping) => return,
        }
    }
}

async fn keep_observed(env: &Env) {
    if let Err(error) = observed::keep(env).await {
        eprintln!("hubward: who used what could not be kept: {}", error.cause());
    }
}

/// Jobs, configurations and deployments, until the server stops: what is under way then goes on at the next start,
/// but for deployments, which end.
async fn work(env: Arc<Env>, mut stopping: watch::Receiver<bool>) {
    let mut sending = JoinSet::new();
    tokio::select! {
        () = devices::chores::run(Arc::clone(&env)) => {}
        () = devices::routing::delivery::run(Arc::clone(&env), &mut sending) => {}
        () = resources::deployments::work(env) => {}
        () = stopped(&mut stopping) => {}
    }
    // They read the logs of hubs, which are closed next, and would open them again.
    sending.shutdown().await;
}

/// What is done every hour.
async fn round(env: &Env) {
    if let Err(error) = decisions::forget_old(env).await {
        eprintln!("hubward: old decisions could not be forgotten: {error}");
    }
    if let Err(error) = facts::former::forget_old(env).await {
        eprintln!("hubward: old facts could not be forgotten: {error}");
    }
    if let Err(error) = signing_keys::rotate(env).await {
        eprintln!("hubward: the keys that sign tokens could not be renewed: {error}");
    }
    if let Err(error) = blobs::tidy::round(env).await {
        eprintln!("hubward: blobs could not be tidied: {}", error.cause());
    }
    if let Err(error) = service_bus::sweep(env).await {
        eprintln!("hubward: expired messages of queues could not be taken out: {}", error.cause());
    }
    env.logs.trim(env.now(), env).await;
    env.journals.trim(env.now(), env).await;
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever started the server may have closed its end; serving goes on.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
