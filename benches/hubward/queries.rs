//! What a query over a million twins takes, with an index and without, over HTTPS.
//!
//! The devices are copies of one that was registered, put into the store's file while no server uses it.

use super::{median, now};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;
use store::{Change, Engine, Expect, Write, tables};
use testkit::Wire;

const DEVICES: usize = 1_000_000;
/// Of one commit: as many as a commit takes.
const AT_ONCE: usize = 1_000;
const REPEATS: usize = 11;
/// The device that all others are copies of, and what is another text in each of them.
const TEMPLATE: &str = "template";
const SERIAL: &str = "serial-of-it";
const LINE: &str = "line-of-it";
const FLOOR: i64 = 987_654;
const PRESSURE: f64 = 98_765.5;

/// A hub, and somebody who may ask it.
pub struct Asker<'a> {
    pub wire: Wire,
    /// The server's process.
    pub pid: u32,
    pub host: &'a str,
    pub token: &'a str,
}

impl Asker<'_> {
    /// Registers the device that the others are copies of.
    pub fn register_template(&self) {
        let at =
            |what: &str| format!("https://{}/{what}/{TEMPLATE}?api-version=2021-04-12", self.host);
        let headers = [("Authorization", self.token), ("If-Match", "*")];
        self.wire.json("PUT", &at("devices"), self.token, &json!({})).expect(200);
        let twin = json!({
            "tags": { "serial": SERIAL, "line": LINE, "floor": FLOOR },
            "properties": { "desired": { "pressure": PRESSURE, "mode": "automatic" } },
        });
        self.wire.json_with("PATCH", &at("twins"), &headers, &twin).expect(200);
    }

    /// One page: its items and where to go on.
    fn page(&self, query: &str, continuation: Option<&str>) -> (Vec<Value>, Option<String>) {
        let url = format!("https://{}/devices/query?api-version=2021-04-12", self.host);
        let mut headers = vec![("Authorization", self.token)];
        headers.extend(continuation.map(|it| ("x-ms-continuation", it)));
        let answer = self.wire.json_with("POST", &url, &headers, &json!({ "query": query }));
        let mut answer = answer.expect(200);
        let next = answer.header("x-ms-continuation").map(str::to_owned);
        let Value::Array(items) = answer.body.take() else { panic!("{answer:?}") };
        (items, next)
    }

    /// Every page, to the last: how many items, pages, and how long it took.
    fn pages(&self, query: &str) -> (usize, usize, Duration) {
        let (began, mut next, mut count, mut pages) = (now(), None, 0, 0);
        loop {
            let (items, more) = self.page(query, next.as_deref());
            (count, pages, next) = (count + items.len(), pages + 1, more);
            if next.is_none() {
                return (count, pages, began.elapsed());
            }
        }
    }

    /// Milliseconds of the first page, and its items.
    fn first_page(&self, query: &str, repeats: usize) -> (f64, Vec<Value>) {
        let mut items = Vec::new();
        // The first one finds nothing in the files' cache.
        let rounds = (0..=repeats).map(|_| {
            let began = now();
            items = self.page(query, None).0;
            began.elapsed().as_secs_f64() * 1e3
        });
        let rounds: Vec<f64> = rounds.collect();
        (median(rounds[1..].to_vec()), items)
    }

    pub fn queries(&self) {
        let to_the_end = |query: &str| {
            let cpu = testkit::cpu_seconds(self.pid);
            let (count, pages, took) = self.pages(query);
            let cpu = testkit::cpu_seconds(self.pid) - cpu;
            println!(
                "  {query}\n    {count} items, {pages} pages: {:.0} ms, {:.0} CPU ms",
                took.as_secs_f64() * 1e3,
                cpu * 1e3
            );
        };
        let once = |query: &str, repeats: usize| {
            let (ms, items) = self.first_page(query, repeats);
            let shown = if items.len() == 1 { items[0].to_string() } else { String::new() };
            println!("  {query}\n    first page of {} {shown}: {ms:.1} ms", items.len());
        };
        println!("queries over {DEVICES} devices, no index");
        once("SELECT COUNT() AS n FROM devices", 3);
        once("SELECT * FROM devices", REPEATS);
        to_the_end("SELECT deviceId FROM devices WHERE tags.floor > 995");
        to_the_end("SELECT deviceId FROM devices WHERE properties.desired.pressure >= 999.5");
        once("SELECT COUNT() AS n FROM devices WHERE tags.floor > 995", 3);
        once("SELECT COUNT() AS n FROM devices WHERE NOT is_defined(tags.line)", 3);
        once("SELECT COUNT() AS n FROM devices WHERE STARTS_WITH(tags.line, 'line-99')", 3);
        once("SELECT tags.line AS line, COUNT() AS n FROM devices GROUP BY tags.line", 1);
        let serial = "SELECT * FROM devices WHERE tags.serial = 'serial-0777777'";
        let line = "SELECT * FROM devices WHERE tags.line = 'line-421'";
        to_the_end(serial);
        to_the_end(line);
        for _ in 0..4 {
            // Each looks in vain until the hub has its index.
            self.pages(serial);
            self.pages(line);
        }
        println!("queries over {DEVICES} devices, with an index");
        once(serial, REPEATS);
        once(line, REPEATS);
        once("SELECT COUNT() AS n FROM devices WHERE tags.line = 'line-421'", REPEATS);
        to_the_end(line);
    }
}

/// Puts the copies into the file of the template's hub.
pub fn fill(data: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Engine::sqlite(&data.join("store")).unwrap();
        let (mut hub, mut template) = (None, None);
        for shard in store.shards().await.unwrap() {
            if let Some(it) = store.get(&shard, tables::DEVICES, TEMPLATE).await.unwrap() {
                (hub, template) = (Some(shard), Some(it));
            }
        }
        let hub = hub.expect("the template was registered");
        let template = String::from_utf8(template.unwrap().body.to_vec()).unwrap();
        let copy = |number: usize| {
            let key = format!("device-{number:07}");
            let body = template
                .replace(TEMPLATE, &key)
                .replace(SERIAL, &format!("serial-{number:07}"))
                .replace(LINE, &format!("line-{}", number % 900))
                .replace(&FLOOR.to_string(), &(number * 7 % 1_000).to_string())
                .replace(&PRESSURE.to_string(), &format!("{}.25", number * 13 % 1_000));
            let write = Write::Put(body.into());
            Change { table: tables::DEVICES, key, expect: Expect::Absent, write }
        };
        println!("  a document: {} bytes", template.len());
        for from in (0..DEVICES).step_by(AT_ONCE) {
            store.commit(&hub, (from..from + AT_ONCE).map(copy).collect()).await.unwrap();
            if from % (DEVICES / 10) == 0 {
                print!("\r  {from} of {DEVICES} devices");
                std::io::stdout().flush().unwrap();
            }
        }
        println!("\r  {DEVICES} devices put into the store");
        store.close().await.unwrap();
    });
}
