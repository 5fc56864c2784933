//! Reading one shard's file: a bounded pool of read-only connections.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::filter::Equality;
use super::indexes::{Indexes, New};
use super::{bodies, file, filter};
use crate::document::{Document, Scan};
use crate::error::StoreError;
use crate::lookup::{Found, Lookup};
use crate::{Table, locked};

/// The connections of one shard. They open when first needed and then stay.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(READERS_MAX as usize));
        Arc::new(Self { path: path.to_owned(), idle: Mutex::default(), permits })
    }

    /// Waits for a connection and lends it. `None` once the readers are closed.
    pub(super) async fn lend(self: &Arc<Self>) -> Result<Option<Reader>, StoreError> {
        let Ok(permit) = self.permits.clone().acquire_owned().await else {
            return Ok(None);
        };
        let idle = locked(&self.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => file::open_to_read(&self.path)?,
        };
        Ok(Some(Reader { readers: self.clone(), connection: Some(connection), _permit: permit }))
    }

    /// Waits until every connection is back, and closes them all.
    pub(super) async fn close(&self) {
        // An error means that another call closed them first.
        let all = self.permits.acquire_many(READERS_MAX).await;
        self.permits.close();
        drop(all);
        locked(&self.idle).clear();
    }
}

/// A lent connection; dropping it gives it back.
pub(super) struct Reader {
    readers: Arc<Readers>,
    /// Always there until the drop.
    connection: Option<Connection>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Before the permit goes, so that there are never more connections than permits.
        locked(&self.readers.idle).extend(self.connection.take());
    }
}

impl Reader {
    pub(super) fn get(&mut self, table: Table, key: &str) -> Result<Option<Document>, StoreError> {
        self.read(|connection| get(connection, table, key))
    }

    pub(super) fn get_many<K: AsRef<str>>(
        &mut self,
        table: Table,
        keys: &[K],
    ) -> Result<Vec<Option<Document>>, StoreError> {
        self.read(|connection| {
            // One transaction, so one moment.
            let moment = connection.transaction()?;
            keys.iter().map(|key| get(&moment, table, key.as_ref())).collect()
        })
    }

    pub(super) fn scan(
        &mut self,
        table: Table,
        range: &Scan,
    ) -> Result<Vec<(String, Document)>, StoreError> {
        // Keys with the prefix stand together, so there is no need for an upper bound, which text
        // could not always express: the first key without the prefix ends the scan.
        let (sql, start) = match &range.after {
            Some(after) if *after >= range.prefix => (SCAN_AFTER, after),
            _ => (SCAN_FROM, &range.prefix),
        };
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            statement
                .query_map(params![table.name(), start], |row| Ok((row.get(2)?, document(row)?)))?
                .take(range.limit)
                .take_while(|entry: &rusqlite::Result<(String, Document)>| {
                    entry.as_ref().is_ok_and(|(key, _)| key.starts_with(&range.prefix))
                        || entry.is_err()
                })
                .collect()
        })
    }

    /// What is found, and the index that would be worth making.
    pub(super) fn query(
        &mut self,
        table: Table,
        lookup: &Lookup,
        indexes: &Indexes,
    ) -> Result<(Found, Option<New>), StoreError> {
        let equalities = filter::equalities(&lookup.filter);
        self.read(|connection| {
            let changes = indexes.changes();
            let indexed = indexes.best(connection, table, &equalities)?;
            let found = query(connection, table, lookup, indexed)?;
            let in_vain = found.examined - found.documents.len();
            let new = indexes.note(connection, table, &equalities, in_vain, changes)?;
            Ok((found, new))
        })
    }

    pub(super) fn count(&mut self, table: Table) -> Result<u64, StoreError> {
        self.read(|connection| {
            connection.prepare_cached(COUNT)?.query_one([table.name()], |row| row.get(0))
        })
        .map(file::from_sql)
    }

    fn read<T>(
        &mut self,
        read: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        match self.connection.as_mut() {
            Some(connection) => read(connection)
                .map_err(|source| StoreError::sqlite("read from", &self.readers.path, source)),
            None => Err(StoreError::Closed),
        }
    }
}

fn query(
    connection: &Connection,
    table: Table,
    lookup: &Lookup,
    indexed: Option<&Equality>,
) -> rusqlite::Result<Found> {
    let on_key = filter::on_key(&lookup.filter);
    let (sign, after) = match &lookup.after {
        Some(after) => (">", after.as_str()),
        None => (">=", ""),
    };
    let on_index = indexed.map_or_else(String::new, |it| format!("AND {} = ?", it.member()));
    // The table is spelled out, since an index of one table is found by no other form.
    let sql = format!(
        "SELECT revision, body, key FROM documents \
         WHERE tbl = '{table}' AND key {sign} ? AND {} {on_index} ORDER BY key",
        on_key.sql
    );
    let mut values = vec![Value::Text(after.to_owned())];
    values.extend(on_key.values);
    values.extend(indexed.map(|it| it.value.clone()));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut documents, mut examined, mut last) = (Vec::new(), 0, String::new());
    while let Some(row) = rows.next()? {
        if documents.len() >= lookup.limit || examined >= lookup.examine {
            return Ok(Found { documents, examined, next: Some(last) });
        }
        examined += 1;
        last.clear();
        last.push_str(row.get_ref(2)?.as_str()?);
        if bodies::may_fulfil(&lookup.filter, &last, row.get_ref(1)?.as_blob()?) {
            documents.push((last.clone(), document(row)?));
        }
    }
    Ok(Found { documents, examined, next: None })
}

fn get(connection: &Connection, table: Table, key: &str) -> rusqlite::Result<Option<Document>> {
    connection.prepare_cached(GET)?.query_one(params![table.name(), key], document).optional()
}

/// The first two columns as a document.
fn document(row: &Row<'_>) -> rusqlite::Result<Document> {
    let revision = file::from_sql(row.get(0)?);
    let body = Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?);
    Ok(Document { revision, body })
}

const GET: &str = "SELECT revision, body FROM documents WHERE tbl = ?1 AND key = ?2";
const SCAN_FROM: &str =
    "SELECT revision, body, key FROM documents WHERE tbl = ?1 AND key >= ?2 ORDER BY key";
const SCAN_AFTER: &str =
    "SELECT revision, body, key FROM documents WHERE tbl = ?1 AND key > ?2 ORDER BY key";
const COUNT: &str = "SELECT count(*) FROM documents WHERE tbl = ?1";

/// Connections per shard. Point reads take a few µs, so that a few serve many callers.
const READERS_MAX: u32 = 4;
