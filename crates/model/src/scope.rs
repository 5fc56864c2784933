//! A place in the resource tree, and which place lies below which.

use std::fmt;
use std::sync::Arc;

/// Longest scope in bytes. ARM ids of nested resources stay far below it.
pub const SCOPE_BYTES_MAX: usize = 2_048;
/// Most segments in a scope.
pub const SCOPE_SEGMENTS_MAX: usize = 64;

/// A place in the resource tree: `/`, a management group, a subscription, a resource group or a resource.
///
/// Segments compare without regard to case; the caller's casing is kept for output. There is no
/// `PartialEq`: equal text and equal place are different questions, see [`Scope::same_place`].
/// Source: Azure RBAC documentation, "Understand scope".
#[derive(Clone)]
pub struct Scope(Arc<Written>);

struct Written {
    text: Box<str>,
    /// Of the root, of the first segment, of the first two and so on to all of them.
    ways: Box<[Place]>,
}

/// A number for a place, the same in any casing. Different places may share one: it finds, and
/// [`Scope::same_place`] proves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Place(u64);

impl Place {
    const ROOT: Self = Self(0);

    pub const fn number(self) -> u64 {
        self.0
    }

    /// Of any text that is a path.
    pub fn of(path: &str) -> Self {
        path.split('/').filter(|it| !it.is_empty()).fold(Self::ROOT, Self::below)
    }

    /// The place one segment below.
    fn below(self, segment: &str) -> Self {
        // Multiplied and rotated, eight bytes at a time: quick, and spread well enough for a table.
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mix = |all: u64, word: u64| (all.rotate_left(23) ^ word).wrapping_mul(ODD);
        // Letters of both cases differ in this bit alone. Other bytes lose it, too, which costs nothing.
        const CASE: u64 = 0x2020_2020_2020_2020;
        let (words, rest) = segment.as_bytes().as_chunks::<8>();
        let start = mix(self.0, segment.len() as u64);
        let all = words.iter().fold(start, |all, it| mix(all, u64::from_le_bytes(*it) | CASE));
        let last = rest.iter().fold(0, |word, it| word << 8 | u64::from(*it));
        let it = mix(all, last | CASE);
        Self(it ^ (it >> 32))
    }
}

/// The text is not a scope; says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAScope {
    pub text: String,
    pub because: &'static str,
}

impl fmt::Display for NotAScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a scope: {}", self.text.escape_debug(), self.because)
    }
}

impl std::error::Error for NotAScope {}

impl Scope {
    /// Reads a scope. Empty segments and a trailing `/` are dropped, as clients send both.
    pub fn parse(text: &str) -> Result<Self, NotAScope> {
        let refuse = |because| NotAScope { text: text.chars().take(200).collect(), because };
        if text.len() > SCOPE_BYTES_MAX {
            return Err(refuse("it is longer than 2,048 bytes"));
        }
        if !text.starts_with('/') {
            return Err(refuse("it does not start with `/`"));
        }
        if text.chars().any(|it| it.is_control() || "?#%\\<>\"".contains(it)) {
            return Err(refuse("it holds a character that no resource name may hold"));
        }
        let segments: Vec<&str> = text.split('/').filter(|it| !it.is_empty()).collect();
        if segments.len() > SCOPE_SEGMENTS_MAX {
            return Err(refuse("it has more than 64 segments"));
        }
        if segments.iter().any(|it| *it == "." || *it == "..") {
            return Err(refuse("`.` and `..` are not names"));
        }
        if names_providers(&segments) {
            return Err(refuse("`providers` is a word of the path and no name"));
        }
        Ok(Self::written(format!("/{}", segments.join("/"))))
    }

    /// `text` is in the form that [`Scope::parse`] gives.
    fn written(text: String) -> Self {
        let segments = text.split('/').filter(|it| !it.is_empty());
        let ways = segments.scan(Place::ROOT, |at, it| {
            *at = at.below(it);
            Some(*at)
        });
        let ways = std::iter::once(Place::ROOT).chain(ways).collect();
        Self(Arc::new(Written { text: text.into(), ways }))
    }

    /// The tenant root, `/`, which contains every other scope.
    pub fn root() -> Self {
        Self::written("/".into())
    }

    pub fn subscription(id: &str) -> Self {
        Self::written(format!("/subscriptions/{id}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The places that contain this one, from the root to itself.
    pub fn ways(&self) -> &[Place] {
        &self.0.ways
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.0.ways.last().copied().unwrap_or(Place::ROOT)
    }

    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.as_str().split('/').filter(|it| !it.is_empty())
    }

    /// True where `other` is this scope or lies below it.
    ///
    /// Both are in the form that [`Scope::parse`] gives: no empty segment, no trailing `/`. So one is a
    /// segment-wise prefix of the other where its text is a prefix that ends at a segment's end. Nearly all
    /// that are none are told by one number.
    pub fn contains(&self, other: &Scope) -> bool {
        if other.0.ways.get(self.depth()) != self.0.ways.last() {
            return false;
        }
        let (mine, its) = (self.as_str().as_bytes(), other.as_str().as_bytes());
        let Some((head, tail)) = its.split_at_checked(mine.len()) else { return false };
        // Nearly always both are written alike, which is told faster.
        (head == mine || head.eq_ignore_ascii_case(mine))
            && (tail.is_empty() || tail.starts_with(b"/"))
            || self.is_root()
    }

    /// How many segments it has.
    pub fn depth(&self) -> usize {
        self.0.ways.len() - 1
    }

    /// True where both name one place, whatever the casing.
    pub fn same_place(&self, other: &Scope) -> bool {
        let (mine, its) = (self.as_str(), other.as_str());
        self.place() == other.place() && (mine == its || mine.eq_ignore_ascii_case(its))
    }

    /// The text by which this place is stored and looked up: ASCII lower case.
    pub fn key(&self) -> String {
        self.as_str().to_ascii_lowercase()
    }

    /// This place with further segments below it. `below` has no leading `/`.
    #[must_use]
    pub fn join(&self, below: &str) -> Self {
        match self.is_root() {
            true => Self::written(format!("/{below}")),
            false => Self::written(format!("{self}/{below}")),
        }
    }

    pub fn is_root(&self) -> bool {
        self.as_str() == "/"
    }

    /// The id behind `/subscriptions/`.
    pub fn subscription_id(&self) -> Option<&str> {
        self.named("subscriptions", 0)
    }

    /// The name behind `/subscriptions/{id}/resourceGroups/`.
    pub fn resource_group(&self) -> Option<&str> {
        self.subscription_id()?;
        self.named("resourceGroups", 2)
    }

    /// The scope of the resource group this scope lies in.
    pub fn resource_group_scope(&self) -> Option<Scope> {
        self.resource_group()?;
        Some(self.first(4))
    }

    /// The scope of the subscription this scope lies in.
    pub fn subscription_scope(&self) -> Option<Scope> {
        self.subscription_id()?;
        Some(self.first(2))
    }

    /// The full type of the resource this scope names, after its last `/providers/`:
    /// `Microsoft.Devices/IotHubs`. A resource group is `Microsoft.Resources/subscriptions/resourceGroups`.
    pub fn resource_type(&self) -> Option<String> {
        let all: Vec<&str> = self.segments().collect();
        let Some(at) = all.iter().rposition(|it| it.eq_ignore_ascii_case("providers")) else {
            return match all.len() {
                4 if self.resource_group().is_some() => {
                    Some("Microsoft.Resources/subscriptions/resourceGroups".into())
                }
                2 if self.subscription_id().is_some() => {
                    Some("Microsoft.Resources/subscriptions".into())
                }
                _ => None,
            };
        };
        let tail = all.get(at + 1..)?;
        let (namespace, rest) = tail.split_first()?;
        let kinds: Vec<&str> = rest.iter().step_by(2).copied().collect();
        match kinds.is_empty() {
            true => None,
            false => Some(format!("{namespace}/{}", kinds.join("/"))),
        }
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.segments().next_back().unwrap_or("")
    }

    fn named(&self, kind: &str, at: usize) -> Option<&str> {
        let mut segments = self.segments().skip(at);
        match segments.next() {
            Some(it) if it.eq_ignore_ascii_case(kind) => segments.next(),
            _ => None,
        }
    }

    fn first(&self, count: usize) -> Scope {
        let kept: Vec<&str> = self.segments().take(count).collect();
        Self::written(format!("/{}", kept.join("/")))
    }
}

/// True where a name in the path is `providers`. Kinds and names take turns, a namespace standing where a
/// name would: whatever reads paths takes the word for the word.
fn names_providers(segments: &[&str]) -> bool {
    segments.iter().skip(1).step_by(2).any(|it| it.eq_ignore_ascii_case("providers"))
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({self})")
    }
}

impl serde::Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    #[test]
    fn containment_follows_segments_and_not_text() {
        let check = |outer: &str, inner: &str, expected: bool| {
            assert_eq!(scope(outer).contains(&scope(inner)), expected, "{outer} contains {inner}");
        };
        check("/", "/subscriptions/s", true);
        check("/subscriptions/s/resourceGroups/rg1", "/subscriptions/s/resourceGroups/rg1", true);
        check("/subscriptions/s/resourceGroups/rg1", "/subscriptions/s/resourceGroups/rg10", false);
        check(
            "/subscriptions/s/resourcegroups/RG1",
            "/subscriptions/S/resourceGroups/rg1/providers/x/y/z",
            true,
        );
        check("/subscriptions/s/resourceGroups/rg1", "/subscriptions/s", false);
        check("/subscriptions/s/", "/subscriptions/s", true);
    }

    #[test]
    fn a_place_is_one_in_any_casing_and_differs_from_its_neighbours() {
        let hub = "/subscriptions/s-1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/h";
        let places: Vec<Place> = [
            hub,
            "/subscriptions/s-1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/h1",
            "/subscriptions/s-1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs",
            "/subscriptions/s-1/resourceGroups/rg1",
            "/subscriptions/s-1/resourceGroups/1rg",
            "/subscriptions/s-1/rg1/resourceGroups",
            "/subscriptions/s/-1resourceGroups/rg1",
            "/",
        ]
        .map(|it| scope(it).place())
        .into();
        let distinct: std::collections::BTreeSet<_> = places.iter().collect();
        assert_eq!(distinct.len(), places.len());
        let upper = scope(&hub.to_ascii_uppercase());
        assert_eq!(upper.place(), scope(hub).place());
        assert_eq!(upper.ways().len(), upper.depth() + 1);
        assert_eq!(upper.ways()[4], places[3]);
    }

    #[test]
    fn parts_are_found_by_place() {
        let hub =
            scope("/subscriptions/s/resourcegroups/rg//providers/Microsoft.Devices//IotHubs/h");
        assert_eq!(
            hub.as_str(),
            "/subscriptions/s/resourcegroups/rg/providers/Microsoft.Devices/IotHubs/h"
        );
        assert_eq!(hub.resource_group(), Some("rg"));
        assert_eq!(hub.resource_type().as_deref(), Some("Microsoft.Devices/IotHubs"));
        assert_eq!(hub.name(), "h");
        assert_eq!(
            hub.resource_group_scope().unwrap().as_str(),
            "/subscriptions/s/resourcegroups/rg"
        );
        let role = hub.join("providers/Microsoft.Authorization/roleAssignments/x");
        assert_eq!(
            role.resource_type().as_deref(),
            Some("Microsoft.Authorization/roleAssignments")
        );
    }

    #[test]
    fn hostile_texts_are_refused() {
        for text in [
            "",
            "subscriptions/s",
            "/a/../b",
            "/a\0b",
            "/a%2fb",
            "/subscriptions/s/resourceGroups/providers",
            "/subscriptions/s/resourceGroups/Providers/providers/a/b/c",
            "/subscriptions/s/resourceGroups/g/providers/a/b/providers",
            &"/a".repeat(65),
            &format!("/{}", "a".repeat(2_048)),
        ] {
            assert!(Scope::parse(text).is_err(), "{text:?}");
        }
    }
}
