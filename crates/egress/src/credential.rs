//! What others are shown: keys and tokens, which are never shown to anybody else.

use model::{Secret, Timestamp};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The wall clock.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A token, and until when it holds.
#[derive(Clone, Debug)]
pub struct Token {
    pub text: Secret<String>,
    pub expiry: Timestamp,
}

/// Who has tokens for one audience, as one identity.
pub trait TokenSource: Send + Sync {
    /// A token that holds for some minutes at least.
    ///
    /// # Errors
    /// Why there is none, in a sentence that an operator can act on.
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + '_>>;
}
