//! Custom allocation: an enrollment's webhook chooses the hub.
//!
//! It is asked once for each registration, within [`WITHIN`], through the one way out of the server. What it says is
//! from outside: it names a linked hub, or the registration fails and says why.

use super::allocation::{Linked, Nowhere};
use super::enrollment::{CustomAllocation, InitialTwin, Source};
use super::enrollment_body::read_initial_twin;
use super::proven::Proven;
use super::register::Begun;
use super::registrations::Registration;
use crate::devices::names::{host_name, without_port};
use crate::env::Env;
use crate::resources::fields::Fields;
use egress::Target;
use model::json::set;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a webhook may take. Source: observed of Azure, whose documentation names no time.
const WITHIN: Duration = Duration::from_secs(5);
/// The number that devices are told. Source: observed of Azure.
const FAILED: u32 = 400_209;

/// What a webhook said besides the hub.
#[derive(Default)]
pub(super) struct Said {
    /// The twin that the device is to start with, in place of the enrollment's.
    pub(super) twin: Option<InitialTwin>,
    /// For the device.
    pub(super) payload: Option<Value>,
}

/// Asks the webhook for a device's hub.
///
/// # Errors
/// Why it chose none.
pub(super) async fn ask<'a>(
    env: &Env,
    custom: &CustomAllocation,
    proven: &Proven,
    (begun, registration): (&Begun, &Registration),
    linked: &[Linked<'a>],
) -> Result<(Linked<'a>, Said), Nowhere> {
    let target = Target::parse(&custom.webhook_url);
    let target = target.map_err(|it| (FAILED, format!("the enrollment's webhook: {it}")))?;
    let failed = |why: String| (FAILED, format!("the webhook {target} chose no hub: {why}"));
    if begun.is_resumed {
        // Whoever waits for a start waits for no webhook.
        return Err(failed("the server was stopped while it was asked; register again".into()));
    }
    let hosts: Vec<String> =
        linked.iter().map(|it| host_name(&it.hub.host, env.settings.hub_port)).collect();
    let question = question(proven, begun, registration, &hosts).to_string();
    let answer = env.egress.post(&target, question.into(), WITHIN).await;
    let answer = answer.map_err(|it| failed(it.to_string()))?;
    if answer.status != 200 {
        return Err(failed(format!("it answered with {}, and 200 is expected", answer.status)));
    }
    let body =
        model::json::parse(&answer.body).map_err(|it| failed(format!("its answer: {it}")))?;
    let fields = Fields::of(&body).map_err(|it| failed(format!("its answer: {it}")))?;
    let wrong = |it: model::Error| failed(format!("its answer: {it}"));
    let host = fields.text("iotHubHostName").map_err(wrong)?.filter(|it| !it.is_empty());
    let host = host.ok_or_else(|| failed("its answer has no `iotHubHostName`".into()))?;
    let chosen = linked.iter().find(|it| without_port(host).eq_ignore_ascii_case(&it.hub.host));
    let chosen = chosen.ok_or_else(|| {
        let named = host.chars().take(100).collect::<String>();
        let named = named.escape_debug();
        failed(format!("it named `{named}`, and the linked hubs are {}", hosts.join(", ")))
    })?;
    let twin = read_initial_twin(&fields).map_err(wrong)?;
    let payload = body.get("payload").filter(|it| !it.is_null()).cloned();
    Ok((*chosen, Said { twin, payload }))
}

/// What a webhook is told. Source: Azure documentation, "Use custom allocation policies", the request's schema.
fn question(
    proven: &Proven,
    begun: &Begun,
    registration: &Registration,
    linked: &[String],
) -> Value {
    let mut device = json!({ "registrationId": registration.registration_id });
    if let Some(host) = &registration.assigned_hub {
        set(&mut device, "currentIotHubHostName", json!(host));
        set(&mut device, "currentDeviceId", json!(registration.device_id));
    }
    let (proof, shown) = proven.shown();
    set(&mut device, proof, shown);
    if let Some(payload) = &begun.payload {
        set(&mut device, "payload", payload.clone());
    }
    let mut enrolled = proven.source.judged();
    // Its own address is no news to it.
    enrolled.as_object_mut().map(|it| it.shift_remove("customAllocationDefinition"));
    let enrollment = match &proven.source {
        Source::Individual(_) => "individualEnrollment",
        Source::Group(_) => "enrollmentGroup",
    };
    json!({
        enrollment: enrolled,
        "deviceRuntimeContext": device,
        "linkedHubs": linked,
    })
}
