//! Which operation lives at an address over HTTPS: the routes of the table, compiled once.
//!
//! Where several routes fit, the most specific wins: the one with most literal segments, then the longest,
//! then the one without `{scope}`. Nothing else has an address: what is not in the table is not found.

use super::{OPERATIONS, Operation, Protocol, Route, Surface};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The routes that a path fits, the one that it means first.
pub fn fitting<'a>(
    surfaces: &'a [Surface],
    segments: &'a [String],
) -> impl Iterator<Item = &'static Path> + 'a {
    ROUTES.iter().filter(|it| surfaces.contains(&it.surface) && it.fits(segments))
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
}

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
        let (has_scope, rest) = match route.path.strip_prefix("{scope}") {
            Some(rest) => (true, rest),
            None => (false, route.path),
        };
        let parts = rest
            .split('/')
            .filter(|it| !it.is_empty())
            .map(|it| match it.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
                Some(name) => Part::Param(name),
                None => Part::Literal(it),
            })
            .collect();
        Self { operation, surface: route.surface, method: route.method, has_scope, parts }
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
