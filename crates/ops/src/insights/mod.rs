//! Microsoft.Insights: who is told what happened. Diagnostic settings and the records they ask for, and
//! the activity log.
//!
//! Everything here is a view of calls and of their traces: nothing decides.

pub(crate) mod activity;
mod categories;
pub mod diagnostics;
mod files;
mod record;
pub mod settings;
