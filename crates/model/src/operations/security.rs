//! Azure Resource Manager: the security policies of a hub's devices, and the settings behind them. Policies are this
//! product's own: Azure has no such type.

use super::row::{act, arm, bare, control};
use super::{Effect, Op, Operation};

pub(super) const ROWS: &[Operation] = &[
    control(
        Op::PutSecurityPolicy,
        &[act("Microsoft.Devices/IotHubs/securityPolicies/write")],
        Effect::Writes,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/securityPolicies/{device}",
        )],
        "Creates or updates the security policy of a device",
    ),
    control(
        Op::GetSecurityPolicy,
        &[act("Microsoft.Devices/IotHubs/securityPolicies/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/securityPolicies/{device}",
        )],
        "Shows the security policy of a device",
    ),
    control(
        Op::ListSecurityPolicies,
        &[act("Microsoft.Devices/IotHubs/securityPolicies/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/securityPolicies",
        )],
        "Lists the security policies of a hub's devices",
    ),
    bare(control(
        Op::DeleteSecurityPolicy,
        &[act("Microsoft.Devices/IotHubs/securityPolicies/delete")],
        Effect::Writes,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/securityPolicies/{device}",
        )],
        "Deletes the security policy of a device",
    )),
    control(
        Op::PutSecuritySettings,
        &[act("Microsoft.Devices/IotHubs/securitySettings/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/securitySettings/{settings}",
        )],
        "Sets what holds for devices without a security policy, and for policies without an action",
    ),
    control(
        Op::GetSecuritySettings,
        &[act("Microsoft.Devices/IotHubs/securitySettings/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/securitySettings/{settings}",
        )],
        "Shows the security settings of a hub",
    ),
    control(
        Op::ListSecuritySettings,
        &[act("Microsoft.Devices/IotHubs/securitySettings/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/securitySettings",
        )],
        "Lists the security settings of a hub, of which there is one",
    ),
];
