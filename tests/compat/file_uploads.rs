//! Files that devices upload, with the unmodified clients: the device's, the storage's, and a service that hears of it.

use super::az::{Az, binary, text};
use super::clients::Client;
use serde_json::json;
use testkit::Process;

/// S3-24: the device client asks for an address, puts its file there and says so; S3-22: what the command line sets of
/// it is followed.
#[test]
fn devices_upload_files_with_their_own_clients() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let group = connection.get("HUBWARD_RESOURCE_GROUP").unwrap();
    let hub = connection.hub().unwrap();
    let run = |words: &str| az.run(&words.split(' ').collect::<Vec<_>>());
    run(&format!("storage account create --name plantfiles --resource-group {group} --location westus --sku Standard_LRS")).json();
    let keys = run(&format!(
        "storage account keys list --account-name plantfiles --resource-group {group}"
    ))
    .json();
    let string = format!(
        "DefaultEndpointsProtocol=https;AccountName=plantfiles;AccountKey={};EndpointSuffix=core.windows.net",
        text(&keys, "/0/value")
    );
    run(&format!("storage container-rm create --storage-account plantfiles --resource-group {group} --name uploads")).json();
    let updated = run(&format!(
        "iot hub update --name {hub} --fileupload-storage-connectionstring {string} \
         --fileupload-storage-container-name uploads --fileupload-notifications true \
         --fileupload-sas-ttl 2 --fileupload-notification-max-delivery-count 7 --fileupload-notification-ttl 3"
    ))
    .json();
    let storage = &updated["properties"]["storageEndpoints"]["$default"];
    assert_eq!(
        (&storage["containerName"], &storage["sasTtlAsIso8601"]),
        (&json!("uploads"), &json!("2:00:00"))
    );
    let told = &updated["properties"]["messagingEndpoints"]["fileNotifications"];
    assert_eq!((&told["maxDeliveryCount"], &told["ttlAsIso8601"]), (&json!(7), &json!("3:00:00")));

    assert_eq!(updated["properties"]["enableFileUploadNotifications"], true);

    let device = connection.get("HUBWARD_DEVICE_CONNECTION_STRING").unwrap();
    let ca_file = connection.ca_file();
    let mut python = Client::python_device(device, ca_file, "mqtt");
    python.connects();
    assert_eq!(
        python.does("upload logs/by-python.txt one two")["blob"],
        "device-1/logs/by-python.txt"
    );
    let mut node = Client::node_device(device, ca_file, "mqtt");
    node.does("connect");
    node.does("upload logs/by-node.txt three");

    let as_service = connection.get("HUBWARD_HUB_CONNECTION_STRING").unwrap();
    let mut messenger = Client::node_messenger(as_service, ca_file);
    messenger.does("connect");
    for (name, bytes) in [("by-python", 7), ("by-node", 5)] {
        let said = messenger.does("file")["file"].clone();
        assert_eq!(said["blobName"], format!("device-1/logs/{name}.txt"), "{said}");
        assert_eq!(said["blobSizeInBytes"], bytes, "{said}");
    }
}
