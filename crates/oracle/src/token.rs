//! Authentication: is the token, or the signature, for this place and time?

use crate::request::{Token, Who};
use crate::scopes;
use crate::{Answer, Gate, Plane, Request, World};

/// How far clocks may differ.
const SKEW_MS: i64 = 5 * 60 * 1_000;

/// Audiences of tokens for resource management. Source: Azure Resource Manager REST API reference.
const MANAGEMENT: [&str; 2] =
    ["https://management.azure.com", "https://management.core.windows.net"];
/// Source: IoT Hub documentation, "Control access to IoT Hub by using Microsoft Entra ID".
const HUB: [&str; 1] = ["https://iothubs.azure.net"];
/// Source: Microsoft Graph documentation.
const DIRECTORY: [&str; 1] = ["https://graph.microsoft.com"];

pub(crate) fn refusal(world: &World, request: &Request) -> Option<Answer> {
    let code = match &request.who {
        Who::Device(_) => return None,
        Who::Principal { token, .. } => fault_of_token(token, request)?,
        Who::Key { policy, is_signed, is_for_this_hub, expires_s } => {
            let hub = world.hubs.iter().find(|it| scopes::is_same(&it.scope, &request.scope));
            let is_live = request.now_ms <= expires_s * 1_000;
            let is_known = hub.is_some_and(|it| {
                !it.is_local_auth_disabled
                    && it.policies.iter().any(|it| it.name.eq_ignore_ascii_case(policy))
            });
            if is_known && *is_signed && *is_for_this_hub && is_live {
                return None;
            }
            "InvalidAuthenticationToken"
        }
    };
    // A hub has one word for all of these.
    let code = match request.operation.plane {
        Plane::Data | Plane::Device => "IotHubUnauthorizedAccess",
        Plane::Control | Plane::Directory => code,
    };
    Some(Answer::refused(Gate::Authentication, 401, code))
}

/// In this order: tenant, audience, times.
fn fault_of_token(token: &Token, request: &Request) -> Option<&'static str> {
    let taken: &[&str] = match request.operation.plane {
        Plane::Control | Plane::Device => &MANAGEMENT,
        Plane::Data => &HUB,
        Plane::Directory => &DIRECTORY,
    };
    let audience = token.audience.trim_end_matches('/').to_lowercase();
    if !token.is_of_this_tenant {
        return Some("InvalidAuthenticationTokenTenant");
    }
    if !taken.contains(&audience.as_str()) {
        return Some("InvalidAuthenticationTokenAudience");
    }
    let Some(expires) = token.expires_ms else { return Some("InvalidAuthenticationToken") };
    if request.now_ms >= expires + SKEW_MS {
        return Some("ExpiredAuthenticationToken");
    }
    let starts = token.not_before_ms.unwrap_or(i64::MIN);
    (request.now_ms + SKEW_MS < starts).then_some("InvalidAuthenticationToken")
}
