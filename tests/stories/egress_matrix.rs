//! A hub that calls others, as a matrix: what it calls, as whom, with which role, through which network; whether that is
//! saved, and what becomes of it when it is used.
//!
//! A hub for each caller, role and network has an endpoint at an event hub, a storage for files, and exports. All is saved
//! while every network is open and every identity may do everything; then roles are taken away and networks closed; then
//! all is used, and at last it is saved anew.

mod plant;

use super::managed_identities::{identity, with_type};
use plant::{ARRIVED, CALLERS, Cell, Matrix, NETWORKS, PUT, ROLES, SPREADS_S, said};
use serde_json::{Value, json};
use std::fmt::Write as _;
use testkit::{Answer, Identity, World};

const SENDER: &str = "2b629674-e913-4c01-ae53-ef4638d8f975";
const BLOB_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const ACCOUNT_CONTRIBUTOR: &str = "17d1049b-9a84-46fb-8f53-869881c3d3ab";

/// What of the time has passed when everything is tried that takes a role to be seen.
const PASSED_S: i64 = 100;
const SAVED: &str = "saved";
const NOTHING: &str = "-";

/// A line of the table but for its cell: the way out, what a save of it says, and what becomes of its use.
struct Tried {
    what: &'static str,
    saved: String,
    used: String,
}

/// The first sentence of a no, without what differs from cell to cell: `HERE` is the identity, `THERE` what it calls.
fn plain(matrix: &Matrix, cell: &Cell, text: &str) -> String {
    let (world, name) = (&matrix.world, |id: &str| id.rsplit('/').next().unwrap().to_owned());
    let hub = name(&cell.hub);
    let who = cell.named.as_deref().map_or_else(|| hub.clone(), name);
    let mut text = text.to_owned();
    if let Some((_, message)) = text.split_once("<Message>") {
        text = format!("begins, and no to the device: {message}");
    }
    // What comes behind these is told elsewhere, or differs each time.
    for end in [
        ". ",
        ".\"",
        " (tracking id",
        " (its tracking id",
        "; tracking id",
        "; needed",
        "\\nRequestId",
        ": assign that",
    ] {
        text.truncate(text.find(end).unwrap_or(text.len()));
    }
    if let Some((_, behind)) = text.split_once("008: ") {
        text = behind.to_owned();
    }
    if let Some((_, behind)) = text.split_once("403 Authorization") {
        text = format!("403 Authorization{behind}");
    }
    while let Some((before, behind)) =
        text.split_once(" (").and_then(|(before, it)| Some((before, it.split_once(')')?.1)))
    {
        text = format!("{before}{behind}");
    }
    let account = name(&matrix.accounts[cell.network][cell.role]);
    let namespace = &matrix.namespaces[cell.network];
    let (to, path) = (format!("to{}", cell.role), format!("/{account}/files"));
    let events = format!("{namespace}/eventhubs/{to}");
    let container = format!(
        "{}/blobServices/default/containers/files",
        matrix.accounts[cell.network][cell.role]
    );
    let hub_is = format!("hub `{hub}`");
    for (what, by) in [
        (hub_is.as_str(), "hub `HUB`"),
        (&events, "THERE"),
        (&container, "THERE"),
        (&path, "/THERE"),
        (&format!("`{to}`"), "`THERE`"),
        (&format!("/{to} "), "/THERE "),
        ("`files`", "`THERE`"),
        (&format!("`{account}`"), "`THERE`"),
        (&format!("/{account} "), "/THERE "),
        (&world.group(), "GROUP"),
        (&format!("`{hub}` would"), "`HUB` would"),
        (&format!("`{who}`"), "`HERE`"),
        (&format!("Principal {who} "), "Principal HERE "),
        (&hub, "HUB"),
    ] {
        text = text.replace(what, by);
    }
    text
}

/// One group of everybody, which may do everything until its roles are taken away.
fn everybody(world: &World) -> (String, Vec<String>) {
    let body = json!({ "displayName": "all", "mailNickname": "all", "mailEnabled": false, "securityEnabled": true });
    let group = world.graph("POST", "/groups", &body).expect(201);
    let group = group.body["id"].as_str().unwrap().to_owned();
    let who = world.managed_identity(&group);
    let made = |role: &str| {
        let made = world.assign(&who, role, &world.group()).expect(201).body;
        made["id"].as_str().unwrap().to_owned()
    };
    let made = vec![made(SENDER), made(BLOB_CONTRIBUTOR)];
    (group, made)
}

/// S3-02, S3-14, S3-15, S3-17, S3-18, S3-26, S3-30 to S3-34: what is saved, and what becomes of it, for each way out, caller, role
/// and network. A role that is not seen yet keeps an endpoint from being saved; a new token sees it at once, so that
/// what was saved before calls on, and only the signature that a device got is not worth it yet.
#[test]
fn what_becomes_of_a_hub_that_calls_others() {
    let matrix = Matrix::new();
    let world = &matrix.world;
    let users = ["a", "b", "elsewhere"].map(|it| identity(world, &format!("user-{it}")));
    let (group, everything) = everybody(world);
    let join = |who: &Identity| {
        let reference =
            format!("https://graph.microsoft.com/v1.0/directoryObjects/{}", who.object_id);
        let path = format!("/groups/{group}/members/$ref");
        world.graph("POST", &path, &json!({ "@odata.id": reference })).expect(204);
    };
    let mut cells = Vec::new();
    for network in 0..NETWORKS.len() {
        for role in 0..ROLES.len() {
            for (caller, named) in
                CALLERS.into_iter().zip([None, Some(&users[0].0), Some(&users[1].0)])
            {
                let number = cells.len();
                cells.push(matrix.cell((network, role), caller, named.map(String::as_str), number));
            }
        }
    }
    // Without the identity nothing else is asked: one line each, where all else would do.
    for (caller, named) in [("none", None), ("not attached", Some(users[2].0.as_str()))] {
        let mut cell = matrix.cell((0, 0), caller, None, cells.len());
        cell.named = named.map(str::to_owned);
        let other = with_type("UserAssigned", &[&users[0].0]);
        world.arm("PATCH", &cell.hub, &other).expect(200);
        cells.push(cell);
    }
    users.iter().for_each(|(_, who)| join(who));
    let whole = NETWORKS.len() * ROLES.len() * CALLERS.len();
    let principals: Vec<Identity> = cells
        .iter()
        .take(whole)
        .map(|it| match &it.named {
            None => matrix.own(&it.hub).unwrap(),
            Some(id) => users.iter().find(|(its, _)| its == id).unwrap().1.clone(),
        })
        .collect();
    cells
        .iter()
        .zip(&principals)
        .filter(|(it, _)| it.named.is_none())
        .for_each(|(_, who)| join(who));
    world.pass_seconds(SPREADS_S);
    for cell in cells.iter().take(whole) {
        matrix.saves_routing(cell, "out").expect(200);
        matrix.saves_storage(cell, "PT1H").expect(200);
    }

    let assigns = |is_late: bool| {
        for (cell, who) in cells.iter().zip(&principals) {
            let account = &matrix.accounts[cell.network][cell.role];
            let events = format!("{}/eventhubs/to{}", matrix.namespaces[cell.network], cell.role);
            let roles: &[(&str, &str)] = match ROLES[cell.role] {
                "data role" if !is_late => &[(SENDER, &events), (BLOB_CONTRIBUTOR, account)],
                "Contributor" if !is_late => &[(CONTRIBUTOR, &events), (CONTRIBUTOR, account)],
                "Account Contributor" if !is_late => &[(ACCOUNT_CONTRIBUTOR, account)],
                "not seen yet" if is_late => &[(SENDER, &events), (BLOB_CONTRIBUTOR, account)],
                _ => &[],
            };
            for (role, scope) in roles {
                let made = world.assign(who, role, scope);
                // The two ways out without an identity share their targets with others.
                assert!(made.status == 201 || made.code() == "RoleAssignmentExists", "{made:?}");
            }
        }
    };
    assigns(false);
    for it in &everything {
        world.arm("DELETE", it, &Value::Null).expect(200);
    }
    world.pass_seconds(SPREADS_S);
    assigns(true);
    world.pass_seconds(PASSED_S);
    (1..NETWORKS.len()).for_each(|it| matrix.opens(it, false));

    for cell in &cells {
        matrix.asks(cell, "messages/events", cell.hub.as_bytes()).expect(204);
    }
    let jobs: Vec<String> = cells.iter().map(|it| matrix.begins_export(it)).collect();
    let mut tried: Vec<[Tried; 3]> = Vec::new();
    for (cell, job) in cells.iter().zip(&jobs) {
        // Without the identity there is nothing saved that could be used.
        let is_saved = CALLERS.contains(&cell.caller.as_str());
        let or_nothing =
            |used: &dyn Fn() -> String| if is_saved { used() } else { NOTHING.to_owned() };
        let events = or_nothing(&|| matrix.sent(cell));
        let file = or_nothing(&|| matrix.uploads(cell));
        let export = matrix.ends_export(cell, job);
        let of = |(what, used)| Tried { what, saved: NOTHING.to_owned(), used };
        tried.push([("event hub", events), ("file", file), ("export", export)].map(of));
    }
    let answer = |it: Answer| if it.status == 200 { SAVED.to_owned() } else { said(&it) };
    for (cell, [events, file, _]) in cells.iter().zip(&mut tried) {
        events.saved = answer(matrix.saves_routing(cell, "again"));
        file.saved = answer(matrix.saves_storage(cell, "PT2H"));
    }
    has_arrived(&matrix, &cells, &tried);
    insta::assert_snapshot!(table(&matrix, &cells, &tried), @r"
    way out    caller        role                 network    save    use
    event hub  system        data role            public     saved   the message arrives
    event hub  users A, B    data role            public     saved   the message arrives
    event hub  system        Contributor          public     no, 1   no, 2
    event hub  users A, B    Contributor          public     no, 3   no, 2
    event hub  system        none                 public     no, 4   no, 2
    event hub  users A, B    none                 public     no, 5   no, 2
    event hub  system        not seen yet         public     no, 6   the message arrives
    event hub  users A, B    not seen yet         public     no, 7   the message arrives
    event hub  system        data role            closed     no, 8   no, 9
    event hub  users A, B    data role            closed     no, 10  no, 9
    event hub  system        Contributor          closed     no, 1   no, 9
    event hub  users A, B    Contributor          closed     no, 3   no, 9
    event hub  system        none                 closed     no, 4   no, 9
    event hub  users A, B    none                 closed     no, 5   no, 9
    event hub  system        not seen yet         closed     no, 6   no, 9
    event hub  users A, B    not seen yet         closed     no, 7   no, 9
    event hub  system        data role            exception  saved   the message arrives
    event hub  users A, B    data role            exception  no, 10  no, 9
    event hub  system        Contributor          exception  no, 1   no, 2
    event hub  users A, B    Contributor          exception  no, 3   no, 9
    event hub  system        none                 exception  no, 4   no, 2
    event hub  users A, B    none                 exception  no, 5   no, 9
    event hub  system        not seen yet         exception  no, 6   the message arrives
    event hub  users A, B    not seen yet         exception  no, 7   no, 9
    event hub  none          any                  any        no, 11  -
    event hub  not attached  any                  any        no, 12  -
    file       system        data role            public     saved   the device puts its file
    file       users A, B    data role            public     saved   the device puts its file
    file       system        Contributor          public     no, 13  no, 14
    file       users A, B    Contributor          public     no, 15  no, 14
    file       system        Account Contributor  public     no, 16  no, 14
    file       users A, B    Account Contributor  public     no, 17  no, 14
    file       system        none                 public     no, 18  no, 19
    file       users A, B    none                 public     no, 20  no, 19
    file       system        not seen yet         public     no, 21  no, 14
    file       users A, B    not seen yet         public     no, 22  no, 14
    file       system        data role            closed     no, 8   no, 23
    file       users A, B    data role            closed     no, 10  no, 23
    file       system        Contributor          closed     no, 13  no, 23
    file       users A, B    Contributor          closed     no, 15  no, 23
    file       system        Account Contributor  closed     no, 16  no, 23
    file       users A, B    Account Contributor  closed     no, 17  no, 23
    file       system        none                 closed     no, 18  no, 19
    file       users A, B    none                 closed     no, 20  no, 19
    file       system        not seen yet         closed     no, 21  no, 23
    file       users A, B    not seen yet         closed     no, 22  no, 23
    file       system        data role            exception  saved   no, 24
    file       users A, B    data role            exception  no, 10  no, 23
    file       system        Contributor          exception  no, 13  no, 14
    file       users A, B    Contributor          exception  no, 15  no, 23
    file       system        Account Contributor  exception  no, 16  no, 14
    file       users A, B    Account Contributor  exception  no, 17  no, 23
    file       system        none                 exception  no, 18  no, 19
    file       users A, B    none                 exception  no, 20  no, 19
    file       system        not seen yet         exception  no, 21  no, 14
    file       users A, B    not seen yet         exception  no, 22  no, 23
    file       none          any                  any        no, 25  -
    file       not attached  any                  any        no, 26  -
    export     system        data role            public     -       completed
    export     users A, B    data role            public     -       completed
    export     system        Contributor          public     -       no, 27
    export     users A, B    Contributor          public     -       no, 27
    export     system        Account Contributor  public     -       no, 27
    export     users A, B    Account Contributor  public     -       no, 27
    export     system        none                 public     -       no, 27
    export     users A, B    none                 public     -       no, 27
    export     system        not seen yet         public     -       completed
    export     users A, B    not seen yet         public     -       completed
    export     system        data role            closed     -       no, 28
    export     users A, B    data role            closed     -       no, 29
    export     system        Contributor          closed     -       no, 27
    export     users A, B    Contributor          closed     -       no, 27
    export     system        Account Contributor  closed     -       no, 27
    export     users A, B    Account Contributor  closed     -       no, 27
    export     system        none                 closed     -       no, 27
    export     users A, B    none                 closed     -       no, 27
    export     system        not seen yet         closed     -       no, 28
    export     users A, B    not seen yet         closed     -       no, 29
    export     system        data role            exception  -       completed
    export     users A, B    data role            exception  -       no, 29
    export     system        Contributor          exception  -       no, 27
    export     users A, B    Contributor          exception  -       no, 27
    export     system        Account Contributor  exception  -       no, 27
    export     users A, B    Account Contributor  exception  -       no, 27
    export     system        none                 exception  -       no, 27
    export     users A, B    none                 exception  -       no, 27
    export     system        not seen yet         exception  -       completed
    export     users A, B    not seen yet         exception  -       no, 29
    export     none          any                  any        -       no, 30
    export     not attached  any                  any        -       no, 31
     1: its system-assigned identity may not do this at `THERE`: `HERE` lacks the role `Azure Event Hubs Data Sender` at `THERE`; `Contributor` has no data actions: it manages the resource and does not reach what lies in it
     2: amqp:unauthorized-access: Principal HERE is not authorized for SEND on /THERE due to no assigned permissions
     3: the identity `HERE` may not do this at `THERE`: `HERE` lacks the role `Azure Event Hubs Data Sender` at `THERE`; `Contributor` has no data actions: it manages the resource and does not reach what lies in it
     4: its system-assigned identity may not do this at `THERE`: `HERE` lacks the role `Azure Event Hubs Data Sender` at `THERE`
     5: the identity `HERE` may not do this at `THERE`: `HERE` lacks the role `Azure Event Hubs Data Sender` at `THERE`
     6: its system-assigned identity may not do this at `THERE`: a role of `HERE` is assigned, but not visible yet: `Azure Event Hubs Data Sender` grants `Microsoft.EventHub/namespaces/messages/send/action`, but the assignment is not seen here for 200 s more; a new token sees it at once
     7: the identity `HERE` may not do this at `THERE`: a role of `HERE` is assigned, but not visible yet: `Azure Event Hubs Data Sender` grants `Microsoft.EventHub/namespaces/messages/send/action`, but the assignment is not seen here for 200 s more; a new token sees it at once
     8: its system-assigned identity may not do this at `THERE`: it is closed to networks that it does not name, and makes no exception for trusted services
     9: 401: `THERE` takes no such call from where this one comes
    10: the identity `HERE` may not do this at `THERE`: it is closed to networks that it does not name; only a hub's system-assigned identity passes by the exception for trusted services, and this hub comes with a user-assigned identity
    11: `HUB` would not have every managed identity that is used there: the routing endpoint `again` uses the system-assigned identity; attach them, or let what uses them sign in another way first
    12: `HUB` would not have every managed identity that is used there: the routing endpoint `again` uses `GROUP/providers/Microsoft.ManagedIdentity/userAssignedIdentities/user-elsewhere`; attach them, or let what uses them sign in another way first
    13: its system-assigned identity may not do this at `THERE`: `HERE` lacks the role `Storage Blob Data Contributor` at `THERE`; `Contributor` has no data actions: it manages the resource and does not reach what lies in it
    14: begins, and no to the device: Principal HERE is not authorized for PUT on /THERE/pump-1/a due to no assigned permissions
    15: the identity `HERE` may not do this at `THERE`: `HERE` lacks the role `Storage Blob Data Contributor` at `THERE`; `Contributor` has no data actions: it manages the resource and does not reach what lies in it
    16: its system-assigned identity may not do this at `THERE`: `HERE` lacks the role `Storage Blob Data Contributor` at `THERE`; `Storage Account Contributor` has no data actions: it manages the resource and does not reach what lies in it
    17: the identity `HERE` may not do this at `THERE`: `HERE` lacks the role `Storage Blob Data Contributor` at `THERE`; `Storage Account Contributor` has no data actions: it manages the resource and does not reach what lies in it
    18: its system-assigned identity may not do this at `THERE`: `HERE` lacks the role `Storage Blob Data Contributor` at `THERE`
    19: 403 AuthorizationPermissionMismatch: Principal HERE is not authorized for POST on /THERE due to no assigned permissions
    20: the identity `HERE` may not do this at `THERE`: `HERE` lacks the role `Storage Blob Data Contributor` at `THERE`
    21: its system-assigned identity may not do this at `THERE`: a role of `HERE` is assigned, but not visible yet: `Storage Blob Data Contributor` grants `Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write`, but the assignment is not seen here for 200 s more; a new token sees it at once
    22: the identity `HERE` may not do this at `THERE`: a role of `HERE` is assigned, but not visible yet: `Storage Blob Data Contributor` grants `Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write`, but the assignment is not seen here for 200 s more; a new token sees it at once
    23: 403 AuthorizationFailure: `THERE` takes no such call from where this one comes
    24: begins, and no to the device: `THERE` takes no such call from where this one comes
    25: `HUB` would not have every managed identity that is used there: the file upload endpoint `$default` uses the system-assigned identity; attach them, or let what uses them sign in another way first
    26: `HUB` would not have every managed identity that is used there: the file upload endpoint `$default` uses `GROUP/providers/Microsoft.ManagedIdentity/userAssignedIdentities/user-elsewhere`; attach them, or let what uses them sign in another way first
    27: 403 AuthorizationPermissionMismatch: Principal HERE is not authorized for PUT on /THERE/devices.txt due to no assigned permissions
    28: 403 AuthorizationFailure: `THERE` takes no such call from where this one comes; the job calls as its system-assigned identity: let its network in, or make the exception for trusted services, by which the hub's system-assigned identity passes and no user-assigned one
    29: 403 AuthorizationFailure: `THERE` takes no such call from where this one comes; the job calls as the identity `HERE`: let its network in, or make the exception for trusted services, by which the hub's system-assigned identity passes and no user-assigned one
    30: the hub `HUB` has no system-assigned identity that is switched on; `az iot hub identity assign --name HUB --system-assigned` gives it one
    31: the identity `GROUP/providers/Microsoft.ManagedIdentity/userAssignedIdentities/user-elsewhere` is not attached to the hub `HUB`; `az iot hub identity assign --name HUB --user-assigned GROUP/providers/Microsoft.ManagedIdentity/userAssignedIdentities/user-elsewhere` attaches it
    ");
}

/// What the endpoints say has arrived lies in the event hubs, and nothing else does.
fn has_arrived(matrix: &Matrix, cells: &[Cell], tried: &[[Tried; 3]]) {
    // What is held up must not be tried again once the networks are open.
    cells.iter().for_each(|it| matrix.forgets(it));
    (1..NETWORKS.len()).for_each(|it| matrix.opens(it, true));
    for network in 0..NETWORKS.len() {
        for role in 0..ROLES.len() {
            let here =
                cells.iter().zip(tried).filter(|(it, _)| (it.network, it.role) == (network, role));
            let mut sent: Vec<String> = here
                .filter(|(_, [events, ..])| events.used == ARRIVED)
                .map(|(it, _)| it.hub.clone())
                .collect();
            sent.sort_unstable();
            assert_eq!(matrix.arrived(network, role, sent.len()), sent);
        }
    }
}

/// A line for each cell, and below them the sentences that they number. Left out is what the rules make equal: the two
/// user-assigned identities share a line where they differ in nothing; without an identity neither role nor network is
/// asked about; and the role for storage accounts is none for event hubs.
fn table(matrix: &Matrix, cells: &[Cell], tried: &[[Tried; 3]]) -> String {
    let mut sentences: Vec<String> = Vec::new();
    let mut short = |cell: &Cell, text: &str| {
        if [SAVED, NOTHING, ARRIVED, "completed", PUT].contains(&text) {
            return text.to_owned();
        }
        let plain = plain(matrix, cell, text);
        let found = sentences.iter().position(|it| *it == plain);
        let number = found.unwrap_or_else(|| {
            sentences.push(plain);
            sentences.len() - 1
        });
        format!("no, {}", number + 1)
    };
    let mut rows: Vec<[String; 6]> = Vec::new();
    for way in 0..3 {
        for (cell, tried) in cells.iter().zip(tried) {
            let Tried { what, saved, used } = &tried[way];
            let role = ROLES[cell.role];
            if (*what, role) == ("event hub", "Account Contributor") {
                continue;
            }
            let is_whole = CALLERS.contains(&cell.caller.as_str());
            let (role, network) =
                if is_whole { (role, NETWORKS[cell.network]) } else { ("any", "any") };
            let row = [*what, &cell.caller, role, network, &short(cell, saved), &short(cell, used)]
                .map(str::to_owned);
            match rows.last_mut() {
                // They differ in nothing but who they are.
                Some(last)
                    if row[1] == "user B" && last[1] == "user A" && last[2..] == row[2..] =>
                {
                    "users A, B".clone_into(&mut last[1]);
                }
                _ => rows.push(row),
            }
        }
    }
    let mut text = String::new();
    let heads = ["way out", "caller", "role", "network", "save", "use"].map(str::to_owned);
    for [what, caller, role, network, saved, used] in [heads].iter().chain(&rows) {
        let line = format!("{what:9}  {caller:12}  {role:19}  {network:9}  {saved:6}  {used}");
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    for (index, it) in sentences.iter().enumerate() {
        writeln!(text, "{:>2}: {it}", index + 1).unwrap();
    }
    text
}
