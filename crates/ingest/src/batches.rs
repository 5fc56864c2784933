//! A run: items in batches, those of a batch at once, each tried until it is done or has failed.
//!
//! One failure never loses the rest. A run ends early only where nothing can succeed: nobody can sign in, the record
//! cannot be kept, or a whole batch came back without a permission before anything was written.

use crate::IngestError;
use crate::alert::{self, Alarm, Alert};
use crate::call::{Target, resource};
use crate::credentials::{Credential, Credentials};
use crate::http::Http;
use crate::items::{Item, Items};
use crate::next::{Answered, Hint, Next, Tried, next};
use crate::record::Record;
use crate::summary::{Summary, reason};
use model::Timestamp;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What stands for a policy in the record once it is deleted.
const DELETED: &[u8] = b"null";

/// How fast.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Items of a batch, from 1 on.
    pub batch: usize,
    /// Between the end of a batch and the begin of the next.
    pub pause: Duration,
    /// Requests at once, from 1 on.
    pub at_once: usize,
    /// Waits of one item before it has failed: of 1 s, 2 s, 4 s and so on.
    pub waits: u32,
}

/// What happens, as it happens.
#[derive(Debug)]
pub enum Event<'a> {
    Written {
        device: &'a str,
        status: u16,
    },
    /// It is written already, says the record.
    Skipped {
        device: &'a str,
    },
    Failed {
        /// The device, or the place of what is no item.
        what: &'a str,
        status: u16,
        reason: &'a str,
        message: &'a str,
        tracking: Option<&'a str>,
    },
    /// A batch is over.
    Batch(&'a Summary),
    AlertLost(&'a str),
}

/// How to sign in.
pub struct SignIn<'a> {
    pub credential: Credential,
    /// Where, unless the environment or Azure says so.
    pub authority: Option<String>,
    /// For whom tokens are.
    pub audience: &'a str,
    /// A file of PEM with the certificates that are believed.
    pub trusted: &'a Path,
}

/// Whoever writes, and where.
pub struct Ingestion {
    road: Arc<Road>,
    pace: Pace,
    alert: Option<Alert>,
    alarm: Alarm,
    clock: fn() -> Timestamp,
}

/// What every attempt takes.
struct Road {
    target: Target,
    http: Http,
    credentials: Credentials,
    waits: u32,
}

/// How an item ended.
struct Ended {
    item: Item,
    answered: Answered,
    retries: u64,
}

impl Ingestion {
    /// # Errors
    /// What of it cannot be used.
    pub fn new(
        target: Target,
        sign_in: SignIn<'_>,
        pace: Pace,
        alert: Option<Alert>,
        clock: fn() -> Timestamp,
    ) -> Result<Self, IngestError> {
        let SignIn { credential, authority, audience, trusted } = sign_in;
        let http = Http::trusting(trusted)?;
        let credentials = Credentials::new(credential, authority, audience, http.clone())?;
        let road = Road { target, http, credentials, waits: pace.waits };
        Ok(Self { road: Arc::new(road), pace, alert, alarm: Alarm::default(), clock })
    }

    /// Writes every item, until `stop` turns true: then up to the end of the batch.
    ///
    /// # Errors
    /// Why the run could not begin or go on. What was written until then is in the record.
    pub async fn run(
        &mut self,
        mut items: Items,
        mut record: Option<&mut Record>,
        stop: &watch::Receiver<bool>,
        tell: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Summary, IngestError> {
        let mut summary = Summary::default();
        let renewed = self.road.credentials.forgotten().await;
        self.road.credentials.token().await.map_err(IngestError)?;
        let mut is_first = true;
        while !*stop.borrow() {
            let batch = self.batch(&mut items, record.as_deref(), &mut summary, tell);
            if batch.is_empty() {
                break;
            }
            if !std::mem::take(&mut is_first) && self.is_stopped_in_pause(stop).await {
                break;
            }
            let all_lack = self.write(batch, record.as_deref_mut(), &mut summary, tell).await;
            if let Some(record) = record.as_deref_mut() {
                record.sync()?;
            }
            summary.tokens_renewed = self.road.credentials.forgotten().await - renewed;
            self.look_at_rate(&summary, tell).await;
            tell(Event::Batch(&summary));
            if all_lack && summary.success_count == 0 {
                summary.stopped = Some(
                    "every request of a batch lacked a permission and nothing was written before: the rest was \
                     not tried"
                        .to_owned(),
                );
                break;
            }
        }
        if *stop.borrow() {
            summary.stopped = Some("the run was stopped".to_owned());
        }
        Ok(summary)
    }

    /// Waits between batches. True where the run is to stop.
    async fn is_stopped_in_pause(&self, stop: &watch::Receiver<bool>) -> bool {
        let mut stop = stop.clone();
        tokio::select! {
            () = sleep(self.pace.pause) => false,
            // Nobody is left who could say so.
            stopped = stop.wait_for(|it| *it) => stopped.is_ok(),
        }
    }

    /// The next items that are to be sent; none once there are no more.
    fn batch(
        &self,
        items: &mut Items,
        record: Option<&Record>,
        summary: &mut Summary,
        tell: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Vec<Item> {
        let mut batch = Vec::with_capacity(self.pace.batch);
        for item in items {
            match item {
                Ok(item) if record.is_some_and(|it| it.has(&item.device, &content(&item))) => {
                    summary.skipped += 1;
                    tell(Event::Skipped { device: &item.device });
                }
                Ok(item) => batch.push(item),
                Err(it) => {
                    summary.unreadable(&it.place, &it.because);
                    let (what, message) = (it.place.as_str(), it.because.as_str());
                    let reason = "Unreadable";
                    tell(Event::Failed { what, status: 0, reason, message, tracking: None });
                }
            }
            if batch.len() >= self.pace.batch {
                break;
            }
        }
        batch
    }

    /// Writes a batch. True where each of its items lacks a permission.
    async fn write(
        &self,
        batch: Vec<Item>,
        mut record: Option<&mut Record>,
        summary: &mut Summary,
        tell: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> bool {
        let mut all_lack = true;
        let mut left = batch.into_iter();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < self.pace.at_once
                && let Some(item) = left.next()
            {
                let etag = record.as_ref().and_then(|it| it.etag(&item.device)).map(str::to_owned);
                under_way.spawn(Arc::clone(&self.road).write(item, etag));
            }
            let Some(ended) = under_way.join_next().await else { return all_lack };
            // A task that panicked has said so itself; its item is written by the next run.
            let Ok(Ended { item, answered, retries }) = ended else { continue };
            summary.retries += retries;
            let (device, status) = (item.device.as_str(), answered.status);
            if (200..=299).contains(&status) {
                all_lack = false;
                summary.succeeded((self.clock)());
                if let Some(record) = &mut record {
                    record.note(device, &content(&item), answered.etag);
                }
                tell(Event::Written { device, status });
            } else {
                all_lack &= lacks_permission(&answered);
                summary.failed(device, &answered);
                tell(Event::Failed {
                    what: device,
                    status,
                    reason: &reason(&answered),
                    message: &answered.message,
                    tracking: answered.tracking.as_deref(),
                });
            }
        }
    }

    async fn look_at_rate(&mut self, summary: &Summary, tell: &mut (dyn FnMut(Event<'_>) + Send)) {
        let Some(alert) = &self.alert else { return };
        let Some(told) = self.alarm.change(summary, alert, self.road.target.hub()) else { return };
        if let Err(because) = alert::post(&self.road.http, alert, &told).await {
            tell(Event::AlertLost(&because));
        }
    }
}

impl Road {
    /// Tries an item until it is done or has failed.
    async fn write(self: Arc<Self>, item: Item, etag: Option<String>) -> Ended {
        let mut tried = Tried::default();
        let mut retries = 0;
        loop {
            let (answered, generation) = match self.credentials.token().await {
                Ok(it) => {
                    let called = self.target.call(&self.http, &item, &it.text, etag.as_deref());
                    (called.await, it.generation)
                }
                Err(message) => (Answered { message, ..Answered::default() }, u64::MAX),
            };
            match next(&answered, tried, self.waits, rand::random()) {
                Next::Done | Next::Failed => return Ended { item, answered, retries },
                Next::WithAnotherToken => {
                    tried.has_another_token = true;
                    // Where none can be made, the next attempt says so.
                    let _ = self.credentials.forget(generation).await;
                }
                Next::After(wait) => {
                    tried.waits += 1;
                    sleep(wait).await;
                }
            }
            retries += 1;
        }
    }
}

/// What an item comes to, by which it is told from what was written before.
fn content(item: &Item) -> Vec<u8> {
    item.policy.as_ref().map_or_else(|| DELETED.to_vec(), |it| resource(it.get()).to_vec())
}

/// True for what no attempt by the same caller can change.
fn lacks_permission(answered: &Answered) -> bool {
    answered.status == 403
        && answered.code.eq_ignore_ascii_case("AuthorizationFailed")
        && answered.hint != Some(Hint::Propagation)
}
