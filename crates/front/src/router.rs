//! Which operation lives at an address, and what to say where none does.

use model::Error;
use model::operations::{Operation, Surface, routing};
use std::collections::{BTreeMap, BTreeSet};

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
    query: &[(String, String)],
) -> Result<Found, Missed> {
    let fitting = || routing::fitting(surfaces, segments, query);
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

#[cfg(test)]
mod tests;
