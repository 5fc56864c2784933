//! `hubward log verify`: whether what devices sent lies on the disk as it was written.
//!
//! Reads files of the data directory and changes none; asks no server, and works while one runs.

use crate::page::{Cell, Column, Page, Style};
use crate::progress::Progress;
use crate::target::Target;
use crate::text::{count, escape, escape_json};
use crate::{Failure, Format, show};
use serde_json::{Value, json};
use std::error::Error as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store::LogError;
use store::log::{Damage, Verified};

/// Where the server keeps a log for each hub, in its data directory.
const DIRECTORY: &str = "log";
/// Most logs that are read at once.
const LOGS_MAX: usize = 10_000;
/// A segment's header stands twice, each copy in as many bytes; records come behind both.
const HEADER_BYTES: u64 = 4_096;

/// Look after the logs in which the server keeps what devices send
#[derive(clap::Args, Debug)]
pub struct Log {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Verify(Verify),
}

/// Read every record and report the ones that are damaged
///
/// Without options it reads the log of each hub in the data directory. It changes nothing, and may be run
/// while the server runs.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward log verify
  hubward log verify --data /var/lib/hubward
  hubward log verify --path /mnt/backup/log/hub-3f0c0f5e111142228333444455556666
  hubward log verify -o json | jq '.logs[].damage[]'

Exit codes:
  0  every record is sound, or none was kept yet
  1  something is damaged or cannot be read
  2  the command line cannot be meant")]
struct Verify {
    /// One log's directory, wherever it lies
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    path: Option<PathBuf>,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(log: &Log) -> Result<ExitCode, Failure> {
    let Command::Verify(verify) = &log.command;
    let logs = match &verify.path {
        Some(path) => vec![one(path)?],
        None => below(&verify.target.data_dir())?,
    };
    let report = Report(logs.iter().map(|it| Checked::new(it)).collect());
    match verify.output {
        Format::Json => show(&report.json())?,
        Format::Table => show(&report.text(Page::for_stdout()))?,
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The log that somebody has named.
fn one(path: &Path) -> Result<PathBuf, Failure> {
    let says = "a log is a directory of files like `00000000000000000000.seg`; the server's are below `log` in its \
                data directory, which `--data DIR` names";
    let is_segment = |entry: fs::DirEntry| entry.path().extension().is_some_and(|it| it == "seg");
    match listed(path, says)?.any(|it| it.is_ok_and(is_segment)) {
        true => Ok(path.to_owned()),
        false => Err(Failure::Failed(format!("no log lies in `{}`; {says}", path.display()))),
    }
}

/// The logs of all hubs, by name.
fn below(data: &Path) -> Result<Vec<PathBuf>, Failure> {
    let next = "name the server's data directory with `--data DIR`";
    listed(data, next)?;
    let directory = data.join(DIRECTORY);
    // The server makes it with the first log.
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let mut logs = Vec::new();
    for entry in listed(&directory, next)? {
        let cannot = |it| Failure::Failed(format!("cannot read `{}`: {it}", directory.display()));
        let path = entry.map_err(cannot)?.path();
        if path.is_dir() {
            logs.push(path);
        }
        if logs.len() > LOGS_MAX {
            return Err(Failure::Failed(format!(
                "`{}` holds more than {LOGS_MAX} logs; name one at a time with `--path DIR`",
                directory.display()
            )));
        }
    }
    logs.sort();
    Ok(logs)
}

/// What lies in a directory; where it is none, `next` says what to do.
fn listed(path: &Path, next: &str) -> Result<fs::ReadDir, Failure> {
    fs::read_dir(path).map_err(|error| {
        let shown = path.display();
        let is = |kind| error.kind() == kind;
        Failure::Failed(if is(io::ErrorKind::NotFound) {
            format!("there is no `{shown}`; {next}")
        } else if is(io::ErrorKind::NotADirectory) {
            format!("`{shown}` is a file; {next}")
        } else {
            format!("cannot read `{shown}`: {error}")
        })
    })
}

/// What became of all logs.
struct Report(Vec<Checked>);

/// What became of one.
struct Checked {
    path: PathBuf,
    outcome: Result<Verified, LogError>,
}

impl Checked {
    fn new(path: &Path) -> Self {
        let progress = Progress::default();
        let outcome = store::log::verify_watched(path, |done, all| {
            // A single segment is read before anybody has read the line.
            if all > 1 {
                let segment = format!("segment {} of {all}", done + 1);
                progress.tell(&format!("reading {}: {segment}", escape(name(path))));
            }
        });
        drop(progress);
        Self { path: path.to_owned(), outcome }
    }

    fn is_sound(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|it| it.bad == 0)
    }
}

const COLUMNS: [Column; 5] = [
    Column::Firm("log"),
    Column::Firm("segments"),
    Column::Firm("records"),
    Column::Firm("damaged places"),
    Column::Firm("state"),
];

const DAMAGE_COLUMNS: [Column; 4] = [
    Column::Firm("file"),
    Column::Firm("from byte"),
    Column::Firm("bytes"),
    Column::Soft("what it means"),
];

impl Report {
    fn is_sound(&self) -> bool {
        self.0.iter().all(Checked::is_sound)
    }

    fn text(&self, mut page: Page) -> String {
        if self.0.is_empty() {
            page.paragraph(0, Style::Plain, "No messages were kept yet: there is no log.");
            return page.into_text();
        }
        let rows: Vec<Vec<Cell>> = self.0.iter().map(row).collect();
        page.table(0, &COLUMNS, &rows);
        for Checked { path, outcome } in &self.0 {
            match outcome {
                Ok(verified) => explain(&mut page, path, verified),
                Err(error) => {
                    page.blank();
                    page.paragraph(0, Style::Bad, &format!("{}: {}", name(path), sentence(error)));
                }
            }
        }
        if self.0.iter().any(|it| it.outcome.as_ref().is_ok_and(|it| it.bad > 0)) {
            page.blank();
            page.paragraph(0, Style::Plain, NEXT);
        }
        page.into_text()
    }

    fn json(&self) -> String {
        let logs: Vec<Value> = self.0.iter().map(log_json).collect();
        let report = json!({ "sound": self.is_sound(), "logs": logs });
        escape_json(&format!("{report:#}\n"))
    }
}

fn row(Checked { path, outcome }: &Checked) -> Vec<Cell> {
    let name = Cell::plain(name(path));
    match outcome {
        Ok(verified) => {
            let (style, state) = match verified {
                Verified { bad: 1.., .. } => (Style::Bad, "damaged"),
                Verified { segments: 0, .. } => (Style::Warning, "empty"),
                Verified { torn_tail: true, .. } => (Style::Good, "sound, unfinished at its end"),
                Verified { .. } => (Style::Good, "sound"),
            };
            vec![
                name,
                Cell::plain(verified.segments.to_string()),
                Cell::plain(verified.records.to_string()),
                Cell::plain(verified.bad.to_string()),
                Cell::new(style, state),
            ]
        }
        Err(_) => {
            let unknown = || Cell::plain("-");
            vec![name, unknown(), unknown(), unknown(), Cell::new(Style::Bad, "unreadable")]
        }
    }
}

/// Below the table: what an operator should know about a log that is not simply sound.
fn explain(page: &mut Page, path: &Path, verified: &Verified) {
    if verified.segments == 0 {
        page.blank();
        let text =
            "holds no segment: nothing was written to it yet, or all its files were taken away.";
        page.paragraph(0, Style::Plain, &format!("{}: {text}", name(path)));
    }
    if verified.torn_tail {
        page.blank();
        let text = "the last bytes are no whole record. They are being written, or a crash left them: nothing that \
                    was acknowledged is in them, and the next start of the server clears them.";
        page.paragraph(0, Style::Plain, &format!("{}: {text}", name(path)));
    }
    if verified.bad > 0 {
        page.blank();
        let places = count(verified.damage.len(), "damaged place", "damaged places");
        let listed = match verified.bad > verified.damage.len() as u64 {
            true => format!("the first {places} of {}", verified.bad),
            false => places,
        };
        page.paragraph(0, Style::Bold, &format!("{}: {listed}", name(path)));
        let rows: Vec<Vec<Cell>> = verified.damage.iter().map(damage_row).collect();
        page.table(2, &DAMAGE_COLUMNS, &rows);
    }
}

const NEXT: &str = "Damaged bytes are skipped and never served; everything else is. To have the records back, stop the \
                    server and put a copy of the file from a backup in its place: for the newest segment that loses \
                    what came after the copy. Otherwise leave the files as they are; they go with their age.";

fn damage_row(damage: &Damage) -> Vec<Cell> {
    let place = Place::of(damage);
    vec![
        Cell::plain(place.file(damage)),
        Cell::plain(place.from().map_or_else(|| "-".to_owned(), |it| it.to_string())),
        Cell::plain(damage.bytes.to_string()),
        Cell::plain(place.meaning()),
    ]
}

/// What a damaged place is, as its place tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Bytes among the records, from this one of the file on.
    Records(u64),
    /// A copy of the header.
    Header(u64),
    /// The file before this one.
    Missing,
    /// The end of the file before this one.
    Shorter,
}

impl Place {
    fn of(damage: &Damage) -> Self {
        // A segment is named by the offset of its first byte.
        let stem = damage.path.file_stem().and_then(|it| it.to_str());
        let base = stem.and_then(|it| it.parse().ok()).unwrap_or(0);
        match damage.offset.checked_sub(base) {
            None => Self::Missing,
            Some(0) if damage.bytes == 0 => Self::Shorter,
            Some(from) if from < 2 * HEADER_BYTES => Self::Header(from),
            Some(from) => Self::Records(from),
        }
    }

    fn file(self, damage: &Damage) -> String {
        match self {
            Self::Missing => format!("{:020}.seg", damage.offset),
            Self::Records(_) | Self::Header(_) | Self::Shorter => name(&damage.path).to_owned(),
        }
    }

    const fn from(self) -> Option<u64> {
        match self {
            Self::Records(from) | Self::Header(from) => Some(from),
            Self::Missing | Self::Shorter => None,
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Records(_) => "no whole record is here; whatever was, is lost",
            Self::Header(_) => "one of two copies of the file's header; one is enough",
            Self::Missing => "the file is not there, and its records are lost",
            Self::Shorter => "the file before this one held more records than it does now",
        }
    }
}

fn log_json(Checked { path, outcome }: &Checked) -> Value {
    let (log, shown) = (name(path), path.display().to_string());
    match outcome {
        Ok(verified) => json!({
            "log": log,
            "path": shown,
            "segments": verified.segments,
            "records": verified.records,
            "damagedPlaces": verified.bad,
            "tornTail": verified.torn_tail,
            "damage": verified.damage.iter().map(damage_json).collect::<Vec<_>>(),
        }),
        Err(error) => json!({ "log": log, "path": shown, "error": sentence(error) }),
    }
}

fn damage_json(damage: &Damage) -> Value {
    let place = Place::of(damage);
    json!({
        "file": place.file(damage),
        "fromByte": place.from(),
        "offset": damage.offset,
        "bytes": damage.bytes,
        "meaning": place.meaning(),
    })
}

/// The error and what the system said.
fn sentence(error: &LogError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|it| it.to_str()).unwrap_or("log")
}

#[cfg(test)]
mod tests;
