use super::*;
use std::collections::BTreeSet;

#[test]
fn every_operation_has_one_row_and_no_two_share_an_address() {
    let mut seen = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for row in OPERATIONS {
        assert!(seen.insert(row.op), "{:?} stands twice", row.op);
        assert!(!row.says.is_empty(), "{:?}", row.op);
        let inner = [
            Op::GetOwnDecision,
            Op::AskOwnAccess,
            Op::BulkDevicesWithTwins,
            Op::ImportEntries,
            Op::ImportEntriesOfHub,
            Op::QueryDeviceJobs,
            Op::BulkDeleteEnrollments,
            Op::BulkDeleteEnrollmentGroups,
            Op::ProvisionDevice,
            Op::ProvisionDeviceWithTwin,
            Op::CreateBlob,
        ];
        assert_eq!(row.routes.is_empty(), inner.contains(&row.op), "{:?}", row.op);
        for route in row.routes {
            let key =
                (format!("{:?}", route.surface), route.method, route.path.to_ascii_lowercase());
            assert!(addresses.insert(key), "{:?} shares {route:?}", row.op);
        }
    }
}

#[test]
fn every_operation_is_found_by_its_number_and_by_its_name() {
    for row in OPERATIONS {
        assert_eq!(operation(row.op).op, row.op);
        assert_eq!(named(&row.name()).map(|it| it.op), Some(row.op));
    }
    assert!(named("PutDevices").is_none());
}

#[test]
fn policy_judges_writes_and_deletions_but_not_what_it_could_lock_out() {
    for row in OPERATIONS {
        let does = |verb: &str| row.actions.iter().any(|it| it.ends_in(verb));
        let is_policy = row.actions.iter().any(|it| it.as_str().starts_with(POLICIES));
        let is_kept = !matches!(row.plane, Plane::Control | Plane::Service)
            || is_policy
            || matches!(row.op, Op::DeleteLock | Op::DeleteDenyAssignment);
        let moves = matches!(row.op, Op::MoveResources | Op::ValidateMoveResources);
        let expected = (does("write") || does("delete") || moves) && !is_kept;
        assert_eq!(row.is_judged_by_policy(), expected, "{:?}", row.op);
    }
    for op in [Op::PutLock, Op::DeleteDevice, Op::BulkDevices, Op::DeleteRoleAssignment] {
        assert!(operation(op).is_judged_by_policy(), "{op:?}");
    }
}

#[test]
fn only_services_and_devices_of_a_hub_use_keys_and_services_name_a_policy_object() {
    for row in OPERATIONS {
        let is_device = row.plane == Plane::Device && row.surface() == Surface::Hub;
        // Only who is somebody can have others act as it.
        let is_key = row.op == Op::GetUserDelegationKey;
        let has_keys = (row.plane == Plane::Service && !is_key) || is_device;
        assert_eq!(has_keys, !row.sas.is_empty(), "{:?}", row.op);
        assert!(!is_device || row.sas == [Right::DeviceConnect], "{:?}", row.op);
        // What an import from the control plane writes is judged as devices are.
        let is_of_data = row.plane == Plane::Service || row.op == Op::ImportEntriesOfHub;
        assert!(row.object.is_none() || is_of_data, "{:?}", row.op);
        // Keys alone, or whoever is signed in: what a link leads to is asked when it is attached.
        let needs_none = row.is_built_in_endpoint()
            || matches!(
                row.op,
                Op::ConnectService
                    | Op::ConnectToEventHub
                    | Op::ConnectToServiceBus
                    | Op::DescribeEventHub
            );
        let has_none = row.plane == Plane::Service && row.actions.is_empty();
        assert_eq!(has_none, needs_none, "{:?}", row.op);
    }
}

#[test]
fn rights_are_read_and_written_in_their_wire_form() {
    let rights = Right::parse_list("ServiceConnect,RegistryRead", Right::HUB).unwrap();
    assert_eq!(Right::join(&rights), "RegistryRead, ServiceConnect");
    assert_eq!(Right::parse_list("RegistryRead, Everything", Right::HUB), None);
    assert_eq!(Right::parse_list("", Right::HUB), None);
    assert!(Right::RegistryWrite.covers(Right::RegistryRead));
    assert!(!Right::RegistryRead.covers(Right::RegistryWrite));
}
