//! Through what somebody can do something, and what stands against it, as cells of a table.

use crate::page::Cell;
use crate::render::TEXT_CHARS_MAX;
use crate::text::shorten;
use model::trace::GroupPlace;
use serde::Deserialize;

/// A role assignment that grants it.
#[derive(Deserialize, Clone, PartialEq, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Way {
    pub(crate) role_name: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) groups: Option<Vec<GroupPlace>>,
}

/// What stands against it; of what the asker may not read, the kind alone.
#[derive(Deserialize, Clone, PartialEq, Debug)]
pub(crate) struct Against {
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
}

/// The role, where it was given, and the groups from the inside.
pub(crate) fn cells(way: Option<&Way>) -> [Cell; 3] {
    let text =
        |it: Option<&String>| Cell::plain(shorten(it.map_or("", String::as_str), TEXT_CHARS_MAX));
    let groups = way.and_then(|it| it.groups.as_ref()).into_iter().flatten();
    let through: Vec<&str> = groups.map(|it| it.name.as_str()).collect();
    [
        text(way.and_then(|it| it.role_name.as_ref())),
        text(way.and_then(|it| it.scope.as_ref())),
        Cell::plain(shorten(&through.join(" in "), TEXT_CHARS_MAX)),
    ]
}

/// `resource: lock frozen`; nothing where nothing stands against it.
pub(crate) fn stopped_by(gate: Option<&str>, against: &[Against]) -> String {
    let Some(gate) = gate else { return String::new() };
    let told = against.iter().map(|it| match &it.name {
        Some(name) => format!("{} {name}", it.kind),
        None => it.kind.clone(),
    });
    let mut told: Vec<String> = told.collect();
    told.dedup();
    match told.is_empty() {
        true => gate.to_owned(),
        false => shorten(&format!("{gate}: {}", told.join(", ")), TEXT_CHARS_MAX),
    }
}
