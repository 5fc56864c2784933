//! The members of a body, read with their types and ranges, each refusal with the place it stands at.
//!
//! Names compare without regard to case, as ARM's do. `null` is absent: clients send both for "not set".

use model::Error;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// An object of a body and where it stands: `properties.cloudToDevice`.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    value: &'a Value,
    at: String,
}

impl<'a> Fields<'a> {
    /// The body itself.
    ///
    /// # Errors
    /// Where it is not an object.
    pub(crate) fn of(body: &'a Value) -> Result<Self, Error> {
        match body.is_object() {
            true => Ok(Self { value: body, at: String::new() }),
            false => Err(Error::invalid("body", "expected a JSON object")),
        }
    }

    /// Where a member stands.
    pub(crate) fn place(&self, name: &str) -> String {
        match self.at.is_empty() {
            true => name.to_owned(),
            false => format!("{}.{name}", self.at),
        }
    }

    /// The refusal of a member.
    pub(crate) fn refuse(&self, name: &str, because: impl Into<String>) -> Error {
        Error::invalid(self.place(name), because)
    }

    fn member(&self, name: &str) -> Option<&'a Value> {
        model::json::member(self.value, name).filter(|it| !it.is_null())
    }

    pub(crate) fn bool(&self, name: &str) -> Result<Option<bool>, Error> {
        let wrong = || self.refuse(name, "expected `true` or `false`");
        self.member(name).map(|it| it.as_bool().ok_or_else(wrong)).transpose()
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        let wrong = || self.refuse(name, "expected a text");
        self.member(name).map(|it| it.as_str().ok_or_else(wrong)).transpose()
    }

    /// One of a few words, in the casing of the list.
    pub(crate) fn word(
        &self,
        name: &str,
        words: &[&'static str],
    ) -> Result<Option<&'static str>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match words.iter().find(|it| it.eq_ignore_ascii_case(text)) {
            Some(word) => Ok(Some(word)),
            None => {
                let given: String = text.chars().take(60).collect();
                let words = words.join(", ");
                Err(self.refuse(name, format!("`{}` is not one of {words}", given.escape_debug())))
            }
        }
    }

    pub(crate) fn integer(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Error> {
        let wrong = || {
            let (least, most) = (range.start(), range.end());
            self.refuse(name, format!("expected a whole number from {least} to {most}"))
        };
        self.member(name)
            .map(|it| it.as_i64().filter(|it| range.contains(it)).ok_or_else(wrong))
            .transpose()
    }

    /// An ISO 8601 duration within a range of seconds, as it was written.
    pub(crate) fn duration(
        &self,
        name: &str,
        seconds: RangeInclusive<u64>,
    ) -> Result<Option<&'a str>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match duration_seconds(text) {
            Some(it) if seconds.contains(&it) => Ok(Some(text)),
            Some(_) | None => {
                let (least, most) = (seconds.start(), seconds.end());
                Err(self.refuse(
                    name,
                    format!(
                        "expected an ISO 8601 duration of {least} to {most} seconds, such as `PT1H`"
                    ),
                ))
            }
        }
    }

    pub(crate) fn object(&self, name: &str) -> Result<Option<Fields<'a>>, Error> {
        match self.member(name) {
            None => Ok(None),
            Some(value @ Value::Object(_)) => Ok(Some(Fields { value, at: self.place(name) })),
            Some(_) => Err(self.refuse(name, "expected an object")),
        }
    }

    pub(crate) fn array(&self, name: &str, items_max: usize) -> Result<Option<&'a [Value]>, Error> {
        match self.member(name) {
            None => Ok(None),
            Some(Value::Array(items)) if items.len() <= items_max => Ok(Some(items)),
            Some(Value::Array(_)) => Err(self.refuse(name, format!("more than {items_max} items"))),
            Some(_) => Err(self.refuse(name, "expected a list")),
        }
    }

    /// The objects of a list, each with its place.
    pub(crate) fn objects(
        &self,
        name: &str,
        items_max: usize,
    ) -> Result<Option<Vec<Fields<'a>>>, Error> {
        let Some(items) = self.array(name, items_max)? else { return Ok(None) };
        let objects = items.iter().enumerate().map(|(index, value)| {
            let at = format!("{}[{index}]", self.place(name));
            match value.is_object() {
                true => Ok(Fields { value, at }),
                false => Err(Error::invalid(at, "expected an object")),
            }
        });
        objects.collect::<Result<_, _>>().map(Some)
    }

    /// Refuses whatever is none of these: a member that nobody reads would look as if it had been heard.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), Error> {
        let known = |it: &str| names.iter().any(|name| name.eq_ignore_ascii_case(it));
        match self.members().into_iter().flat_map(Map::keys).find(|it| !known(it)) {
            None => Ok(()),
            Some(name) => {
                let name: String = name.chars().take(60).collect();
                let because = format!("not known here; known are {}", names.join(", "));
                Err(self.refuse(&name.escape_debug().to_string(), because))
            }
        }
    }

    /// The members themselves, in their order.
    pub(crate) fn members(&self) -> Option<&'a Map<String, Value>> {
        self.value.as_object()
    }

    pub(crate) const fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn at(&self) -> &str {
        &self.at
    }
}

/// The seconds of `PnDTnHnMnS` with whole numbers; weeks, months, years and fractions are not taken.
pub(crate) fn duration_seconds(text: &str) -> Option<u64> {
    let (days, clock) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, clock)) if !clock.is_empty() => (days, clock),
        Some(_) => return None,
        None => (text.strip_prefix('P')?, ""),
    };
    if days.is_empty() && clock.is_empty() {
        return None;
    }
    let mut total = 0_u64;
    let mut rest = days;
    for (unit, seconds) in [('D', 86_400), ('T', 0), ('H', 3_600), ('M', 60), ('S', 1)] {
        if unit == 'T' {
            if !rest.is_empty() {
                return None;
            }
            rest = clock;
            continue;
        }
        if let Some((number, behind)) = rest.split_once(unit) {
            if number.is_empty() || !number.bytes().all(|it| it.is_ascii_digit()) {
                return None;
            }
            let number: u64 = number.parse().ok()?;
            total = total.checked_add(number.checked_mul(seconds)?)?;
            rest = behind;
        }
    }
    rest.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn place<T: std::fmt::Debug>(read: Result<T, Error>) -> String {
        let refusal = read.unwrap_err();
        let Error::Invalid { at: Some(at), .. } = refusal else { panic!("{refusal:?}") };
        at
    }

    #[test]
    fn a_member_of_the_wrong_type_is_refused_with_its_place() {
        let body = json!({ "Properties": { "a": "x", "b": 1, "list": [{}, 2], "nothing": null } });
        let properties = Fields::of(&body).unwrap().object("properties").unwrap().unwrap();
        assert_eq!(properties.text("A").unwrap(), Some("x"));
        assert_eq!(properties.text("nothing").unwrap(), None);
        assert_eq!(place(properties.bool("a")), "properties.a");
        assert_eq!(place(properties.text("b")), "properties.b");
        assert_eq!(place(properties.object("a")), "properties.a");
        assert_eq!(place(properties.array("b", 1)), "properties.b");
        assert_eq!(place(properties.array("list", 1)), "properties.list");
        assert_eq!(place(properties.objects("list", 2)), "properties.list[1]");
        assert_eq!(place(properties.integer("b", 2..=3)), "properties.b");
        assert_eq!(place(properties.integer("a", 2..=3)), "properties.a");
        assert_eq!(place(properties.word("a", &["y", "z"])), "properties.a");
        assert_eq!(place(Fields::of(&json!([]))), "body");
    }

    #[test]
    fn durations_are_read_as_iso_8601_has_them() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(duration_seconds(text), expected, "{text}");
        };
        check("PT5S", Some(5));
        check("PT1H", Some(3_600));
        check("P2D", Some(172_800));
        check("P1DT1H1M1S", Some(90_061));
        check("PT90M", Some(5_400));
        check("P0D", Some(0));
        for wrong in [
            "", "P", "PT", "P1DT", "1H", "PT1.5H", "PT-1H", "PT1M1H", "P1Y", "P1W", "PTH", "P1H",
            "PT1D",
        ] {
            check(wrong, None);
        }
        check("PT99999999999999999999S", None);
    }

    #[test]
    fn a_duration_keeps_its_range() {
        let body = json!({ "ttl": "PT1M", "long": "PT61S" });
        let fields = Fields::of(&body).unwrap();
        assert_eq!(fields.duration("ttl", 5..=60).unwrap(), Some("PT1M"));
        assert_eq!(place(fields.duration("long", 5..=60)), "long");
    }
}
