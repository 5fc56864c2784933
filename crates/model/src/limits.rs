//! How much a hub of an edition takes: how often, of what, and in a day.
//!
//! [`THROTTLES`] is the one table: what is counted together, the rates, and which operations count. The page
//! `docs/reference/limits.md` is written from it. Nothing here counts.
//! Source: IoT Hub documentation, "IoT Hub quotas and throttling".

mod sku;

pub use sku::{Edition, Sku};

use crate::operations::{Op, Operation};
use std::sync::LazyLock;

/// What is counted together. The number is the place in [`THROTTLES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Throttle {
    Connects,
    Sends,
    CloudSends,
    CloudReceives,
    Identities,
    TwinReads,
    TwinUpdates,
    Methods,
    Queries,
    Jobs,
    JobDevices,
    Configurations,
}

/// How often in a minute: so many times for each unit, and never less than the second number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    pub per_unit: u64,
    pub at_least: u64,
}

/// A row: what is counted together.
#[derive(Debug)]
pub struct Class {
    pub throttle: Throttle,
    /// As metrics name it.
    pub name: &'static str,
    /// In sentences: what there are so many of in a minute.
    pub says: &'static str,
    /// In editions 1 (F1 too), 2 and 3.
    pub rates: [Rate; 3],
    /// The basic editions have it.
    pub is_in_basic: bool,
    /// It counts against the messages of a day.
    pub is_metered: bool,
    /// Which operations count.
    pub operations: &'static [Op],
}

const fn per_unit(rates: [u64; 3]) -> [Rate; 3] {
    let [first, second, third] = rates;
    [
        Rate { per_unit: first, at_least: 0 },
        Rate { per_unit: second, at_least: 0 },
        Rate { per_unit: third, at_least: 0 },
    ]
}

/// What few units have as much of as some.
const fn at_least(least: [u64; 2], rates: [u64; 3]) -> [Rate; 3] {
    let [first, second, third] = per_unit(rates);
    let [least_first, least_second] = least;
    [Rate { at_least: least_first, ..first }, Rate { at_least: least_second, ..second }, third]
}

/// A row that the basic editions have and that counts no messages.
const fn class(
    throttle: Throttle,
    name: &'static str,
    says: &'static str,
    rates: [Rate; 3],
    operations: &'static [Op],
) -> Class {
    Class { throttle, name, says, rates, is_in_basic: true, is_metered: false, operations }
}

/// The same where each counts as messages.
const fn metered(row: Class) -> Class {
    Class { is_metered: true, ..row }
}

/// The same where only the free and the standard editions have it.
const fn standard(row: Class) -> Class {
    Class { is_in_basic: false, ..row }
}

/// Every class, in the order of [`Throttle`]. A minute's worth, so that all of them are whole numbers.
pub const THROTTLES: &[Class] = &[
    class(
        Throttle::Connects,
        "connects",
        "connections of devices",
        at_least([6_000, 0], [720, 7_200, 360_000]),
        &[Op::ConnectDevice],
    ),
    metered(class(
        Throttle::Sends,
        "sends",
        "messages from devices",
        at_least([6_000, 0], [720, 7_200, 360_000]),
        &[Op::SendTelemetry],
    )),
    standard(metered(class(
        Throttle::CloudSends,
        "cloudSends",
        "messages to devices",
        per_unit([100, 100, 5_000]),
        &[Op::SendMessage],
    ))),
    standard(class(
        Throttle::CloudReceives,
        "cloudReceives",
        "receptions of messages over HTTPS",
        per_unit([1_000, 1_000, 50_000]),
        &[Op::ReceiveMessages],
    )),
    class(
        Throttle::Identities,
        "identities",
        "operations on identities",
        per_unit([100, 100, 5_000]),
        &[
            Op::PutDevice,
            Op::GetDevice,
            Op::DeleteDevice,
            Op::ListDevices,
            Op::BulkDevices,
            Op::BulkDevicesWithTwins,
            Op::RegenerateKeys,
            Op::PutModule,
            Op::GetModule,
            Op::DeleteModule,
            Op::ListModules,
            Op::GetDeviceStory,
            Op::GetDeviceStatistics,
            Op::GetServiceStatistics,
            Op::ProvisionDevice,
            Op::ProvisionDeviceWithTwin,
        ],
    ),
    standard(metered(class(
        Throttle::TwinReads,
        "twinReads",
        "reads of twins",
        at_least([6_000, 6_000], [0, 600, 30_000]),
        &[Op::GetTwin, Op::GetOwnTwin, Op::GetDigitalTwin],
    ))),
    standard(metered(class(
        Throttle::TwinUpdates,
        "twinUpdates",
        "updates of twins",
        at_least([3_000, 3_000], [0, 300, 15_000]),
        &[Op::PatchTwin, Op::ReplaceTwin, Op::ReportProperties, Op::PatchDigitalTwin],
    ))),
    // 160 KB, 480 KB and 24 MB a second, in pieces of 4 KB.
    standard(metered(class(
        Throttle::Methods,
        "methods",
        "pieces of 4 KB of method payloads",
        per_unit([2_400, 7_200, 368_640]),
        &[Op::InvokeMethod, Op::InvokeCommand],
    ))),
    metered(class(
        Throttle::Queries,
        "queries",
        "queries",
        per_unit([20, 20, 1_000]),
        &[Op::QueryDevices, Op::QueryDeviceJobs],
    )),
    standard(class(
        Throttle::Jobs,
        "jobs",
        "operations on jobs",
        per_unit([100, 100, 5_000]),
        &[
            Op::PutJob,
            Op::GetJob,
            Op::CancelJob,
            Op::QueryJobs,
            Op::CreateTransfer,
            Op::GetTransfer,
            Op::ListTransfers,
            Op::CancelTransfer,
        ],
    )),
    standard(metered(class(
        Throttle::JobDevices,
        "jobDevices",
        "devices of jobs",
        at_least([600, 600], [0, 60, 3_000]),
        // What a job does for each of its devices is no call.
        &[],
    ))),
    standard(class(
        Throttle::Configurations,
        "configurations",
        "operations on configurations",
        per_unit([20, 20, 20]),
        &[
            Op::PutConfiguration,
            Op::GetConfiguration,
            Op::ListConfigurations,
            Op::DeleteConfiguration,
            Op::TestConfigurationQueries,
            Op::ApplyConfiguration,
        ],
    )),
];

/// What is asked of a hub and never throttled: what a connected device subscribes to, what becomes of messages,
/// what services hear of it, and reading what devices have sent.
pub const NEVER_THROTTLED: &[Op] = &[
    Op::BeginUpload,
    Op::EndUpload,
    Op::ImportEntries,
    Op::CompleteMessage,
    Op::AbandonMessage,
    Op::PurgeMessages,
    Op::ReceiveDesired,
    Op::ReceiveMethods,
    Op::ReceiveFeedback,
    Op::CompleteFeedback,
    Op::AbandonFeedback,
    Op::ReceiveFileNotification,
    Op::CompleteFileNotification,
    Op::AbandonFileNotification,
    Op::ConnectService,
    Op::ConnectToEvents,
    Op::FindEvents,
    Op::GetEventHub,
    Op::GetEventHubPartition,
    Op::ReadEvents,
    Op::WatchEvents,
    Op::WatchDeviceEvents,
];

/// The class of each operation, by its number.
static BY_OPERATION: LazyLock<Vec<Option<&'static Class>>> = LazyLock::new(|| {
    let mut found = Vec::new();
    for class in THROTTLES {
        for op in class.operations {
            let at = *op as usize;
            found.resize(found.len().max(at + 1), None);
            if let Some(place) = found.get_mut(at) {
                *place = Some(class);
            }
        }
    }
    found
});

impl Throttle {
    pub fn class(self) -> &'static Class {
        THROTTLES.get(self as usize).expect("a test shows that every class has a row")
    }
}

impl Class {
    /// How often an edition that has it takes it.
    pub fn rate(&self, edition: Edition) -> Rate {
        let [small, medium, large] = self.rates;
        match edition {
            Edition::F1 | Edition::B1 | Edition::S1 => small,
            Edition::B2 | Edition::S2 => medium,
            Edition::B3 | Edition::S3 => large,
        }
    }

    /// How often in a minute a hub takes it; `None` where its edition does not have it.
    pub fn per_minute(&self, sku: Sku) -> Option<u64> {
        let Rate { per_unit, at_least } = self.rate(sku.edition);
        let all = per_unit.saturating_mul(u64::from(sku.units)).max(at_least);
        (self.is_in_basic || !sku.edition.is_basic()).then_some(all)
    }
}

impl Operation {
    /// What it counts as at a hub; `None` where it is never throttled.
    pub fn throttled(&self) -> Option<&'static Class> {
        BY_OPERATION.get(self.op as usize).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{OPERATIONS, Surface};

    fn sku(text: &str) -> Sku {
        text.parse().unwrap()
    }

    #[test]
    fn every_operation_of_a_hub_names_its_class_or_that_it_has_none_and_no_other_does() {
        for row in OPERATIONS {
            let named = THROTTLES.iter().filter(|it| it.operations.contains(&row.op)).count();
            let named = named + NEVER_THROTTLED.iter().filter(|it| **it == row.op).count();
            let expected = usize::from(row.surface() == Surface::Hub);
            assert_eq!(named, expected, "{:?} stands in so many classes", row.op);
            let found = row.throttled().map(|it| it.operations.contains(&row.op));
            assert_eq!(found.is_some(), expected == 1 && !NEVER_THROTTLED.contains(&row.op));
            assert_ne!(found, Some(false), "{:?}", row.op);
        }
    }

    #[test]
    fn every_class_stands_at_its_number_under_a_name_of_its_own() {
        for (at, row) in THROTTLES.iter().enumerate() {
            assert_eq!(row.throttle as usize, at);
            assert_eq!(row.throttle.class().name, row.name);
            assert_eq!(THROTTLES.iter().filter(|it| it.name == row.name).count(), 1);
        }
        assert_eq!(Throttle::Configurations as usize + 1, THROTTLES.len());
    }

    #[test]
    fn rates_are_those_of_the_documentation() {
        let a_minute = |text: &str, of: Throttle| of.class().per_minute(sku(text));
        // 12 a second for each unit, and 100 at least.
        assert_eq!(a_minute("S1x1", Throttle::Sends), Some(6_000));
        assert_eq!(a_minute("S1x8", Throttle::Sends), Some(6_000));
        assert_eq!(a_minute("S1x9", Throttle::Sends), Some(6_480));
        assert_eq!(a_minute("S2x1", Throttle::Sends), Some(7_200));
        assert_eq!(a_minute("S3x10", Throttle::Connects), Some(3_600_000));
        assert_eq!(a_minute("F1", Throttle::Identities), Some(100));
        assert_eq!(a_minute("S1x2", Throttle::Identities), Some(200));
        assert_eq!(a_minute("S1x200", Throttle::TwinReads), Some(6_000));
        assert_eq!(a_minute("S2x11", Throttle::TwinReads), Some(6_600));
        assert_eq!(a_minute("S2x10", Throttle::TwinUpdates), Some(3_000));
        assert_eq!(a_minute("S3x2", Throttle::JobDevices), Some(6_000));
        assert_eq!(a_minute("S3x2", Throttle::Configurations), Some(40));
    }

    #[test]
    fn basic_editions_have_no_twins_methods_jobs_or_messages_to_devices() {
        for class in THROTTLES {
            let lacks = matches!(
                class.throttle,
                Throttle::CloudSends
                    | Throttle::CloudReceives
                    | Throttle::TwinReads
                    | Throttle::TwinUpdates
                    | Throttle::Methods
                    | Throttle::Jobs
                    | Throttle::JobDevices
                    | Throttle::Configurations
            );
            assert_eq!(class.per_minute(sku("B2x3")).is_none(), lacks, "{}", class.name);
            assert!(class.per_minute(sku("F1")).is_some() && class.per_minute(sku("S2")).is_some());
        }
    }
}
