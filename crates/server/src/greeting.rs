//! What a person pastes and what a program reads: the printed lines and `connection.env`.

use crate::data_dir::DataDir;
use crate::identity_endpoints;
use crate::saved::Saved;
use model::Scope;
use ops::Env;
use std::net::IpAddr;
use std::path::Path;

/// Where systems keep the certificates that they trust.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The policy whose connection string is printed.
const PRINTED_POLICY: &str = "iothubowner";
/// The policy by which what devices send is read.
const READING_POLICY: &str = "service";

/// Where what first start made is reached, and by which strings, as far as it still exists.
#[derive(Default)]
pub(crate) struct Strings {
    host: String,
    hub: String,
    events: String,
    device: String,
    dps_host: String,
    id_scope: String,
}

impl Strings {
    pub(crate) async fn read(saved: &Saved, env: &Env) -> Self {
        let devices = format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Devices",
            saved.subscription, saved.resource_group
        );
        let scope = |below: String| Scope::parse(&format!("{devices}/{below}")).ok();
        let facts = env.facts.load();
        let with_port = |host: &str| match env.settings.hub_port {
            443 => host.to_owned(),
            port => format!("{host}:{port}"),
        };
        let dps = scope(format!("provisioningServices/{}", saved.dps))
            .and_then(|it| facts.dps(&it).cloned());
        let strings = Self {
            dps_host: dps.as_ref().map_or_else(String::new, |it| with_port(&it.host)),
            id_scope: dps.map_or_else(String::new, |it| it.id_scope.clone()),
            ..Self::default()
        };
        let hub = scope(format!("IotHubs/{}", saved.hub)).and_then(|it| facts.hub(&it).cloned());
        let Some(hub) = hub else { return strings };
        let host = with_port(&hub.host);
        let key = ops::devices::keys::primary(&hub, PRINTED_POLICY);
        let reader = ops::devices::keys::primary(&hub, READING_POLICY);
        let device = ops::devices::registry::primary_key(env, &hub, &saved.device).await;
        Self {
            hub: key.map_or_else(String::new, |it| {
                format!("HostName={host};SharedAccessKeyName={PRINTED_POLICY};SharedAccessKey={it}")
            }),
            events: reader.map_or_else(String::new, |it| {
                format!(
                    "Endpoint=sb://{}/;SharedAccessKeyName={READING_POLICY};SharedAccessKey={it};EntityPath={}",
                    hub.host, saved.hub
                )
            }),
            device: device.map_or_else(String::new, |it| {
                format!("HostName={host};DeviceId={};SharedAccessKey={it}", saved.device)
            }),
            host,
            ..strings
        }
    }
}

/// The certificates by which clients believe the server, and the server others: the system's and its own.
pub(crate) const CA_BUNDLE: &str = "ca-bundle.pem";

/// Writes the CA, the bundle and `connection.env`, and gives the lines to print.
pub(crate) fn write(
    saved: &Saved,
    env: &Env,
    dir: &DataDir,
    strings: &Strings,
    mqtt_port: u16,
    own: IpAddr,
) -> Result<String, String> {
    let ca = dir.write("ca.pem", &saved.ca_certificate)?;
    let bundle = dir.write(CA_BUNDLE, &bundle(&saved.ca_certificate))?;
    let origin = &env.settings.origin;
    let shown = |it: &Path| it.display().to_string();
    let facts = env.facts.load();
    let ports = || facts.identity_endpoints.iter();
    // One file names one identity: the first.
    let (imds, header) = match ports().next() {
        Some((port, it)) => (identity_endpoints::origin(own, *port), it.header.reveal().clone()),
        None => (String::new(), String::new()),
    };
    let pairs = [
        ("HUBWARD_DATA", shown(&dir.path)),
        ("HUBWARD_ARM", origin.clone()),
        ("HUBWARD_AUTHORITY", origin.clone()),
        ("HUBWARD_GRAPH", origin.clone()),
        ("HUBWARD_IMDS", imds),
        ("HUBWARD_IDENTITY_HEADER", header),
        ("HUBWARD_DPS_HOST", strings.dps_host.clone()),
        ("HUBWARD_DPS_ID_SCOPE", strings.id_scope.clone()),
        ("HUBWARD_CA_FILE", shown(&ca)),
        ("HUBWARD_CA_BUNDLE", shown(&bundle)),
        ("HUBWARD_TENANT_ID", saved.tenant.to_string()),
        ("HUBWARD_SUBSCRIPTION_ID", saved.subscription.to_string()),
        ("HUBWARD_RESOURCE_GROUP", saved.resource_group.clone()),
        ("HUBWARD_HUB", saved.hub.clone()),
        ("HUBWARD_HUB_HOST", strings.host.clone()),
        ("HUBWARD_MQTT_PORT", mqtt_port.to_string()),
        ("HUBWARD_ADMIN_APP_ID", saved.admin_app_id.to_string()),
        ("HUBWARD_ADMIN_SECRET", saved.admin_secret.reveal().clone()),
        ("HUBWARD_ADMIN_USER", saved.admin_user.clone()),
        ("HUBWARD_ADMIN_PASSWORD", saved.admin_password.reveal().clone()),
        ("HUBWARD_DEVICE_CONNECTION_STRING", strings.device.clone()),
        ("HUBWARD_HUB_CONNECTION_STRING", strings.hub.clone()),
        ("HUBWARD_EVENTS_CONNECTION_STRING", strings.events.clone()),
    ];
    let lines: String = pairs.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    let connection = dir.write("connection.env", &lines)?;

    let mut text = String::new();
    let mut line = |it: String| {
        text.push_str(&it);
        text.push('\n');
    };
    line(format!("Hubward serves from {}", dir.path.display()));
    line(format!("  management  {origin}   (ARM, sign-in, Microsoft Graph, decisions)"));
    if !strings.host.is_empty() {
        line(format!("  hub         https://{}   ({})", strings.host, saved.hub));
    }
    if !strings.dps_host.is_empty() {
        line(format!(
            "  dps         https://{}   ({}, id scope {})",
            strings.dps_host, saved.dps, strings.id_scope
        ));
    }
    line(String::new());
    line(format!("Look: {origin}/console"));
    if !saved.admin_user.is_empty() {
        line(format!(
            "  sign in as {} with the password {}",
            saved.admin_user,
            saved.admin_password.reveal()
        ));
    }
    line(String::new());
    line("Sign in with the Azure CLI:".into());
    line(format!("  export REQUESTS_CA_BUNDLE={}", shown(&bundle)));
    line("  export AZURE_CORE_INSTANCE_DISCOVERY=false".into());
    line(format!("  az cloud register --name Hubward --endpoint-resource-manager {origin}"));
    line("  az cloud set --name Hubward".into());
    line(format!(
        "  az login --service-principal --username {} --password={} --tenant {}",
        saved.admin_app_id,
        saved.admin_secret.reveal(),
        saved.tenant
    ));
    line(String::new());
    if !strings.device.is_empty() {
        line("Connection strings:".into());
        line(format!("  device  {}", strings.device));
        line(format!("  hub     {}", strings.hub));
        line(format!("  events  {}", strings.events));
        line(String::new());
    }
    for (port, it) in ports() {
        let origin = identity_endpoints::origin(own, *port);
        line(format!(
            "Tokens of the identity `{}`, for applications on this machine, in either way:",
            it.identity.name()
        ));
        line(format!("  export AZURE_POD_IDENTITY_AUTHORITY_HOST={origin}"));
        line(format!(
            "  export IDENTITY_ENDPOINT={origin}/msi/token IDENTITY_HEADER={}",
            it.header.reveal()
        ));
        line(String::new());
    }
    line(format!(
        "Trust the CA:  {}   (all of the above is in {})",
        shown(&ca),
        shown(&connection)
    ));
    Ok(text)
}

/// The system's own certificates and ours behind them.
fn bundle(ours: &str) -> String {
    let system =
        SYSTEM_BUNDLES.iter().find_map(|it| std::fs::read_to_string(it).ok()).unwrap_or_default();
    let gap = if system.is_empty() || system.ends_with('\n') { "" } else { "\n" };
    format!("{system}{gap}{ours}")
}
