//! `POST /devices/query`: what the query language of `query/` finds among a hub's documents, a page at a time.
//!
//! Answers come in the order of the device ids. A page is bounded in what it shows and in what it looks at: one
//! that has looked long enough ends where it is, with fewer items or none, and says where to go on. An
//! aggregation has to look at everything and has no pages; few of these run at a time.

mod continuation;
mod places;
mod reading;

use super::query::{GROUPS_MAX, NotAQuery, Query, Source, Totals};
use super::registry::hub_of;
use crate::env::Env;
use crate::input::{Input, Reply};
use continuation::Continuation;
use gate::Permit;
use model::error::HubFault;
use model::operations::operation;
use model::{Error, Op, Operation};
use reading::{READ_AT_ONCE, Read, Reading};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Most items of one page. More are not refused: clients ask for what they want in all.
const PAGE_MAX: usize = 1_000;
/// As many come where no number is asked for.
const PAGE: usize = 100;
/// A page takes no further document from this size on, as they are kept.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Nor once it has looked at so many.
const EXAMINED_MAX: usize = 20_000;
/// Most pages that are made at a time.
const PAGES_AT_ONCE: usize = 16;
/// Most aggregations that run at a time.
const TOTALS_AT_ONCE: usize = 2;

/// A member of a twin that is not in its device's document, in lower case.
const MESSAGE_COUNT: &str = "cloudtodevicemessagecount";

/// How many queries may run at a time.
pub struct Turns {
    pages: Semaphore,
    totals: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self { pages: Semaphore::new(PAGES_AT_ONCE), totals: Semaphore::new(TOTALS_AT_ONCE) }
    }
}

fn turn(of: &Semaphore) -> Result<SemaphorePermit<'_>, Error> {
    let message = "too many queries are running; try again later";
    of.try_acquire().map_err(|_| Error::hub(HubFault::Throttled, message))
}

/// The row that a query is judged by: one of jobs needs the permission to read jobs.
///
/// # Errors
/// [`Error::Invalid`] at `query` where it is none.
pub(crate) fn judged(row: &'static Operation, body: &Value) -> Result<&'static Operation, Error> {
    if row.op != Op::QueryDevices {
        return Ok(row);
    }
    Ok(match parsed(body)?.source() {
        Source::Jobs => operation(Op::QueryDeviceJobs),
        Source::Devices | Source::Modules => row,
    })
}

fn text(body: &Value) -> Result<&str, Error> {
    let found = model::json::text(body, &["query"]);
    found.ok_or_else(|| Error::invalid("query", "this text is required"))
}

fn parsed(body: &Value) -> Result<Query, Error> {
    let wrong = |it: NotAQuery| Error::invalid("query", it.to_string());
    Query::parse(text(body)?).map_err(wrong)
}

/// # Errors
/// [`Error::Invalid`] at `query`, `x-ms-max-item-count` or `x-ms-continuation`; [`HubFault::Throttled`]
/// past [`PAGES_AT_ONCE`] and [`TOTALS_AT_ONCE`].
pub(crate) async fn query(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let query = parsed(&input.body)?;
    let hub = hub_of(permit, env)?;
    let shows_messages =
        query.shows_all() || text(&input.body)?.to_ascii_lowercase().contains(MESSAGE_COUNT);
    let reading = Reading::new(env, &hub, query.condition(), shows_messages)?;
    if let Some(totals) = query.totals() {
        let _turn = turn(&env.queries.totals)?;
        let mut rows = match query.counts_all() {
            Some(names) => vec![counted(&reading, &names).await?],
            None => gathered(&reading, totals).await?,
        };
        rows.truncate(
            query.top().map_or(GROUPS_MAX, |it| usize::try_from(it).unwrap_or(GROUPS_MAX)),
        );
        return Ok(reply(&query, rows));
    }
    let most = match input.headers.max_item_count {
        Some(0) => {
            return Err(Error::invalid("x-ms-max-item-count", "a number from 1 on is expected"));
        }
        Some(count) => count.min(PAGE_MAX),
        None => PAGE,
    };
    let of = (&*hub.uid, text(&input.body)?);
    let begun = input.headers.continuation.as_deref();
    let begun = begun.map(|it| Continuation::decode(it, of)).transpose()?;
    let (after, left) = match begun {
        Some(Continuation { after, left }) => (Some(after), left),
        None => (None, query.top()),
    };
    let _turn = turn(&env.queries.pages)?;
    let (items, next) = page(&query, &reading, most, after, left).await?;
    let reply = reply(&query, items);
    Ok(match next {
        Some(next) => reply.with_header("x-ms-continuation", next.encode(of)),
        None => reply,
    })
}

fn reply(query: &Query, items: Vec<Value>) -> Reply {
    let kind = match (query.shows_all(), query.source()) {
        (true, Source::Devices | Source::Modules) => "Twin",
        (true, Source::Jobs) => "DeviceJob",
        (false, _) => "Raw",
    };
    Reply::ok(Value::Array(items)).with_header("x-ms-item-type", kind)
}

/// The items behind `after`, and where to go on, if there may be more. `left` is how many may still come.
async fn page(
    query: &Query,
    reading: &Reading<'_>,
    most: usize,
    after: Option<String>,
    left: Option<u64>,
) -> Result<(Vec<Value>, Option<Continuation>), Error> {
    let most = left.map_or(most, |it| usize::try_from(it).map_or(most, |it| it.min(most)));
    let behind = |after: String, items: &[Value]| Continuation {
        after,
        left: left.map(|it| it.saturating_sub(items.len() as u64)),
    };
    let (mut items, mut after, mut examined, mut bytes) = (Vec::new(), after, 0, 0);
    // One more than is shown tells whether there is a next page.
    let mut at_once = most + 1;
    let mut full: Option<Continuation> = None;
    loop {
        let Read { items: found, examined: more, next } =
            reading.read(after.take(), at_once).await?;
        // Where those did not do, the filter says little: from here on take many.
        at_once = READ_AT_ONCE;
        examined += more;
        for it in found {
            if full.is_some() {
                return Ok((items, full));
            }
            bytes += it.bytes;
            items.extend(query.item(it.shown));
            if items.len() >= most || bytes >= PAGE_BYTES_MAX {
                let next = behind(it.key, &items);
                if next.left == Some(0) {
                    return Ok((items, None));
                }
                full = Some(next);
            }
        }
        match next {
            None => return Ok((items, None)),
            Some(next) if examined >= EXAMINED_MAX => {
                let next = full.unwrap_or_else(|| behind(next, &items));
                return Ok((items, Some(next)));
            }
            Some(next) => after = Some(next),
        }
    }
}

/// The rows of an aggregation.
async fn gathered(reading: &Reading<'_>, mut totals: Totals<'_>) -> Result<Vec<Value>, Error> {
    let mut after = None;
    loop {
        let Read { items, next, .. } = reading.read(after.take(), READ_AT_ONCE).await?;
        for it in items {
            let because = || format!("it makes more than {GROUPS_MAX} rows; narrow its `WHERE`");
            totals.add(&it.shown).map_err(|_| Error::invalid("query", because()))?;
        }
        match next {
            None => return Ok(totals.rows()),
            Some(next) => after = Some(next),
        }
    }
}

async fn counted(reading: &Reading<'_>, names: &[&str]) -> Result<Value, Error> {
    let count = reading.count().await?;
    Ok(names.iter().map(|it| ((*it).to_owned(), json!(count))).collect())
}

#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod tests;
