//! A container: what comes for it is collected by partition, and written as a file once its oldest message has waited
//! for as long as the endpoint says, or as much has come as a file may hold.
//!
//! What waits lies in the hub's log and is read again when it is written, so that no more is held than a block. The
//! place of the endpoint moves once a file is whole: what was under way when the server stopped is written again.

use super::endpoint::WAIT_MIN;
use super::file::{Encoding, name_of};
use super::progress::{Progress, Written};
use super::way;
use super::{Endpoint, avro};
use crate::env::Env;
use egress::blob::{BlobError, Blobs, Why};
use gate::facts::Hub;
use model::Timestamp;
use model::json::{at, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Longest block. With what is read of the log, and the longest line, not more than 4 MiB are held.
const BLOCK_BYTES_MAX: usize = 2 << 20;
/// For messages that are only measured.
const NO_MARK: avro::Mark = [0; 16];
/// So often it is looked whether a file is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many names are tried for a file.
const NAMES_MAX: u32 = 1_000;
/// As Azure's own files are.
const CONTENT_TYPE: &str = "application/octet-stream";

/// How files are made, as the endpoint says.
struct Form {
    encoding: Encoding,
    name: String,
    hub: String,
    wait_s: i64,
    bytes_max: u64,
}

impl Form {
    fn of(endpoint: &Endpoint) -> Result<Self, String> {
        let said = |name: &str| text(&endpoint.body, &[name]);
        let number = |name: &str| at(&endpoint.body, &[name]).and_then(Value::as_i64);
        let named = said("encoding").unwrap_or("avro");
        let encoding = Encoding::named(named).ok_or_else(|| {
            format!("files in the encoding `{named}` are not written here; save the endpoint with `avro` or `json`")
        })?;
        Ok(Self {
            encoding,
            name: said("fileNameFormat").unwrap_or_default().to_owned(),
            hub: text(&endpoint.hub, &["name"]).unwrap_or_default().to_owned(),
            wait_s: number("batchFrequencyInSeconds").unwrap_or(300),
            bytes_max: number("maxChunkSizeInBytes")
                .and_then(|it| u64::try_from(it).ok())
                .unwrap_or(314_572_800),
        })
    }
}

/// What waits to become a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Batch {
    first: u64,
    /// When the first of it came.
    since: Timestamp,
    bytes: u64,
    is_full: bool,
}

impl Batch {
    /// Whether a line of so many bytes still goes in.
    const fn takes(&self, line: u64, most: u64) -> bool {
        self.bytes.saturating_add(line) <= most
    }
}

/// Writes files until something fails: why.
pub(super) async fn write(
    env: &Arc<Env>,
    hub: &Arc<Hub>,
    endpoint: &Endpoint,
    wait: &mut Duration,
) -> Result<Infallible, String> {
    let form = Form::of(endpoint)?;
    let blobs = way::container(env, endpoint)?;
    let progress = Progress::begin(env, hub, endpoint).await?;
    let (batches, looked) = (BTreeMap::new(), BTreeMap::new());
    let mut files = Files { progress, blobs, form, batches, looked };
    loop {
        let mut has_found = false;
        let mut failure = None;
        for partition in 0..files.progress.log.partitions {
            // One that is refused holds up no other partition.
            match files.step(partition).await {
                Ok(found) => has_found |= found,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        *wait = WAIT_MIN;
        if !has_found {
            files.wait_for_more().await?;
        }
    }
}

struct Files<'a> {
    progress: Progress<'a>,
    blobs: Blobs,
    form: Form,
    /// By partition, as what follows: where it has been looked to.
    batches: BTreeMap<u16, Batch>,
    looked: BTreeMap<u16, u64>,
}

impl Files<'_> {
    /// Looks at what comes next in a partition, and writes what is due. True where there was anything.
    async fn step(&mut self, partition: u16) -> Result<bool, String> {
        let next = self.progress.next(partition).await?;
        if self.batches.get(&partition).is_some_and(|it| it.first < next) {
            // Its first messages are gone: what is left is looked at anew.
            self.batches.remove(&partition);
            self.looked.remove(&partition);
        }
        let from = self.looked.get(&partition).copied().unwrap_or(next).max(next);
        let mut batch = self.batches.get(&partition).copied();
        let records = match batch.is_some_and(|it| it.is_full) {
            true => Vec::new(),
            false => self.progress.read(partition, from).await?,
        };
        let encoding = self.form.encoding;
        let mut behind = from;
        for record in &records {
            let sequence = record.position.sequence;
            if let Some((message, enqueued)) = self.progress.mine(record) {
                let bytes = encoding.of(&message, enqueued, NO_MARK).len() as u64;
                let so_far = batch.get_or_insert(Batch {
                    first: sequence,
                    since: enqueued,
                    bytes: encoding.head(NO_MARK).len() as u64,
                    is_full: false,
                });
                if !so_far.takes(bytes, self.form.bytes_max) {
                    so_far.is_full = true;
                    break;
                }
                so_far.bytes += bytes;
            }
            behind = sequence.saturating_add(1);
        }
        self.looked.insert(partition, behind);
        let Some(batch) = batch else {
            if !records.is_empty() {
                self.progress.pass(partition, behind).await?;
            }
            return Ok(!records.is_empty());
        };
        self.batches.insert(partition, batch);
        let due = batch.since.plus_seconds(self.form.wait_s);
        if !batch.is_full && self.progress.env.now() < due {
            return Ok(!records.is_empty());
        }
        let Some(written) = self.file(partition, batch, behind).await? else { return Ok(true) };
        self.batches.remove(&partition);
        self.progress.cursor.next.insert(partition, behind);
        self.progress.cursor.files.insert(partition, written);
        self.progress.keep().await?;
        self.progress.tell(true);
        Ok(true)
    }

    /// Writes a file of what is for the endpoint from the first of a batch to before `until`. `None` where somebody
    /// else has taken its name meanwhile.
    async fn file(
        &mut self,
        partition: u16,
        batch: Batch,
        until: u64,
    ) -> Result<Option<Written>, String> {
        let told = |it: BlobError| said_no(&it);
        let written = self.free_name(partition, batch.since).await?;
        let encoding = self.form.encoding;
        let blob = encoding.blob_of(&written.name, written.before);
        let mark = self.progress.env.random();
        let (mut block, mut blocks, mut at) = (encoding.head(mark), 0, batch.first);
        let mut has_any = false;
        while at < until {
            let records = self.progress.read(partition, at).await?;
            let Some(last) = records.last() else { break };
            at = last.position.sequence.saturating_add(1);
            for record in records.iter().filter(|it| it.position.sequence < until) {
                let Some((message, enqueued)) = self.progress.mine(record) else { continue };
                let line = encoding.of(&message, enqueued, mark);
                has_any = true;
                if !block.is_empty() && block.len() + line.len() > BLOCK_BYTES_MAX {
                    let whole = std::mem::take(&mut block);
                    self.blobs.put_block(&blob, blocks, whole.into()).await.map_err(told)?;
                    blocks += 1;
                }
                block.extend(line);
            }
        }
        let put = match (has_any, blocks) {
            // All of it has become too old meanwhile.
            (false, _) => return Ok(Some(written)),
            (true, 0) => self.blobs.put(&blob, CONTENT_TYPE, block.into()).await,
            (true, _) => {
                self.blobs.put_block(&blob, blocks, block.into()).await.map_err(told)?;
                self.blobs.put_list(&blob, CONTENT_TYPE, 0..=blocks).await
            }
        };
        match put {
            Ok(_) => Ok(Some(written)),
            Err(error) if error.why == Why::Conflict && error.code == "BlobAlreadyExists" => {
                Ok(None)
            }
            Err(error) => Err(told(error)),
        }
    }

    /// The name of the next file of a partition, which nothing in the container has: not the file before it, and not
    /// what another endpoint has written.
    async fn free_name(&mut self, partition: u16, since: Timestamp) -> Result<Written, String> {
        let name = name_of(&self.form.name, &self.form.hub, partition, since);
        let last = self.progress.cursor.files.get(&partition).filter(|it| it.name == name);
        let from = last.map_or(0, |it| it.before.saturating_add(1));
        for before in from..from.saturating_add(NAMES_MAX) {
            match self.blobs.properties(&self.form.encoding.blob_of(&name, before)).await {
                Ok(_) => {}
                Err(error) if error.why == Why::NotFound => return Ok(Written { name, before }),
                Err(error) => return Err(said_no(&error)),
            }
        }
        Err(format!(
            "the container has {NAMES_MAX} files `{name}_...` already; move some of them away"
        ))
    }

    /// Ends once some partition has more than was looked at, or a file may be due.
    async fn wait_for_more(&self) -> Result<(), String> {
        let more = self.progress.more(&|it| self.looked.get(&it).copied().unwrap_or(0))?;
        if self.batches.is_empty() {
            return more.await;
        }
        tokio::select! {
            more = more => more,
            () = sleep(LOOK_EVERY) => Ok(()),
        }
    }
}

fn said_no(error: &BlobError) -> String {
    format!("the storage says: {}", error.told())
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
