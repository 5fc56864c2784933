//! The calls of a deployment: each takes the one road, as the deploying principal, and is traced as the deployment's.

use crate::call::{self, Answer, Call};
use crate::env::Env;
use crate::input::{Headers, Input};
use crate::objects;
use bytes::Bytes;
use gate::Judgement;
use model::json::text;
use model::operations::routing::fitting;
use model::operations::{Operation, Surface};
use model::trace::{Caller, Channel, Object, TraceHead};
use model::{Credential, Deployer, Error, Scope, TrackingId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::pin::Pin;
use template::{Known, NEEDS_MAX, Need, Stop};

/// Why a resource could not be made, read or deleted.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) status: u16,
    /// `{code, message}` and what goes with it.
    pub(super) error: Value,
    /// Of the call that was refused, where one was made.
    pub(super) tracking: Option<TrackingId>,
}

impl Refused {
    /// What the deployment finds wrong itself.
    pub(super) fn own(code: &str, message: impl Into<String>) -> Self {
        let error = json!({ "code": code, "message": message.into() });
        Self { status: 400, error, tracking: None }
    }

    /// An error as the answer to a call would have it.
    pub(super) fn of(error: &Error, tracking: TrackingId, env: &Env) -> Self {
        let body = error.body(Surface::Arm, tracking, env.now());
        let inner = body.get("error").cloned().unwrap_or(body);
        Self { status: error.status(Surface::Arm), error: inner, tracking: Some(tracking) }
    }
}

/// Who calls for a deployment, and on whose behalf.
pub(super) struct Road<'a> {
    pub(super) env: &'a Env,
    pub(super) deployer: &'a Deployer,
    pub(super) correlation_id: &'a str,
    /// Whence the deployment was asked for.
    pub(super) address: &'a str,
}

/// A place of the control plane with the operation that is there.
struct Target {
    operation: &'static Operation,
    params: BTreeMap<&'static str, String>,
    path: String,
}

fn target(method: &str, path: &str) -> Result<Target, Refused> {
    let segments: Vec<String> =
        path.split('/').filter(|it| !it.is_empty()).map(str::to_owned).collect();
    let found = fitting(&[Surface::Arm], &segments, &[]).find(|it| it.method == method);
    match found {
        Some(it) => Ok(Target {
            operation: it.operation,
            params: it.params(&segments),
            path: format!("/{}", segments.join("/")),
        }),
        None => Err(Refused::own(
            "NoRegisteredProviderFound",
            format!("no resource type is known for which `{method} {path}` could be called"),
        )),
    }
}

impl Road<'_> {
    fn channel(&self, method: &str, path: &str) -> Channel {
        Channel {
            protocol: "https".into(),
            request: format!("{method} {path}"),
            address: self.address.to_owned(),
            deployment: Some(self.deployer.deployment.as_str().into()),
            ..Channel::default()
        }
    }

    /// Calls, and gives the answer of a call that was done. Boxed: a call leads here, and this to a call.
    pub(super) fn call<'b>(
        &'b self,
        method: &'b str,
        path: &'b str,
        api_version: &'b str,
        body: Option<&'b Value>,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Refused>> + Send + 'b>> {
        Box::pin(async move {
            let Target { operation, params, path } = target(method, path)?;
            let channel = self.channel(method, &path);
            let text = body.map(|it| Bytes::from(it.to_string())).unwrap_or_default();
            let call = Call {
                operation,
                surface: Surface::Arm,
                host: String::new(),
                path,
                params,
                query: vec![("api-version".into(), api_version.to_owned())],
                headers: Headers {
                    content_type: body.map(|_| "application/json".into()),
                    client_request_id: Some(self.correlation_id.to_owned()),
                    ..Headers::default()
                },
                credential: Credential::Deployment(self.deployer.clone()),
                channel,
                body: call::body_of(text),
            };
            let answer = call::run(self.env, call).await;
            match answer.status {
                200..=299 => Ok(answer),
                status => {
                    let error = answer.body.as_ref().and_then(|it| it.get("error")).cloned();
                    let unknown = || json!({ "code": "Unknown", "message": "" });
                    let error = error.unwrap_or_else(unknown);
                    Err(Refused { status, error, tracking: Some(answer.tracking) })
                }
            }
        })
    }

    /// Evaluates, and fetches what that needs until it needs nothing more.
    pub(super) async fn evaluated<T>(
        &self,
        known: &mut Known,
        mut evaluate: impl FnMut(&Known) -> Result<T, Stop>,
    ) -> Result<T, Refused> {
        for _ in 0..=NEEDS_MAX {
            match evaluate(known) {
                Ok(it) => return Ok(it),
                Err(Stop::Fault(it)) => return Err(Refused::own("InvalidTemplate", it)),
                Err(Stop::Needs(need)) => {
                    let found = self.fetched(&need).await?;
                    known.insert(need, found);
                }
            }
        }
        let told = format!("one resource asks for more than {NEEDS_MAX} others by `reference`");
        Err(Refused::own("InvalidTemplate", told))
    }

    async fn fetched(&self, need: &Need) -> Result<Value, Refused> {
        let answer = match need {
            Need::Resource { id, api_version } => {
                let version = match api_version {
                    Some(it) => it.clone(),
                    None => newest(id)?,
                };
                self.call("GET", id, &version, None).await?
            }
            Need::List { id, function, api_version } => {
                self.call("POST", &format!("{id}/{function}"), api_version, None).await?
            }
        };
        Ok(answer.body.unwrap_or(Value::Null))
    }

    /// What the gates would say to a write, and what would be stored: nothing is called.
    ///
    /// # Errors
    /// What is wrong with it before any gate is asked.
    pub(super) async fn judged(
        &self,
        (path, api_version): (&str, &str),
        body: Value,
        caller: &Caller,
    ) -> Result<(Option<Object>, Judgement), Refused> {
        let env = self.env;
        let tracking = env.new_tracking_id();
        let failed = |it: Error| Refused::of(&it, tracking, env);
        let Target { operation, params, path } = target("PUT", path)?;
        let known = model::resource_types::known_api_versions(
            Scope::parse(&path).ok().and_then(|it| it.resource_type()).as_deref(),
        );
        model::resource_types::check_api_version(api_version, &known)
            .map_err(|it| Refused::own("InvalidApiVersionParameter", it))?;
        let scope =
            Scope::parse(&path).map_err(|it| Refused::own("InvalidTemplate", it.to_string()))?;
        let channel = self.channel("PUT", &path);
        let mut input = Input {
            params,
            query: vec![("api-version".into(), api_version.to_owned())],
            body,
            raw: Bytes::new(),
            received: None,
            scope,
            path,
            headers: Headers::default(),
            channel: channel.clone(),
            certificates: None,
            correlation_id: self.correlation_id.to_owned(),
        };
        let prepared =
            objects::prepare(operation, &mut input, None, caller, env).await.map_err(failed)?;
        let head = TraceHead {
            correlation_id: self.correlation_id.to_owned(),
            ..TraceHead::new(tracking, env.now(), channel)
        };
        let facts = env.facts.load();
        let judgement = gate::judge(&prepared.ask(caller, &head), &facts);
        Ok((prepared.objects.first().cloned(), judgement))
    }
}

/// The newest api-version of a resource's type.
fn newest(id: &str) -> Result<String, Refused> {
    let kind = Scope::parse(id).ok().and_then(|it| it.resource_type()).unwrap_or_default();
    let known = model::resource_types::resource_type(&kind).and_then(|it| it.api_versions.first());
    known.map(|it| (*it).to_owned()).ok_or_else(|| {
        Refused::own("InvalidTemplate", format!("`reference` of `{id}` needs an api-version"))
    })
}

/// Takes every secret out of what is shown.
pub(super) fn scrub(value: &mut Value, secrets: &[String]) {
    match value {
        Value::String(it) => {
            for secret in
                secrets.iter().filter(|secret| it.contains(secret.as_str())).collect::<Vec<_>>()
            {
                *it = it.replace(secret.as_str(), "***");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|it| scrub(it, secrets)),
        Value::Object(members) => members.values_mut().for_each(|it| scrub(it, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// An error with the resource that it is about and the id under which its decision can be asked for.
pub(super) fn detail(refused: &Refused, resource: &str) -> Value {
    let mut detail = refused.error.clone();
    let message = text(&detail, &["message"]).unwrap_or("").to_owned();
    let message = match refused.tracking {
        Some(tracking) => format!("{message} Tracking id: {tracking}"),
        None => message,
    };
    model::json::set(&mut detail, "message", message.trim_start());
    model::json::set(&mut detail, "target", resource);
    detail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_wherever_they_stand() {
        let mut value = json!({ "message": "no `sesame` at sesame", "inner": [{ "a": "open sesame2" }], "n": 1 });
        scrub(&mut value, &["sesame".into(), "sesame2".into()]);
        assert!(!value.to_string().contains("sesame"), "{value}");
        assert_eq!(value["message"], "no `***` at ***");
    }

    #[test]
    fn a_type_that_there_is_none_of_is_said_to_be_so() {
        let of = |path: &str| target("PUT", path).map(|it| it.operation.op);
        let group = "/subscriptions/s/resourceGroups/g";
        let hub = format!("{group}/providers/Microsoft.Devices/IotHubs/h");
        assert_eq!(of(&hub).unwrap(), model::Op::PutHub);
        assert_eq!(of(group).unwrap(), model::Op::PutResourceGroup);
        let refused = of(&format!("{group}/providers/Microsoft.Compute/disks/d")).unwrap_err();
        assert_eq!(refused.error["code"], "NoRegisteredProviderFound");
        assert!(of("/tenants").is_err());
    }
}
