//! The alert: whoever is to know is told when too many tries are refused for who asks, and when that is over.

use crate::http::Http;
use crate::summary::Summary;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};

/// Its title.
const TITLE: &str = "High auth failure rate";

/// Whom to tell, and from what rate on.
#[derive(Clone, Debug)]
pub struct Alert {
    /// An address that a body of JSON is posted to. What stands behind its `?` may be secret.
    pub webhook: String,
    /// In percent: an alert goes out above it, and not at it.
    pub above_percent: f64,
}

/// Whether it is on.
#[derive(Default)]
pub(crate) struct Alarm {
    is_on: bool,
}

impl Alarm {
    /// What is to be told now, where that has changed.
    pub(crate) fn change(&mut self, summary: &Summary, alert: &Alert, hub: &str) -> Option<Value> {
        let rate = summary.auth_error_rate();
        let is_above = rate * 100.0 > alert.above_percent;
        if is_above == self.is_on {
            return None;
        }
        self.is_on = is_above;
        Some(json!({
            "alert": TITLE,
            "state": if is_above { "firing" } else { "resolved" },
            "rate": rate,
            "thresholdPercent": alert.above_percent,
            "hub": hub,
            "successCount": summary.success_count,
            "failureCount": summary.failure_count,
            "authErrors": summary.auth_errors,
        }))
    }
}

/// # Errors
/// In words, why it was not taken. The address is not among them.
pub(crate) async fn post(http: &Http, alert: &Alert, told: &Value) -> Result<(), String> {
    let body = Full::new(Bytes::from(told.to_string()));
    let request = Request::post(&alert.webhook)
        .header(CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(|_| "its address is none".to_owned())?;
    let answer = http.send(request).await?;
    match answer.status().is_success() {
        true => Ok(()),
        false => Err(format!("it answered {}", answer.status().as_u16())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S1-32: above ten percent and not at ten; and that it is over is told once, too.
    #[test]
    fn an_alert_goes_out_above_its_rate_and_clears() {
        let alert = Alert { webhook: String::new(), above_percent: 10.0 };
        let mut alarm = Alarm::default();
        let mut change = |success_count, auth_errors| {
            let failure_count = auth_errors;
            let summary =
                Summary { success_count, failure_count, auth_errors, ..Summary::default() };
            alarm
                .change(&summary, &alert, "/hub")
                .map(|it| it["state"].as_str().unwrap().to_owned())
        };
        assert_eq!(change(0, 0), None);
        assert_eq!(change(90, 10), None, "at ten percent");
        assert_eq!(change(899, 101).as_deref(), Some("firing"), "at 10.1");
        assert_eq!(change(800, 200), None, "told already");
        assert_eq!(change(900, 100).as_deref(), Some("resolved"));
        assert_eq!(change(1_000, 0), None);
    }
}
