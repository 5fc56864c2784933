//! What has changed of a twin, as change events tell it.

use super::{Section, Twin};
use serde_json::{Map, Value, json};

impl Twin {
    /// What is other than it was `before`: what was set again counts for properties, which have times, and what was
    /// taken away is `null`.
    pub(crate) fn since(&self, before: &Self) -> Value {
        let mut changed = json!({ "version": self.version });
        let nothing = Map::new();
        let (tags, _) = part((&before.tags, &nothing), (&self.tags, &nothing));
        let mut put = |name: &str, value: Option<Value>| {
            if let (Some(value), Value::Object(all)) = (value, &mut changed) {
                all.insert(name.to_owned(), value);
            }
        };
        put("tags", (!tags.is_empty()).then_some(Value::Object(tags)));
        let mut properties = Map::new();
        let sections = [
            ("desired", &before.desired, &self.desired),
            ("reported", &before.reported, &self.reported),
        ];
        for (name, before, now) in sections {
            if before.version != now.version {
                properties.insert(name.to_owned(), section(before, now));
            }
        }
        put("properties", (!properties.is_empty()).then_some(Value::Object(properties)));
        changed
    }
}

fn section(before: &Section, now: &Section) -> Value {
    let (mut values, times) =
        part((&before.properties, &before.metadata), (&now.properties, &now.metadata));
    values.insert("$metadata".to_owned(), Value::Object(times));
    values.insert("$version".to_owned(), json!(now.version));
    Value::Object(values)
}

/// Values and their times.
type Tree<'a> = (&'a Map<String, Value>, &'a Map<String, Value>);

fn part(
    (former, former_times): Tree<'_>,
    (values, times): Tree<'_>,
) -> (Map<String, Value>, Map<String, Value>) {
    let (mut changed, mut changed_times) = (Map::new(), Map::new());
    let own = times.iter().filter(|(name, _)| name.starts_with('$'));
    changed_times.extend(own.map(|(name, time)| (name.clone(), time.clone())));
    let nothing = Map::new();
    for (name, value) in values {
        let time = times.get(name);
        let was = former.get(name);
        if was == Some(value) && former_times.get(name) == time {
            continue;
        }
        let below = |it: Option<&Value>| it.and_then(Value::as_object).cloned();
        match (was, value) {
            (Some(Value::Object(was)), Value::Object(value)) => {
                let was_times = below(former_times.get(name));
                let is_times = below(time);
                let was = (was, was_times.as_ref().unwrap_or(&nothing));
                let (inner, inner_times) =
                    part(was, (value, is_times.as_ref().unwrap_or(&nothing)));
                changed.insert(name.clone(), Value::Object(inner));
                changed_times.insert(name.clone(), Value::Object(inner_times));
            }
            (_, value) => {
                changed.insert(name.clone(), value.clone());
                changed_times.extend(time.map(|it| (name.clone(), it.clone())));
            }
        }
    }
    for name in former.keys().filter(|it| !values.contains_key(*it)) {
        changed.insert(name.clone(), Value::Null);
    }
    (changed, changed_times)
}

#[cfg(test)]
mod tests {
    use super::super::Wanted;
    use super::*;
    use model::Timestamp;

    #[test]
    fn what_changed_is_told_with_its_times_and_nothing_else() {
        let at = Timestamp::from_seconds;
        let wanted = |body: Value| Wanted::read(&body).unwrap();
        let mut twin = Twin::new(at(0));
        let first = json!({ "tags": { "a": 1, "b": { "c": 1, "d": 2 } },
            "properties": { "desired": { "x": { "y": 1, "z": 2 }, "old": true } } });
        twin.write(&wanted(first), at(10)).unwrap();
        let before = twin.clone();
        let patch = json!({ "tags": { "b": { "c": 3 } }, "properties": { "desired": { "x": { "y": 1 }, "old": null } } });
        twin.write(&wanted(patch), at(20)).unwrap();
        let stamp = |version: u64| json!({ "$lastUpdated": at(20).rfc3339(), "$lastUpdatedVersion": version });
        let mut times = stamp(3);
        times["x"] = stamp(3);
        times["x"]["y"] = stamp(3);
        let expected = json!({ "version": 3, "tags": { "b": { "c": 3 } }, "properties": { "desired": {
            "x": { "y": 1 }, "old": null, "$metadata": times, "$version": 3 } } });
        assert_eq!(twin.since(&before), expected);

        let before = twin.clone();
        twin.report(&json!({ "s": "up" }), at(30)).unwrap();
        let told = twin.since(&before);
        assert_eq!(told["properties"]["reported"]["s"], "up");
        assert_eq!(told["properties"]["reported"]["$version"], 2);
        assert_eq!((told.get("tags"), told["properties"].get("desired")), (None, None));
    }
}
