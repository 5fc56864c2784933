//! A hub's service API: what services ask of devices, tell them and hear from them.

use super::row::{DEVICES, TWINS, act, amqp, bare, events, hub, judged, service};
use super::{Body, Effect, Op, Operation, Plane, Right};
use crate::action::ActionName;

const FEEDBACK: &[ActionName] =
    &[act("Microsoft.Devices/IotHubs/cloudToDeviceMessages/feedback/action")];
const FILE_NOTIFICATIONS: &[ActionName] =
    &[act("Microsoft.Devices/IotHubs/fileUpload/notifications/action")];
const CONFIGURATIONS: &str = "Microsoft.Devices/IotHubs/configurations";
const JOBS: &str = "Microsoft.Devices/IotHubs/jobs";

pub(super) const ROWS: &[Operation] = &[
    service(
        Op::InvokeMethod,
        &[act("Microsoft.Devices/IotHubs/directMethods/invoke/action")],
        &[Right::ServiceConnect],
        // What it does is for the device to decide; nothing is kept, and no change of facts waits for it.
        Effect::Calls,
        &[
            hub("POST", "/twins/{device}/methods"),
            hub("POST", "/twins/{device}/modules/{module}/methods"),
        ],
        "Invokes a method of a connected device or module, and waits for its answer",
    ),
    service(
        Op::GetDigitalTwin,
        &[act("Microsoft.Devices/IotHubs/twins/read")],
        &[Right::ServiceConnect],
        Effect::Reads,
        &[hub("GET", "/digitaltwins/{device}")],
        "Shows the twin of a device as its model has it",
    ),
    judged(
        service(
            Op::PatchDigitalTwin,
            &[act("Microsoft.Devices/IotHubs/twins/write")],
            &[Right::ServiceConnect],
            Effect::Writes,
            &[hub("PATCH", "/digitaltwins/{device}")],
            "Changes desired properties of a device and its components",
        ),
        TWINS,
    ),
    service(
        Op::InvokeCommand,
        &[act("Microsoft.Devices/IotHubs/directMethods/invoke/action")],
        &[Right::ServiceConnect],
        Effect::Calls,
        &[
            hub("POST", "/digitaltwins/{device}/commands/{command}"),
            hub("POST", "/digitaltwins/{device}/components/{component}/commands/{command}"),
        ],
        "Invokes a command of a connected device or of one of its components",
    ),
    judged(
        service(
            Op::PutJob,
            &[act("Microsoft.Devices/IotHubs/jobs/write")],
            &[Right::ServiceConnect],
            Effect::Writes,
            &[hub("PUT", "/jobs/v2/{job}")],
            "Schedules a method or a change of twins for many devices",
        ),
        JOBS,
    ),
    service(
        Op::GetJob,
        &[act("Microsoft.Devices/IotHubs/jobs/read")],
        &[Right::ServiceConnect],
        Effect::Reads,
        &[hub("GET", "/jobs/v2/{job}")],
        "Shows a scheduled job",
    ),
    judged(
        bare(service(
            Op::CancelJob,
            &[act("Microsoft.Devices/IotHubs/jobs/delete")],
            &[Right::ServiceConnect],
            Effect::Writes,
            &[hub("POST", "/jobs/v2/{job}/cancel")],
            "Cancels a scheduled job",
        )),
        JOBS,
    ),
    service(
        Op::QueryJobs,
        &[act("Microsoft.Devices/IotHubs/jobs/read")],
        &[Right::ServiceConnect],
        Effect::Reads,
        &[hub("GET", "/jobs/v2/query")],
        "Lists scheduled jobs",
    ),
    judged(
        service(
            Op::PutConfiguration,
            &[act("Microsoft.Devices/IotHubs/configurations/write")],
            &[Right::RegistryWrite],
            Effect::Writes,
            &[hub("PUT", "/configurations/{configuration}")],
            "Creates or updates a configuration",
        ),
        CONFIGURATIONS,
    ),
    service(
        Op::GetConfiguration,
        &[act("Microsoft.Devices/IotHubs/configurations/read")],
        &[Right::RegistryRead, Right::ServiceConnect],
        Effect::Reads,
        &[hub("GET", "/configurations/{configuration}")],
        "Shows a configuration",
    ),
    service(
        Op::ListConfigurations,
        &[act("Microsoft.Devices/IotHubs/configurations/read")],
        &[Right::RegistryRead, Right::ServiceConnect],
        Effect::Reads,
        &[hub("GET", "/configurations")],
        "Lists configurations",
    ),
    judged(
        bare(service(
            Op::DeleteConfiguration,
            &[act("Microsoft.Devices/IotHubs/configurations/delete")],
            &[Right::RegistryWrite],
            Effect::Writes,
            &[hub("DELETE", "/configurations/{configuration}")],
            "Deletes a configuration; what it brought to devices stays there",
        )),
        CONFIGURATIONS,
    ),
    Operation {
        body: Body::Json,
        ..service(
            Op::TestConfigurationQueries,
            &[act("Microsoft.Devices/IotHubs/configurations/testQueries/action")],
            &[Right::RegistryRead],
            Effect::Reads,
            &[hub("POST", "/configurations/testQueries")],
            "Tells what is wrong with the queries of a configuration",
        )
    },
    service(
        Op::ApplyConfiguration,
        &[act("Microsoft.Devices/IotHubs/configurations/applyToEdgeDevice/action")],
        &[Right::RegistryWrite],
        Effect::Writes,
        &[hub("POST", "/devices/{device}/applyConfigurationContent")],
        "Brings the content of a configuration to one device",
    ),
    service(
        Op::SendMessage,
        &[act("Microsoft.Devices/IotHubs/cloudToDeviceMessages/send/action")],
        &[Right::ServiceConnect],
        Effect::Writes,
        // Azure takes these over AMQP alone; the address over HTTPS is ours.
        &[
            hub("POST", "/devices/{device}/messages/deviceBound"),
            amqp("SEND", "/messages/devicebound"),
        ],
        "Sends a message to a device",
    ),
    bare(service(
        Op::ReceiveFeedback,
        FEEDBACK,
        &[Right::ServiceConnect],
        Effect::Writes,
        &[
            hub("GET", "/messages/serviceBound/feedback"),
            amqp("RECEIVE", "/messages/serviceBound/feedback"),
        ],
        "Receives what became of messages to devices",
    )),
    bare(service(
        Op::CompleteFeedback,
        FEEDBACK,
        &[Right::ServiceConnect],
        Effect::Writes,
        &[
            hub("DELETE", "/messages/serviceBound/feedback/{lock}"),
            amqp("ACCEPT", "/messages/serviceBound/feedback"),
        ],
        "Settles feedback that was received",
    )),
    bare(service(
        Op::AbandonFeedback,
        FEEDBACK,
        &[Right::ServiceConnect],
        Effect::Writes,
        &[
            hub("POST", "/messages/serviceBound/feedback/{lock}/abandon"),
            amqp("RELEASE", "/messages/serviceBound/feedback"),
        ],
        "Gives feedback back that was received",
    )),
    bare(service(
        Op::ReceiveFileNotification,
        FILE_NOTIFICATIONS,
        &[Right::ServiceConnect],
        Effect::Writes,
        &[amqp("RECEIVE", "/messages/serviceBound/filenotifications")],
        "Receives that a device has uploaded a file",
    )),
    bare(service(
        Op::CompleteFileNotification,
        FILE_NOTIFICATIONS,
        &[Right::ServiceConnect],
        Effect::Writes,
        &[amqp("ACCEPT", "/messages/serviceBound/filenotifications")],
        "Settles a notification that was received",
    )),
    bare(service(
        Op::AbandonFileNotification,
        FILE_NOTIFICATIONS,
        &[Right::ServiceConnect],
        Effect::Writes,
        &[amqp("RELEASE", "/messages/serviceBound/filenotifications")],
        "Gives a notification back that was received",
    )),
    bare(service(
        Op::PurgeMessages,
        &[act("Microsoft.Devices/IotHubs/cloudToDeviceMessages/queue/purge/action")],
        &[Right::ServiceConnect],
        Effect::Writes,
        &[hub("DELETE", "/devices/{device}/commands")],
        "Deletes the messages that wait for a device",
    )),
    service(
        Op::GetDeviceStatistics,
        &[act("Microsoft.Devices/IotHubs/statistics/read")],
        &[Right::RegistryRead],
        Effect::Reads,
        &[hub("GET", "/statistics/devices")],
        "Shows how many devices there are",
    ),
    service(
        Op::GetServiceStatistics,
        &[act("Microsoft.Devices/IotHubs/statistics/read")],
        &[Right::RegistryRead],
        Effect::Reads,
        &[hub("GET", "/statistics/service")],
        "Shows how many devices are connected",
    ),
    Operation {
        sas: Right::HUB,
        ..events(
            Op::ConnectService,
            &[amqp("PUT-TOKEN", "/")],
            "Takes the credential of a service that comes over AMQP",
        )
    },
    events(
        Op::ConnectToEvents,
        &[amqp("PUT-TOKEN", "/{eventHub}")],
        "Takes the credential of a service that reads what devices have sent",
    ),
    events(
        Op::FindEvents,
        &[
            amqp("RECEIVE", "/messages/events"),
            amqp("RECEIVE", "/messages/events/$management"),
            amqp("RECEIVE", "/messages/events/ConsumerGroups/{group}/Partitions/{partition}"),
        ],
        "Tells where to read what devices have sent",
    ),
    events(
        Op::GetEventHub,
        &[amqp("READ com.microsoft:eventhub", "/{eventHub}/$management")],
        "Shows into which partitions go what devices send",
    ),
    events(
        Op::GetEventHubPartition,
        &[amqp("READ com.microsoft:partition", "/{eventHub}/$management")],
        "Shows how far a partition of what devices have sent reaches",
    ),
    events(
        Op::ReadEvents,
        &[amqp("RECEIVE", "/{eventHub}/ConsumerGroups/{group}/Partitions/{partition}")],
        "Reads what devices have sent, from a place in a partition on, and what they go on to send",
    ),
    events(
        Op::WatchEvents,
        // Azure has no such address: this one is for people at a terminal.
        &[hub("GET", "/messages/events/partitions/{partition}")],
        "Shows what devices have sent, a page at a time",
    ),
    events(
        Op::WatchDeviceEvents,
        // Nor this one, for who looks at one device.
        &[hub("GET", "/devices/{device}/messages/events")],
        "Shows what one device has sent, a page at a time",
    ),
    // What a provisioning service does at a hub, as itself. It has no address: a registration leads to it.
    Operation {
        op: Op::ProvisionDevice,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/IotHubs/devices/write")],
        sas: &[Right::RegistryWrite],
        object: DEVICES,
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[],
        says: "Writes a device that registered through a provisioning service",
    },
    Operation {
        op: Op::ProvisionDeviceWithTwin,
        plane: Plane::Service,
        actions: &[
            act("Microsoft.Devices/IotHubs/devices/write"),
            act("Microsoft.Devices/IotHubs/twins/write"),
        ],
        sas: &[Right::RegistryWrite],
        object: DEVICES,
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[],
        says: "Writes a device that registered through a provisioning service, and its initial twin",
    },
];
