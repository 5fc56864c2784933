//! The gates against the plain evaluator, over worlds and requests from a seed.
//!
//! `HUBWARD_ORACLE_SEED=n` takes another seed than the usual one, `HUBWARD_ORACLE_RUNS=n` compares more or
//! fewer times.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "steps that tests share are tests, too: they stop at the first thing that is not as told"
)]

mod gates {
    pub mod bridge;
    #[cfg(feature = "oracles")]
    pub mod cedar;
    pub mod differential;
    pub mod hits;
    pub mod properties;
    #[cfg(feature = "oracles")]
    pub mod regorus;
    pub mod rejudged;
    pub mod shrink;
    pub mod standing;
    pub mod table;
}
