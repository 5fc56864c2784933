//! `hubward device`: plays a device at a terminal, and asks its hub about it.
//!
//! What a device does goes over MQTT with the device's own key, as its SDK would; what a service does goes
//! over HTTPS with the hub's. Knows nothing of the gates: a refusal is the server's to explain.

mod listen;
mod method;
mod mqtt;
mod send;
mod story;
mod twin;

use crate::Failure;
use crate::connection_string::ConnectionString;
use crate::hub::Hub;
use crate::target::{Connection, Target};
use std::process::ExitCode;

/// Play a device: send, listen, read and write its twin, call its methods; and tell its story
///
/// Without --device it is the one that the first start made. What a device does is done with its own key over
/// MQTT; what a service does, with the hub's over HTTPS.
#[derive(clap::Subcommand, Debug)]
pub enum Device {
    Send(send::Send),
    Listen(listen::Listen),
    Twin(twin::Twin),
    Method(method::Method),
    Story(story::Story),
}

pub(crate) fn run(device: &Device) -> Result<ExitCode, Failure> {
    match device {
        Device::Send(send) => send::run(send),
        Device::Listen(listen) => listen::run(listen),
        Device::Twin(twin) => twin::run(twin),
        Device::Method(method) => method::run(method),
        Device::Story(story) => story::run(story),
    }
}

/// Which device.
#[derive(clap::Args, Clone, Debug)]
struct Which {
    /// Another device of the hub than the one that the first start made
    #[arg(short, long, value_name = "ID")]
    device: Option<String>,

    #[command(flatten)]
    target: Target,
}

impl Which {
    fn connection(&self) -> Result<Connection, Failure> {
        self.target.connection()
    }

    /// How the device says who it is.
    fn own(&self, connection: &Connection) -> Result<ConnectionString, Failure> {
        match &self.device {
            Some(id) => Hub::new(connection)?.device(id),
            None => first(connection),
        }
    }

    /// The device's id.
    fn id(&self, connection: &Connection) -> Result<String, Failure> {
        match &self.device {
            Some(id) => Ok(id.clone()),
            None => first(connection).map(|it| it.named()),
        }
    }
}

fn first(connection: &Connection) -> Result<ConnectionString, Failure> {
    let text = connection.device_connection_string().filter(|it| !it.is_empty());
    let text = text.ok_or_else(|| {
        Failure::Usage(
            "the connection file names no device; say which with `--device ID`, or make one with \
             `az iot hub device-identity create`"
                .into(),
        )
    })?;
    ConnectionString::parse(text).map_err(Failure::Failed)
}

/// Reads what has to be JSON on the command line.
fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text)
        .map_err(|it| format!("{it}; quote it for the shell, as in '{{\"rate\":5}}'"))
}
