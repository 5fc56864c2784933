//! `hubward advise`: who still uses keys, who needs less than it holds, and who reaches keys.

use crate::answer;
use crate::client::Client;
use crate::page::{Cell, Column, Page, Style};
use crate::render::TEXT_CHARS_MAX;
use crate::target::Target;
use crate::text::shorten;
use crate::{Failure, Format};
use serde::Deserialize;
use serde_json::json;
use std::process::ExitCode;

const KEY_COLUMNS: [Column; 6] = [
    Column::Firm("policy"),
    Column::Soft("at"),
    Column::Firm("calls"),
    Column::Firm("last"),
    Column::Soft("used for"),
    Column::Firm("instead"),
];
const ROLE_COLUMNS: [Column; 4] = [
    Column::Firm("who"),
    Column::Soft("holds"),
    Column::Soft("has used"),
    Column::Soft("would be enough"),
];
const REACH_COLUMNS: [Column; 4] =
    [Column::Firm("who"), Column::Firm("how"), Column::Soft("through"), Column::Firm("services")];

/// Advise from what was really used: roles in place of keys, smaller roles, and who reaches keys
///
/// Calls are on record since the server has first seen them. Nothing is proposed for whom nothing is on record, and what
/// somebody does once a year may not be: look at since when before you take anything away. Whoever may list the keys of a
/// service, write it, or assign roles there reaches all of its data. You need to be allowed to read decisions and role
/// assignments at the place.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward advise
  hubward advise --scope \"$HUB\"
  hubward advise -o json | jq -r '.principals[] | select(.fits | not) | .proposed[].command'
  hubward advise -o json | jq -r '.keys[] | [.policy, .last] | @tsv'

Exit codes:
  0  shown
  1  not yours to ask, or no answer
  2  the command line cannot be meant")]
pub struct Advise {
    /// Where: /subscriptions/...; without it, everywhere
    #[arg(long, default_value = "/")]
    scope: String,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    scope: String,
    since: String,
    forgotten: u64,
    keys: Vec<KeyUse>,
    principals: Vec<Holder>,
    unseen: Vec<Holder>,
    reach_keys: Vec<Reaching>,
    is_cut: bool,
    more: usize,
}

/// What the keys of a policy were used for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyUse {
    pub(crate) scope: String,
    pub(crate) policy: String,
    pub(crate) calls: u64,
    pub(crate) last: Option<String>,
    pub(crate) operations: Vec<String>,
    pub(crate) clients: Vec<Seen>,
    pub(crate) replaced_by: Vec<Named>,
    pub(crate) notes: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct Seen {
    pub(crate) address: String,
    pub(crate) protocol: String,
    pub(crate) agent: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Named {
    pub(crate) role_name: String,
}

#[derive(Deserialize)]
struct Holder {
    name: String,
    holds: Vec<Held>,
    #[serde(default)]
    used: Vec<Used>,
    #[serde(default)]
    proposed: Vec<Proposed>,
    #[serde(default)]
    fits: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Held {
    role_name: String,
    scope: String,
    group: Option<String>,
    reaches_further: bool,
}

#[derive(Deserialize)]
struct Used {
    operation: String,
    calls: u64,
}

#[derive(Deserialize)]
struct Proposed {
    scope: String,
    roles: Vec<Named>,
    command: String,
}

#[derive(Deserialize)]
struct Reaching {
    name: String,
    ways: Vec<Way>,
}

#[derive(Deserialize)]
struct Way {
    by: String,
    count: usize,
    through: Vec<Through>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Through {
    role_name: Option<String>,
    scope: Option<String>,
}

pub(crate) fn run(asked: &Advise) -> Result<ExitCode, Failure> {
    let connection = asked.target.connection()?;
    let client = Client::sign_in(&connection)?;
    let body = client.post("/decisions/advise", &json!({ "scope": asked.scope }))?;
    answer::print(asked.output, &body, render)?;
    Ok(ExitCode::SUCCESS)
}

fn render(answer: &Answer, mut page: Page) -> String {
    let headline =
        format!("Advice for {}, from what is on record since {}", answer.scope, answer.since);
    page.paragraph(0, Style::Bold, &shorten(&headline, TEXT_CHARS_MAX));
    page.blank();
    keys(&answer.keys, &mut page);
    page.blank();
    principals(answer, &mut page);
    page.blank();
    reaching(&answer.reach_keys, &mut page);
    let mut notes = Vec::new();
    if answer.forgotten > 0 {
        notes.push(format!("{} uses were forgotten: there were too many.", answer.forgotten));
    }
    if answer.more > 0 {
        notes.push(format!("{} more are not listed.", answer.more));
    }
    if answer.is_cut {
        notes.push("There are more services or principals than were looked at for keys.".into());
    }
    if !notes.is_empty() {
        page.blank();
        page.paragraph(0, Style::Plain, &notes.join(" "));
    }
    page.into_text()
}

fn keys(all: &[KeyUse], page: &mut Page) {
    if all.is_empty() {
        page.paragraph(0, Style::Bold, "No use of keys is on record");
        return;
    }
    page.paragraph(0, Style::Bold, "Keys are used");
    let rows: Vec<Vec<Cell>> = all.iter().map(key_row).collect();
    page.table(2, &KEY_COLUMNS, &rows);
}

pub(crate) fn key_row(used: &KeyUse) -> Vec<Cell> {
    vec![
        text(&used.policy),
        text(&used.scope),
        text(&used.calls.to_string()),
        text(used.last.as_deref().unwrap_or_default()),
        text(&used.operations.join(", ")),
        text(&instead(used)),
    ]
}

/// The roles that take the place of a key, and what no role takes the place of.
pub(crate) fn instead(used: &KeyUse) -> String {
    let roles = used.replaced_by.iter().map(|it| it.role_name.clone());
    let all: Vec<String> = roles.chain(used.notes.iter().cloned()).collect();
    match all.is_empty() {
        true => "no role has all of it".to_owned(),
        false => all.join("; "),
    }
}

fn principals(answer: &Answer, page: &mut Page) {
    let (fitting, others): (Vec<&Holder>, Vec<&Holder>) =
        answer.principals.iter().partition(|it| it.fits);
    if others.is_empty() {
        page.paragraph(
            0,
            Style::Bold,
            "Nobody of whom uses are on record holds more than they need",
        );
    } else {
        page.paragraph(0, Style::Bold, "Smaller roles would be enough");
        let rows: Vec<Vec<Cell>> = others.iter().map(|it| holder_row(it)).collect();
        page.table(2, &ROLE_COLUMNS, &rows);
        page.blank();
        for command in others.iter().flat_map(|it| &it.proposed).map(|it| &it.command) {
            if !command.is_empty() {
                page.verbatim(2, command);
            }
        }
    }
    if !fitting.is_empty() {
        let names: Vec<&str> = fitting.iter().map(|it| it.name.as_str()).collect();
        let says = format!("What they hold fits what they use: {}.", names.join(", "));
        page.paragraph(0, Style::Plain, &shorten(&says, TEXT_CHARS_MAX));
    }
    if !answer.unseen.is_empty() {
        let names: Vec<&str> = answer.unseen.iter().map(|it| it.name.as_str()).collect();
        let says = format!(
            "Of these, who hold roles here, nothing is on record, and nothing is proposed: {}.",
            names.join(", ")
        );
        page.paragraph(0, Style::Plain, &shorten(&says, TEXT_CHARS_MAX));
    }
}

fn holder_row(holder: &Holder) -> Vec<Cell> {
    let held: Vec<String> = holder
        .holds
        .iter()
        .map(|it| {
            let through = it.group.as_ref().map_or_else(String::new, |it| format!(" through {it}"));
            let further = if it.reaches_further { ", and counts elsewhere, too" } else { "" };
            format!("{} at {}{through}{further}", it.role_name, it.scope)
        })
        .collect();
    let used: Vec<String> =
        holder.used.iter().map(|it| format!("{} ({})", it.operation, it.calls)).collect();
    let enough: Vec<String> = holder
        .proposed
        .iter()
        .map(|it| {
            let roles: Vec<&str> = it.roles.iter().map(|it| it.role_name.as_str()).collect();
            match roles.is_empty() {
                true => format!("a role of exactly that at {}", it.scope),
                false => format!("{} at {}", roles.join(" and "), it.scope),
            }
        })
        .collect();
    let list = |all: &[String], none: &str| match all.is_empty() {
        true => text(none),
        false => text(&all.join("; ")),
    };
    vec![
        text(&holder.name),
        list(&held, "nothing that you may read"),
        list(&used, ""),
        list(&enough, "no role: everybody may do that"),
    ]
}

fn reaching(all: &[Reaching], page: &mut Page) {
    if all.is_empty() {
        page.paragraph(0, Style::Bold, "Nobody reaches keys");
        return;
    }
    page.paragraph(0, Style::Bold, "These reach keys, and so all data, without any role for data");
    let mut rows = Vec::new();
    for one in all {
        for way in &one.ways {
            let through: Vec<String> = way
                .through
                .iter()
                .map(|it| {
                    let (role, at) = (it.role_name.as_deref(), it.scope.as_deref());
                    format!("{} at {}", role.unwrap_or("a role"), at.unwrap_or("?"))
                })
                .collect();
            let how = match way.by.as_str() {
                "lists" => "lists keys",
                "writes" => "writes the service",
                "assigns" => "assigns roles",
                other => other,
            };
            rows.push(vec![
                text(&one.name),
                text(how),
                text(&through.join("; ")),
                text(&way.count.to_string()),
            ]);
        }
    }
    page.table(2, &REACH_COLUMNS, &rows);
}

fn text(it: &str) -> Cell {
    Cell::plain(shorten(it, TEXT_CHARS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Colours;
    use serde_json::Value;

    fn shown(change: impl FnOnce(&mut Value)) -> String {
        let mut answer = json!({
            "scope": "/", "since": "2026-11-22T08:00:00Z", "forgotten": 0, "isCut": false, "more": 0,
            "keys": [{ "scope": "/s/hub", "policy": "service", "calls": 3, "last": "2026-11-22T09:00:00Z",
                "operations": ["GetTwin"], "clients": [], "replacedBy": [{ "roleName": "IoT Hub Twin Contributor" }], "notes": [] }],
            "principals": [{ "name": "ana", "fits": false,
                "holds": [{ "roleName": "Owner", "scope": "/", "group": null, "reachesFurther": true }],
                "used": [{ "operation": "GetTwin", "calls": 4 }],
                "proposed": [{ "scope": "/s/hub", "roles": [{ "roleName": "IoT Hub Data Reader" }], "command": "az role" }] }],
            "unseen": [{ "name": "ben", "holds": [] }],
            "reachKeys": [{ "name": "ana", "ways": [{ "by": "lists", "count": 2,
                "through": [{ "roleName": "Owner", "scope": "/" }] }] }] });
        change(&mut answer);
        render(&Answer::deserialize(&answer).unwrap(), Page::new(250, Colours::Off))
    }

    #[test]
    fn advice_names_what_is_held_used_and_enough() {
        let page = shown(|_| {});
        for told in [
            "IoT Hub Twin Contributor",
            "Owner at /, and counts elsewhere, too",
            "GetTwin (4)",
            "IoT Hub Data Reader at /s/hub",
            "nothing is proposed: ben",
            "lists keys",
        ] {
            assert!(page.contains(told), "{told}: {page}");
        }
    }

    #[test]
    fn who_holds_no_more_than_it_needs_is_left_alone() {
        let page = shown(|it| {
            it["principals"][0]["fits"] = json!(true);
            it["keys"] = json!([]);
            it["reachKeys"] = json!([]);
        });
        assert!(page.contains("fits what they use: ana") && !page.contains("az role"), "{page}");
        assert!(page.contains("No use of keys") && page.contains("Nobody reaches keys"), "{page}");
    }

    #[test]
    fn what_no_role_does_is_said() {
        let page = shown(|it| {
            it["keys"][0]["replacedBy"] = json!([]);
            it["keys"][0]["notes"] = json!(["no role reads the built-in endpoint"]);
            it["principals"][0]["proposed"][0]["roles"] = json!([]);
        });
        assert!(
            page.contains("no role reads") && page.contains("a role of exactly that"),
            "{page}"
        );
    }
}
