//! A deployment, carried out: one resource after the other, each by a call of its own.
//!
//! What depends on a resource that failed is not tried; everything else is. A nested deployment is a call too, and
//! is then carried out here, within the one around it.

use super::document::{Document, Mode, State, Step};
use super::queue::Job;
use super::road::{Refused, Road, detail, scrub};
use crate::env::Env;
use expression::{STEPS_MAX, Steps};
use model::Scope;
use model::json::{set, text};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::pin::Pin;
use template::{Known, Planned, Stop};

/// The api-version of the calls that a deployment makes of itself.
pub(super) const API_VERSION: &str = "2024-11-01";
const FAILED: &str = "at least one resource deployment operation failed; its details, and the deployment's operations, \
                      tell which and why";

/// Carries a deployment out to its end. Boxed: one may be within another.
pub(super) fn carry_out(env: &Env, job: Job) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
    Box::pin(async move {
        let key = job.document.id.to_ascii_lowercase();
        let Job { document, plan, deployer, secrets, address, .. } = job;
        let correlation_id = document.correlation_id.clone();
        let road =
            Road { env, deployer: &deployer, correlation_id: &correlation_id, address: &address };
        let mut run = Run {
            road,
            plan: &plan,
            secrets: &secrets,
            document,
            known: Known::new(),
            steps_left: STEPS_MAX,
            failed: Vec::new(),
        };
        if let Err(error) = run.drive(&key).await {
            // Its group was deleted, or the store fails: whoever asks is told by that.
            let told = format!(
                "the deployment `{}` could not be kept: {}",
                run.document.id,
                error.cause()
            );
            env.metrics.log_fault(env.new_tracking_id(), &told);
        }
        env.deployments.ended(&key);
    })
}

struct Run<'a> {
    road: Road<'a>,
    plan: &'a template::Plan,
    secrets: &'a [String],
    document: Document,
    known: Known,
    /// Of evaluating, for the whole deployment.
    steps_left: usize,
    /// What went wrong, each with its resource.
    failed: Vec<Value>,
}

impl Run<'_> {
    async fn drive(&mut self, key: &str) -> Result<(), model::Error> {
        let env = self.road.env;
        self.document.state = State::Running;
        self.document.save(env).await?;
        let mut done = BTreeSet::new();
        for (at, resource) in self.plan.resources.iter().enumerate() {
            if env.deployments.is_cancelled(key) {
                break;
            }
            if resource.depends_on.is_subset(&done) && self.make(resource).await? {
                done.insert(at);
            }
        }
        let is_cancelled = env.deployments.is_cancelled(key);
        if self.failed.is_empty() && !is_cancelled && self.document.mode == Mode::Complete {
            self.delete_others().await?;
        }
        if is_cancelled {
            self.document.state = State::Canceled;
            let message = "the deployment was cancelled; what it had made by then stays";
            self.document.error = Some(json!({ "code": "DeploymentCanceled", "message": message }));
        } else if !self.failed.is_empty() {
            self.document.fail("DeploymentFailed", FAILED, std::mem::take(&mut self.failed));
        } else {
            self.conclude().await;
        }
        self.document.save(env).await
    }

    /// Makes a resource, and writes down how that went: true where it is there.
    async fn make(&mut self, resource: &Planned) -> Result<bool, model::Error> {
        let at = self.begin("Create", &resource.id).await?;
        let outcome = self.put(resource).await;
        // Whatever was read of it before is old.
        let id = &resource.id;
        self.known.retain(|it, _| !is_about(it, id));
        let is_made = outcome.is_ok();
        if is_made && resource.deploys_to.is_none() {
            self.document.output_resources.push(id.clone());
        }
        self.end(at, outcome).await?;
        Ok(is_made)
    }

    async fn begin(&mut self, doing: &str, resource: &str) -> Result<usize, model::Error> {
        let env = self.road.env;
        let at = self.document.operations.len();
        self.document.operations.push(Step {
            operation_id: format!("{:08X}{:08X}", self.document.operation.as_fields().0, at + 1),
            doing: doing.to_owned(),
            state: State::Running,
            timestamp: env.now(),
            duration_ms: 0,
            tracking_id: String::new(),
            status_code: 202,
            error: None,
            resource: resource.to_owned(),
        });
        self.document.save(env).await?;
        Ok(at)
    }

    async fn end(&mut self, at: usize, outcome: Result<Done, Refused>) -> Result<(), model::Error> {
        let now = self.road.env.now();
        let Some(step) = self.document.operations.get_mut(at) else { return Ok(()) };
        step.duration_ms = now.millis().saturating_sub(step.timestamp.millis());
        step.timestamp = now;
        match outcome {
            Ok(done) => {
                step.state = State::Succeeded;
                step.status_code = done.status;
                step.tracking_id = done.tracking;
            }
            Err(mut refused) => {
                scrub(&mut refused.error, self.secrets);
                step.state = State::Failed;
                step.status_code = refused.status;
                step.tracking_id = refused.tracking.map(|it| it.to_string()).unwrap_or_default();
                self.failed.push(detail(&refused, &step.resource));
                step.error = Some(refused.error);
            }
        }
        // What is said last of a resource is kept with what is said of the next.
        self.document.save(self.road.env).await
    }

    async fn put(&mut self, resource: &Planned) -> Result<Done, Refused> {
        let (plan, steps_left) = (self.plan, &mut self.steps_left);
        let body = self
            .road
            .evaluated(&mut self.known, |known| {
                counted(steps_left, |steps| plan.body(resource, known, steps))
            })
            .await?;
        let answer =
            self.road.call("PUT", &resource.id, &resource.api_version, Some(&body)).await?;
        let done = Done { status: answer.status, tracking: answer.tracking.to_string() };
        match resource.deploys_to {
            Some(_) => self.nested(&resource.id).await.map(|()| done),
            None => Ok(done),
        }
    }

    /// Carries a deployment out that was accepted within this one.
    async fn nested(&mut self, id: &str) -> Result<(), Refused> {
        let env = self.road.env;
        let key = id.to_ascii_lowercase();
        if let Some(job) = env.deployments.take(&key) {
            carry_out(env, job).await;
        }
        let read = crate::control::get::<Document>(env, store::tables::DEPLOYMENTS, &key).await;
        let Ok(Some((inner, _))) = read else {
            return Err(Refused::own(
                "DeploymentNotFound",
                "the nested deployment is not there any more",
            ));
        };
        self.document.output_resources.extend(inner.output_resources.iter().cloned());
        match inner.state {
            State::Succeeded => Ok(()),
            State::Accepted | State::Running | State::Failed | State::Canceled => {
                let unknown =
                    || json!({ "code": "DeploymentFailed", "message": inner.state.as_str() });
                let error = inner.error.clone().unwrap_or_else(unknown);
                Err(Refused { status: 409, error, tracking: None })
            }
        }
    }

    /// Complete mode: deletes what the deploying principal sees in the group and the template does not have.
    async fn delete_others(&mut self) -> Result<(), model::Error> {
        let Ok(own) = Scope::parse(&self.document.id) else { return Ok(()) };
        let Some(group) = own.resource_group_scope() else { return Ok(()) };
        let others = match others(&self.road, &group, &self.document.output_resources).await {
            Ok(it) => it,
            Err(refused) => {
                self.failed.push(detail(&refused, group.as_str()));
                return Ok(());
            }
        };
        for id in others {
            let at = self.begin("Delete", &id).await?;
            let answer = self.road.call("DELETE", &id, API_VERSION, None).await;
            let outcome =
                answer.map(|it| Done { status: it.status, tracking: it.tracking.to_string() });
            self.end(at, outcome).await?;
        }
        Ok(())
    }

    /// Works the outputs out, and with them ends.
    async fn conclude(&mut self) {
        let (plan, steps_left) = (self.plan, &mut self.steps_left);
        let outputs = self
            .road
            .evaluated(&mut self.known, |known| {
                counted(steps_left, |steps| plan.outputs(known, steps))
            })
            .await;
        match outputs {
            Ok(all) => {
                let shown = all.into_iter().map(|it| {
                    let mut shown = json!({ "type": it.kind });
                    if let Some(value) = it.value {
                        set(&mut shown, "value", value);
                    }
                    (it.name, shown)
                });
                let shown: Map<String, Value> = shown.collect();
                self.document.outputs = (!shown.is_empty()).then_some(Value::Object(shown));
                self.document.state = State::Succeeded;
            }
            Err(mut refused) => {
                scrub(&mut refused.error, self.secrets);
                let told = detail(&refused, "outputs");
                self.document.fail("DeploymentOutputEvaluationFailed", FAILED, vec![told]);
            }
        }
    }
}

/// What the call for a resource came to.
struct Done {
    status: u16,
    tracking: String,
}

/// Evaluates with the steps that are left, and leaves those that are then.
fn counted<T>(
    left: &mut usize,
    evaluate: impl FnOnce(&Steps) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let steps = Steps::of(*left);
    let found = evaluate(&steps);
    *left = steps.left();
    found
}

fn is_about(need: &template::Need, id: &str) -> bool {
    match need {
        template::Need::Resource { id: its, .. } | template::Need::List { id: its, .. } => {
            its.eq_ignore_ascii_case(id)
        }
    }
}

/// The resources in a group, as the deploying principal sees them, but for these.
pub(super) async fn others(
    road: &Road<'_>,
    group: &Scope,
    kept: &[String],
) -> Result<Vec<String>, Refused> {
    let listed = road.call("GET", &format!("{group}/resources"), API_VERSION, None).await?;
    let all = listed.body.as_ref().and_then(|it| it.get("value")).and_then(Value::as_array);
    let ids = all.into_iter().flatten().filter_map(|it| text(it, &["id"]));
    Ok(ids
        .filter(|id| !kept.iter().any(|it| it.eq_ignore_ascii_case(id)))
        .map(str::to_owned)
        .collect())
}
