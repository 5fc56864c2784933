//! Import: lines of JSON, each an entry of a bulk call, written a hundred at a time as whoever has made the job.
//!
//! What is wrong with a line is told in the output, and the others are written all the same. After a crash those lines
//! are written again that were under way, a hundred at most: only `create` finds that it was there before.

use super::Cursor;
use super::lines::{LINE_BYTES_MAX, Lines};
use super::run::{Stop, Work};
use super::storage::Storage;
use crate::call::{self, Answer, Call};
use crate::input::Headers;
use bytes::Bytes;
use model::json::{set, text};
use model::operations::{Surface, operation};
use model::trace::Channel;
use model::{Credential, Error, Gate, JobMaker, Op};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::sleep;

/// How many lines are written together.
const TOGETHER: usize = 100;
/// Most bytes of lines that are written together; one longer goes alone.
const TOGETHER_BYTES: usize = 1 << 20;
/// What is wrong with lines is written once it has so many bytes.
const BLOCK_BYTES: usize = 64 << 10;
/// How often a call is tried again that the server has no room for.
const TRIES: usize = 60;
const TEXT: &str = "text/plain; charset=utf-8";
const API_VERSION: &str = "2021-04-12";

/// A line that was read.
struct Entry {
    number: u64,
    start: u64,
    bytes: usize,
    body: Value,
}

/// What is read next.
enum Read {
    Entry(Entry),
    /// Much is to be told of lines before more are read.
    Pause,
    End,
}

impl Entry {
    /// Whom it is about: two of one do not go together.
    fn key(&self) -> (String, String) {
        let said = |name: &str| text(&self.body, &[name]).unwrap_or_default();
        let id = if said("id").is_empty() { said("deviceId") } else { said("id") };
        (id.to_owned(), said("moduleId").to_owned())
    }
}

pub(super) async fn run(work: &mut Work) -> Result<(), Stop> {
    let wanted = work.transfer.wanted.clone();
    let Some(input) = &wanted.input else {
        return Err(Stop::Failed("the import names no container to read".to_owned()));
    };
    let mut cursor = work.transfer.cursor.clone();
    let mut output = Storage::of(&work.env, &work.hub, &wanted.shows, &wanted.output).await?;
    let storage = Storage::of(&work.env, &work.hub, &wanted.shows, input).await?;
    let mut lines = Lines::open(storage, cursor.from, cursor.etag.as_deref()).await?;
    if cursor.etag.replace(lines.etag().to_owned()).is_none() {
        // Before anything is written: an import that nobody could read of is none.
        let put = output.blobs.put(&output.blob, TEXT, Bytes::new()).await;
        put.map_err(|it| output.failed(&it))?;
        work.reached(&cursor).await?;
    }
    let (mut next, mut is_end) = (None, false);
    while !is_end {
        let entries;
        (entries, is_end) = together(&mut lines, &mut next, &mut cursor).await?;
        if !entries.is_empty() {
            write(work, &entries, &mut cursor).await?;
        }
        flush(&mut output, &mut cursor, BLOCK_BYTES).await?;
        let (from, count) = match &next {
            Some(Entry { start, number, .. }) => (*start, number - 1),
            None => (lines.at(), cursor.lines),
        };
        let percent = (from * 99).checked_div(lines.bytes).unwrap_or(99).min(99);
        cursor.percent = percent;
        work.reached(&Cursor { from, lines: count, ..cursor.clone() }).await?;
    }
    if let Some(blob) = &wanted.configurations {
        configured(work, blob, &mut cursor).await?;
    }
    flush(&mut output, &mut cursor, 1).await?;
    let put = output.blobs.put_list(&output.blob, TEXT, 0..cursor.blocks).await;
    put.map(drop).map_err(|it| output.failed(&it))
}

/// Lines that can be written together, and whether they are the last. What is no entry is told at once; what does not
/// fit waits in `next`.
async fn together(
    lines: &mut Lines,
    next: &mut Option<Entry>,
    cursor: &mut Cursor,
) -> Result<(Vec<Entry>, bool), Stop> {
    let (mut entries, mut keys, mut bytes) = (Vec::<Entry>::new(), BTreeSet::new(), 0);
    loop {
        let read = match next.take() {
            Some(entry) => Read::Entry(entry),
            None => read(lines, cursor).await?,
        };
        let entry = match read {
            Read::Entry(entry) => entry,
            Read::Pause => return Ok((entries, false)),
            Read::End => return Ok((entries, true)),
        };
        let is_full = entries.len() == TOGETHER || bytes + entry.bytes > TOGETHER_BYTES;
        if !entries.is_empty() && (is_full || keys.contains(&entry.key())) {
            *next = Some(entry);
            return Ok((entries, false));
        }
        keys.insert(entry.key());
        bytes += entry.bytes;
        entries.push(entry);
    }
}

/// The next line that is an entry.
async fn read(lines: &mut Lines, cursor: &mut Cursor) -> Result<Read, Stop> {
    while cursor.pending.len() < 2 * BLOCK_BYTES {
        let start = lines.at();
        let Some(line) = lines.next().await? else { return Ok(Read::End) };
        cursor.lines += 1;
        let number = cursor.lines;
        let wrong = match line.text {
            Some(text) if text.iter().all(u8::is_ascii_whitespace) => continue,
            Some(text) => match serde_json::from_slice::<Value>(&text) {
                Ok(body) if body.is_object() => {
                    return Ok(Read::Entry(Entry { number, start, bytes: text.len(), body }));
                }
                Ok(_) => "the line is no object of JSON".to_owned(),
                Err(because) => format!("the line is no JSON: {because}"),
            },
            None => format!("the line is longer than {LINE_BYTES_MAX} bytes"),
        };
        refuse(cursor, number, &json!({ "errorCode": "ArgumentInvalid", "errorStatus": wrong }));
    }
    Ok(Read::Pause)
}

/// Notes what is wrong with a line.
fn refuse(cursor: &mut Cursor, number: u64, error: &Value) {
    let mut told = json!({ "line": number });
    for (name, value) in error.as_object().into_iter().flatten() {
        set(&mut told, name, value.clone());
    }
    cursor.refused += 1;
    cursor.pending.push_str(&told.to_string());
    cursor.pending.push('\n');
}

/// Writes what is told of lines, where it is so long.
async fn flush(output: &mut Storage, cursor: &mut Cursor, from: usize) -> Result<(), Stop> {
    if cursor.pending.len() < from {
        return Ok(());
    }
    let block = std::mem::take(&mut cursor.pending);
    let put = output.blobs.put_block(&output.blob, cursor.blocks, block.into()).await;
    put.map_err(|it| output.failed(&it))?;
    cursor.blocks += 1;
    Ok(())
}

/// Writes entries: together, and one by one where they are not taken so.
async fn write(work: &Work, entries: &[Entry], cursor: &mut Cursor) -> Result<(), Stop> {
    let bodies = entries.iter().map(|it| it.body.clone()).collect();
    let answer = call(work, write_op(work), "devices", None, &Value::Array(bodies)).await?;
    match judged(&answer)? {
        Verdict::Errors(errors) => told(cursor, entries, &errors),
        Verdict::Refused(_) if entries.len() > 1 => {
            for entry in entries {
                Box::pin(write(work, std::slice::from_ref(entry), cursor)).await?;
            }
        }
        Verdict::Refused(error) => {
            for entry in entries {
                let mut error = error.clone();
                let (device, module) = entry.key();
                set(&mut error, "deviceId", json!(device));
                set(&mut error, "moduleId", json!(Some(module).filter(|it| !it.is_empty())));
                refuse(cursor, entry.number, &error);
            }
        }
    }
    Ok(())
}

const fn write_op(work: &Work) -> Op {
    if work.transfer.is_of_hub { Op::ImportEntriesOfHub } else { Op::ImportEntries }
}

/// Notes the errors of a bulk call, each with the line that it is about.
fn told(cursor: &mut Cursor, entries: &[Entry], errors: &[Value]) {
    for error in errors {
        let said = |name: &str| text(error, &[name]).unwrap_or_default().to_owned();
        let key = (said("deviceId"), said("moduleId"));
        let number = entries.iter().find(|it| it.key() == key).map_or(0, |it| it.number);
        refuse(cursor, number, error);
    }
}

enum Verdict {
    /// All but these were written.
    Errors(Vec<Value>),
    /// Nothing was written.
    Refused(Value),
}

/// What an answer says.
///
/// # Errors
/// Where it is said of the job, and every further line would be answered so.
fn judged(answer: &Answer) -> Result<Verdict, Stop> {
    let errors = || {
        let errors = answer.body.as_ref().and_then(|it| it.get("errors")).and_then(Value::as_array);
        errors.cloned().unwrap_or_default()
    };
    let Some(error) = &answer.error else { return Ok(Verdict::Errors(errors())) };
    let wire = error.wire();
    let said = format!("{} (tracking id {})", wire.message, answer.tracking);
    if let Error::BulkFailed { .. } = error {
        return Ok(Verdict::Errors(errors()));
    }
    if let Error::Denied(denial) = error
        && denial.gate != Gate::Policy
    {
        let told = format!("who has made the job may not write to the hub: {said}");
        return Err(Stop::Failed(told));
    }
    if let Error::Internal { .. } | Error::Unavailable { .. } | Error::UnknownHost { .. } = error {
        return Err(Stop::Broken(error.clone()));
    }
    Ok(Verdict::Refused(json!({ "errorCode": wire.hub_name, "errorStatus": said })))
}

/// Puts the configurations of a blob, which are few, as whoever has made the job.
async fn configured(work: &Work, blob: &str, cursor: &mut Cursor) -> Result<(), Stop> {
    let wanted = &work.transfer.wanted;
    let Some(input) = &wanted.input else { return Ok(()) };
    let mut place = input.clone();
    blob.clone_into(&mut place.blob);
    let storage = Storage::of(&work.env, &work.hub, &wanted.shows, &place).await?;
    let mut lines = Lines::open(storage, 0, None).await?;
    // What is wrong with so few fits.
    while let Read::Entry(entry) = read(&mut lines, cursor).await? {
        let id = text(&entry.body, &["id"]).unwrap_or_default().to_owned();
        let put = |match_| call(work, Op::PutConfiguration, &id, match_, &entry.body);
        let mut answer = put(None).await?;
        if answer.status == 409 {
            answer = put(Some("*")).await?;
        }
        if let Verdict::Refused(mut error) = judged(&answer)? {
            set(&mut error, "id", json!(id));
            refuse(cursor, entry.number, &error);
        }
    }
    Ok(())
}

/// Calls the hub as whoever has made the job; waits where the hub takes no more for now. Boxed: a call leads here, and
/// this to a call.
fn call<'a>(
    work: &'a Work,
    op: Op,
    name: &'a str,
    if_match: Option<&'a str>,
    body: &'a Value,
) -> Pin<Box<dyn Future<Output = Result<Answer, Stop>> + Send + 'a>> {
    Box::pin(async move {
        let (method, path, params) = match op == Op::PutConfiguration {
            true => (
                "PUT",
                format!("/configurations/{name}"),
                BTreeMap::from([("configuration", name.to_owned())]),
            ),
            false => ("POST", "/devices".to_owned(), BTreeMap::new()),
        };
        let text = Bytes::from(body.to_string());
        for _ in 0..TRIES {
            let maker = JobMaker {
                caller: work.transfer.maker.clone(),
                job: work.transfer.id.clone(),
                until: work.until(),
            };
            let call = Call {
                operation: operation(op),
                surface: Surface::Hub,
                host: work.hub.host.clone(),
                path: path.clone(),
                params: params.clone(),
                query: vec![("api-version".into(), API_VERSION.into())],
                headers: Headers {
                    content_type: Some("application/json".into()),
                    client_request_id: Some(work.transfer.id.clone()),
                    if_match: if_match.map(str::to_owned),
                    ..Headers::default()
                },
                credential: Credential::Job(Box::new(maker)),
                channel: Channel {
                    protocol: "https".into(),
                    request: format!("{method} {path}"),
                    address: work.transfer.address.clone(),
                    ..Channel::default()
                },
                body: call::body_of(text.clone()),
            };
            let answer = call::run(&work.env, call).await;
            match answer.error.as_ref().and_then(Error::retry_after_s) {
                Some(after_s) => sleep(Duration::from_secs(after_s.clamp(1, 60))).await,
                None => return Ok(answer),
            }
        }
        Err(Stop::Broken(Error::Unavailable { message: "the hub takes nothing now".to_owned() }))
    })
}
