//! Why a session is over, and what that is called where it is written down.

use crate::call::Failed;
use model::operations::Surface;
use model::{Error, Op, TrackingId};

/// Why a session is over.
#[derive(Debug)]
pub enum Ended {
    /// The device said good-bye, or the server stops.
    Orderly,
    /// The device is gone without a word.
    Gone(Gone),
    /// The device sent what no hub takes.
    Misbehaved(Violation),
    /// Another session of the device began.
    TakenOver,
    /// The hub was deleted.
    Closed,
    /// The device may not go on: it was disabled, its key or certificate changed, or what it showed ran out.
    Refused(Box<(Error, TrackingId)>),
    /// Something of ours failed; nothing was acknowledged.
    Failed(Error),
}

/// How a device went without a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gone {
    /// Its connection was closed, or broke.
    Closed,
    /// Nothing was heard from it for longer than it had said, or than anybody may be silent.
    Silent,
}

/// What a device sent that no hub takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// What it was meant as.
    pub op: Op,
    /// What it was: `PUBLISH devices/pump-10/messages/events/`.
    pub packet: String,
    /// Which rule it breaks, as a sentence.
    pub rule: String,
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
            Self::Gone(how) => {
                let message = match how {
                    Gone::Closed => "its connection was closed or broke, without a good-bye",
                    Gone::Silent => "nothing was heard from it for longer than it may be silent",
                };
                (404, 404_104, "DeviceConnectionClosedRemotely", message.to_owned())
            }
            Self::Misbehaved(it) => {
                (400, 400_004, "ArgumentInvalid", format!("`{}`: {}", it.packet, it.rule))
            }
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
