//! `docs/reference/limits.md`: how much a hub of each edition takes, written from the table that the server limits
//! by.

use crate::files;
use model::limits::{Class, Edition, NEVER_THROTTLED, Sku, THROTTLES};
use std::fmt::Write as _;

#[test]
fn the_page_of_limits_is_written_from_the_table() {
    files::expect_fresh("docs/reference/limits.md", &page());
}

/// The columns: editions that take as much.
const COLUMNS: [(&str, Edition); 4] = [
    ("F1", Edition::F1),
    ("B1, S1", Edition::S1),
    ("B2, S2", Edition::S2),
    ("B3, S3", Edition::S3),
];

/// What an edition has so many of.
type Number = fn(Edition) -> u64;

fn page() -> String {
    let mut page = String::from(
        "# Limits\n\n\
         Written from `crates/model/src/limits.rs` by `HUBWARD_BLESS=1 cargo test --test tidy`; edit that table, not \
         this page.\n\n\
         Nothing here is in force unless `hubward up --limits SKU` says so: `F1`, `S1x1`, `B2x3`, an edition and its \
         units. Then every hub is limited as Azure limits one of that edition, each for itself, whatever its own `sku` \
         says: to see what a fleet does to a hub before it is paid for, or whether a client comes back as it should. \
         What is counted is in memory: a restart begins anew. Source of the numbers: IoT Hub documentation, \"IoT Hub \
         quotas and throttling\".\n\n\
         ## How often\n\n\
         How many in a minute, for each unit; *at least* is for the whole hub. A hub that was idle takes a minute's \
         worth at once. What is missing comes back evenly, by the server's clock.\n\n",
    );
    let mut line = |it: String| writeln!(page, "{it}").expect("a `String` takes every line");
    let names = COLUMNS.map(|(name, _)| name);
    line(format!("| class | what there are so many of | {} | operations |", names.join(" | ")));
    line(format!("| --- | --- |{} --- |", " --- |".repeat(COLUMNS.len())));
    for class in THROTTLES {
        let rates = COLUMNS.map(|(_, edition)| rate(class, edition));
        line(format!(
            "| `{}` | {}{} | {} | {} |",
            class.name,
            class.says,
            if class.is_in_basic { "" } else { "; not in B1 to B3" },
            rates.join(" | "),
            class.operations.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>().join(", ")
        ));
    }
    let never: Vec<String> = NEVER_THROTTLED.iter().map(|it| format!("{it:?}")).collect();
    line(format!(
        "\nNever throttled at a hub: {}. `cloudReceives` counts over HTTPS alone; a bulk call counts as one, a batch as \
         many messages as it holds.\n",
        never.join(", ")
    ));
    line(
        "## In a day\n\n\
         A day begins at 00:00 UTC. Messages from devices and to devices, reads and updates of twins, queries, methods \
         with their answers and what jobs do for each device count, a long one as several; connecting, the registry \
         and what only manages do not. Who asks for more than is left gets nothing. An answer that turns out longer is \
         given, and counted.\n"
            .to_owned(),
    );
    line(format!("| in a day, for each unit | {} |", names.join(" | ")));
    line(format!("| --- |{}", " --- |".repeat(COLUMNS.len())));
    let rows: [(&str, Number); 4] = [
        ("messages", Edition::messages_per_day),
        ("bytes of one", Edition::message_bytes),
        ("most units", |it| u64::from(it.units_max())),
        ("devices and modules of a hub", Edition::identities_max),
    ];
    for (name, number) in rows {
        let cells = COLUMNS.map(|(_, edition)| grouped(number(edition)));
        line(format!("| {name} | {} |", cells.join(" | ")));
    }
    line(
        "\n## What a client sees\n\n\
         | over | too fast | the day is over, or the hub is full | not in the edition |\n\
         | --- | --- | --- | --- |\n\
         | HTTPS | 429 `ThrottlingException` (429001) | 403 `IotHubQuotaExceeded` (403002) | 403 `OperationNotAvailableInCurrentTier` (403010) |\n\
         | MQTT, connecting | return code 3 | | |\n\
         | MQTT, sending | read more slowly, then disconnected | disconnected | |\n\
         | MQTT, twins | `$iothub/twin/res/429/` | `$iothub/twin/res/403/` | `$iothub/twin/res/403/` |\n\
         | AMQP | read more slowly, then rejected with `com.microsoft:device-container-throttled` | rejected with `amqp:resource-limit-exceeded` | `amqp:not-allowed` |\n\n\
         Over HTTPS `Retry-After` says after how many seconds there is room again, `x-hubward-retry: throttle` that \
         waiting helps, and the message which limit it was. A device that sends too fast is not read from until what \
         came too early is made up for, so its acknowledgements come late; once as much waits as ten seconds bring, \
         whoever sends more is disconnected, or over AMQP hears that the message was rejected, with `retry-after` in \
         seconds. Over MQTT nobody can be told why: the log category `Connections` \
         ([diagnostics](diagnostics.md)) has the number and the sentence.\n\n\
         A caller proves itself first, and a call counts once it is admitted: who may not do something uses nothing up. \
         But while there is no room, nobody's body is read and no gate is asked, so a refusal costs little, has no \
         decision and is not in `hubward explain`.\n\n\
         ## The meter\n\n\
         `/metrics` shows, by hub and class: `hubward_throttle_taken_total`, `hubward_throttle_refused_total`, \
         `hubward_held_up_total`, `hubward_messages_today`, `hubward_messages_per_day`, `hubward_quota_refused_total`."
            .to_owned(),
    );
    page
}

fn rate(class: &Class, edition: Edition) -> String {
    let units = |units: u32| class.per_minute(Sku { edition, units }).unwrap_or(0);
    let rate = class.rate(edition);
    match (rate.per_unit, rate.at_least) {
        (0, least) => format!("{}, for all units", grouped(least)),
        (each, least) if least > each => {
            format!("{}, at least {}", grouped(each), grouped(units(1)))
        }
        (each, _) => grouped(each),
    }
}

/// `4,096`.
fn grouped(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1_000), number % 1_000),
    }
}
