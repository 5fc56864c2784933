//! How changes of roles spread, where they are told to spread slowly: as in Azure, over replicas that see
//! them late, each after a time of its own.
//!
//! One process answers for all replicas; which of them a call meets is drawn from its tracking id, so that
//! the same call can succeed and fail until all have caught up. A change of roles takes effect for a
//! replica once its delay is over, and at once for a token that was issued after the change. What was taken
//! away goes on counting for as long; it is kept in memory alone, so a restart takes it away everywhere.
//! Source: Azure RBAC documentation, "Troubleshoot Azure RBAC": up to ten minutes.

use gate::Facts;
use gate::facts::RoleAssignment;
use model::trace::Replica;
use model::{Timestamp, TrackingId};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use store::{Change, Write, tables};

/// Longest delay of a replica.
pub const DELAY_S_MAX: u32 = 600;
/// How many replicas `azure` has.
const REPLICAS: u64 = 3;

/// After how many seconds each replica sees a change of roles. Empty: at once, everywhere.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Propagation(Vec<u32>);

impl FromStr for Propagation {
    type Err = String;

    /// `off`, `azure`, `azure:SEED`, or a number of seconds for a single replica.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`off`, `azure`, `azure:SEED` or a number of seconds up to {DELAY_S_MAX} is expected"
            )
        };
        let seed = match text {
            "off" => return Ok(Self::default()),
            "azure" => 0,
            _ => match text.strip_prefix("azure:") {
                Some(seed) => seed.parse().map_err(|_| wrong())?,
                None => {
                    let delay_s: u32 = text.parse().map_err(|_| wrong())?;
                    return match delay_s {
                        0..=DELAY_S_MAX => Ok(Self(vec![delay_s])),
                        _ => Err(wrong()),
                    };
                }
            },
        };
        let drawn = (0..REPLICAS).map(|it| mixed(seed ^ (it << 32)) % u64::from(DELAY_S_MAX + 1));
        Ok(Self(drawn.map(|it| u32::try_from(it).unwrap_or(DELAY_S_MAX)).collect()))
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
    pub fn delays_s(&self) -> &[u32] {
        &self.0
    }

    /// The replica that a call meets.
    pub(crate) fn replica(&self, call: TrackingId) -> Option<Replica> {
        let (drawn, _) = call.0.as_u64_pair();
        let count = u64::try_from(self.0.len()).ok()?;
        let index = usize::try_from(mixed(drawn).checked_rem(count)?).ok()?;
        let delay_s = *self.0.get(index)?;
        let index = u16::try_from(index).ok()?;
        Some(Replica { index, delay_s, is_healed_by_token: true })
    }

    /// Lets role assignments that `changes` delete fade out of the facts, in place of ending at once.
    pub(crate) fn fade(
        &self,
        before: &Facts,
        after: &mut Facts,
        changes: &[Change],
        now: Timestamp,
    ) {
        if self.0.is_empty() {
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
        assert_eq!(read("off").unwrap().delays_s(), &[0_u32; 0]);
        assert_eq!(read("300").unwrap().delays_s(), [300]);
        assert_eq!(read("600").unwrap().delays_s(), [600]);
        for wrong in ["601", "-1", "", "azure:", "azure:x", "5m", "aws"] {
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
