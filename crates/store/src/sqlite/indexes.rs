//! Indexes on members of bodies: which there are, which one a look uses, and when one is worth making.
//!
//! Nobody declares an index. Looks that ask for one value of a member count what they go through in
//! vain. Once that comes to two passes over the table, an index costs no more than was lost already,
//! and the writer makes it between two commits, which wait for that as long as a pass takes. It
//! stays in the file. A shard has at most [`INDEXES_MAX`]; then the one that no look has used for
//! longest gives way.
//!
//! Only a test for one value is answered from an index: its entries come in the order of the keys,
//! which pages need. A body in an indexed table that is not JSON could not be written any more.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rusqlite::{Connection, params_from_iter};

use super::file;
use super::filter::Equality;
use crate::{Table, locked};

/// What is known of one shard's indexes.
pub(super) struct Indexes(Mutex<State>);

#[derive(Default)]
struct State {
    /// By name, each with the number of the look that used it last.
    made: BTreeMap<String, u64>,
    /// Those that there could be, by name.
    wanted: BTreeMap<String, Wanted>,
    /// How many looks there were.
    looks: u64,
    /// How often an index was made.
    changes: u64,
    /// The writer was asked for one and has not answered.
    busy: bool,
}

#[derive(Clone, Copy)]
struct Wanted {
    /// How many documents were looked at for nothing.
    in_vain: u64,
    /// How many are too many, as far as is known.
    due: u64,
}

/// An index that is to be made.
pub(super) struct New {
    name: String,
    sql: String,
}

impl Indexes {
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let made = connection
            .prepare(MADE)?
            .query_map([], |row| Ok((row.get(0)?, 0)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self(Mutex::new(State { made, ..State::default() })))
    }

    /// How often an index was made until now, see [`Indexes::note`].
    pub(super) fn changes(&self) -> u64 {
        locked(&self.0).changes
    }

    /// The test that an index answers best, if one answers any.
    pub(super) fn best<'a>(
        &self,
        connection: &Connection,
        table: Table,
        all: &'a [Equality],
    ) -> rusqlite::Result<Option<&'a Equality>> {
        let indexed: Vec<(&Equality, String)> = {
            let state = locked(&self.0);
            let named = all.iter().map(|it| (it, name(table, it)));
            named.filter(|(_, name)| state.made.contains_key(name)).collect()
        };
        let mut best: Option<(u64, &Equality, String)> = None;
        for (it, name) in &indexed {
            let finds = match indexed.len() {
                1 => 0,
                _ => among(connection, table, it, FINDS)?,
            };
            if best.as_ref().is_none_or(|(least, _, _)| finds < *least) {
                best = Some((finds, it, name.clone()));
            }
        }
        let mut state = locked(&self.0);
        state.looks += 1;
        let looks = state.looks;
        Ok(best.map(|(_, it, name)| {
            state.made.insert(name, looks);
            it
        }))
    }

    /// Counts a look, with how many of the documents that it looked at were none of those it wanted:
    /// the index to make, once one is worth it. A look that began after so many `changes` and ended after
    /// more might have gone through fewer, and is not counted.
    pub(super) fn note(
        &self,
        connection: &Connection,
        table: Table,
        all: &[Equality],
        in_vain: usize,
        changes: u64,
    ) -> rusqlite::Result<Option<New>> {
        let mut due = Vec::new();
        for it in all {
            if let Some(wanted) = self.add(&name(table, it), in_vain, changes) {
                due.push((it, wanted));
            }
        }
        let mut best: Option<(u64, &Equality)> = None;
        for (it, wanted) in due {
            let documents = count(connection, table)?;
            let finds = among(connection, table, it, SAMPLED)?;
            if wanted.in_vain < PASSES * documents {
                self.wait(&name(table, it), Wanted { due: PASSES * documents, ..wanted });
            } else if finds * SELECTS > documents.min(SAMPLE) {
                // What finds much of all there is saves little.
                self.wait(&name(table, it), Wanted { in_vain: 0, ..wanted });
            } else if best.is_none_or(|(least, _)| finds < least) {
                best = Some((finds, it));
            }
        }
        let Some((_, it)) = best else { return Ok(None) };
        let mut state = locked(&self.0);
        if state.changes != changes || std::mem::replace(&mut state.busy, true) {
            return Ok(None);
        }
        let (name, member) = (name(table, it), it.member());
        let sql = format!(
            "CREATE INDEX {} ON documents (tbl, {member}, key) WHERE tbl = '{table}'",
            quoted(&name)
        );
        Ok(Some(New { name, sql }))
    }

    /// Where looks for a member that has no index have gone through so many that it may be due.
    fn add(&self, name: &str, in_vain: usize, changes: u64) -> Option<Wanted> {
        let mut state = locked(&self.0);
        let is_late = state.busy || state.changes != changes;
        if name.len() > NAME_BYTES_MAX || is_late || state.made.contains_key(name) {
            return None;
        }
        if state.wanted.len() >= WANTED_MAX && !state.wanted.contains_key(name) {
            let least = state.wanted.iter().min_by_key(|(_, it)| it.in_vain);
            let least = least.map(|(name, _)| name.clone());
            least.and_then(|it| state.wanted.remove(&it));
        }
        let new = Wanted { in_vain: 0, due: LOOKS_MIN };
        let wanted = state.wanted.entry(name.to_owned()).or_insert(new);
        wanted.in_vain += in_vain as u64;
        (wanted.in_vain >= wanted.due).then_some(*wanted)
    }

    fn wait(&self, name: &str, until: Wanted) {
        if let Some(wanted) = locked(&self.0).wanted.get_mut(name) {
            *wanted = until;
        }
    }

    /// Makes it, in place of another where there are enough. For the writer's connection.
    ///
    /// # Errors
    /// Nothing was changed then.
    pub(super) fn make(&self, connection: &mut Connection, new: New) -> rusqlite::Result<()> {
        let oldest = {
            let state = locked(&self.0);
            let oldest = state.made.iter().min_by_key(|(_, used)| **used);
            oldest.filter(|_| state.made.len() >= INDEXES_MAX).map(|(name, _)| name.clone())
        };
        let made = create(connection, &new.sql, oldest.as_deref());
        let mut state = locked(&self.0);
        state.busy = false;
        // Also where it failed: it is not tried again at each look.
        state.wanted.remove(&new.name);
        if made.is_ok() {
            oldest.and_then(|it| state.made.remove(&it));
            let looks = state.looks;
            state.made.insert(new.name, looks);
            state.changes += 1;
            // What was lost in looks that it would have answered is no reason for another.
            state.wanted.values_mut().for_each(|it| it.in_vain = 0);
        }
        made
    }

    /// The writer could not be asked; a later look may.
    pub(super) fn give_up(&self) {
        locked(&self.0).busy = false;
    }
}

fn create(connection: &mut Connection, sql: &str, instead: Option<&str>) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    if let Some(it) = instead {
        transaction.execute_batch(&format!("DROP INDEX {}", quoted(it)))?;
    }
    transaction.execute_batch(sql)?;
    transaction.commit()
}

/// How many documents an equality finds, among those that `sql` asks.
fn among(
    connection: &Connection,
    table: Table,
    it: &Equality,
    sql: fn(&str, &str) -> String,
) -> rusqlite::Result<u64> {
    let sql = sql(&table.to_string(), &it.member());
    let mut statement = connection.prepare(&sql)?;
    statement.query_one(params_from_iter([&it.value]), |row| row.get(0)).map(file::from_sql)
}

fn count(connection: &Connection, table: Table) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM documents WHERE tbl = ?";
    connection.prepare(sql)?.query_one([table.name()], |row| row.get(0)).map(file::from_sql)
}

/// An index's name: what it is of.
fn name(table: Table, it: &Equality) -> String {
    format!("{table} {}", it.path)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Asks an index, and no more of it than tells few from many.
const FINDS: fn(&str, &str) -> String = |table, member| {
    format!(
        "SELECT count(*) FROM (SELECT 1 FROM documents WHERE tbl = '{table}' AND {member} = ? \
         LIMIT {SAMPLE})"
    )
};
/// Asks the first documents.
const SAMPLED: fn(&str, &str) -> String = |table, member| {
    format!(
        "SELECT count(*) FROM (SELECT body FROM documents WHERE tbl = '{table}' ORDER BY key \
         LIMIT {SAMPLE}) WHERE {member} = ?"
    )
};
/// Those that SQLite makes for itself have no SQL.
const MADE: &str = "SELECT name FROM sqlite_schema \
    WHERE type = 'index' AND tbl_name = 'documents' AND sql IS NOT NULL";

/// Most indexes of one shard: each makes a write cost a few µs more.
const INDEXES_MAX: usize = 8;
/// Most members that are counted for; then the one with the least gives way.
const WANTED_MAX: usize = 64;
/// Longest name of an index; longer paths have none.
const NAME_BYTES_MAX: usize = 512;
/// Less than this is soon looked through.
const LOOKS_MIN: u64 = 50_000;
/// As many passes over a table pay for an index.
const PASSES: u64 = 2;
/// How many documents tell whether an index would help.
const SAMPLE: u64 = 1_000;
/// It does where it finds no more than one in so many.
const SELECTS: u64 = 4;

#[cfg(test)]
mod tests;
