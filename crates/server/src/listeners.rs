//! Who listens where: the management origin, one address per hub or provisioning service, and the metrics.

use console::Console;
use front::https::{Side, serve};
use front::sessions::{self, Room, Spoken};
use front::stopped;
use front::tls::Certificates;
use model::operations::AZURE_NAMES;
use ops::Env;
use ops::env::OpenHost;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Where programs call Azure.
const AZURE_PORT: u16 = 443;
/// Where MSAL asks how a person signs in, whatever the authority's port is: it leaves that out.
/// Source: MSAL for Python 1.39, `Authority.user_realm_discovery`.
const REALM_PORT: u16 = 443;

/// Where the server listens.
pub(crate) struct Plan {
    /// The server's own address, in its net.
    pub(crate) own: IpAddr,
    /// The one address for everything, where `--listen` gave it.
    pub(crate) listen: Option<IpAddr>,
    pub(crate) hub_port: u16,
    pub(crate) mqtt_port: u16,
    pub(crate) amqp_port: u16,
    pub(crate) management_port: u16,
    pub(crate) metrics_port: u16,
}

/// Every listener of the server, and the tasks that serve them.
pub(crate) struct Listeners {
    plan: Plan,
    env: Arc<Env>,
    certificates: Arc<Certificates>,
    /// Shown at the management origin, whichever of its ports is asked.
    console: Arc<Console>,
    stop: watch::Receiver<bool>,
    hubs: BTreeSet<IpAddr>,
    /// For MQTT and AMQP together.
    room: Room,
    tasks: JoinSet<()>,
}

/// `Ok` where a port can be bound at an address; `Err` says why not.
pub(crate) fn can_bind(address: IpAddr, port: u16) -> Result<(), std::io::Error> {
    std::net::TcpListener::bind((address, port)).map(drop)
}

impl Listeners {
    pub(crate) fn new(
        plan: Plan,
        env: Arc<Env>,
        certificates: Arc<Certificates>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let console = Arc::new(crate::console::of(&env));
        Self {
            plan,
            env,
            certificates,
            console,
            stop,
            hubs: BTreeSet::new(),
            room: Room::new(crate::file_limit()),
            tasks: JoinSet::new(),
        }
    }

    /// Opens the management origin, the metrics and the ports of identities.
    pub(crate) async fn open_own(&mut self) -> Result<(), String> {
        let address = self.plan.listen.unwrap_or(self.plan.own);
        let management = bind(address, self.plan.management_port, "--management-port").await?;
        self.spawn(management, Side::Management);
        let metrics = bind(address, self.plan.metrics_port, "--metrics-port").await?;
        self.tasks.spawn(front::plain::serve_plain(
            metrics,
            Arc::clone(&self.env),
            self.stop.clone(),
        ));
        // Whoever else may reach the server, these are for this machine.
        let ports: Vec<u16> = self.env.facts.load().identity_endpoints.keys().copied().collect();
        for port in ports {
            let listener = bind(self.plan.own, port, "--identity-endpoint").await?;
            let (env, stop) = (Arc::clone(&self.env), self.stop.clone());
            self.tasks.spawn(front::identity_endpoint::serve(listener, port, env, stop));
        }
        Ok(())
    }

    /// Opens the management origin at the port where programs call Azure, with certificates for its names. Who calls
    /// finds it there by lines that `hubward hosts` prints.
    pub(crate) async fn open_azure_names(&mut self) -> Result<(), String> {
        let names = AZURE_NAMES.map(str::to_owned);
        self.certificates.serve_names(names).map_err(|it| it.to_string())?;
        if self.plan.management_port == AZURE_PORT {
            return Ok(());
        }
        let own = self.plan.own;
        let listener = TcpListener::bind((own, AZURE_PORT)).await.map_err(|error| {
            format!(
                "cannot listen at {own}:{AZURE_PORT}, where programs call Azure: {error}; where this user may not, run \
                 `sudo sysctl net.ipv4.ip_unprivileged_port_start={AZURE_PORT}`, or start without `--azure-names`"
            )
        })?;
        self.spawn(listener, Side::Management);
        Ok(())
    }

    /// Opens the management origin at the port where MSAL asks before it sends a person's password, where hubs
    /// answer at that port, too. It goes on without only where it is told `404`, and not where nobody answers.
    pub(crate) async fn open_realm(&mut self) {
        let has_own = self.plan.listen.is_none()
            && self.plan.hub_port == REALM_PORT
            && self.plan.management_port != REALM_PORT;
        if has_own && let Ok(listener) = TcpListener::bind((self.plan.own, REALM_PORT)).await {
            self.spawn(listener, Side::Management);
        }
    }

    /// Opens `localhost`, where nobody else has it: a convenience for whoever types it by hand. Everything
    /// that is printed names the server's own addresses.
    pub(crate) async fn open_localhost(&mut self) {
        if self.plan.listen.is_some() {
            return;
        }
        let localhost = IpAddr::from([127, 0, 0, 1]);
        for (port, side) in
            [(self.plan.management_port, Side::Management), (self.plan.hub_port, Side::Hubs)]
        {
            if let Ok(listener) = TcpListener::bind((localhost, port)).await {
                self.spawn(listener, side);
            }
        }
        for (port, spoken) in
            [(self.plan.mqtt_port, Spoken::Mqtt), (self.plan.amqp_port, Spoken::Amqp)]
        {
            if let Ok(listener) = TcpListener::bind((localhost, port)).await {
                self.spawn_sessions(listener, spoken);
            }
        }
    }

    /// Opens a hub's address. One that is open already stays so.
    pub(crate) async fn open_hub(&mut self, address: &str) -> Result<(), String> {
        let own: IpAddr = address.parse().map_err(|_| format!("`{address}` is not an address"))?;
        let address = self.plan.listen.unwrap_or(own);
        if self.hubs.contains(&address) {
            return Ok(());
        }
        let https = bind(address, self.plan.hub_port, "--https-port").await?;
        let mqtt = bind(address, self.plan.mqtt_port, "--mqtt-port").await?;
        let amqp = bind(address, self.plan.amqp_port, "--amqp-port").await?;
        self.certificates.prepare(own).map_err(|it| it.to_string())?;
        self.hubs.insert(address);
        self.spawn(https, Side::Hubs);
        self.spawn_sessions(mqtt, Spoken::Mqtt);
        self.spawn_sessions(amqp, Spoken::Amqp);
        Ok(())
    }

    fn spawn_sessions(&mut self, listener: TcpListener, spoken: Spoken) {
        let (env, certificates) = (Arc::clone(&self.env), Arc::clone(&self.certificates));
        let (room, stop) = (self.room.clone(), self.stop.clone());
        self.tasks.spawn(sessions::serve(listener, spoken, env, certificates, room, stop));
    }

    fn spawn(&mut self, listener: TcpListener, side: Side) {
        let (env, certificates) = (Arc::clone(&self.env), Arc::clone(&self.certificates));
        let console = (side == Side::Management).then(|| Arc::clone(&self.console));
        let (room, stop) = (self.room.clone(), self.stop.clone());
        self.tasks.spawn(serve(listener, side, env, certificates, console, room, stop));
    }

    /// Opens addresses as hubs are made, until everything has stopped.
    pub(crate) async fn run(mut self, mut asked: mpsc::Receiver<OpenHost>) {
        loop {
            let mut stop = self.stop.clone();
            tokio::select! {
                ask = asked.recv() => match ask {
                    Some(OpenHost { address, done }) => {
                        let opened = self.open_hub(&address).await;
                        // Whoever asked may have gone; the address stays open for the next.
                        drop(done.send(opened));
                    }
                    None => break,
                },
                () = stopped(&mut stop) => break,
            }
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn bind(address: IpAddr, port: u16, flag: &str) -> Result<TcpListener, String> {
    TcpListener::bind(SocketAddr::new(address, port)).await.map_err(|error| {
        let next = if error.kind() == ErrorKind::AddrInUse {
            format!("something listens there already; choose another port with `{flag}`")
        } else if error.kind() == ErrorKind::PermissionDenied {
            format!(
                "this user may not; run `sudo sysctl net.ipv4.ip_unprivileged_port_start={port}` or choose another port with `{flag}`"
            )
        } else {
            error.to_string()
        };
        format!("cannot listen at {address}:{port}: {next}")
    })
}
