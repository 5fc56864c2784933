//! `hubward local-auth`: keys of a hub switched off, once it is told who would lose it.

use crate::advise::{KeyUse, instead};
use crate::answer;
use crate::client::Client;
use crate::diagnose::{Kind, id_of};
use crate::explain::pretty;
use crate::page::{Cell, Column, Page, Style};
use crate::render::TEXT_CHARS_MAX;
use crate::target::Target;
use crate::text::{count, shorten};
use crate::{Failure, Format, say, show};
use serde::Deserialize;
use serde_json::json;
use std::io::{self, BufRead};
use std::process::ExitCode;

/// The version of the hub that is patched.
const API_VERSION: &str = "2023-06-30";
/// What confirms it.
const YES: &str = "yes";

const LINK_COLUMNS: [Column; 4] = [
    Column::Firm("provisioning service"),
    Column::Firm("by policy"),
    Column::Firm("its key last used"),
    Column::Soft("instead"),
];
const USER_COLUMNS: [Column; 6] = [
    Column::Firm("policy"),
    Column::Firm("calls"),
    Column::Firm("last"),
    Column::Soft("from"),
    Column::Soft("used for"),
    Column::Soft("instead"),
];
const OPEN_COLUMNS: [Column; 5] = [
    Column::Firm("policy"),
    Column::Firm("open for"),
    Column::Firm("over"),
    Column::Firm("from"),
    Column::Firm("since"),
];

/// Switch the keys of a hub off, once it is told who would lose it
#[derive(clap::Args, Debug)]
pub struct LocalAuth {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    Disable(Disable),
}

/// Switch off the keys of a hub's shared access policies (disableLocalAuth)
///
/// First it lists who would lose the hub: provisioning services that are linked by a key, with all devices that register
/// through them; who has used a key since calls are on record, and the role that would take its place; and what is open
/// by a key now. Then it asks. After that all of these are refused at once, and what is open is ended. Devices that
/// connect by keys of their own are not touched, nor is who signs in with Entra.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward local-auth disable plant-hub --dry-run
  hubward local-auth disable plant-hub
  hubward local-auth disable plant-hub --yes
  hubward local-auth disable plant-hub --dry-run -o json | jq '.links[].name'

To switch them on again: az resource update --ids HUB --set properties.disableLocalAuth=false

Exit codes:
  0  keys are off; with --dry-run: nobody on record would lose the hub
  1  it was not confirmed, was refused, or there is no answer; with --dry-run: somebody would lose the hub
  2  the command line cannot be meant, or names what does not exist")]
struct Disable {
    /// The hub: its name or its resource id
    hub: String,

    /// Only list who would lose it
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,

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
    is_off: bool,
    off_since: Option<String>,
    off_by: Option<String>,
    since: String,
    forgotten: u64,
    links: Vec<Link>,
    hidden_links: usize,
    users: Vec<KeyUse>,
    open: Vec<Open>,
    more_open: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    name: String,
    policy: String,
    policy_last: Option<String>,
    has_identity: bool,
    identity_has_role: bool,
    role_name: String,
}

#[derive(Deserialize)]
struct Open {
    policy: String,
    operation: String,
    protocol: String,
    address: String,
    since: String,
}

impl Answer {
    fn breaks_nobody(&self) -> bool {
        self.links.is_empty()
            && self.hidden_links == 0
            && self.users.is_empty()
            && self.open.is_empty()
    }
}

pub(crate) fn run(asked: &LocalAuth) -> Result<ExitCode, Failure> {
    let What::Disable(asked) = &asked.what;
    let connection = asked.target.connection()?;
    let client = Client::sign_in(&connection)?;
    let hub = id_of(&client, Kind::Hub, &asked.hub)?;
    let body = client.post("/decisions/localAuth", &json!({ "scope": hub }))?;
    let answer: Answer = answer::read(&body)?;
    match asked.output {
        // Unchanged, even where a newer server says more than is known here.
        Format::Json => show(&pretty(&body))?,
        Format::Table => show(&render(&answer, Page::for_stdout()))?,
    }
    if answer.is_off {
        return Ok(ExitCode::SUCCESS);
    }
    if asked.dry_run {
        return Ok(match answer.breaks_nobody() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        });
    }
    if !asked.yes {
        say(format_args!("Switch off keys of `{}` now? Type {YES}: ", answer.scope));
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        if read.is_err() || line.trim() != YES {
            return Err(Failure::Failed("not confirmed; nothing was changed".into()));
        }
    }
    let change = json!({ "properties": { "disableLocalAuth": true } });
    client.patch(&format!("{hub}?api-version={API_VERSION}"), &change)?;
    say(format_args!("keys of `{}` are off", answer.scope));
    Ok(ExitCode::SUCCESS)
}

fn render(answer: &Answer, mut page: Page) -> String {
    if answer.is_off {
        let who = match (&answer.off_since, &answer.off_by) {
            (Some(since), Some(by)) => format!(" since {since}, by {by}"),
            (_, _) => String::new(),
        };
        let says = format!("Keys of {} are off already{who}", answer.scope);
        page.paragraph(0, Style::Bold, &shorten(&says, TEXT_CHARS_MAX));
        return page.into_text();
    }
    let headline = match answer.breaks_nobody() {
        true => format!("Nobody on record would lose {}", answer.scope),
        false => format!("These would lose {} at once", answer.scope),
    };
    page.paragraph(0, Style::Bold, &shorten(&headline, TEXT_CHARS_MAX));
    links(answer, &mut page);
    let users: Vec<Vec<Cell>> = answer.users.iter().map(user_row).collect();
    section(&mut page, "Keys were used", &USER_COLUMNS, &users);
    let open: Vec<Vec<Cell>> = answer.open.iter().map(open_row).collect();
    section(&mut page, "Open now, and ended then", &OPEN_COLUMNS, &open);
    page.blank();
    let mut says =
        format!("On record since {}: who has not called since is not listed.", answer.since);
    if answer.forgotten > 0 {
        says.push_str(" Some uses were forgotten: there were too many.");
    }
    if answer.more_open > 0 {
        says.push_str(&format!(" {} more are open.", answer.more_open));
    }
    page.paragraph(0, Style::Plain, &says);
    page.into_text()
}

fn links(answer: &Answer, page: &mut Page) {
    let rows: Vec<Vec<Cell>> = answer.links.iter().map(link_row).collect();
    section(
        page,
        "Linked by a key: every device that registers through these is refused as unauthorized",
        &LINK_COLUMNS,
        &rows,
    );
    if answer.hidden_links > 0 {
        page.blank();
        let says = format!(
            "{} that you may not read {} linked by a key, too.",
            count(answer.hidden_links, "provisioning service", "provisioning services"),
            if answer.hidden_links == 1 { "is" } else { "are" }
        );
        page.paragraph(0, Style::Warning, &says);
    }
}

fn section(page: &mut Page, title: &str, columns: &[Column], rows: &[Vec<Cell>]) {
    if !rows.is_empty() {
        page.blank();
        page.paragraph(0, Style::Bold, title);
        page.table(2, columns, rows);
    }
}

fn link_row(link: &Link) -> Vec<Cell> {
    let role = &link.role_name;
    let instead = match (link.has_identity, link.identity_has_role) {
        (true, true) => format!("link it by its identity, which has `{role}` here"),
        (true, false) => format!("give its identity `{role}` here, and link it by that"),
        (false, _) => format!("give it an identity, that `{role}` here, and link it by that"),
    };
    vec![
        text(&link.name),
        text(&link.policy),
        text(link.policy_last.as_deref().unwrap_or("not on record")),
        text(&instead),
    ]
}

fn user_row(used: &KeyUse) -> Vec<Cell> {
    let from: Vec<String> = used
        .clients
        .iter()
        .map(|it| match &it.agent {
            Some(agent) => format!("{} ({agent})", it.address),
            None => format!("{} ({})", it.address, it.protocol),
        })
        .collect();
    vec![
        text(&used.policy),
        text(&used.calls.to_string()),
        text(used.last.as_deref().unwrap_or_default()),
        text(&from.join(", ")),
        text(&used.operations.join(", ")),
        text(&instead(used)),
    ]
}

fn open_row(open: &Open) -> Vec<Cell> {
    let all = [&open.policy, &open.operation, &open.protocol, &open.address, &open.since];
    all.into_iter().map(|it| text(it)).collect()
}

fn text(it: &str) -> Cell {
    Cell::plain(shorten(it, TEXT_CHARS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Colours;
    use clap::{Args, Command, FromArgMatches};
    use serde_json::Value;

    fn answer(change: impl FnOnce(&mut Value)) -> Answer {
        let mut body = json!({ "scope": "/s/hub", "isOff": false, "offSince": null, "offBy": null,
            "since": "2026-11-22T08:00:00Z", "forgotten": 0, "links": [], "hiddenLinks": 0, "users": [], "open": [],
            "moreOpen": 0 });
        change(&mut body);
        Answer::deserialize(&body).unwrap()
    }

    #[test]
    fn whoever_would_lose_the_hub_is_told_with_the_way_out() {
        let told = answer(|it| {
            it["links"] = json!([{ "name": "plant-dps", "policy": "iothubowner", "policyLast": null, "hasIdentity": true,
                "identityHasRole": false, "roleName": "IoT Hub Data Contributor" }]);
            it["open"] = json!([{ "policy": "service", "operation": "ReadEvents", "protocol": "amqp",
                "address": "127.0.0.1", "since": "2026-11-22T09:00:00Z" }]);
        });
        assert!(!told.breaks_nobody());
        let page = render(&told, Page::new(200, Colours::Off));
        for words in
            ["plant-dps", "give its identity `IoT Hub Data Contributor`", "ReadEvents", "at once"]
        {
            assert!(page.contains(words), "{words}: {page}");
        }
        let hidden = answer(|it| it["hiddenLinks"] = json!(1));
        assert!(!hidden.breaks_nobody());
        assert!(render(&hidden, Page::new(200, Colours::Off)).contains("may not read is linked"));
    }

    #[test]
    fn keys_that_are_off_say_since_when_and_by_whom() {
        let off = answer(|it| {
            it["isOff"] = json!(true);
            it["offSince"] = json!("2026-11-22T08:00:00Z");
            it["offBy"] = json!("ana");
        });
        let page = render(&off, Page::new(200, Colours::Off));
        assert!(page.contains("off already since 2026-11-22T08:00:00Z, by ana"), "{page}");
        assert!(answer(|_| {}).breaks_nobody());
    }

    #[test]
    fn trying_and_doing_exclude_each_other() {
        let parse = |args: &[&str]| {
            let all = std::iter::once("local-auth").chain(args.iter().copied());
            let matches =
                LocalAuth::augment_args(Command::new("local-auth")).try_get_matches_from(all)?;
            LocalAuth::from_arg_matches(&matches)
        };
        parse(&["disable", "hub"]).unwrap();
        parse(&["disable", "hub", "--dry-run", "-o", "json"]).unwrap();
        for bad in [&["disable"][..], &["hub"], &["disable", "hub", "--dry-run", "--yes"]] {
            assert_eq!(parse(bad).map(|_| ()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
