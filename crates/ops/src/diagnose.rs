//! Can devices register through a provisioning service at a hub? If not: why, since when, and what helps.
//!
//! Three sections, in the order in which people look: roles, integration, policies. Nothing is decided
//! here: the calls that a registration would make are put to the same gates, as the caller that a
//! registration would prove. Where authentication would already refuse, the sections behind it are judged
//! all the same, for the caller that is meant.

mod case;
mod history;
mod identity;
pub(crate) mod ingestion;
mod integration;
mod onset;
mod policies;
mod roles;

use crate::advice::Fix;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::resources::no_resource;
use case::{Case, Enrolled};
use gate::Permit;
use model::trace::{Caller, Finding};
use model::{DeviceId, Error, Scope};
use serde::Serialize;
use serde_json::json;

/// The device that is asked about where the asker names none.
const ANY_DEVICE: &str = "any-device";

/// What became of a section, or of one thing in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Mark {
    Pass,
    Fail,
    /// Stands against nothing today, and is worth knowing.
    Warning,
    Note,
}

impl Mark {
    const fn of(is_good: bool) -> Self {
        if is_good { Self::Pass } else { Self::Fail }
    }
}

/// One thing that was looked at, in one sentence.
#[derive(Debug, Serialize)]
struct Check {
    mark: Mark,
    says: String,
}

fn check(mark: Mark, says: impl Into<String>) -> Check {
    Check { mark, says: says.into() }
}

/// One of the three parts of a diagnosis.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Section {
    name: &'static str,
    verdict: Mark,
    /// One sentence.
    says: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rights: Vec<roles::RightHeld>,
    /// What a gate looked at, as in a trace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    fixes: Vec<Fix>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Diagnosis<'a> {
    time: String,
    provisioning_service: &'a Scope,
    hub: &'a Scope,
    /// The id that the calls were judged with.
    device: &'a str,
    /// Who would write devices to the hub.
    caller: &'a Caller,
    verdict: Mark,
    /// True where conditions and ways out are left out, because the asker may not read the policies.
    redacted: bool,
    sections: [Section; 3],
    /// Since when registrations are refused, where one is now.
    onset: Option<onset::Onset>,
}

/// The provisioning service and the hub that a question names.
///
/// # Errors
/// Where one is no resource of its type.
pub(crate) fn places(input: &Input) -> Result<(Scope, Scope), Error> {
    Ok((
        place_of(input, "provisioningService", "Microsoft.Devices/provisioningServices")?,
        place_of(input, "hub", "Microsoft.Devices/IotHubs")?,
    ))
}

/// A resource of a type, by its id.
fn place_of(input: &Input, name: &str, kind: &str) -> Result<Scope, Error> {
    let text = input.required_text(&[name])?;
    Scope::parse(text)
        .ok()
        .filter(|it| it.resource_type().is_some_and(|it| it.eq_ignore_ascii_case(kind)))
        .ok_or_else(|| {
            Error::invalid(name, format!("the id of a resource of type `{kind}` is expected"))
        })
}

/// `POST /decisions/diagnose`.
///
/// # Errors
/// `ResourceNotFound` where one of the two does not exist; [`Error::Invalid`] where `device` is no device id.
pub(crate) async fn diagnose(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let (dps, hub) = places(input)?;
    let dps = facts.dps(&dps).ok_or_else(|| no_resource(&dps))?;
    let hub = facts.hub(&hub).ok_or_else(|| no_resource(&hub))?;
    let device = input.text(&["device"]).unwrap_or(ANY_DEVICE);
    DeviceId::parse(device).map_err(|it| Error::invalid("device", it.to_string()))?;
    let enrolled = Enrolled::read(env, &facts, dps, hub).await?;
    let case = Case::open(env, permit, &facts, dps, hub, device, &enrolled).await?;

    let (policies, is_redacted) = policies::section(&case);
    let roles = roles::section(&case, policies.verdict);
    let integration = integration::section(&case);
    let onset = onset::find(&case).await?;
    let sections = [roles, integration, policies];
    let diagnosis = Diagnosis {
        time: case.head.time.rfc3339(),
        provisioning_service: &dps.scope,
        hub: &hub.scope,
        device,
        caller: &case.proof.caller,
        verdict: Mark::of(sections.iter().all(|it| it.verdict == Mark::Pass)),
        redacted: is_redacted,
        sections,
        onset,
    };
    Ok(Reply::ok(json!(diagnosis)))
}
