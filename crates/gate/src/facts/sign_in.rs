//! Where people have signed in, and what is on its way to a client: read for a call, and no part of the facts.

use model::{ObjectId, Timestamp};

/// One sign-in of a person, by which a client gets further tokens, or the session of a browser.
#[derive(Clone, Debug)]
pub struct SignIn {
    pub person: ObjectId,
    /// The client that the person signed in with; no other gets tokens by it.
    pub client: ObjectId,
    /// The client has proven itself, and has to each time.
    pub is_proven: bool,
    /// SHA-256 of the refresh token that was given out last.
    pub current: Vec<u8>,
    /// The same of the one before, and until when it still counts: of two processes that share a client's
    /// memory, one may come with it while the other is being answered.
    pub former: Option<(Vec<u8>, Timestamp)>,
    /// Unused until then, it is over.
    pub ends: Timestamp,
}

/// An authorization code that was given to a client.
#[derive(Clone, Debug)]
pub struct GivenCode {
    pub person: ObjectId,
    pub client: ObjectId,
    /// The address that it was sent to.
    pub redirect_uri: String,
    /// The client is a server, and proves itself.
    pub is_proven: bool,
    /// `code_challenge`, as it was sent; always of the method S256.
    pub challenge: Option<String>,
    pub ends: Timestamp,
    pub was_used: bool,
    /// The session by which it was given out goes on.
    pub stands: bool,
}

/// A device code, which somebody may have answered.
#[derive(Clone, Debug)]
pub struct DeviceCode {
    pub client: ObjectId,
    /// SHA-256 of what the client holds.
    pub secret: Vec<u8>,
    pub ends: Timestamp,
    pub answer: DeviceAnswer,
    /// The client asks again sooner than it was told to.
    pub is_hasty: bool,
}

/// What a person has said of a device code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceAnswer {
    Nothing,
    /// `stands` as long as the session goes on by which it was said.
    Yes {
        person: ObjectId,
        stands: bool,
    },
    No,
}
