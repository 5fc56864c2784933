//! `hubward access`: everything that somebody can do, place by place, and the keys that somebody reaches.

use crate::answer;
use crate::client::Client;
use crate::page::{Cell, Column, Page, Style};
use crate::render::TEXT_CHARS_MAX;
use crate::standing::{Against, Way, cells, stopped_by};
use crate::target::{Connection, Target};
use crate::text::shorten;
use crate::{Failure, Format};
use serde::Deserialize;
use serde_json::json;
use std::process::ExitCode;

const COLUMNS: [Column; 5] = [
    Column::Soft("can"),
    Column::Firm("role"),
    Column::Soft("given at"),
    Column::Firm("through"),
    Column::Soft("stopped by"),
];
/// Kinds of things that a row names; of more it says how many.
const KINDS_NAMED_MAX: usize = 12;

/// Show everything that somebody can do, through which roles and groups, and what stands against it
///
/// Every action is judged by the gates that serve, as if the principal called now: at the place, wherever below it
/// holds a role, and at each hub, provisioning service and target below. What a role lets and a policy, a deny
/// assignment, a lock, a condition or a switched-off account stops stands in a list of its own. Keys that somebody can
/// list or set open data whatever the roles say, so they are told apart. You need to be allowed to read decisions and
/// role assignments at the place; what you can do yourself you may always ask.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward access me
  hubward access ana@plant.example --at \"$HUB\"
  hubward access 22222222-2222-4222-8222-222222222222 -o json | jq -r '.access[] | .scope, .can[].actions[]'
  hubward access pipeline -o json | jq '.keys'

The other way round, who can do one thing at one place: `hubward who-can --help`.

Exit codes:
  0  shown, also where it is nothing
  1  not yours to ask, nobody of that name, or no answer
  2  the command line cannot be meant")]
pub struct Access {
    /// An object id, an application id, a display name, or `me`
    principal: String,

    /// Where, with all below it: /subscriptions/...; without it the subscription of the connection
    #[arg(long, value_name = "SCOPE")]
    at: Option<String>,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Answer {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    enabled: bool,
    scope: String,
    access: Vec<Place>,
    keys: Vec<Key>,
    more: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    scope: String,
    network_rules: bool,
    can: Vec<Group>,
    stopped: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    group: String,
    actions: Vec<String>,
    through: Vec<Way>,
    gate: Option<String>,
    #[serde(default)]
    against: Vec<Against>,
}

#[derive(Deserialize)]
struct Key {
    scope: String,
    by: String,
    opens: Option<String>,
}

/// The place of a question: the one that is given, or the subscription of the connection.
pub(crate) fn place(at: Option<&String>, connection: &Connection) -> Result<String, Failure> {
    match (at, connection.subscription_id()) {
        (Some(it), _) => Ok(it.clone()),
        (None, Some(it)) => Ok(format!("/subscriptions/{it}")),
        (None, None) => {
            Err(Failure::Usage("no place is known; give one with `--at /subscriptions/...`".into()))
        }
    }
}

pub(crate) fn run(asked: &Access) -> Result<ExitCode, Failure> {
    let connection = asked.target.connection()?;
    let scope = place(asked.at.as_ref(), &connection)?;
    let client = Client::sign_in(&connection)?;
    let question = json!({ "principal": asked.principal, "scope": scope });
    let body = client.post("/decisions/access", &question)?;
    answer::print(asked.output, &body, render)?;
    Ok(ExitCode::SUCCESS)
}

fn render(answer: &Answer, mut page: Page) -> String {
    let can = answer.access.iter().flat_map(|it| &it.can).flat_map(|it| &it.actions).count();
    let what = match can {
        0 => "can do nothing",
        _ => "can do the following",
    };
    let off = if answer.enabled { "" } else { ", whose account is switched off," };
    let headline =
        format!("{} ({}){off} {what} at {} and below", answer.name, answer.kind, answer.scope);
    page.paragraph(0, Style::Bold, &shorten(&headline, TEXT_CHARS_MAX));
    for place in &answer.access {
        let rows: Vec<Vec<Cell>> =
            rows(&place.can).into_iter().chain(rows(&place.stopped)).collect();
        if rows.is_empty() {
            continue;
        }
        page.blank();
        page.paragraph(0, Style::Bold, &shorten(&place.scope, TEXT_CHARS_MAX));
        page.table(2, &COLUMNS, &rows);
        if place.network_rules {
            let says =
                "Its network rules let some addresses in and others not; they were not asked.";
            page.paragraph(2, Style::Dim, says);
        }
    }
    if !answer.keys.is_empty() {
        page.blank();
        page.paragraph(0, Style::Bold, "Keys:");
    }
    for key in &answer.keys {
        let does = if key.by == "lists" { "can list the keys of" } else { "can set the keys of" };
        let opens =
            key.opens.as_deref().map_or_else(String::new, |it| format!(", which open {it}"));
        page.paragraph(
            2,
            Style::Plain,
            &shorten(&format!("{does} {}{opens}", key.scope), TEXT_CHARS_MAX),
        );
    }
    if answer.more > 0 {
        page.blank();
        page.paragraph(0, Style::Plain, &format!("{} more places are not listed.", answer.more));
    }
    page.into_text()
}

/// What is held in the same way is one row, and a row more for each further way.
fn rows(groups: &[Group]) -> Vec<Vec<Cell>> {
    let mut merged: Vec<(&Group, Vec<&Group>)> = Vec::new();
    for group in groups {
        let is_same = |it: &&mut (&Group, Vec<&Group>)| {
            it.0.through == group.through
                && it.0.gate == group.gate
                && it.0.against == group.against
        };
        match merged.iter_mut().find(is_same) {
            Some(it) => it.1.push(group),
            None => merged.push((group, vec![group])),
        }
    }
    merged.into_iter().flat_map(|(first, all)| same(first, &all)).collect()
}

fn same(first: &Group, all: &[&Group]) -> Vec<Vec<Cell>> {
    let stopped = stopped_by(first.gate.as_deref(), &first.against);
    let row = |what: &str, way: Option<&Way>| {
        let mut row = vec![Cell::plain(shorten(what, TEXT_CHARS_MAX))];
        row.extend(cells(way));
        row.push(Cell::new(Style::Bad, &stopped));
        row
    };
    let what = what(all);
    match first.through.as_slice() {
        [] => vec![row(&what, None)],
        ways => {
            let texts = std::iter::once(what.as_str()).chain(std::iter::repeat("or by"));
            ways.iter().zip(texts).map(|(way, what)| row(what, Some(way))).collect()
        }
    }
}

/// `IotHubs/devices: read write`, or how much it is where that would be long.
fn what(all: &[&Group]) -> String {
    if all.len() > KINDS_NAMED_MAX {
        let actions: usize = all.iter().map(|it| it.actions.len()).sum();
        return format!(
            "{actions} actions on {} kinds of things (`-o json` names them)",
            all.len()
        );
    }
    let told = all.iter().map(|it| {
        let noun = it.group.split_once('/').map_or(it.group.as_str(), |it| it.1);
        let verb = |action: &String| {
            let rest = action.get(it.group.len()..).unwrap_or(action);
            rest.trim_start_matches('/').trim_end_matches("/action").to_owned()
        };
        format!("{noun}: {}", it.actions.iter().map(verb).collect::<Vec<_>>().join(" "))
    });
    told.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Colours;

    #[test]
    fn what_is_held_in_one_way_is_one_row_and_what_is_stopped_says_by_what() {
        let way = |role: &str| json!({ "roleAssignmentId": "/a", "roleName": role, "scope": "/subscriptions/s", "groups": [] });
        let group = |name: &str, verbs: &[&str], roles: &[&str]| {
            json!({ "group": name, "actions": verbs.iter().map(|it| format!("{name}/{it}")).collect::<Vec<_>>(),
                "through": roles.iter().map(|it| way(it)).collect::<Vec<_>>() })
        };
        let mut stopped = group("M.D/IotHubs", &["listkeys/action"], &["Owner"]);
        stopped["gate"] = json!("resource");
        stopped["against"] = json!([{ "kind": "lock", "name": "frozen" }, { "kind": "policy" }]);
        let answer = json!({ "objectId": "o", "name": "ana", "type": "User", "enabled": true, "scope": "/s", "more": 2,
            "access": [{ "scope": "/hub", "networkRules": true, "stopped": [stopped], "can": [
                group("M.D/IotHubs/devices", &["read", "write"], &["Owner"]),
                group("M.D/IotHubs/twins", &["read"], &["Owner"]),
                group("M.D/IotHubs", &["read"], &["Reader", "Owner"])] }],
            "keys": [{ "scope": "/hub", "by": "writes", "opens": "all data" }] });
        let page = render(&Answer::deserialize(&answer).unwrap(), Page::new(200, Colours::Off));
        insta::assert_snapshot!(page, @r"
        ana (User) can do the following at /s and below

        /hub
          can                                               role    given at          stopped by
          IotHubs/devices: read write; IotHubs/twins: read  Owner   /subscriptions/s
          IotHubs: read                                     Reader  /subscriptions/s
          or by                                             Owner   /subscriptions/s
          IotHubs: listkeys                                 Owner   /subscriptions/s  resource: lock frozen, policy
          Its network rules let some addresses in and others not; they were not asked.

        Keys:
          can set the keys of /hub, which open all data

        2 more places are not listed.
        ");
    }
}
