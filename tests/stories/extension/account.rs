//! Who is signed in to the command line, what the extension finds for them, and how it asks there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::{Answer, Identity, World};
use wire::sas;

/// Versions in which the command line of 2.65 and the extension ask.
const HUBS: &str = "2023-06-30-preview";
pub const SERVICES: &str = "2021-10-15";
pub const HUB_DATA: &str = "2024-03-31";
const SERVICE_DATA: &str = "2021-10-01";
const HUB_RIGHTS: [&str; 3] = ["RegistryWrite", "ServiceConnect", "DeviceConnect"];
const SERVICE_RIGHTS: [&str; 2] = ["ServiceConfig", "EnrollmentWrite"];

/// What the extension looks for: a hub or a provisioning service.
#[derive(Clone, Copy)]
pub struct Kind {
    collection: &'static str,
    version: &'static str,
    data_version: &'static str,
    audience: &'static str,
    rights: &'static [&'static str],
    /// Where its resource says how it is reached.
    host: &'static str,
}

pub const HUB: Kind = Kind {
    collection: "IotHubs",
    version: HUBS,
    data_version: HUB_DATA,
    audience: "https://iothubs.azure.net",
    rights: &HUB_RIGHTS,
    host: "/properties/hostName",
};
pub const DPS: Kind = Kind {
    collection: "provisioningServices",
    version: SERVICES,
    data_version: SERVICE_DATA,
    audience: "https://azure-devices-provisioning.net",
    rights: &SERVICE_RIGHTS,
    host: "/properties/serviceOperationsHostName",
};

/// Why a command ends before it has asked the hub anything.
#[derive(Debug, PartialEq)]
pub enum Lost {
    /// No hub of this name is among those that the account can list.
    NotFound,
    /// No policy has the rights that the extension wants.
    NoPolicy,
    Refused(u16, String),
}

/// A hub or a provisioning service as the extension has found it, with what it signs or shows.
pub struct Target<'a> {
    world: &'a World,
    kind: Kind,
    pub host: String,
    pub show: Show,
}

pub enum Show {
    Key { policy: String, key: Vec<u8> },
    Token(String),
}

/// Somebody who is signed in to the command line.
pub struct Account<'a> {
    world: &'a World,
    who: Identity,
}

pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("the extension reads {pointer}: {value}"))
}

impl<'a> Account<'a> {
    pub fn of(world: &'a World, who: Identity) -> Self {
        Self { world, who }
    }

    pub fn arm(&self, method: &str, path: &str, version: &str) -> Answer {
        // As the identity library asks: the resource ends in a slash, and another follows.
        let token = self.world.token(&self.who, "https://management.core.windows.net/");
        let url = format!("{}{path}?api-version={version}", self.world.setting("HUBWARD_ARM"));
        self.world.wire().json(method, &url, &format!("Bearer {token}"), &Value::Null)
    }

    fn asked(answer: Answer) -> Result<Value, Lost> {
        match answer.status {
            200 => Ok(answer.body),
            status => Err(Lost::Refused(status, answer.code())),
        }
    }

    /// The resource: at its group where that is named, and among all of the subscription otherwise.
    pub fn finds(&self, kind: Kind, name: &str, group: Option<&str>) -> Result<Value, Lost> {
        let subscription = self.world.subscription();
        let devices = format!("providers/Microsoft.Devices/{}", kind.collection);
        if let Some(group) = group {
            let path = format!("{subscription}/resourceGroups/{group}/{devices}/{name}");
            return Self::asked(self.arm("GET", &path, kind.version));
        }
        let path = format!("{subscription}/{devices}");
        let all = Self::asked(self.arm("GET", &path, kind.version))?;
        let all = all["value"].as_array().unwrap().clone();
        let found = all.into_iter().find(|it| text(it, "/name").eq_ignore_ascii_case(name));
        found.ok_or(Lost::NotFound)
    }

    /// `--auth-type key`: the first policy that has all rights, by name and key.
    pub fn by_key(&self, kind: Kind, name: &str, group: Option<&str>) -> Result<Target<'a>, Lost> {
        let found = self.finds(kind, name, group)?;
        // The undocumented member: the extension takes the group of the keys from it.
        let path = format!(
            "{}/resourceGroups/{}/providers/Microsoft.Devices/{}/{name}/listkeys",
            self.world.subscription(),
            text(&found, "/resourcegroup"),
            kind.collection
        );
        let listed = Self::asked(self.arm("POST", &path, kind.version))?;
        let fits = |it: &&Value| {
            let held: Vec<&str> = text(it, "/rights").split(", ").collect();
            kind.rights.iter().all(|right| held.contains(right))
        };
        let policies = listed["value"].as_array().unwrap();
        let policy = policies.iter().find(fits).ok_or(Lost::NoPolicy)?;
        assert!(!text(policy, "/secondaryKey").is_empty());
        let show = Show::Key {
            policy: text(policy, "/keyName").to_owned(),
            key: STANDARD.decode(text(policy, "/primaryKey")).unwrap(),
        };
        Ok(Target { world: self.world, kind, host: text(&found, kind.host).to_owned(), show })
    }

    /// `--auth-type login`: the account's own token. A name with a dot is a host, and nothing is looked up.
    pub fn by_login(
        &self,
        kind: Kind,
        name: &str,
        group: Option<&str>,
    ) -> Result<Target<'a>, Lost> {
        let host = match name.contains('.') {
            true => name.to_owned(),
            false => text(&self.finds(kind, name, group)?, kind.host).to_owned(),
        };
        let show = Show::Token(self.world.token(&self.who, kind.audience));
        Ok(Target { world: self.world, kind, host, show })
    }
}

impl Target<'_> {
    fn authorization(&self) -> String {
        match &self.show {
            Show::Token(token) => format!("Bearer {token}"),
            Show::Key { policy, key } => {
                let until = self.world.now().plus_seconds(3_600);
                sas::sign(&sas::resource_text(&self.host), key, until, Some(policy))
            }
        }
    }

    pub fn sends(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let url = format!("https://{}{path}?api-version={}", self.host, self.kind.data_version);
        let authorization = self.authorization();
        let mut all = vec![
            ("Authorization", authorization.as_str()),
            ("Accept", "application/json"),
            ("accept-language", "en-US"),
            ("x-ms-client-request-id", "5cf6a0e2-0000-4000-8000-000000000001"),
        ];
        all.extend_from_slice(headers);
        self.world.wire().json_with(method, &url, &all, body)
    }

    pub fn gets(&self, path: &str) -> Answer {
        self.sends("GET", path, &[], &Value::Null)
    }

    /// A whole query, page by page as the service makes them, or up to `top`.
    pub fn queries(&self, path: &str, query: &str, top: Option<usize>) -> Vec<Value> {
        let (mut found, mut next) = (Vec::new(), None::<String>);
        loop {
            let count = top.map(|it| (it - found.len()).to_string());
            let mut headers: Vec<(&str, &str)> = Vec::new();
            headers.extend(count.as_deref().map(|it| ("x-ms-max-item-count", it)));
            headers.extend(next.as_deref().map(|it| ("x-ms-continuation", it)));
            let page = self.sends("POST", path, &headers, &json!({ "query": query })).expect(200);
            found.extend(page.body.as_array().unwrap().iter().cloned());
            next = page.header("x-ms-continuation").map(str::to_owned);
            if next.is_none() || top.is_some_and(|it| found.len() >= it) {
                return found;
            }
        }
    }

    pub fn device_ids(&self) -> Vec<String> {
        let found = self.queries("/devices/query", "select * from devices", None);
        found.iter().map(|it| text(it, "/deviceId").to_owned()).collect()
    }
}
