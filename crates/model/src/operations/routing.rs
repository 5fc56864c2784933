//! Which operation lives at an address over HTTPS: the routes of the table, compiled once.
//!
//! Where several routes fit, the most specific wins: the one with most literal segments, then the longest,
//! then the one without `{scope}`. Nothing else has an address: what is not in the table is not found.

use super::{OPERATIONS, Operation, Protocol, Route, Surface};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The routes that a path and a query fit, the one that they mean first.
pub fn fitting<'a>(
    surfaces: &'a [Surface],
    segments: &'a [String],
    query: &'a [(String, String)],
) -> impl Iterator<Item = &'static Path> + 'a {
    ROUTES
        .iter()
        .filter(|it| surfaces.contains(&it.surface) && it.fits(segments) && it.is_chosen(query))
}

enum Part {
    Literal(&'static str),
    Param(&'static str),
}

/// A route of the table, compiled.
pub struct Path {
    pub operation: &'static Operation,
    pub surface: Surface,
    pub method: &'static str,
    /// Any number of segments may stand in front of `parts`.
    has_scope: bool,
    parts: Vec<Part>,
    /// What the query says of [`CHOOSES`], where blobs are served.
    chosen: Vec<(&'static str, &'static str)>,
}

/// What of a query chooses among operations at one path. Source: Azure Storage services REST API.
const CHOOSES: [&str; 2] = ["comp", "restype"];

static ROUTES: LazyLock<Vec<Path>> = LazyLock::new(|| {
    let mut paths: Vec<Path> = OPERATIONS
        .iter()
        .flat_map(|operation| operation.routes.iter().map(move |route| (operation, route)))
        .filter(|(_, route)| route.protocol == Protocol::Https)
        .map(|(operation, route)| Path::compile(operation, route))
        .collect();
    paths.sort_by_key(|it| (Reverse(it.literals()), Reverse(it.parts.len()), it.has_scope));
    paths
});

impl Path {
    fn compile(operation: &'static Operation, route: &'static Route) -> Self {
        let (path, query) = route.path.split_once('?').unwrap_or((route.path, ""));
        let (has_scope, rest) = match path.strip_prefix("{scope}") {
            Some(rest) => (true, rest),
            None => (false, path),
        };
        let chosen = query.split('&').filter_map(|it| it.split_once('=')).collect();
        let parts = rest
            .split('/')
            .filter(|it| !it.is_empty())
            .map(|it| match it.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
                Some(name) => Part::Param(name),
                None => Part::Literal(it),
            })
            .collect();
        Self { operation, surface: route.surface, method: route.method, has_scope, parts, chosen }
    }

    fn literals(&self) -> usize {
        self.parts.iter().filter(|it| matches!(it, Part::Literal(_))).count()
    }

    /// The segments that `parts` stand for.
    fn tail<'a>(&self, segments: &'a [String]) -> Option<&'a [String]> {
        match segments.len().checked_sub(self.parts.len())? {
            0 => Some(segments),
            before if self.has_scope => segments.get(before..),
            _ => None,
        }
    }

    fn fits(&self, segments: &[String]) -> bool {
        self.tail(segments).is_some_and(|tail| {
            self.parts.iter().zip(tail).all(|(part, segment)| match part {
                Part::Literal(literal) => literal.eq_ignore_ascii_case(segment),
                Part::Param(_) => true,
            })
        })
    }

    /// A query that chooses something else chooses nothing here.
    fn is_chosen(&self, query: &[(String, String)]) -> bool {
        self.surface != Surface::Blob
            || CHOOSES.iter().all(|name| {
                let wanted = self.chosen.iter().find(|(its, _)| its == name).map(|(_, it)| *it);
                let mut said = query.iter().filter(|(its, _)| its.eq_ignore_ascii_case(name));
                match (wanted, said.next(), said.next()) {
                    (None, None, _) => true,
                    (Some(wanted), Some((_, said)), None) => wanted.eq_ignore_ascii_case(said),
                    (_, _, _) => false,
                }
            })
    }

    /// The segments that stand for a name, by that name.
    pub fn params(&self, segments: &[String]) -> BTreeMap<&'static str, String> {
        let tail = self.tail(segments).unwrap_or_default();
        let named = self.parts.iter().zip(tail).filter_map(|(part, segment)| match part {
            Part::Literal(_) => None,
            Part::Param(name) => Some((*name, segment.clone())),
        });
        named.collect()
    }
}
