//! Endpoints, routes, enrichments and messages that arrive, with the unmodified CLI.

use super::az::{Az, binary, text};
use testkit::Process;

/// The first value and what stands behind it.
fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[test]
fn az_makes_endpoints_and_routes_and_tries_them() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let group = connection.get("HUBWARD_RESOURCE_GROUP").unwrap().to_owned();
    let hub = connection.get("HUBWARD_HUB").unwrap().to_owned();
    let run = |line: &str| az.run(&words(line));
    let at = format!("--hub-name {hub} --resource-group {group}");
    let namespace = format!("--resource-group {group} --namespace-name plant-events");
    run(&format!(
        "eventhubs namespace create --name plant-events --resource-group {group} --location westus"
    ))
    .json();
    run(&format!("eventhubs eventhub create --name telemetry {namespace} --partition-count 1"))
        .json();
    let keys = run(&format!("eventhubs namespace authorization-rule keys list --name RootManageSharedAccessKey {namespace}")).json();
    let string = format!("{};EntityPath=telemetry", text(&keys, "/primaryConnectionString"));
    let subscription = connection.get("HUBWARD_SUBSCRIPTION_ID").unwrap().to_owned();

    let place =
        format!("--endpoint-resource-group {group} --endpoint-subscription-id {subscription}");
    let made = run(&format!(
        "iot hub routing-endpoint create {at} --endpoint-name far --endpoint-type eventhub {place} --connection-string {string}"
    ))
    .json();
    assert_eq!(text(&made, "/eventHubs/0/name"), "far", "{made}");
    let endpoint = &run(&format!("iot hub routing-endpoint show {at} --endpoint-name far")).json();
    assert_eq!(text(endpoint, "/authenticationType"), "keyBased", "{endpoint}");
    assert!(text(endpoint, "/connectionString").contains("SharedAccessKey=****"), "{endpoint}");
    let taken = run(&format!(
        "iot hub routing-endpoint create {at} --endpoint-name FAR --endpoint-type servicebusqueue {place} --connection-string {string}"
    ));
    assert!(taken.refused().contains("of whichever kind"));

    let condition = "level = 'high'";
    let create = format!(
        "iot hub route create {at} --route-name high --source-type DeviceMessages --endpoint-name far --enabled true --condition"
    );
    let mut create = words(&create);
    create.push(condition);
    az.run(&create).json();
    create[6] = "broken";
    let last = create.len() - 1;
    create[last] = "level >";
    let broken = az.run(&create);
    assert_ne!(broken.status, 0, "{}", broken.out);
    let shown = run(&format!("iot hub route show {at} --route-name high")).json();
    assert_eq!(text(&shown, "/condition"), condition);
    let all = run(&format!("iot hub route test {at} --source-type DeviceMessages --app-properties {{\"level\":\"high\"}}")).json();
    assert_eq!(text(&all, "/routes/0/properties/name"), "high", "{all}");
    let one = run(&format!(
        "iot hub route test {at} --route-name high --app-properties {{\"level\":\"low\"}}"
    ))
    .json();
    assert_eq!(text(&one, "/result"), "false", "{one}");
    let updated =
        run(&format!("iot hub route update {at} --route-name high --enabled false")).json();
    assert!(updated.to_string().contains("high"), "{updated}");

    run(&format!("iot hub message-enrichment create --name {hub} --resource-group {group} --key site --value $twin.tags.site --endpoints events far")).json();
    let enrichments =
        run(&format!("iot hub message-enrichment list --name {hub} --resource-group {group}"))
            .json();
    assert_eq!(text(&enrichments, "/0/value"), "$twin.tags.site");

    // By its own identity from here on, once that has the role.
    run(&format!(
        "iot hub identity assign --name {hub} --resource-group {group} --system-assigned"
    ))
    .json();
    let id = format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}"
    );
    let shown = run(&format!("resource show --ids {id}")).json();
    let principal = text(&shown, "/identity/principalId").to_owned();
    let scope = format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/plant-events"
    );
    let host = string.split(';').next().unwrap().trim_start_matches("Endpoint=").to_owned();
    let change = format!(
        "resource update --ids {id} --set properties.routing.endpoints.eventHubs[0].authenticationType=identityBased \
         properties.routing.endpoints.eventHubs[0].endpointUri={host} properties.routing.endpoints.eventHubs[0].entityPath=telemetry"
    );
    let refused = run(&change).refused();
    assert!(refused.contains("Azure Event Hubs Data Sender"), "{refused}");
    let mut assign = words(
        "role assignment create --assignee-principal-type ServicePrincipal --assignee-object-id",
    );
    assign.extend([
        principal.as_str(),
        "--role",
        "Azure Event Hubs Data Sender",
        "--scope",
        scope.as_str(),
    ]);
    az.run(&assign).json();
    let changed = run(&change).json();
    let after = &changed["properties"]["routing"]["endpoints"]["eventHubs"][0];
    assert_eq!(text(after, "/authenticationType"), "identityBased", "{after}");
    assert_eq!(text(after, "/id"), text(endpoint, "/id"));

    run(&format!("iot hub route delete {at} --route-name high")).json();
    run(&format!(
        "iot hub message-enrichment delete --name {hub} --resource-group {group} --key site"
    ))
    .json();
    let gone = run(&format!("iot hub routing-endpoint delete {at} --endpoint-name far")).json();
    assert_eq!(gone["eventHubs"].as_array().map(Vec::len), Some(0), "{gone}");
}
