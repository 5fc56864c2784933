//! `hubward device method`: calls a method of a device, as a service.

use super::{Which, json};
use crate::explain::pretty;
use crate::hub::{Hub, segment};
use crate::{Failure, show};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Call a method of a device, as a service, and show its answer
///
/// The device must be connected and listen for methods; `hubward device listen` does.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward device method reset
  hubward device method set-rate '{\"rate\":5}' --device pump-7 --timeout 10

Exit codes:
  0  the device answered, with whatever status
  1  it did not, or the hub refused
  2  the command line cannot be meant")]
pub struct Method {
    name: String,

    /// What it is called with, in JSON
    #[arg(value_parser = json, default_value = "null")]
    payload: Value,

    /// How long the device may take to come and to answer, in seconds each; the hub knows 5 to 300
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(5..=300))]
    timeout: u16,

    #[command(flatten)]
    which: Which,
}

pub(super) fn run(method: &Method) -> Result<ExitCode, Failure> {
    let connection = method.which.connection()?;
    let id = method.which.id(&connection)?;
    let call = json!({
        "methodName": method.name,
        "payload": method.payload,
        "responseTimeoutInSeconds": method.timeout,
        "connectTimeoutInSeconds": method.timeout,
    });
    let answer = Hub::new(&connection)?.post(&format!("/twins/{}/methods", segment(&id)), &call)?;
    show(&pretty(&answer))?;
    Ok(ExitCode::SUCCESS)
}
