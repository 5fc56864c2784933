//! Pages that say what the tables say: `docs/reference/operations.md` is written from the table of
//! operations, and `docs/reference/policies.md` must name what the policy language has.

use crate::expect_none;
use crate::files;
use gate::condition;
use gate::policy::{self, Effect, Kind, Operator};
use model::operations::Protocol;
use model::published::PUBLISHED;
use model::{ActionName, OPERATIONS, Operation, Plane};
use std::fmt::Write as _;

/// The planes in the order of the page, each with what its callers show.
const PLANES: [(Plane, &str, &str); 6] = [
    (
        Plane::Service,
        "Service APIs of hubs and provisioning services",
        "At the own address of each. A bearer token, for `https://iothubs.azure.net` or \
         `https://azure-devices-provisioning.net`, needs the data actions; a shared access signature needs one of \
         the rights. What has no address is reached through a registration.",
    ),
    (
        Plane::Device,
        "What devices call",
        "At a provisioning service's address. No role reaches it: a device shows a signature by its own key, or by \
         the one that its enrollment group derives for it.",
    ),
    (
        Plane::Control,
        "Resource management",
        "At the management origin. A bearer token needs the actions. `{scope}` is any scope: a subscription, a \
         resource group, a resource.",
    ),
    (
        Plane::Directory,
        "Directory",
        "Microsoft Graph, at the management origin. A bearer token needs the actions, by a role at `/`.",
    ),
    (
        Plane::Token,
        "Token endpoint",
        "At the management origin. The credential is the client's id and secret in the form, or HTTP Basic.",
    ),
    (Plane::Open, "Open to anybody", "At the management origin, before anybody has signed in."),
];

#[test]
fn the_page_of_operations_is_written_from_the_table() {
    files::expect_fresh("docs/reference/operations.md", &operations_page());
}

fn operations_page() -> String {
    let mut page = String::from(
        "# Operations\n\n\
         Written from the rows in `crates/model/src/operations/` by `HUBWARD_BLESS=1 cargo test --test tidy`; edit \
         those, not this page.\n\n\
         Every address that answers is here. An operation needs *all* of its actions, or *one* of its rights; an \
         empty cell means that any signed-in caller will do. Where the policy column says *write*, assigned policies \
         judge the call before any role is looked up ([policies](policies.md)). What a call at a hub *counts as* matters \
         where hubs are [limited](limits.md).\n",
    );
    for (plane, title, says) in PLANES {
        let rows: Vec<&Operation> = OPERATIONS.iter().filter(|it| it.plane == plane).collect();
        let mut line = |it: String| writeln!(page, "{it}").expect("a `String` takes every line");
        line(format!("\n## {title}\n\n{says}\n"));
        let has_needs = !matches!(plane, Plane::Token | Plane::Open | Plane::Device);
        let has_rights = plane == Plane::Service;
        let mut head = vec!["operation", "what it does", "addresses"];
        if has_needs {
            head.push("actions");
        }
        if has_rights {
            head.push("rights");
        }
        if matches!(plane, Plane::Service | Plane::Control) {
            head.push("policy");
        }
        if matches!(plane, Plane::Service | Plane::Device) {
            head.push("counts as");
        }
        line(format!("| {} |", head.join(" | ")));
        line(format!("| {} |", vec!["---"; head.len()].join(" | ")));
        for row in rows {
            let cells = head.iter().map(|it| cell(row, it));
            line(format!("| {} |", cells.collect::<Vec<_>>().join(" | ")));
        }
    }
    page.push_str(
        "\n## Published, without an address\n\n\
         Roles can grant these actions, deny assignments and policies can name them, and a question about a decision \
         can ask for them. Nothing answers to them yet.\n\n\
         | what it does | action | kind | rights |\n| --- | --- | --- | --- |\n",
    );
    for row in PUBLISHED {
        let kind = if row.plane == Plane::Service { "data" } else { "control" };
        let cells = [row.says, &cell(row, "actions"), kind, &cell(row, "rights")];
        writeln!(page, "| {} |", cells.join(" | ")).expect("a `String` takes every line");
    }
    page
}

fn cell(row: &Operation, column: &str) -> String {
    match column {
        "operation" => row.name(),
        "what it does" => row.says.to_owned(),
        "addresses" if row.routes.is_empty() => "chosen by the server".to_owned(),
        "addresses" => {
            let routes = row.routes.iter().map(|it| match it.protocol {
                Protocol::Https => format!("`{} {}`", it.method, it.path),
                Protocol::Mqtt => format!("MQTT `{} {}`", it.method, it.path),
                Protocol::Amqp => format!("AMQP `{} {}`", it.method, it.path),
            });
            routes.collect::<Vec<_>>().join("<br>")
        }
        "actions" => joined(row.actions.iter().map(|it: &ActionName| it.as_str())),
        "rights" => joined(row.sas.iter().map(|it| it.as_str())),
        "counts as" => joined(row.throttled().iter().map(|it| it.name)),
        _ if !row.is_judged_by_policy() => String::new(),
        _ => match (row.writes(), row.deletes()) {
            (true, true) => "write, delete".to_owned(),
            (true, false) => "write".to_owned(),
            (false, _) => "delete".to_owned(),
        },
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|it| format!("`{it}`")).collect::<Vec<_>>().join("<br>")
}

#[test]
fn the_page_of_operations_shows_every_operation() {
    let page = operations_page();
    let faults: Vec<String> = OPERATIONS
        .iter()
        .map(Operation::name)
        .filter(|it| !page.contains(&format!("| {it} |")))
        .collect();
    expect_none("operations of a plane that the page leaves out", &faults);
}

#[test]
fn the_page_of_policies_names_all_that_rules_can_say_and_every_limit() {
    let page = files::read("docs/reference/policies.md");
    let operators = Operator::ALL.iter().map(|(_, it)| format!("`{it}`"));
    let effects = Effect::ALL.iter().map(|it| format!("`{}`", it.as_str()));
    let functions = policy::functions().into_iter().map(|it| format!("`{it}`"));
    let kinds = Kind::ALL.iter().map(|(_, it)| format!("`{it}`"));
    let settings = policy::CHANGEABLE
        .iter()
        .flat_map(|(kind, all)| all.iter().map(move |it| format!("`{kind}/{}`", it.name)));
    let limits = [
        (policy::RULES_MAX, "rules"),
        (policy::CONDITIONS_MAX, "conditions"),
        (policy::DEPTH_MAX, "levels"),
        (policy::PARAMETERS_MAX, ""),
        (policy::EXPRESSION_CHARS_MAX, "characters"),
        (policy::EXPRESSION_DEPTH_MAX, "levels"),
        (policy::ARGUMENTS_MAX, "arguments"),
        (policy::FUNCTIONS_MAX, "functions"),
        (policy::FIELD_COUNTS_MAX, "counts over one list"),
        (policy::VALUE_COUNTS_MAX, "counts over values"),
        (policy::ITERATIONS_MAX, "values"),
        (policy::TEXT_CHARS_MAX, "characters"),
        (policy::VALUE_DEPTH_MAX, "levels"),
        (policy::VALUE_NODES_MAX, "values"),
        (policy::STEPS_MAX, "steps"),
        (policy::OPERATIONS_MAX, "operations"),
    ];
    let limits =
        limits.map(|(number, what)| format!("{} {what}", grouped(number)).trim().to_owned());
    let all = operators.chain(effects).chain(functions).chain(kinds).chain(settings).chain(limits);
    let faults: Vec<String> = all.filter(|it| !page.contains(it.as_str())).collect();
    expect_none("`docs/reference/policies.md` does not name", &faults);
}

#[test]
fn the_page_of_conditions_names_every_operator_and_limit() {
    let page = files::read("docs/reference/conditions.md");
    let limits = [
        format!("{} bytes", grouped(condition::TEXT_BYTES_MAX)),
        format!("{} tests and values", grouped(condition::NODES_MAX)),
        format!("{} steps", grouped(condition::STEPS_MAX)),
        condition::DEPTH_MAX.to_string(),
    ];
    let names = condition::operators().map(|it| format!("`{it}`"));
    let faults: Vec<String> =
        names.chain(limits).filter(|it| !page.contains(it.as_str())).collect();
    expect_none("`docs/reference/conditions.md` does not name", &faults);
}

/// `4,096`.
fn grouped(number: usize) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1_000), number % 1_000),
    }
}
