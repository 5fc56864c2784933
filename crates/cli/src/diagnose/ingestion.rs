//! `hubward diagnose ingestion`: why somebody who writes the security policies of devices is refused.

use super::render::{self, Mark, Section};
use super::{Kind, id_of, unreadable};
use crate::client::Client;
use crate::explain::pretty;
use crate::page::Page;
use crate::render::{TEXT_CHARS_MAX, named};
use crate::target::Target;
use crate::text::shorten;
use crate::{Failure, Format, show};
use model::trace::Caller;
use serde::Deserialize;
use serde_json::json;
use std::process::ExitCode;

/// Diagnose why somebody who writes the security policies of devices is refused
///
/// Looks at what was decided in the last day, asks the gates what they would decide now, and prints three sections:
/// whether a role names what is asked, whether it is given at the hub and seen everywhere, and whether the token is as new
/// as the role. Each passes or fails, with the evidence, and a failing one with the commands that mend it. All three must
/// pass.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward diagnose ingestion --principal ingest --hub plant-hub
  hubward diagnose ingestion --principal 5e6c0d1a-0000-4000-8000-000000000001 --hub plant-hub
  hubward diagnose ingestion --principal ingest --hub plant-hub -o json | jq .decisions

Exit codes:
  0  all three sections pass
  1  a section fails, or there is no answer
  2  the command line cannot be meant, or names what does not exist")]
pub(super) struct Ingestion {
    /// Who writes: a service principal's name, object id or application id
    #[arg(long, value_name = "NAME")]
    principal: String,

    /// The hub: its name or its resource id
    #[arg(long)]
    hub: String,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    target: Target,
}

/// What the server answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Diagnosis {
    time: String,
    hub: String,
    caller: Caller,
    verdict: Mark,
    decisions: Decisions,
    sections: Vec<Section>,
}

/// What was kept of the last day.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decisions {
    decisions: u64,
    written: u64,
    last_written: Option<String>,
    missing: u64,
    unseen: u64,
    stale: u64,
    otherwise: u64,
}

pub(super) fn run(asked: &Ingestion) -> Result<ExitCode, Failure> {
    let connection = asked.target.connection()?;
    let client = Client::sign_in(&connection)?;
    let question =
        json!({ "principal": asked.principal, "hub": id_of(&client, Kind::Hub, &asked.hub)? });
    let body = client.post("/decisions/diagnoseIngestion", &question)?;
    let diagnosis = Diagnosis::deserialize(&body).map_err(|it| unreadable(&it))?;
    match asked.output {
        // Unchanged, even where a newer server says more than is known here.
        Format::Json => show(&pretty(&body))?,
        Format::Table => show(&text(&diagnosis, Page::for_stdout()))?,
    }
    Ok(match diagnosis.verdict {
        Mark::Pass => ExitCode::SUCCESS,
        Mark::Fail | Mark::Warning | Mark::Note => ExitCode::FAILURE,
    })
}

fn text(diagnosis: &Diagnosis, mut page: Page) -> String {
    let (who, hub) = (&diagnosis.caller.name, render::name(&diagnosis.hub));
    let failing = render::failing(&diagnosis.sections);
    let sentence = match failing.is_empty() {
        true => format!("Nothing stands against `{who}` writing security policies at `{hub}`"),
        false => format!("`{who}` is refused at `{hub}`, or will be: {failing}"),
    };
    page.paragraph(0, diagnosis.verdict.style(), &shorten(&sentence, TEXT_CHARS_MAX));
    page.blank();
    let it = &diagnosis.decisions;
    let counts = format!(
        "{} kept in the last day: {} written, {} lacked a permission, {} met a replica that is behind, {} came with an \
         old token, {} were refused otherwise",
        it.decisions, it.written, it.missing, it.unseen, it.stale, it.otherwise
    );
    let mut field = |label: &str, text: &str| {
        page.field(0, render::LABEL_CHARS, label, &shorten(text, TEXT_CHARS_MAX));
    };
    field("when", &diagnosis.time);
    field("hub", &diagnosis.hub);
    field("caller", &named(&diagnosis.caller));
    field("calls", &counts);
    if let Some(last) = &it.last_written {
        field("last", &format!("written {last}"));
    }
    for (index, it) in diagnosis.sections.iter().enumerate() {
        page.blank();
        render::section(index + 1, it, &mut page);
    }
    page.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Colours;
    use serde_json::Value;

    fn rendered(verdicts: [&str; 3]) -> String {
        let section = |name: &str, verdict: &str| {
            json!({ "name": name, "verdict": verdict, "says": "so it is", "fixes": [],
                "checks": [{ "mark": "note", "says": "7 of 9 kept decisions" }] })
        };
        let sections: Vec<Value> = ["First", "Second", "Third"]
            .iter()
            .zip(verdicts)
            .map(|(it, verdict)| section(it, verdict))
            .collect();
        let caller = json!({ "kind": "ServicePrincipal", "name": "ingest", "auth": "entra", "signedIn": "so" });
        let told = json!({ "time": "2026-11-22T08:00:00.000Z", "hub": "/a/IotHubs/plant", "caller": caller,
            "verdict": if verdicts == ["pass"; 3] { "pass" } else { "fail" }, "sections": sections,
            "decisions": { "decisions": 9, "written": 2, "lastWritten": null, "missing": 4, "unseen": 2,
                "stale": 1, "otherwise": 0 } });
        text(&Diagnosis::deserialize(&told).unwrap(), Page::new(120, Colours::Off))
    }

    #[test]
    fn the_sections_that_fail_are_named_first() {
        let all = rendered(["fail", "pass", "fail"]);
        assert!(
            all.starts_with("`ingest` is refused at `plant`, or will be: sections 1 and 3 fail"),
            "{all}"
        );
        assert!(all.contains("4 lacked a permission") && all.contains("3 Third: FAIL"), "{all}");
        let none = rendered(["pass"; 3]);
        assert!(none.starts_with("Nothing stands against `ingest`"), "{none}");
    }
}
