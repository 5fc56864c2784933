//! Sign-in without a secret, with the unmodified CLI: certificates made by it and by others, and federated
//! credentials.

use super::az::{Az, binary, text};
use ops::entra::signing::Signer;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use testkit::Process;

/// `az login --certificate` with a certificate that `az` made, with one that came from elsewhere beside it,
/// and no more once it is taken away.
#[test]
fn az_signs_in_with_certificates_of_its_own_and_of_others() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let tenant = connection.tenant_id();

    // `az` puts the file with the key into the home directory.
    let line = format!(
        "HOME='{}' az ad sp create-for-rbac --name pipeline --create-cert --output json",
        home.path().display()
    );
    let made = az.paste(&line).json();
    let (app, own) = (text(&made, "/appId"), text(&made, "/fileWithCertAndPrivateKey"));
    let shown = az.run(&["ad", "sp", "show", "--id", app]).json();
    let role = ["--role", "Reader", "--scope", "/"];
    let whom = ["--assignee-object-id", text(&shown, "/id")];
    let kind = ["--assignee-principal-type", "ServicePrincipal"];
    az.run(&[["role", "assignment", "create"].as_slice(), &role, &whom, &kind].concat()).json();

    let signs_in = |file: &str| {
        let pipeline = Az::new(&server);
        let endpoint = ["--endpoint-resource-manager", connection.arm()];
        pipeline
            .run(&[["cloud", "register", "--name", "Hubward"].as_slice(), &endpoint].concat())
            .json();
        pipeline.run(&["cloud", "set", "--name", "Hubward"]).json();
        let login = ["login", "--service-principal", "--username", app, "--tenant", tenant];
        let said = pipeline.run(&[login.as_slice(), &["--certificate", file]].concat());
        (pipeline, said)
    };
    let (pipeline, said) = signs_in(own);
    said.json();
    let groups = pipeline.run(&["group", "list"]).json();
    assert_eq!(groups.as_array().map(Vec::len), Some(1), "{groups}");
    // Two resources in one process: the directory, for the assignee's id, and the control plane.
    let listed = pipeline.run(&["role", "assignment", "list", "--assignee", app, "--all"]);
    assert_eq!(text(&listed.json(), "/0/roleDefinitionName"), "Reader");

    let key = KeyPair::try_from(Signer::generate().unwrap()).unwrap();
    let certificate =
        CertificateParams::new(vec!["other".into()]).unwrap().self_signed(&key).unwrap();
    let (both, public) = (home.path().join("other.pem"), home.path().join("other.crt"));
    std::fs::write(&both, format!("{}{}", key.serialize_pem(), certificate.pem())).unwrap();
    std::fs::write(&public, certificate.pem()).unwrap();
    let (both, public) = (both.display().to_string(), format!("@{}", public.display()));
    let (_, refused) = signs_in(&both);
    assert!(refused.refused().contains("AADSTS700027"));
    let reset = ["ad", "app", "credential", "reset", "--id", app, "--append", "--cert", &public];
    az.run(&reset).json();
    signs_in(&both).1.json();
    signs_in(own).1.json();

    let listed = az.run(&["ad", "app", "credential", "list", "--id", app, "--cert"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let first = ["--cert", "--key-id", text(&listed, "/0/keyId")];
    let said =
        az.run(&[["ad", "app", "credential", "delete", "--id", app].as_slice(), &first].concat());
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(signs_in(own).1.refused().contains("AADSTS700027"));
    signs_in(&both).1.json();
}

#[test]
fn az_signs_in_with_a_token_that_a_federated_credential_names() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let tenant = connection.tenant_id();
    let made = az.run(&["ad", "sp", "create-for-rbac", "--name", "workload"]).json();
    let (workload, secret) = (text(&made, "/appId"), text(&made, "/password"));
    let subject = az.run(&["ad", "sp", "show", "--id", workload]).json();
    let app = az.run(&["ad", "app", "create", "--display-name", "pipeline"]).json();
    let app = text(&app, "/appId");
    az.run(&["ad", "sp", "create", "--id", app]).json();

    let parameters = json!({
        "name": "workload",
        "issuer": format!("{}/{tenant}/v2.0", connection.authority()),
        "subject": text(&subject, "/id"),
        "audiences": ["api://AzureADTokenExchange"],
    })
    .to_string();
    let federated = ["ad", "app", "federated-credential"];
    let run = |rest: &[&str]| az.run(&[federated.as_slice(), rest].concat());
    run(&["create", "--id", app, "--parameters", &parameters]).json();
    assert_eq!(text(&run(&["list", "--id", app]).json(), "/0/name"), "workload");

    let url = format!("{}/{tenant}/oauth2/v2.0/token", connection.authority());
    let form = format!(
        "grant_type=client_credentials&client_id={workload}&client_secret={secret}\
         &scope=api://AzureADTokenExchange/.default"
    );
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let token = server.wire().send("POST", &url, &headers, form.as_bytes()).expect(200).body;
    let token = text(&token, "/access_token");
    let login = ["login", "--service-principal", "--username", app, "--tenant", tenant];
    let with = ["--federated-token", token, "--allow-no-subscriptions"];
    az.run(&[login.as_slice(), &with].concat()).json();
}
