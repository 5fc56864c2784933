//! The routing of a hub as it is followed, made of its document once for each version of that.

use super::body::EVENTS_NAME;
use super::numbers::Numbers;
use crate::control;
use crate::devices::hubs::HubDocument;
use crate::devices::message::routed::{EVENTS, Source};
use crate::devices::query::message::{Asks, MessageCondition, TwinPath};
use crate::env::Env;
use gate::facts::Hub;
use model::Error;
use model::json::{at, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::tables;

/// Where the messages of a hub go.
#[derive(Debug)]
pub struct Routing {
    pub(super) hub: String,
    /// In the order of [`Source::ALL`].
    sources: [Routes; Source::ALL.len()],
    /// Whether the built-in endpoint gets what no route takes.
    pub(super) has_fallback: bool,
    pub(super) enrichments: Vec<Added>,
}

/// The routes of one source.
#[derive(Debug, Default)]
pub(super) struct Routes {
    pub(super) all: Vec<Compiled>,
    /// What they need of a message, all together.
    pub(super) asks: Asks,
}

#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) condition: MessageCondition,
    pub(super) to: u32,
}

/// A property that the hub adds.
#[derive(Debug)]
pub(super) struct Added {
    pub(super) name: String,
    /// As it was written.
    pub(super) text: String,
    pub(super) value: AddedValue,
    /// The numbers of the endpoints whose messages get it.
    pub(super) to: Vec<u32>,
}

#[derive(Debug)]
pub(super) enum AddedValue {
    Text,
    HubName,
    Twin(TwinPath),
}

impl Routing {
    /// Compiles what a hub says. What cannot be read takes nothing: only a document of a former version has that.
    pub(crate) fn of(resource: &Value, numbers: &Numbers) -> Self {
        let routing = at(resource, &["properties", "routing"]).unwrap_or(&Value::Null);
        let number = |name: &str| match name.eq_ignore_ascii_case(EVENTS_NAME) {
            true => Some(EVENTS),
            false => numbers.named(resource, name),
        };
        let numbers_of =
            |it: &Value| -> Vec<u32> { texts(it, "endpointNames").filter_map(number).collect() };
        let mut sources: [Routes; Source::ALL.len()] = Default::default();
        for route in list(routing, "routes").filter(|it| is_on(it)) {
            let source = text(route, &["source"]);
            let source =
                Source::ALL.iter().zip(&mut sources).find(|(it, _)| Some(it.as_str()) == source);
            let condition = MessageCondition::parse(text(route, &["condition"]).unwrap_or("true"));
            let to = numbers_of(route).first().copied();
            if let (Some((_, routes)), Ok(condition), Some(to)) = (source, condition, to) {
                routes.asks.add(condition.asks());
                routes.all.push(Compiled { condition, to });
            }
        }
        let added = |it: &Value| {
            let text = text(it, &["value"])?.to_owned();
            let value = match TwinPath::parse(&text) {
                Some(path) => AddedValue::Twin(path),
                None if text.eq_ignore_ascii_case("$iothubname") => AddedValue::HubName,
                None => AddedValue::Text,
            };
            let name = model::json::text(it, &["key"])?.to_owned();
            Some(Added { name, text, value, to: numbers_of(it) })
        };
        Self {
            hub: text(resource, &["name"]).unwrap_or_default().to_owned(),
            sources,
            has_fallback: has_fallback(routing),
            enrichments: list(routing, "enrichments").filter_map(added).collect(),
        }
    }

    pub(super) fn routes(&self, source: Source) -> &Routes {
        // The numbers of sources are their places.
        static NONE: Routes = Routes { all: Vec::new(), asks: Asks::NOTHING };
        self.sources.get(source as usize).unwrap_or(&NONE)
    }

    /// True where some route takes from a source.
    pub(crate) fn takes(&self, source: Source) -> bool {
        !self.routes(source).all.is_empty()
    }

    /// True where the twin of a sender is looked at.
    pub(crate) fn needs_twin(&self, source: Source) -> bool {
        let is_of_twin = |it: &Added| matches!(it.value, AddedValue::Twin(_));
        self.routes(source).asks.twin() || self.enrichments.iter().any(is_of_twin)
    }
}

/// True where a hub says anything of where its messages go: without that, all of them go to the built-in endpoint as
/// they are.
pub(crate) fn is_any(resource: &Value) -> bool {
    let routing = at(resource, &["properties", "routing"]).unwrap_or(&Value::Null);
    let has = |name: &str| list(routing, name).next().is_some();
    list(routing, "routes").any(is_on) || has("enrichments") || !has_fallback(routing)
}

fn has_fallback(routing: &Value) -> bool {
    routing.get("fallbackRoute").is_none_or(is_on)
}

fn is_on(route: &Value) -> bool {
    at(route, &["isEnabled"]).and_then(Value::as_bool).unwrap_or(true)
}

fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    at(of, &[name]).and_then(Value::as_array).into_iter().flatten()
}

fn texts<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    list(of, name).filter_map(Value::as_str)
}

/// The routings of all hubs that have one, by the hub's uid. Made when the first message comes.
#[derive(Debug, Default)]
pub struct Routings(Mutex<BTreeMap<String, (u64, Arc<Routing>)>>);

impl Routings {
    /// Where the messages of a hub go; none where it says nothing of it.
    ///
    /// # Errors
    /// [`Error::Internal`] where the hub's document cannot be read.
    pub(crate) async fn of(&self, hub: &Hub, env: &Env) -> Result<Option<Arc<Routing>>, Error> {
        let Some(version) = hub.routing else { return Ok(None) };
        if let Some((its, routing)) = self.lock().get(&hub.uid)
            && *its >= version
        {
            return Ok(Some(Arc::clone(routing)));
        }
        let found = control::get::<HubDocument>(env, tables::RESOURCES, &hub.scope.key()).await?;
        let Some((document, _)) = found.filter(|(it, _)| it.uid == hub.uid) else {
            return Err(Error::UnknownHost { host: hub.scope.name().to_owned() });
        };
        let routing = Arc::new(Routing::of(&document.resource, &document.numbers));
        let facts = env.facts.load();
        let mut all = self.lock();
        all.retain(|uid, _| facts.hubs.values().any(|it| it.uid == *uid));
        all.insert(document.uid, (document.version, Arc::clone(&routing)));
        Ok(Some(routing))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (u64, Arc<Routing>)>> {
        // No critical section leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
