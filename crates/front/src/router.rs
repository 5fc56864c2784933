//! Which operation lives at an address: the routes of the table, compiled once.
//!
//! Where several routes fit, the most specific wins: the one with most literal segments, then the longest,
//! then the one without `{scope}`. Nothing else has an address: what is not in the table is not found.

use model::operations::{Operation, Protocol, Route, Surface};
use model::{Error, OPERATIONS};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// An address that is in the table.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) operation: &'static Operation,
    pub(crate) surface: Surface,
    /// The segments that stand for a name, by that name.
    pub(crate) params: BTreeMap<&'static str, String>,
}

/// An address that is not, with the surface in whose shape to say so.
#[derive(Debug)]
pub(crate) struct Missed {
    pub(crate) surface: Surface,
    pub(crate) error: Error,
}

/// Finds the operation at an address.
///
/// # Errors
/// [`Error::UnknownPath`]; [`Error::MethodNotAllowed`] where the path exists under other methods.
pub(crate) fn find(
    surfaces: &[Surface],
    method: &str,
    segments: &[String],
) -> Result<Found, Missed> {
    let fitting = || ROUTES.iter().filter(|it| surfaces.contains(&it.surface) && it.fits(segments));
    if let Some(path) = fitting().find(|it| it.method == method) {
        return Ok(Found {
            operation: path.operation,
            surface: path.surface,
            params: path.params(segments),
        });
    }
    let allowed: BTreeSet<&'static str> = fitting().map(|it| it.method).collect();
    let method = crate::path::shown(method);
    match fitting().next() {
        Some(path) => Err(Missed {
            surface: path.surface,
            error: Error::MethodNotAllowed { method, allowed: allowed.into_iter().collect() },
        }),
        None => Err(Missed {
            surface: surface_of(surfaces, segments.iter().map(String::as_str)),
            error: Error::UnknownPath {
                method,
                path: crate::path::shown(&crate::path::join(segments)),
            },
        }),
    }
}

/// The surface that a path looks like, so that its client can read the error.
pub(crate) fn surface_of<'a>(
    surfaces: &[Surface],
    mut segments: impl Iterator<Item = &'a str>,
) -> Surface {
    let Some(first) = segments.next() else {
        return surfaces.first().copied().unwrap_or(Surface::Arm);
    };
    let is_sign_in = |it: &str| {
        ["oauth2", ".well-known", "discovery"].iter().any(|known| it.eq_ignore_ascii_case(known))
    };
    let guess = if first.eq_ignore_ascii_case("v1.0") {
        Surface::Graph
    } else if is_sign_in(first) || segments.take(2).any(is_sign_in) {
        Surface::Entra
    } else {
        Surface::Arm
    };
    match surfaces.contains(&guess) {
        true => guess,
        false => surfaces.first().copied().unwrap_or(guess),
    }
}

enum Part {
    Literal(&'static str),
    Param(&'static str),
}

struct Path {
    operation: &'static Operation,
    surface: Surface,
    method: &'static str,
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

    fn params(&self, segments: &[String]) -> BTreeMap<&'static str, String> {
        let tail = self.tail(segments).unwrap_or_default();
        let named = self.parts.iter().zip(tail).filter_map(|(part, segment)| match part {
            Part::Literal(_) => None,
            Part::Param(name) => Some((*name, segment.clone())),
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests;
