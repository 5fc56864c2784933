//! May this happen? Four gates in one order, pure: the same call, facts and time give the same trace.
//!
//! Start at [`admit`], the only maker of a [`Permit`]; it wraps [`judge`], which answers the same question
//! for people and machines that only ask. [`GATES`] is the order. Nothing here does I/O or reads a clock.

mod access;
mod authentication;
pub mod condition;
pub mod conditional_access;
mod decide;
pub mod deny;
pub mod facts;
pub mod jwt;
pub mod lint;
pub mod locks;
pub mod network;
pub mod policy;
mod replay;
mod security;
pub mod standing;
pub mod writes;
pub mod x509;

pub use authentication::{
    Authenticated, CLOCK_SKEW_S, CONSOLE, CONSOLE_REDIRECT, Client, Door, Fit, InBrowser, LookedUp,
    Once, Redirect, RedirectKind, SIGN_IN_PAGES, Unusable, audiences, authenticate, delegation_key,
    hash_token, judge_claims, redirect_kind, refuse_unseen, refuse_used,
};
pub use condition::Attributes;
pub use decide::{
    Ask, GATES, Judgement, Link, Permit, Refusal, admit, judge, judge_quickly, judge_timed,
};
pub use facts::Facts;
pub use replay::{NotReplayable, is_same_decision, rejudge, replay};
