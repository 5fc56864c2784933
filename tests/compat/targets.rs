//! What hubs send to, with the unmodified CLI: namespaces, what lies in them, their keys and network rules, storage
//! accounts.

use super::az::{Az, binary, text};
use super::clients::Client;
use serde_json::{Value, json};
use testkit::Process;

fn started() -> (tempfile::TempDir, Process, Az) {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    (home, server, az)
}

#[test]
fn az_makes_event_hubs_and_lists_their_keys() {
    let (_home, server, az) = started();
    let group = server.connection().get("HUBWARD_RESOURCE_GROUP").unwrap().to_owned();
    let run = |words: &str| az.run(&words.split(' ').collect::<Vec<_>>());
    let at = format!("--resource-group {group} --namespace-name plant-events");
    let made = run(&format!("eventhubs namespace create --name plant-events --resource-group {group} --location westus --sku Standard")).json();
    assert_eq!(text(&made, "/provisioningState"), "Succeeded");
    let shown =
        run(&format!("eventhubs namespace show --name plant-events --resource-group {group}"))
            .json();
    assert_eq!(text(&shown, "/sku/name"), "Standard");
    assert_eq!(
        run(&format!("eventhubs namespace list --resource-group {group}"))
            .json()
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let hub =
        run(&format!("eventhubs eventhub create --name telemetry {at} --partition-count 2")).json();
    assert_eq!(hub["partitionIds"].as_array().map(Vec::len), Some(2));
    run(&format!(
        "eventhubs eventhub consumer-group create --name readers --eventhub-name telemetry {at}"
    ))
    .json();
    let groups =
        run(&format!("eventhubs eventhub consumer-group list --eventhub-name telemetry {at}"))
            .json();
    assert_eq!((text(&groups, "/0/name"), text(&groups, "/1/name")), ("$Default", "readers"));
    run(&format!("eventhubs namespace authorization-rule create --name sender {at} --rights Send"))
        .json();
    let keys =
        run(&format!("eventhubs namespace authorization-rule keys list --name sender {at}")).json();
    assert!(
        text(&keys, "/primaryConnectionString").contains("SharedAccessKeyName=sender"),
        "{keys}"
    );
    let renewed = run(&format!(
        "eventhubs namespace authorization-rule keys renew --name sender {at} --key PrimaryKey"
    ))
    .json();
    assert_ne!(keys["primaryKey"], renewed["primaryKey"]);
    run(&format!("eventhubs eventhub authorization-rule create --name own --eventhub-name telemetry {at} --rights Listen Send")).json();
    let own = run(&format!(
        "eventhubs eventhub authorization-rule keys list --name own --eventhub-name telemetry {at}"
    ))
    .json();
    assert!(text(&own, "/primaryConnectionString").ends_with(";EntityPath=telemetry"), "{own}");
    let rules = run(&format!("eventhubs namespace network-rule-set update {at} --default-action Deny --enable-trusted-service-access true")).json();
    assert_eq!(text(&rules, "/defaultAction"), "Deny");
    let rules = run(&format!("eventhubs namespace network-rule-set ip-rule add {at} --ip-rule ip-address=10.1.0.0/16 action=Allow")).json();
    assert_eq!(text(&rules, "/ipRules/0/ipMask"), "10.1.0.0/16");
    let gone =
        run(&format!("eventhubs namespace delete --name plant-events --resource-group {group}"));
    assert_eq!(gone.status, 0, "{}", gone.err);
    assert_eq!(
        run(&format!("eventhubs namespace list --resource-group {group}"))
            .json()
            .as_array()
            .map(Vec::len),
        Some(0)
    );
}

#[test]
fn az_makes_queues_topics_and_subscriptions() {
    let (_home, server, az) = started();
    let group = server.connection().get("HUBWARD_RESOURCE_GROUP").unwrap().to_owned();
    let run = |words: &str| az.run(&words.split(' ').collect::<Vec<_>>());
    let at = format!("--resource-group {group} --namespace-name plant-bus");
    run(&format!("servicebus namespace create --name plant-bus --resource-group {group} --location westus --disable-local-auth true")).json();
    let shown =
        run(&format!("servicebus namespace show --name plant-bus --resource-group {group}")).json();
    assert_eq!(shown["disableLocalAuth"], true);
    let queue =
        run(&format!("servicebus queue create --name orders {at} --max-delivery-count 3")).json();
    assert_eq!(queue["maxDeliveryCount"], 3);
    run(&format!("servicebus topic create --name alarms {at}")).json();
    run(&format!("servicebus topic subscription create --name night --topic-name alarms {at}"))
        .json();
    let listed =
        run(&format!("servicebus topic subscription list --topic-name alarms {at}")).json();
    assert_eq!(text(&listed, "/0/name"), "night");
    run(&format!("servicebus queue authorization-rule create --name own --queue-name orders {at} --rights Send")).json();
    let keys = run(&format!(
        "servicebus queue authorization-rule keys list --name own --queue-name orders {at}"
    ))
    .json();
    assert!(text(&keys, "/primaryConnectionString").ends_with(";EntityPath=orders"), "{keys}");
    let rules = run(&format!(
        "servicebus namespace network-rule-set update {at} --public-network-access Disabled"
    ))
    .json();
    assert_eq!(text(&rules, "/publicNetworkAccess"), "Disabled");
    let gone = run(&format!("servicebus queue delete --name orders {at}"));
    assert_eq!(gone.status, 0, "{}", gone.err);
}

#[test]
fn az_makes_a_storage_account_and_closes_it() {
    let (_home, server, az) = started();
    let group = server.connection().get("HUBWARD_RESOURCE_GROUP").unwrap().to_owned();
    let run = |words: &str| az.run(&words.split(' ').collect::<Vec<_>>());
    let at = format!("--resource-group {group}");
    let made = run(&format!(
        "storage account create --name plantblobs {at} --location westus --sku Standard_LRS"
    ))
    .json();
    assert_eq!(text(&made, "/provisioningState"), "Succeeded");
    assert_eq!(
        text(&run(&format!("storage account show --name plantblobs {at}")).json(), "/kind"),
        "StorageV2"
    );
    let keys = run(&format!("storage account keys list --account-name plantblobs {at}")).json();
    let renewed =
        run(&format!("storage account keys renew --account-name plantblobs {at} --key primary"))
            .json();
    assert_ne!(keys[0]["value"], renewed[0]["value"]);
    assert_eq!(keys[1]["value"], renewed[1]["value"]);
    let closed = run(&format!(
        "storage account update --name plantblobs {at} --default-action Deny --bypass AzureServices"
    ))
    .json();
    assert_eq!(text(&closed, "/networkRuleSet/defaultAction"), "Deny");
    assert_eq!(text(&closed, "/networkRuleSet/bypass"), "AzureServices");
    let added = run(&format!(
        "storage account network-rule add --account-name plantblobs {at} --ip-address 10.1.0.0/16"
    ))
    .json();
    assert_eq!(text(&added, "/networkRuleSet/ipRules/0/ipAddressOrRange"), "10.1.0.0/16");
    let free = run("storage account check-name --name plantblobs").json();
    assert_eq!(free["nameAvailable"], false);
    let gone = run(&format!("storage account delete --name plantblobs {at} --yes"));
    assert_eq!(gone.status, 0, "{}", gone.err);
}

/// S2-48: an event hub of one's own takes access tokens, of who holds the data role and of nobody else.
#[test]
fn event_hubs_are_sent_to_and_read_by_their_own_clients() {
    let (_home, server, az) = started();
    let connection = server.connection();
    let group = connection.get("HUBWARD_RESOURCE_GROUP").unwrap();
    let run = |words: &str| az.run(&words.split(' ').collect::<Vec<_>>());
    let at = format!("--resource-group {group} --namespace-name plant-events");
    let made = run(&format!(
        "eventhubs namespace create --name plant-events --resource-group {group} --location westus"
    ))
    .json();
    let endpoint = text(&made, "/serviceBusEndpoint").trim_start_matches("https://");
    let host = endpoint.split(':').next().unwrap();
    let event_hub =
        run(&format!("eventhubs eventhub create --name telemetry {at} --partition-count 2")).json();
    run(&format!(
        "eventhubs eventhub consumer-group create --name readers --eventhub-name telemetry {at}"
    ))
    .json();
    let keys = run(&format!(
        "eventhubs namespace authorization-rule keys list --name RootManageSharedAccessKey {at}"
    ))
    .json();

    let string = text(&keys, "/primaryConnectionString");
    let by_key = [("EVENT_HUB_CONNECTION_STRING", string)];
    for (mut client, first) in
        Client::event_hub(&server, "telemetry", &by_key).into_iter().zip([0, 2])
    {
        let options = json!({ "key": "pump", "properties": { "level": "3" } });
        let partitions = client.calls("send", &[json!(["one", "two"]), options]);
        assert_eq!(partitions, json!(["0", "1"]));
        let heard = client.calls("read", &[json!(first + 2), json!("readers")]);
        let heard = &heard.as_array().unwrap()[first..];
        let told = |it: &Value| (it["body"].clone(), it["sequence"].clone(), it["key"].clone());
        assert_eq!(told(&heard[0]), (json!("one"), json!(first), json!("pump")));
        assert_eq!(told(&heard[1]), (json!("two"), json!(first + 1), json!("pump")));
        assert_eq!(heard[1]["properties"], json!({ "level": "3" }));
        assert_eq!(heard[0]["partition"], heard[1]["partition"]);
    }

    let account = az.run(&["ad", "sp", "create-for-rbac", "--name", "line-3"]).json();
    let led = [
        ("EVENT_HUBS_HOST", host),
        ("AZURE_AUTHORITY_HOST", connection.authority()),
        ("AZURE_TENANT_ID", connection.tenant_id()),
        ("AZURE_CLIENT_ID", text(&account, "/appId")),
        ("AZURE_CLIENT_SECRET", text(&account, "/password")),
    ];
    let one = [json!(["three"])];
    for mut client in Client::event_hub(&server, "telemetry", &led) {
        let said = client.fails("send", &one);
        assert!(said.contains("Microsoft.EventHub/namespaces/messages/send/action"), "{said}");
    }
    let grant = |role: &str| {
        let scope = text(&event_hub, "/id");
        let words = ["--assignee", text(&account, "/appId"), "--role", role, "--scope", scope];
        az.run(&[&["role", "assignment", "create"], &words[..]].concat()).json();
    };
    grant("Azure Event Hubs Data Sender");
    for mut client in Client::event_hub(&server, "telemetry", &led) {
        client.calls("send", &one);
        let said = client.fails("read", &[json!(1), json!("readers")]);
        assert!(said.contains("Microsoft.EventHub/namespaces/messages/receive/action"), "{said}");
    }
    grant("Azure Event Hubs Data Receiver");
    for mut client in Client::event_hub(&server, "telemetry", &led) {
        let heard = client.calls("read", &[json!(6), json!("readers")]);
        assert_eq!(heard.as_array().map(Vec::len), Some(6), "{heard}");
    }
}
