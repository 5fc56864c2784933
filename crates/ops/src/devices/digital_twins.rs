//! Digital twins: the twin of a device as its model has it, with components, and commands, which are its methods.
//!
//! Nothing is kept beside the twin. A component is an object in the twin's properties that `__t` marks; what a
//! device acknowledges of a property that services write is an object with `ac` and `av`.
//! Source: IoT Plug and Play, "Understand IoT Plug and Play digital twins" and "conventions"; IoT Hub REST
//! reference, "Digital Twin".

use super::methods;
use super::named::Named;
use super::registry::{hub_of, read, shard};
use super::twin::{Shown, Wanted};
use super::twins;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::Error;
use model::error::HubFault;
use model::json::{member, text};
use serde_json::{Map, Value, json};

/// What marks a component in the properties of a twin.
const MARK: &str = "__t";
/// Most operations of a patch.
const OPERATIONS_MAX: usize = 1_000;

/// `GET /digitaltwins/{device}`.
pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    let Some((device, _)) = read(env, &shard(&hub)?, &named).await? else {
        return Err(named.not_found());
    };
    let shown = shown((&device.device_id, &device.model_id), &device.twin.shown_parts());
    Ok(Reply::ok(shown).with_header("ETag", format!("\"{}\"", device.twin.etag())))
}

fn shown((id, model): (&str, &str), twin: &Shown<'_>) -> Value {
    let (mut all, mut about) = (Map::new(), Map::new());
    all.insert("$dtId".to_owned(), json!(id));
    about.insert("$model".to_owned(), json!(model));
    let whole = Level {
        desired: twin.desired,
        desired_times: twin.desired_times,
        reported: twin.reported,
        reported_times: twin.reported_times,
        version: twin.desired_version,
    };
    whole.show(&mut all, &mut about);
    for name in whole.names() {
        if let Some(component) = whole.component(name) {
            let (mut inner, mut about) = (Map::new(), Map::new());
            component.show(&mut inner, &mut about);
            inner.insert("$metadata".to_owned(), Value::Object(about));
            all.insert(name.clone(), Value::Object(inner));
        }
    }
    all.insert("$metadata".to_owned(), Value::Object(about));
    Value::Object(all)
}

/// The properties of a device itself, or of one component.
#[derive(Clone, Copy)]
struct Level<'a> {
    desired: &'a Map<String, Value>,
    desired_times: &'a Map<String, Value>,
    reported: &'a Map<String, Value>,
    reported_times: &'a Map<String, Value>,
    version: u64,
}

impl<'a> Level<'a> {
    /// Each property and component, reported ones first.
    fn names(&self) -> Vec<&'a String> {
        let own = |it: &&String| it.as_str() != MARK && !it.starts_with('$');
        let reported = self.reported.keys().filter(own);
        let also = self.desired.keys().filter(own);
        reported.chain(also.filter(|it| !self.reported.contains_key(*it))).collect()
    }

    fn component(&self, name: &str) -> Option<Level<'a>> {
        let marked = |it: &Map<String, Value>| {
            it.get(name).and_then(|it| it.get(MARK)).and_then(Value::as_str) == Some("c")
        };
        let below = |it: &'a Map<String, Value>| {
            it.get(name).and_then(Value::as_object).unwrap_or(&NOTHING)
        };
        (marked(self.desired) || marked(self.reported)).then(|| Level {
            desired: below(self.desired),
            desired_times: below(self.desired_times),
            reported: below(self.reported),
            reported_times: below(self.reported_times),
            version: self.version,
        })
    }

    /// Shows each property, and what is known about it.
    fn show(&self, all: &mut Map<String, Value>, about: &mut Map<String, Value>) {
        for name in self.names() {
            if self.component(name).is_some() {
                continue;
            }
            let mut known = Map::new();
            let mut times = Vec::new();
            if let Some(value) = self.reported.get(name) {
                times.push(text(value_at(self.reported_times, name), &["$lastUpdated"]));
                let is_answer = member(value, "ac").is_some() && member(value, "av").is_some();
                let told = match is_answer {
                    true => member(value, "value").cloned().unwrap_or(Value::Null),
                    false => value.clone(),
                };
                all.insert(name.clone(), told);
                if is_answer {
                    for (from, to) in
                        [("av", "ackVersion"), ("ac", "ackCode"), ("ad", "ackDescription")]
                    {
                        if let Some(it) = member(value, from) {
                            known.insert(to.to_owned(), it.clone());
                        }
                    }
                }
            }
            if let Some(value) = self.desired.get(name) {
                let at = value_at(self.desired_times, name);
                times.push(text(at, &["$lastUpdated"]));
                known.insert("desiredValue".to_owned(), value.clone());
                let version = member(at, "$lastUpdatedVersion").cloned();
                let version = version.unwrap_or_else(|| json!(self.version));
                known.insert("desiredVersion".to_owned(), version);
            }
            // RFC 3339 in one zone and one length: the later time is the greater text.
            if let Some(last) = times.into_iter().flatten().max() {
                known.insert("lastUpdateTime".to_owned(), json!(last));
            }
            about.insert(name.clone(), Value::Object(known));
        }
    }
}

static NOTHING: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

fn value_at<'a>(all: &'a Map<String, Value>, name: &str) -> &'a Value {
    all.get(name).unwrap_or(&Value::Null)
}

/// What a patch of a digital twin writes of the twin: desired properties, and nothing else.
///
/// # Errors
/// [`HubFault::InvalidTwinPatch`] with the operation that is none.
pub(super) fn wanted(body: &Value) -> Result<Wanted, Error> {
    let wrong = |at: usize, because: &str| {
        Error::hub(HubFault::InvalidTwinPatch, format!("[{at}]: {because}"))
    };
    let operations = body.as_array().filter(|it| (1..=OPERATIONS_MAX).contains(&it.len()));
    let operations = operations.ok_or_else(|| {
        let sentence = format!("a JSON patch of 1 to {OPERATIONS_MAX} operations is expected");
        Error::hub(HubFault::InvalidTwinPatch, sentence)
    })?;
    let mut desired = Map::new();
    for (at, operation) in operations.iter().enumerate() {
        let value = match text(operation, &["op"]) {
            Some("remove") => Value::Null,
            Some("add" | "replace") => member(operation, "value")
                .cloned()
                .ok_or_else(|| wrong(at, "`value` is required"))?,
            Some(_) | None => return Err(wrong(at, "`op` is add, replace or remove")),
        };
        let path = text(operation, &["path"]).unwrap_or("");
        let steps: Option<Vec<String>> = path
            .strip_prefix('/')
            .map(|it| it.split('/').map(|it| it.replace("~1", "/").replace("~0", "~")).collect());
        let steps = steps.filter(|it| {
            it.iter().all(|step| !step.is_empty() && !step.starts_with('$') && step != MARK)
        });
        let taken = match steps.as_deref() {
            Some([name]) => put(&mut desired, name, whole(value)),
            Some([component, name]) => put_into(&mut desired, component, name, value),
            Some(_) | None => {
                let sentence = "`path` is `/property`, `/component` or `/component/property`";
                return Err(wrong(at, sentence));
            }
        };
        taken.map_err(|()| wrong(at, "an operation above is about the same path"))?;
    }
    Wanted::read(&json!({ "properties": { "desired": desired } }))
}

/// A component as a whole is an object that says so by its `$metadata`.
fn whole(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value
        && members.shift_remove("$metadata").is_some()
    {
        members.insert(MARK.to_owned(), json!("c"));
    }
    value
}

fn put(desired: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), ()> {
    match desired.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(()),
    }
}

fn put_into(
    desired: &mut Map<String, Value>,
    component: &str,
    name: &str,
    value: Value,
) -> Result<(), ()> {
    let below = desired.entry(component).or_insert_with(|| json!({ (MARK): "c" }));
    match below.as_object_mut() {
        Some(members) => put(members, name, value),
        None => Err(()),
    }
}

/// `PATCH /digitaltwins/{device}`: the device hears of it as of any change of its desired properties.
pub(crate) async fn patch(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let wanted = wanted(&input.body)?;
    let device = twins::write(permit, &named, &wanted, input, env).await?;
    Ok(Reply::empty(202)
        .with_header("ETag", format!("\"{}\"", device.twin.etag()))
        .with_header("Location", input.path.clone()))
}

/// A command of a device or of one of its components: `POST .../commands/{command}`. Its answer is the body, and
/// its status a header.
pub(crate) async fn command(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    // Source: IoT Plug and Play conventions, "Commands".
    let name = match input.params.get("component") {
        Some(component) => format!("{component}*{}", input.param("command")),
        None => input.param("command").to_owned(),
    };
    let seconds = |name: &str| input.query(name).map_or(Value::Null, |it| json!(it));
    let wanted = methods::Wanted::read(&json!({
        "methodName": name,
        "payload": input.body,
        "connectTimeoutInSeconds": seconds("connectTimeoutInSeconds"),
        "responseTimeoutInSeconds": seconds("responseTimeoutInSeconds"),
    }))?;
    let answer = methods::call_known(env, &hub, &named, wanted).await?;
    let status = answer.status.to_string();
    Ok(Reply::ok(answer.payload).with_header("x-ms-command-statuscode", status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::twin::Twin;
    use model::Timestamp;

    fn twin(patch: &Value, reported: &Value) -> Value {
        let now = Timestamp::from_seconds(1_000_000);
        let mut twin = Twin::new(now);
        twin.write(&wanted(patch).unwrap(), now).unwrap();
        twin.report(reported, now).unwrap();
        shown(("pump-1", ""), &twin.shown_parts())
    }

    #[test]
    fn a_twin_is_shown_with_components_and_what_is_acknowledged() {
        let patch = json!([
            { "op": "add", "path": "/rate", "value": 7 },
            { "op": "replace", "path": "/valve1/target", "value": 42 },
        ]);
        let reported = json!({
            "serial": "x1",
            "valve1": {
                "__t": "c", "open": true,
                "target": { "value": 42, "ac": 200, "av": 2, "ad": "done" },
            },
        });
        let now = "1970-01-12T13:46:40.000Z";
        let expected = json!({
            "$dtId": "pump-1",
            "serial": "x1",
            "valve1": {
                "open": true,
                "target": 42,
                "$metadata": {
                    "open": { "lastUpdateTime": now },
                    "target": {
                        "ackVersion": 2, "ackCode": 200, "ackDescription": "done",
                        "desiredValue": 42, "desiredVersion": 2, "lastUpdateTime": now,
                    },
                },
            },
            "$metadata": {
                "$model": "",
                "serial": { "lastUpdateTime": now },
                "rate": { "desiredValue": 7, "desiredVersion": 2, "lastUpdateTime": now },
            },
        });
        assert_eq!(twin(&patch, &reported), expected);
    }

    #[test]
    fn a_patch_is_read_or_refused_with_its_place() {
        let check = |body: Value, expected: Option<Value>| {
            let read = wanted(&body).ok();
            let expected = expected
                .map(|it| Wanted::read(&json!({ "properties": { "desired": it } })).unwrap());
            assert_eq!(read, expected, "{body}");
        };
        let one = |op: &str, path: &str, value: Value| json!([{ "op": op, "path": path, "value": value }]);
        check(one("remove", "/a", json!(1)), Some(json!({ "a": null })));
        check(one("add", "/a~1b~0", json!(1)), Some(json!({ "a/b~": 1 })));
        check(
            one("add", "/c", json!({ "$metadata": {}, "x": 1 })),
            Some(json!({ "c": { "x": 1, "__t": "c" } })),
        );
        check(one("add", "/c/x", json!(1)), Some(json!({ "c": { "__t": "c", "x": 1 } })));
        for (op, path) in [
            ("move", "/a"),
            ("add", "a"),
            ("add", ""),
            ("add", "/"),
            ("add", "/a/b/c"),
            ("add", "/$metadata"),
            ("add", "/a/__t"),
            ("test", "/a"),
        ] {
            check(one(op, path, json!(1)), None);
        }
        check(json!([]), None);
        check(json!({}), None);
        check(json!([{ "op": "add", "path": "/a" }]), None);
        let twice = json!([
            { "op": "add", "path": "/a", "value": 1 }, { "op": "add", "path": "/a/b", "value": 1 },
        ]);
        check(twice, None);
    }
}
