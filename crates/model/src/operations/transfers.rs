//! Import and export of the identities of a hub: jobs that read or write blobs.

use super::row::{DEVICES, act, arm, bare, control, hub, judged, service};
use super::{Effect, Op, Operation, Right};

const JOBS: &str = "Microsoft.Devices/IotHubs/jobs";

pub(super) const ROWS: &[Operation] = &[
    judged(
        service(
            Op::CreateTransfer,
            &[act("Microsoft.Devices/IotHubs/jobs/write")],
            &[Right::RegistryWrite],
            Effect::Writes,
            &[hub("POST", "/jobs/create")],
            "Begins to import identities from a container of blobs, or to export all into one",
        ),
        JOBS,
    ),
    service(
        Op::GetTransfer,
        &[act("Microsoft.Devices/IotHubs/jobs/read")],
        &[Right::RegistryRead],
        Effect::Reads,
        &[hub("GET", "/jobs/{job}")],
        "Shows an import or export",
    ),
    service(
        Op::ListTransfers,
        &[act("Microsoft.Devices/IotHubs/jobs/read")],
        &[Right::RegistryRead],
        Effect::Reads,
        &[hub("GET", "/jobs")],
        "Lists imports and exports",
    ),
    judged(
        bare(service(
            Op::CancelTransfer,
            &[act("Microsoft.Devices/IotHubs/jobs/delete")],
            &[Right::RegistryWrite],
            Effect::Writes,
            &[hub("DELETE", "/jobs/{job}")],
            "Cancels an import or export",
        )),
        JOBS,
    ),
    Operation {
        object: DEVICES,
        ..service(
            Op::ImportEntries,
            &[act("Microsoft.Devices/IotHubs/jobs/write")],
            &[Right::RegistryWrite],
            Effect::Writes,
            &[],
            "Writes identities that an import has read, as whoever has made the import",
        )
    },
    control(
        Op::ExportDevices,
        &[act("Microsoft.Devices/IotHubs/exportDevices/action")],
        Effect::Writes,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/exportDevices",
        )],
        "Begins to export all identities of a hub into a container of blobs",
    ),
    control(
        Op::ImportDevices,
        &[act("Microsoft.Devices/IotHubs/importDevices/action")],
        Effect::Writes,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/importDevices",
        )],
        "Begins to import identities into a hub from a container of blobs",
    ),
    Operation {
        object: DEVICES,
        ..control(
            Op::ImportEntriesOfHub,
            &[act("Microsoft.Devices/IotHubs/importDevices/action")],
            Effect::Writes,
            &[],
            "The same where the import was asked for at the control plane",
        )
    },
    control(
        Op::ListHubJobs,
        &[act("Microsoft.Devices/IotHubs/jobs/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/jobs",
        )],
        "Lists the imports and exports of a hub",
    ),
    control(
        Op::GetHubJob,
        &[act("Microsoft.Devices/IotHubs/jobs/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/jobs/{job}",
        )],
        "Shows an import or export of a hub",
    ),
];
