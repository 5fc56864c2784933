//! The graph: principals, the groups that they are in, roles and scopes, and which paths between them are lit.

use super::held::{Grant, Held, Kind, Principal, is_management};
use model::Scope;
use std::collections::{BTreeMap, BTreeSet};

/// In which column something is drawn, from left to right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Column {
    Principal,
    Group,
    Role,
    Scope,
}

pub(super) struct Node {
    pub(super) key: String,
    pub(super) column: Column,
    pub(super) name: String,
    /// What it is, in small letters below its name.
    pub(super) word: String,
    /// How deep it lies below others of its column.
    pub(super) depth: usize,
    pub(super) is_denial: bool,
    pub(super) is_lit: bool,
}

/// From one node to another, by their places in the list.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) is_denial: bool,
    pub(super) is_lit: bool,
}

pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
}

/// What is to be lit: everything between who holds it and where it counts.
#[derive(Clone, Debug, Default)]
pub(super) enum Light {
    #[default]
    Nothing,
    Principal(String),
    Role(String),
    Scope(String),
    /// Assignments by their ids.
    Grants(BTreeSet<String>),
}

impl Light {
    /// The node that was chosen, as addresses name it.
    pub(super) fn read(text: &str) -> Self {
        match text.split_once(':') {
            Some(("who", id)) => Self::Principal(id.to_owned()),
            Some(("role", id)) => Self::Role(id.to_owned()),
            Some(("at", scope)) => Self::Scope(scope.to_owned()),
            _ => Self::Nothing,
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// True where a grant lies on a lit path.
    pub(super) fn lights(&self, grant: &Grant, held: &Held) -> bool {
        match self {
            Self::Nothing => false,
            Self::Principal(id) => {
                grant.principal == *id
                    || held.groups_of(id).contains(grant.principal.as_str())
                    || held
                        .principals
                        .get(&grant.principal)
                        .is_some_and(|it| it.kind == Kind::Everyone)
            }
            Self::Role(id) => grant.role == *id,
            Self::Scope(scope) => held.reaches(&grant.scope, scope),
            Self::Grants(ids) => ids.contains(&grant.id.to_ascii_lowercase()),
        }
    }
}

impl Graph {
    pub(super) fn of(held: &Held, here: &str, light: &Light) -> Self {
        let mut nodes = principals(held);
        nodes.extend(roles(held));
        nodes.extend(scopes(held, here));
        let places: BTreeMap<String, usize> =
            nodes.iter().enumerate().map(|(at, it)| (it.key.clone(), at)).collect();
        let at = |key: &str| places.get(key).copied();
        let mut lit: BTreeSet<usize> = BTreeSet::new();
        let mut edges: BTreeMap<(usize, usize, bool), bool> = BTreeMap::new();
        for grant in &held.grants {
            let ends =
                (at(&who(&grant.principal)), at(&role(&grant.role)), at(&place(&grant.scope)));
            let (Some(holder), Some(what), Some(at_scope)) = ends else { continue };
            let is_lit = light.lights(grant, held);
            for (from, to) in [(holder, what), (what, at_scope)] {
                *edges.entry((from, to, grant.is_denial)).or_default() |= is_lit;
            }
            if is_lit {
                lit.extend([holder, what, at_scope]);
            }
        }
        // Who is in a lit group is on the path, too; of somebody chosen, only the way up.
        let is_from = |id: &str| match light {
            Light::Principal(chosen) => {
                id == chosen
                    || held.groups_of(chosen).contains(id)
                    || held.groups_of(id).contains(chosen.as_str())
            }
            Light::Nothing | Light::Role(_) | Light::Scope(_) | Light::Grants(_) => true,
        };
        let lit_holders: BTreeSet<String> =
            lit.iter().filter_map(|it| nodes.get(*it)).map(|it| it.key.clone()).collect();
        for (group, members) in &held.members {
            let is_way = |it: &str| lit_holders.contains(&who(it));
            let above = held.groups_of(group);
            let is_group_lit = is_way(group) || above.iter().any(|it| is_way(it));
            for member in members {
                let (Some(from), Some(to)) = (at(&who(member)), at(&who(group))) else { continue };
                let is_lit = is_group_lit && is_from(member) && is_from(group);
                edges.insert((from, to, false), is_lit);
                if is_lit {
                    lit.extend([from, to]);
                }
            }
        }
        // A place lies on the path where what is given above it counts.
        if let Light::Principal(_) | Light::Role(_) = light {
            let given: Vec<&Grant> =
                held.grants.iter().filter(|it| light.lights(it, held)).collect();
            let below = nodes.iter().enumerate().filter(|(_, it)| it.column == Column::Scope);
            let reached = below.filter(|(_, it)| {
                let scope = it.key.strip_prefix("at:").unwrap_or("");
                given.iter().any(|grant| held.reaches(&grant.scope, scope))
            });
            lit.extend(reached.map(|(at, _)| at));
        }
        for (at, node) in nodes.iter_mut().enumerate() {
            node.is_lit = lit.contains(&at);
        }
        let edges = edges.into_iter();
        let edges =
            edges.map(|((from, to, is_denial), is_lit)| Edge { from, to, is_denial, is_lit });
        Self { nodes, edges: edges.collect() }
    }

    /// What is lit of it, alone.
    pub(super) fn lit(self) -> Self {
        let mut places = BTreeMap::new();
        let mut nodes = Vec::new();
        for (at, node) in self.nodes.into_iter().enumerate().filter(|(_, it)| it.is_lit) {
            places.insert(at, nodes.len());
            nodes.push(node);
        }
        let moved = |it: Edge| {
            let (from, to) = (*places.get(&it.from)?, *places.get(&it.to)?);
            it.is_lit.then_some(Edge { from, to, ..it })
        };
        Self { edges: self.edges.into_iter().filter_map(moved).collect(), nodes }
    }
}

pub(super) fn who(id: &str) -> String {
    format!("who:{id}")
}

pub(super) fn role(id: &str) -> String {
    format!("role:{id}")
}

pub(super) fn place(scope: &str) -> String {
    format!("at:{}", scope.to_ascii_lowercase())
}

fn node(key: String, column: Column, name: &str, word: &str) -> Node {
    let (name, word) = (name.to_owned(), word.to_owned());
    Node { key, column, name, word, depth: 0, is_denial: false, is_lit: false }
}

/// Everybody who holds something or is in a group that does, by name; groups apart.
fn principals(held: &Held) -> Vec<Node> {
    let holders = held.grants.iter().map(|it| it.principal.as_str());
    let mut shown: BTreeSet<&str> = holders.collect();
    let mut looked_at: Vec<&str> = shown.iter().copied().collect();
    while let Some(id) = looked_at.pop() {
        for member in held.members.get(id).into_iter().flatten() {
            if shown.insert(member) {
                looked_at.push(member);
            }
        }
    }
    let of = |id: &&str| held.principals.get(*id);
    let mut all: Vec<(&str, &Principal)> =
        shown.iter().filter_map(|id| Some((*id, of(id)?))).collect();
    all.sort_by_key(|(_, it)| (it.kind, it.name.to_lowercase()));
    let told = |(id, it): (&str, &Principal)| {
        let column = if it.kind == Kind::Group { Column::Group } else { Column::Principal };
        node(who(id), column, &it.name, it.kind.word())
    };
    all.into_iter().map(told).collect()
}

fn roles(held: &Held) -> Vec<Node> {
    let of = |it: &Grant| (it.is_denial, held.role(&it.role).to_owned(), it.role.clone());
    let all: BTreeSet<(bool, String, String)> = held.grants.iter().map(of).collect();
    let told = |(is_denial, name, id): (bool, String, String)| {
        let word = if is_denial { "denies" } else { "role" };
        Node { is_denial, ..node(role(&id), Column::Role, &name, word) }
    };
    all.into_iter().map(told).collect()
}

/// Every place at which something is given, and the place that is looked at, each behind those above it.
fn scopes(held: &Held, here: &str) -> Vec<Node> {
    let given = held.grants.iter().map(|it| it.scope.as_str()).chain([here]);
    let all: BTreeMap<String, &str> = given.map(|it| (it.to_ascii_lowercase(), it)).collect();
    let above = |scope: &str| {
        let mut above: Vec<&str> = all
            .values()
            .copied()
            .filter(|it| !it.eq_ignore_ascii_case(scope) && held.reaches(it, scope))
            .collect();
        above.sort_by_key(|it| all.values().filter(|other| held.reaches(other, it)).count());
        above
    };
    let mut order: Vec<(Vec<String>, &str, usize)> = Vec::new();
    for (key, scope) in &all {
        let above = above(scope);
        let depth = above.len();
        let way = above.iter().map(|it| it.to_ascii_lowercase()).chain([key.clone()]);
        order.push((way.collect(), scope, depth));
    }
    order.sort();
    let told = |(_, scope, depth): (Vec<String>, &str, usize)| {
        let (name, word) = named(scope);
        Node { depth, ..node(place(scope), Column::Scope, &name, &word) }
    };
    order.into_iter().map(told).collect()
}

/// What a place is called and what it is.
pub(super) fn named(scope: &str) -> (String, String) {
    let Ok(parsed) = Scope::parse(scope) else { return (scope.to_owned(), String::new()) };
    let kind = parsed.resource_type().unwrap_or_default();
    let short = kind.rsplit('/').next().unwrap_or("").to_owned();
    let word = match parsed.segments().count() {
        0 => return ("Tenant".to_owned(), "everything".to_owned()),
        2 => "subscription".to_owned(),
        4 if parsed.resource_group().is_some() => "resource group".to_owned(),
        _ if is_management(scope) => "management group".to_owned(),
        _ => short,
    };
    (parsed.name().to_owned(), word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "/subscriptions/s/resourceGroups/rg1";

    fn principal(kind: Kind, name: &str) -> (String, Principal) {
        (name.to_owned(), Principal { name: name.to_owned(), kind, detail: String::new() })
    }

    fn grant(principal: &str, role: &str, scope: &str) -> Grant {
        Grant {
            id: format!("/{principal}/{role}"),
            principal: principal.to_owned(),
            role: role.to_owned(),
            scope: scope.to_owned(),
            condition: String::new(),
            since: String::new(),
            is_denial: false,
        }
    }

    /// Ana in the crew in the plant, which reads a group; ben reads a hub in it; cyd reads the group's namesake.
    fn held() -> Held {
        let hub = format!("{GROUP}/providers/Microsoft.Devices/IotHubs/h");
        let people = ["ana", "ben", "cyd"].map(|it| principal(Kind::Person, it));
        let groups = ["crew", "plant"].map(|it| principal(Kind::Group, it));
        Held {
            grants: vec![
                grant("plant", "reader", GROUP),
                grant("ben", "data", &hub),
                grant("cyd", "reader", &format!("{GROUP}0")),
            ],
            roles: BTreeMap::new(),
            denials: Vec::new(),
            principals: people.into_iter().chain(groups).collect(),
            members: [("crew", "ana"), ("plant", "crew")]
                .map(|(group, member)| (group.to_owned(), BTreeSet::from([member.to_owned()])))
                .into(),
            managed: BTreeMap::new(),
            changes: Vec::new(),
            at: 0,
        }
    }

    fn lit(light: &str) -> Vec<String> {
        let graph = Graph::of(&held(), GROUP, &Light::read(light)).lit();
        let names: Vec<String> = graph.nodes.iter().map(|it| it.name.clone()).collect();
        let edge = |it: &Edge| format!("{}-{}", names[it.from], names[it.to]);
        names.iter().cloned().chain(graph.edges.iter().map(edge)).collect()
    }

    #[test]
    fn a_way_is_lit_from_who_holds_it_to_where_it_counts() {
        let whole = ["crew-plant", "plant-reader", "reader-rg1"];
        let of_ana = lit("who:ana");
        assert_eq!(of_ana[..6], ["ana", "crew", "plant", "reader", "rg1", "h"]);
        assert!(whole.iter().all(|it| of_ana.contains(&(*it).to_owned())), "{of_ana:?}");
        assert!(of_ana.contains(&"ana-crew".to_owned()), "{of_ana:?}");
        assert_eq!(lit("who:ben"), ["ben", "data", "h", "ben-data", "data-h"]);
        // A role is lit with all who hold it, a namesake of a place is another place.
        let of_role = lit("role:reader");
        assert!(of_role.contains(&"cyd".to_owned()) && of_role.contains(&"rg10".to_owned()));
        let of_place = lit(&format!("at:{GROUP}"));
        assert!(of_place.contains(&"ana".to_owned()), "{of_place:?}");
        for none in ["ben", "cyd", "rg10", "data"] {
            assert!(!of_place.contains(&none.to_owned()), "{none}: {of_place:?}");
        }
        assert!(lit("").is_empty() && lit("who:nobody").is_empty());
    }
}
