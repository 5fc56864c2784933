//! `hubward ingest`: writes the security policies of many devices, to Hubward or to any Azure Resource Manager.
//!
//! Decides nothing of when to try again: the `ingest` crate does. What is printed is either for people or lines of JSON.

use crate::connection_string::now;
use crate::progress::Progress;
use crate::target::{Target as Server, environment};
use crate::text::escape_json;
use crate::{Failure, Format, say, show};
use ingest::items::Items;
use ingest::{
    Alert, Credential, Event, IngestError, Ingestion, Pace, Record, SignIn, Summary, Target,
};
use model::Secret;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::watch;

/// Where most systems keep the certificates that they believe.
const SYSTEM_CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Most items of a batch: they are all in memory.
const BATCH_MAX: u64 = 10_000;
const AT_ONCE_MAX: u64 = 1_000;
const RETRIES_MAX: i64 = 10;

/// Write the security policies of many devices to a hub, in batches, and say why some were refused
///
/// Each policy is tried again while trying can help: a role that is assigned and not seen everywhere yet gets one new
/// token and then waits of 1, 2 and 4 seconds; who comes too fast waits as long as the server asks for. A permission that
/// is missing is not waited for, and is named. With --record a run that was broken off goes on where it was.
///
/// FROM is a file, a directory or `-` for standard input. A line of JSON is {"deviceId": "pump-1", "policy": {...}};
/// null as its policy deletes the device's. A file NAME.json may hold the policy of device NAME alone.
///
/// Who writes is said as Azure's own libraries take it: AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or
/// AZURE_FEDERATED_TOKEN_FILE in place of the secret, or a managed identity, or who is signed in to the Azure CLI.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward ingest --hub \"$HUB\" policies/
  hubward ingest --hub \"$HUB\" --record written.jsonl --every 4h policies/
  jq -c '.[] | {deviceId: .id, policy: .policy}' all.json | hubward ingest --hub \"$HUB\" -
  hubward ingest --hub \"$HUB\" --arm https://management.azure.com --credential azure-cli policies/

Exit codes:
  0  every policy is written
  1  some are not, or the run could not begin
  2  the command line cannot be meant")]
pub struct Ingest {
    /// The resource id of the hub
    #[arg(long, value_name = "ID")]
    hub: String,

    /// Files, directories, or - for standard input
    #[arg(required = true, value_name = "FROM")]
    from: Vec<PathBuf>,

    /// By what to sign in; found out from the environment where it is not said
    #[arg(long, value_enum)]
    credential: Option<Kind>,

    /// Policies of a batch
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=BATCH_MAX))]
    batch: u64,

    /// Between two batches
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = span)]
    pause: Duration,

    /// Requests at once
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=AT_ONCE_MAX))]
    at_once: u64,

    /// How often one policy is waited for
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=RETRIES_MAX))]
    retries: u32,

    /// A file that remembers what was written, for this hub
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Do it again, so long after it began: 4h, 30m
    #[arg(long, value_name = "TIME", value_parser = span)]
    every: Option<Duration>,

    /// Where an alert is posted to when too many are refused for who asks, and when that is over
    #[arg(long, value_name = "URL")]
    alert_webhook: Option<String>,

    /// From what part of the tries on, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, requires = "alert_webhook")]
    alert_above: f64,

    /// Azure Resource Manager; the server's own where it is not said
    #[arg(long, value_name = "URL")]
    arm: Option<String>,

    /// Where to sign in; the server's own, or what AZURE_AUTHORITY_HOST says
    #[arg(long, value_name = "URL")]
    authority: Option<String>,

    /// For whom tokens are
    #[arg(long, value_name = "URL", default_value = "https://management.azure.com")]
    audience: String,

    /// The version of the API that is asked for
    #[arg(long, value_name = "DATE", default_value = "2021-07-01")]
    api_version: String,

    /// Certificates to believe, as PEM; the server's own, or the system's with --arm
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// How to print it; table at a terminal, json, a line for each event, where the output is piped
    #[arg(short, long, value_enum)]
    output: Option<Format>,

    #[command(flatten)]
    target: Server,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET
    Secret,
    /// AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID and AZURE_CLIENT_ID
    WorkloadIdentity,
    /// Of this machine, or the one that AZURE_CLIENT_ID names
    ManagedIdentity,
    /// Who is signed in to the Azure CLI
    AzureCli,
}

/// `500ms`, `2s`, `30m` or `4h`.
fn span(text: &str) -> Result<Duration, String> {
    let at = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a number and one of ms, s, m and h: 2s, 30m, 4h".to_owned()),
    };
    let spanned = number.parse::<u64>().ok().and_then(|it| it.checked_mul(ms));
    spanned.map(Duration::from_millis).ok_or_else(|| "it is too long, or has no number".to_owned())
}

pub(crate) fn run(asked: &Ingest) -> Result<ExitCode, Failure> {
    let mut ingestion = ingestion(asked)?;
    let mut record = asked.record.as_deref().map(|it| Record::open(it, &asked.hub)).transpose()?;
    let is_from_stdin = asked.from.iter().any(|it| it == Path::new("-"));
    if is_from_stdin && asked.every.is_some() {
        let why = "`--every` reads everything again each time, and standard input is read once";
        return Err(Failure::Usage(why.to_owned()));
    }
    let format = asked.output.unwrap_or(match io::stdout().is_terminal() {
        true => Format::Table,
        false => Format::Json,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|it| Failure::Failed(format!("cannot begin: {it}")))?;
    let summary = runtime.block_on(async {
        let (stopping, stop) = watch::channel(false);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stopping.send_replace(true);
            }
            // Whoever asks twice does not wait for the batch.
            let _ = tokio::signal::ctrl_c().await;
            std::process::exit(1);
        });
        cycles(asked, &mut ingestion, record.as_mut(), &stop, format).await
    })?;
    Ok(match summary.failure_count == 0 && summary.stopped.is_none() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}

/// One run, or one after the other until it is stopped: the last one's summary.
async fn cycles(
    asked: &Ingest,
    ingestion: &mut Ingestion,
    mut record: Option<&mut Record>,
    stop: &watch::Receiver<bool>,
    format: Format,
) -> Result<Summary, Failure> {
    loop {
        let began = tokio::time::Instant::now();
        let items = Items::open(&asked.from).map_err(|it| Failure::Failed(it.to_string()))?;
        let progress = Progress::default();
        let mut tell = |event: Event<'_>| told(format, &progress, &event);
        let ran = ingestion.run(items, record.as_deref_mut(), stop, &mut tell).await;
        drop(progress);
        let summary = match (ran, asked.every) {
            (Ok(summary), _) => {
                show(&match format {
                    Format::Json => line(&json!({ "summary": summary })),
                    Format::Table => table(&summary),
                })?;
                summary
            }
            (Err(error), None) => return Err(error.into()),
            // The next may find what this one did not: it is said, and time goes on.
            (Err(error), Some(_)) => {
                say(format_args!("error: {error}"));
                Summary { stopped: Some(error.to_string()), ..Summary::default() }
            }
        };
        let Some(every) = asked.every.filter(|_| !*stop.borrow()) else { return Ok(summary) };
        let mut stop = stop.clone();
        tokio::select! {
            () = tokio::time::sleep_until(began + every) => {}
            _ = stop.wait_for(|it| *it) => return Ok(summary),
        }
    }
}

fn ingestion(asked: &Ingest) -> Result<Ingestion, Failure> {
    let server = match &asked.arm {
        Some(_) => None,
        None => Some(asked.target.connection()?),
    };
    let arm = asked.arm.as_deref().or(server.as_ref().map(|it| it.arm())).unwrap_or_default();
    let target = Target::new(arm, &asked.hub, &asked.api_version)?;
    let own = server.as_ref().map(|it| it.ca_file());
    let trusted = asked.ca_file.as_deref().or(own).unwrap_or(Path::new(SYSTEM_CA_FILE));
    let authority = server.as_ref().map(|it| it.authority().to_owned());
    let sign_in = SignIn {
        credential: credential(asked.credential)?,
        authority: asked.authority.clone().or(authority),
        audience: &asked.audience,
        trusted,
    };
    let count = |it: u64| usize::try_from(it).unwrap_or(usize::MAX);
    let pace = Pace {
        batch: count(asked.batch),
        pause: asked.pause,
        at_once: count(asked.at_once),
        waits: asked.retries,
    };
    let alert = asked.alert_webhook.clone();
    let alert = alert.map(|webhook| Alert { webhook, above_percent: asked.alert_above });
    Ok(Ingestion::new(target, sign_in, pace, alert, now)?)
}

/// What was asked for, or what the environment has most of.
fn credential(asked: Option<Kind>) -> Result<Credential, Failure> {
    let set = |name: &str| environment(name).filter(|it| !it.is_empty());
    let kind = asked.unwrap_or_else(|| {
        if set("AZURE_CLIENT_SECRET").is_some() {
            Kind::Secret
        } else if set("AZURE_FEDERATED_TOKEN_FILE").is_some() {
            Kind::WorkloadIdentity
        } else if set("IDENTITY_ENDPOINT").is_some() {
            Kind::ManagedIdentity
        } else {
            Kind::AzureCli
        }
    });
    let required = |name: &str| {
        set(name).ok_or_else(|| {
            Failure::Usage(format!(
                "`{name}` is not set: an application that signs in by a secret needs AZURE_TENANT_ID, \
                 AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, as `az ad sp create-for-rbac` prints them"
            ))
        })
    };
    Ok(match kind {
        Kind::Secret => Credential::Secret {
            tenant: required("AZURE_TENANT_ID")?,
            client: required("AZURE_CLIENT_ID")?,
            secret: Secret::new(required("AZURE_CLIENT_SECRET")?),
        },
        Kind::WorkloadIdentity => Credential::WorkloadIdentity,
        Kind::ManagedIdentity => Credential::ManagedIdentity { client: set("AZURE_CLIENT_ID") },
        Kind::AzureCli => Credential::AzureCli,
    })
}

impl From<IngestError> for Failure {
    fn from(it: IngestError) -> Self {
        Self::Failed(it.0)
    }
}

/// Prints an event: a line of JSON, or for people what failed and how far it is.
fn told(format: Format, progress: &Progress, event: &Event<'_>) {
    let Format::Table = format else {
        // Whoever reads may have stopped; what is to be written is written all the same.
        let _ = described(event).map_or(Ok(()), |it| show(&line(&it)));
        return;
    };
    match event {
        Event::Failed { what, reason, message, tracking, .. } => {
            let next = tracking.map(|it| format!("; `hubward explain {it}`")).unwrap_or_default();
            progress.tell("");
            say(format_args!("{what}: {reason}: {message}{next}"));
        }
        Event::AlertLost(because) => say(format_args!("the alert could not be told: {because}")),
        Event::Batch(summary) => progress.tell(&format!(
            "{} written, {} failed, {} unchanged",
            summary.success_count, summary.failure_count, summary.skipped
        )),
        Event::Written { .. } | Event::Skipped { .. } => {}
    }
}

fn described(event: &Event<'_>) -> Option<Value> {
    Some(match event {
        Event::Written { device, status } => json!({ "written": device, "status": status }),
        Event::Skipped { device } => json!({ "unchanged": device }),
        Event::Failed { what, status, reason, message, tracking } => json!({
            "failed": what, "status": status, "reason": reason, "message": message,
            "trackingId": tracking,
        }),
        Event::AlertLost(because) => json!({ "alertLost": because }),
        Event::Batch(_) => return None,
    })
}

fn line(it: &Value) -> String {
    escape_json(&format!("{it}\n"))
}

fn table(summary: &Summary) -> String {
    let Summary { success_count, failure_count, auth_errors, skipped, .. } = summary;
    let mut text = format!(
        "{success_count} written, {failure_count} failed ({auth_errors} for who asked: {:.1} %), {skipped} \
         unchanged; {} tries again, {} tokens before their time\n",
        summary.auth_error_rate() * 100.0,
        summary.retries,
        summary.tokens_renewed,
    );
    if let Some(time) = &summary.last_success_time {
        let _ = writeln!(text, "last written at {time}");
    }
    for (reason, it) in &summary.by_reason {
        let _ = writeln!(text, "  {:>6}  {reason}", it.count);
        let next = it.tracking_id.as_ref().map(|id| format!("; `hubward explain {id}` says why"));
        let words = format!("{}: {}{}", it.first, it.message, next.unwrap_or_default());
        let _ = writeln!(text, "          {}", crate::text::escape(&words));
    }
    if let Some(why) = &summary.stopped {
        let _ = writeln!(text, "{why}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        let ms = Duration::from_millis;
        for (text, spanned) in [("500ms", 500), ("2s", 2_000), ("0s", 0), ("4h", 14_400_000)] {
            assert_eq!(span(text), Ok(ms(spanned)), "{text}");
        }
        for text in ["", "4", "h", "-2s", "1.5h", "4 h", "2d", "99999999999999999999h"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
