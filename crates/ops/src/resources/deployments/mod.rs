//! Deployments: templates, and what becomes of each resource in them.
//!
//! A deployment is a document. `PUT` settles the template's plan, keeps the document and hands the plan to whoever
//! carries deployments out (`queue.rs`, `run.rs`), who makes a call of its own for each resource as the deploying
//! principal (`road.rs`). Templates and the values of parameters are in memory only, so a deployment that a stop
//! interrupts ends as failed. `validate` and `whatIf` ask the gates the same calls and make none (`preview.rs`,
//! `what_if.rs`).

mod document;
mod preview;
mod queue;
mod road;
mod run;
mod what_if;

pub(crate) use document::Document;
pub(crate) use preview::validate;
pub use queue::{Deployments, finish_interrupted, work};
pub(crate) use what_if::what_if;

use super::{check_etag, location, no_group, no_resource};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use document::Mode;
use gate::{Facts, Permit};
use model::json::{member, set, text};
use model::{Deployer, Error, Scope, Timestamp};
use queue::Job;
use serde_json::{Value, json};
use store::{Expect, tables};
use template::{Plan, Surroundings};

/// Longest name of a deployment. Source: Azure resource naming rules, Microsoft.Resources.
const NAME_CHARACTERS_MAX: usize = 64;
/// Most deployments that are kept at one scope; the oldest that have ended make room.
pub(crate) const KEPT_MAX: usize = 200;
/// How deep deployments may be nested.
pub(crate) const NESTING_MAX: usize = 5;
/// How long a deployment may take: an hour.
pub(crate) const RUN_S_MAX: i64 = 60 * 60;

/// Where a deployment is: what it deploys to, and its own name.
pub(super) struct Place {
    /// In the casing that it was made with.
    above: Scope,
    name: String,
}

impl Place {
    /// # Errors
    /// Where nothing is deployed to what the path names, or it is not there.
    fn of(input: &Input, facts: &Facts) -> Result<Self, Error> {
        let all: Vec<&str> = input.scope.segments().collect();
        // Of a group's deployments, operations have a second address that names no provider.
        let group = if input.param("group").is_empty() { 0 } else { 4 };
        let at = all.iter().rposition(|it| it.eq_ignore_ascii_case("providers")).unwrap_or(group);
        let above = format!("/{}", all.get(..at).unwrap_or(&[]).join("/"));
        let above = Scope::parse(&above).map_err(|it| Error::invalid("path", it.to_string()))?;
        let above = match facts.containers.get(&above.key()) {
            Some(it) => it.clone(),
            None if above.is_root() => above,
            None if gate::facts::management_group(&above)
                .is_some_and(|it| facts.management.get(it).is_some()) =>
            {
                above
            }
            None if above.resource_group().is_some() && above.depth() == 4 => {
                return Err(no_group(above.name()));
            }
            None => return Err(no_resource(&above)),
        };
        Ok(Self { above, name: input.param("deployment").to_owned() })
    }

    fn id(&self) -> Scope {
        self.above.join(&format!("providers/{}/{}", template::DEPLOYMENTS, self.name))
    }

    async fn stored(&self, env: &Env) -> Result<Option<(Document, u64)>, Error> {
        control::get(env, tables::DEPLOYMENTS, &self.id().key()).await
    }

    /// # Errors
    /// `DeploymentNotFound`.
    async fn found(&self, env: &Env) -> Result<(Document, u64), Error> {
        self.stored(env).await?.ok_or_else(|| Error::NotFound {
            code: "DeploymentNotFound",
            message: format!("deployment `{}` could not be found", self.name.escape_debug()),
        })
    }
}

/// What a body asks for.
pub(super) struct Asked<'a> {
    pub(super) mode: Mode,
    pub(super) template: &'a Value,
    pub(super) parameters: &'a Value,
    pub(super) location: Option<&'static str>,
}

impl<'a> Asked<'a> {
    fn read(body: &'a Value, above: &Scope) -> Result<Self, Error> {
        const NOTHING: &Value = &Value::Null;
        let properties = member(body, "properties").unwrap_or(NOTHING);
        let of = |name: &str| member(properties, name).filter(|it| !it.is_null());
        if of("templateLink").is_some() || of("parametersLink").is_some() {
            return Err(invalid(
                "a linked template or parameter file cannot be fetched: nothing is fetched from outside; send it as \
                 `template` and `parameters`"
                    .into(),
            ));
        }
        let template = of("template").ok_or_else(|| {
            invalid("`properties.template` is missing: the template itself".into())
        })?;
        let mode = match of("mode").and_then(Value::as_str) {
            None => Mode::Incremental,
            Some(it) if it.eq_ignore_ascii_case("Incremental") => Mode::Incremental,
            Some(it) if it.eq_ignore_ascii_case("Complete") => Mode::Complete,
            Some(_) => {
                return Err(Error::invalid("properties.mode", "`Incremental` or `Complete`"));
            }
        };
        let is_of_group = above.resource_group().is_some();
        if mode == Mode::Complete && !is_of_group {
            return Err(Error::invalid(
                "properties.mode",
                "`Complete` is for resource groups alone",
            ));
        }
        let location = match is_of_group {
            true => None,
            false => Some(location(body, "LocationNotAvailableForDeployment")?),
        };
        Ok(Self { mode, template, parameters: of("parameters").unwrap_or(NOTHING), location })
    }

    /// The plan of it.
    ///
    /// # Errors
    /// `InvalidTemplate`, with what is wrong.
    fn plan(&self, place: &Place, facts: &Facts, env: &Env) -> Result<Plan, Error> {
        let shown = |scope: Option<Scope>| {
            let scope = scope?;
            let found = facts.container_document(&scope).map(|it| (**it).clone());
            Some((scope, found.unwrap_or_else(|| json!({}))))
        };
        let group = shown(place.above.resource_group_scope()).map(|(scope, mut it)| {
            set(&mut it, "id", json!(scope));
            set(&mut it, "name", scope.name());
            it
        });
        let tenant = env.settings.tenant.to_string();
        let subscription = shown(place.above.subscription_scope()).map(|(scope, mut it)| {
            set(&mut it, "id", json!(scope));
            set(&mut it, "subscriptionId", scope.name());
            set(&mut it, "tenantId", tenant.as_str());
            it
        });
        let origin = &env.settings.origin;
        let around = Surroundings {
            scope: place.above.clone(),
            resource_group: group,
            subscription,
            tenant: json!({ "tenantId": tenant, "displayName": tenant }),
            environment: json!({
                "name": "Hubward",
                "resourceManager": origin,
                "authentication": {
                    "loginEndpoint": origin,
                    "audiences": [origin, "https://management.azure.com/"],
                    "tenant": tenant,
                    "identityProvider": "AAD",
                },
                "suffixes": {},
            }),
            deployment: json!({
                "name": place.name,
                "location": self.location,
                "properties": { "mode": self.mode.as_str(), "provisioningState": "Running" },
            }),
            now: env.now(),
        };
        Plan::new(self.template, self.parameters, around, &|| env.new_uuid())
            .map_err(|it| invalid(it.0))
    }
}

/// A template that cannot be deployed.
pub(super) fn invalid(message: String) -> Error {
    let message = format!("deployment template validation failed: {message}");
    Error::Invalid { code: "InvalidTemplate", at: None, message }
}

/// For whom the calls of a deployment are.
fn deployer(permit: &Permit, place: &Place, now: Timestamp) -> Result<Deployer, Error> {
    let caller = permit.caller();
    let principal = caller
        .object_id
        .ok_or_else(|| Error::invalid("caller", "only a principal of the directory deploys"))?;
    Ok(Deployer {
        principal,
        app_id: caller.app_id,
        token_issued: caller.token_issued,
        deployment: place.id().as_str().to_owned(),
        until: now.plus_seconds(RUN_S_MAX),
    })
}

fn check_name(name: &str) -> Result<(), Error> {
    let is_allowed = |it: char| it.is_alphanumeric() || "-_.()".contains(it);
    match name.chars().count() {
        1..=NAME_CHARACTERS_MAX if name.chars().all(is_allowed) => Ok(()),
        _ => Err(Error::Invalid {
            code: "InvalidDeploymentName",
            at: Some("name".into()),
            message: format!(
                "a deployment's name has 1 to {NAME_CHARACTERS_MAX} letters, digits and `- _ . ( )`"
            ),
        }),
    }
}

/// `PUT .../deployments/{deployment}`: accepted once its template and parameters are right; then it runs.
///
/// # Errors
/// `InvalidTemplate`; `DeploymentActive` where one of that name runs; `DeploymentsTooDeep`; `Unavailable` where too
/// many wait already.
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let place = Place::of(input, &facts)?;
    check_name(&place.name)?;
    let asked = Asked::read(&input.body, &place.above)?;
    let stored = place.stored(env).await?;
    check_etag(input, stored.is_some().then_some("*"))?;
    let key = place.id().key();
    if env.deployments.is_active(&key) {
        return Err(Error::Conflict {
            code: "DeploymentActive",
            message: format!(
                "the deployment `{}` is still running; wait for its end, cancel it, or choose another name",
                place.name
            ),
        });
    }
    let outer = input.channel.deployment.as_deref();
    let (depth, mut secrets) = match outer {
        Some(id) => env.deployments.within(&id.to_ascii_lowercase()),
        None => (0, Vec::new()),
    };
    if depth >= NESTING_MAX {
        return Err(Error::Invalid {
            code: "DeploymentsTooDeep",
            at: None,
            message: format!("deployments are nested at most {NESTING_MAX} deep"),
        });
    }
    let plan = asked.plan(&place, &facts, env)?;
    secrets.extend_from_slice(&plan.secrets);
    env.deployments.check_room()?;
    let document = Document::accepted(&place.id(), &asked, &plan, input, env);
    let expect = stored.map_or(Expect::Absent, |(_, revision)| Expect::Revision(revision));
    let mut changes = vec![control::put(tables::DEPLOYMENTS, key.clone(), expect, &document)?];
    changes.extend(document::outdated(env, &place.above, &key).await?);
    let deployer = deployer(permit, &place, env.now())?;
    control::commit(permit, env, changes).await?;
    let reply = Reply::created(document.show())
        .with_header("Azure-AsyncOperation", document.status_address(env))
        .with_header("Retry-After", "1");
    let address = input.channel.address.clone();
    env.deployments.add(key, Job { document, plan, deployer, depth, secrets, address });
    Ok(reply)
}

/// # Errors
/// `DeploymentNotFound`.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (document, _) = Place::of(input, &env.facts.load())?.found(env).await?;
    Ok(Reply::ok(document.show()))
}

/// `HEAD`: 204 where it is there, and 404.
///
/// # Errors
/// `DeploymentNotFound`.
pub(crate) async fn has(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    Place::of(input, &env.facts.load())?.found(env).await?;
    Ok(Reply::empty(204))
}

/// Newest first. `$filter=provisioningState eq 'Failed'` and `$top` are known.
///
/// # Errors
/// Where the scope is not there, or the filter asks for anything else.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let above = Place::of(input, &env.facts.load())?.above;
    let mut all: Vec<_> = document::all(env, &above).await?.into_iter().collect();
    all.sort_by_key(|(_, it)| std::cmp::Reverse(it.timestamp));
    let wanted = match input.query("$filter").map(str::trim).filter(|it| !it.is_empty()) {
        None => None,
        Some(filter) => {
            let state =
                filter.strip_prefix("provisioningState eq '").and_then(|it| it.strip_suffix('\''));
            Some(state.ok_or_else(|| {
                Error::invalid("$filter", "expected `provisioningState eq '...'`")
            })?)
        }
    };
    let fits =
        |it: &Document| wanted.is_none_or(|state| state.eq_ignore_ascii_case(it.state.as_str()));
    let top = input.query("$top").and_then(|it| it.parse().ok()).unwrap_or(usize::MAX);
    Ok(Reply::list(
        all.iter().filter(|(_, it)| fits(it)).take(top).map(|(_, it)| it.show()).collect(),
    ))
}

/// Forgets a deployment. What it made stays.
///
/// # Errors
/// `DeploymentActive` where it runs.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let place = Place::of(input, &env.facts.load())?;
    let Some((document, revision)) = place.stored(env).await? else { return Ok(Reply::empty(204)) };
    if !document.state.is_end() {
        return Err(Error::Conflict {
            code: "DeploymentActive",
            message: "a deployment that runs cannot be deleted: cancel it first".into(),
        });
    }
    let key = place.id().key();
    let change = control::delete(tables::DEPLOYMENTS, key, Expect::Revision(revision));
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::empty(204))
}

/// `POST .../cancel`: it ends behind the resource that it is at.
///
/// # Errors
/// `DeploymentCannotBeCancelled` where it has ended.
pub(crate) async fn cancel(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let place = Place::of(input, &env.facts.load())?;
    let (document, _) = place.found(env).await?;
    match env.deployments.cancel(&place.id().key()) {
        true => Ok(Reply::empty(204)),
        false => Err(Error::Conflict {
            code: "DeploymentCannotBeCancelled",
            message: format!("the deployment has ended: {}", document.state.as_str()),
        }),
    }
}

/// # Errors
/// `DeploymentNotFound`.
pub(crate) async fn list_operations(
    _permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let (document, _) = Place::of(input, &env.facts.load())?.found(env).await?;
    Ok(Reply::list(document.operations.iter().map(|it| it.show(&document)).collect()))
}

/// # Errors
/// `DeploymentNotFound` and `DeploymentOperationNotFound`.
pub(crate) async fn get_operation(
    _permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let (document, _) = Place::of(input, &env.facts.load())?.found(env).await?;
    let id = input.param("operation");
    let found = document.operations.iter().find(|it| it.operation_id.eq_ignore_ascii_case(id));
    found.map(|it| Reply::ok(it.show(&document))).ok_or_else(|| Error::NotFound {
        code: "DeploymentOperationNotFound",
        message: format!("the deployment has no operation `{}`", id.escape_debug()),
    })
}

/// `GET .../operationStatuses/{operation}`: always 200, with the state in words.
///
/// # Errors
/// `DeploymentNotFound`; the same where the id is of another run of it.
pub(crate) async fn status(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let place = Place::of(input, &env.facts.load())?;
    let (document, _) = place.found(env).await?;
    if !document.operation.to_string().eq_ignore_ascii_case(input.param("operation")) {
        return Err(no_resource(&input.scope));
    }
    let reply = Reply::ok(document.status());
    Ok(match document.state.is_end() {
        true => reply,
        false => reply
            .with_header("Azure-AsyncOperation", document.status_address(env))
            .with_header("Retry-After", "1"),
    })
}

/// The namespaces and types of a plan's resources, as deployments show them.
fn providers(plan: &Plan) -> Value {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for it in &plan.resources {
        let Some((namespace, kind)) = it.kind.split_once('/') else { continue };
        let at = all.iter().position(|(it, _)| it.eq_ignore_ascii_case(namespace));
        let types = match at.and_then(|at| all.get_mut(at)) {
            Some((_, types)) => types,
            None => {
                all.push((namespace.to_owned(), Vec::new()));
                let Some((_, types)) = all.last_mut() else { continue };
                types
            }
        };
        if !types.iter().any(|it| it.eq_ignore_ascii_case(kind)) {
            types.push(kind.to_owned());
        }
    }
    let shown = all.into_iter().map(|(namespace, types)| {
        let types: Vec<Value> =
            types.iter().map(|it| json!({ "resourceType": it, "locations": [null] })).collect();
        json!({ "namespace": namespace, "resourceTypes": types })
    });
    shown.collect()
}

/// The sentence of an error's body.
pub(super) fn sentence(error: &Value) -> &str {
    text(error, &["message"]).unwrap_or("")
}
