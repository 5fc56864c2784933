//! How changes of roles spread, where they are told to spread slowly: as in Azure, over replicas that see
//! them late, each after a time of its own.
//!
//! One process answers for all replicas; which of them a call meets is drawn from its tracking id, so that
//! the same call can succeed and fail until all have caught up. A change of roles takes effect for a
//! replica once its delay is over, and at once for a token that was issued after the change, save at replicas
//! that are told to make everybody wait. What was taken away goes on counting for as long; it is kept in memory alone, so a restart takes it away everywhere.
//! Source: Azure RBAC documentation, "Troubleshoot Azure RBAC": up to ten minutes.

use gate::Facts;
use gate::facts::RoleAssignment;
use model::trace::Replica;
use model::{Timestamp, TrackingId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::str::FromStr;
use store::{Change, Write, tables};

/// Longest delay of a replica.
pub const DELAY_S_MAX: u32 = 600;
/// How many replicas `azure` has.
const REPLICAS: u64 = 3;
/// Most replicas that can be told one by one.
const REPLICAS_MAX: usize = 64;

/// After how long each replica sees a change. Empty: at once, everywhere.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Propagation(Vec<Delay>);

/// How late one replica is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Delay {
    delay_s: u32,
    /// False where a token from after the change must wait as long.
    is_healed_by_token: bool,
}

impl FromStr for Delay {
    type Err = ();

    /// `480`, or `480w` where a new token does not help.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, is_healed_by_token) = match text.strip_suffix('w') {
            Some(number) => (number, false),
            None => (text, true),
        };
        let delay_s: u32 = number.parse().map_err(|_| ())?;
        (delay_s <= DELAY_S_MAX).then_some(Self { delay_s, is_healed_by_token }).ok_or(())
    }
}

impl FromStr for Propagation {
    type Err = String;

    /// `off`, `azure`, `azure:SEED`, or the seconds of each replica.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`off`, `azure`, `azure:SEED` or seconds up to {DELAY_S_MAX}, one for each of at most {REPLICAS_MAX} \
                 replicas as `0,480w,600`, is expected"
            )
        };
        let seed = match text.strip_prefix("azure") {
            None if text == "off" => return Ok(Self::default()),
            None => {
                let delays: Result<Vec<Delay>, ()> = text.split(',').map(str::parse).collect();
                let told = delays.ok().filter(|it| it.len() <= REPLICAS_MAX);
                return told.map(Self).ok_or_else(wrong);
            }
            Some("") => 0,
            Some(seed) => {
                let seed = seed.strip_prefix(':').and_then(|it| it.parse().ok());
                seed.ok_or_else(wrong)?
            }
        };
        let drawn = (0..REPLICAS).map(|it| mixed(seed ^ (it << 32)) % u64::from(DELAY_S_MAX + 1));
        let late = |it| Delay {
            delay_s: u32::try_from(it).unwrap_or(DELAY_S_MAX),
            is_healed_by_token: true,
        };
        Ok(Self(drawn.map(late).collect()))
    }
}

/// The same number for the same seed, and nothing like it for the next (SplitMix64).
fn mixed(seed: u64) -> u64 {
    let mut it = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

impl Propagation {
    /// The delays in seconds, for whoever wants to know them.
    pub fn delays_s(&self) -> Vec<u32> {
        self.0.iter().map(|it| it.delay_s).collect()
    }

    /// True where changes count at once, everywhere.
    pub(crate) fn is_off(&self) -> bool {
        self.0.is_empty()
    }

    /// The replica that a call meets.
    pub(crate) fn replica(&self, call: TrackingId) -> Option<Replica> {
        let (drawn, _) = call.0.as_u64_pair();
        let count = u64::try_from(self.0.len()).ok()?;
        let index = usize::try_from(mixed(drawn).checked_rem(count)?).ok()?;
        let Delay { delay_s, is_healed_by_token } = *self.0.get(index)?;
        let index = u16::try_from(index).ok()?;
        Some(Replica { index, delay_s, is_healed_by_token })
    }

    /// How far a change at `then` has come: nothing where changes count at once. What a new token would bring along
    /// counts as not seen.
    pub(crate) fn spread(&self, then: Timestamp, now: Timestamp) -> Option<Value> {
        let left_s = self.left_s(then, now);
        let last_s = left_s.iter().max()?;
        let seen = left_s.iter().filter(|it| **it <= 0).count();
        Some(json!({ "replicas": left_s.len(), "seenBy": seen, "completeInS": last_s.max(&0) }))
    }

    /// In how many seconds each replica sees a change at `then`; not above 0 where it does.
    pub(crate) fn left_s(&self, then: Timestamp, now: Timestamp) -> Vec<i64> {
        let due = |it: &Delay| then.plus_seconds(i64::from(it.delay_s)).seconds();
        self.0.iter().map(|it| due(it) - now.seconds()).collect()
    }

    /// Lets role assignments that `changes` delete fade out of the facts, in place of ending at once.
    pub(crate) fn fade(
        &self,
        before: &Facts,
        after: &mut Facts,
        changes: &[Change],
        now: Timestamp,
    ) {
        if self.is_off() {
            return;
        }
        after.forget_faded(now.plus_seconds(-i64::from(DELAY_S_MAX)));
        let deleted = |it: &RoleAssignment| {
            changes.iter().any(|change| {
                change.table == tables::ROLE_ASSIGNMENTS
                    && matches!(change.write, Write::Delete)
                    && change.key.eq_ignore_ascii_case(&it.id)
            })
        };
        for assignment in before.role_assignments.iter().filter(|it| deleted(it)) {
            after.fade_role_assignment(assignment, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_read_and_drawn_the_same_for_the_same_seed() {
        let read = |text: &str| text.parse::<Propagation>();
        assert!(read("off").unwrap().is_off());
        assert_eq!(read("300").unwrap().delays_s(), [300]);
        assert_eq!(read("600").unwrap().delays_s(), [600]);
        assert_eq!(read("0,480w,600").unwrap().delays_s(), [0, 480, 600]);
        let waits: Vec<bool> =
            read("0,480w").unwrap().0.iter().map(|it| it.is_healed_by_token).collect();
        assert_eq!(waits, [true, false]);
        let many = vec!["1"; 65].join(",");
        read(&many[2..]).unwrap();
        let wrong =
            ["601", "-1", "", "azure:", "azure:x", "azurex", "5m", "aws", "1,", "601w", "w", &many];
        for wrong in wrong {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let drawn = read("azure:7").unwrap();
        assert_eq!(drawn, read("azure:7").unwrap());
        assert_ne!(drawn, read("azure:8").unwrap());
        assert_eq!(drawn.delays_s().len(), 3);
        assert!(drawn.delays_s().iter().all(|it| *it <= DELAY_S_MAX));
    }

    #[test]
    fn calls_meet_every_replica() {
        let spread: Propagation = "azure".parse().unwrap();
        let mut met = [0; 3];
        for call in 0..300_u64 {
            let id = TrackingId(uuid::Uuid::from_u64_pair(call, 0));
            met[usize::from(spread.replica(id).unwrap().index)] += 1;
        }
        assert!(met.iter().all(|it| *it > 50), "{met:?}");
        assert!(Propagation::default().replica(TrackingId(uuid::Uuid::nil())).is_none());
    }
}
