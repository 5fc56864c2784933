//! From an operation's name to the function that does it: the one place that knows both.

use crate::authorization::{
    deny_assignments, exemptions, locks, policies, policy_sets, revisions, role_assignments, roles,
};
use crate::entra::{
    codes, conditional_access as entry, device_codes, discovery, members, named_locations, sessions,
};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::managed_identity::user_assigned;
use crate::management::subscriptions as placements;
use crate::resources::{deployments, providers};
use crate::{
    access, advise, blobs, certificates, devices, diagnose, entra, insights, lint, local_auth,
    managed_identity, management, metrics, policy_insights, private_endpoints, provisioning,
    questions, resources, targets, what_if, who_can, who_is_hit,
};
use gate::Permit;
use model::{Error, Op};
use std::pin::Pin;

/// An operation under way, on the heap: each is as large as it is, and a call within a call no deeper than it must be.
pub(crate) type Doing<'a> = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send + 'a>>;

/// What takes no time.
fn done<'a>(outcome: Result<Reply, Error>) -> Doing<'a> {
    Box::pin(std::future::ready(outcome))
}

/// Does what the permit allows.
pub(crate) fn act<'a>(permit: &'a Permit, input: &'a Input, env: &'a Env) -> Doing<'a> {
    match permit.operation().op {
        Op::ReadEndpoints => Box::pin(resources::discovery::endpoints(permit, input, env)),
        Op::ReadOpenIdConfiguration => Box::pin(discovery::configuration(permit, input, env)),
        Op::ReadSigningKeys => Box::pin(discovery::signing_keys(permit, input, env)),
        Op::DiscoverInstance => Box::pin(discovery::instance(permit, input, env)),
        Op::DiscoverUserRealm => Box::pin(discovery::user_realm(permit, input, env)),
        Op::IssueToken => Box::pin(entra::tokens::issue(permit, input, env)),
        Op::RequestDeviceCode => Box::pin(device_codes::request(permit, input, env)),
        Op::OpenSession => Box::pin(sessions::open(permit, input, env)),
        Op::ReadSession => Box::pin(sessions::read(permit, input, env)),
        Op::CloseSession => Box::pin(sessions::close(permit, input, env)),
        Op::ChangeOwnPassword => Box::pin(entra::users::change_own_password(permit, input, env)),
        Op::ReadAuthorization => Box::pin(codes::read(permit, input, env)),
        Op::IssueCode => Box::pin(codes::issue(permit, input, env)),
        Op::ReadDeviceRequest => Box::pin(device_codes::read(permit, input, env)),
        Op::AnswerDeviceRequest => Box::pin(device_codes::answer(permit, input, env)),
        Op::ListConditionalAccessPolicies => Box::pin(entry::list(permit, input, env)),
        Op::CreateConditionalAccessPolicy => Box::pin(entry::create(permit, input, env)),
        Op::GetConditionalAccessPolicy => Box::pin(entry::get(permit, input, env)),
        Op::PatchConditionalAccessPolicy => Box::pin(entry::patch(permit, input, env)),
        Op::DeleteConditionalAccessPolicy => Box::pin(entry::delete(permit, input, env)),
        Op::ListNamedLocations => Box::pin(named_locations::list(permit, input, env)),
        Op::CreateNamedLocation => Box::pin(named_locations::create(permit, input, env)),
        Op::GetNamedLocation => Box::pin(named_locations::get(permit, input, env)),
        Op::PatchNamedLocation => Box::pin(named_locations::patch(permit, input, env)),
        Op::DeleteNamedLocation => Box::pin(named_locations::delete(permit, input, env)),
        Op::ListTenants => Box::pin(resources::subscriptions::list_tenants(permit, input, env)),
        Op::ListSubscriptions => Box::pin(resources::subscriptions::list(permit, input, env)),
        Op::GetSubscription => Box::pin(resources::subscriptions::get(permit, input, env)),
        Op::ListLocations => Box::pin(resources::subscriptions::list_locations(permit, input, env)),
        Op::ListProviders => Box::pin(providers::list(permit, input, env)),
        Op::GetProvider => Box::pin(providers::get(permit, input, env)),
        Op::RegisterProvider => Box::pin(providers::register(permit, input, env)),
        Op::ListProviderOperations => Box::pin(providers::list_operations(permit, input, env)),
        Op::GetProviderOperations => Box::pin(providers::get_operations(permit, input, env)),
        Op::ListDevicesOperations => {
            Box::pin(providers::list_devices_operations(permit, input, env))
        }
        Op::PutResourceGroup | Op::PatchResourceGroup => {
            Box::pin(resources::groups::put(permit, input, env))
        }
        Op::GetResourceGroup => Box::pin(resources::groups::get(permit, input, env)),
        Op::HasResourceGroup => Box::pin(resources::groups::has(permit, input, env)),
        Op::ListResourceGroups => Box::pin(resources::groups::list(permit, input, env)),
        Op::DeleteResourceGroup => Box::pin(resources::groups::delete(permit, input, env)),
        Op::MoveResources | Op::ValidateMoveResources => {
            Box::pin(resources::moves::run(permit, input, env))
        }
        Op::ListResources => Box::pin(resources::groups::list_resources(permit, input, env)),
        Op::GetOperationResult => Box::pin(resources::long_running::get(permit, input, env)),
        Op::PutDeployment => Box::pin(deployments::put(permit, input, env)),
        Op::GetDeployment => Box::pin(deployments::get(permit, input, env)),
        Op::HasDeployment => Box::pin(deployments::has(permit, input, env)),
        Op::ListDeployments => Box::pin(deployments::list(permit, input, env)),
        Op::DeleteDeployment => Box::pin(deployments::delete(permit, input, env)),
        Op::ValidateDeployment => Box::pin(deployments::validate(permit, input, env)),
        Op::WhatIfDeployment => Box::pin(deployments::what_if(permit, input, env)),
        Op::CancelDeployment => Box::pin(deployments::cancel(permit, input, env)),
        Op::ListDeploymentOperations => Box::pin(deployments::list_operations(permit, input, env)),
        Op::GetDeploymentOperation => Box::pin(deployments::get_operation(permit, input, env)),
        Op::GetDeploymentStatus => Box::pin(deployments::status(permit, input, env)),
        Op::PutHub | Op::PatchHub => Box::pin(devices::hubs::put(permit, input, env)),
        Op::GetHub => Box::pin(devices::hubs::get(permit, input, env)),
        Op::ListHubs => Box::pin(devices::hubs::list(permit, input, env)),
        Op::DeleteHub => Box::pin(devices::hubs::delete(permit, input, env)),
        Op::ListHubKeys => Box::pin(devices::keys::list(permit, input, env)),
        Op::GetHubKey => Box::pin(devices::keys::get(permit, input, env)),
        Op::TestAllRoutes => Box::pin(devices::routing::trial::test_all(permit, input, env)),
        Op::TestRoute => Box::pin(devices::routing::trial::test(permit, input, env)),
        Op::ListEndpointHealth => Box::pin(devices::routing::trial::health(permit, input, env)),
        Op::ListHubCertificates | Op::ListDpsCertificates => {
            Box::pin(certificates::list(permit, input, env))
        }
        Op::GetHubCertificate | Op::GetDpsCertificate => {
            Box::pin(certificates::get(permit, input, env))
        }
        Op::PutHubCertificate | Op::PutDpsCertificate => {
            Box::pin(certificates::put(permit, input, env))
        }
        Op::DeleteHubCertificate | Op::DeleteDpsCertificate => {
            Box::pin(certificates::delete(permit, input, env))
        }
        Op::GenerateHubVerificationCode | Op::GenerateDpsVerificationCode => {
            Box::pin(certificates::generate_code(permit, input, env))
        }
        Op::VerifyHubCertificate | Op::VerifyDpsCertificate => {
            Box::pin(certificates::verify(permit, input, env))
        }
        Op::PutSecurityPolicy => Box::pin(devices::security::put(permit, input, env)),
        Op::GetSecurityPolicy => Box::pin(devices::security::get(permit, input, env)),
        Op::ListSecurityPolicies => Box::pin(devices::security::list(permit, input, env)),
        Op::DeleteSecurityPolicy => Box::pin(devices::security::delete(permit, input, env)),
        Op::PutSecuritySettings => Box::pin(devices::security::put_settings(permit, input, env)),
        Op::GetSecuritySettings => Box::pin(devices::security::get_settings(permit, input, env)),
        Op::ListSecuritySettings => Box::pin(devices::security::list_settings(permit, input, env)),
        Op::ListHubPrivateEndpoints | Op::ListDpsPrivateEndpoints => {
            Box::pin(private_endpoints::list(permit, input, env))
        }
        Op::GetHubPrivateEndpoint | Op::GetDpsPrivateEndpoint => {
            Box::pin(private_endpoints::get(permit, input, env))
        }
        Op::PutHubPrivateEndpoint | Op::PutDpsPrivateEndpoint => {
            Box::pin(private_endpoints::put(permit, input, env))
        }
        Op::DeleteHubPrivateEndpoint | Op::DeleteDpsPrivateEndpoint => {
            Box::pin(private_endpoints::delete(permit, input, env))
        }
        Op::GetUserDelegationKey => done(blobs::delegation::issue(permit, input, env)),
        Op::ListBlobContainers => Box::pin(blobs::containers::list(permit, input, env)),
        Op::CreateBlobContainer => Box::pin(blobs::containers::create(permit, input, env)),
        Op::GetBlobContainer => Box::pin(blobs::containers::get(permit, input, env)),
        Op::DeleteBlobContainer => Box::pin(blobs::containers::delete(permit, input, env)),
        Op::ListBlobs => Box::pin(blobs::list::list(permit, input, env)),
        Op::PutBlob | Op::CreateBlob => Box::pin(blobs::put::put(permit, input, env)),
        Op::AppendBlock => Box::pin(blobs::append::append(permit, input, env)),
        Op::PutBlock => Box::pin(blobs::blocks::put(permit, input, env)),
        Op::PutBlockList => Box::pin(blobs::blocks::commit(permit, input, env)),
        Op::GetBlockList => Box::pin(blobs::blocks::list(permit, input, env)),
        Op::GetBlob => Box::pin(blobs::read::get(permit, input, env)),
        Op::GetBlobProperties => Box::pin(blobs::read::properties(permit, input, env)),
        Op::SetBlobProperties => Box::pin(blobs::properties::set(permit, input, env)),
        Op::SetBlobMetadata => Box::pin(blobs::properties::set_metadata(permit, input, env)),
        Op::DeleteBlob => Box::pin(blobs::put::delete(permit, input, env)),
        Op::PutEventHubNamespace
        | Op::PatchEventHubNamespace
        | Op::PutEventHubNamespaceRule
        | Op::PutEventHubEntity
        | Op::PutEventHubEntityRule
        | Op::PutConsumerGroup
        | Op::PutServiceBusNamespace
        | Op::PatchServiceBusNamespace
        | Op::PutServiceBusNamespaceRule
        | Op::PutQueue
        | Op::PutQueueRule
        | Op::PutTopic
        | Op::PutTopicRule
        | Op::PutTopicSubscription
        | Op::PutStorageAccount
        | Op::PatchStorageAccount
        | Op::PutContainer => Box::pin(targets::put(permit, input, env)),
        Op::GetEventHubNamespace
        | Op::GetEventHubNamespaceRule
        | Op::GetEventHubEntity
        | Op::GetEventHubEntityRule
        | Op::GetConsumerGroup
        | Op::GetServiceBusNamespace
        | Op::GetServiceBusNamespaceRule
        | Op::GetQueue
        | Op::GetQueueRule
        | Op::GetTopic
        | Op::GetTopicRule
        | Op::GetTopicSubscription
        | Op::GetStorageAccount
        | Op::GetContainer => Box::pin(targets::get(permit, input, env)),
        Op::ListEventHubNamespaces | Op::ListServiceBusNamespaces | Op::ListStorageAccounts => {
            Box::pin(targets::list_top(permit, input, env))
        }
        Op::DeleteEventHubNamespace
        | Op::DeleteEventHubNamespaceRule
        | Op::DeleteEventHubEntity
        | Op::DeleteEventHubEntityRule
        | Op::DeleteConsumerGroup
        | Op::DeleteServiceBusNamespace
        | Op::DeleteServiceBusNamespaceRule
        | Op::DeleteQueue
        | Op::DeleteQueueRule
        | Op::DeleteTopic
        | Op::DeleteTopicRule
        | Op::DeleteTopicSubscription
        | Op::DeleteStorageAccount
        | Op::DeleteContainer => Box::pin(targets::delete(permit, input, env)),
        Op::CheckEventHubNamespaceName
        | Op::CheckServiceBusNamespaceName
        | Op::CheckStorageAccountName => Box::pin(targets::check_name(permit, input, env)),
        Op::ListEventHubNamespaceRules
        | Op::ListEventHubEntitys
        | Op::ListEventHubEntityRules
        | Op::ListConsumerGroups
        | Op::ListServiceBusNamespaceRules
        | Op::ListQueues
        | Op::ListQueueRules
        | Op::ListTopics
        | Op::ListTopicRules
        | Op::ListTopicSubscriptions
        | Op::ListContainers => Box::pin(targets::list(permit, input, env)),
        Op::ListEventHubNamespaceKeys
        | Op::ListEventHubEntityKeys
        | Op::ListServiceBusNamespaceKeys
        | Op::ListQueueKeys
        | Op::ListTopicKeys
        | Op::ListStorageKeys => Box::pin(targets::keys::list(permit, input, env)),
        Op::RegenerateEventHubNamespaceKey
        | Op::RegenerateEventHubEntityKey
        | Op::RegenerateServiceBusNamespaceKey
        | Op::RegenerateQueueKey
        | Op::RegenerateTopicKey
        | Op::RegenerateStorageKey => Box::pin(targets::keys::regenerate(permit, input, env)),
        Op::GetEventHubNetworkRules | Op::GetServiceBusNetworkRules => {
            Box::pin(targets::rules::get(permit, input, env))
        }
        Op::ListEventHubNetworkRules | Op::ListServiceBusNetworkRules => {
            Box::pin(targets::rules::list(permit, input, env))
        }
        Op::PutEventHubNetworkRules | Op::PutServiceBusNetworkRules => {
            Box::pin(targets::rules::put(permit, input, env))
        }
        Op::CheckHubName => Box::pin(devices::hubs::check_name(permit, input, env)),
        Op::PutRoleDefinition => Box::pin(roles::put_definition(permit, input, env)),
        Op::GetRoleDefinition => Box::pin(roles::get_definition(permit, input, env)),
        Op::ListRoleDefinitions => Box::pin(roles::list_definitions(permit, input, env)),
        Op::DeleteRoleDefinition => Box::pin(roles::delete_definition(permit, input, env)),
        Op::PutRoleAssignment => Box::pin(role_assignments::put(permit, input, env)),
        Op::GetRoleAssignment => Box::pin(role_assignments::get(permit, input, env)),
        Op::ListRoleAssignments => Box::pin(role_assignments::list(permit, input, env)),
        Op::DeleteRoleAssignment => Box::pin(role_assignments::delete(permit, input, env)),
        Op::PutDenyAssignment => Box::pin(deny_assignments::put(permit, input, env)),
        Op::GetDenyAssignment => Box::pin(deny_assignments::get(permit, input, env)),
        Op::ListDenyAssignments => Box::pin(deny_assignments::list(permit, input, env)),
        Op::DeleteDenyAssignment => Box::pin(deny_assignments::delete(permit, input, env)),
        Op::PutManagementGroup | Op::PatchManagementGroup => {
            Box::pin(management::put(permit, input, env))
        }
        Op::GetManagementGroup => Box::pin(management::get(permit, input, env)),
        Op::ListManagementGroups => Box::pin(management::list(permit, input, env)),
        Op::DeleteManagementGroup => Box::pin(management::delete(permit, input, env)),
        Op::CheckManagementGroupName => Box::pin(management::check_name(permit, input, env)),
        Op::ListEntities => Box::pin(management::lists::entities(permit, input, env)),
        Op::ListDescendants => Box::pin(management::lists::descendants(permit, input, env)),
        Op::PutManagementGroupSubscription => Box::pin(placements::put(permit, input, env)),
        Op::GetManagementGroupSubscription => Box::pin(placements::get(permit, input, env)),
        Op::ListManagementGroupSubscriptions => Box::pin(placements::list(permit, input, env)),
        Op::DeleteManagementGroupSubscription => Box::pin(placements::delete(permit, input, env)),
        Op::PutPolicyDefinition => Box::pin(policies::put_definition(permit, input, env)),
        Op::GetPolicyDefinition => Box::pin(policies::get_definition(permit, input, env)),
        Op::ListPolicyDefinitions => Box::pin(policies::list_definitions(permit, input, env)),
        Op::DeletePolicyDefinition => Box::pin(policies::delete_definition(permit, input, env)),
        Op::PutPolicySetDefinition => Box::pin(policy_sets::put(permit, input, env)),
        Op::GetPolicySetDefinition => Box::pin(policy_sets::get(permit, input, env)),
        Op::ListPolicySetDefinitions => Box::pin(policy_sets::list(permit, input, env)),
        Op::DeletePolicySetDefinition => Box::pin(policy_sets::delete(permit, input, env)),
        Op::PutPolicyAssignment | Op::PatchPolicyAssignment => {
            Box::pin(policies::put_assignment(permit, input, env))
        }
        Op::GetPolicyAssignment => Box::pin(policies::get_assignment(permit, input, env)),
        Op::ListPolicyAssignments => Box::pin(policies::list_assignments(permit, input, env)),
        Op::DeletePolicyAssignment => Box::pin(policies::delete_assignment(permit, input, env)),
        Op::PutPolicyExemption | Op::PatchPolicyExemption => {
            Box::pin(exemptions::put(permit, input, env))
        }
        Op::GetPolicyExemption => Box::pin(exemptions::get(permit, input, env)),
        Op::ListPolicyExemptions => Box::pin(exemptions::list(permit, input, env)),
        Op::DeletePolicyExemption => Box::pin(exemptions::delete(permit, input, env)),
        Op::IssueIdentityToken => Box::pin(managed_identity::tokens::issue(permit, input, env)),
        Op::PutUserAssignedIdentity | Op::PatchUserAssignedIdentity => {
            Box::pin(user_assigned::put(permit, input, env))
        }
        Op::GetUserAssignedIdentity => Box::pin(user_assigned::get(permit, input, env)),
        Op::ListUserAssignedIdentities => Box::pin(user_assigned::list(permit, input, env)),
        Op::DeleteUserAssignedIdentity => Box::pin(user_assigned::delete(permit, input, env)),
        Op::PutLock => Box::pin(locks::put(permit, input, env)),
        Op::GetLock => Box::pin(locks::get(permit, input, env)),
        Op::ListLocks => Box::pin(locks::list(permit, input, env)),
        Op::DeleteLock => Box::pin(locks::delete(permit, input, env)),
        Op::PutDiagnosticSetting => Box::pin(insights::settings::put(permit, input, env)),
        Op::GetDiagnosticSetting => Box::pin(insights::settings::get(permit, input, env)),
        Op::ListDiagnosticSettings => Box::pin(insights::settings::list(permit, input, env)),
        Op::DeleteDiagnosticSetting => Box::pin(insights::settings::delete(permit, input, env)),
        Op::ListDiagnosticCategories => {
            Box::pin(insights::settings::list_categories(permit, input, env))
        }
        Op::ListActivity => Box::pin(insights::activity::list(permit, input, env)),
        Op::QueryPolicyStates => Box::pin(policy_insights::states::query(permit, input, env)),
        Op::SummarizePolicyStates => {
            Box::pin(policy_insights::states::summarize(permit, input, env))
        }
        Op::TriggerPolicyEvaluation => {
            Box::pin(policy_insights::states::trigger(permit, input, env))
        }
        Op::GetDecision | Op::GetOwnDecision => Box::pin(questions::get(permit, input, env)),
        Op::GetPulse => Box::pin(metrics::pulse::pulse(permit, input, env)),
        Op::AskDecision => Box::pin(questions::ask(permit, input, env)),
        Op::AskWhoCan => Box::pin(who_can::ask(permit, input, env)),
        Op::AskWhatIf => Box::pin(what_if::ask(permit, input, env)),
        Op::AskAdvice => Box::pin(advise::ask(permit, input, env)),
        Op::AskLocalAuth => Box::pin(local_auth::ask(permit, input, env)),
        Op::AskWhoIsHit => Box::pin(who_is_hit::ask(permit, input, env)),
        Op::AskLint => Box::pin(lint::ask(permit, input, env)),
        Op::AskAccess | Op::AskOwnAccess => Box::pin(access::ask(permit, input, env)),
        Op::DiagnoseProvisioning => Box::pin(diagnose::diagnose(permit, input, env)),
        Op::DiagnoseIngestion => Box::pin(diagnose::ingestion::diagnose(permit, input, env)),
        Op::ListApplications => Box::pin(entra::applications::list(permit, input, env)),
        Op::CreateApplication => Box::pin(entra::applications::create(permit, input, env)),
        Op::GetApplication => Box::pin(entra::applications::get(permit, input, env)),
        Op::PatchApplication => Box::pin(entra::applications::patch(permit, input, env)),
        Op::DeleteApplication => Box::pin(entra::applications::delete(permit, input, env)),
        Op::AddPassword => Box::pin(entra::applications::add_password(permit, input, env)),
        Op::RemovePassword => Box::pin(entra::applications::remove_password(permit, input, env)),
        Op::ListFederatedCredentials => Box::pin(entra::federated::list(permit, input, env)),
        Op::CreateFederatedCredential => Box::pin(entra::federated::create(permit, input, env)),
        Op::GetFederatedCredential => Box::pin(entra::federated::get(permit, input, env)),
        Op::PatchFederatedCredential => Box::pin(entra::federated::patch(permit, input, env)),
        Op::DeleteFederatedCredential => Box::pin(entra::federated::delete(permit, input, env)),
        Op::ListServicePrincipals => Box::pin(entra::principals::list(permit, input, env)),
        Op::CreateServicePrincipal => Box::pin(entra::principals::create(permit, input, env)),
        Op::GetServicePrincipal => Box::pin(entra::principals::get(permit, input, env)),
        Op::PatchServicePrincipal => Box::pin(entra::principals::patch(permit, input, env)),
        Op::DeleteServicePrincipal => Box::pin(entra::principals::delete(permit, input, env)),
        Op::GetDirectoryObjects => Box::pin(entra::principals::get_by_ids(permit, input, env)),
        Op::ListUsers => Box::pin(entra::users::list(permit, input, env)),
        Op::CreateUser => Box::pin(entra::users::create(permit, input, env)),
        Op::GetUser => Box::pin(entra::users::get(permit, input, env)),
        Op::PatchUser => Box::pin(entra::users::patch(permit, input, env)),
        Op::DeleteUser => Box::pin(entra::users::delete(permit, input, env)),
        Op::RevokeSignIns => Box::pin(entra::users::revoke(permit, input, env)),
        Op::GetMe => Box::pin(entra::users::get_me(permit, input, env)),
        Op::ListGroups => Box::pin(entra::groups::list(permit, input, env)),
        Op::CreateGroup => Box::pin(entra::groups::create(permit, input, env)),
        Op::GetGroup => Box::pin(entra::groups::get(permit, input, env)),
        Op::PatchGroup => Box::pin(entra::groups::patch(permit, input, env)),
        Op::DeleteGroup => Box::pin(entra::groups::delete(permit, input, env)),
        Op::ListGroupMembers => Box::pin(members::list(permit, input, env)),
        Op::AddGroupMember => Box::pin(members::add(permit, input, env)),
        Op::RemoveGroupMember => Box::pin(members::remove(permit, input, env)),
        Op::ListMemberOf => Box::pin(members::list_groups_of(permit, input, env, false)),
        Op::ListTransitiveMemberOf => Box::pin(members::list_groups_of(permit, input, env, true)),
        Op::CheckMemberGroups => Box::pin(members::check_groups(permit, input, env)),
        Op::GetMemberGroups => Box::pin(members::get_groups(permit, input, env)),
        Op::GetOrganization => Box::pin(entra::tenant::get_organization(permit, input, env)),
        Op::PutDevice => Box::pin(devices::registry::put(permit, input, env)),
        Op::GetDevice => Box::pin(devices::registry::get(permit, input, env)),
        Op::DeleteDevice => Box::pin(devices::registry::delete(permit, input, env)),
        Op::ListDevices => Box::pin(devices::registry::list(permit, input, env)),
        Op::BulkDevices | Op::BulkDevicesWithTwins | Op::ImportEntries | Op::ImportEntriesOfHub => {
            Box::pin(devices::bulk::bulk(permit, input, env))
        }
        Op::RegenerateKeys => Box::pin(devices::regenerate::regenerate(permit, input, env)),
        Op::QueryDevices | Op::QueryDeviceJobs => {
            Box::pin(devices::queries::query(permit, input, env))
        }
        Op::ListRoleDefinitionRevisions
        | Op::ListRoleAssignmentRevisions
        | Op::ListPolicyDefinitionRevisions
        | Op::ListPolicySetDefinitionRevisions
        | Op::ListPolicyAssignmentRevisions
        | Op::ListPolicyExemptionRevisions => Box::pin(revisions::list(permit, input, env)),
        Op::ListRoleAssignmentHistory => Box::pin(role_assignments::history(permit, input, env)),
        Op::PutDps | Op::PatchDps => Box::pin(provisioning::services::put(permit, input, env)),
        Op::GetDps => Box::pin(provisioning::services::get(permit, input, env)),
        Op::ListDps => Box::pin(provisioning::services::list(permit, input, env)),
        Op::DeleteDps => Box::pin(provisioning::services::delete(permit, input, env)),
        Op::ListDpsKeys => Box::pin(provisioning::services::list_keys(permit, input, env)),
        Op::GetDpsKey => Box::pin(provisioning::services::get_key(permit, input, env)),
        Op::CheckDpsName => Box::pin(provisioning::services::check_name(permit, input, env)),
        Op::PutEnrollment | Op::PutEnrollmentGroup => {
            Box::pin(provisioning::enrollments::put(permit, input, env))
        }
        Op::GetEnrollment | Op::GetEnrollmentGroup => {
            Box::pin(provisioning::enrollments::get(permit, input, env))
        }
        Op::DeleteEnrollment | Op::DeleteEnrollmentGroup => {
            Box::pin(provisioning::enrollments::delete(permit, input, env))
        }
        Op::QueryEnrollments | Op::QueryEnrollmentGroups => {
            Box::pin(provisioning::enrollments::query(permit, input, env))
        }
        Op::GetEnrollmentKeys | Op::GetEnrollmentGroupKeys => {
            Box::pin(provisioning::enrollments::keys(permit, input, env))
        }
        Op::BulkEnrollments
        | Op::BulkDeleteEnrollments
        | Op::BulkEnrollmentGroups
        | Op::BulkDeleteEnrollmentGroups => Box::pin(provisioning::bulk::run(permit, input, env)),
        Op::QueryRegistrations => Box::pin(provisioning::registrations::query(permit, input, env)),
        Op::GetRegistration => Box::pin(provisioning::registrations::get(permit, input, env)),
        Op::DeleteRegistration => Box::pin(provisioning::registrations::delete(permit, input, env)),
        Op::RegisterDevice => Box::pin(provisioning::register::register(permit, input, env)),
        Op::GetRegistrationOperation => {
            Box::pin(provisioning::progress::operation_status(permit, input, env))
        }
        Op::LookUpRegistration => Box::pin(provisioning::progress::look_up(permit, input, env)),
        Op::ProvisionDevice | Op::ProvisionDeviceWithTwin => {
            Box::pin(devices::registry::provision(permit, input, env))
        }
        Op::ConnectToRegister => done(provisioning::progress::connect(permit, input, env)),
        Op::PutModule => Box::pin(devices::registry::put(permit, input, env)),
        Op::GetModule => Box::pin(devices::registry::get(permit, input, env)),
        Op::DeleteModule => Box::pin(devices::registry::delete(permit, input, env)),
        Op::GetDeviceStory => Box::pin(devices::story::tell(permit, input, env)),
        Op::ListModules => Box::pin(devices::registry::list_modules(permit, input, env)),
        Op::GetTwin => Box::pin(devices::twins::get(permit, input, env)),
        Op::PatchTwin | Op::ReplaceTwin => Box::pin(devices::twins::put(permit, input, env)),
        Op::InvokeMethod => Box::pin(devices::methods::invoke(permit, input, env)),
        Op::GetDigitalTwin => Box::pin(devices::digital_twins::get(permit, input, env)),
        Op::PatchDigitalTwin => Box::pin(devices::digital_twins::patch(permit, input, env)),
        Op::InvokeCommand => Box::pin(devices::digital_twins::command(permit, input, env)),
        Op::PutJob => Box::pin(devices::jobs::put(permit, input, env)),
        Op::CreateTransfer => Box::pin(devices::transfers::create(permit, input, env)),
        Op::GetTransfer => Box::pin(devices::transfers::get(permit, input, env)),
        Op::ListTransfers => Box::pin(devices::transfers::list(permit, input, env)),
        Op::CancelTransfer => Box::pin(devices::transfers::cancel(permit, input, env)),
        Op::ExportDevices | Op::ImportDevices => {
            Box::pin(devices::transfers::create_of_hub(permit, input, env))
        }
        Op::ListHubJobs => Box::pin(devices::transfers::list_of_hub(permit, input, env)),
        Op::GetHubJob => Box::pin(devices::transfers::get_of_hub(permit, input, env)),
        Op::GetJob => Box::pin(devices::jobs::get(permit, input, env)),
        Op::CancelJob => Box::pin(devices::jobs::cancel(permit, input, env)),
        Op::QueryJobs => Box::pin(devices::jobs::list(permit, input, env)),
        Op::PutConfiguration => Box::pin(devices::configurations::put(permit, input, env)),
        Op::GetConfiguration => Box::pin(devices::configurations::get(permit, input, env)),
        Op::ListConfigurations => Box::pin(devices::configurations::list(permit, input, env)),
        Op::DeleteConfiguration => Box::pin(devices::configurations::delete(permit, input, env)),
        Op::TestConfigurationQueries => done(devices::configurations::test_queries(input)),
        Op::ApplyConfiguration => {
            Box::pin(devices::configurations::apply_content(permit, input, env))
        }
        Op::SendMessage => Box::pin(devices::sending::send(permit, input, env)),
        Op::ReceiveFeedback | Op::ReceiveFileNotification => {
            Box::pin(devices::service_queues::take(permit, env))
        }
        Op::CompleteFeedback
        | Op::AbandonFeedback
        | Op::CompleteFileNotification
        | Op::AbandonFileNotification => Box::pin(devices::service_queues::end(permit, input, env)),
        Op::SendTelemetry => Box::pin(devices::by_https::send(permit, input, env)),
        Op::BeginUpload => Box::pin(devices::uploads::begin(permit, input, env)),
        Op::EndUpload => Box::pin(devices::uploads::end(permit, input, env)),
        Op::ReceiveMessages => Box::pin(devices::by_https::receive(permit, input, env)),
        Op::CompleteMessage | Op::AbandonMessage => {
            Box::pin(devices::by_https::settle(permit, input, env))
        }
        Op::PurgeMessages => Box::pin(devices::messages::purge(permit, input, env)),
        Op::GetDeviceStatistics => Box::pin(devices::registry::statistics(permit, input, env)),
        Op::GetServiceStatistics => {
            Box::pin(devices::registry::service_statistics(permit, input, env))
        }
        // The gates have said yes, which is all that was asked.
        Op::ConnectService
        | Op::ConnectToEvents
        | Op::ConnectToEventHub
        | Op::ConnectToServiceBus => done(Ok(Reply::empty(200))),
        Op::FindEvents => done(devices::events::find(permit, input, env)),
        Op::GetEventHub => Box::pin(devices::events::get_hub(permit, input, env)),
        Op::GetEventHubPartition => Box::pin(devices::events::get_partition(permit, input, env)),
        Op::DescribeEventHub => done(targets::event_hubs::describe(permit, input, env)),
        Op::DescribePartition => Box::pin(targets::event_hubs::partition(permit, input, env)),
        Op::PeekMessages => Box::pin(targets::service_bus::peek(permit, input, env)),
        Op::RenewMessageLock => done(targets::service_bus::renew(permit, input, env)),
        Op::SettleMessage => Box::pin(targets::service_bus::settle(permit, input, env)),
        Op::WatchEvents => Box::pin(devices::watching::watch(permit, input, env)),
        Op::WatchDeviceEvents => Box::pin(devices::watching::watch_device(permit, input, env)),
        // Whoever connects gets a session, and the session does what its device asks: `session.rs`; whoever reads
        // gets a reader. What is only published has no address to be called at.
        Op::ConnectDevice
        | Op::GetOwnTwin
        | Op::ReportProperties
        | Op::ReceiveDesired
        | Op::ReceiveMethods
        | Op::ReadEvents
        | Op::SendEvents
        | Op::ReceiveEvents
        | Op::SendToEntity
        | Op::ReceiveFromEntity
        | Op::Published => done(Err(Error::Internal {
            message: format!("{} has no answer outside a session", permit.operation().name()),
        })),
    }
}
