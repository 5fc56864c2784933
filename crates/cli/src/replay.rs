//! `hubward replay`: whether every kept decision comes out the same when it is judged again.
//!
//! Opens the store of the data directory, asks no server, and holds the directory meanwhile: decisions and
//! facts must be of one moment.

use crate::page::{Cell, Column, Page, Style};
use crate::progress::{self, Progress};
use crate::target::Target;
use crate::text::{count, escape_json};
use crate::{Failure, Format, show};
use model::trace::Outcome;
use ops::replay::{Difference, PassedOver, Replayed};
use serde_json::{Map, Value, json};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::process::ExitCode;
use store::Engine;

/// Where the server keeps its documents, in its data directory.
const STORE: &str = "store";
/// What a server that runs holds.
const LOCK: &str = "lock";

/// Judge every kept decision again and report those that come out otherwise
///
/// Each is judged from its trace alone, by the gates of this program and the roles, policies and whatever else was
/// in force when it was made. `hubward up --keep-facts` keeps those. What authentication refused is passed over,
/// for credentials are not kept. The server must not run; a copy of its data directory will do as well.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward replay
  hubward replay --data /var/lib/hubward
  hubward replay -o json | jq '.differences[]'

Exit codes:
  0  every decision that can be judged again came out the same
  1  one came out otherwise, or they cannot be read
  2  the command line cannot be meant")]
pub struct Replay {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(replay: &Replay) -> Result<ExitCode, Failure> {
    let data = replay.target.data_dir();
    let _held = hold(&data)?;
    let replayed = judge(&data.join(STORE))?;
    match replay.output {
        Format::Json => show(&as_json(&replayed))?,
        Format::Table => show(&as_text(&replayed, Page::for_stdout()))?,
    }
    Ok(if replayed.different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Keeps servers out while the directory is read.
fn hold(data: &Path) -> Result<File, Failure> {
    let shown = data.display();
    if !data.join(STORE).is_dir() {
        return Err(Failure::Failed(format!(
            "no server has its data in `{shown}`; name its directory with `--data DIR`"
        )));
    }
    let told = |it| Failure::Failed(format!("cannot use the data directory `{shown}`: {it}"));
    let lock = File::open(data.join(LOCK)).map_err(told)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Failure::Failed(format!(
            "a server runs on `{shown}`; stop it first, or name a copy with `--data DIR`"
        ))),
        Err(TryLockError::Error(error)) => Err(told(error)),
    }
}

fn judge(store: &Path) -> Result<Replayed, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime =
        runtime.map_err(|it| Failure::Failed(format!("cannot start the runtime: {it}")))?;
    let progress = Progress::default();
    let watch = |done: usize, all: usize| {
        progress.tell(&format!("judging again {} {done} of {all}", progress::bar(done, all)));
    };
    runtime.block_on(async {
        let store = Engine::sqlite(store).map_err(|it| Failure::Failed(it.to_string()))?;
        let replayed = ops::replay::again(&store, watch).await.map_err(Failure::Failed);
        let closed = store.close().await.map_err(|it| Failure::Failed(it.to_string()));
        replayed.and_then(|it| closed.map(|()| it))
    })
}

const COLUMNS: [Column; 5] = [
    Column::Firm("tracking id"),
    Column::Firm("time"),
    Column::Firm("operation"),
    Column::Soft("then"),
    Column::Soft("now"),
];

fn as_text(replayed: &Replayed, mut page: Page) -> String {
    let judged = replayed.same + replayed.different;
    let all = count(judged, "decision was judged again", "decisions were judged again");
    let (style, came) = match replayed.different {
        0 => (Style::Good, "each came out the same".to_owned()),
        some => (Style::Bad, count(some, "came out otherwise", "came out otherwise")),
    };
    if !replayed.differences.is_empty() {
        let rows: Vec<Vec<Cell>> = replayed.differences.iter().map(row).collect();
        page.table(0, &COLUMNS, &rows);
        if replayed.different > rows.len() {
            page.paragraph(0, Style::Dim, &format!("and {} more", replayed.different - rows.len()));
        }
        page.blank();
    }
    page.paragraph(0, if judged == 0 { Style::Plain } else { style }, &format!("{all}; {came}"));
    for (why, number) in &replayed.passed_over {
        page.paragraph(0, Style::Plain, &format!("{number} passed over: {}", meaning(*why)));
    }
    page.into_text()
}

fn row(Difference { then, now }: &Difference) -> Vec<Cell> {
    vec![
        Cell::plain(then.id.to_string()),
        Cell::plain(then.time.rfc3339()),
        Cell::plain(&then.call.operation),
        Cell::plain(shortly(&then.outcome)),
        Cell::new(Style::Bad, shortly(now)),
    ]
}

/// `deny by policy, 403 RequestDisallowedByPolicy`.
fn shortly(outcome: &Outcome) -> String {
    let Outcome { verdict, gate, status, code, .. } = outcome;
    match gate {
        Some(gate) => format!("{} by {}, {status} {code}", verdict.as_str(), gate.as_str()),
        None => verdict.as_str().to_owned(),
    }
}

const fn meaning(why: PassedOver) -> &'static str {
    match why {
        PassedOver::AtAuthentication => "authentication refused them, and credentials are not kept",
        PassedOver::Shortened => "an object of the call was too large to be kept",
        PassedOver::NoFacts => "the facts of their time are not kept, or not any more",
        PassedOver::Unknown => "they name an operation, action or scope that does not exist",
        PassedOver::Unreadable => "they are no traces that this version can read",
    }
}

fn as_json(replayed: &Replayed) -> String {
    let told = |it: &Outcome| {
        json!({
            "verdict": it.verdict, "gate": it.gate, "status": it.status,
            "code": it.code, "message": it.message,
        })
    };
    let difference = |it: &Difference| {
        json!({
            "id": it.then.id, "time": it.then.time.rfc3339(),
            "operation": it.then.call.operation, "facts": it.then.facts,
            "then": told(&it.then.outcome), "now": told(&it.now),
        })
    };
    let differences: Vec<Value> = replayed.differences.iter().map(difference).collect();
    let passed_over: Map<String, Value> =
        replayed.passed_over.iter().map(|(why, it)| (why.as_str().to_owned(), json!(it))).collect();
    let report = json!({
        "same": replayed.same,
        "different": replayed.different,
        "differences": differences,
        "passedOver": passed_over,
    });
    escape_json(&format!("{report:#}\n"))
}

#[cfg(test)]
mod tests;
