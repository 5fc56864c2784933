//! A registration at its hub: the hub is chosen, the device is taken along from the one that it had, and written there
//! by the provisioning service as itself, by calls like everybody's.

use super::allocation::{Linked, Nowhere, Place, allocate, credential};
use super::enrollment::{InitialTwin, Source};
use super::moving::leaving;
use super::proven::Proven;
use super::register::Begun;
use super::registrations::{Registration, RegistrationStatus};
use crate::call::{self, Answer, Call};
use crate::devices::named::Named;
use crate::devices::names::host_name;
use crate::devices::registry;
use crate::env::Env;
use crate::input::Headers;
use bytes::Bytes;
use gate::facts::Dps;
use model::operations::{Surface, operation};
use model::trace::Channel;
use model::{Error, Op, Scope, TrackingId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::pin::Pin;

const API_VERSION: &str = "2021-04-12";

/// Why a registration came to nothing: what the device is told, and the decision behind it, where there was one.
pub(super) type Failed = (Nowhere, Option<TrackingId>);

/// Answers which hub was chosen, where one was.
///
/// # Errors
/// [`Error::Internal`] where the store fails. Whatever else goes wrong is the registration's outcome.
pub(super) async fn assign(
    env: &Env,
    dps: &Dps,
    proven: &Proven,
    begun: &Begun,
    registration: &mut Registration,
) -> Result<Option<Scope>, Error> {
    let facts = env.facts.load();
    registration.x509.clone_from(&proven.certificates);
    let allocated = allocate(env, dps, proven, (begun, registration), &facts).await;
    let Place { at, said } = match allocated {
        Ok(place) => place,
        Err(nowhere) => {
            registration.fail(nowhere, None);
            return Ok(None);
        }
    };
    let chosen = Some(at.hub.scope.clone());
    let device = Named::parse(&device_id(&proven.source, &begun.registration_id), None)?;
    let service = Service { env, dps, begun, source: &proven.source, device: &device };
    let leaving = match leaving(&service, registration, at.hub, &facts).await? {
        Ok(leaving) => leaving,
        Err(failed) => {
            registration.fail(failed.0, failed.1);
            return Ok(chosen);
        }
    };
    let terms = proven.source.terms();
    let migrates = terms.reprovision_policy.migrate_device_data;
    // A twin is written once: registering again must not undo what was changed since.
    let is_first = !registry::exists(env, at.hub, &device).await?;
    let twin = match (&leaving, said.twin.as_ref().or(terms.initial_twin.as_ref())) {
        _ if !is_first => Ok(None),
        (Some(leaving), _) if migrates && said.twin.is_none() => {
            leaving.twin(&service).await.map(Some)
        }
        (_, twin) => Ok(twin.map(InitialTwin::body)),
    };
    let written = match twin {
        Ok(twin) => service.write(at, proven, twin).await,
        Err(failed) => Err(failed),
    };
    let done = match (written, &leaving) {
        (Ok(tracking), Some(leaving)) => leaving.leave(&service).await.map(|()| tracking),
        (written, _) => written,
    };
    match done {
        Ok(tracking) => {
            registration.status = RegistrationStatus::Assigned;
            registration.tracking_id = Some(tracking.to_string());
            registration.assigned_hub = Some(host_name(&at.hub.host, env.settings.hub_port));
            registration.hub_scope = Some(at.hub.scope.as_str().to_owned());
            let substatus = match leaving {
                None => "initialAssignment",
                Some(_) if migrates => "deviceDataMigrated",
                Some(_) => "deviceDataReset",
            };
            registration.substatus = Some(substatus.to_owned());
            registration.payload = said.payload;
            registration.tpm.clone_from(&proven.activation);
        }
        Err((nowhere, tracking)) => registration.fail(nowhere, tracking),
    }
    Ok(chosen)
}

/// A provisioning service at work for a device.
pub(super) struct Service<'a> {
    pub(super) env: &'a Env,
    pub(super) dps: &'a Dps,
    pub(super) begun: &'a Begun,
    pub(super) source: &'a Source,
    pub(super) device: &'a Named,
}

impl Service<'_> {
    /// Writes the device to its hub: the id of that call.
    async fn write(
        &self,
        at: Linked<'_>,
        proven: &Proven,
        twin: Option<Value>,
    ) -> Result<TrackingId, Failed> {
        let device = self.device.device.as_str();
        let is_edge = self.source.terms().iot_edge;
        let (op, mut body) = device_body(device, &proven.authentication, is_edge, twin);
        model::json::set(&mut body, "provisionedBy", json!(self.provisioned_by()));
        let answer = self.call(at, op, "devices", Some(body)).await?;
        match answer.status {
            200 => Ok(answer.tracking),
            _ => Err((refusal(&answer), Some(answer.tracking))),
        }
    }

    /// Calls a hub about the device, as the service itself and on the device's behalf. Boxed: a call leads here, and
    /// this to a call.
    ///
    /// # Errors
    /// Why it cannot show itself there.
    pub(super) fn call<'b>(
        &'b self,
        at: Linked<'b>,
        op: Op,
        collection: &'b str,
        body: Option<Value>,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Failed>> + Send + 'b>> {
        let Self { env, dps, begun, source, device } = self;
        let device = device.device.as_str();
        let text = body.map(|it| Bytes::from(it.to_string()));
        let call = move |credential| Call {
            operation: operation(op),
            surface: Surface::Hub,
            host: at.hub.host.clone(),
            path: format!("/{collection}/{device}"),
            params: BTreeMap::from([("device", device.to_owned())]),
            query: vec![("api-version".into(), API_VERSION.into())],
            headers: Headers {
                content_type: text.as_ref().map(|_| "application/json".into()),
                // What is taken away is taken away in whatever version it is.
                if_match: (op == Op::DeleteDevice).then(|| "*".into()),
                client_request_id: Some(begun.correlation_id.clone()),
                ..Headers::default()
            },
            credential,
            channel: Channel {
                on_behalf_of: Some(Box::new(begun.caller.clone())),
                enrollment: Some(source.kind()),
                agent: Some(format!("provisioning service {}", dps.scope.name()).into()),
                ..begun.channel.clone()
            },
            body: Box::new(move |_, _| Box::pin(async move { Ok(text.unwrap_or_default()) })),
        };
        Box::pin(async move {
            let credential = credential(env, dps, at.link, at.hub);
            let credential = credential.map_err(|sentence| ((401_002, sentence), None))?;
            Ok(call::run(env, call(credential)).await)
        })
    }

    /// What a device came by: the service, and which enrollment of which kind. Ids know no case.
    pub(super) fn provisioned_by(&self) -> String {
        let kind = match self.source {
            Source::Individual(_) => "enrollments",
            Source::Group(_) => "enrollmentGroups",
        };
        format!("{}/{kind}/{}", self.dps.uid, self.source.id().to_ascii_lowercase())
    }
}

/// The hub's words for the device: the source's three lines where a policy or a role refused, and the id
/// under which the decision can be asked for.
pub(super) fn refusal(answer: &Answer) -> Nowhere {
    let message =
        answer.body.as_ref().and_then(|it| model::json::text(it, &["Message"])).unwrap_or("");
    let text = message.split_once(';').map_or(message, |(_, it)| it);
    let (code, lines) = match answer.status {
        403 => (403_000, text.to_owned()),
        401 => {
            (401_003, format!("HTTP 401: Unauthorized\nError: Device registration denied\n{text}"))
        }
        409 => (
            409_001,
            "the hub has a device of this id that came by another enrollment or by hand; delete it there, or \
             give this one another id"
                .to_owned(),
        ),
        429 => (429_001, text.to_owned()),
        other => (u32::from(other) * 1_000, text.to_owned()),
    };
    (code, format!("{lines}\nTracking ID: {}", answer.tracking))
}

/// A device as its hub is asked to write it, and by which operation.
pub(crate) fn device_body(
    device: &str,
    authentication: &Value,
    is_edge: bool,
    twin: Option<Value>,
) -> (Op, Value) {
    let mut body = json!({
        "deviceId": device,
        "authentication": authentication,
        "capabilities": { "iotEdge": is_edge },
    });
    match twin {
        Some(twin) => {
            model::json::set(&mut body, "initialTwin", twin);
            (Op::ProvisionDeviceWithTwin, body)
        }
        None => (Op::ProvisionDevice, body),
    }
}

/// The id that a device has in its hub.
pub(super) fn device_id(source: &Source, registration_id: &str) -> String {
    match source {
        Source::Individual(it) => {
            it.device.device_id.clone().unwrap_or_else(|| registration_id.to_owned())
        }
        Source::Group(_) => registration_id.to_owned(),
    }
}
