//! How many registrations an enrollment may begin within a second, so that one key does not take what others need.
//!
//! Counted after the gates: who may not register uses nothing up, and what is refused here was allowed. An enrollment
//! is one device or many, and many devices come at once when a plant is switched on.

use super::enrollment::Source;
use gate::facts::Dps;
use model::Error;
use model::Timestamp;
use model::error::HubFault;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Most registrations that the device of an individual enrollment begins within a second.
const OF_A_DEVICE_MAX: u32 = 20;
/// Most that the devices of a group begin within one: what Azure's service takes within five minutes.
const OF_A_GROUP_MAX: u32 = 5_000;
/// Most enrollments that are counted at a time. Above, those whose second is over are forgotten first.
const COUNTED_MAX: usize = 10_000;

/// The second that is counted, and how many began in it.
type Count = (i64, u32);

/// How many registrations began by each enrollment: provisioning service, kind and id.
#[derive(Debug, Default)]
pub struct Pace(Mutex<BTreeMap<(String, &'static str, String), Count>>);

impl Pace {
    /// Counts a registration that is to begin.
    ///
    /// # Errors
    /// [`Error::Limited`] where there were too many within this second.
    pub(super) fn take(&self, dps: &Dps, source: &Source, now: Timestamp) -> Result<(), Error> {
        let (kind, most) = match source {
            Source::Individual(_) => ("individual enrollment", OF_A_DEVICE_MAX),
            Source::Group(_) => ("enrollment group", OF_A_GROUP_MAX),
        };
        let second = now.seconds();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= COUNTED_MAX {
            all.retain(|_, (counted, _)| *counted == second);
        }
        let place = (dps.uid.clone(), kind, source.id().to_ascii_lowercase());
        let (counted, count) = all.entry(place).or_default();
        if *counted != second {
            (*counted, *count) = (second, 0);
        }
        if *count >= most {
            return Err(Error::Limited {
                fault: HubFault::Throttled,
                message: format!(
                    "more than {most} registrations by the {kind} `{}` within a second; try again in a second",
                    source.id()
                ),
                retry_after_s: Some(1),
            });
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::attestation::tests::dps;
    use super::super::enrollment::Kind;
    use super::super::enrollment_body::Draft;
    use super::*;
    use serde_json::json;

    fn source(kind: Kind, id: &str) -> Source {
        let body = json!({ "attestation": { "type": "symmetricKey" } });
        let draft = Draft::read(kind, id, &body).unwrap();
        draft
            .complete(None, &|| "AAAAAAAAAAAAAAAAAAAAAA==".into(), Timestamp::from_seconds(0))
            .unwrap()
    }

    #[test]
    fn each_enrollment_has_its_own_second() {
        let (pace, dps, now) = (Pace::default(), dps("d1"), Timestamp::from_millis(7_999));
        let (one, ten) = (source(Kind::Individual, "one"), source(Kind::Individual, "one0"));
        let (group, other) =
            (source(Kind::Group, "one"), super::super::attestation::tests::dps("d10"));
        for _ in 0..OF_A_DEVICE_MAX {
            pace.take(&dps, &one, now).unwrap();
        }
        let refused = pace.take(&dps, &one, now).unwrap_err();
        assert_eq!((refused.wire().hub_code, refused.retry_after_s()), (429_001, Some(1)));
        assert!(pace.take(&dps, &ten, now).is_ok() && pace.take(&other, &one, now).is_ok());
        for _ in 0..OF_A_GROUP_MAX {
            pace.take(&dps, &group, now).unwrap();
        }
        assert!(pace.take(&dps, &group, now).is_err() && pace.take(&dps, &one, now).is_err());
        let next = Timestamp::from_millis(8_000);
        assert!(pace.take(&dps, &one, next).is_ok() && pace.take(&dps, &group, next).is_ok());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (pace, dps) = (Pace::default(), dps("d1"));
        for number in 0..3 * COUNTED_MAX {
            let it = source(Kind::Individual, &number.to_string());
            let second = i64::try_from(number / 7).unwrap();
            pace.take(&dps, &it, Timestamp::from_seconds(second)).unwrap();
            assert!(pace.0.lock().unwrap().len() <= COUNTED_MAX);
        }
    }
}
