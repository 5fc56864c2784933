//! From an operation's name to the function that does it: the one place that knows both.

use crate::env::Env;
use crate::input::{Input, Reply};
use crate::{
    authorization, certificates, devices, diagnose, entra, insights, management, policy_insights,
    provisioning, questions, resources, who_can,
};
use gate::Permit;
use model::{Error, Op};

/// Does what the permit allows.
pub(crate) async fn act(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    match permit.operation().op {
        Op::ReadEndpoints => resources::discovery::endpoints(permit, input, env).await,
        Op::ReadOpenIdConfiguration => entra::discovery::configuration(permit, input, env).await,
        Op::ReadSigningKeys => entra::discovery::signing_keys(permit, input, env).await,
        Op::DiscoverInstance => entra::discovery::instance(permit, input, env).await,
        Op::DiscoverUserRealm => entra::discovery::user_realm(permit, input, env).await,
        Op::IssueToken => entra::tokens::issue(permit, input, env).await,
        Op::ListTenants => resources::subscriptions::list_tenants(permit, input, env).await,
        Op::ListSubscriptions => resources::subscriptions::list(permit, input, env).await,
        Op::GetSubscription => resources::subscriptions::get(permit, input, env).await,
        Op::ListLocations => resources::subscriptions::list_locations(permit, input, env).await,
        Op::ListProviders => resources::providers::list(permit, input, env).await,
        Op::GetProvider => resources::providers::get(permit, input, env).await,
        Op::RegisterProvider => resources::providers::register(permit, input, env).await,
        Op::ListProviderOperations => {
            resources::providers::list_operations(permit, input, env).await
        }
        Op::GetProviderOperations => resources::providers::get_operations(permit, input, env).await,
        Op::ListDevicesOperations => {
            resources::providers::list_devices_operations(permit, input, env).await
        }
        Op::PutResourceGroup | Op::PatchResourceGroup => {
            resources::groups::put(permit, input, env).await
        }
        Op::GetResourceGroup => resources::groups::get(permit, input, env).await,
        Op::HasResourceGroup => resources::groups::has(permit, input, env).await,
        Op::ListResourceGroups => resources::groups::list(permit, input, env).await,
        Op::DeleteResourceGroup => resources::groups::delete(permit, input, env).await,
        Op::MoveResources | Op::ValidateMoveResources => {
            resources::moves::run(permit, input, env).await
        }
        Op::ListResources => resources::groups::list_resources(permit, input, env).await,
        Op::GetOperationResult => resources::long_running::get(permit, input, env).await,
        Op::PutHub | Op::PatchHub => devices::hubs::put(permit, input, env).await,
        Op::GetHub => devices::hubs::get(permit, input, env).await,
        Op::ListHubs => devices::hubs::list(permit, input, env).await,
        Op::DeleteHub => devices::hubs::delete(permit, input, env).await,
        Op::ListHubKeys => devices::keys::list(permit, input, env).await,
        Op::GetHubKey => devices::keys::get(permit, input, env).await,
        Op::ListHubCertificates | Op::ListDpsCertificates => {
            certificates::list(permit, input, env).await
        }
        Op::GetHubCertificate | Op::GetDpsCertificate => {
            certificates::get(permit, input, env).await
        }
        Op::PutHubCertificate | Op::PutDpsCertificate => {
            certificates::put(permit, input, env).await
        }
        Op::DeleteHubCertificate | Op::DeleteDpsCertificate => {
            certificates::delete(permit, input, env).await
        }
        Op::GenerateHubVerificationCode | Op::GenerateDpsVerificationCode => {
            certificates::generate_code(permit, input, env).await
        }
        Op::VerifyHubCertificate | Op::VerifyDpsCertificate => {
            certificates::verify(permit, input, env).await
        }
        Op::CheckHubName => devices::hubs::check_name(permit, input, env).await,
        Op::PutRoleDefinition => authorization::roles::put_definition(permit, input, env).await,
        Op::GetRoleDefinition => authorization::roles::get_definition(permit, input, env).await,
        Op::ListRoleDefinitions => authorization::roles::list_definitions(permit, input, env).await,
        Op::DeleteRoleDefinition => {
            authorization::roles::delete_definition(permit, input, env).await
        }
        Op::PutRoleAssignment => authorization::role_assignments::put(permit, input, env).await,
        Op::GetRoleAssignment => authorization::role_assignments::get(permit, input, env).await,
        Op::ListRoleAssignments => authorization::role_assignments::list(permit, input, env).await,
        Op::DeleteRoleAssignment => {
            authorization::role_assignments::delete(permit, input, env).await
        }
        Op::PutDenyAssignment => authorization::deny_assignments::put(permit, input, env).await,
        Op::GetDenyAssignment => authorization::deny_assignments::get(permit, input, env).await,
        Op::ListDenyAssignments => authorization::deny_assignments::list(permit, input, env).await,
        Op::DeleteDenyAssignment => {
            authorization::deny_assignments::delete(permit, input, env).await
        }
        Op::PutManagementGroup | Op::PatchManagementGroup => {
            management::put(permit, input, env).await
        }
        Op::GetManagementGroup => management::get(permit, input, env).await,
        Op::ListManagementGroups => management::list(permit, input, env).await,
        Op::DeleteManagementGroup => management::delete(permit, input, env).await,
        Op::CheckManagementGroupName => management::check_name(permit, input, env).await,
        Op::ListEntities => management::lists::entities(permit, input, env).await,
        Op::ListDescendants => management::lists::descendants(permit, input, env).await,
        Op::PutManagementGroupSubscription => {
            management::subscriptions::put(permit, input, env).await
        }
        Op::GetManagementGroupSubscription => {
            management::subscriptions::get(permit, input, env).await
        }
        Op::ListManagementGroupSubscriptions => {
            management::subscriptions::list(permit, input, env).await
        }
        Op::DeleteManagementGroupSubscription => {
            management::subscriptions::delete(permit, input, env).await
        }
        Op::PutPolicyDefinition => {
            authorization::policies::put_definition(permit, input, env).await
        }
        Op::GetPolicyDefinition => {
            authorization::policies::get_definition(permit, input, env).await
        }
        Op::ListPolicyDefinitions => {
            authorization::policies::list_definitions(permit, input, env).await
        }
        Op::DeletePolicyDefinition => {
            authorization::policies::delete_definition(permit, input, env).await
        }
        Op::PutPolicySetDefinition => authorization::policy_sets::put(permit, input, env).await,
        Op::GetPolicySetDefinition => authorization::policy_sets::get(permit, input, env).await,
        Op::ListPolicySetDefinitions => authorization::policy_sets::list(permit, input, env).await,
        Op::DeletePolicySetDefinition => {
            authorization::policy_sets::delete(permit, input, env).await
        }
        Op::PutPolicyAssignment | Op::PatchPolicyAssignment => {
            authorization::policies::put_assignment(permit, input, env).await
        }
        Op::GetPolicyAssignment => {
            authorization::policies::get_assignment(permit, input, env).await
        }
        Op::ListPolicyAssignments => {
            authorization::policies::list_assignments(permit, input, env).await
        }
        Op::DeletePolicyAssignment => {
            authorization::policies::delete_assignment(permit, input, env).await
        }
        Op::PutPolicyExemption | Op::PatchPolicyExemption => {
            authorization::exemptions::put(permit, input, env).await
        }
        Op::GetPolicyExemption => authorization::exemptions::get(permit, input, env).await,
        Op::ListPolicyExemptions => authorization::exemptions::list(permit, input, env).await,
        Op::DeletePolicyExemption => authorization::exemptions::delete(permit, input, env).await,
        Op::PutLock => authorization::locks::put(permit, input, env).await,
        Op::GetLock => authorization::locks::get(permit, input, env).await,
        Op::ListLocks => authorization::locks::list(permit, input, env).await,
        Op::DeleteLock => authorization::locks::delete(permit, input, env).await,
        Op::PutDiagnosticSetting => insights::settings::put(permit, input, env).await,
        Op::GetDiagnosticSetting => insights::settings::get(permit, input, env).await,
        Op::ListDiagnosticSettings => insights::settings::list(permit, input, env).await,
        Op::DeleteDiagnosticSetting => insights::settings::delete(permit, input, env).await,
        Op::ListDiagnosticCategories => {
            insights::settings::list_categories(permit, input, env).await
        }
        Op::ListActivity => insights::activity::list(permit, input, env).await,
        Op::QueryPolicyStates => policy_insights::states::query(permit, input, env).await,
        Op::SummarizePolicyStates => policy_insights::states::summarize(permit, input, env).await,
        Op::TriggerPolicyEvaluation => policy_insights::states::trigger(permit, input, env).await,
        Op::GetDecision | Op::GetOwnDecision => questions::get(permit, input, env).await,
        Op::AskDecision => questions::ask(permit, input, env).await,
        Op::AskWhoCan => who_can::ask(permit, input, env).await,
        Op::DiagnoseProvisioning => diagnose::diagnose(permit, input, env).await,
        Op::ListApplications => entra::applications::list(permit, input, env).await,
        Op::CreateApplication => entra::applications::create(permit, input, env).await,
        Op::GetApplication => entra::applications::get(permit, input, env).await,
        Op::PatchApplication => entra::applications::patch(permit, input, env).await,
        Op::DeleteApplication => entra::applications::delete(permit, input, env).await,
        Op::AddPassword => entra::applications::add_password(permit, input, env).await,
        Op::RemovePassword => entra::applications::remove_password(permit, input, env).await,
        Op::ListFederatedCredentials => entra::federated::list(permit, input, env).await,
        Op::CreateFederatedCredential => entra::federated::create(permit, input, env).await,
        Op::GetFederatedCredential => entra::federated::get(permit, input, env).await,
        Op::PatchFederatedCredential => entra::federated::patch(permit, input, env).await,
        Op::DeleteFederatedCredential => entra::federated::delete(permit, input, env).await,
        Op::ListServicePrincipals => entra::principals::list(permit, input, env).await,
        Op::CreateServicePrincipal => entra::principals::create(permit, input, env).await,
        Op::GetServicePrincipal => entra::principals::get(permit, input, env).await,
        Op::PatchServicePrincipal => entra::principals::patch(permit, input, env).await,
        Op::DeleteServicePrincipal => entra::principals::delete(permit, input, env).await,
        Op::GetDirectoryObjects => entra::principals::get_by_ids(permit, input, env).await,
        Op::ListUsers => entra::users::list(permit, input, env).await,
        Op::CreateUser => entra::users::create(permit, input, env).await,
        Op::GetUser => entra::users::get(permit, input, env).await,
        Op::PatchUser => entra::users::patch(permit, input, env).await,
        Op::DeleteUser => entra::users::delete(permit, input, env).await,
        Op::RevokeSignIns => entra::users::revoke(permit, input, env).await,
        Op::GetMe => entra::users::get_me(permit, input, env).await,
        Op::ListGroups => entra::groups::list(permit, input, env).await,
        Op::CreateGroup => entra::groups::create(permit, input, env).await,
        Op::GetGroup => entra::groups::get(permit, input, env).await,
        Op::PatchGroup => entra::groups::patch(permit, input, env).await,
        Op::DeleteGroup => entra::groups::delete(permit, input, env).await,
        Op::ListGroupMembers => entra::members::list(permit, input, env).await,
        Op::AddGroupMember => entra::members::add(permit, input, env).await,
        Op::RemoveGroupMember => entra::members::remove(permit, input, env).await,
        Op::ListMemberOf => entra::members::list_groups_of(permit, input, env, false).await,
        Op::ListTransitiveMemberOf => {
            entra::members::list_groups_of(permit, input, env, true).await
        }
        Op::CheckMemberGroups => entra::members::check_groups(permit, input, env).await,
        Op::GetMemberGroups => entra::members::get_groups(permit, input, env).await,
        Op::GetOrganization => entra::tenant::get_organization(permit, input, env).await,
        Op::PutDevice => devices::registry::put(permit, input, env).await,
        Op::GetDevice => devices::registry::get(permit, input, env).await,
        Op::DeleteDevice => devices::registry::delete(permit, input, env).await,
        Op::ListDevices => devices::registry::list(permit, input, env).await,
        Op::BulkDevices | Op::BulkDevicesWithTwins => devices::bulk::bulk(permit, input, env).await,
        Op::RegenerateKeys => devices::regenerate::regenerate(permit, input, env).await,
        Op::QueryDevices | Op::QueryDeviceJobs => devices::queries::query(permit, input, env).await,
        Op::ListRoleDefinitionRevisions
        | Op::ListRoleAssignmentRevisions
        | Op::ListPolicyDefinitionRevisions
        | Op::ListPolicySetDefinitionRevisions
        | Op::ListPolicyAssignmentRevisions
        | Op::ListPolicyExemptionRevisions => {
            authorization::revisions::list(permit, input, env).await
        }
        Op::PutDps | Op::PatchDps => provisioning::services::put(permit, input, env).await,
        Op::GetDps => provisioning::services::get(permit, input, env).await,
        Op::ListDps => provisioning::services::list(permit, input, env).await,
        Op::DeleteDps => provisioning::services::delete(permit, input, env).await,
        Op::ListDpsKeys => provisioning::services::list_keys(permit, input, env).await,
        Op::GetDpsKey => provisioning::services::get_key(permit, input, env).await,
        Op::CheckDpsName => provisioning::services::check_name(permit, input, env).await,
        Op::PutEnrollment | Op::PutEnrollmentGroup => {
            provisioning::enrollments::put(permit, input, env).await
        }
        Op::GetEnrollment | Op::GetEnrollmentGroup => {
            provisioning::enrollments::get(permit, input, env).await
        }
        Op::DeleteEnrollment | Op::DeleteEnrollmentGroup => {
            provisioning::enrollments::delete(permit, input, env).await
        }
        Op::QueryEnrollments | Op::QueryEnrollmentGroups => {
            provisioning::enrollments::query(permit, input, env).await
        }
        Op::GetEnrollmentKeys | Op::GetEnrollmentGroupKeys => {
            provisioning::enrollments::keys(permit, input, env).await
        }
        Op::BulkEnrollments
        | Op::BulkDeleteEnrollments
        | Op::BulkEnrollmentGroups
        | Op::BulkDeleteEnrollmentGroups => provisioning::bulk::run(permit, input, env).await,
        Op::QueryRegistrations => provisioning::registrations::query(permit, input, env).await,
        Op::GetRegistration => provisioning::registrations::get(permit, input, env).await,
        Op::DeleteRegistration => provisioning::registrations::delete(permit, input, env).await,
        Op::RegisterDevice => provisioning::register::register(permit, input, env).await,
        Op::GetRegistrationOperation => {
            provisioning::progress::operation_status(permit, input, env).await
        }
        Op::LookUpRegistration => provisioning::progress::look_up(permit, input, env).await,
        Op::ProvisionDevice | Op::ProvisionDeviceWithTwin => {
            devices::registry::provision(permit, input, env).await
        }
        Op::ConnectToRegister => provisioning::progress::connect(permit, input, env),
        Op::PutModule => devices::registry::put(permit, input, env).await,
        Op::GetModule => devices::registry::get(permit, input, env).await,
        Op::DeleteModule => devices::registry::delete(permit, input, env).await,
        Op::GetDeviceStory => devices::story::tell(permit, input, env).await,
        Op::ListModules => devices::registry::list_modules(permit, input, env).await,
        Op::GetTwin => devices::twins::get(permit, input, env).await,
        Op::PatchTwin | Op::ReplaceTwin => devices::twins::put(permit, input, env).await,
        Op::InvokeMethod => devices::methods::invoke(permit, input, env).await,
        Op::GetDigitalTwin => devices::digital_twins::get(permit, input, env).await,
        Op::PatchDigitalTwin => devices::digital_twins::patch(permit, input, env).await,
        Op::InvokeCommand => devices::digital_twins::command(permit, input, env).await,
        Op::PutJob => devices::jobs::put(permit, input, env).await,
        Op::GetJob => devices::jobs::get(permit, input, env).await,
        Op::CancelJob => devices::jobs::cancel(permit, input, env).await,
        Op::QueryJobs => devices::jobs::list(permit, input, env).await,
        Op::PutConfiguration => devices::configurations::put(permit, input, env).await,
        Op::GetConfiguration => devices::configurations::get(permit, input, env).await,
        Op::ListConfigurations => devices::configurations::list(permit, input, env).await,
        Op::DeleteConfiguration => devices::configurations::delete(permit, input, env).await,
        Op::TestConfigurationQueries => devices::configurations::test_queries(input),
        Op::ApplyConfiguration => devices::configurations::apply_content(permit, input, env).await,
        Op::SendMessage => devices::sending::send(permit, input, env).await,
        Op::ReceiveFeedback | Op::ReceiveFileNotification => {
            devices::service_queues::take(permit, env).await
        }
        Op::CompleteFeedback
        | Op::AbandonFeedback
        | Op::CompleteFileNotification
        | Op::AbandonFileNotification => devices::service_queues::end(permit, input, env).await,
        Op::SendTelemetry => devices::by_https::send(permit, input, env).await,
        Op::ReceiveMessages => devices::by_https::receive(permit, input, env).await,
        Op::CompleteMessage | Op::AbandonMessage => {
            devices::by_https::settle(permit, input, env).await
        }
        Op::PurgeMessages => devices::messages::purge(permit, input, env).await,
        Op::GetDeviceStatistics => devices::registry::statistics(permit, input, env).await,
        Op::GetServiceStatistics => devices::registry::service_statistics(permit, input, env).await,
        // The gates have said yes, which is all that was asked.
        Op::ConnectService | Op::ConnectToEvents => Ok(Reply::empty(200)),
        Op::FindEvents => devices::events::find(permit, input, env),
        Op::GetEventHub => devices::events::get_hub(permit, input, env).await,
        Op::GetEventHubPartition => devices::events::get_partition(permit, input, env).await,
        Op::WatchEvents => devices::watching::watch(permit, input, env).await,
        // Whoever connects gets a session, and the session does what its device asks: `session.rs`; whoever reads
        // gets a reader. What is only published has no address to be called at.
        Op::ConnectDevice
        | Op::GetOwnTwin
        | Op::ReportProperties
        | Op::ReceiveDesired
        | Op::ReceiveMethods
        | Op::ReadEvents
        | Op::Published => Err(Error::Internal {
            message: format!("{} has no answer outside a session", permit.operation().name()),
        }),
    }
}
