//! Azure Resource Manager: logs, the state of policies, and decisions.

use super::row::{act, arm, control};
use super::{Body, Effect, Op, Operation};

pub(super) const ROWS: &[Operation] = &[
    control(
        Op::PutDiagnosticSetting,
        &[act("Microsoft.Insights/diagnosticSettings/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "{scope}/providers/Microsoft.Insights/diagnosticSettings/{name}")],
        "Sends a resource's logs somewhere",
    ),
    control(
        Op::GetDiagnosticSetting,
        &[act("Microsoft.Insights/diagnosticSettings/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Insights/diagnosticSettings/{name}")],
        "Shows a diagnostic setting",
    ),
    control(
        Op::ListDiagnosticSettings,
        &[act("Microsoft.Insights/diagnosticSettings/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Insights/diagnosticSettings")],
        "Lists the diagnostic settings of a resource",
    ),
    control(
        Op::DeleteDiagnosticSetting,
        &[act("Microsoft.Insights/diagnosticSettings/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "{scope}/providers/Microsoft.Insights/diagnosticSettings/{name}")],
        "Stops sending a resource's logs somewhere",
    ),
    control(
        Op::ListDiagnosticCategories,
        &[act("Microsoft.Insights/diagnosticSettings/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Insights/diagnosticSettingsCategories")],
        "Lists the log categories of a resource",
    ),
    control(
        Op::ListActivity,
        &[act("Microsoft.Insights/eventtypes/values/read")],
        Effect::Reads,
        &[
            arm(
                "GET",
                "/subscriptions/{subscription}/providers/Microsoft.Insights/eventtypes/management/values",
            ),
            arm("GET", "/providers/Microsoft.Insights/eventtypes/management/values"),
        ],
        "Lists the activity log: control-plane writes and every refusal",
    ),
    control(
        Op::QueryPolicyStates,
        &[act("Microsoft.PolicyInsights/policyStates/queryResults/action")],
        Effect::Reads,
        &[arm(
            "POST",
            "{scope}/providers/Microsoft.PolicyInsights/policyStates/{states}/queryResults",
        )],
        "Lists whether resources comply with each policy that is assigned to them",
    ),
    control(
        Op::SummarizePolicyStates,
        &[act("Microsoft.PolicyInsights/policyStates/summarize/action")],
        Effect::Reads,
        &[arm(
            "POST",
            "{scope}/providers/Microsoft.PolicyInsights/policyStates/{states}/summarize",
        )],
        "Counts the resources that comply with their policies and those that do not",
    ),
    control(
        Op::TriggerPolicyEvaluation,
        &[act("Microsoft.PolicyInsights/policyStates/triggerEvaluation/action")],
        Effect::Reads,
        &[
            arm(
                "POST",
                "/subscriptions/{subscription}/providers/Microsoft.PolicyInsights/policyStates/latest/triggerEvaluation",
            ),
            arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.PolicyInsights/policyStates/latest/triggerEvaluation",
            ),
        ],
        "Answers that compliance is evaluated: each question does so",
    ),
    control(
        Op::GetDecision,
        &[act("Hubward.Decisions/decisions/read")],
        Effect::Reads,
        &[arm("GET", "/decisions/{id}")],
        "Shows a kept decision, gate by gate",
    ),
    control(
        Op::GetPulse,
        &[act("Hubward.Decisions/decisions/read")],
        Effect::Reads,
        &[arm("GET", "/decisions/pulse")],
        "Counts calls, and refusals by gate, since the server started",
    ),
    // Reached through the address of `GetDecision` where the decision was about the caller itself.
    control(Op::GetOwnDecision, &[], Effect::Reads, &[], "Shows a caller a decision about itself"),
    Operation {
        body: Body::Json,
        ..control(
            Op::AskDecision,
            &[act("Hubward.Decisions/decisions/read")],
            Effect::Reads,
            &[arm("POST", "/decisions/ask")],
            "Judges a call that nobody makes",
        )
    },
    // Needed at the hub and at the provisioning service.
    Operation {
        body: Body::Json,
        ..control(
            Op::AskWhoCan,
            &[
                act("Hubward.Decisions/decisions/read"),
                act("Microsoft.Authorization/roleAssignments/read"),
            ],
            Effect::Reads,
            &[arm("POST", "/decisions/whoCan")],
            "Tells who could do something at a place, and through what",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::AskWhatIf,
            &[act("Hubward.Decisions/decisions/read")],
            Effect::Reads,
            &[arm("POST", "/decisions/whatIf")],
            "Judges calls on record by facts as they would be",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::AskAdvice,
            &[
                act("Hubward.Decisions/decisions/read"),
                act("Microsoft.Authorization/roleAssignments/read"),
            ],
            Effect::Reads,
            &[arm("POST", "/decisions/advise")],
            "Tells who uses keys, who needs less than it holds, and who reaches keys",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::AskLocalAuth,
            &[
                act("Hubward.Decisions/decisions/read"),
                act("Microsoft.Authorization/roleAssignments/read"),
            ],
            Effect::Reads,
            &[arm("POST", "/decisions/localAuth")],
            "Tells who loses a hub when its keys are switched off",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::AskAccess,
            &[
                act("Hubward.Decisions/decisions/read"),
                act("Microsoft.Authorization/roleAssignments/read"),
            ],
            Effect::Reads,
            &[arm("POST", "/decisions/access")],
            "Tells everything that somebody could do, and through what",
        )
    },
    // Reached through the address of `AskAccess` where the caller asks about itself.
    Operation {
        body: Body::Json,
        ..control(Op::AskOwnAccess, &[], Effect::Reads, &[], "Tells a caller what it can do itself")
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::AskWhoIsHit,
            &[
                act("Hubward.Decisions/decisions/read"),
                act("Microsoft.Authorization/roleAssignments/read"),
            ],
            Effect::Reads,
            &[arm("POST", "/decisions/whoIsHit")],
            "Tells which calls policies would refuse, and whose",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::AskLint,
            &[act("Hubward.Decisions/decisions/read")],
            Effect::Reads,
            &[arm("POST", "/decisions/lint")],
            "Looks over everything that is, and warns of what is likely not meant",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::DiagnoseProvisioning,
            &[act("Hubward.Decisions/decisions/read")],
            Effect::Reads,
            &[arm("POST", "/decisions/diagnose")],
            "Tells whether devices can register through a provisioning service, and what stands against it",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::DiagnoseIngestion,
            &[act("Hubward.Decisions/decisions/read")],
            Effect::Reads,
            &[arm("POST", "/decisions/diagnoseIngestion")],
            "Tells why somebody who writes security policies of devices is refused",
        )
    },
];
