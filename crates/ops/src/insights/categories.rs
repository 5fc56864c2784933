//! Which categories of logs a type of resource has, and which operation is recorded in which.

use model::Op;

/// The categories of a type of resource.
#[derive(Debug)]
pub(super) struct Categories {
    pub(super) all: &'static [&'static str],
    /// Those that tell who changed or tried to change what.
    pub(super) audited: &'static [&'static str],
}

/// Types of resources that have logs, by their full names.
/// Sources: the monitoring data references of IoT Hub and of its provisioning service, "Resource logs".
const TYPES: &[(&str, Categories)] = &[
    (
        "Microsoft.Devices/IotHubs",
        Categories {
            all: &[
                CONNECTIONS,
                "DeviceTelemetry",
                "C2DCommands",
                DEVICE_IDENTITY_OPERATIONS,
                "FileUploadOperations",
                "Routes",
                "D2CTwinOperations",
                "C2DTwinOperations",
                "TwinQueries",
                "JobsOperations",
                "DirectMethods",
                "DistributedTracing",
                "Configurations",
                "DeviceStreams",
            ],
            audited: &[CONNECTIONS, DEVICE_IDENTITY_OPERATIONS, "Configurations"],
        },
    ),
    (
        "Microsoft.Devices/provisioningServices",
        Categories {
            all: &[DEVICE_OPERATIONS, SERVICE_OPERATIONS],
            audited: &[DEVICE_OPERATIONS, SERVICE_OPERATIONS],
        },
    ),
];

const CONNECTIONS: &str = "Connections";
const DEVICE_IDENTITY_OPERATIONS: &str = "DeviceIdentityOperations";
const DEVICE_OPERATIONS: &str = "DeviceOperations";
const SERVICE_OPERATIONS: &str = "ServiceOperations";

/// The categories of a type; `None` where it has no logs.
pub(super) fn of_type(kind: &str) -> Option<&'static Categories> {
    TYPES.iter().find(|(it, _)| it.eq_ignore_ascii_case(kind)).map(|(_, it)| it)
}

/// Every type that has logs, for a person.
pub(super) fn types() -> String {
    TYPES.iter().map(|(it, _)| *it).collect::<Vec<_>>().join(" and ")
}

/// What a record is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum About {
    Device,
    IndividualEnrollment,
    EnrollmentGroup,
    Registration,
}

impl About {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "Device",
            Self::IndividualEnrollment => "IndividualEnrollment",
            Self::EnrollmentGroup => "EnrollmentGroup",
            Self::Registration => "Registration",
        }
    }

    /// The part of an operation's address that names it.
    pub(super) const fn parameter(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::IndividualEnrollment | Self::EnrollmentGroup => "enrollment",
            Self::Registration => "registration",
        }
    }
}

/// How the calls of an operation are recorded.
#[derive(Debug)]
pub(super) struct Logged {
    op: Op,
    pub(super) category: &'static str,
    /// The word that records have for the operation.
    pub(super) word: &'static str,
    pub(super) about: About,
}

impl Logged {
    /// True for what devices ask of a provisioning service.
    pub(super) fn is_by_device(&self) -> bool {
        self.category == DEVICE_OPERATIONS
    }
}

/// What became of a registration: no call, but what follows from one.
pub(super) const REGISTRATION_ATTEMPT: &Logged =
    &by_device(Op::RegisterDevice, "RegistrationAttempt");

/// The end of a device's session: no call either.
pub(super) const DISCONNECT: &Logged = &connection("deviceDisconnect");

/// Every operation that is recorded. A write that updates a device is a `create`, too: a refused one did
/// not look whether the device exists.
const LOGGED: &[Logged] = &[
    on_device(Op::PutDevice, "create"),
    on_device(Op::ProvisionDevice, "create"),
    on_device(Op::ProvisionDeviceWithTwin, "create"),
    on_device(Op::GetDevice, "get"),
    on_device(Op::DeleteDevice, "delete"),
    on_device(Op::ListDevices, "list"),
    on_device(Op::BulkDevices, "bulk"),
    on_device(Op::BulkDevicesWithTwins, "bulk"),
    on_device(Op::ImportEntries, "import"),
    on_device(Op::ImportEntriesOfHub, "import"),
    on_device(Op::RegenerateKeys, "update"),
    on_device(Op::PutModule, "create"),
    on_device(Op::GetModule, "get"),
    on_device(Op::DeleteModule, "delete"),
    on_device(Op::ListModules, "list"),
    on_device(Op::GetDeviceStory, "get"),
    connection("deviceConnect"),
    by_device(Op::ConnectToRegister, "Connect"),
    by_device(Op::RegisterDevice, "Register"),
    by_device(Op::GetRegistrationOperation, "GetRegistrationStatus"),
    by_device(Op::LookUpRegistration, "GetRegistration"),
    service(Op::PutEnrollment, "Upsert", About::IndividualEnrollment),
    service(Op::GetEnrollment, "Get", About::IndividualEnrollment),
    service(Op::DeleteEnrollment, "Delete", About::IndividualEnrollment),
    service(Op::QueryEnrollments, "Query", About::IndividualEnrollment),
    service(Op::GetEnrollmentKeys, "GetAttestationMechanism", About::IndividualEnrollment),
    service(Op::PutEnrollmentGroup, "Upsert", About::EnrollmentGroup),
    service(Op::GetEnrollmentGroup, "Get", About::EnrollmentGroup),
    service(Op::DeleteEnrollmentGroup, "Delete", About::EnrollmentGroup),
    service(Op::QueryEnrollmentGroups, "Query", About::EnrollmentGroup),
    service(Op::GetEnrollmentGroupKeys, "GetAttestationMechanism", About::EnrollmentGroup),
    service(Op::BulkEnrollments, "Bulk", About::IndividualEnrollment),
    service(Op::BulkDeleteEnrollments, "Bulk", About::IndividualEnrollment),
    service(Op::BulkEnrollmentGroups, "Bulk", About::EnrollmentGroup),
    service(Op::BulkDeleteEnrollmentGroups, "Bulk", About::EnrollmentGroup),
    service(Op::QueryRegistrations, "QueryRegistrations", About::EnrollmentGroup),
    service(Op::GetRegistration, "Get", About::Registration),
    service(Op::DeleteRegistration, "Delete", About::Registration),
];

/// How an operation is recorded; `None` where no category covers it.
pub(super) fn logged(op: Op) -> Option<&'static Logged> {
    LOGGED.iter().find(|it| it.op == op)
}

/// An operation of a hub on a device identity.
const fn on_device(op: Op, word: &'static str) -> Logged {
    Logged { op, category: DEVICE_IDENTITY_OPERATIONS, word, about: About::Device }
}

/// The beginning or the end of a device's session.
const fn connection(word: &'static str) -> Logged {
    Logged { op: Op::ConnectDevice, category: CONNECTIONS, word, about: About::Device }
}

/// What a device asks of a provisioning service.
const fn by_device(op: Op, word: &'static str) -> Logged {
    Logged { op, category: DEVICE_OPERATIONS, word, about: About::Registration }
}

/// What anybody else asks of it.
const fn service(op: Op, word: &'static str, about: About) -> Logged {
    Logged { op, category: SERVICE_OPERATIONS, word, about }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::operations::Surface;
    use model::{OPERATIONS, Plane};

    #[test]
    fn every_call_to_a_provisioning_service_is_recorded_once_and_by_its_plane() {
        for row in OPERATIONS.iter().filter(|it| it.surface() == Surface::Dps) {
            let found: Vec<&Logged> = LOGGED.iter().filter(|it| it.op == row.op).collect();
            let [one] = found.as_slice() else { panic!("{:?}: {found:?}", row.op) };
            assert_eq!(one.is_by_device(), row.plane == Plane::Device, "{one:?}");
            let parameter = format!("{{{}}}", one.about.parameter());
            let is_named = row.routes.iter().any(|it| it.path.contains(&parameter));
            assert!(is_named || ["Query", "Bulk"].contains(&one.word), "{one:?}");
        }
    }

    #[test]
    fn every_operation_on_device_identities_is_recorded() {
        let is_on_devices = |it: &&model::Operation| {
            let of_devices = "Microsoft.Devices/IotHubs/devices/";
            it.plane == Plane::Service
                && it.actions.iter().any(|it| it.as_str().starts_with(of_devices))
        };
        for row in OPERATIONS.iter().filter(is_on_devices) {
            let category = logged(row.op).map(|it| it.category);
            assert_eq!(category, Some(DEVICE_IDENTITY_OPERATIONS), "{:?}", row.op);
        }
    }

    #[test]
    fn what_is_recorded_is_in_a_category_that_its_resource_has() {
        for it in LOGGED {
            let kind = match it.about {
                About::Device => "microsoft.devices/iothubs",
                About::IndividualEnrollment | About::EnrollmentGroup | About::Registration => {
                    "microsoft.devices/provisioningservices"
                }
            };
            assert!(of_type(kind).unwrap().all.contains(&it.category), "{it:?}");
        }
        for (_, categories) in TYPES {
            assert!(categories.audited.iter().all(|it| categories.all.contains(it)));
        }
        assert!(of_type("Microsoft.Devices/IotHubs2").is_none());
        assert!(logged(Op::PutHub).is_none());
    }
}
