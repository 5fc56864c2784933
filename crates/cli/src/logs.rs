//! `hubward logs`: the diagnostic records that the server has written, newest last.
//!
//! Reads files of the data directory; asks no server, so that it works when none runs. What a record says
//! of its decision is shown in one line; `hubward explain` shows the rest.

mod record;

use crate::page::{Cell, Colours, Column, Page, Style};
use crate::target::Target;
use crate::text::{count, escape_json};
use crate::{Failure, Format, say, show};
use record::Record;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the server writes its records, in its data directory.
const DIRECTORY: &str = "diagnostics";
/// Records shown unless told otherwise.
const RECORDS_DEFAULT: u32 = 50;
const RECORDS_MAX: i64 = 10_000;
/// Longest line that is taken for a record.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Most files of the directory that are looked at.
const FILES_MAX: usize = 10_000;

const COLUMNS: [Column; 9] = [
    Column::Firm("time"),
    Column::Firm("level"),
    Column::Firm("category"),
    Column::Firm("resource"),
    Column::Firm("operation"),
    Column::Firm("result"),
    Column::Firm("decided by"),
    Column::Firm("tracking id"),
    Column::Firm("correlation id"),
];

/// Show diagnostic records: what was asked of hubs and provisioning services, and what refused it
///
/// A resource's records go to a workspace once its diagnostic settings name one. `hubward explain` shows a
/// refusal whole by its tracking id. A device's call at a provisioning service and what follows at the hub
/// have one correlation id.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward logs
  hubward logs my-workspace --category DeviceIdentityOperations -n 10
  hubward logs --correlation 3f0c0f5e-1111-4222-8333-444455556666
  hubward logs -o json | jq 'select(.level == \"Error\") | .properties | fromjson'

Send the records of a hub and of its provisioning service to a workspace:
  az monitor diagnostic-settings create --name to-workspace --resource HUB_ID \\
      --workspace WORKSPACE_ID --logs '[{\"category\":\"DeviceIdentityOperations\",\"enabled\":true}]'
  az monitor diagnostic-settings create --name to-workspace --resource DPS_ID \\
      --workspace WORKSPACE_ID --logs '[{\"categoryGroup\":\"allLogs\",\"enabled\":true}]'

Exit codes:
  0  shown, even where no record fits
  1  no records were ever written, or not in that workspace
  2  the command line cannot be meant")]
pub struct Logs {
    /// Only this workspace: its name or its resource id
    workspace: Option<String>,

    #[command(flatten)]
    filter: Filter,

    /// How many, counted from the newest
    #[arg(short = 'n', long = "last", value_name = "N", default_value_t = RECORDS_DEFAULT,
          value_parser = clap::value_parser!(u32).range(1..=RECORDS_MAX))]
    last: u32,

    /// How to print them; json is one record a line, as it was written
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    target: Target,
}

/// Which records.
#[derive(clap::Args, Clone, Debug, Default)]
struct Filter {
    /// Only this category: DeviceIdentityOperations, DeviceOperations, ServiceOperations
    #[arg(long)]
    category: Option<String>,

    /// Only what has this correlation id: both sides of a registration, in the order of time
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
}

impl Filter {
    fn takes(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|it| it.eq_ignore_ascii_case(found))
        };
        is(&self.category, &record.category) && is(&self.correlation, &record.correlation)
    }
}

pub(crate) fn run(logs: &Logs) -> Result<ExitCode, Failure> {
    let directory = logs.target.data_dir().join(DIRECTORY);
    let files = files(&directory, logs.workspace.as_deref())?;
    let limit = usize::try_from(logs.last).unwrap_or(usize::MAX);
    let found = read(&files, &logs.filter, limit)?;
    match logs.output {
        Format::Json => show(&lines(&found.records))?,
        Format::Table if found.records.is_empty() => say("no record fits"),
        Format::Table => {
            // One record is one line, however long: lines are searched and counted.
            let colours = Page::for_stdout().colours();
            show(&table(&found.records, colours))?;
        }
    }
    for broken in &found.broken {
        say(format_args!(
            "skipped {} of `{}`; the first is line {}",
            count(broken.lines, "broken line", "broken lines"),
            broken.file.display(),
            broken.first
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// What was read.
#[derive(Default)]
struct Found {
    /// By time, the newest last.
    records: Vec<Record>,
    broken: Vec<Broken>,
}

/// Lines of a file that are no records.
struct Broken {
    file: PathBuf,
    lines: usize,
    /// Its number, from 1.
    first: usize,
}

/// The files of a workspace, or of all, the older of a workspace first.
fn files(directory: &Path, workspace: Option<&str>) -> Result<Vec<PathBuf>, Failure> {
    let next = "send a resource's records to a workspace with `az monitor diagnostic-settings create`, or name \
                the server's data directory with `--data DIR`";
    let cannot = |error: io::Error| match error.kind() == io::ErrorKind::NotFound {
        true => Failure::Failed(format!(
            "no records were ever written to `{}`; {next}",
            directory.display()
        )),
        false => Failure::Failed(format!("cannot read `{}`: {error}", directory.display())),
    };
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).map_err(cannot)?.take(FILES_MAX) {
        let path = entry.map_err(cannot)?.path();
        if let Some((stem, age)) = stem(&path) {
            all.push((stem, age, path));
        }
    }
    all.sort();
    let paths =
        |all: Vec<(String, Age, PathBuf)>| all.into_iter().map(|(_, _, path)| path).collect();
    let Some(workspace) = workspace else { return Ok(paths(all)) };
    let (fitting, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(stem, _, _)| is_of(stem, workspace));
    if !fitting.is_empty() {
        return Ok(paths(fitting));
    }
    let mut known: Vec<String> =
        others.into_iter().map(|(stem, _, _)| format!("`{stem}`")).collect();
    known.dedup();
    let next = match known.is_empty() {
        true => next.to_owned(),
        false => format!("there are some in {}", known.join(", ")),
    };
    Err(Failure::Failed(format!("no records were ever written to `{workspace}`; {next}")))
}

/// The server puts a file that has grown long aside, under the same name with `.1` behind it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Age {
    Aside,
    Current,
}

/// A workspace's name and a hash of its id: `my-workspace-0123456789ab`. `None` for other files.
fn stem(path: &Path) -> Option<(String, Age)> {
    let name = path.file_name()?.to_str()?;
    let aside = name.strip_suffix(".jsonl.1").map(|it| (it, Age::Aside));
    let (stem, age) = aside.or_else(|| name.strip_suffix(".jsonl").map(|it| (it, Age::Current)))?;
    Some((stem.to_owned(), age))
}

/// True where `workspace` is the whole stem, the name in it, or the resource id whose hash is in it.
fn is_of(stem: &str, workspace: &str) -> bool {
    let (name, hash) = stem.rsplit_once('-').unwrap_or((stem, ""));
    match workspace.contains('/') {
        true => hash == id_hash(workspace),
        false => stem.eq_ignore_ascii_case(workspace) || name.eq_ignore_ascii_case(workspace),
    }
}

/// The first 6 bytes of the SHA-256 of the lower-case id, as the server names its files.
fn id_hash(workspace: &str) -> String {
    let id = workspace.trim_end_matches('/').to_ascii_lowercase();
    let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    digest.as_ref().iter().take(6).map(|it| format!("{it:02x}")).collect()
}

/// The newest `limit` records of all files. Holds no more than that of each file at a time.
fn read(files: &[PathBuf], filter: &Filter, limit: usize) -> Result<Found, Failure> {
    let mut found = Found::default();
    for file in files {
        let cannot =
            |it: io::Error| Failure::Failed(format!("cannot read `{}`: {it}", file.display()));
        let reader = match File::open(file) {
            // Put aside by the server since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => BufReader::new(opened.map_err(cannot)?),
        };
        let (newest, broken) = read_one(reader, filter, limit).map_err(cannot)?;
        found.records.extend(newest);
        if let Some((first, lines)) = broken {
            found.broken.push(Broken { file: file.clone(), lines, first });
        }
        // Stable: of the same time, the order of the file stands.
        found.records.sort_by_key(|it| it.time);
        let surplus = found.records.len().saturating_sub(limit);
        found.records.drain(..surplus);
    }
    Ok(found)
}

/// The first broken line's number, from 1, and how many there are.
type BrokenLines = Option<(usize, usize)>;

fn read_one(
    mut reader: impl BufRead,
    filter: &Filter,
    limit: usize,
) -> io::Result<(VecDeque<Record>, BrokenLines)> {
    let mut newest = VecDeque::new();
    let mut broken: BrokenLines = None;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let is_whole = line.ends_with(b"\n") || (line.len() as u64) < LINE_BYTES_MAX;
        if !is_whole {
            reader.skip_until(b'\n')?;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match std::str::from_utf8(&line).ok().filter(|_| is_whole).and_then(Record::parse) {
            Some(record) => {
                if filter.takes(&record) {
                    if newest.len() == limit {
                        newest.pop_front();
                    }
                    newest.push_back(record);
                }
            }
            None => {
                let (_, lines) = broken.get_or_insert((number, 0));
                *lines += 1;
            }
        }
    }
    Ok((newest, broken))
}

fn lines(records: &[Record]) -> String {
    records.iter().map(|it| format!("{}\n", escape_json(&it.line))).collect()
}

fn table(records: &[Record], colours: Colours) -> String {
    let row = |it: &Record| {
        let style = match it.level.as_str() {
            "Error" | "Critical" => Style::Bad,
            "Warning" => Style::Warning,
            _ => Style::Plain,
        };
        vec![
            Cell::plain(it.time.rfc3339()),
            Cell::new(style, or_dash(&it.level)),
            Cell::plain(or_dash(&it.category)),
            Cell::plain(or_dash(&it.resource)),
            Cell::plain(or_dash(&it.operation)),
            Cell::plain(or_dash(&it.result)),
            Cell::plain(or_dash(&it.decided)),
            Cell::plain(or_dash(&it.tracking)),
            Cell::plain(or_dash(&it.correlation)),
        ]
    };
    let rows: Vec<Vec<Cell>> = records.iter().map(row).collect();
    let mut page = Page::new(usize::MAX, colours);
    page.table(0, &COLUMNS, &rows);
    page.into_text()
}

fn or_dash(text: &str) -> &str {
    match text {
        "" => "-",
        some => some,
    }
}

#[cfg(test)]
mod tests;
