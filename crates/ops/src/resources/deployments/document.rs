//! A deployment as it is kept and shown. It holds neither its template nor the values of secure parameters.

use super::{Asked, KEPT_MAX, providers};
use crate::control;
use crate::env::Env;
use crate::input::Input;
use model::json::set;
use model::{Error, Scope, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::{Change, Expect, tables};
use template::{Plan, Planned};
use uuid::Uuid;

/// The api-version in the addresses that clients follow; they send it back as it stands.
const API_VERSION: &str = "2025-04-01";

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum State {
    Accepted,
    Running,
    Succeeded,
    Failed,
    Canceled,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
        }
    }

    pub(crate) const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Mode {
    Incremental,
    /// What is in the group and not in the template is deleted.
    Complete,
}

impl Mode {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Incremental => "Incremental",
            Self::Complete => "Complete",
        }
    }
}

/// One deployment, under its id in lower case.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(super) location: Option<String>,
    pub(super) mode: Mode,
    pub(super) state: State,
    /// Names this run of it.
    pub(super) operation: Uuid,
    pub(super) correlation_id: String,
    pub(super) started: Timestamp,
    /// Of the last change of its state.
    pub(super) timestamp: Timestamp,
    pub(super) template_hash: String,
    pub(super) parameters: Value,
    pub(super) providers: Value,
    pub(super) dependencies: Value,
    #[serde(default)]
    pub(super) outputs: Option<Value>,
    #[serde(default)]
    pub(super) output_resources: Vec<String>,
    #[serde(default)]
    pub(super) error: Option<Value>,
    #[serde(default)]
    pub(super) operations: Vec<Step>,
}

/// What was done about one resource.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    pub(super) operation_id: String,
    /// `Create`, or `Delete` in complete mode.
    pub(super) doing: String,
    pub(super) state: State,
    pub(super) timestamp: Timestamp,
    pub(super) duration_ms: i64,
    /// Of the call that was made for it.
    pub(super) tracking_id: String,
    pub(super) status_code: u16,
    #[serde(default)]
    pub(super) error: Option<Value>,
    pub(super) resource: String,
}

impl Document {
    pub(super) fn accepted(
        id: &Scope,
        asked: &Asked<'_>,
        plan: &Plan,
        input: &Input,
        env: &Env,
    ) -> Self {
        let now = env.now();
        let digest =
            ring::digest::digest(&ring::digest::SHA256, asked.template.to_string().as_bytes());
        let eight = digest.as_ref().first_chunk::<8>().copied().unwrap_or_default();
        Self {
            id: id.as_str().to_owned(),
            location: asked.location.map(str::to_owned),
            mode: asked.mode,
            state: State::Accepted,
            operation: env.new_uuid(),
            correlation_id: input.correlation_id.clone(),
            started: now,
            timestamp: now,
            template_hash: u64::from_be_bytes(eight).to_string(),
            parameters: plan.parameters.clone(),
            providers: providers(plan),
            dependencies: dependencies(plan),
            outputs: None,
            output_resources: Vec::new(),
            error: None,
            operations: Vec::new(),
        }
    }

    /// As ARM shows it.
    pub(crate) fn show(&self) -> Value {
        let mut shown = json!({
            "id": self.id,
            "name": self.name(),
            "type": template::DEPLOYMENTS,
            "properties": {
                "templateHash": self.template_hash,
                "parameters": self.parameters,
                "mode": self.mode.as_str(),
                "provisioningState": self.state.as_str(),
                "timestamp": self.timestamp.rfc3339(),
                "duration": duration(self.timestamp.millis().saturating_sub(self.started.millis())),
                "correlationId": self.correlation_id,
                "providers": self.providers,
                "dependencies": self.dependencies,
            },
        });
        if let Some(location) = &self.location {
            set(&mut shown, "location", location.as_str());
        }
        if let Some(properties) = shown.get_mut("properties") {
            if let Some(outputs) = &self.outputs {
                set(properties, "outputs", outputs.clone());
            }
            if self.state == State::Succeeded {
                let made: Vec<Value> =
                    self.output_resources.iter().map(|it| json!({ "id": it })).collect();
                set(properties, "outputResources", made);
            }
            if let Some(error) = &self.error {
                set(properties, "error", error.clone());
            }
        }
        shown
    }

    /// As who polls it is told.
    pub(super) fn status(&self) -> Value {
        let mut shown = json!({
            "id": self.status_path(),
            "name": self.operation,
            "status": self.state.as_str(),
            "startTime": self.started.rfc3339(),
        });
        if self.state.is_end() {
            set(&mut shown, "endTime", self.timestamp.rfc3339());
        }
        if let Some(error) = &self.error {
            set(&mut shown, "error", error.clone());
        }
        shown
    }

    fn status_path(&self) -> String {
        format!("{}/operationStatuses/{}", self.id, self.operation)
    }

    pub(super) fn status_address(&self, env: &Env) -> String {
        format!("{}{}?api-version={API_VERSION}", env.settings.origin, self.status_path())
    }

    fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or("")
    }

    /// Keeps it as it is now. Nobody decides by it, so no call is needed.
    ///
    /// # Errors
    /// Where it is not there any more, as its group was deleted; where the store fails.
    pub(super) async fn save(&mut self, env: &Env) -> Result<(), Error> {
        self.timestamp = env.now();
        let key = self.id.to_ascii_lowercase();
        let change = control::put(tables::DEPLOYMENTS, key, Expect::Present, self)?;
        let committed = env.store.commit(&store::ShardId::control(), vec![change]).await;
        committed.map(|_| ()).map_err(|it| control::failed(&it))
    }

    /// Ends it as failed.
    pub(super) fn fail(&mut self, code: &str, message: &str, details: Vec<Value>) {
        self.state = State::Failed;
        let mut error = json!({ "code": code, "message": message });
        if !details.is_empty() {
            set(&mut error, "details", details);
        }
        self.error = Some(error);
    }
}

impl Step {
    pub(super) fn show(&self, of: &Document) -> Value {
        let id = format!("{}/operations/{}", of.id, self.operation_id);
        let mut shown = json!({
            "id": id,
            "operationId": self.operation_id,
            "properties": {
                "provisioningOperation": self.doing,
                "provisioningState": self.state.as_str(),
                "timestamp": self.timestamp.rfc3339(),
                "duration": duration(self.duration_ms),
                "trackingId": self.tracking_id,
                "statusCode": status_word(self.status_code),
                "targetResource": target(&self.resource),
            },
        });
        if let (Some(properties), Some(error)) = (shown.get_mut("properties"), &self.error) {
            set(properties, "statusMessage", json!({ "status": "Failed", "error": error }));
        }
        shown
    }
}

/// The words that ARM has for the numbers of HTTP.
fn status_word(code: u16) -> String {
    let known = [
        (200, "OK"),
        (201, "Created"),
        (202, "Accepted"),
        (204, "NoContent"),
        (400, "BadRequest"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (409, "Conflict"),
        (412, "PreconditionFailed"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
    ];
    known
        .iter()
        .find(|(it, _)| *it == code)
        .map_or_else(|| code.to_string(), |(_, it)| (*it).to_owned())
}

fn target(id: &str) -> Value {
    let scope = Scope::parse(id).ok();
    let kind = scope.as_ref().and_then(Scope::resource_type).unwrap_or_default();
    let name = scope.as_ref().map_or("", Scope::name);
    json!({ "id": id, "resourceType": kind, "resourceName": name })
}

fn dependencies(plan: &Plan) -> Value {
    let shown =
        |it: &Planned| json!({ "id": it.id, "resourceType": it.kind, "resourceName": it.name });
    let of = |it: &Planned| {
        let on: Vec<Value> =
            it.depends_on.iter().filter_map(|at| plan.resources.get(*at)).map(shown).collect();
        let mut all = shown(it);
        set(&mut all, "dependsOn", on);
        all
    };
    plan.resources.iter().filter(|it| !it.depends_on.is_empty()).map(of).collect()
}

/// `PT1.25S`.
fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    format!("PT{}.{:03}S", ms / 1_000, ms % 1_000)
}

/// The deployments right at a scope, by their keys.
pub(super) async fn all(env: &Env, above: &Scope) -> Result<BTreeMap<String, Document>, Error> {
    let prefix = match above.is_root() {
        true => format!("/providers/{}/", template::DEPLOYMENTS),
        false => format!("{above}/providers/{}/", template::DEPLOYMENTS),
    };
    let found =
        control::all::<Document>(env, tables::DEPLOYMENTS, &prefix.to_ascii_lowercase()).await?;
    Ok(found.into_iter().collect())
}

/// Changes that forget the oldest that have ended, where there are more at a scope than are kept with one more.
pub(super) async fn outdated(env: &Env, above: &Scope, own: &str) -> Result<Vec<Change>, Error> {
    let mut ended: Vec<(String, Document)> =
        all(env, above).await?.into_iter().filter(|(key, _)| key != own).collect();
    let surplus = (ended.len() + 1).saturating_sub(KEPT_MAX);
    ended.retain(|(_, it)| it.state.is_end());
    ended.sort_by_key(|(_, it)| it.timestamp);
    let forgotten = ended.into_iter().take(surplus);
    Ok(forgotten
        .map(|(key, _)| control::delete(tables::DEPLOYMENTS, key, Expect::Anything))
        .collect())
}
