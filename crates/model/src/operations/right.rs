//! What a shared access policy grants.

/// A right of a shared access policy, on a hub, on a provisioning service or on a namespace.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Right {
    RegistryRead,
    RegistryWrite,
    ServiceConnect,
    DeviceConnect,
    ServiceConfig,
    EnrollmentRead,
    EnrollmentWrite,
    RegistrationStatusRead,
    RegistrationStatusWrite,
    Listen,
    Send,
    Manage,
    ReadBlobs,
    AddBlobs,
    CreateBlobs,
    WriteBlobs,
    DeleteBlobs,
    ListBlobs,
}

impl Right {
    /// Of a hub, in the order in which they are joined on the wire.
    pub const HUB: &[Self] =
        &[Self::RegistryRead, Self::RegistryWrite, Self::ServiceConnect, Self::DeviceConnect];
    /// Of a provisioning service, likewise.
    pub const DPS: &[Self] = &[
        Self::ServiceConfig,
        Self::DeviceConnect,
        Self::EnrollmentRead,
        Self::EnrollmentWrite,
        Self::RegistrationStatusRead,
        Self::RegistrationStatusWrite,
    ];
    /// Of a namespace or what lies in it, likewise.
    pub const NAMESPACE: &[Self] = &[Self::Listen, Self::Send, Self::Manage];

    /// Of what a signature of storage opens: a letter each.
    pub const BLOB: &[Self] = &[
        Self::ReadBlobs,
        Self::AddBlobs,
        Self::CreateBlobs,
        Self::WriteBlobs,
        Self::DeleteBlobs,
        Self::ListBlobs,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RegistryRead => "RegistryRead",
            Self::RegistryWrite => "RegistryWrite",
            Self::ServiceConnect => "ServiceConnect",
            Self::DeviceConnect => "DeviceConnect",
            Self::ServiceConfig => "ServiceConfig",
            Self::EnrollmentRead => "EnrollmentRead",
            Self::EnrollmentWrite => "EnrollmentWrite",
            Self::RegistrationStatusRead => "RegistrationStatusRead",
            Self::RegistrationStatusWrite => "RegistrationStatusWrite",
            Self::Listen => "Listen",
            Self::Send => "Send",
            Self::Manage => "Manage",
            Self::ReadBlobs => "Read (r)",
            Self::AddBlobs => "Add (a)",
            Self::CreateBlobs => "Create (c)",
            Self::WriteBlobs => "Write (w)",
            Self::DeleteBlobs => "Delete (d)",
            Self::ListBlobs => "List (l)",
        }
    }

    /// Reads the wire form `"RegistryRead, ServiceConnect"` of rights that a kind of service knows; `None`
    /// where a word is none of them or none is there.
    pub fn parse_list(text: &str, known: &[Self]) -> Option<Vec<Self>> {
        let mut rights = Vec::new();
        for word in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            rights.push(*known.iter().find(|it| it.as_str().eq_ignore_ascii_case(word))?);
        }
        rights.sort_unstable();
        rights.dedup();
        (!rights.is_empty()).then_some(rights)
    }

    /// The wire form of several rights.
    pub fn join(rights: &[Self]) -> String {
        let mut words: Vec<&str> = Vec::new();
        for right in Self::HUB.iter().chain(Self::DPS).chain(Self::NAMESPACE).chain(Self::BLOB) {
            if rights.contains(right) && !words.contains(&right.as_str()) {
                words.push(right.as_str());
            }
        }
        words.join(", ")
    }

    /// True where holding `self` is enough for `needed`: writing the registry implies reading it.
    pub fn covers(self, needed: Self) -> bool {
        self == needed
            || matches!(
                (self, needed),
                (Self::RegistryWrite, Self::RegistryRead)
                    | (Self::EnrollmentWrite, Self::EnrollmentRead)
                    | (Self::RegistrationStatusWrite, Self::RegistrationStatusRead)
            )
    }
}
