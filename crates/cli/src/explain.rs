//! `hubward explain`: why a call was refused or allowed, or what would become of one.

use crate::answer::Answer;
use crate::client::Client;
use crate::page::Page;
use crate::render::{Question, render};
use crate::target::Target;
use crate::text::escape_json;
use crate::what_if::{json_of, policy_changes};
use crate::{Failure, Format, show};
use model::TrackingId;
use model::json::set;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Longest text in which a tracking id is looked for: a whole error body.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Explain a decision: which gate decided, by which rule, and the smallest change
///
/// Every answer carries a tracking id: in the header x-ms-request-id, and in what clients print on an
/// error. With it, explain shows the kept decision, gate by gate. Refusals are kept, and so are allowed
/// changes; the oldest go first.
///
/// With --principal, --action and --scope it asks what would be decided now. Nobody calls, nothing is
/// kept, and the exit code is 1 where the call would be refused.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward explain 3f0c0f5e-1111-4222-8333-444455556666
  hubward explain 'Tracking ID:3f0c0f5e-1111-4222-8333-444455556666-G:0-TimeStamp:11/22/2026 08:00:00'
  hubward explain --principal line-3-provisioner \\
      --action Microsoft.Devices/IotHubs/devices/write \\
      --scope /subscriptions/SUB/resourceGroups/RG/providers/Microsoft.Devices/IotHubs/HUB --object-name pump-7
  hubward explain --policy draft.json --principal line-3-provisioner \
      --action Microsoft.Devices/IotHubs/devices/write --scope \"$HUB\"
  hubward explain -o json 3f0c0f5e-1111-4222-8333-444455556666 | jq .decision.outcome

Exit codes:
  0  shown; with --principal: it would be allowed
  1  not found, not yours to read, or no answer; with --principal: it would be refused
  2  the command line cannot be meant")]
pub struct Explain {
    /// The tracking id, or the line of an error message in which it stands
    #[arg(
        value_name = "TRACKING_ID",
        num_args = 1..,
        required_unless_present = "principal",
        conflicts_with = "principal"
    )]
    tracking_id: Vec<String>,

    /// Who would call: an object id, an application id or a display name
    #[arg(long, requires = "action", requires = "scope")]
    principal: Option<String>,

    /// What it would do: Microsoft.Devices/IotHubs/devices/write
    #[arg(long, requires = "principal")]
    action: Option<String>,

    /// Where: /subscriptions/...
    #[arg(long, requires = "principal")]
    scope: Option<String>,

    /// The name of what it would write: a device id
    #[arg(long, value_name = "NAME", requires = "principal")]
    object_name: Option<String>,

    /// As if this policy were assigned at the scope: a file with a definition, a rule or list of rules, or an assignment
    #[arg(long, value_name = "FILE", requires = "principal")]
    policy: Option<PathBuf>,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(explain: &Explain) -> Result<ExitCode, Failure> {
    // A text without an id is refused before anybody is called.
    let wanted = wanted(explain)?;
    let connection = explain.target.connection()?;
    let client = Client::sign_in(&connection)?;
    let (body, question) = match &wanted {
        Wanted::Kept(id) => (client.get(&format!("/decisions/{id}"))?, Question::Why),
        Wanted::Asked(ask) => (client.post("/decisions/ask", ask)?, Question::WhatIf),
    };
    match explain.output {
        // Unchanged, even where a newer server says more than is known here.
        Format::Json => show(&pretty(&body))?,
        Format::Table => show(&render(&read(&body)?, question, Page::for_stdout()))?,
    }
    let verdict = body.pointer("/decision/outcome/verdict").and_then(Value::as_str);
    Ok(match question {
        Question::WhatIf if verdict != Some("allow") => ExitCode::FAILURE,
        Question::WhatIf | Question::Why => ExitCode::SUCCESS,
    })
}

fn read(body: &Value) -> Result<Answer, Failure> {
    Answer::deserialize(body).map_err(|it| {
        Failure::Failed(format!(
            "the server's answer is not a decision that this client can read ({it}); is one of the two older \
             than the other? `-o json` shows it as it is"
        ))
    })
}

/// What is asked of the server.
enum Wanted {
    Kept(TrackingId),
    Asked(Value),
}

fn wanted(explain: &Explain) -> Result<Wanted, Failure> {
    if let Some(principal) = &explain.principal {
        let mut question = json!({
            "principal": principal,
            "action": explain.action,
            "scope": explain.scope,
            "objectName": explain.object_name,
        });
        if let (Some(file), Some(at)) = (&explain.policy, &explain.scope) {
            set(&mut question, "changes", policy_changes(&json_of(file)?, at)?);
        }
        return Ok(Wanted::Asked(question));
    }
    // Unquoted, the shell has split the text at its spaces.
    let text = explain.tracking_id.join(" ");
    find_tracking_id(&text).map(Wanted::Kept).ok_or_else(|| {
        Failure::Usage(
            "there is no tracking id in that; it looks like `3f0c0f5e-1111-4222-8333-444455556666` and stands \
             behind `Tracking ID:` in error messages and in the header `x-ms-request-id`"
                .into(),
        )
    })
}

/// The server's answer as it came, on several lines.
pub(crate) fn pretty(body: &Value) -> String {
    escape_json(&format!("{body:#}\n"))
}

/// The tracking id in a text: the first GUID behind the word `tracking`, else the first of all.
fn find_tracking_id(text: &str) -> Option<TrackingId> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    // ASCII lower case keeps every byte in its place.
    let label = text.to_ascii_lowercase().find("tracking").unwrap_or(0);
    guids(text.get(label..)?).next().or_else(|| guids(text).next())
}

fn guids(text: &str) -> impl Iterator<Item = TrackingId> {
    const LENGTH: usize = 36;
    let is_hex_at = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    (0..text.len().saturating_sub(LENGTH - 1)).filter_map(move |at| {
        let is_longer = at.checked_sub(1).is_some_and(is_hex_at) || is_hex_at(at + LENGTH);
        match is_longer || !is_hex_at(at) {
            true => None,
            false => TrackingId::parse(text.get(at..at + LENGTH)?),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command, FromArgMatches};

    const ID: &str = "3f0c0f5e-1111-4222-8333-444455556666";
    const OTHER: &str = "aaaaaaaa-1111-4222-8333-444455556666";

    fn parse(args: &[&str]) -> Result<Explain, clap::Error> {
        let all = std::iter::once("explain").chain(args.iter().copied());
        let matches = Explain::augment_args(Command::new("explain")).try_get_matches_from(all)?;
        Explain::from_arg_matches(&matches)
    }

    #[test]
    fn a_tracking_id_is_found_in_every_text_that_clients_print() {
        let check = |text: &str| {
            assert_eq!(find_tracking_id(text), TrackingId::parse(ID), "{text}");
        };
        check(ID);
        check(&ID.to_uppercase());
        check(&format!("  {ID}\n"));
        check(&format!("Tracking ID:{ID}-G:0-TimeStamp:11/21/2026 10:00:00"));
        check(&format!("Tracking ID: {ID}"));
        check(&format!(
            "{{\"ExceptionMessage\":\"Tracking ID:{ID}-G:0-TimeStamp:11/21/2026 10:00:00\"}}"
        ));
        check(&format!("x-ms-request-id: {ID}"));
        check(&format!("object id '{OTHER}' is refused. tracking id: {ID}"));
        check(&format!("tracking is on; {ID}"));
        check(&format!("{ID} was its tracking number"));
        check(&format!("ä{ID}ä"));
    }

    #[test]
    fn a_text_without_a_guid_has_no_tracking_id() {
        let no = |text: &str| assert_eq!(find_tracking_id(text), None, "{text}");
        no("");
        no("nonsense");
        no(ID.get(1..).unwrap());
        no(&format!("{ID}0"));
        no(&format!("0{ID}"));
        no(&ID.replace('-', ""));
        no(&ID.replace('f', "g"));
        no(&format!("{}{ID}", " ".repeat(TEXT_BYTES_MAX)));
    }

    #[test]
    fn the_shell_may_have_split_the_text() {
        let split =
            parse(&["Tracking", &format!("ID:{ID}-G:0-TimeStamp:11/21/2026"), "10:00:00"]).unwrap();
        assert!(matches!(wanted(&split), Ok(Wanted::Kept(id)) if id.to_string() == ID));
        assert!(matches!(wanted(&parse(&["nonsense"]).unwrap()), Err(Failure::Usage(_))));
    }

    #[test]
    fn asking_needs_who_what_and_where_and_no_id() {
        let asked =
            parse(&["--principal", "p", "--action", "a", "--scope", "/s", "--object-name", "d1"]);
        let Ok(Wanted::Asked(body)) = wanted(&asked.unwrap()) else { panic!("not an ask") };
        assert_eq!(
            body,
            json!({ "principal": "p", "action": "a", "scope": "/s", "objectName": "d1" })
        );
        for bad in [
            &[][..],
            &["--principal", "p"],
            &["--principal", "p", "--action", "a"],
            &["--principal", "p", "--scope", "/s"],
            &["--action", "a", "--scope", "/s"],
            &[ID, "--principal", "p", "--action", "a", "--scope", "/s"],
            &[ID, "--scope", "/s"],
            &[ID, "-o", "xml"],
        ] {
            assert_eq!(parse(bad).map(|_| ()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }

    #[test]
    fn help_teaches_by_example() {
        let help = Explain::augment_args(Command::new("explain")).render_long_help().to_string();
        for taught in ["hubward explain --principal", "Tracking ID:", "Exit codes", "--data <DIR>"]
        {
            assert!(help.contains(taught), "{help}");
        }
    }
}
