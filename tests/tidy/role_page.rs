//! `docs/reference/roles.md`: which built-in role grants which action, asked of the code that decides.

use crate::expect_none;
use crate::files;
use gate::Facts;
use gate::facts::{List, Role};
use model::operations::known;
use model::roles::BUILTIN_ROLES;
use model::{ObjectId, Op, Plane};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The actions of one provider on one plane, each with the operations that need it.
type Rows = BTreeMap<&'static str, BTreeSet<String>>;

/// What a table is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    /// Control before data, as in a role definition.
    is_data: bool,
    provider: &'static str,
}

impl Group {
    const fn list(self) -> List {
        match self.is_data {
            true => List::DataActions,
            false => List::Actions,
        }
    }

    fn title(self) -> String {
        let plane = if self.is_data { "data actions" } else { "control actions" };
        format!("{}, {plane}", self.provider)
    }
}

fn groups() -> BTreeMap<Group, Rows> {
    let mut groups: BTreeMap<Group, Rows> = BTreeMap::new();
    for row in known() {
        for action in row.actions {
            let action = action.as_str();
            let provider = action.split('/').next().unwrap_or(action);
            let is_data = List::of(row.plane) == List::DataActions;
            let needing = groups.entry(Group { is_data, provider }).or_default();
            let needing = needing.entry(action).or_default();
            if row.op != Op::Published {
                needing.insert(row.name());
            }
        }
    }
    groups
}

fn facts() -> Facts {
    Facts::new(ObjectId(uuid::Uuid::nil()), "https://localhost")
}

/// The built-in roles in the order of their table, as the gates have them.
fn roles(facts: &Facts) -> Vec<&Role> {
    let id = |text: &str| ObjectId::parse(text).expect("the ids of the table are GUIDs");
    let role =
        |text: &str| &**facts.roles.get(&id(text)).expect("the gates have every built-in role");
    BUILTIN_ROLES.iter().map(|it| role(it.id)).collect()
}

fn page() -> String {
    let facts = facts();
    let roles = roles(&facts);
    let mut page = String::from(
        "# Roles\n\n\
         Written by `HUBWARD_BLESS=1 cargo test --test tidy`, which asks the code that decides; edit \
         `crates/model/src/roles.rs` or the rows in `crates/model/src/operations/`, not this page.\n\n\
         A row is an action, with the operations that need it ([operations](operations.md)); one without operations is \
         published, and nothing answers to it yet. A number says that the role grants the action, and under the table \
         by which of its patterns. An empty cell is a no: no pattern fits, or one does and `notActions` takes it away. \
         Roles that grant nothing in a table are left out of it.\n\n\
         A role counts at the scope that it is assigned at, and below. No role reaches what devices call themselves. \
         `Microsoft.Directory` and `securityPolicies` are granted only by patterns that name them; Owner's `*` reaches \
         the directory all the same. With `--explicit-grants false` other patterns reach `securityPolicies`, too.\n",
    );
    let groups = groups();
    for (group, rows) in &groups {
        table(&mut page, *group, rows, &roles, &facts);
    }
    let idle = roles.iter().filter(|role| {
        let mut all =
            groups.iter().flat_map(|(group, rows)| rows.keys().map(move |it| (group, it)));
        !all.any(|(group, it)| facts.grants(role, it, group.list()).is_some())
    });
    let idle: Vec<String> = idle.map(|it| format!("- {}", it.name)).collect();
    write!(
        page,
        "\n## Roles for other services\n\n\
         These can be assigned, and grant nothing that is served here:\n\n{}\n",
        idle.join("\n")
    )
    .expect("a `String` takes every line");
    page
}

fn table(page: &mut String, group: Group, rows: &Rows, roles: &[&Role], facts: &Facts) {
    let pattern = |role: &Role, action: &str| {
        facts.grants(role, action, group.list()).map(|it| it.as_str().to_owned())
    };
    let shown: Vec<&Role> = roles
        .iter()
        .filter(|role| rows.keys().any(|it| pattern(role, it).is_some()))
        .copied()
        .collect();
    let mut patterns: Vec<String> = Vec::new();
    let mut line = |it: String| writeln!(page, "{it}").expect("a `String` takes every line");
    line(format!("\n## {}\n", group.title()));
    let names = shown.iter().map(|it| it.name.as_str());
    let head: Vec<&str> = ["action", "operations"].into_iter().chain(names).collect();
    line(format!("| {} |", head.join(" | ")));
    line(format!("| {} |", vec!["---"; head.len()].join(" | ")));
    for (action, operations) in rows {
        let below = action.strip_prefix(group.provider).unwrap_or(action).trim_start_matches('/');
        let operations = operations.iter().cloned().collect::<Vec<_>>().join("<br>");
        let mut cells = vec![format!("`{below}`"), operations];
        for role in &shown {
            cells.push(match pattern(role, action) {
                None => String::new(),
                Some(it) => {
                    let at = patterns.iter().position(|known| *known == it).unwrap_or_else(|| {
                        patterns.push(it);
                        patterns.len() - 1
                    });
                    (at + 1).to_string()
                }
            });
        }
        line(format!("| {} |", cells.join(" | ")));
    }
    if patterns.is_empty() {
        return line("\nNo built-in role grants any of these.".to_owned());
    }
    line(String::new());
    for (index, it) in patterns.iter().enumerate() {
        line(format!("{}. `{it}`", index + 1));
    }
}

#[test]
fn the_page_of_roles_is_what_the_gates_say() {
    files::expect_fresh("docs/reference/roles.md", &page());
}

#[test]
fn the_page_of_roles_shows_every_role_and_every_action_that_a_role_can_grant() {
    let page = page();
    let roles = BUILTIN_ROLES.iter().map(|it| it.name).filter(|it| !page.contains(it));
    let is_shown = |action: &str| {
        let (_, below) = action.split_once('/').unwrap_or(("", action));
        page.contains(&format!("| `{below}` |"))
    };
    let actions = known()
        .filter(|it| it.plane != Plane::Device)
        .flat_map(|it| it.actions)
        .map(|it| it.as_str())
        .filter(|it| !is_shown(it));
    let faults: Vec<String> = roles.chain(actions).map(str::to_owned).collect();
    expect_none("the page of roles leaves out", &faults);
}
