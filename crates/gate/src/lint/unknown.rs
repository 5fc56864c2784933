//! Actions that nothing has: roles that name them grant nothing by it.
//!
//! What is no action at all, the check of roles says that are written. Azure has providers that are not known here:
//! of these only what looks like a slip of the pen for an action that is known is told.

use super::{Code, Warning};
use crate::writes::check_patterns;
use model::json::member;
use model::operations::known;
use model::{ActionPattern, Plane};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const LISTS: [&str; 4] = ["actions", "notActions", "dataActions", "notDataActions"];
/// Most letters by which a slip of the pen differs.
const SLIP_MAX: usize = 2;
/// Farther than this nothing is near: a third of the letters.
const FAR: usize = 3;
/// Longest text that is compared letter by letter.
const TEXT_CHARS_MAX: usize = 200;

/// Warnings about the blocks of a role.
pub(super) fn unknown(permissions: &[Value]) -> Vec<Warning> {
    let mut found = Vec::new();
    for (index, block) in permissions.iter().enumerate() {
        for name in LISTS {
            let texts = member(block, name).and_then(Value::as_array).into_iter().flatten();
            let told = texts.filter_map(Value::as_str).filter_map(|it| warning(index, name, it));
            found.extend(told);
        }
    }
    found
}

fn warning(index: usize, name: &str, text: &str) -> Option<Warning> {
    let pattern = ActionPattern::new(text);
    if known().flat_map(|it| it.actions).any(|it| pattern.matches(*it)) {
        return None;
    }
    let is_data = name.contains("ata");
    let near = nearest(text, is_data);
    let is_refused = check_patterns(&[json!({ name: [text] })]).is_err();
    let is_slip = near.as_ref().is_some_and(|it| it.0 <= SLIP_MAX);
    if !is_refused && !is_slip {
        return None;
    }
    let advice = match near {
        Some((_, it)) => format!("write `{it}`, if that is meant"),
        None => format!("take `{text}` out; `az provider operation list` shows what there is"),
    };
    let because = match is_refused {
        true => format!("no operation here or at Azure has `{text}`: it grants nothing"),
        false => format!("nothing here has `{text}`, which looks like a slip of the pen"),
    };
    let at = format!("permissions[{index}].{name}");
    Some(Warning { at, rule: None, code: Code::UnknownAction, because, advice })
}

/// The action, or the pattern of all of a kind, that differs in fewest letters, and in how many.
fn nearest(text: &str, is_data: bool) -> Option<(usize, String)> {
    if text.len() > TEXT_CHARS_MAX {
        return None;
    }
    let is_pattern = text.contains('*');
    let rows = known().filter(|it| (it.role_plane() == Plane::Service) == is_data);
    let names: BTreeSet<String> = rows
        .flat_map(|it| it.actions)
        .filter_map(|it| match is_pattern {
            false => Some(it.as_str().to_owned()),
            true => Some(format!("{}/*", it.as_str().rsplit_once('/')?.0)),
        })
        .collect();
    let wanted = text.to_ascii_lowercase();
    let told = names.into_iter().map(|it| (distance(&wanted, &it.to_ascii_lowercase()), it));
    told.min().filter(|it| it.0 <= text.chars().count() / FAR)
}

/// How many letters must be put in, taken out or replaced to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (done, mine) in a.chars().enumerate() {
        let mut corner = done;
        let mut left = done + 1;
        for (place, its) in row.iter_mut().zip(std::iter::once(None).chain(b.chars().map(Some))) {
            let Some(its) = its else {
                *place = left;
                continue;
            };
            let above = *place;
            let replaced = corner + usize::from(mine != its);
            left = replaced.min(above + 1).min(left + 1);
            corner = above;
            *place = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("read", "raed", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
