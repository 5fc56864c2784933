//! Microsoft.Insights: who is told what happened. Diagnostic settings and the records they ask for, and
//! the activity log.
//!
//! Everything here is a view of traces: nothing decides, and what is not in a trace cannot be told.

pub(crate) mod activity;
pub mod diagnostics;
mod files;
mod record;
pub mod settings;
