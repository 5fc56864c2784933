//! Applications: what can sign in by itself, and what people sign in with.

use super::{Certificate, SecretHash};
use crate::authentication::Redirect;
use model::ObjectId;

/// Another issuer's token that signs an application in, told by three texts, compared letter by letter.
#[derive(Clone, Debug)]
pub struct FederatedCredential {
    pub name: String,
    pub issuer: String,
    pub subject: String,
    pub audience: String,
}

/// An application that can sign in.
#[derive(Clone, Debug)]
pub struct Application {
    pub app_id: ObjectId,
    pub display_name: String,
    /// The service principal behind it, once it has one.
    pub principal: Option<ObjectId>,
    pub secrets: Vec<SecretHash>,
    pub certificates: Vec<Certificate>,
    pub federated: Vec<FederatedCredential>,
    /// Where people's codes may be sent.
    pub redirects: Vec<Redirect>,
    /// It holds no secret, and may sign people in by device codes.
    pub is_public: bool,
}

impl Application {
    /// True where there is something to sign in with, ended or not.
    pub const fn has_credentials(&self) -> bool {
        !(self.secrets.is_empty() && self.certificates.is_empty() && self.federated.is_empty())
    }
}
