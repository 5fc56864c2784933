//! What can be configured, with which default.

use model::Network;
use model::limits::Sku;
use ops::limits::Throttling;
use ops::propagation::Propagation;
use std::net::IpAddr;
use std::path::PathBuf;

/// Starts the hub, its control plane and its sign-in, on a data directory of its own.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  hubward up                                  everything in ./hubward-data, made on first start
  hubward up --data /srv/hub                  the same elsewhere; several servers run side by side
  hubward up --https-port 9443 --mqtt-port 9883 --amqp-port 9671 --management-port 9444 --metrics-port 9445
                                              where 443, 8883 and 5671 cannot be bound
  hubward up --listen 0.0.0.0                 for other machines, too
  hubward up --limits S1x1                    with the quotas and throttles of one unit S1")]
pub struct Up {
    /// Where everything is kept. Made on first start, readable by its owner only.
    #[arg(long, value_name = "DIR", default_value = "hubward-data")]
    pub data: PathBuf,

    /// On first start, make only the CA, the tenant, the subscription and the administrator.
    #[arg(long)]
    pub empty: bool,

    /// The port of hubs' own addresses. Device SDKs know no other than 443.
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    pub https_port: u16,

    /// The port where devices speak MQTT over TLS. Device SDKs know no other than 8883.
    #[arg(long, value_name = "PORT", default_value_t = 8883)]
    pub mqtt_port: u16,

    /// The port where devices and services speak AMQP over TLS. Their SDKs know no other than 5671.
    #[arg(long, value_name = "PORT", default_value_t = 5671)]
    pub amqp_port: u16,

    /// The port of ARM, sign-in, Microsoft Graph and the decisions API.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub management_port: u16,

    /// The port of /healthz, /readyz and /metrics. Plain HTTP.
    #[arg(long, value_name = "PORT", default_value_t = 9464)]
    pub metrics_port: u16,

    /// Listen at this address instead of the server's own loopback addresses.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<IpAddr>,

    /// The /24 of loopback addresses from which hubs get theirs, as `127.71.3`. Drawn on first start.
    #[arg(long, value_name = "NET", value_parser = loopback_net)]
    pub loopback_net: Option<String>,

    /// Answer at port 443 to `management.azure.com`, `login.microsoftonline.com` and `graph.microsoft.com`, too, with
    /// certificates of the private CA, for programs that have these names built in. Nothing leads there by itself:
    /// `hubward hosts` prints the lines for /etc/hosts.
    #[arg(long, conflicts_with = "listen")]
    pub azure_names: bool,

    /// How changes of roles spread: `off` is at once, everywhere; `azure` lets three replicas see them up to
    /// ten minutes late, `azure:7` the same with other delays, `300` one replica after so many seconds, `0,300,480w`
    /// three of them. A token that was issued after a change brings it along, but not to one with a `w`.
    #[arg(long, value_name = "SPREAD", default_value = "off")]
    pub propagation: Propagation,

    /// How late a service principal that was made is known: where it signs in, where its token is shown, and where it
    /// is given a role without `principalType`. The same words as for changes of roles.
    #[arg(long, value_name = "SPREAD", default_value = "off")]
    pub directory_lag: Propagation,

    /// Refuse with 429 and `Retry-After` what one caller asks too often of resource management and sign-in: `azure` as
    /// Azure does, or how many at once and how many a second, of `reads`, `writes`, `deletes` and `tokens`, as
    /// `writes=200/10,tokens=50/1`.
    #[arg(long, value_name = "RATES", default_value = "off")]
    pub throttle: Throttling,

    /// Whether security policies of devices need a role that names them. Without, `*` covers them, too.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub explicit_grants: bool,

    /// Keep what roles, policies and the like were before each change, for 30 days and up to 64 MiB, so that
    /// `hubward replay` can judge every kept decision again. A start without it forgets them.
    #[arg(long)]
    pub keep_facts: bool,

    /// Limit every hub as Azure limits one of this edition and so many units: `F1`, `S1x2`. What comes faster
    /// is slowed down or refused with 429, and a day has so many messages. Without, nothing is.
    #[arg(long, value_name = "SKU")]
    pub limits: Option<Sku>,

    /// A host that the server may call of itself though it leads to this machine or a private network, or answers
    /// without TLS: where the webhooks of custom allocation are. Several where it is given several times.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_egress: Vec<egress::Allowed>,

    /// A network whose callers come through private endpoints: hubs and provisioning services that have an approved
    /// private endpoint connection let them in, whatever their network rules say. Several where it is given several
    /// times.
    #[arg(long, value_name = "NET")]
    pub private_net: Vec<Network>,

    /// Give applications on this machine tokens of a user-assigned identity, in the ways of Azure's machines and app
    /// services: its resource id, or its name where there is one of that name, and a port for it, on loopback. Several
    /// where it is given several times.
    #[arg(long, value_name = "ID=PORT", value_parser = identity_endpoint)]
    pub identity_endpoint: Vec<IdentityPort>,

    /// How far devices are from regions, for allocation by lowest latency: a file of JSON.
    #[arg(
        long,
        value_name = "FILE",
        long_help = "\
How far devices are from regions, for allocation by lowest latency: a file of JSON, such as
{\"networks\": [{\"network\": \"10.1.0.0/16\", \"ms\": {\"westeurope\": 9, \"eastus\": 85}}]}"
    )]
    pub latencies: Option<PathBuf>,
}

/// A user-assigned identity, by id or name, and the port at which it gives tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityPort {
    pub identity: String,
    pub port: u16,
}

/// Reads `ID=PORT`. No id holds a `=`.
fn identity_endpoint(text: &str) -> Result<IdentityPort, String> {
    let told = text.split_once('=').and_then(|(identity, port)| {
        let port = port.parse().ok().filter(|it| *it > 0)?;
        (!identity.is_empty()).then(|| IdentityPort { identity: identity.to_owned(), port })
    });
    told.ok_or_else(|| {
        "an identity's endpoint looks like `plant-id=8490`, or with a whole resource id".into()
    })
}

/// Reads `127.71.3`, with or without `.0/24` behind it.
fn loopback_net(text: &str) -> Result<String, String> {
    let net = text.strip_suffix(".0/24").unwrap_or(text);
    let numbers: Option<Vec<u8>> = net.split('.').map(|it| it.parse().ok()).collect();
    match numbers.as_deref() {
        Some([127, _, _]) => Ok(net.to_owned()),
        _ => Err("a loopback /24 looks like `127.71.3` or `127.71.3.0/24`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{IdentityPort, identity_endpoint, loopback_net};

    #[test]
    fn an_identity_has_a_port() {
        let id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a";
        for identity in [id, "plant-id"] {
            let told = identity_endpoint(&format!("{identity}=8490"));
            assert_eq!(told, Ok(IdentityPort { identity: identity.to_owned(), port: 8490 }));
        }
        for bad in ["", "a", "=8490", "a=", "a=0", "a=65536", "a=8490=1", "8490"] {
            assert!(identity_endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_loopback_net_is_three_numbers_below_127() {
        assert_eq!(loopback_net("127.71.3").as_deref(), Ok("127.71.3"));
        assert_eq!(loopback_net("127.71.3.0/24").as_deref(), Ok("127.71.3"));
        for bad in ["10.0.0", "127.71", "127.71.3.4", "127.256.1", "localhost", ""] {
            assert!(loopback_net(bad).is_err(), "{bad}");
        }
    }
}
