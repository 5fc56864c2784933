//! A second evaluator, slow and plain, that the gates are compared with.
//!
//! It reads like Azure's documentation of role-based access control, Azure Policy, locks and shared access
//! policies, so that a person can hold the two side by side: lists that are walked from end to end, scopes
//! compared segment by segment, no index, no cache. It shares no code with the gates and imports none of
//! our crates; its tests alone know both. Start at [`decide`]. Nothing in the product uses it.

mod access;
mod condition;
pub mod generate;
mod groups;
mod locks;
mod operations;
mod policy;
mod random;
pub mod request;
mod scopes;
mod token;
mod wildcard;
pub mod world;

pub use operations::{Effect, OPERATIONS, Operation, Place, Plane, Right};
pub use random::Random;
pub use request::{Answer, Gate, Request};
pub use wildcard::matches;
pub use world::World;

/// Judges a request: the first gate that refuses answers, and those behind it are not asked.
pub fn decide(world: &World, request: &Request) -> Answer {
    if let Some(refused) = token::refusal(world, request) {
        return refused;
    }
    let policy = policy::judge(world, request);
    if !policy.denied_by.is_empty() {
        return policy::refused(request, policy);
    }
    if let Some(refused) = access::refusal(world, request) {
        return refused;
    }
    if let Some(refused) = locks::refusal(world, request) {
        return refused;
    }
    Answer { is_on_record: policy.is_on_record, ..Answer::allowed() }
}
