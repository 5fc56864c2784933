//! What the device sends: into the hub's log, each message with where the hub's routes take it.

use super::{Ended, Session, Weighed, ended};
use crate::devices::telemetry::{self, Sent};
use crate::env::Env;
use bytes::Bytes;
use gate::Facts;
use model::Op;
use model::operations::operation;

impl Session {
    /// Keeps messages of the device in the hub's log. They are not to be acknowledged before [`Sent::synced`].
    ///
    /// # Errors
    /// Why the session is over. Nothing was kept then.
    pub async fn send(&mut self, env: &Env, records: Vec<Weighed>) -> Result<Sent, Ended> {
        let began_ns = (env.clock.monotonic_ns)();
        let facts = self.current(env).await?;
        self.keep_in_log(env, &facts, records, began_ns).await
    }

    /// Keeps the last message of a device that did not mean to go, though another session may have its place
    /// by now: it is proven once more.
    ///
    /// # Errors
    /// Why it may not send. Nothing was kept then.
    pub async fn send_will(&mut self, env: &Env, record: Bytes) -> Result<Sent, Ended> {
        let began_ns = (env.clock.monotonic_ns)();
        let facts = env.facts.load();
        self.head.id = env.new_tracking_id();
        self.head.time = env.now();
        self.prove(env, &facts).await.map_err(ended)?;
        let record = self.weigh(env, record)?;
        self.keep_in_log(env, &facts, vec![record], began_ns).await
    }

    async fn keep_in_log(
        &mut self,
        env: &Env,
        facts: &Facts,
        records: Vec<Weighed>,
        began_ns: u64,
    ) -> Result<Sent, Ended> {
        self.count_messages(env, records.len());
        let permit = self.permit(env, facts, operation(Op::SendTelemetry)).await?;
        let log = match &self.log {
            Some(log) => log,
            None => {
                let log = Box::pin(env.logs.of(&self.hub, env)).await.map_err(Ended::Failed)?;
                self.log.insert(log)
            }
        };
        let records: Vec<Bytes> = records.into_iter().map(Weighed::record).collect();
        let count = records.len() as u64;
        let to = (&*self.hub, self.routing.as_deref());
        let sent =
            telemetry::send(&permit, env, to, log, &self.named, self.head.time, records).await;
        let took_ns = (env.clock.monotonic_ns)().saturating_sub(began_ns);
        let status = if sent.is_ok() { 204 } else { 500 };
        env.metrics.count_calls(permit.operation(), status, count, took_ns);
        sent.map_err(Ended::Failed)
    }
}
