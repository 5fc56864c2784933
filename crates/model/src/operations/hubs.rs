//! Azure Resource Manager: hubs, their keys and their certificates.

use super::row::{act, arm, control};
use super::{Body, Effect, Op, Operation};

pub(super) const ROWS: &[Operation] = &[
    control(
        Op::PutHub,
        &[act("Microsoft.Devices/IotHubs/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}",
        )],
        "Creates or updates a hub",
    ),
    control(
        Op::PatchHub,
        &[act("Microsoft.Devices/IotHubs/write")],
        Effect::ChangesFacts,
        &[arm(
            "PATCH",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}",
        )],
        "Changes the tags of a hub",
    ),
    control(
        Op::GetHub,
        &[act("Microsoft.Devices/IotHubs/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}",
        )],
        "Shows a hub, without its keys",
    ),
    control(
        Op::ListHubs,
        &[],
        Effect::Reads,
        &[
            arm("GET", "/subscriptions/{subscription}/providers/Microsoft.Devices/IotHubs"),
            arm(
                "GET",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs",
            ),
        ],
        "Lists hubs",
    ),
    control(
        Op::DeleteHub,
        &[act("Microsoft.Devices/IotHubs/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}",
        )],
        "Deletes a hub and everything in it",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::ListHubKeys,
            &[act("Microsoft.Devices/IotHubs/listkeys/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/listkeys",
            )],
            "Lists the shared access policies of a hub with their keys",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::GetHubKey,
            &[act("Microsoft.Devices/IotHubs/iotHubKeys/listkeys/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/IotHubKeys/{key}/listkeys",
            )],
            "Shows one shared access policy with its keys",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::TestAllRoutes,
            &[act("Microsoft.Devices/IotHubs/routing/$testall/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/routing/routes/$testall",
            )],
            "Tests a message against every route of a hub",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::TestRoute,
            &[act("Microsoft.Devices/IotHubs/routing/$testnew/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/routing/routes/$testnew",
            )],
            "Tests a message against a route that is not kept",
        )
    },
    control(
        Op::ListEndpointHealth,
        &[act("Microsoft.Devices/IotHubs/routingEndpointsHealth/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/routingEndpointsHealth",
        )],
        "Shows the health of the endpoints of a hub",
    ),
    control(
        Op::ListHubCertificates,
        &[act("Microsoft.Devices/IotHubs/certificates/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates",
        )],
        "Lists the CA certificates of a hub",
    ),
    control(
        Op::GetHubCertificate,
        &[act("Microsoft.Devices/IotHubs/certificates/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates/{certificate}",
        )],
        "Shows a CA certificate of a hub",
    ),
    control(
        Op::PutHubCertificate,
        &[act("Microsoft.Devices/IotHubs/certificates/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates/{certificate}",
        )],
        "Uploads a CA certificate to a hub, or replaces it",
    ),
    control(
        Op::DeleteHubCertificate,
        &[act("Microsoft.Devices/IotHubs/certificates/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates/{certificate}",
        )],
        "Deletes a CA certificate of a hub",
    ),
    control(
        Op::GenerateHubVerificationCode,
        &[act("Microsoft.Devices/IotHubs/certificates/generateVerificationCode/action")],
        Effect::ChangesFacts,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates/{certificate}/generateVerificationCode",
        )],
        "Makes a code that a certificate of the CA is to carry as its name",
    ),
    control(
        Op::VerifyHubCertificate,
        &[act("Microsoft.Devices/IotHubs/certificates/verify/action")],
        Effect::ChangesFacts,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates/{certificate}/verify",
        )],
        "Takes the certificate that shows who holds a CA's key",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::CheckHubName,
            &[act("Microsoft.Devices/checkNameAvailability/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/providers/Microsoft.Devices/checkNameAvailability",
            )],
            "Tells whether a hub name is free",
        )
    },
];
