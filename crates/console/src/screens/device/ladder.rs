//! What authenticates a device, as a ladder: what leads to what, and how long each rung holds.

use super::acts::Did;
use super::story::Story;
use super::{Device, printed};
use crate::trouble::Trouble;
use crate::visit::text;
use maud::{Markup, html};
use model::Timestamp;
use model::json::text as member;
use serde_json::Value;

const DAY_S: i64 = 86_400;
/// Fewer days than these are few.
const SOON_DAYS: i64 = 30;

struct Rung {
    name: String,
    says: String,
    until: Until,
    /// What the device has proven itself by, the last time.
    is_used: bool,
}

enum Until {
    Time(Timestamp),
    /// It does not expire.
    Ever,
    Unknown(&'static str),
}

pub(super) async fn shown(
    device: &Device<'_>,
    identity: &Value,
    story: &Story,
    did: &Did,
) -> Result<Markup, Trouble> {
    let authentication = identity.get("authentication").unwrap_or(&Value::Null);
    let kind = text(authentication, "/type");
    let last = story.last_proof();
    let mut refused = None;
    let rungs = match kind {
        "certificateAuthority" => {
            let path = format!("{}/certificates", device.hub.scope);
            let authorities = match device.visit.get(&path).await {
                Ok(told) => told,
                Err(Trouble::Refused(it)) => {
                    refused = Some(it);
                    Value::Null
                }
                Err(other) => return Err(other),
            };
            of_authorities(&authorities, last.as_deref())
        }
        "selfSigned" => of_thumbprints(authentication, last.as_deref()),
        "sas" => of_keys(last.as_deref()),
        _ => Vec::new(),
    };
    let now = device.visit.console.now();
    Ok(html! {
        section aria-labelledby="proof" {
            h2 #proof { "What authenticates it" }
            @if let Some(refused) = &refused { (refused.shown()) }
            @if rungs.is_empty() { p { "Nothing: it can have modules that connect, and does not connect itself." } }
            ol.ladder {
                @for rung in &rungs { (drawn(rung, longest(&rungs, now), now)) }
            }
            @if kind == "sas" { (keys(device, did)) }
            (printed(device, &format!("az iot hub device-identity show --hub-name {} --device-id", device.hub.name())))
        }
    })
}

/// The CAs of the hub, the one that holds longest first, and the certificate that the device shows.
fn of_authorities(told: &Value, last: Option<&str>) -> Vec<Rung> {
    let all = told.get("value").and_then(Value::as_array);
    let mut rungs: Vec<(i64, Rung)> = Vec::new();
    for it in all.into_iter().flatten() {
        let name = text(it, "/name");
        let until = Timestamp::parse_http(text(it, "/properties/expiry"));
        let is_verified = it.pointer("/properties/isVerified") == Some(&Value::Bool(true));
        let counts = if is_verified { "" } else { "; not verified, so it leads to nobody" };
        rungs.push((
            until.map_or(0, Timestamp::seconds),
            Rung {
                name: format!("CA {name}"),
                says: format!("{}{counts}", text(it, "/properties/subject")),
                until: until.map_or(Until::Unknown("its expiry cannot be read"), Until::Time),
                is_used: last.is_some_and(|it| it.contains(&format!("the CA `{name}`"))),
            },
        ));
    }
    rungs.sort_by_key(|(until, _)| std::cmp::Reverse(*until));
    let mut rungs: Vec<Rung> = rungs.into_iter().map(|(_, it)| it).collect();
    rungs.push(leaf(last));
    rungs
}

fn leaf(last: Option<&str>) -> Rung {
    let until = last.and_then(until_of);
    Rung {
        name: "The device's certificate".into(),
        says: match last {
            Some(_) => "as it showed it when it last connected".into(),
            None => "the hub keeps none; it is known once the device connects".into(),
        },
        until: until.map_or(Until::Unknown("not seen yet"), Until::Time),
        is_used: until.is_some(),
    }
}

fn of_thumbprints(authentication: &Value, last: Option<&str>) -> Vec<Rung> {
    let rung = |name: &str, which: &str| {
        let thumbprint = member(authentication, &["x509Thumbprint", which])?;
        Some(Rung {
            name: name.to_owned(),
            says: thumbprint.to_owned(),
            until: Until::Unknown("the hub knows the thumbprint alone"),
            is_used: false,
        })
    };
    let all = [
        rung("Primary thumbprint", "primaryThumbprint"),
        rung("Secondary thumbprint", "secondaryThumbprint"),
    ];
    let mut rungs: Vec<Rung> = all.into_iter().flatten().collect();
    rungs.push(leaf(last));
    rungs
}

fn of_keys(last: Option<&str>) -> Vec<Rung> {
    let key = |name: &str| Rung {
        name: name.to_owned(),
        says: "a shared secret: whoever has it is the device".into(),
        until: Until::Ever,
        is_used: false,
    };
    let signature = Rung {
        name: "Its last signature".into(),
        says: match last {
            Some(_) => "made by the device with one of the keys".into(),
            None => "it has made none here".into(),
        },
        until: last.and_then(until_of).map_or(Until::Unknown("not seen yet"), Until::Time),
        is_used: last.is_some(),
    };
    vec![key("Primary key"), key("Secondary key"), signature]
}

/// How long what a device has shown holds: its story says `valid until` and the time.
fn until_of(proof: &str) -> Option<Timestamp> {
    Timestamp::parse(proof.rsplit_once("valid until ")?.1)
}

/// Seconds that the longest rung has left; what never expires is longer than all.
fn longest(rungs: &[Rung], now: Timestamp) -> i64 {
    let left = rungs.iter().map(|it| match it.until {
        Until::Time(until) => until.seconds().saturating_sub(now.seconds()),
        Until::Ever | Until::Unknown(_) => 0,
    });
    left.max().unwrap_or(0).max(DAY_S)
}

fn drawn(rung: &Rung, longest: i64, now: Timestamp) -> Markup {
    let left = match rung.until {
        Until::Time(until) => Some(until.seconds().saturating_sub(now.seconds())),
        Until::Ever | Until::Unknown(_) => None,
    };
    let kind = match (&rung.until, left) {
        (_, Some(left)) if left <= 0 => "over",
        (_, Some(left)) if left < SOON_DAYS * DAY_S => "soon",
        (Until::Unknown(_), _) => "unknown",
        (Until::Ever, _) => "ever",
        _ => "long",
    };
    // Per cent of the longest; what is left of little time is seen, too.
    let width = match (&rung.until, left) {
        (_, Some(left)) => (left.saturating_mul(100) / longest).clamp(1, 100),
        (Until::Ever, None) => 100,
        _ => 0,
    };
    html! {
        li data-left=(kind) {
            strong { (rung.name) }
            @if rung.is_used { " " span.used { "used last" } }
            div.name { (rung.says) }
            svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
                rect.whole width="100" height="4" {}
                rect.left width=(width) height="4" {}
            }
            div.left {
                @match rung.until {
                    Until::Time(until) => {
                        (span(left.unwrap_or(0))) ": " time datetime=(until.rfc3339()) { (until.rfc3339()) }
                    }
                    Until::Ever => "does not expire",
                    Until::Unknown(why) => (why),
                }
            }
        }
    }
}

fn span(left: i64) -> String {
    let size = |seconds: i64| match seconds {
        0..3_600 => format!("{} min", seconds / 60),
        3_600..DAY_S => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / DAY_S),
    };
    match left {
        ..=0 => format!("expired {} ago", size(left.saturating_neg())),
        _ => format!("expires in {}", size(left)),
    }
}

/// Keys come to the page only where somebody asks for them, with a form: an address that shows them could be followed
/// by mistake, and the answer to a form is kept by nobody.
fn keys(device: &Device<'_>, did: &Did) -> Markup {
    let Did::Keys(identity) = did else {
        return device.form("keys", &html! { button { "Show the keys" } });
    };
    let key =
        |which: &str| text(identity, &format!("/authentication/symmetricKey/{which}")).to_owned();
    html! {
        dl.facts #keys {
            @for (name, which) in [("Primary key", "primaryKey"), ("Secondary key", "secondaryKey")] {
                dt { (name) } dd { code { (key(which)) } }
            }
        }
        p { a href=(device.here()) { "Hide them" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_ca_that_leads_to_the_device_is_told_from_its_namesakes() {
        let authority = |name: &str, expiry: &str| json!({ "name": name, "properties": { "expiry": expiry, "isVerified": true, "subject": name } });
        let all = json!({ "value": [
            authority("line1", "Sun, 22 Nov 2026 10:00:00 GMT"),
            authority("line10", "Mon, 22 Nov 2027 10:00:00 GMT"),
        ] });
        let last = "a certificate of the CA `line1`, valid until 2026-11-22T09:00:00.000Z";
        let rungs = of_authorities(&all, Some(last));
        let told: Vec<_> = rungs.iter().map(|it| (it.name.as_str(), it.is_used)).collect();
        assert_eq!(
            told,
            [("CA line10", false), ("CA line1", true), ("The device's certificate", true)]
        );
        let Until::Time(until) = rungs[2].until else { panic!("a time is known") };
        assert_eq!(until.rfc3339(), "2026-11-22T09:00:00.000Z");
    }

    #[test]
    fn what_is_over_says_so() {
        assert_eq!(span(-7_200), "expired 2 h ago");
        assert_eq!(span(90), "expires in 1 min");
        assert_eq!(span(40 * DAY_S), "expires in 40 days");
    }
}
