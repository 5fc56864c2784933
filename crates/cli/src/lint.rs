//! `hubward lint`: policies and roles in files, looked over before anybody writes them, and what a server has.
//!
//! Decides nothing: `gate::lint` makes calls up and lays them before the gates that serve. This finds out what a
//! file holds, asks the server for what it would say of what is, and prints.

use crate::client::Client;
use crate::target::Target;
use crate::{Failure, Format, say, show};
use gate::lint::{Code, Warning, policy, role};
use model::ObjectId;
use model::json::member;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Look over policies and roles: would they stop provisioning, open too much, or grant nothing?
///
/// For files no server is asked: the gates that serve are in this program, and judge calls that are made up for the
/// purpose. Warned of are policies that would refuse a device that a provisioning service registers, rules that an
/// earlier one leaves nothing of, exceptions for everybody, actions of a role that stand in the list of the other
/// plane, and actions that nothing has. With `--live` the server looks over what it has, as far as you may read it: the
/// same, exemptions that have ended, role assignments that are not needed, and who reaches more than its roles say,
/// by keys, roles, identities or credentials. No warning is no proof: what depends on the devices and callers that there are shows when it is
/// assigned, in the activity log.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward lint custom-security-policy-v2.json
  hubward lint --identity 22222222-2222-4222-8222-222222222222 policies/*.json
  hubward lint -o json roles/*.json | jq .advice
  hubward lint --live
  hubward lint --live --at \"$HUB\" -o json | jq 'select(.code == \"Escalates\") | .because'

A file holds a policy definition, its rule or list of rules as `az policy definition create --rules` takes them,
or a role as `az role definition create` takes it.

Exit codes:
  0  nothing to warn of
  1  a warning
  2  a file cannot be read, or holds what would be refused; the server does not answer, or it is not yours to ask")]
pub struct Lint {
    /// Files of policy definitions, rules or roles
    #[arg(value_name = "FILE", required_unless_present = "live")]
    files: Vec<PathBuf>,

    /// Look over what a server has
    #[arg(long)]
    live: bool,

    /// With `--live`, where, with all above and below it: /subscriptions/...; without it the subscription of the
    /// connection
    #[arg(long, value_name = "SCOPE", requires = "live")]
    at: Option<String>,

    /// The object id of a provisioning service's identity; may be given several times. Without it, whoever a
    /// policy names may be it
    #[arg(long, value_name = "OBJECT_ID", value_parser = object_id)]
    identity: Vec<ObjectId>,

    /// What an assignment would give: '{"effect": {"value": "Deny"}}'
    #[arg(long, value_name = "JSON", value_parser = object)]
    params: Option<Value>,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    target: Target,
}

/// A warning of the server's.
#[derive(Deserialize)]
struct Found {
    id: String,
    at: String,
    because: String,
    advice: String,
}

fn object_id(text: &str) -> Result<ObjectId, String> {
    ObjectId::parse(text).ok_or_else(|| "an object id is a GUID".to_owned())
}

fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(it @ Value::Object(_)) => Ok(it),
        Ok(_) => Err("an object of parameters is expected".into()),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn run(lint: &Lint) -> Result<ExitCode, Failure> {
    let mut found: Vec<(String, Warning)> = Vec::new();
    let mut is_whole = true;
    for path in &lint.files {
        let name = path.display().to_string();
        match read(path).and_then(|it| warnings(&it, lint)) {
            Ok(all) => found.extend(all.into_iter().map(|it| (name.clone(), it))),
            Err(why) => {
                say(format_args!("error: {name}: {why}"));
                is_whole = false;
            }
        }
    }
    let live = match lint.live.then(|| live(lint)).transpose() {
        Ok(it) => it.unwrap_or_default(),
        Err(failure) => {
            say(format_args!("error: {failure}"));
            is_whole = false;
            Live::default()
        }
    };
    let mut shown: String = match lint.output {
        Format::Table if !lint.files.is_empty() => table(&found, lint.files.len()),
        Format::Table => String::new(),
        Format::Json => found.iter().map(|(file, it)| line(file, it)).collect(),
    };
    match lint.output {
        Format::Table if lint.live && is_whole => shown.push_str(&live_table(&live)?),
        Format::Table => {}
        Format::Json => shown.extend(live.warnings.iter().map(|it| format!("{it}\n"))),
    }
    show(&shown)?;
    Ok(match (is_whole, found.is_empty() && live.warnings.is_empty()) {
        (false, _) => ExitCode::from(2),
        (true, false) => ExitCode::from(1),
        (true, true) => ExitCode::SUCCESS,
    })
}

/// What a server answered.
#[derive(Deserialize, Default)]
struct Live {
    scope: String,
    /// As they came, even where a newer server says more than is known here.
    warnings: Vec<Value>,
    more: usize,
}

fn live(lint: &Lint) -> Result<Live, Failure> {
    let connection = lint.target.connection()?;
    let scope = crate::access::place(lint.at.as_ref(), &connection)?;
    let client = Client::sign_in(&connection)?;
    let body = client.post("/decisions/lint", &json!({ "scope": scope }))?;
    Live::deserialize(body).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> Failure {
    Failure::Failed(format!(
        "the server's answer cannot be read ({error}); is one of the two older than the other?"
    ))
}

fn live_table(live: &Live) -> Result<String, Failure> {
    let mut text = String::new();
    for warning in &live.warnings {
        let it = Found::deserialize(warning).map_err(unreadable)?;
        let at = if it.at.is_empty() { String::new() } else { format!("{}: ", it.at) };
        text.push_str(&crate::text::escape(&format!("{}: {at}{}", it.id, it.because)));
        text.push_str(&format!("\n  do: {}\n", crate::text::escape(&it.advice)));
    }
    let more = if live.more == 0 { String::new() } else { format!(", and {} more", live.more) };
    let count = plural(live.warnings.len(), "warning");
    text.push_str(&crate::text::escape(&format!("{count}{more} at {}", live.scope)));
    text.push('\n');
    Ok(text)
}

fn plural(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

fn read(path: &Path) -> Result<Value, String> {
    let file = File::open(path).map_err(|it| it.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|it| it.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|it| it > FILE_BYTES_MAX) {
        return Err("the file is longer than 4 MiB".into());
    }
    model::json::parse(&bytes).map_err(|it| it.to_string())
}

/// Tells policies from roles by what only one of them has.
fn warnings(file: &Value, lint: &Lint) -> Result<Vec<Warning>, String> {
    let inner = member(file, "properties").unwrap_or(file);
    if let Some(blocks) = blocks(inner)? {
        return role(&blocks).map_err(|it| it.to_string());
    }
    let is_rule = inner.is_array() || member(inner, "if").is_some();
    let properties = match is_rule {
        true => json!({ "policyRule": inner }),
        false => inner.clone(),
    };
    let is_policy =
        ["policyRule", "policyRules"].iter().any(|it| member(&properties, it).is_some());
    if !is_policy {
        return Err("this is no policy (`policyRule`, or `if` and `then`) and no role (`permissions`, `Actions`)".into());
    }
    policy(&properties, lint.params.as_ref(), &lint.identity).map_err(|it| it.to_string())
}

/// The blocks of a role, as it is kept or as the Azure CLI takes it.
fn blocks(file: &Value) -> Result<Option<Vec<Value>>, String> {
    const LISTS: [&str; 4] = ["actions", "notActions", "dataActions", "notDataActions"];
    if let Some(given) = member(file, "permissions") {
        let blocks = given.as_array().ok_or("permissions: this is a list of blocks")?;
        return Ok(Some(blocks.iter().map(|it| lists(it, &LISTS)).collect()));
    }
    match LISTS.iter().any(|it| member(file, it).is_some()) {
        true => Ok(Some(vec![lists(file, &LISTS)])),
        false => Ok(None),
    }
}

fn lists(block: &Value, names: &[&str]) -> Value {
    let found = names.iter().filter_map(|it| Some(((*it).to_owned(), member(block, it)?.clone())));
    Value::Object(found.collect::<Map<String, Value>>())
}

fn table(found: &[(String, Warning)], files: usize) -> String {
    let mut text = String::new();
    for (file, it) in found {
        let Warning { at, because, advice, .. } = it;
        text.push_str(&crate::text::escape(&format!("{file}: {at}: {because}")));
        text.push_str(&format!("\n  do: {}\n", crate::text::escape(advice)));
    }
    text.push_str(&format!("{} in {}\n", plural(found.len(), "warning"), plural(files, "file")));
    text
}

fn line(file: &str, warning: &Warning) -> String {
    let Warning { at, rule, code, because, advice } = warning;
    let code: &Code = code;
    let told = json!({ "file": file, "at": at, "rule": rule, "code": code.as_str(),
        "because": because, "advice": advice });
    format!("{}\n", crate::text::escape_json(&told.to_string()))
}
