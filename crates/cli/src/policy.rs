//! `hubward policy who-is-hit`: the rules that can match a device that registers, and whom policies refuse what.

use crate::access::place;
use crate::answer;
use crate::client::Client;
use crate::page::{Page, Style};
use crate::render::TEXT_CHARS_MAX;
use crate::target::Target;
use crate::text::shorten;
use crate::{Failure, Format};
use serde::Deserialize;
use serde_json::json;
use std::process::ExitCode;

/// Ask about the policies of a server
#[derive(clap::Subcommand, Debug)]
pub enum Policy {
    WhoIsHit(WhoIsHit),
}

/// Show which rules can match a device that registers, whom they refuse what, and what would let them through
///
/// Calls are made up from the rules' own words, and laid before the gates that serve: devices that register through
/// each provisioning service that is linked with a hub, and writes and deletions by each principal that has a role for
/// them. A rule that an earlier one shadows is listed where it could match a registration by itself. You need to be
/// allowed to read decisions and role assignments at the place, and are told of the policies that you may read. No
/// hit is no proof: what depends on the devices that there are shows in the activity log.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward policy who-is-hit
  hubward policy who-is-hit custom-security-policy-v2 --at \"$HUB\"
  hubward policy who-is-hit -o json | jq -r '.rules[] | select(.registrations[].refused) | .assignmentId'

Before it is assigned: `hubward lint FILE`.

Exit codes:
  0  shown, also where nobody is hit
  1  not yours to ask, no such policy, or no answer
  2  the command line cannot be meant")]
pub struct WhoIsHit {
    /// The name or id of a policy definition or of an assignment; without it all that count at the place
    policy: Option<String>,

    /// Where, with all above and below it: /subscriptions/...; without it the subscription of the connection
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
    scope: String,
    rules: Vec<Rule>,
    more: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    assignment_name: String,
    assignment_scope: String,
    definition_name: String,
    rule: usize,
    effect: String,
    registrations: Vec<Registration>,
    refuses: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    provisioning_service: Option<String>,
    hub: String,
    says: String,
    refused: bool,
    fixes: Vec<Fix>,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    calls: Vec<Call>,
    fixes: Vec<Fix>,
}

#[derive(Deserialize)]
struct Call {
    action: String,
    scope: String,
}

#[derive(Deserialize)]
struct Fix {
    says: String,
    command: String,
}

pub(crate) fn run(asked: &Policy) -> Result<ExitCode, Failure> {
    let Policy::WhoIsHit(asked) = asked;
    let connection = asked.target.connection()?;
    let scope = place(asked.at.as_ref(), &connection)?;
    let client = Client::sign_in(&connection)?;
    let question = json!({ "policy": asked.policy, "scope": scope });
    let body = client.post("/decisions/whoIsHit", &question)?;
    answer::print(asked.output, &body, render)?;
    Ok(ExitCode::SUCCESS)
}

fn render(answer: &Answer, mut page: Page) -> String {
    let what = match answer.rules.len() {
        0 => "No rule can match a device that registers, and none refuses anybody anything,",
        1 => "1 rule can match a device that registers, or refuses somebody something,",
        _ => "These rules can match a device that registers, or refuse somebody something,",
    };
    page.paragraph(
        0,
        Style::Bold,
        &shorten(&format!("{what} at {}", answer.scope), TEXT_CHARS_MAX),
    );
    for rule in &answer.rules {
        page.blank();
        let headline = format!(
            "{} at {}: rule {} of {}: {}",
            rule.assignment_name,
            rule.assignment_scope,
            rule.rule,
            rule.definition_name,
            rule.effect
        );
        page.paragraph(0, Style::Bold, &shorten(&headline, TEXT_CHARS_MAX));
        for it in &rule.registrations {
            let through = it
                .provisioning_service
                .as_deref()
                .map_or_else(String::new, |it| format!(" through {it}"));
            let (style, does) = match it.refused {
                true => (Style::Bad, "refuses"),
                false => (Style::Plain, "can match"),
            };
            let line = format!("{does} {}{through} at {}", it.says, it.hub);
            page.paragraph(2, style, &shorten(&line, TEXT_CHARS_MAX));
            fixes(&mut page, &it.fixes);
        }
        for it in &rule.refuses {
            let calls: Vec<String> =
                it.calls.iter().map(|it| format!("{} at {}", it.action, it.scope)).collect();
            let line = format!("refuses {} ({}): {}", it.name, it.kind, calls.join(", "));
            page.paragraph(2, Style::Bad, &shorten(&line, TEXT_CHARS_MAX));
            fixes(&mut page, &it.fixes);
        }
    }
    if answer.more > 0 {
        page.blank();
        page.paragraph(0, Style::Plain, &format!("{} more rules are not listed.", answer.more));
    }
    page.into_text()
}

/// The narrowest way out; `-o json` has the others.
fn fixes(page: &mut Page, all: &[Fix]) {
    if let Some(fix) = all.first() {
        page.paragraph(
            4,
            Style::Plain,
            &shorten(&format!("to let it through: {}", fix.says), TEXT_CHARS_MAX),
        );
        page.verbatim(6, &fix.command);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Colours;

    #[test]
    fn a_rule_is_told_with_whom_it_hits_and_what_would_help() {
        let fix = json!({ "says": "exempt `ana`", "command": "az policy exemption create", "then": "", "warning": null });
        let answer = json!({ "scope": "/s", "more": 1, "rules": [{ "assignmentName": "v2", "assignmentScope": "/s",
            "definitionName": "quiet", "rule": 1, "effect": "deny",
            "registrations": [{ "provisioningService": "/dps", "hub": "/hub", "says": "a device that registers over MQTT",
                "refused": true, "fixes": [] }],
            "refuses": [{ "name": "ana", "type": "User", "calls": [{ "action": "A/write", "scope": "/hub" }], "fixes": [fix] }] }] });
        let page = render(&Answer::deserialize(&answer).unwrap(), Page::new(200, Colours::Off));
        assert_eq!(
            page,
            "1 rule can match a device that registers, or refuses somebody something, at /s\n\n\
             v2 at /s: rule 1 of quiet: deny\n  refuses a device that registers over MQTT through /dps at /hub\n  \
             refuses ana (User): A/write at /hub\n    to let it through: exempt `ana`\n      az policy exemption create\n\n\
             1 more rules are not listed.\n"
        );
    }
}
