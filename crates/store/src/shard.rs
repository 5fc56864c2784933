//! The names of shards. A name is also the stem of a file, so nothing else may build one.

use std::fmt;
use std::sync::Arc;

/// One independently atomic part: the control plane, the kept decisions, one hub or one provisioning
/// service.
///
/// Displays as the stem of its file: `control`, `decisions`, `hub-<uid>`, `dps-<uid>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(Part);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Control,
    Decisions,
    Hub(Arc<str>),
    Dps(Arc<str>),
    Target(Arc<str>),
}

impl ShardId {
    /// Resources, roles, policies, principals and settings.
    pub const fn control() -> Self {
        Self(Part::Control)
    }

    /// The decisions that are kept. Apart from the control plane, because they come with every
    /// call.
    pub const fn decisions() -> Self {
        Self(Part::Decisions)
    }

    /// One hub's devices. `uid` is the hub's own for ever: 1 to 64 bytes of `a`-`z`, `0`-`9` and
    /// `-`.
    ///
    /// # Errors
    /// [`NotAShardId`] where `uid` is of another form.
    pub fn hub(uid: &str) -> Result<Self, NotAShardId> {
        Ok(Self(Part::Hub(checked(uid)?)))
    }

    /// One provisioning service's enrollments and registrations. `uid` is as for [`ShardId::hub`].
    ///
    /// # Errors
    /// [`NotAShardId`] where `uid` is of another form.
    pub fn dps(uid: &str) -> Result<Self, NotAShardId> {
        Ok(Self(Part::Dps(checked(uid)?)))
    }

    /// What a target of hubs holds: an event hub's log, a namespace's messages, a storage account's blobs. `uid` is as
    /// for [`ShardId::hub`].
    ///
    /// # Errors
    /// [`NotAShardId`] where `uid` is of another form.
    pub fn target(uid: &str) -> Result<Self, NotAShardId> {
        Ok(Self(Part::Target(checked(uid)?)))
    }

    /// The target's uid, where this is a target's shard.
    pub fn target_uid(&self) -> Option<&str> {
        match &self.0 {
            Part::Target(uid) => Some(uid),
            Part::Control | Part::Decisions | Part::Dps(_) | Part::Hub(_) => None,
        }
    }

    /// The hub's uid, where this is a hub's shard.
    pub fn hub_uid(&self) -> Option<&str> {
        match &self.0 {
            Part::Hub(uid) => Some(uid),
            Part::Control | Part::Decisions | Part::Dps(_) | Part::Target(_) => None,
        }
    }

    /// Reads what `Display` writes.
    ///
    /// # Errors
    /// [`NotAShardId`] where no shard displays as `stem`.
    pub fn parse(stem: &str) -> Result<Self, NotAShardId> {
        match stem.split_once('-') {
            None if stem == "control" => Ok(Self::control()),
            None if stem == "decisions" => Ok(Self::decisions()),
            Some(("hub", uid)) => Self::hub(uid),
            Some(("dps", uid)) => Self::dps(uid),
            Some(("target", uid)) => Self::target(uid),
            None | Some(_) => Err(NotAShardId(stem.into())),
        }
    }
}

fn checked(uid: &str) -> Result<Arc<str>, NotAShardId> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    match uid.len() {
        1..=64 if uid.bytes().all(allowed) => Ok(uid.into()),
        _ => Err(NotAShardId(uid.into())),
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Part::Control => write!(f, "control"),
            Part::Decisions => write!(f, "decisions"),
            Part::Hub(uid) => write!(f, "hub-{uid}"),
            Part::Dps(uid) => write!(f, "dps-{uid}"),
            Part::Target(uid) => write!(f, "target-{uid}"),
        }
    }
}

/// The text that does not name a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAShardId(Box<str>);

impl fmt::Display for NotAShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` does not name a shard", self.0)
    }
}

impl std::error::Error for NotAShardId {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stem: &str, expected: Option<ShardId>) {
        assert_eq!(ShardId::parse(stem).ok(), expected, "{stem}");
        if let Some(shard) = expected {
            assert_eq!(shard.to_string(), stem);
        }
    }

    #[test]
    fn a_shard_reads_back_from_its_stem() {
        let longest = "a".repeat(64);
        check("control", Some(ShardId::control()));
        check("decisions", Some(ShardId::decisions()));
        check("hub-7f-0a", ShardId::hub("7f-0a").ok());
        check(&format!("hub-{longest}"), ShardId::hub(&longest).ok());
        check(&format!("hub-{longest}a"), None);
        check("hub-", None);
        check("hub-A", None);
        check("hub-a/b", None);
        check("hub-..", None);
        check("hub-é", None);
        check("Control", None);
        check("", None);
    }
}
