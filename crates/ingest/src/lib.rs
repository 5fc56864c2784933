//! Writes the security policies of many devices to a hub, whoever's: a client of Azure Resource Manager.
//!
//! Start at [`Ingestion::run`]. What is to be written comes from [`items`]; `call` makes one request of it, `next`
//! says what its answer means for the next attempt, `batches` does that for all of them, some at once, and
//! `record` remembers what was written, so that a run that was broken off goes on. [`Summary`] counts. It
//! knows a hub by the id of its resource and nothing of ours.

mod alert;
mod batches;
mod call;
mod credentials;
mod http;
pub mod items;
mod next;
mod record;
mod summary;

pub use alert::Alert;
pub use batches::{Event, Ingestion, Pace, SignIn};
pub use call::Target;
pub use credentials::Credential;
pub use record::Record;
pub use summary::{Reason, Summary};

use std::fmt;

/// Why a run cannot begin, or cannot go on: a sentence, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IngestError(pub String);

impl fmt::Display for IngestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IngestError {}
