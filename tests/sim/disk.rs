//! A disk that takes its time, and loses what was not synced when the server is killed.

use std::sync::Arc;
use store::Memory;
use store::log::MemoryLog;
use tokio::sync::Notify;

/// Where a server keeps everything.
pub struct Disk {
    pub memory: Memory,
    pub log: MemoryLog,
}

impl Disk {
    /// From now on nothing is on the disk before it is written here. The bell rings when something waits.
    pub fn slow_down(&self) -> Arc<Notify> {
        let bell = Arc::new(Notify::new());
        self.memory.hold(Arc::clone(&bell));
        self.log.hold(Arc::clone(&bell));
        bell
    }

    /// What a restart would find if the server were killed now. Of the records that wait to be synced, the
    /// first `records` reached the disk.
    pub fn killed(&self, records: usize) -> Self {
        Self { memory: self.memory.killed(), log: self.log.killed(records) }
    }
}
