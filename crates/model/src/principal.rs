//! Who calls.

/// The kinds of principal that a call can come from.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum PrincipalKind {
    User,
    Group,
    ServicePrincipal,
    ManagedIdentity,
    Device,
    /// A shared access policy's key: somebody holds it, nobody is named.
    SasKey,
    /// Nobody yet: discovery documents and the token endpoint.
    Anyone,
    /// The server itself, finishing what a principal asked for.
    System,
}

impl PrincipalKind {
    /// The word that clients and policies use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::ServicePrincipal => "ServicePrincipal",
            Self::ManagedIdentity => "ManagedIdentity",
            Self::Device => "Device",
            Self::SasKey => "SasKey",
            Self::Anyone => "Anyone",
            Self::System => "System",
        }
    }
}

impl PrincipalKind {
    /// The type under which role assignments file a principal: a managed identity is a service principal.
    pub const fn directory_type(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Device => "Device",
            Self::ServicePrincipal
            | Self::ManagedIdentity
            | Self::SasKey
            | Self::Anyone
            | Self::System => "ServicePrincipal",
        }
    }
}

/// How a caller proved itself, in the words that policies use for `identity.authType`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub enum AuthType {
    #[serde(rename = "entra")]
    Entra,
    #[serde(rename = "sas")]
    Sas,
    #[serde(rename = "x509")]
    X509,
    #[serde(rename = "none")]
    None,
}

impl AuthType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Sas => "sas",
            Self::X509 => "x509",
            Self::None => "none",
        }
    }
}
