//! `hubward test`: what roles and policies decide, checked without a server.
//!
//! The very gates that serve judge the calls that files tell of; this only builds their facts and compares.
//! `file` reads, `world` builds, `judge` asks, `report` prints.

mod alone;
mod file;
mod holders;
mod initiatives;
mod judge;
mod report;
mod rule;
mod shown;
mod told;
mod world;
mod writes;

use crate::{Failure, say, show};
use file::Stop;
use shown::Shown;
use std::path::PathBuf;
use std::process::ExitCode;

/// Test roles and policies: do the gates decide as the cases of a file expect?
///
/// No server is asked: the gates that serve are in this program, and judge the calls of the cases with the
/// roles, policies and keys that the file tells of. A case that fails shows the decision, gate by gate. A
/// case that needs what the gates do not have fails, too. At the end stand the file's own roles and policy
/// rules that no case has shown at work.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward test cases/*.json
  hubward test -o junit cases/fleet.json > results.xml
  hubward test -o json cases/*.json | jq 'select(.pass | not)'

A file with one case; docs/reference/test-cases.md tells the rest:
  { \"schemaVersion\": 1,
    \"worlds\": { \"plant\": {
      \"tenant\": \"11111111-1111-4111-8111-111111111111\", \"now\": \"2026-11-22T08:00:00Z\",
      \"principals\": { \"line-3\": { \"type\": \"ServicePrincipal\",
        \"objectId\": \"22222222-2222-4222-8222-222222222222\" } },
      \"roleAssignments\": [ { \"name\": \"r\", \"principal\": \"line-3\", \"role\": \"Owner\",
        \"scope\": \"/subscriptions/plant\" } ] } },
    \"cases\": [ { \"id\": \"an-owner-reads-no-devices\", \"kind\": \"authorize\", \"world\": \"plant\",
      \"request\": { \"principal\": \"line-3\",
        \"operations\": [ { \"action\": \"Microsoft.Devices/IotHubs/devices/read\" } ],
        \"scope\": \"/subscriptions/plant/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1\" },
      \"expect\": { \"decision\": \"deny\", \"gate\": \"rbac\", \"status\": 401 } } ] }

Exit codes:
  0  every case passes
  1  a case fails
  2  a file cannot be read, or a case cannot be understood")]
pub struct Test {
    /// Files of cases
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Output {
    /// For people
    #[default]
    Table,
    /// For programs: {"id","pass","got"}, one a line
    Json,
    /// For CI: `JUnit` XML
    Junit,
}

/// What became of one case.
struct Tested {
    file: String,
    id: String,
    answer: Result<judge::Answer, Stop>,
}

impl Tested {
    fn passes(&self) -> bool {
        self.answer.as_ref().is_ok_and(|it| it.passes)
    }

    fn is_broken(&self) -> bool {
        matches!(self.answer, Err(Stop::Broken { .. }))
    }
}

pub(crate) fn run(test: &Test) -> Result<ExitCode, Failure> {
    let mut tested = Vec::new();
    let mut shown = Shown::default();
    let mut is_whole = true;
    for path in &test.files {
        let name = path.display().to_string();
        let cases = match file::read(path) {
            Ok(it) => it,
            Err(why) => {
                say(format_args!("error: {name}: {why}"));
                is_whole = false;
                continue;
            }
        };
        shown.expect(&name, &cases.worlds);
        for (id, case) in &cases.cases {
            let answer = judge::judge(case, &cases.worlds);
            match &answer {
                Ok(it) => shown.note(&name, it),
                Err(Stop::Broken { at, because }) => {
                    say(format_args!("error: {name}: case `{id}`: {at}: {because}"));
                    is_whole = false;
                }
                Err(Stop::NotSupported(_)) => {}
            }
            tested.push(Tested { file: name.clone(), id: id.clone(), answer });
        }
    }
    show(&match test.output {
        Output::Table => report::table(&tested, &shown),
        Output::Json => report::json(&tested),
        Output::Junit => report::junit(&tested),
    })?;
    Ok(match (is_whole, tested.iter().all(Tested::passes)) {
        (false, _) => ExitCode::from(2),
        (true, false) => ExitCode::from(1),
        (true, true) => ExitCode::SUCCESS,
    })
}

#[cfg(test)]
mod tests;
