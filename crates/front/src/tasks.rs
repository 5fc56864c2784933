//! Tasks that somebody owns: they end when they are done, or when their owner goes.

use hyper::rt::Executor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// A set of running tasks. Dropping it aborts those that still run; a panic in one ends only that one.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Runs a task to its end even where nobody waits for the answer any more. `None` where it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, answer) = oneshot::channel();
        self.spawn(async move {
            // Whoever asked may be gone; the work was done all the same.
            let _ = done.send(task.await);
        });
        answer.await.ok()
    }

    /// Waits until every task that runs now has ended.
    pub(crate) async fn finish(&self) {
        let mut running = std::mem::take(&mut *self.lock());
        while running.join_next().await.is_some() {}
    }

    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where HTTP/2 runs the streams of one connection: in tasks that the connection owns.
///
/// Streams hold this, and the connection's owner holds the tasks: so the two do not keep each other alive.
#[derive(Clone, Debug)]
pub(crate) struct Streams(Weak<Tasks>);

impl Streams {
    pub(crate) fn of(tasks: &Arc<Tasks>) -> Self {
        Self(Arc::downgrade(tasks))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        if let Some(tasks) = self.0.upgrade() {
            tasks.spawn(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::{sleep, timeout};

    #[tokio::test(start_paused = true)]
    async fn a_task_runs_to_its_end_though_nobody_waits() {
        let tasks = Tasks::default();
        let (done, ended) = oneshot::channel();
        let work = tasks.run(async move {
            sleep(Duration::from_secs(2)).await;
            done.send(7).unwrap();
        });
        assert!(timeout(Duration::from_secs(1), work).await.is_err());
        assert_eq!(ended.await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_ends_only_its_own_task() {
        let tasks = Tasks::default();
        assert_eq!(tasks.run(async { panic!("as it happens") }).await, None::<()>);
        assert_eq!(tasks.run(async { 7 }).await, Some(7));
        tasks.finish().await;
    }

    #[tokio::test]
    async fn tasks_end_with_their_owner() {
        let tasks = Arc::new(Tasks::default());
        let streams = Streams::of(&tasks);
        let (held, ended) = oneshot::channel::<()>();
        let own = streams.clone();
        streams.execute(async move {
            let _held = (held, own);
            std::future::pending::<()>().await;
        });
        drop(tasks);
        assert!(ended.await.is_err());
        streams.execute(async { unreachable!("nobody owns this") });
    }
}
