//! The screens: what is asked of the API, and how the answer is drawn.

pub(crate) mod access;
pub(crate) mod ask;
pub(crate) mod bench;
pub(crate) mod decision;
pub(crate) mod device;
pub(crate) mod devices;
pub(crate) mod identity;
pub(crate) mod keys;
pub(crate) mod me;
pub(crate) mod overview;
pub(crate) mod place;
pub(crate) mod policies;
pub(crate) mod provisioning;
pub(crate) mod pulse;
pub(crate) mod refusals;
