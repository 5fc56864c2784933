//! `hubward what-if`: what a change would do to who calls here, from calls on record.

use crate::answer;
use crate::client::Client;
use crate::diagnose::{Kind, id_of};
use crate::explain::pretty;
use crate::page::{Cell, Column, Page, Style};
use crate::render::TEXT_CHARS_MAX;
use crate::target::Target;
use crate::text::{count, shorten};
use crate::{Failure, Format, show};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Largest file of a policy or of changes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The name of what is only tried.
const TRIED: &str = "what-if";
/// The same for what is named by a GUID.
const TRIED_ID: &str = "77686174-2d69-4600-8000-000000000000";

const COLUMNS: [Column; 7] = [
    Column::Firm("would be"),
    Column::Firm("who"),
    Column::Firm("by"),
    Column::Firm("operation"),
    Column::Soft("at"),
    Column::Firm("calls"),
    Column::Soft("because"),
];

/// Show what a change would do to who calls here, before it is made
///
/// Calls on record, and refusals that are kept, are judged by the facts as they are and as they would be; what comes out
/// otherwise is listed, with how often it was seen. Nothing is changed. Calls are on record since the server has first
/// seen them: who has not called yet is not in it. Credentials are not kept, so whether one has ended meanwhile is not
/// looked at. You need to be allowed to read decisions at the place.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward what-if --policy deny-writes.json --at /subscriptions/SUB/resourceGroups/RG
  hubward what-if --remove /subscriptions/SUB/.../providers/Microsoft.Authorization/roleAssignments/ID
  hubward what-if --assign 'IoT Hub Data Reader' --to line-3-provisioner --at \"$HUB\"
  hubward what-if --local-auth off plant-hub
  hubward what-if --changes changes.json -o json | jq '.flips[] | select(.to == \"deny\") | .caller.name'

A policy's file holds a policy definition, which is assigned at the place, or a policy assignment. A file of changes holds
a list; each has an `id`, and `properties` as a PUT there takes them, or `\"delete\": true`.

Exit codes:
  0  shown, and nothing that is allowed would be refused
  1  something that is allowed would be refused, or there is no answer
  2  the command line cannot be meant")]
pub struct WhatIf {
    #[command(flatten)]
    change: Change,

    /// Where a policy or a role would be assigned: /subscriptions/...
    #[arg(long, value_name = "SCOPE")]
    at: Option<String>,

    /// To whom the role would be given: an object id, an application id or a display name
    #[arg(long, value_name = "PRINCIPAL", requires = "assign")]
    to: Option<String>,

    /// Look at the calls of this place alone; without it, at those of the place that is changed
    #[arg(long)]
    scope: Option<String>,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    target: Target,
}

/// The change: one of these.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Change {
    /// Assign the policy of this file
    #[arg(long, value_name = "FILE", requires = "at")]
    policy: Option<PathBuf>,

    /// Delete this: the id of an assignment, exemption, policy or role
    #[arg(long, value_name = "ID")]
    remove: Option<String>,

    /// Give this role to somebody: its name or id
    #[arg(long, value_name = "ROLE", requires = "at", requires = "to")]
    assign: Option<String>,

    /// Switch the keys of a hub off, or on
    #[arg(long, num_args = 2, value_names = ["off|on", "HUB"])]
    local_auth: Option<Vec<String>>,

    /// Make the changes of this file
    #[arg(long, value_name = "FILE")]
    changes: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    scope: String,
    since: String,
    forgotten: u64,
    judged: u64,
    stay: Stay,
    newly: Newly,
    flips: Vec<Flip>,
    more: usize,
    passed_over: std::collections::BTreeMap<String, u64>,
    is_cut: bool,
}

#[derive(Deserialize)]
struct Stay {
    allowed: u64,
    refused: u64,
}

#[derive(Deserialize)]
struct Newly {
    refused: usize,
    allowed: usize,
}

#[derive(Deserialize)]
struct Flip {
    to: String,
    caller: Who,
    operation: String,
    scope: String,
    object: Option<String>,
    calls: u64,
    samples: u64,
    flipped: u64,
    by: By,
}

#[derive(Deserialize)]
struct Who {
    name: String,
    way: String,
}

#[derive(Deserialize)]
struct By {
    gate: Option<String>,
    name: Option<String>,
    reason: String,
}

pub(crate) fn run(asked: &WhatIf) -> Result<ExitCode, Failure> {
    // A file that cannot be meant is refused before anybody is called.
    let read = from_files(asked)?;
    let connection = asked.target.connection()?;
    let client = Client::sign_in(&connection)?;
    let changes = match (read, asked.change.local_auth.as_deref()) {
        (Some(changes), _) => changes,
        (None, Some([way, hub])) => {
            let id = id_of(&client, Kind::Hub, hub)?;
            json!([{ "id": id, "properties": { "disableLocalAuth": is_off(way)? } }])
        }
        (None, _) => json!([]),
    };
    let scope = asked.scope.as_ref().or(asked.at.as_ref());
    let question = json!({ "changes": changes, "scope": scope });
    let body = client.post("/decisions/whatIf", &question)?;
    let answer: Answer = answer::read(&body)?;
    match asked.output {
        // Unchanged, even where a newer server says more than is known here.
        Format::Json => show(&pretty(&body))?,
        Format::Table => show(&render(&answer, Page::for_stdout()))?,
    }
    Ok(match answer.newly.refused {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn is_off(way: &str) -> Result<bool, Failure> {
    match way {
        "off" => Ok(true),
        "on" => Ok(false),
        _ => Err(Failure::Usage(format!("keys are switched `off` or `on`, not `{way}`"))),
    }
}

/// The changes, where no server is needed to tell them.
fn from_files(asked: &WhatIf) -> Result<Option<Value>, Failure> {
    let Change { policy, remove, assign, changes, local_auth } = &asked.change;
    let at = asked.at.as_deref().unwrap_or_default().trim_end_matches('/');
    if let Some(way) = local_auth.as_ref().and_then(|it| it.first()) {
        is_off(way)?;
    }
    if let Some(file) = policy {
        return policy_changes(&json_of(file)?, at).map(Some);
    }
    if let Some(id) = remove {
        return Ok(Some(json!([{ "id": id, "delete": true }])));
    }
    if let Some(role) = assign {
        let id = format!("{at}/providers/Microsoft.Authorization/roleAssignments/{TRIED_ID}");
        let properties = json!({ "roleDefinitionId": role, "principalId": asked.to });
        return Ok(Some(json!([{ "id": id, "properties": properties }])));
    }
    match changes {
        Some(file) => {
            let read = json_of(file)?;
            Ok(Some(read.get("changes").cloned().unwrap_or(read)))
        }
        None => Ok(None),
    }
}

/// A definition where it may lie, and its assignment; or the assignment that a file holds.
pub(crate) fn policy_changes(file: &Value, at: &str) -> Result<Value, Failure> {
    let properties = file.get("properties").unwrap_or(file);
    let assignment = format!("{at}/providers/Microsoft.Authorization/policyAssignments/{TRIED}");
    if properties.get("policyDefinitionId").is_some() {
        return Ok(json!([{ "id": assignment, "properties": properties }]));
    }
    let properties = match (properties.get("policyRule"), properties.get("if")) {
        (Some(_), _) => properties.clone(),
        // What `az policy definition create --rules` takes.
        (None, Some(_)) => json!({ "policyRule": properties }),
        (None, None) => {
            return Err(Failure::Usage(
                "the file holds neither a policy definition (`policyRule`) nor a policy assignment \
                 (`policyDefinitionId`)"
                    .into(),
            ));
        }
    };
    let definition =
        format!("{}/providers/Microsoft.Authorization/policyDefinitions/{TRIED}", home(at));
    Ok(json!([
        { "id": definition, "properties": properties },
        { "id": assignment, "properties": { "policyDefinitionId": definition } },
    ]))
}

/// Where a definition may lie that is assigned at a place: its subscription, else the place itself.
fn home(at: &str) -> String {
    let mut parts = at.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some(first), Some(id)) if first.eq_ignore_ascii_case("subscriptions") => {
            format!("/{first}/{id}")
        }
        (_, _) => at.to_owned(),
    }
}

pub(crate) fn json_of(path: &Path) -> Result<Value, Failure> {
    let cannot = |why: String| Failure::Usage(format!("cannot read `{}`: {why}", path.display()));
    let file = File::open(path).map_err(|it| cannot(it.to_string()))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|it| cannot(it.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(cannot(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    serde_json::from_str(&text).map_err(|it| cannot(it.to_string()))
}

fn render(answer: &Answer, mut page: Page) -> String {
    let Newly { refused, allowed } = answer.newly;
    let headline = match (refused, allowed) {
        (0, 0) => format!("Nothing on record would change at {}", answer.scope),
        (0, _) => format!("{allowed} would be allowed anew at {}, and none refused", answer.scope),
        (_, _) => {
            format!("{refused} would be refused and {allowed} allowed anew at {}", answer.scope)
        }
    };
    page.paragraph(0, Style::Bold, &shorten(&headline, TEXT_CHARS_MAX));
    let rows: Vec<Vec<Cell>> = answer.flips.iter().map(row).collect();
    if !rows.is_empty() {
        page.blank();
        page.table(2, &COLUMNS, &rows);
    }
    page.blank();
    let mut says = format!(
        "{} judged; {} stay allowed and {} refused. On record since {}.",
        count(usize::try_from(answer.judged).unwrap_or(usize::MAX), "call", "calls"),
        answer.stay.allowed,
        answer.stay.refused,
        answer.since
    );
    if answer.more > 0 {
        says.push_str(&format!(" {} more are not listed.", answer.more));
    }
    if answer.forgotten > 0 {
        says.push_str(&format!(
            " {} uses were forgotten since: there were too many.",
            answer.forgotten
        ));
    }
    if answer.is_cut {
        says.push_str(" There are more refusals than were looked at: the newest were.");
    }
    let passed_over: u64 = answer.passed_over.values().sum();
    if passed_over > 0 {
        says.push_str(&format!(" {passed_over} calls could not be judged again."));
    }
    page.paragraph(0, Style::Plain, &says);
    page.into_text()
}

fn row(flip: &Flip) -> Vec<Cell> {
    let text = |it: &str| Cell::plain(shorten(it, TEXT_CHARS_MAX));
    let (style, word) = match flip.to.as_str() {
        "deny" => (Style::Bad, "refused"),
        _ => (Style::Good, "allowed"),
    };
    let who = match (flip.caller.name.as_str(), flip.caller.way.as_str()) {
        ("", _) => "devices",
        (name, _) => name,
    };
    let at = match &flip.object {
        Some(object) => format!("{} ({object})", flip.scope),
        None => flip.scope.clone(),
    };
    let calls = match flip.flipped < flip.samples {
        true => format!("{}, {} of {} tried", flip.calls, flip.flipped, flip.samples),
        false => flip.calls.to_string(),
    };
    let gate = flip.by.gate.as_deref().unwrap_or_default();
    let because = match &flip.by.name {
        Some(name) if !name.is_empty() => format!("{gate}, `{name}`: {}", flip.by.reason),
        _ => format!("{gate}: {}", flip.by.reason),
    };
    vec![
        Cell::new(style, word),
        text(who),
        text(&flip.caller.way),
        text(&flip.operation),
        text(&at),
        text(&calls),
        text(&because),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Colours;
    use clap::{Args, Command, FromArgMatches};

    fn parse(args: &[&str]) -> Result<WhatIf, clap::Error> {
        let all = std::iter::once("what-if").chain(args.iter().copied());
        let matches = WhatIf::augment_args(Command::new("what-if")).try_get_matches_from(all)?;
        WhatIf::from_arg_matches(&matches)
    }

    #[test]
    fn one_change_is_named_with_all_that_it_takes() {
        for good in [
            &["--policy", "f", "--at", "/s"][..],
            &["--remove", "/s/x"],
            &["--assign", "Reader", "--to", "ana", "--at", "/s"],
            &["--local-auth", "off", "plant-hub"],
            &["--changes", "f", "--scope", "/s", "-o", "json"],
        ] {
            parse(good).unwrap();
        }
        for bad in [
            &[][..],
            &["--policy", "f"],
            &["--assign", "Reader", "--at", "/s"],
            &["--assign", "Reader", "--to", "ana"],
            &["--local-auth", "off"],
            &["--remove", "/x", "--changes", "f"],
            &["--at", "/s"],
        ] {
            assert_eq!(parse(bad).map(|_| ()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
        let asked = parse(&["--local-auth", "maybe", "plant-hub"]).unwrap();
        assert!(matches!(from_files(&asked), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_policy_is_assigned_with_its_definition_or_without() {
        let at = "/subscriptions/s/resourceGroups/rg";
        let rule = json!({ "if": {}, "then": { "effect": "deny" } });
        for file in [
            rule.clone(),
            json!({ "policyRule": rule }),
            json!({ "properties": { "policyRule": rule } }),
        ] {
            let changes = policy_changes(&file, at).unwrap();
            let id = "/subscriptions/s/providers/Microsoft.Authorization/policyDefinitions/what-if";
            assert_eq!(changes[0]["id"], id);
            assert_eq!(changes[0]["properties"]["policyRule"], rule);
            assert_eq!(changes[1]["properties"]["policyDefinitionId"], id);
        }
        let given = json!({ "properties": { "policyDefinitionId": "/d" } });
        assert_eq!(policy_changes(&given, at).unwrap().as_array().map(Vec::len), Some(1));
        assert!(policy_changes(&json!({ "a": 1 }), at).is_err());
        let above = "/providers/Microsoft.Management/managementGroups/plants";
        assert_eq!(home(above), above);
    }

    #[test]
    fn what_would_be_refused_is_told_with_its_reason() {
        let flip = json!({
            "from": "allow", "to": "deny", "operation": "PutDevice", "scope": "/s/hub", "object": "d1", "calls": 7,
            "samples": 3, "flipped": 1, "caller": { "name": "iothubowner", "way": "key" },
            "by": { "gate": "authentication", "name": null, "reason": "keys are switched off" } });
        let answer = json!({ "scope": "/s", "since": "2026-11-22T08:00:00Z", "forgotten": 0, "judged": 9,
            "stay": { "allowed": 2, "refused": 1 }, "newly": { "refused": 1, "allowed": 0 }, "flips": [flip],
            "more": 0, "passedOver": { "shortened": 2 }, "isCut": false });
        let answer = Answer::deserialize(&answer).unwrap();
        let page = render(&answer, Page::new(200, Colours::Off));
        for told in [
            "1 would be refused",
            "iothubowner",
            "7, 1 of 3 tried",
            "keys are switched off",
            "2 calls could not",
        ] {
            assert!(page.contains(told), "{told}: {page}");
        }
    }

    #[test]
    fn help_teaches_by_example() {
        let help = WhatIf::augment_args(Command::new("what-if")).render_long_help().to_string();
        for taught in
            ["--local-auth off plant-hub", "Exit codes", "--data <DIR>", "\"delete\": true"]
        {
            assert!(help.contains(taught), "{help}");
        }
    }
}
