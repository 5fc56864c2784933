//! The types of targets: what each is called, what its body may say, and what stands where it says nothing.
//!
//! Sources: the published contracts of Microsoft.EventHub and Microsoft.ServiceBus (2026-01-01) and of Microsoft.Storage
//! (2026-09-01); Azure's resource naming rules; quotas of each service.

use crate::resources::fields::Fields;
use gate::facts::TargetKind;
use model::json::set;
use model::{Error, Scope};
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;

/// A type of target, or of what lies in one.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) full_type: &'static str,
    /// What stands between the one that it lies in and its name; empty for what lies in a resource group.
    pub(super) path: &'static str,
    pub(super) naming: Naming,
    /// Editions, the usual one first; none for what lies in another.
    pub(super) skus: &'static [&'static str],
    pub(super) properties: &'static [Property],
    pub(super) keys: Keyed,
    /// Most in one parent.
    pub(super) count_max: usize,
    pub(super) service: TargetKind,
    /// Whether it keeps more than its document.
    pub(super) has_shard: bool,
}

/// Whether there are keys to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keyed {
    No,
    /// An authorization rule: rights and two keys.
    Rule,
    /// A storage account: two keys that open all of it.
    Account,
}

#[derive(Debug)]
pub(super) struct Naming {
    pub(super) characters: RangeInclusive<usize>,
    /// Beside letters and digits.
    others: &'static [u8],
    is_lower: bool,
}

impl Naming {
    const fn new(characters: RangeInclusive<usize>, others: &'static [u8]) -> Self {
        Self { characters, others, is_lower: false }
    }

    /// # Errors
    /// The rule, as a sentence.
    pub(super) fn check(&self, name: &str) -> Result<(), String> {
        let (least, most) = (self.characters.start(), self.characters.end());
        let is_letter = |it: u8| match self.is_lower {
            true => it.is_ascii_lowercase() || it.is_ascii_digit(),
            false => it.is_ascii_alphanumeric(),
        };
        let all = name.bytes().all(|it| is_letter(it) || self.others.contains(&it));
        let ends = name.bytes().next().is_some_and(is_letter)
            && name.bytes().last().is_some_and(is_letter);
        match self.characters.contains(&name.len()) && all && ends {
            true => Ok(()),
            false => {
                let lower = if self.is_lower { "lower-case " } else { "" };
                let others = String::from_utf8_lossy(self.others);
                let others = if others.is_empty() {
                    String::new()
                } else {
                    format!(" and `{others}` between them")
                };
                Err(format!(
                    "a name of {least} to {most} {lower}letters and digits{others} is expected"
                ))
            }
        }
    }
}

/// One property that a caller may set.
#[derive(Debug)]
pub(super) struct Property {
    name: &'static str,
    shape: Shape,
    /// What it is made with stays.
    is_fixed: bool,
}

#[derive(Debug)]
enum Shape {
    Bool(bool),
    Whole(RangeInclusive<i64>, i64),
    Word(&'static [&'static str]),
    Duration(&'static str),
    Text(usize),
}

const fn property(name: &'static str, shape: Shape) -> Property {
    Property { name, shape, is_fixed: false }
}

const fn fixed(name: &'static str, shape: Shape) -> Property {
    Property { is_fixed: true, ..property(name, shape) }
}

/// A hundred years and more: messages that never end. Source: as the module's.
const NEVER_S: u64 = 10_675_199 * 86_400 + 86_399;
const METADATA_CHARACTERS_MAX: usize = 1_024;
const TLS: Shape = Shape::Word(&["1.2", "1.0", "1.1", "1.3"]);
const ACCESS: Shape = Shape::Word(&["Enabled", "Disabled"]);
const STATUS: Shape = Shape::Word(&["Active", "Disabled", "SendDisabled", "ReceiveDisabled"]);
const FOREVER: &str = "P10675198DT2H48M5S";

const EVENT_HUB_NAMESPACE: &[Property] = &[
    property("minimumTlsVersion", TLS),
    property("publicNetworkAccess", ACCESS),
    property("disableLocalAuth", Shape::Bool(false)),
    property("isAutoInflateEnabled", Shape::Bool(false)),
    property("maximumThroughputUnits", Shape::Whole(0..=40, 0)),
    property("kafkaEnabled", Shape::Bool(true)),
    fixed("zoneRedundant", Shape::Bool(true)),
];
const SERVICE_BUS_NAMESPACE: &[Property] = &[
    property("minimumTlsVersion", TLS),
    property("publicNetworkAccess", ACCESS),
    property("disableLocalAuth", Shape::Bool(false)),
    fixed("zoneRedundant", Shape::Bool(true)),
];
const EVENT_HUB: &[Property] = &[
    fixed("partitionCount", Shape::Whole(1..=1_024, 4)),
    property("messageRetentionInDays", Shape::Whole(1..=90, 7)),
    property("status", STATUS),
    property("userMetadata", Shape::Text(METADATA_CHARACTERS_MAX)),
];
const QUEUE: &[Property] = &[
    property("lockDuration", Shape::Duration("PT1M")),
    property("maxSizeInMegabytes", Shape::Whole(1_024..=81_920, 1_024)),
    fixed("requiresDuplicateDetection", Shape::Bool(false)),
    fixed("requiresSession", Shape::Bool(false)),
    property("defaultMessageTimeToLive", Shape::Duration(FOREVER)),
    property("deadLetteringOnMessageExpiration", Shape::Bool(false)),
    property("duplicateDetectionHistoryTimeWindow", Shape::Duration("PT10M")),
    property("maxDeliveryCount", Shape::Whole(1..=2_000, 10)),
    property("status", STATUS),
    property("enableBatchedOperations", Shape::Bool(true)),
    property("autoDeleteOnIdle", Shape::Duration(FOREVER)),
    fixed("enablePartitioning", Shape::Bool(false)),
    property("enableExpress", Shape::Bool(false)),
    property("userMetadata", Shape::Text(METADATA_CHARACTERS_MAX)),
];
const TOPIC: &[Property] = &[
    property("maxSizeInMegabytes", Shape::Whole(1_024..=81_920, 1_024)),
    fixed("requiresDuplicateDetection", Shape::Bool(false)),
    property("defaultMessageTimeToLive", Shape::Duration(FOREVER)),
    property("duplicateDetectionHistoryTimeWindow", Shape::Duration("PT10M")),
    property("status", STATUS),
    property("supportOrdering", Shape::Bool(false)),
    property("enableBatchedOperations", Shape::Bool(true)),
    property("autoDeleteOnIdle", Shape::Duration(FOREVER)),
    fixed("enablePartitioning", Shape::Bool(false)),
    property("enableExpress", Shape::Bool(false)),
    property("userMetadata", Shape::Text(METADATA_CHARACTERS_MAX)),
];
const SUBSCRIPTION: &[Property] = &[
    property("lockDuration", Shape::Duration("PT1M")),
    fixed("requiresSession", Shape::Bool(false)),
    property("defaultMessageTimeToLive", Shape::Duration(FOREVER)),
    property("deadLetteringOnMessageExpiration", Shape::Bool(false)),
    property("deadLetteringOnFilterEvaluationExceptions", Shape::Bool(true)),
    property("maxDeliveryCount", Shape::Whole(1..=2_000, 10)),
    property("status", STATUS),
    property("enableBatchedOperations", Shape::Bool(true)),
    property("autoDeleteOnIdle", Shape::Duration(FOREVER)),
    property("userMetadata", Shape::Text(METADATA_CHARACTERS_MAX)),
];
const STORAGE: &[Property] = &[
    property("minimumTlsVersion", Shape::Word(&["TLS1_2", "TLS1_0", "TLS1_1", "TLS1_3"])),
    property("publicNetworkAccess", ACCESS),
    property("allowSharedKeyAccess", Shape::Bool(true)),
    property("allowBlobPublicAccess", Shape::Bool(false)),
    property("supportsHttpsTrafficOnly", Shape::Bool(true)),
    property("defaultToOAuthAuthentication", Shape::Bool(false)),
    property("allowCrossTenantReplication", Shape::Bool(false)),
    property("accessTier", Shape::Word(&["Hot", "Cool", "Cold", "Premium"])),
    fixed("isHnsEnabled", Shape::Bool(false)),
];

const fn child(
    full_type: &'static str,
    path: &'static str,
    naming: Naming,
    properties: &'static [Property],
    count_max: usize,
) -> Kind {
    let (keys, service) = (Keyed::No, TargetKind::EventHubs);
    let skus = &[];
    Kind { full_type, path, naming, skus, properties, keys, count_max, service, has_shard: false }
}

const fn of_service_bus(kind: Kind) -> Kind {
    Kind { service: TargetKind::ServiceBus, ..kind }
}

const fn rule(full_type: &'static str) -> Kind {
    // 12 in a namespace or entity. Source: quotas of Event Hubs and Service Bus.
    let kind = child(full_type, "authorizationRules", Naming::new(1..=50, b"-._"), &[], 12);
    Kind { keys: Keyed::Rule, ..kind }
}

const NAMESPACE: Naming = Naming::new(6..=50, b"-");
/// Of a subscription. A bound of ours; Azure's is 1,000.
const RESOURCES_MAX: usize = 250;
/// What one resource group or namespace takes away in one commit has to stay within a cascade.
const ENTITIES_MAX: usize = 100;

pub(super) const KINDS: &[Kind] = &[
    Kind {
        full_type: "Microsoft.EventHub/namespaces",
        path: "",
        naming: NAMESPACE,
        skus: &["Standard", "Basic", "Premium"],
        properties: EVENT_HUB_NAMESPACE,
        keys: Keyed::No,
        count_max: RESOURCES_MAX,
        service: TargetKind::EventHubs,
        has_shard: false,
    },
    Kind {
        has_shard: true,
        ..child(
            "Microsoft.EventHub/namespaces/eventhubs",
            "eventhubs",
            Naming::new(1..=256, b"-._"),
            EVENT_HUB,
            ENTITIES_MAX,
        )
    },
    child(
        "Microsoft.EventHub/namespaces/eventhubs/consumergroups",
        "consumergroups",
        Naming::new(1..=50, b"-._"),
        &[property("userMetadata", Shape::Text(METADATA_CHARACTERS_MAX))],
        20,
    ),
    rule("Microsoft.EventHub/namespaces/authorizationRules"),
    rule("Microsoft.EventHub/namespaces/eventhubs/authorizationRules"),
    Kind {
        full_type: "Microsoft.ServiceBus/namespaces",
        path: "",
        naming: NAMESPACE,
        skus: &["Standard", "Basic", "Premium"],
        properties: SERVICE_BUS_NAMESPACE,
        keys: Keyed::No,
        count_max: RESOURCES_MAX,
        service: TargetKind::ServiceBus,
        has_shard: true,
    },
    of_service_bus(child(
        "Microsoft.ServiceBus/namespaces/queues",
        "queues",
        Naming::new(1..=260, b"-._"),
        QUEUE,
        ENTITIES_MAX,
    )),
    of_service_bus(child(
        "Microsoft.ServiceBus/namespaces/topics",
        "topics",
        Naming::new(1..=260, b"-._"),
        TOPIC,
        ENTITIES_MAX,
    )),
    of_service_bus(child(
        "Microsoft.ServiceBus/namespaces/topics/subscriptions",
        "subscriptions",
        Naming::new(1..=50, b"-._"),
        SUBSCRIPTION,
        ENTITIES_MAX,
    )),
    of_service_bus(rule("Microsoft.ServiceBus/namespaces/authorizationRules")),
    of_service_bus(rule("Microsoft.ServiceBus/namespaces/queues/authorizationRules")),
    of_service_bus(rule("Microsoft.ServiceBus/namespaces/topics/authorizationRules")),
    Kind {
        full_type: "Microsoft.Storage/storageAccounts",
        path: "",
        naming: Naming { characters: 3..=24, others: b"", is_lower: true },
        skus: &[
            "Standard_LRS",
            "Standard_GRS",
            "Standard_RAGRS",
            "Standard_ZRS",
            "Premium_LRS",
            "Premium_ZRS",
            "Standard_GZRS",
            "Standard_RAGZRS",
        ],
        properties: STORAGE,
        keys: Keyed::Account,
        count_max: RESOURCES_MAX,
        service: TargetKind::Storage,
        has_shard: false,
    },
    Kind {
        service: TargetKind::Storage,
        ..child(
            "Microsoft.Storage/storageAccounts/blobServices/containers",
            "blobServices/default/containers",
            Naming { characters: 3..=63, others: b"-", is_lower: true },
            &[fixed("publicAccess", Shape::Word(&["None", "Blob", "Container"]))],
            ENTITIES_MAX,
        )
    },
];

/// The type of a place, of a list or of what is in it.
pub(super) fn of(scope: &Scope) -> Option<&'static Kind> {
    let mut behind =
        scope.segments().skip_while(|it| !it.eq_ignore_ascii_case("providers")).skip(1);
    let namespace = behind.next()?;
    let types = behind.step_by(2).collect::<Vec<_>>().join("/");
    let full = format!("{namespace}/{types}");
    KINDS.iter().find(|it| it.full_type.eq_ignore_ascii_case(&full))
}

impl Kind {
    pub(super) const fn is_top(&self) -> bool {
        self.path.is_empty()
    }

    pub(super) fn is_in(&self, namespace: &str) -> bool {
        let own = self.full_type.split('/').next();
        own.is_some_and(|it| it.eq_ignore_ascii_case(namespace))
    }

    /// What is in a new one of itself, as its path and its body: a rule that opens all of a namespace, the consumer
    /// group that every event hub has.
    pub(super) fn inherent(&self) -> Option<(&'static str, Value)> {
        match self.full_type {
            "Microsoft.EventHub/namespaces" | "Microsoft.ServiceBus/namespaces" => {
                let rights = json!({ "rights": ["Listen", "Send", "Manage"] });
                Some((
                    "authorizationRules/RootManageSharedAccessKey",
                    json!({ "properties": rights }),
                ))
            }
            "Microsoft.EventHub/namespaces/eventhubs" => {
                Some(("consumergroups/$Default", json!({})))
            }
            _ => None,
        }
    }

    /// What a body says of the properties, whole.
    ///
    /// # Errors
    /// The place in the body that breaks a rule.
    pub(super) fn read(&self, given: &Fields<'_>, former: Option<&Value>) -> Result<Value, Error> {
        let mut all = json!({});
        for it in self.properties {
            let before = former.and_then(|former| former.get(it.name));
            let read = match it.shape.read(given, it.name)? {
                Some(read) if it.is_fixed && before.is_some_and(|its| *its != read) => {
                    return Err(given.refuse(it.name, "what it was made with cannot be changed"));
                }
                Some(read) => Some(read),
                None if it.is_fixed => before.cloned().or_else(|| it.shape.default()),
                None => it.shape.default(),
            };
            if let Some(read) = read {
                set(&mut all, it.name, read);
            }
        }
        Ok(all)
    }
}

impl Shape {
    fn read(&self, given: &Fields<'_>, name: &str) -> Result<Option<Value>, Error> {
        Ok(match self {
            Self::Bool(_) => given.bool(name)?.map(Value::from),
            Self::Whole(range, _) => given.integer(name, range.clone())?.map(Value::from),
            Self::Word(words) => given.word(name, words)?.map(Value::from),
            Self::Duration(_) => given.duration(name, 0..=NEVER_S)?.map(Value::from),
            Self::Text(most) => match given.text(name)? {
                Some(text) if text.chars().count() > *most => {
                    return Err(given.refuse(name, format!("longer than {most} characters")));
                }
                text => text.map(Value::from),
            },
        })
    }

    fn default(&self) -> Option<Value> {
        match self {
            Self::Bool(it) => Some(json!(it)),
            Self::Whole(_, it) => Some(json!(it)),
            Self::Word(words) => words.first().map(|it| json!(it)),
            Self::Duration(it) => Some(json!(it)),
            Self::Text(_) => None,
        }
    }
}

/// The edition that a body names.
///
/// # Errors
/// The place in the body that breaks a rule.
pub(super) fn sku(
    kind: &Kind,
    fields: &Fields<'_>,
    former: Option<&Value>,
) -> Result<Value, Error> {
    let usual = kind.skus.first().copied().unwrap_or_default();
    let Some(given) = fields.object("sku")? else {
        return Ok(former.cloned().unwrap_or_else(|| shown_sku(usual, None)));
    };
    let name = given.word("name", kind.skus)?.unwrap_or(usual);
    Ok(shown_sku(name, given.integer("capacity", 1..=40)?))
}

fn shown_sku(name: &str, capacity: Option<i64>) -> Value {
    let mut shown = Map::new();
    shown.insert("name".into(), json!(name));
    // Of a storage account the tier is the first word.
    shown.insert("tier".into(), json!(name.split('_').next()));
    if !name.contains('_') {
        shown.insert("capacity".into(), json!(capacity.unwrap_or(1)));
    }
    Value::Object(shown)
}
