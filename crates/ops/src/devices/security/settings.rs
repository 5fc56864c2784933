//! A hub's security settings: what devices without a policy of their own are held to, and what becomes of who breaks
//! one. There is one of them at a hub, called `default`; it lies in the hub's document, so that the gates have it.

use super::body;
use crate::devices::hubs::{self, HubDocument, etag, first_version};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::resources::{check_etag, no_resource};
use egress::Target;
use gate::Permit;
use model::Error;
use model::security::{SecurityAction, SecurityDefaults, SecurityPolicy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const NAME: &str = "default";
/// The share of refused calls from which somebody is alerted, where nobody says otherwise.
const ALERT_PERCENT: u8 = 10;

/// The settings as they are kept. The query of the webhook's address is secret: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettingsDocument {
    #[serde(default)]
    default_policy: Option<SecurityPolicy>,
    default_action: SecurityAction,
    alert_threshold_percent: u8,
    #[serde(default)]
    alert_webhook: Option<String>,
    /// Grows with every write; the etag is made of it.
    version: u64,
}

impl SettingsDocument {
    /// Of a hub of which nothing was said.
    const fn unsaid() -> Self {
        Self {
            default_policy: None,
            default_action: SecurityAction::Enforce,
            alert_threshold_percent: ALERT_PERCENT,
            alert_webhook: None,
            version: 0,
        }
    }

    /// What the gates decide by.
    pub(crate) fn defaults(&self) -> SecurityDefaults {
        SecurityDefaults { policy: self.default_policy.clone(), action: self.default_action }
    }

    fn shown(&self, hub: &HubDocument) -> Result<Value, Error> {
        let scope = hubs::scope_of_document(hub)?;
        Ok(json!({
            "id": format!("{scope}/securitySettings/{NAME}"),
            "name": NAME,
            "type": "Microsoft.Devices/IotHubs/securitySettings",
            "etag": etag(self.version),
            "properties": {
                "defaultPolicy": self.default_policy,
                "defaultAction": self.default_action,
                "alertThresholdPercent": self.alert_threshold_percent,
                "alertWebhook": self.webhook_shown(),
            },
        }))
    }

    /// The webhook without its query.
    fn webhook_shown(&self) -> Option<String> {
        let parsed = self.alert_webhook.as_deref().and_then(|it| Target::parse(it).ok());
        parsed.map(|it| it.to_string())
    }
}

/// `PUT .../securitySettings/default`: the whole of the settings. What is absent is as if nothing had been said.
///
/// # Errors
/// The place in the body that breaks a rule; [`Error::Stale`]; `ResourceNotFound`.
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    if !input.param("settings").eq_ignore_ascii_case(NAME) {
        let because = format!("a hub has one of these, called `{NAME}`");
        return Err(Error::invalid("name", because));
    }
    let (mut hub, revision) = hubs::named(input, env).await?;
    let former = hub.security.take();
    check_etag(input, former.as_ref().map(|it| etag(it.version)).as_deref())?;
    let next = read(&input.body, former.as_ref(), env)?;
    let shown = next.shown(&hub)?;
    hub.security = Some(next);
    hubs::save(permit, env, &hub, revision).await?;
    Ok(if former.is_some() { Reply::ok(shown) } else { Reply::created(shown) })
}

fn read(
    body: &Value,
    former: Option<&SettingsDocument>,
    env: &Env,
) -> Result<SettingsDocument, Error> {
    let fields = body::properties(body)?;
    fields.only(&["defaultPolicy", "defaultAction", "alertThresholdPercent", "alertWebhook"])?;
    let unsaid = SettingsDocument::unsaid();
    let default_policy = fields.object("defaultPolicy")?;
    let percent = fields.integer("alertThresholdPercent", 0..=100)?;
    let alert_webhook = match fields.text("alertWebhook")? {
        None => None,
        // As it is shown, it comes back with what was read: its query stays.
        Some(given)
            if former.and_then(SettingsDocument::webhook_shown).as_deref() == Some(given) =>
        {
            former.and_then(|it| it.alert_webhook.clone())
        }
        Some(given) => {
            let refuse = |it: String| fields.refuse("alertWebhook", it);
            let target = Target::parse(given).map_err(|it| refuse(it.to_string()))?;
            env.egress.check(&target).map_err(|it| refuse(it.to_string()))?;
            Some(given.to_owned())
        }
    };
    Ok(SettingsDocument {
        default_policy: default_policy.as_ref().map(body::members).transpose()?,
        default_action: body::action(&fields, "defaultAction")?.unwrap_or(unsaid.default_action),
        alert_threshold_percent: percent
            .and_then(|it| u8::try_from(it).ok())
            .unwrap_or(unsaid.alert_threshold_percent),
        alert_webhook,
        version: former.map_or_else(|| first_version(env.now()), |it| it.version.saturating_add(1)),
    })
}

/// The settings, or what holds where nobody has said anything.
///
/// # Errors
/// `ResourceNotFound` for the hub, and for settings of another name.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let shown = of_hub(input, env).await?;
    match input.param("settings").eq_ignore_ascii_case(NAME) {
        true => Ok(Reply::ok(shown)),
        false => Err(no_resource(&input.scope)),
    }
}

/// # Errors
/// `ResourceNotFound` for the hub.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    Ok(Reply::list(vec![of_hub(input, env).await?]))
}

async fn of_hub(input: &Input, env: &Env) -> Result<Value, Error> {
    let (hub, _) = hubs::named(input, env).await?;
    hub.security.as_ref().unwrap_or(&SettingsDocument::unsaid()).shown(&hub)
}
