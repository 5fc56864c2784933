//! A thread with an owner.

use std::path::Path;
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use crate::error::StoreError;
use crate::locked;

/// A thread that ends by itself once its work is done, and that dropping this waits for.
pub(super) struct OwnThread<T>(Mutex<Option<JoinHandle<T>>>);

impl<T: Send + 'static> OwnThread<T> {
    /// `path` is what the thread works on, for the error.
    pub(super) fn start(
        name: &str,
        path: &Path,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Self, StoreError> {
        let thread = thread::Builder::new().name(format!("store-{name}")).spawn(work);
        match thread {
            Ok(thread) => Ok(Self(Mutex::new(Some(thread)))),
            Err(source) => Err(StoreError::io("start a thread for", path, source)),
        }
    }
}

impl<T> OwnThread<T> {
    /// The thread, for the one who asks first.
    pub(super) fn take(&self) -> Option<JoinHandle<T>> {
        locked(&self.0).take()
    }
}

impl<T> Drop for OwnThread<T> {
    fn drop(&mut self) {
        // An error is the thread's panic, which has been reported on its own.
        self.take().map(JoinHandle::join);
    }
}
