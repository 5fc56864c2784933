//! What a caller does, and what a role grants: two meanings, two types.

use std::collections::BTreeSet;
use std::fmt;

/// One concrete thing a caller does: `Microsoft.Devices/IotHubs/devices/read`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionName(&'static str);

impl ActionName {
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// True where policy's create-or-update effects look at this action.
    pub fn is_write(self) -> bool {
        self.ends_in("write")
    }

    /// True where this is the action's verb, its last segment: `read`, `write`, `delete` or `action`.
    pub fn ends_in(self, verb: &str) -> bool {
        let tail = self.0.len().checked_sub(verb.len() + 1).and_then(|it| self.0.get(it..));
        let last = tail.and_then(|it| it.strip_prefix('/'));
        last.is_some_and(|it| it.eq_ignore_ascii_case(verb))
    }
}

impl fmt::Display for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl serde::Serialize for ActionName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// What a role grants: an action name in which `*` stands for any run of characters, `/` included.
///
/// Matching ignores ASCII case. A `/*/` may also stand for a single `/`, as in the built-in role Managed
/// Identity Operator. Source: Azure RBAC documentation, "Understand role definitions".
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ActionPattern(Box<str>);

impl ActionPattern {
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, action: ActionName) -> bool {
        self.matches_text(action.as_str())
    }

    /// The same for an action that only exists as text, as in a question about a foreign provider.
    pub fn matches_text(&self, action: &str) -> bool {
        if wildcard(self.0.as_bytes(), action.as_bytes()) {
            return true;
        }
        let (pattern, action) = (self.0.as_bytes(), action.as_bytes());
        match pattern.windows(3).filter(|it| it == b"/*/").count() {
            0 => false,
            1 => wildcard(self.0.replace("/*/", "/").as_bytes(), action),
            // No built-in role has several.
            _ => shrinking(pattern, action),
        }
    }
}

/// The same match where each `/*/` may be one `/`, whatever the others are: keeps every place in the pattern
/// that the text so far may have led to.
fn shrinking(pattern: &[u8], text: &[u8]) -> bool {
    let mut places = with_free_steps(pattern, BTreeSet::from([0]));
    for byte in text {
        let step = |at: usize| match pattern.get(at) {
            Some(b'*') => Some(at),
            Some(it) if it.eq_ignore_ascii_case(byte) => Some(at + 1),
            _ => None,
        };
        places = with_free_steps(pattern, places.into_iter().filter_map(step).collect());
    }
    places.contains(&pattern.len())
}

/// Adds the places that are reached without a letter: behind a `*`, and at the second `/` of a `/*/`.
fn with_free_steps(pattern: &[u8], mut places: BTreeSet<usize>) -> BTreeSet<usize> {
    let mut next = places.first().copied();
    while let Some(at) = next {
        let rest = pattern.get(at..).unwrap_or_default();
        let by = match () {
            () if rest.starts_with(b"*") => Some(1),
            () if rest.starts_with(b"/*/") => Some(2),
            () => None,
        };
        places.extend(by.map(|it| at + it));
        next = places.range(at + 1..).next().copied();
    }
    places
}

/// Linear-space, at worst quadratic-time match: on a mismatch only the latest `*` takes one byte more.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(at_text) {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                star = Some((at_pattern + 1, at_text));
                at_pattern += 1;
            }
            Some(it) if it.eq_ignore_ascii_case(byte) => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => match star {
                Some((after_star, taken)) => {
                    star = Some((after_star, taken + 1));
                    at_pattern = after_star;
                    at_text = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(at_pattern..).is_some_and(|rest| rest.iter().all(|it| *it == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_documented() {
        let check = |pattern: &str, action: &str, expected: bool| {
            assert_eq!(
                ActionPattern::new(pattern).matches_text(action),
                expected,
                "{pattern} ~ {action}"
            );
        };
        check("*", "Microsoft.Devices/IotHubs/write", true);
        check("*/read", "Microsoft.Devices/IotHubs/devices/read", true);
        check("*/read", "Microsoft.Devices/IotHubs/listkeys/action", false);
        check("Microsoft.Devices/iothubs/*", "Microsoft.Devices/IotHubs/devices/write", true);
        check("Microsoft.Devices/IotHubs/*", "Microsoft.Devices/IotHubs2/read", false);
        check("Microsoft.Devices/IotHubs/devices", "Microsoft.Devices/IotHubs/devices/read", false);
        check("Microsoft.Devices/IotHubs/*/delete", "Microsoft.Devices/IotHubs/delete", true);
        check(
            "Microsoft.Devices/IotHubs/*/delete",
            "Microsoft.Devices/IotHubs/devices/delete",
            true,
        );
        check("a/*/b/*/c", "a/b/c", true);
        check("a/*/b/*/c", "a/b/x/c", true);
        check("a/*/b/*/c", "a/x/b/c", true);
        check("a/*/b/*/c", "a/x/c", false);
        check("a/*/*/c", "A/C", true);
        check("a/*/*/c", "a/x/c", true);
        check("a/*/*/c", "ac", false);
        check("Microsoft.Dev*/Iot*s/d*e", "Microsoft.Devices/IotHubs/devices/write", true);
        check("", "a", false);
        check("a.b/c", "axb/c", false);
    }

    #[test]
    fn a_pattern_of_many_stars_takes_bounded_time() {
        let pattern = ActionPattern::new(&"*a".repeat(2_000));
        assert!(!pattern.matches_text(&"a".repeat(1_999)));
        let pattern = ActionPattern::new(&"/*/a".repeat(100));
        assert!(!pattern.matches_text(&"/a".repeat(99)));
        assert!(pattern.matches_text(&"/a".repeat(100)));
    }
}
