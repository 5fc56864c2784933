//! Stories over the wire: a whole server on real sockets, told as a person would tell them.

mod stories {
    pub mod bad_input;
    pub mod control_plane;
    pub mod devices;
    pub mod policy_refuses;
    pub mod sign_in;
}
