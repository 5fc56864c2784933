//! `hubward who-can`: who can do something at a place, and through which roles and groups.

use crate::answer;
use crate::client::Client;
use crate::page::{Cell, Column, Page, Style};
use crate::render::TEXT_CHARS_MAX;
use crate::standing::{Against, Way, cells, stopped_by};
use crate::target::Target;
use crate::text::shorten;
use crate::{Failure, Format};
use serde::Deserialize;
use serde_json::json;
use std::process::ExitCode;

const COLUMNS: [Column; 6] = [
    Column::Firm("who"),
    Column::Firm("type"),
    Column::Firm("role"),
    Column::Soft("at"),
    Column::Firm("through"),
    Column::Firm("stopped by"),
];

/// Show who can do something at a place, and through which roles and groups
///
/// Every principal is judged by the gates that serve, as if it called now. Who is switched off is left out; whom a
/// role lets and a policy, a deny assignment, a condition or a lock stops is listed with what does. Who has no role for data and can list or set the keys
/// that open it is listed apart. You need to be allowed to read decisions and role assignments there.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward who-can Microsoft.Devices/IotHubs/listkeys/action --scope \"$HUB\"
  hubward who-can Microsoft.Devices/IotHubs/devices/write --scope \"$HUB\" --object-name pump-7
  hubward who-can Microsoft.Devices/IotHubs/listkeys/action --scope \"$HUB\" -o json | jq -r '.can[].name'

The other way round, everything that one principal can do: `hubward access --help`.

Exit codes:
  0  shown, also where nobody can
  1  not yours to ask, or no answer
  2  the command line cannot be meant")]
pub struct WhoCan {
    /// What would be done: Microsoft.Devices/IotHubs/listkeys/action
    action: String,

    /// Where: /subscriptions/...
    #[arg(long)]
    scope: String,

    /// The name of what would be written: a device id
    #[arg(long, value_name = "NAME")]
    object_name: Option<String>,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Answer {
    action: String,
    scope: String,
    can: Vec<Holder>,
    stopped: Vec<Holder>,
    #[serde(rename = "withKeys")]
    with_keys: Vec<Holder>,
    more: usize,
    opens: Option<String>,
}

#[derive(Deserialize)]
struct Holder {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    through: Vec<Way>,
    gate: Option<String>,
    #[serde(default)]
    against: Vec<Against>,
}

pub(crate) fn run(asked: &WhoCan) -> Result<ExitCode, Failure> {
    let connection = asked.target.connection()?;
    let client = Client::sign_in(&connection)?;
    let question = json!({
        "action": asked.action,
        "scope": asked.scope,
        "objectName": asked.object_name,
    });
    let body = client.post("/decisions/whoCan", &question)?;
    answer::print(asked.output, &body, render)?;
    Ok(ExitCode::SUCCESS)
}

fn render(answer: &Answer, mut page: Page) -> String {
    let least = if answer.more == 0 { "" } else { "At least " };
    let who = match answer.can.len() {
        0 => "Nobody can".to_owned(),
        1 => "1 principal can".to_owned(),
        many => format!("{least}{many} principals can"),
    };
    let headline = format!("{who} do `{}` at {}", answer.action, answer.scope);
    page.paragraph(0, Style::Bold, &shorten(&headline, TEXT_CHARS_MAX));
    table(&mut page, answer.can.iter().chain(&answer.stopped));
    if !answer.with_keys.is_empty() {
        let says = "Without a role for it, but with keys that open it, which they can list or set:";
        page.blank();
        page.paragraph(0, Style::Bold, says);
        table(&mut page, answer.with_keys.iter());
    }
    if answer.more > 0 {
        page.blank();
        page.paragraph(0, Style::Plain, &format!("{} more are not listed.", answer.more));
    }
    if let Some(opens) = &answer.opens {
        page.blank();
        page.paragraph(0, Style::Plain, &format!("It opens {}.", shorten(opens, TEXT_CHARS_MAX)));
    }
    page.into_text()
}

fn table<'a>(page: &mut Page, holders: impl Iterator<Item = &'a Holder>) {
    let rows: Vec<Vec<Cell>> = holders.flat_map(rows).collect();
    if !rows.is_empty() {
        page.blank();
        page.table(2, &COLUMNS, &rows);
    }
}

/// A row for each way by which somebody holds it; none that may be seen is a row, too.
fn rows(holder: &Holder) -> Vec<Vec<Cell>> {
    let stopped = stopped_by(holder.gate.as_deref(), &holder.against);
    let row = |way: Option<&Way>| {
        let mut row =
            vec![Cell::plain(shorten(&holder.name, TEXT_CHARS_MAX)), Cell::plain(&holder.kind)];
        row.extend(cells(way));
        row.push(Cell::new(Style::Bad, &stopped));
        row
    };
    match holder.through.as_slice() {
        [] => vec![row(None)],
        ways => ways.iter().map(|it| row(Some(it))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Colours;

    fn shown(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let way = |role: &str, groups: serde_json::Value| json!({ "roleAssignmentId": "/a", "roleName": role, "scope": "/subscriptions/s", "groups": groups });
        let holder = |name: &str, through: serde_json::Value| json!({ "objectId": "o", "name": name, "type": "servicePrincipal", "through": through });
        let id = "3f0c0f5e-1111-4222-8333-444455556666";
        let crew = json!([{ "id": id, "name": "crew" }, { "id": id, "name": "plant" }]);
        let mut answer = json!({
            "action": "A/read", "scope": "/s", "more": 0, "opens": null, "stopped": [], "withKeys": [],
            "can": [holder("ana", json!([way("Owner", json!([])), way("Contributor", crew)]))] });
        change(&mut answer);
        let answer = Answer::deserialize(&answer).unwrap();
        render(&answer, Page::new(200, Colours::Off))
    }

    #[test]
    fn every_way_is_a_row_and_groups_are_named_from_the_inside() {
        let page = shown(|_| {});
        assert!(page.starts_with("1 principal can do `A/read` at /s\n"), "{page}");
        let rows: Vec<&str> = page.lines().filter(|it| it.contains("ana")).collect();
        assert_eq!(rows.len(), 2, "{page}");
        assert!(rows[0].contains("Owner") && rows[1].contains("crew in plant"), "{page}");
        assert!(!page.contains("not listed") && !page.contains("It opens"), "{page}");
    }

    #[test]
    fn whoever_is_stopped_or_has_keys_is_no_one_who_can() {
        let page = shown(|it| {
            let mut ana = it["can"][0].take();
            it["can"] = json!([]);
            it["withKeys"] = json!([ana.clone()]);
            ana["gate"] = json!("resource");
            it["stopped"] = json!([ana]);
            it["opens"] = json!("all data");
        });
        assert!(page.starts_with("Nobody can do"), "{page}");
        let (stopped, keys) = page.split_once("Without a role for it").unwrap();
        assert!(stopped.contains("resource") && !keys.contains("resource"), "{page}");
        assert!(page.trim_end().ends_with("It opens all data."), "{page}");
    }

    #[test]
    fn a_list_that_was_cut_says_so() {
        let page = shown(|it| {
            it["can"] = json!([it["can"][0], it["can"][0]]);
            it["more"] = json!(3);
        });
        assert!(page.starts_with("At least 2 principals can"), "{page}");
        assert!(page.contains("3 more are not listed."), "{page}");
    }
}
