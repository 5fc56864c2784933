//! Which deployments run, and who carries them out.

use super::document::{Document, State};
use super::run;
use crate::control;
use crate::env::Env;
use model::{Deployer, Error};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::tables;
use template::Plan;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Most deployments that run or wait at a time, nested ones included.
pub(crate) const ACTIVE_MAX: usize = 64;
/// Most that run at a time, nested ones with those around them; the others wait.
const AT_ONCE: usize = 16;

/// A deployment that was accepted, with what only memory has of it. It may hold secrets: no `Debug`.
pub(super) struct Job {
    pub(super) document: Document,
    pub(super) plan: Plan,
    pub(super) deployer: Deployer,
    /// How many deployments are around it.
    pub(super) depth: usize,
    /// What nothing that is shown may hold.
    pub(super) secrets: Vec<String>,
    /// Whence it was asked for.
    pub(super) address: String,
}

/// The deployments that have not ended, by their keys.
#[derive(Default)]
pub struct Deployments {
    active: Mutex<BTreeMap<String, Active>>,
    bell: Notify,
}

struct Active {
    /// Until somebody takes it.
    job: Option<Job>,
    depth: usize,
    secrets: Vec<String>,
    is_cancelled: bool,
}

impl Deployments {
    fn active(&self) -> MutexGuard<'_, BTreeMap<String, Active>> {
        // No critical section leaves it half changed.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_active(&self, key: &str) -> bool {
        self.active().contains_key(key)
    }

    /// How deep a deployment within this one is, and what it inherits that nothing may show.
    pub(super) fn within(&self, key: &str) -> (usize, Vec<String>) {
        self.active().get(key).map_or((0, Vec::new()), |it| (it.depth + 1, it.secrets.clone()))
    }

    /// # Errors
    /// Where as many are active as may be.
    pub(super) fn check_room(&self) -> Result<(), Error> {
        match self.active().len() < ACTIVE_MAX {
            true => Ok(()),
            false => Err(Error::Unavailable {
                message: format!("{ACTIVE_MAX} deployments run or wait already; try again later"),
            }),
        }
    }

    /// Takes one in. What is within another is carried out by that one.
    pub(super) fn add(&self, key: String, job: Job) {
        let (depth, secrets) = (job.depth, job.secrets.clone());
        self.active().insert(key, Active { job: Some(job), depth, secrets, is_cancelled: false });
        self.bell.notify_one();
    }

    /// The job of a deployment, for whoever carries it out.
    pub(super) fn take(&self, key: &str) -> Option<Job> {
        self.active().get_mut(key)?.job.take()
    }

    fn take_outermost(&self) -> Option<Job> {
        self.active().values_mut().filter(|it| it.depth == 0).find_map(|it| it.job.take())
    }

    /// True where it runs, and now ends behind the resource that it is at.
    pub(super) fn cancel(&self, key: &str) -> bool {
        self.active().get_mut(key).map(|it| it.is_cancelled = true).is_some()
    }

    pub(super) fn is_cancelled(&self, key: &str) -> bool {
        self.active().get(key).is_some_and(|it| it.is_cancelled)
    }

    pub(super) fn ended(&self, key: &str) {
        self.active().remove(key);
    }
}

/// Carries out what is accepted until the future is dropped: what runs then ends as failed at the next start.
pub async fn work(env: Arc<Env>) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() < AT_ONCE
            && let Some(job) = env.deployments.take_outermost()
        {
            let env = Arc::clone(&env);
            tasks.spawn(async move { run::carry_out(&env, job).await });
        }
        tokio::select! {
            () = env.deployments.bell.notified() => {}
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Ends every deployment that a stop interrupted. For the start, before the first call.
///
/// # Errors
/// Where documents cannot be read or written.
pub async fn finish_interrupted(env: &Env) -> Result<usize, Error> {
    let mut ended = 0;
    for (_, mut document) in control::all::<Document>(env, tables::DEPLOYMENTS, "").await? {
        if document.state.is_end() {
            continue;
        }
        document.fail(
            "DeploymentInterrupted",
            "the server was stopped while the deployment ran; what it had made by then stays: deploy it again",
            Vec::new(),
        );
        for step in document.operations.iter_mut().filter(|it| !it.state.is_end()) {
            step.state = State::Failed;
        }
        document.save(env).await?;
        ended += 1;
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::deployments::document::{Mode, all, outdated};
    use crate::resources::deployments::{KEPT_MAX, RUN_S_MAX};
    use crate::test_env::env;
    use model::{ObjectId, Scope, Timestamp};
    use serde_json::{Value, json};
    use store::{Expect, ShardId};
    use template::Surroundings;
    use uuid::Uuid;

    const GROUP: &str = "/subscriptions/s/resourceGroups/rg";

    fn document(name: &str, state: State, at_s: i64) -> Document {
        Document {
            id: format!("{GROUP}/providers/Microsoft.Resources/deployments/{name}"),
            location: None,
            mode: Mode::Incremental,
            state,
            operation: Uuid::nil(),
            correlation_id: String::new(),
            started: Timestamp::from_seconds(at_s),
            timestamp: Timestamp::from_seconds(at_s),
            template_hash: String::new(),
            parameters: json!({}),
            providers: json!([]),
            dependencies: json!([]),
            outputs: None,
            output_resources: Vec::new(),
            error: None,
            operations: Vec::new(),
        }
    }

    async fn keep(env: &Env, document: &Document) {
        let key = document.id.to_ascii_lowercase();
        let change = control::put(tables::DEPLOYMENTS, key, Expect::Anything, document).unwrap();
        env.store.commit(&ShardId::control(), vec![change]).await.unwrap();
    }

    #[tokio::test]
    async fn what_a_stop_interrupted_ends_as_failed_and_says_why() {
        let env = env();
        keep(&env, &document("runs", State::Running, 1)).await;
        keep(&env, &document("waits", State::Accepted, 1)).await;
        keep(&env, &document("ended", State::Succeeded, 1)).await;
        assert_eq!(finish_interrupted(&env).await.unwrap(), 2);
        assert_eq!(finish_interrupted(&env).await.unwrap(), 0);
        let found = all(&env, &Scope::parse(GROUP).unwrap()).await.unwrap();
        let states: Vec<State> = found.values().map(|it| it.state).collect();
        assert_eq!(states, [State::Succeeded, State::Failed, State::Failed]);
        let told = found.values().next_back().unwrap().show();
        assert_eq!(told["properties"]["error"]["code"], "DeploymentInterrupted");
    }

    #[tokio::test]
    async fn the_oldest_that_have_ended_make_room_for_one_more() {
        let env = env();
        let above = Scope::parse(GROUP).unwrap();
        let most = i64::try_from(KEPT_MAX).unwrap();
        for at in 1..most {
            keep(&env, &document(&format!("d{at}"), State::Succeeded, at)).await;
        }
        assert!(outdated(&env, &above, "new").await.unwrap().is_empty());
        keep(&env, &document("runs", State::Running, 0)).await;
        let changes = outdated(&env, &above, "new").await.unwrap();
        let keys: Vec<&str> = changes.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(keys.len(), 1);
        // The one that runs is older, and stays; so does the namesake that is written anew.
        assert!(keys[0].ends_with("/d1"), "{keys:?}");
        let own = format!("{}/providers/microsoft.resources/deployments/d1", above.key());
        assert!(outdated(&env, &above, &own).await.unwrap().is_empty());
    }

    fn job(name: &str, depth: usize, secret: &str) -> (String, Job) {
        let document = document(name, State::Accepted, 1);
        let around = Surroundings {
            scope: Scope::parse(GROUP).unwrap(),
            resource_group: None,
            subscription: None,
            tenant: Value::Null,
            environment: Value::Null,
            deployment: Value::Null,
            now: Timestamp::from_seconds(1),
        };
        let template = json!({ "contentVersion": "1.0.0.0", "resources": [] });
        let plan = Plan::new(&template, &Value::Null, around, &Uuid::nil).unwrap();
        let deployer = Deployer {
            principal: ObjectId(Uuid::nil()),
            app_id: None,
            token_issued: None,
            deployment: document.id.clone(),
            until: Timestamp::from_seconds(RUN_S_MAX),
        };
        let key = document.id.to_ascii_lowercase();
        let secrets = vec![secret.to_owned()];
        (key, Job { document, plan, deployer, depth, secrets, address: String::new() })
    }

    #[test]
    fn who_is_within_another_waits_for_it_and_inherits_its_secrets() {
        let deployments = Deployments::default();
        let (outer, first) = job("outer", 0, "a");
        deployments.add(outer.clone(), first);
        assert_eq!(deployments.within(&outer), (1, vec!["a".to_owned()]));
        let (inner, second) = job("inner", 1, "b");
        deployments.add(inner.clone(), second);
        assert!(deployments.take_outermost().is_some_and(|it| it.depth == 0));
        assert!(deployments.take_outermost().is_none(), "what is within is taken by its outer one");
        assert!(deployments.take(&inner).is_some() && deployments.take(&inner).is_none());
        assert!(deployments.is_active(&inner) && deployments.cancel(&inner));
        assert!(deployments.is_cancelled(&inner) && !deployments.is_cancelled(&outer));
        deployments.ended(&inner);
        assert!(!deployments.is_active(&inner) && !deployments.cancel(&inner));
    }

    #[test]
    fn as_many_are_taken_as_there_is_room_for() {
        let deployments = Deployments::default();
        for at in 0..ACTIVE_MAX {
            deployments.check_room().unwrap();
            let (key, job) = job(&format!("d{at}"), 0, "");
            deployments.add(key, job);
        }
        assert!(matches!(deployments.check_room(), Err(Error::Unavailable { .. })));
    }
}
