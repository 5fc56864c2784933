//! Role assignments by who holds them, and of each holder by where they are: found at once, and changed
//! without a copy of all the others.

use super::RoleAssignment;
use super::places::Places;
use super::shards::Shards;
use model::{ObjectId, Place, Scope};
use std::sync::Arc;

/// Most assignments of one holder that are looked through one by one.
const LISTED_MAX: usize = 12;

/// All role assignments. Versions share what did not change, as there may be very many.
#[derive(Clone, Debug, Default)]
pub struct RoleAssignments {
    /// By principal or group.
    held: Shards<ObjectId, Arc<Held>>,
    /// By the place of its id, of which several may share one: who holds it.
    holders: Shards<Place, Holders>,
    /// The places where assignments are, so that each is kept once, with how many are there.
    scopes: Shards<Place, (Scope, usize)>,
}

/// Nearly every number is of one id.
#[derive(Clone, Debug)]
enum Holders {
    One(ObjectId),
    Several(Arc<[ObjectId]>),
}

impl Holders {
    fn all(&self) -> &[ObjectId] {
        match self {
            Self::One(it) => std::slice::from_ref(it),
            Self::Several(all) => all,
        }
    }

    fn of(mut all: Vec<ObjectId>) -> Option<Self> {
        match all.len() {
            0 => None,
            1 => all.pop().map(Self::One),
            _ => Some(Self::Several(all.into())),
        }
    }
}

/// What one principal or group holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// In the order in which they came.
    all: Vec<Arc<RoleAssignment>>,
    /// Their places, in the same order: looked through without a look at the assignments.
    places: Vec<Place>,
    /// Of many, where each stands in the order, at the first free seat from its place on; at least as many
    /// again are free. Empty of few.
    seats: Vec<Option<u32>>,
}

impl Held {
    fn of(all: impl Iterator<Item = Arc<RoleAssignment>>) -> Self {
        let mut held = Self::default();
        all.for_each(|it| held.push(it));
        held
    }

    fn push(&mut self, assignment: Arc<RoleAssignment>) {
        let place = assignment.scope.place();
        self.all.push(assignment);
        self.places.push(place);
        let count = self.places.len();
        if count > LISTED_MAX && self.seats.len() < count * 2 {
            self.seats = vec![None; (count * 2).next_power_of_two()];
            (0..count).for_each(|it| self.seat(it));
        } else if !self.seats.is_empty() {
            self.seat(count - 1);
        }
    }

    fn seat(&mut self, index: usize) {
        let Some(place) = self.places.get(index) else { return };
        let mut all = seats_from(*place, self.seats.len());
        let free = all.find(|it| self.seats.get(*it) == Some(&None));
        if let Some(seat) = free.and_then(|it| self.seats.get_mut(it)) {
            *seat = u32::try_from(index).ok();
        }
    }

    /// True where `found` says so of one of those at the places. It may be asked about others, too, that
    /// share a place's number.
    pub(crate) fn any_at(
        &self,
        places: &Places<'_>,
        found: impl Fn(&Arc<RoleAssignment>) -> bool,
    ) -> bool {
        if self.seats.is_empty() {
            let mut mine = self.places.iter().zip(&self.all);
            return mine.any(|(place, it)| places.have(*place) && found(it));
        }
        places.all().any(|place| {
            let seats = seats_from(place, self.seats.len());
            let taken = seats.map_while(|it| self.seats.get(it).copied().flatten());
            taken.map(|it| it as usize).any(|it| {
                self.places.get(it) == Some(&place) && self.all.get(it).is_some_and(&found)
            })
        })
    }
}

/// Every seat once, from the first for a place on. `count` is a power of two, or zero.
fn seats_from(place: Place, count: usize) -> impl Iterator<Item = usize> {
    let first = usize::try_from(place.number() & u64::from(u32::MAX)).unwrap_or(0);
    (0..count).map(move |step| (first + step) & (count - 1))
}

impl RoleAssignments {
    /// What a principal or a group holds itself, in the order in which it came.
    pub fn of(&self, holder: ObjectId) -> &[Arc<RoleAssignment>] {
        self.held.get(holder).map_or(&[], |it| it.all.as_slice())
    }

    /// The same, to look through by place.
    pub(crate) fn held(&self, holder: ObjectId) -> Option<&Held> {
        self.held.get(holder).map(|it| &**it)
    }

    /// All of them, holder by holder.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<RoleAssignment>> {
        self.held.values().flat_map(|it| it.all.iter())
    }

    pub fn is_empty(&self) -> bool {
        self.held.values().next().is_none()
    }

    pub(super) fn put(&mut self, mut assignment: RoleAssignment) {
        self.remove(&assignment.id);
        assignment.scope = self.shared(assignment.scope);
        let (key, holder) = (Place::of(&assignment.id), assignment.principal);
        if let Some(held) = self.held.entry(holder, Arc::default) {
            Arc::make_mut(held).push(Arc::new(assignment));
        }
        let others = self.holders.get(key).map_or(&[][..], Holders::all);
        let holders = others.iter().copied().chain([holder]).collect();
        if let Some(it) = Holders::of(holders) {
            self.holders.insert(key, it);
        }
    }

    /// The one value for a scope, counted.
    fn shared(&mut self, scope: Scope) -> Scope {
        match self.scopes.entry(scope.place(), || (scope.clone(), 0)) {
            Some((it, count)) if it.as_str() == scope.as_str() => {
                *count += 1;
                it.clone()
            }
            // The same place in another casing, or another one of this number, keeps its own.
            Some(_) | None => scope,
        }
    }

    fn forget_scope(&mut self, scope: &Scope) {
        let place = scope.place();
        let left = match self.scopes.get(place) {
            Some((it, count)) if it.as_str() == scope.as_str() => *count - 1,
            Some(_) | None => return,
        };
        match left {
            0 => self.scopes.remove(place),
            _ => self.scopes.insert(place, (scope.clone(), left)),
        }
    }

    /// `id` is the full id, in any casing.
    pub(super) fn remove(&mut self, id: &str) {
        let key = Place::of(id);
        let Some(holders) = self.holders.get(key).cloned() else { return };
        let is_it = |it: &&Arc<RoleAssignment>| it.id.eq_ignore_ascii_case(id);
        let found =
            |holder: &ObjectId| Some((*holder, self.of(*holder).iter().find(is_it)?.clone()));
        let Some((holder, gone)) = holders.all().iter().find_map(found) else { return };
        let mut others = holders.all().to_vec();
        others.remove(others.iter().position(|it| *it == holder).unwrap_or(0));
        match Holders::of(others) {
            Some(it) => self.holders.insert(key, it),
            None => self.holders.remove(key),
        }
        let left = Held::of(self.of(holder).iter().filter(|it| !is_it(it)).cloned());
        match left.all.is_empty() {
            true => self.held.remove(holder),
            false => self.held.insert(holder, Arc::new(left)),
        }
        self.forget_scope(&gone.scope);
    }
}
