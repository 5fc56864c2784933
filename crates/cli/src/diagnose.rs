//! `hubward diagnose`: what stands against something that should work, section by section.

mod ingestion;
mod render;

use crate::client::Client;
use crate::explain::pretty;
use crate::page::Page;
use crate::target::Target;
use crate::{Failure, Format, show};
use render::Diagnosis;
use serde::Deserialize;
use serde_json::{Value, json};
use std::process::ExitCode;

/// The version of the lists that names are looked up in.
const API_VERSION: &str = "2022-12-01";
/// Most names that a refusal lists.
const NAMES_MAX: usize = 20;

/// Diagnose why something is refused: every reason, since when, and what helps
#[derive(clap::Args, Debug)]
pub struct Diagnose {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    Dps(Dps),
    Ingestion(ingestion::Ingestion),
}

/// Diagnose whether devices can register through a provisioning service at a hub
///
/// Judges what a registration would do, now and without one, and prints three sections: the roles of the
/// service's identity at the hub, its link to the hub with its enrollments, and the policies above the hub.
/// Each passes or fails, with the evidence, and a failing one with the commands that mend it. Where
/// registrations are refused it names the change since when, and the first refusal behind it.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward diagnose dps plant-dps --hub plant-hub
  hubward diagnose dps plant-dps --hub plant-hub --device pump-7
  hubward diagnose dps /subscriptions/SUB/resourceGroups/RG/providers/Microsoft.Devices/provisioningServices/DPS \\
      --hub /subscriptions/SUB/resourceGroups/RG/providers/Microsoft.Devices/IotHubs/HUB
  hubward diagnose dps plant-dps --hub plant-hub -o json | jq .onset

Exit codes:
  0  all three sections pass
  1  a section fails, or there is no answer
  2  the command line cannot be meant, or names what does not exist")]
struct Dps {
    /// The provisioning service: its name or its resource id
    #[arg(value_name = "NAME")]
    service: String,

    /// The hub: its name or its resource id
    #[arg(long)]
    hub: String,

    /// The device to judge by, where a policy looks at device ids
    #[arg(long, value_name = "DEVICE_ID")]
    device: Option<String>,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(diagnose: &Diagnose) -> Result<ExitCode, Failure> {
    match &diagnose.what {
        What::Dps(asked) => registrations(asked),
        What::Ingestion(asked) => ingestion::run(asked),
    }
}

/// What it says where the answer cannot be read.
fn unreadable(because: &serde_json::Error) -> Failure {
    Failure::Failed(format!(
        "the server's answer is not a diagnosis that this client can read ({because}); is one of the two older than \
         the other?"
    ))
}

fn registrations(asked: &Dps) -> Result<ExitCode, Failure> {
    let connection = asked.target.connection()?;
    let client = Client::sign_in(&connection)?;
    let question = json!({
        "provisioningService": id_of(&client, Kind::ProvisioningService, &asked.service)?,
        "hub": id_of(&client, Kind::Hub, &asked.hub)?,
        "device": asked.device,
    });
    let body = client.post("/decisions/diagnose", &question)?;
    let diagnosis = Diagnosis::deserialize(&body).map_err(|it| unreadable(&it))?;
    match asked.output {
        // Unchanged, even where a newer server says more than is known here.
        Format::Json => show(&pretty(&body))?,
        Format::Table => show(&render::render(&diagnosis, Page::for_stdout()))?,
    }
    Ok(match diagnosis.passes() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What a name is the name of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    ProvisioningService,
    Hub,
}

impl Kind {
    const fn collection(self) -> &'static str {
        match self {
            Self::ProvisioningService => "provisioningServices",
            Self::Hub => "IotHubs",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::ProvisioningService => "provisioning service",
            Self::Hub => "hub",
        }
    }
}

/// The resource id behind a name. An id is taken as it stands.
pub(crate) fn id_of(client: &Client<'_>, kind: Kind, given: &str) -> Result<String, Failure> {
    if given.starts_with('/') {
        return Ok(given.to_owned());
    }
    let mut known = Vec::new();
    for subscription in ids(&client.get(&format!("/subscriptions?api-version={API_VERSION}"))?) {
        let all = format!(
            "{subscription}/providers/Microsoft.Devices/{}?api-version={API_VERSION}",
            kind.collection()
        );
        known.extend(ids(&client.get(&all)?));
    }
    chosen(kind, given, known)
}

/// The ids in an ARM list.
fn ids(list: &Value) -> Vec<String> {
    let items = list.get("value").and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|it| it.get("id")?.as_str()).map(str::to_owned).collect()
}

fn chosen(kind: Kind, given: &str, known: Vec<String>) -> Result<String, Failure> {
    let name = |id: &str| id.rsplit('/').next().unwrap_or_default().to_owned();
    let (mut fitting, others): (Vec<String>, Vec<String>) =
        known.into_iter().partition(|it| name(it).eq_ignore_ascii_case(given));
    let listed = |all: &[String]| {
        let mut shown: Vec<String> =
            all.iter().take(NAMES_MAX).map(|it| format!("`{it}`")).collect();
        if let Some(more) = all.len().checked_sub(NAMES_MAX).filter(|it| *it > 0) {
            shown.push(format!("{more} more"));
        }
        shown.join(", ")
    };
    match (fitting.len(), others.is_empty()) {
        (1, _) => Ok(fitting.remove(0)),
        (0, true) => Err(Failure::Usage(format!("there is no {} on this server", kind.noun()))),
        (0, false) => {
            let names: Vec<String> = others.iter().map(|it| name(it)).collect();
            Err(Failure::Usage(format!(
                "no {} is called `{given}`; there are {}",
                kind.noun(),
                listed(&names)
            )))
        }
        (_, _) => Err(Failure::Usage(format!(
            "several {}s are called `{given}`; give the id of one: {}",
            kind.noun(),
            listed(&fitting)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command, FromArgMatches};

    fn parse(args: &[&str]) -> Result<Diagnose, clap::Error> {
        let all = std::iter::once("diagnose").chain(args.iter().copied());
        let matches = Diagnose::augment_args(Command::new("diagnose")).try_get_matches_from(all)?;
        Diagnose::from_arg_matches(&matches)
    }

    fn known(names: &[&str]) -> Vec<String> {
        names.iter().map(|it| format!("/subscriptions/s/{it}")).collect()
    }

    #[test]
    fn a_name_leads_to_one_resource_and_never_to_a_namesake() {
        let find = |given: &str, names: &[&str]| chosen(Kind::Hub, given, known(names));
        assert_eq!(find("HUB1", &["rg/hub10", "rg/hub1"]), Ok("/subscriptions/s/rg/hub1".into()));
        let said = |it: Result<String, Failure>| match it {
            Err(Failure::Usage(said)) => said,
            other => panic!("{other:?}"),
        };
        let unknown = said(find("hub1", &["rg/hub10", "rg/hub2"]));
        assert_eq!(unknown, "no hub is called `hub1`; there are `hub10`, `hub2`");
        let several = said(find("hub1", &["rg1/hub1", "rg10/hub1"]));
        assert!(several.contains("`/subscriptions/s/rg10/hub1`"), "{several}");
        assert_eq!(said(find("hub1", &[])), "there is no hub on this server");
        let names: Vec<String> = (0..25).map(|it| format!("h{it}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(said(find("hub1", &names)).ends_with("`h19`, 5 more"));
    }

    #[test]
    fn a_service_and_a_hub_must_be_named() {
        parse(&["dps", "d", "--hub", "h"]).unwrap();
        parse(&["dps", "d", "--hub", "h", "--device", "pump-7", "-o", "json"]).unwrap();
        for bad in [
            &[][..],
            &["dps"],
            &["dps", "d"],
            &["dps", "--hub", "h"],
            &["hub", "d", "--hub", "h"],
            &["dps", "d", "e", "--hub", "h"],
            &["dps", "d", "--hub", "h", "-o", "xml"],
        ] {
            assert_eq!(parse(bad).map(|_| ()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }

    #[test]
    fn help_teaches_by_example() {
        let help = Dps::augment_args(Command::new("dps")).render_long_help().to_string();
        for taught in ["hubward diagnose dps plant-dps", "jq .onset", "Exit codes", "--data <DIR>"]
        {
            assert!(help.contains(taught), "{help}");
        }
    }
}
