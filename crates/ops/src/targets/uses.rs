//! What entities of namespaces are used for, and whether one is switched off for it.

use gate::facts::Entity;
use model::Error;
use model::json::text;

/// What somebody wants of an event hub, a queue, a topic or a subscription.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Send,
    Receive,
}

impl Use {
    /// True where an entity is switched on for this.
    pub(super) fn is_on(self, entity: &Entity) -> bool {
        match self {
            Self::Send => matches!(status(entity), "Active" | "ReceiveDisabled"),
            Self::Receive => matches!(status(entity), "Active" | "SendDisabled"),
        }
    }

    /// # Errors
    /// A conflict that says what is switched off, by what it is `called`.
    pub(super) fn check(
        self,
        entity: &Entity,
        called: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        match self.is_on(entity) {
            true => Ok(()),
            false => Err(Error::Conflict {
                code: "MessagingEntityDisabled",
                message: format!("{} is switched off for this: {}", called(), status(entity)),
            }),
        }
    }
}

fn status(entity: &Entity) -> &str {
    text(&entity.properties, &["status"]).unwrap_or("Active")
}
