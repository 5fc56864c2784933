//! The gates against tokens, signatures, roles and policies made for each test. No sockets, no store.

mod gates {
    pub mod access;
    pub mod policies;
    pub mod sas;
    pub mod tokens;
    pub mod world;
}
