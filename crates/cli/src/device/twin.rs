//! `hubward device twin`: a device's twin, read and written from both sides.

use super::mqtt::Session;
use super::{Which, json};
use crate::explain::pretty;
use crate::hub::{Hub, segment};
use crate::{Failure, show};
use serde_json::{Value, json};
use std::process::ExitCode;
use wire::mqtt::Qos;

/// Show a device's twin; change what it reports, or what is desired of it, before
///
/// What it reports is sent by the device itself; tags and desired properties are changed by the service. A null
/// takes a property away.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward device twin
  hubward device twin --desired '{\"rate\":5}' --tags '{\"hall\":1}'
  hubward device twin --device pump-7 --reported '{\"rate\":5,\"old\":null}'

Exit codes:
  0  shown, and changed as told
  1  not found, refused, or no answer
  2  the command line cannot be meant")]
pub struct Twin {
    /// A change of what the device reports, in JSON
    #[arg(long, value_name = "JSON", value_parser = json)]
    reported: Option<Value>,

    /// A change of what is desired of it, in JSON
    #[arg(long, value_name = "JSON", value_parser = json)]
    desired: Option<Value>,

    /// A change of its tags, in JSON
    #[arg(long, value_name = "JSON", value_parser = json)]
    tags: Option<Value>,

    #[command(flatten)]
    which: Which,
}

pub(super) fn run(twin: &Twin) -> Result<ExitCode, Failure> {
    let connection = twin.which.connection()?;
    let hub = Hub::new(&connection)?;
    let path = format!("/twins/{}", segment(&twin.which.id(&connection)?));
    let mut patch = serde_json::Map::new();
    if let Some(tags) = &twin.tags {
        patch.insert("tags".into(), tags.clone());
    }
    if let Some(desired) = &twin.desired {
        patch.insert("properties".into(), json!({ "desired": desired }));
    }
    if !patch.is_empty() {
        hub.patch(&path, &Value::Object(patch))?;
    }
    if let Some(reported) = &twin.reported {
        let mut session = Session::open(&connection, &twin.which.own(&connection)?)?;
        report(&mut session, reported)?;
        session.close();
    }
    show(&pretty(&hub.get(&path)?))?;
    Ok(ExitCode::SUCCESS)
}

fn report(session: &mut Session, reported: &Value) -> Result<(), Failure> {
    session.subscribe("$iothub/twin/res/#", Qos::AtMostOnce)?;
    let topic = "$iothub/twin/PATCH/properties/reported/?$rid=1";
    session.say(Qos::AtMostOnce, topic, &reported.to_string())?;
    let answer = session.hear()?;
    let status = answer.topic.strip_prefix("$iothub/twin/res/").and_then(|it| it.split('/').next());
    match status {
        Some("200" | "204") => Ok(()),
        _ => Err(Failure::Failed(format!(
            "the hub did not take what `{}` reports: status {}, {}",
            session.id(),
            status.unwrap_or("unknown"),
            String::from_utf8_lossy(&answer.payload)
        ))),
    }
}
