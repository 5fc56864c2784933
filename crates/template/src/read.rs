//! The resources of a template, each copy and child for itself.

use crate::evaluate::{Called, CalledBy, Evaluator};
use crate::nested::{self, is_deployment};
use crate::plan::Planned;
use crate::{RESOURCES_MAX, Stop, ids};
use model::json::{member, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What was read so far.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) all: Vec<Planned>,
    pub(crate) called: CalledBy,
}

/// The resource around a child.
pub(crate) struct Parent<'a> {
    kind: &'a str,
    name: &'a str,
}

impl Reading {
    /// Reads a resource with all its copies and children.
    pub(crate) fn read(
        &mut self,
        at: &Evaluator<'_>,
        resource: &Value,
        symbol: Option<&str>,
        parent: Option<&Parent<'_>>,
    ) -> Result<(), Stop> {
        let own = resource.as_object().into_iter().flatten();
        let own = own.filter(|(name, _)| !name.eq_ignore_ascii_case("resources"));
        let written =
            Arc::new(Value::Object(own.map(|(name, it)| (name.clone(), it.clone())).collect()));
        let Some(copy) = member(resource, "copy") else {
            return self.read_one(
                at,
                (resource, &written),
                (symbol.map(str::to_owned), None),
                parent,
            );
        };
        let Some(name) = text(copy, &["name"]) else {
            return Stop::fault("a `copy` has a `name` and a `count`");
        };
        for index in 0..at.count(copy)? {
            let own = symbol.map(|it| format!("{it}[{index}]"));
            let of_loop = symbol.unwrap_or(name).to_owned();
            self.read_one(
                &at.within(name, index),
                (resource, &written),
                (own, Some(of_loop)),
                parent,
            )?;
        }
        Ok(())
    }

    fn read_one(
        &mut self,
        at: &Evaluator<'_>,
        (resource, written): (&Value, &Arc<Value>),
        (symbol, of_loop): (Option<String>, Option<String>),
        parent: Option<&Parent<'_>>,
    ) -> Result<(), Stop> {
        let kind = at.required_text(resource, "type")?;
        let kind = kind.trim_end_matches('/');
        let (kind, name) = match parent {
            Some(it) => {
                let name = at.required_text(resource, "name")?;
                let is_whole = ids::segments(kind).first().is_some_and(|it| it.contains('.'));
                let kind = if is_whole { kind.to_owned() } else { format!("{}/{kind}", it.kind) };
                (kind, format!("{}/{name}", it.name))
            }
            None => (kind.to_owned(), at.required_text(resource, "name")?),
        };
        let api_version = at.required_text(resource, "apiVersion")?;
        let scope = &at.context.around.scope;
        let deploys_to = match is_deployment(&kind) {
            true => Some(nested::place(at, resource, scope)?),
            false => None,
        };
        let above = match member(resource, "scope") {
            Some(_) => {
                ids::scope(scope, &at.required_text(resource, "scope")?).map_err(Stop::Fault)?
            }
            None => deploys_to.clone().unwrap_or_else(|| scope.clone()),
        };
        let id = ids::id(&above, &kind, &name).map_err(Stop::Fault)?;
        self.called.add(Called {
            symbol: symbol.clone(),
            name: name.clone(),
            id: id.clone(),
            api_version: api_version.clone(),
        });
        let is_existing = member(resource, "existing").and_then(Value::as_bool) == Some(true);
        if is_existing || !nested::condition(at, resource)? {
            return Ok(());
        }
        if self.all.len() >= RESOURCES_MAX {
            return Stop::fault(format!(
                "the template has more than {RESOURCES_MAX} resources, each copy counted"
            ));
        }
        let own = Parent { kind: &kind, name: &name };
        let children = member(resource, "resources").and_then(Value::as_array);
        self.all.push(Planned {
            id,
            name: name.clone(),
            kind: kind.clone(),
            api_version,
            deploys_to,
            depends_on: BTreeSet::new(),
            symbol,
            of_loop,
            written: Arc::clone(written),
            copies: at.copies.clone(),
        });
        for it in children.into_iter().flatten() {
            self.read(at, it, None, Some(&own))?;
        }
        Ok(())
    }
}
