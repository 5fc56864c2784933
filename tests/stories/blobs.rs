//! Storage accounts as a Blob service: what is kept, what is refused and why, and who may do what.

mod account;

use account::{Blobs, SignedBy};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const DATA_OWNER: &str = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b";
const DATA_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const DATA_READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";

const KILLS: usize = 20;

#[test]
fn a_blob_is_put_read_in_ranges_listed_and_deleted() {
    let blobs = Blobs::new();
    blobs.container("plant");
    blobs.put("plant/a/pump 7.txt", b"0123456789", &[("x-ms-meta-line", "4")]).expect(201);
    let read = |range: &str| blobs.call("GET", "plant/a/pump%207.txt", &[("range", range)], b"");
    let whole = blobs.call("GET", "plant/a/pump%207.txt", &[], b"").expect(200);
    assert_eq!(whole.body, "0123456789");
    assert_eq!(whole.header("x-ms-meta-line"), Some("4"));
    assert_eq!(whole.header("content-md5"), Some("eB5eJF1ptWaXm4bijSPyxw=="));
    for (range, status, content) in [
        ("bytes=0-0", 206, "bytes 0-0/10"),
        ("bytes=9-", 206, "bytes 9-9/10"),
        ("bytes=8-100", 206, "bytes 8-9/10"),
        ("bytes=10-", 416, "bytes */10"),
    ] {
        let part = read(range).expect(status);
        assert_eq!(part.header("content-range"), Some(content), "{range}");
    }
    let head = blobs.call("HEAD", "plant/a/pump%207.txt", &[], b"").expect(200);
    assert_eq!(head.header("content-length"), Some("10"));
    blobs.put("plant/b", b"x", &[]).expect(201);
    let listed = blobs.call("GET", "plant?restype=container&comp=list&delimiter=/", &[], b"");
    let listed = listed.expect(200).text();
    assert!(
        listed.contains("<BlobPrefix><Name>a/</Name>") && listed.contains("<Name>b</Name>"),
        "{listed}"
    );
    assert!(!listed.contains("pump 7"), "{listed}");
    blobs.call("DELETE", "plant/b", &[], b"").expect(202);
    let gone = blobs.call("GET", "plant/b", &[], b"").expect(404);
    assert_eq!(gone.header("x-ms-error-code"), Some("BlobNotFound"));
}

#[test]
fn pages_of_a_list_meet_without_a_gap() {
    let blobs = Blobs::new();
    blobs.container("plant");
    for name in ["a", "b/1", "b/2", "c", "d"] {
        blobs.put(&format!("plant/{name}"), b"x", &[]).expect(201);
    }
    let mut found = Vec::new();
    let mut marker = String::new();
    loop {
        let path =
            format!("plant?restype=container&comp=list&delimiter=/&maxresults=1&marker={marker}");
        let page = blobs.call("GET", &path, &[], b"").expect(200).text();
        let between = |from: &str, to: &str| {
            page.split(from)
                .nth(1)
                .and_then(|it| it.split(to).next())
                .unwrap_or_default()
                .to_owned()
        };
        found.push(between("<Name>", "</Name>"));
        marker = between("<NextMarker>", "</NextMarker>");
        if marker.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["a", "b/", "c", "d"]);
}

#[test]
fn a_container_is_the_same_thing_over_both_planes() {
    let blobs = Blobs::new();
    blobs.container("plant");
    let by_arm = format!("{}/blobServices/default/containers/by-arm", blobs.id);
    blobs.world.arm("PUT", &by_arm, &json!({})).expect(200);
    let listed = blobs.call("GET", "?comp=list", &[], b"").expect(200).text();
    assert!(
        listed.contains("<Name>plant</Name>") && listed.contains("<Name>by-arm</Name>"),
        "{listed}"
    );
    let on_arm = format!("{}/blobServices/default/containers/plant", blobs.id);
    blobs.world.arm("GET", &on_arm, &json!(null)).expect(200);
    let again = blobs.call("PUT", "by-arm?restype=container", &[], b"").expect(409);
    assert_eq!(again.header("x-ms-error-code"), Some("ContainerAlreadyExists"));
    blobs.put("plant/x", b"x", &[]).expect(201);
    blobs.call("DELETE", "plant?restype=container", &[], b"").expect(202);
    blobs.world.arm("GET", &on_arm, &json!(null)).expect(404);
    // One of the same name later has nothing of it.
    blobs.container("plant");
    blobs.call("GET", "plant/x", &[], b"").expect(404);
}

#[test]
fn blocks_wait_for_their_list_and_end_after_a_week() {
    let mut blobs = Blobs::new();
    blobs.container("plant");
    let id = |it: &str| STANDARD.encode(it).replace('=', "%3D");
    let put = |blobs: &Blobs, it: &str, bytes: &[u8]| {
        blobs
            .call("PUT", &format!("plant/big?comp=block&blockid={}", id(it)), &[], bytes)
            .expect(201);
    };
    let commit = |blobs: &Blobs, ids: &[&str]| {
        let list: String =
            ids.iter().map(|it| format!("<Latest>{}</Latest>", STANDARD.encode(it))).collect();
        let list = format!("<BlockList>{list}</BlockList>");
        blobs.call("PUT", "plant/big?comp=blocklist", &[], list.as_bytes())
    };
    put(&blobs, "1", b"one,");
    put(&blobs, "2", b"two");
    // It is no blob yet, and whoever looks sees nothing of it.
    blobs.call("GET", "plant/big", &[], b"").expect(404);
    commit(&blobs, &["2", "1"]).expect(201);
    assert_eq!(blobs.text("plant/big"), "twoone,");
    let cut = blobs.call("GET", "plant/big", &[("x-ms-range", "bytes=2-4")], b"").expect(206);
    assert_eq!(cut.text(), "\"oon\"");
    // A committed block is taken again; one that never came is not.
    put(&blobs, "3", b"!");
    commit(&blobs, &["1", "3"]).expect(201);
    assert_eq!(blobs.text("plant/big"), "one,!");
    let refused = commit(&blobs, &["1", "2"]).expect(400);
    assert_eq!(refused.header("x-ms-error-code"), Some("InvalidBlockList"));
    put(&blobs, "4", b"late");
    blobs.world.restart();
    blobs.world.pass_seconds(8 * 86_400);
    blobs.world.hourly_round();
    // Certificates are of their time.
    blobs.world.pass_seconds(-8 * 86_400);
    commit(&blobs, &["4"]).expect(400);
    assert_eq!(blobs.text("plant/big"), "one,!");
    assert_eq!(blobs.files(), 2, "each block that is used, and nothing else");
}

#[test]
fn an_append_blob_grows_and_nothing_is_written_twice() {
    let blobs = Blobs::new();
    blobs.container("plant");
    blobs.call("PUT", "plant/log", &[("x-ms-blob-type", "AppendBlob")], b"").expect(201);
    let append = |bytes: &[u8], at: &str| {
        blobs.call(
            "PUT",
            "plant/log?comp=appendblock",
            &[("x-ms-blob-condition-appendpos", at)],
            bytes,
        )
    };
    append(b"one", "0").expect(201);
    let again = append(b"one", "0").expect(412);
    assert_eq!(again.header("x-ms-error-code"), Some("AppendPositionConditionNotMet"));
    append(b"two", "3").expect(201);
    assert_eq!(blobs.text("plant/log"), "onetwo");
    blobs.put("plant/block", b"x", &[]).expect(201);
    blobs.call("PUT", "plant/block?comp=appendblock", &[], b"x").expect(409);
}

#[test]
fn a_call_depends_on_what_it_says() {
    let blobs = Blobs::new();
    blobs.container("plant");
    let made = blobs.put("plant/a", b"1", &[("if-none-match", "*")]).expect(201);
    let etag = made.header("etag").unwrap().to_owned();
    let exists = blobs.put("plant/a", b"2", &[("if-none-match", "*")]).expect(409);
    assert_eq!(exists.header("x-ms-error-code"), Some("BlobAlreadyExists"));
    blobs.put("plant/a", b"2", &[("if-match", "\"0x0\"")]).expect(412);
    blobs.call("GET", "plant/a", &[("if-none-match", &etag)], b"").expect(304);
    let date = made.header("last-modified").unwrap().to_owned();
    blobs.call("GET", "plant/a", &[("if-modified-since", &date)], b"").expect(304);
    blobs
        .call("GET", "plant/a", &[("if-unmodified-since", "Sun, 22 Nov 1998 08:00:00 GMT")], b"")
        .expect(412);
    blobs.put("plant/a", b"2", &[("if-match", &etag)]).expect(201);
    blobs.put("plant/a", b"3", &[("if-match", &etag)]).expect(412);
    assert_eq!(blobs.text("plant/a"), "2");
    // What came is not what was sent: nothing changes.
    let wrong =
        blobs.put("plant/a", b"3", &[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")]).expect(400);
    assert_eq!(wrong.header("x-ms-error-code"), Some("Md5Mismatch"));
    blobs.put("plant/a", b"3", &[("x-ms-content-crc64", "AAAAAAAAAAA=")]).expect(400);
    assert_eq!((blobs.text("plant/a"), blobs.files()), ("2".to_owned(), 1));
}

#[test]
fn names_and_headers_have_limits_and_what_is_not_served_is_refused() {
    let blobs = Blobs::new();
    blobs.container("plant");
    blobs.put(&format!("plant/{}", "n".repeat(1_024)), b"x", &[]).expect(201);
    let long = blobs.put(&format!("plant/{}", "n".repeat(1_025)), b"x", &[]).expect(400);
    assert_eq!(long.header("x-ms-error-code"), Some("InvalidResourceName"));
    let many = "m".repeat(8 << 10);
    blobs.put("plant/a", b"x", &[("x-ms-meta-a", &many)]).expect(400);
    blobs.call("PUT", "pl?restype=container", &[], b"").expect(400);
    blobs.call("PUT", "plant/a", &[("x-ms-blob-type", "PageBlob")], b"").expect(400);
    blobs.call("PUT", "plant/a?comp=lease", &[], b"").expect(400);
    blobs.put("plant/a", b"x", &[("x-ms-copy-source", "https://elsewhere")]).expect(400);
    blobs.put("plant/a", b"x", &[("x-ms-lease-id", "1")]).expect(412);
    let id = STANDARD.encode("i".repeat(65)).replace('=', "%3D");
    blobs.call("PUT", &format!("plant/a?comp=block&blockid={id}"), &[], b"x").expect(400);
    blobs.call("PUT", "plant/a?comp=blocklist", &[], b"<BlockList><Latest>").expect(400);
    assert_eq!(blobs.files(), 1);
}

#[test]
fn a_signed_address_opens_what_was_signed_and_nothing_else() {
    let blobs = Blobs::new();
    blobs.container("plant");
    blobs.container("plant1");
    for path in ["plant/a", "plant/a1", "plant1/a"] {
        blobs.put(path, b"x", &[]).expect(201);
    }
    let by = SignedBy::Key;
    let read = blobs.sas(by, "plant/a", &[("sr", "b"), ("sp", "r")], 3_600);
    blobs.by_address("GET", "plant/a", &read, b"").expect(200);
    let refused = |method: &str, path: &str, sas: &str, status: u16, code: &str| {
        let no = blobs.by_address(method, path, sas, b"x").expect(status);
        assert_eq!(no.header("x-ms-error-code"), Some(code), "{method} {path}");
        assert!(no.text().contains(&format!("<Code>{code}</Code>")), "{}", no.text());
    };
    let (failed, lacks) = ("AuthenticationFailed", "AuthorizationPermissionMismatch");
    refused("PUT", "plant/a", &read, 403, lacks);
    refused("DELETE", "plant/a", &read, 403, lacks);
    refused("GET", "plant/a1", &read, 403, failed);
    refused("GET", "plant1/a", &read, 403, failed);
    refused("GET", "plant?restype=container&comp=list", &read, 403, failed);
    refused("GET", "plant/a", &read.replace("sp=r", "sp=rw"), 403, failed);
    refused("GET", "plant/a", &format!("{}0", &read[..read.len() - 1]), 403, failed);
    refused(
        "GET",
        "plant/a",
        &blobs.sas(by, "plant/a", &[("sr", "b"), ("sp", "r")], -1),
        403,
        failed,
    );
    let late = [("sr", "b"), ("sp", "r"), ("st", "2999-01-01T00:00:00Z")];
    refused("GET", "plant/a", &blobs.sas(by, "plant/a", &late, 3_600), 403, failed);
    let elsewhere = [("sr", "b"), ("sp", "r"), ("sip", "10.0.0.1-10.0.0.9")];
    refused("GET", "plant/a", &blobs.sas(by, "plant/a", &elsewhere, 3_600), 403, failed);
    let container = blobs.sas(by, "plant", &[("sr", "c"), ("sp", "rcl")], 3_600);
    blobs.by_address("GET", "plant/a", &container, b"").expect(200);
    blobs.by_address("GET", "plant?restype=container&comp=list", &container, b"").expect(200);
    refused("GET", "plant1/a", &container, 403, failed);
    refused("DELETE", "plant?restype=container", &container, 403, failed);
    // Who may make may not replace.
    blobs.by_address("PUT", "plant/new", &container, b"x").expect(201);
    refused("PUT", "plant/new", &container, 403, lacks);
    let account = blobs.sas(by, "", &[("ss", "b"), ("srt", "s"), ("sp", "rl")], 3_600);
    blobs.by_address("GET", "?comp=list", &account, b"").expect(200);
    refused("GET", "plant/a", &account, 403, failed);
    let queues = blobs.sas(by, "", &[("ss", "q"), ("srt", "sco"), ("sp", "rl")], 3_600);
    refused("GET", "plant/a", &queues, 403, failed);
    // A new key, and what the former signed opens nothing.
    let renewed = format!("{}/regenerateKey", blobs.id);
    blobs.world.arm("POST", &renewed, &json!({ "keyName": "key1" })).expect(200);
    refused("GET", "plant/a", &read, 403, failed);
}

#[test]
fn a_signed_request_is_fresh_and_is_of_its_account() {
    let blobs = Blobs::new();
    blobs.container("plant");
    blobs.put("plant/a", b"x", &[]).expect(201);
    blobs.signed_at(-899).expect(200);
    for off_s in [-901, 901] {
        let no = blobs.signed_at(off_s).expect(403);
        assert_eq!(no.header("x-ms-error-code"), Some("AuthenticationFailed"));
    }
    let anonymous = blobs.by_address("GET", "plant/a", "", b"").expect(401);
    assert_eq!(anonymous.header("x-ms-error-code"), Some("NoAuthenticationInformation"));
    assert!(anonymous.header("www-authenticate").unwrap().contains("authorization_uri="));
    blobs.update(json!({ "allowSharedKeyAccess": false }));
    let no = blobs.call("GET", "plant/a", &[], b"").expect(403);
    assert_eq!(no.header("x-ms-error-code"), Some("KeyBasedAuthenticationNotPermitted"));
    let sas = blobs.sas(SignedBy::Key, "plant/a", &[("sr", "b"), ("sp", "r")], 3_600);
    let no = blobs.by_address("GET", "plant/a", &sas, b"").expect(403);
    assert!(no.text().contains("allowSharedKeyAccess"), "{}", no.text());
}

#[test]
fn roles_of_data_open_blobs_and_roles_of_management_do_not() {
    let blobs = Blobs::new();
    blobs.container("plant");
    blobs.container("plant10");
    blobs.put("plant/a", b"x", &[]).expect(201);
    let world = &blobs.world;
    for (name, role, reads, writes) in [
        ("reader", DATA_READER, 200, 403),
        ("contributor", DATA_CONTRIBUTOR, 200, 201),
        ("owner", DATA_OWNER, 200, 201),
        ("manager", CONTRIBUTOR, 403, 403),
        ("boss", OWNER, 403, 403),
    ] {
        let who = world.service_principal(name);
        world.assign(&who, role, &blobs.id).expect(201);
        let read = blobs.by_token(&who, "GET", "plant/a", b"").expect(reads);
        blobs.by_token(&who, "PUT", "plant/a", b"y").expect(writes);
        if reads == 403 {
            assert_eq!(read.header("x-ms-error-code"), Some("AuthorizationPermissionMismatch"));
            let trace = world.explained(&read.tracking()).to_string();
            assert!(trace.contains("blobServices/containers/blobs/read"), "{trace}");
        }
    }
    // Held at one container it opens that one, and no namesake.
    let who = world.service_principal("one");
    let at = format!("{}/blobServices/default/containers/plant", blobs.id);
    world.assign(&who, DATA_CONTRIBUTOR, &at).expect(201);
    blobs.by_token(&who, "PUT", "plant/b", b"y").expect(201);
    blobs.by_token(&who, "PUT", "plant10/b", b"y").expect(403);
    blobs.by_token(&who, "GET", "?comp=list", b"").expect(403);
    // A token for something else is no token here.
    let other = format!("Bearer {}", world.token(&who, "https://management.azure.com"));
    let headers = [("authorization", other.as_str()), ("x-ms-version", "2024-11-04")];
    world.wire().send("GET", &blobs.url("plant/b"), &headers, b"").expect(401);
}

#[test]
fn a_user_delegation_signature_opens_what_its_user_may_open_now() {
    let blobs = Blobs::new();
    blobs.container("plant");
    blobs.put("plant/a", b"x", &[]).expect(201);
    let who = blobs.world.service_principal("delegate");
    let at = format!("{}/providers/Microsoft.Authorization/roleAssignments", blobs.id);
    blobs.world.assign(&who, DATA_READER, &blobs.id).expect(201);
    let key = blobs.delegation_key(&who, 3_600);
    let read = blobs.sas(SignedBy::User(&key), "plant/a", &[("sr", "b"), ("sp", "rw")], 3_600);
    blobs.by_address("GET", "plant/a", &read, b"").expect(200);
    // The signature says that it may write, but the user may not.
    blobs.by_address("PUT", "plant/a", &read, b"y").expect(403);
    // Keys are switched off, and this is none.
    blobs.update(json!({ "allowSharedKeyAccess": false }));
    blobs.by_address("GET", "plant/a", &read, b"").expect(200);
    let listed = blobs.world.arm("GET", &at, &json!(null)).expect(200).body;
    let mine = listed["value"].as_array().unwrap().iter();
    let mine = mine.filter(|it| it["properties"]["principalId"] == json!(who.object_id));
    for it in mine {
        blobs.world.arm("DELETE", it["id"].as_str().unwrap(), &json!(null)).expect(200);
    }
    let no = blobs.by_address("GET", "plant/a", &read, b"").expect(403);
    assert_eq!(no.header("x-ms-error-code"), Some("AuthorizationPermissionMismatch"));
}

#[test]
fn network_rules_of_the_account_keep_its_blobs() {
    let blobs = Blobs::new();
    blobs.container("plant");
    blobs.put("plant/a", b"x", &[]).expect(201);
    blobs.update(json!({ "networkAcls": { "defaultAction": "Deny", "ipRules": [{ "value": "10.0.0.0/8" }] } }));
    let no = blobs.call("GET", "plant/a", &[], b"").expect(403);
    assert_eq!(no.header("x-ms-error-code"), Some("AuthorizationFailure"));
    blobs.update(json!({ "networkAcls": { "defaultAction": "Deny", "ipRules": [{ "value": "127.0.0.0/8" }] } }));
    blobs.call("GET", "plant/a", &[], b"").expect(200);
}

#[test]
fn a_public_container_opens_to_everybody_where_its_account_allows_it() {
    let blobs = Blobs::new();
    let public = [("x-ms-blob-public-access", "blob")];
    let no = blobs.call("PUT", "open?restype=container", &public, b"").expect(409);
    assert_eq!(no.header("x-ms-error-code"), Some("PublicAccessNotPermitted"));
    blobs.update(json!({ "allowBlobPublicAccess": true }));
    blobs.call("PUT", "open?restype=container", &public, b"").expect(201);
    blobs.container("shut");
    blobs.put("open/a", b"x", &[]).expect(201);
    blobs.put("shut/a", b"x", &[]).expect(201);
    blobs.by_address("GET", "open/a", "", b"").expect(200);
    blobs.by_address("GET", "shut/a", "", b"").expect(401);
    blobs.by_address("PUT", "open/a", "", b"y").expect(401);
    blobs.by_address("GET", "open?restype=container&comp=list", "", b"").expect(401);
    blobs.update(json!({ "allowBlobPublicAccess": false }));
    blobs.by_address("GET", "open/a", "", b"").expect(401);
}

#[test]
fn what_is_refused_leaves_nothing_on_the_disk() {
    let blobs = Blobs::new();
    blobs.container("plant");
    let who = blobs.world.service_principal("nobody");
    blobs.by_token(&who, "PUT", "plant/a", &[b'x'; 1 << 20]).expect(403);
    blobs.call("PUT", "nothere/a", &[("x-ms-blob-type", "BlockBlob")], b"x").expect(404);
    assert_eq!(blobs.files(), 0);
}

#[test]
fn blobs_outlive_a_restart() {
    let mut blobs = Blobs::new();
    blobs.container("plant");
    blobs.put("plant/a", b"kept", &[]).expect(201);
    blobs.put("plant/a", b"kept now", &[]).expect(201);
    blobs.strew("plant-nobody");
    blobs.world.restart();
    assert_eq!(blobs.text("plant/a"), "kept now");
    assert_eq!(blobs.files(), 1, "what no document names is gone");
}

/// The bytes of a blob are named by their number.
fn bytes_of(number: usize) -> Vec<u8> {
    format!("blob {number};").repeat(1 + number % 5_000).into_bytes()
}

#[test]
fn a_blob_that_was_acknowledged_outlives_kills() {
    let home = tempfile::tempdir().unwrap();
    let flags = "--https-port 23443 --mqtt-port 23883 --amqp-port 23671 --management-port 23843 --metrics-port 23946";
    let flags: Vec<&str> = flags.split(' ').collect();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_hubward"));
    let mut process = testkit::Process::start(binary, &home.path().join("data"), &flags);
    let killed = account::Killed::new(&process);
    let acknowledged = Mutex::new(0);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let (killed, acknowledged, is_over) = (&killed, &acknowledged, &is_over);
        threads.spawn(move || {
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                if killed.puts(number, &bytes_of(number)) {
                    number += 1;
                    *acknowledged.lock().unwrap() = number;
                }
            }
        });
        for kill in 0..KILLS {
            let before = *acknowledged.lock().unwrap();
            while *acknowledged.lock().unwrap() == before {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_micros((kill * 397 % 5_000) as u64));
            process.crash();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged >= KILLS);
    for number in 0..acknowledged {
        assert!(killed.reads(number) == bytes_of(number), "blob {number} of {acknowledged}");
    }
    // One more may be there, whose answer was lost; and no file that is nobody's.
    process.crash();
    let files = account::files_in(&home.path().join("data/blobs"));
    assert!(
        (acknowledged..=acknowledged + 1).contains(&files),
        "{files} files of {acknowledged} blobs"
    );
}
