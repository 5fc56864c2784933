//! What routes would do with a message that somebody makes up: `az iot hub route test`.

use super::body::{read_source, read_tried};
use crate::devices::hubs;
use crate::devices::message::routed::Source;
use crate::devices::message::{AuthMethod, MESSAGE_BYTES_MAX, Message, SystemProperty};
use crate::devices::query::NotAQuery;
use crate::devices::query::message::{MessageCondition, seen};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::resources::fields::Fields;
use bytes::Bytes;
use gate::Permit;
use model::json::at;
use model::{Error, Timestamp};
use serde_json::{Map, Value, json};

/// Most properties of each kind that a made-up message has.
const PROPERTIES_MAX: usize = 100;

/// What is tried: a message and the twin of its sender.
struct Trial {
    message: Message,
    twin: Option<Value>,
    now: Timestamp,
}

/// `POST .../routing/routes/$testall`: the enabled routes of a source that would take the message.
///
/// # Errors
/// `ResourceNotFound`; the place in the body that breaks a rule.
pub(crate) async fn test_all(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (hub, _) = hubs::named(input, env).await?;
    let given = Fields::of(&input.body)?;
    let source = read_source(&given, "routingSource")?.unwrap_or(Source::DeviceMessages);
    let trial = Trial::read(&given, source, env.now())?;
    let routes = at(&hub.resource, &["properties", "routing", "routes"]).and_then(Value::as_array);
    let takes = |route: &&Value| {
        let text = |name: &str| route.get(name).and_then(Value::as_str);
        text("source") == Some(source.as_str())
            && route.get("isEnabled").and_then(Value::as_bool).unwrap_or(true)
            && MessageCondition::parse(text("condition").unwrap_or("true"))
                .is_ok_and(|it| trial.truth(&it) == Some(true))
    };
    let taking = routes.into_iter().flatten().filter(takes);
    let taking: Vec<Value> = taking.map(|it| json!({ "properties": it })).collect();
    Ok(Reply::ok(json!({ "routes": taking })))
}

/// `POST .../routing/routes/$testnew`: whether a route that need not be kept would take the message, or what is wrong
/// with its condition.
///
/// # Errors
/// `ResourceNotFound`; the place in the body that breaks a rule.
pub(crate) async fn test(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    hubs::named(input, env).await?;
    let given = Fields::of(&input.body)?;
    let Some(route) = given.object("route")? else {
        return Err(given.refuse("route", "required: the route to try"));
    };
    let (source, condition) = read_tried(&route)?;
    let trial = Trial::read(&given, source, env.now())?;
    let (result, errors) = match MessageCondition::parse(condition) {
        Ok(condition) => match trial.truth(&condition) {
            Some(true) => ("true", Vec::new()),
            Some(false) => ("false", Vec::new()),
            None => ("undefined", Vec::new()),
        },
        Err(error) => ("false", vec![shown(&error)]),
    };
    Ok(Reply::ok(json!({ "result": result, "details": { "compilationErrors": errors } })))
}

fn shown(error: &NotAQuery) -> Value {
    let place = json!({ "line": error.at.line, "column": error.at.character });
    json!({
        "message": error.because,
        "severity": "error",
        "location": { "start": place, "end": place },
    })
}

impl Trial {
    fn read(given: &Fields<'_>, source: Source, now: Timestamp) -> Result<Self, Error> {
        let mut message = Message {
            device: String::new(),
            module: String::new(),
            generation: String::new(),
            auth: AuthMethod::Hub,
            system: Vec::new(),
            application: Vec::new(),
            body: Bytes::new(),
            source,
            routed: None,
        };
        if let Some(given) = given.object("message")? {
            let body = given.text("body")?.unwrap_or("");
            if body.len() > MESSAGE_BYTES_MAX {
                return Err(given.refuse("body", format!("longer than {MESSAGE_BYTES_MAX} bytes")));
            }
            message.body = Bytes::copy_from_slice(body.as_bytes());
            if let Some(own) = given.object("appProperties")? {
                for (name, value) in texts(&own)? {
                    message.application.push((name.to_owned(), Some(value.to_owned())));
                }
            }
            if let Some(system) = given.object("systemProperties")? {
                for (name, value) in texts(&system)? {
                    say(&mut message, &system, name, value)?;
                }
            }
        }
        let twin = given.object("twin")?.map(|it| it.value().clone());
        Ok(Self { message, twin, now })
    }

    fn truth(&self, condition: &MessageCondition) -> Option<bool> {
        condition.truth(&seen(condition.asks(), &self.message, self.now, self.twin.as_ref()))
    }
}

fn texts<'a>(given: &Fields<'a>) -> Result<Vec<(&'a str, &'a str)>, Error> {
    let all = given.members().map(Map::iter).into_iter().flatten();
    let read = |(name, value): (&'a String, &'a Value)| match value.as_str() {
        Some(value) => Ok((name.as_str(), value)),
        None => Err(given.refuse(&shortened(name), "expected a text")),
    };
    let all: Vec<_> = all.map(read).collect::<Result<_, _>>()?;
    match all.len() <= PROPERTIES_MAX {
        true => Ok(all),
        false => Err(Error::invalid(given.at(), format!("more than {PROPERTIES_MAX} properties"))),
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(60).collect::<String>().escape_debug().to_string()
}

/// Gives a made-up message a system property.
fn say(message: &mut Message, given: &Fields<'_>, name: &str, value: &str) -> Result<(), Error> {
    const SAID: [(&str, SystemProperty); 7] = [
        ("contentType", SystemProperty::ContentType),
        ("contentEncoding", SystemProperty::ContentEncoding),
        ("messageId", SystemProperty::MessageId),
        ("correlationId", SystemProperty::CorrelationId),
        ("userId", SystemProperty::UserId),
        ("dt-dataschema", SystemProperty::InterfaceId),
        ("dt-subject", SystemProperty::Subject),
    ];
    let plain = name.trim_start_matches('$');
    let is = |it: &str| it.eq_ignore_ascii_case(plain);
    if let Some((_, which)) = SAID.iter().find(|(it, _)| is(it)) {
        message.system.push((*which, value.to_owned()));
    } else if is("connectionDeviceId") || is("iothub-connection-device-id") {
        value.clone_into(&mut message.device);
    } else if is("connectionModuleId") || is("iothub-connection-module-id") {
        value.clone_into(&mut message.module);
    } else if is("connectionDeviceGenerationId") {
        value.clone_into(&mut message.generation);
    } else {
        let known = SAID.map(|(it, _)| it).join(", ");
        let because = format!(
            "not known here; known are {known}, connectionDeviceId, connectionModuleId, connectionDeviceGenerationId"
        );
        return Err(given.refuse(&shortened(name), because));
    }
    Ok(())
}

/// `GET .../routingEndpointsHealth`: the endpoints of the hub, and how sending to each goes.
///
/// # Errors
/// `ResourceNotFound`.
pub(crate) async fn health(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (hub, _) = hubs::named(input, env).await?;
    let nothing = Value::Null;
    let properties = hub.resource.get("properties").unwrap_or(&nothing);
    let mut all =
        vec![json!({ "endpointId": super::body::EVENTS_NAME, "healthStatus": "healthy" })];
    all.extend(
        super::endpoints_of(properties)
            .map(|(_, _, it)| json!({ "endpointId": it.get("id"), "healthStatus": "unknown" })),
    );
    Ok(Reply::list(all))
}
