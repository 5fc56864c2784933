//! The places that contain a scope, for one decision: what is at none of them is not looked at.

use super::Facts;
use model::{Place, Scope};
use std::borrow::Cow;

/// The places above a scope, management groups included, and its own.
pub(crate) struct Places<'a> {
    ways: &'a [Place],
    groups: Cow<'a, [Scope]>,
    /// A bit for each: most other places have none of them.
    bits: u64,
}

impl Facts {
    pub(crate) fn places_around<'a>(&'a self, scope: &'a Scope) -> Places<'a> {
        let (ways, groups) = (scope.ways(), self.management.above(scope));
        let mut places = Places { ways, groups, bits: 0 };
        places.bits = places.all().fold(0, |bits, it| bits | bit(it));
        places
    }
}

impl Places<'_> {
    pub(crate) fn all(&self) -> impl Iterator<Item = Place> {
        self.ways.iter().copied().chain(self.groups.iter().map(Scope::place))
    }

    pub(crate) fn have(&self, place: Place) -> bool {
        self.bits & bit(place) != 0 && self.all().any(|it| it == place)
    }

    /// True where `outer` is one of the places around `inner`, for which these were made: the same as
    /// [`Facts::contains`], which looks the groups up.
    pub(crate) fn prove(&self, outer: &Scope, inner: &Scope) -> bool {
        outer.contains(inner) || self.groups.iter().any(|it| it.same_place(outer))
    }
}

const fn bit(place: Place) -> u64 {
    1 << (place.number() >> 58)
}
