//! The gates against tokens, signatures, roles and policies made for each test. No sockets, no store.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "steps that tests share are tests, too: they stop at the first thing that is not as told"
)]

mod gates {
    pub mod access;
    pub mod assertions;
    pub mod certificates;
    pub mod changes;
    pub mod compliance;
    pub mod conditions;
    pub mod denials;
    pub mod groups;
    pub mod initiatives;
    pub mod locks;
    pub mod naming;
    pub mod networks;
    pub mod people;
    pub mod policies;
    pub mod policy_language;
    pub mod required_roles;
    pub mod sas;
    pub mod secrets;
    pub mod security;
    pub mod tokens;
    pub mod traces;
    pub mod views;
    pub mod world;
    pub mod writes;
}
