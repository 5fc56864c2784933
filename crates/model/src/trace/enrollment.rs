//! By what kind of enrollment a device registers.

use serde::{Deserialize, Serialize};

/// One device by itself, or a group of many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EnrollmentKind {
    Individual,
    Group,
}

impl EnrollmentKind {
    /// The word in traces, and the one that policies compare `request.enrollmentType` with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Individual => "individual",
            Self::Group => "group",
        }
    }
}
