//! Diagnostic settings: which logs of a resource go to which workspace.
//!
//! A setting is a document under its full id in lower case. Hubs and provisioning services have logs, and
//! only workspaces receive them: each has a file, see `files.rs`. Other destinations are refused and not
//! ignored, as their readers would wait for ever.

use super::categories::{self, Categories};
use super::diagnostics::Sink;
use crate::authorization::scope_before;
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::resources::fields::Fields;
use crate::resources::no_resource;
use gate::{Facts, Permit};
use model::json::set;
use model::{Error, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use store::{Expect, tables};

/// Most diagnostic settings of a resource.
/// Source: Azure Monitor documentation, "Diagnostic settings in Azure Monitor".
pub(crate) const SETTINGS_MAX: usize = 5;
/// Longest name of a setting. Source: Azure resource naming rules, Microsoft.Insights.
const SETTING_NAME_CHARACTERS_MAX: usize = 260;
/// Most entries of `logs`, and of `metrics`.
const ENTRIES_MAX: usize = 64;
/// Days that a retention policy can name. Azure ignores the policy, and so do we.
const RETENTION_DAYS: std::ops::RangeInclusive<i64> = 0..=365;

const METRICS: &str = "AllMetrics";
const ALL_LOGS: &str = "allLogs";
const AUDIT: &str = "audit";

/// Destinations that exist in Azure and are not served here.
const NOT_SERVED: [&str; 5] = [
    "storageAccountId",
    "eventHubAuthorizationRuleId",
    "eventHubName",
    "serviceBusRuleId",
    "marketplacePartnerId",
];

/// A setting as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SettingDocument {
    id: String,
    name: String,
    /// The id of the resource, in lower case.
    resource: String,
    properties: Value,
}

impl SettingDocument {
    fn show(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "type": "Microsoft.Insights/diagnosticSettings",
            "properties": self.properties,
        })
    }

    fn workspace(&self) -> &str {
        model::json::text(&self.properties, &["workspaceId"]).unwrap_or("")
    }

    /// The categories that are switched on, groups taken apart.
    fn categories(&self) -> BTreeSet<&'static str> {
        let kind = Scope::parse(&self.resource).ok().and_then(|it| it.resource_type());
        let Some(known) = kind.and_then(|it| categories::of_type(&it)) else {
            return BTreeSet::new();
        };
        let logs =
            self.properties.get("logs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let enabled = logs.iter().filter(|it| it.get("enabled") == Some(&Value::Bool(true)));
        enabled.flat_map(|it| expand(it, known)).collect()
    }
}

/// The categories of one entry of `logs`.
fn expand(entry: &Value, known: &Categories) -> Vec<&'static str> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    match (text("category"), text("categoryGroup")) {
        (Some(one), _) => known.all.iter().filter(|it| **it == one).copied().collect(),
        (None, Some(ALL_LOGS)) => known.all.to_vec(),
        (None, Some(AUDIT)) => known.audited.to_vec(),
        (None, _) => Vec::new(),
    }
}

/// Brings the writer up to date with what was committed. The write is acknowledged whatever comes of it.
async fn load_again(permit: &Permit, env: &Env) {
    if let Err(error) = load(env).await {
        let tracking = permit.trace().map_or_else(|| env.new_tracking_id(), |it| it.id);
        env.metrics
            .log_fault(tracking, &format!("diagnostic settings were not loaded again: {error}"));
    }
}

/// Lets the writer see the settings as they are stored. For the start, and after each change.
///
/// # Errors
/// [`Error::Unavailable`] where they cannot be read.
pub async fn load(env: &Env) -> Result<(), Error> {
    let all = control::all::<SettingDocument>(env, tables::DIAGNOSTIC_SETTINGS, "").await?;
    let sinks = all.into_iter().map(|(_, setting)| Sink {
        categories: setting.categories(),
        workspace: setting.workspace().to_owned(),
        resource: setting.resource,
    });
    env.diagnostics.reload(sinks.filter(|it| !it.categories.is_empty()).collect());
    Ok(())
}

/// The resource before `/providers/Microsoft.Insights/...` in the path, and the categories that it has.
///
/// # Errors
/// `ResourceNotFound` where it does not exist; `ResourceTypeNotSupported` where it has no logs.
fn resource_of(input: &Input, facts: &Facts) -> Result<(Scope, &'static Categories), Error> {
    let scope = scope_before(&input.scope);
    let Some(known) = scope.resource_type().and_then(|it| categories::of_type(&it)) else {
        return Err(Error::Invalid {
            code: "ResourceTypeNotSupported",
            at: Some("path".into()),
            message: format!("diagnostic settings are offered for {}", categories::types()),
        });
    };
    let hub = facts.hub(&scope).map(|it| &it.scope);
    let found = hub.or_else(|| facts.dps(&scope).map(|it| &it.scope));
    Ok((found.ok_or_else(|| no_resource(&scope))?.clone(), known))
}

fn id_of(resource: &Scope, name: &str) -> Scope {
    resource.join(&format!("providers/Microsoft.Insights/diagnosticSettings/{name}"))
}

async fn at_resource(env: &Env, resource: &Scope) -> Result<Vec<SettingDocument>, Error> {
    let below = format!("{}/", id_of(resource, "x").key().trim_end_matches("/x"));
    let found = control::all(env, tables::DIAGNOSTIC_SETTINGS, &below).await?;
    Ok(found.into_iter().map(|(_, it)| it).collect())
}

/// # Errors
/// The place that breaks a rule; `Conflict` where another setting sends a category to the same place, or
/// where the resource has [`SETTINGS_MAX`] settings.
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (resource, known) = resource_of(input, &env.facts.load())?;
    let name = input.param("name");
    if name.chars().count() > SETTING_NAME_CHARACTERS_MAX {
        return Err(Error::invalid(
            "name",
            format!("a name has at most {SETTING_NAME_CHARACTERS_MAX} characters"),
        ));
    }
    let id = id_of(&resource, name);
    let setting = SettingDocument {
        id: id.as_str().to_owned(),
        name: name.to_owned(),
        resource: resource.key(),
        properties: read(&input.body, known)?,
    };
    let others: Vec<SettingDocument> = at_resource(env, &resource)
        .await?
        .into_iter()
        .filter(|it| !it.id.eq_ignore_ascii_case(&setting.id))
        .collect();
    check_others(&setting, &others)?;
    let key = id.key();
    let change = control::put(tables::DIAGNOSTIC_SETTINGS, key, Expect::Anything, &setting)?;
    control::commit(permit, env, vec![change]).await?;
    load_again(permit, env).await;
    Ok(Reply::ok(setting.show()))
}

/// A category goes to a destination once, and a resource has so many settings and no more.
fn check_others(setting: &SettingDocument, others: &[SettingDocument]) -> Result<(), Error> {
    let wanted = setting.categories();
    for other in others.iter().filter(|it| it.workspace().eq_ignore_ascii_case(setting.workspace()))
    {
        if let Some(category) = other.categories().intersection(&wanted).next() {
            return Err(Error::Conflict {
                code: "Conflict",
                message: format!(
                    "the setting `{}` sends `{category}` of this resource to the same workspace already",
                    other.name
                ),
            });
        }
    }
    match others.len() < SETTINGS_MAX {
        true => Ok(()),
        false => Err(Error::Conflict {
            code: "Conflict",
            message: format!(
                "the resource has {SETTINGS_MAX} diagnostic settings, which is the most"
            ),
        }),
    }
}

/// The properties of a body, checked and whole.
fn read(body: &Value, known: &Categories) -> Result<Value, Error> {
    let fields = Fields::of(body)?;
    let Some(given) = fields.object("properties")? else {
        return Err(fields.refuse("properties", "required"));
    };
    for name in NOT_SERVED {
        if given.text(name)?.is_some_and(|it| !it.is_empty()) {
            return Err(given.refuse(name, "this destination is not served; set `workspaceId`"));
        }
    }
    let Some(workspace) = given.text("workspaceId")?.filter(|it| !it.is_empty()) else {
        return Err(given.refuse("workspaceId", "at least one destination is required"));
    };
    let is_resource = |it: &Scope| it.resource_type().is_some() && it.resource_group().is_some();
    if !Scope::parse(workspace).is_ok_and(|it| is_resource(&it)) {
        return Err(given.refuse(
            "workspaceId",
            "expected the id of a workspace: /subscriptions/{id}/resourceGroups/{name}/providers/\
             Microsoft.OperationalInsights/workspaces/{name}",
        ));
    }
    let mut properties = json!({ "workspaceId": workspace });
    for name in NOT_SERVED {
        set(&mut properties, name, Value::Null);
    }
    set(
        &mut properties,
        "logAnalyticsDestinationType",
        json!(given.text("logAnalyticsDestinationType")?),
    );
    set(&mut properties, "logs", read_logs(&given, known)?);
    set(&mut properties, "metrics", read_metrics(&given)?);
    Ok(properties)
}

fn read_logs(given: &Fields<'_>, known: &Categories) -> Result<Value, Error> {
    let mut seen = BTreeSet::new();
    let mut logs = Vec::new();
    for entry in given.objects("logs", ENTRIES_MAX)?.unwrap_or_default() {
        let (category, group) =
            (entry.word("category", known.all)?, entry.word("categoryGroup", &[ALL_LOGS, AUDIT])?);
        let name = match (category, group) {
            (Some(one), None) | (None, Some(one)) => one,
            (Some(_), Some(_)) | (None, None) => {
                return Err(
                    entry.refuse("category", "either `category` or `categoryGroup` is required")
                );
            }
        };
        if !seen.insert(name) {
            return Err(entry.refuse("category", format!("`{name}` stands in the list already")));
        }
        let mut log = Map::new();
        log.insert("category".into(), json!(category));
        log.insert("categoryGroup".into(), json!(group));
        read_switch(&entry, &mut log)?;
        logs.push(Value::Object(log));
    }
    Ok(Value::Array(logs))
}

fn read_metrics(given: &Fields<'_>) -> Result<Value, Error> {
    let mut metrics = Vec::new();
    for entry in given.objects("metrics", ENTRIES_MAX)?.unwrap_or_default() {
        let category = entry.word("category", &[METRICS])?.unwrap_or(METRICS);
        if !metrics.is_empty() {
            return Err(
                entry.refuse("category", format!("`{category}` stands in the list already"))
            );
        }
        let mut metric = Map::new();
        metric.insert("category".into(), json!(category));
        metric.insert("timeGrain".into(), json!(entry.text("timeGrain")?));
        read_switch(&entry, &mut metric)?;
        metrics.push(Value::Object(metric));
    }
    Ok(Value::Array(metrics))
}

/// What logs and metrics have in common.
fn read_switch(entry: &Fields<'_>, read: &mut Map<String, Value>) -> Result<(), Error> {
    let Some(is_enabled) = entry.bool("enabled")? else {
        return Err(entry.refuse("enabled", "required"));
    };
    let (mut is_kept, mut days) = (false, 0);
    if let Some(policy) = entry.object("retentionPolicy")? {
        is_kept = policy.bool("enabled")?.unwrap_or(false);
        days = policy.integer("days", RETENTION_DAYS)?.unwrap_or(0);
    }
    read.insert("enabled".into(), json!(is_enabled));
    read.insert("retentionPolicy".into(), json!({ "enabled": is_kept, "days": days }));
    Ok(())
}

/// # Errors
/// `ResourceNotFound` for the resource or the setting.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let id = id_of(&resource_of(input, &env.facts.load())?.0, input.param("name"));
    let key = id.key();
    match control::get::<SettingDocument>(env, tables::DIAGNOSTIC_SETTINGS, &key).await? {
        Some((setting, _)) => Ok(Reply::ok(setting.show())),
        None => Err(no_resource(&id)),
    }
}

/// # Errors
/// `ResourceNotFound` for the resource.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (resource, _) = resource_of(input, &env.facts.load())?;
    let settings = at_resource(env, &resource).await?;
    Ok(Reply::list(settings.iter().map(SettingDocument::show).collect()))
}

/// 200 where the setting was there, 204 where it was not.
///
/// # Errors
/// `ResourceNotFound` for the resource.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let key = id_of(&resource_of(input, &env.facts.load())?.0, input.param("name")).key();
    if control::get::<SettingDocument>(env, tables::DIAGNOSTIC_SETTINGS, &key).await?.is_none() {
        return Ok(Reply::empty(204));
    }
    let change = control::delete(tables::DIAGNOSTIC_SETTINGS, key, Expect::Present);
    control::commit(permit, env, vec![change]).await?;
    load_again(permit, env).await;
    Ok(Reply::empty(200))
}

/// The categories that the resource has.
///
/// # Errors
/// `ResourceNotFound` for the resource.
pub(crate) async fn list_categories(
    _permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let (resource, known) = resource_of(input, &env.facts.load())?;
    let category = |name: &str, kind: &str, groups: &[&str]| {
        let below = format!("providers/Microsoft.Insights/diagnosticSettingsCategories/{name}");
        json!({
            "id": resource.join(&below).as_str(),
            "name": name,
            "type": "Microsoft.Insights/diagnosticSettingsCategories",
            "properties": { "categoryType": kind, "categoryGroups": groups },
        })
    };
    let logs = known.all.iter().map(|name| match known.audited.contains(name) {
        true => category(name, "Logs", &[ALL_LOGS, AUDIT]),
        false => category(name, "Logs", &[ALL_LOGS]),
    });
    Ok(Reply::list(logs.chain([category(METRICS, "Metrics", &[])]).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/audit";
    const HUB: &str =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/plant";
    const DPS: &str =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/ProvisioningServices/plant";

    fn hub() -> &'static Categories {
        categories::of_type("Microsoft.Devices/IotHubs").unwrap()
    }

    fn dps() -> &'static Categories {
        categories::of_type("Microsoft.Devices/provisioningServices").unwrap()
    }

    fn setting(name: &str, workspace: &str, category: &str) -> SettingDocument {
        let body = json!({ "properties": {
            "workspaceId": workspace, "logs": [{ "category": category, "enabled": true }],
        } });
        SettingDocument {
            id: format!("{HUB}/providers/Microsoft.Insights/diagnosticSettings/{name}"),
            name: name.into(),
            resource: HUB.to_lowercase(),
            properties: read(&body, hub()).unwrap(),
        }
    }

    fn place(properties: Value) -> String {
        match read(&json!({ "properties": properties }), hub()) {
            Err(Error::Invalid { at: Some(at), .. }) => at,
            Ok(read) => panic!("{read:?}"),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_destination_is_required_and_must_be_one_that_is_served() {
        assert_eq!(place(json!({ "logs": [] })), "properties.workspaceId");
        assert_eq!(place(json!({ "workspaceId": "" })), "properties.workspaceId");
        assert_eq!(place(json!({ "workspaceId": "audit" })), "properties.workspaceId");
        assert_eq!(place(json!({ "workspaceId": "/subscriptions/s" })), "properties.workspaceId");
        assert_eq!(
            place(json!({ "workspaceId": format!("{WORKSPACE}/../x") })),
            "properties.workspaceId"
        );
        assert_eq!(
            place(json!({ "workspaceId": WORKSPACE, "storageAccountId": "/x" })),
            "properties.storageAccountId"
        );
        assert!(
            read(
                &json!({ "properties": { "workspaceId": WORKSPACE, "storageAccountId": null } }),
                hub()
            )
            .is_ok()
        );
    }

    #[test]
    fn an_unknown_category_is_refused_with_the_known_ones() {
        let logs = |entry: Value| json!({ "workspaceId": WORKSPACE, "logs": [entry] });
        let refusal = |category: &str, known| {
            let entry = json!({ "category": category, "enabled": true });
            read(&json!({ "properties": logs(entry) }), known).unwrap_err().to_string()
        };
        let said = refusal("Gossip", hub());
        assert!(
            said.contains("DeviceIdentityOperations") && said.contains("DirectMethods"),
            "{said}"
        );
        // What another type of resource has is no category of this one.
        let said = refusal("DeviceOperations", hub());
        assert!(said.contains("`DeviceOperations` is not one of Connections"), "{said}");
        let said = refusal("Connections", dps());
        assert!(
            said.ends_with("`Connections` is not one of DeviceOperations, ServiceOperations"),
            "{said}"
        );
        assert_eq!(place(logs(json!({ "enabled": true }))), "properties.logs[0].category");
        assert_eq!(
            place(logs(json!({ "category": "Routes", "categoryGroup": "audit", "enabled": true }))),
            "properties.logs[0].category"
        );
        assert_eq!(place(logs(json!({ "category": "Routes" }))), "properties.logs[0].enabled");
        assert_eq!(
            place(logs(json!({ "categoryGroup": "everything", "enabled": true }))),
            "properties.logs[0].categoryGroup"
        );
        let twice = json!([{ "category": "Routes", "enabled": true }, { "category": "routes", "enabled": false }]);
        assert_eq!(
            place(json!({ "workspaceId": WORKSPACE, "logs": twice })),
            "properties.logs[1].category"
        );
    }

    #[test]
    fn groups_stand_for_their_categories() {
        let of = |entry: Value, resource: &str, known: &'static Categories| {
            let body = json!({ "properties": { "workspaceId": WORKSPACE, "logs": [entry] } });
            let setting = setting("a", WORKSPACE, "Routes");
            let properties = read(&body, known).unwrap();
            SettingDocument { properties, resource: resource.to_lowercase(), ..setting }
                .categories()
        };
        let everything = json!({ "categoryGroup": "AllLogs", "enabled": true });
        assert_eq!(of(everything.clone(), HUB, hub()).len(), hub().all.len());
        let names: Vec<&str> = of(everything, DPS, dps()).into_iter().collect();
        assert_eq!(names, ["DeviceOperations", "ServiceOperations"]);
        let audit = |is_enabled: bool| json!({ "categoryGroup": "audit", "enabled": is_enabled });
        assert!(of(audit(true), HUB, hub()).contains("DeviceIdentityOperations"));
        assert!(of(audit(false), HUB, hub()).is_empty());
    }

    #[test]
    fn a_category_goes_to_a_workspace_once() {
        let others = [setting("other", &WORKSPACE.to_uppercase(), "Routes")];
        let code = |it: Result<(), Error>| it.map_err(|it| it.wire().http_status).err();
        assert_eq!(code(check_others(&setting("a", WORKSPACE, "Routes"), &others)), Some(409));
        assert_eq!(code(check_others(&setting("a", WORKSPACE, "Connections"), &others)), None);
        let elsewhere = WORKSPACE.replace("audit", "audit2");
        assert_eq!(code(check_others(&setting("a", &elsewhere, "Routes"), &others)), None);
    }

    #[test]
    fn a_resource_has_five_settings_and_no_sixth() {
        let others: Vec<SettingDocument> = (0..SETTINGS_MAX)
            .map(|it| setting(&it.to_string(), WORKSPACE, hub().all[it]))
            .collect();
        let next = setting("next", WORKSPACE, hub().all[SETTINGS_MAX]);
        assert!(check_others(&next, &others[1..]).is_ok());
        assert!(check_others(&next, &others).is_err());
    }
}
