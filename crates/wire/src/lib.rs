//! Text and bytes of the protocols, to values and back.
//!
//! Nothing here knows a hub, a key's owner or the time: whether a token is genuine and still lives is the
//! gates' to say. Start at [`sas`], the shared access signatures of hubs, at [`mqtt`], the packets of devices, or at
//! [`storage`], the signatures of storage accounts.

pub mod mqtt;
pub mod sas;
pub mod storage;
