//! Why a session is over, and what that is called where it is written down.

use crate::call::Failed;
use model::operations::Surface;
use model::{Error, TrackingId};

/// Why a session is over.
#[derive(Debug)]
pub enum Ended {
    /// The device said good-bye, or the server stops.
    Orderly,
    /// The device is gone without a word.
    Gone,
    /// The device did what no hub takes; the sentence says what.
    Misbehaved(String),
    /// Another session of the device began.
    TakenOver,
    /// The hub was deleted.
    Closed,
    /// The device may not go on: it was disabled, its key or certificate changed, or what it showed ran out.
    Refused(Box<(Error, TrackingId)>),
    /// Something of ours failed; nothing was acknowledged.
    Failed(Error),
}

impl Ended {
    /// True where the device did not mean to go: its will is published then, as far as it may still send.
    pub const fn is_unwilling(&self) -> bool {
        !matches!(self, Self::Orderly | Self::Closed)
    }

    /// The HTTP status that the end stands for, the hub's number and word for it, and a sentence.
    /// Source: IoT Hub error codes, "Troubleshoot IoT Hub errors".
    pub(super) fn failure(&self) -> Option<(u16, u32, &'static str, String)> {
        let (status, number, code, message) = match self {
            Self::Orderly => return None,
            Self::Gone => {
                let message = "the device is gone without a word".to_owned();
                (404, 404_104, "DeviceConnectionClosedRemotely", message)
            }
            Self::Misbehaved(what) => (400, 400_004, "ArgumentInvalid", what.clone()),
            Self::TakenOver => {
                let message = "another session of the device began".to_owned();
                (400, 400_027, "ConnectionForcefullyClosedOnNewConnection", message)
            }
            Self::Closed => (404, 404_000, "IotHubNotFound", "the hub was deleted".to_owned()),
            Self::Refused(refused) => return Some(Self::of(&refused.0)),
            Self::Failed(error) => return Some(Self::of(error)),
        };
        Some((status, number, code, message))
    }

    fn of(error: &Error) -> (u16, u32, &'static str, String) {
        let wire = error.wire();
        (error.status(Surface::Hub), wire.hub_code, wire.hub_name, wire.message)
    }
}

/// Whose fault it is that a session is over.
pub(crate) fn ended(failed: Failed) -> Ended {
    let Failed { error, tracking } = failed;
    match matches!(error, Error::Internal { .. } | Error::Unavailable { .. }) {
        true => Ended::Failed(error),
        false => Ended::Refused(Box::new((error, tracking))),
    }
}
