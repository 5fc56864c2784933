//! The flow: how many registrations go from which enrollments, by which allocation, to which hub, and how many nowhere.

use crate::visit::text;
use maud::{Markup, html};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Most groups with a band of their own; the others share one.
const BANDS_MAX: usize = 20;
const WIDTH: usize = 1_000;
const BAR: usize = 12;
const LEFT: usize = 250;
const MIDDLE: usize = 500;
const RIGHT: usize = 750;
const TOP: usize = 36;
/// Heights: of a band of one registration or none, of all of them together, and between two.
const LEAST: usize = 8;
const ALL: usize = 260;
const GAP: usize = 26;

/// Where registrations come from. The individual ones are one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Source {
    Individual,
    Group(String),
    Others(usize),
}

/// Where they went.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum End {
    /// A hub, by its host name.
    Hub(String),
    Waiting,
    Disabled,
    Failed,
}

/// The name of a bar, behind its rank in the column.
type Name = (u8, String);

/// The way of some registrations.
type Way = (Source, String, End);

#[derive(Default)]
pub(super) struct Flow {
    ways: BTreeMap<Way, usize>,
    /// How many enrollments, and the allocation of each, of those nobody registered with too.
    enrolled: BTreeMap<(Source, String), usize>,
    /// Host names of linked hubs, with what the link says.
    linked: BTreeMap<String, String>,
    /// What hubs are called, by their host names.
    names: BTreeMap<String, String>,
}

impl Flow {
    /// Of a provisioning service with its linked hubs, whose names are known by their host names.
    pub(super) fn new(resource: &Value, names: BTreeMap<String, String>) -> Self {
        let links = resource.pointer("/properties/iotHubs").and_then(Value::as_array);
        let told = |it: &Value| {
            let weight = it.get("allocationWeight").and_then(Value::as_u64).unwrap_or(1);
            let applies = it.get("applyAllocationPolicy").and_then(Value::as_bool) != Some(false);
            let kind = match text(it, "/authenticationType") {
                "" | "KeyBased" => "by key",
                _ => "by identity",
            };
            let says = match applies {
                true => format!("linked {kind}, weight {weight}"),
                false => format!("linked {kind}, only where an enrollment names it"),
            };
            (host(text(it, "/name")), says)
        };
        let linked = links.into_iter().flatten().map(told).collect();
        Self { linked, names, ..Self::default() }
    }

    /// Counts an enrollment.
    pub(super) fn enroll(&mut self, source: &Source, enrollment: &Value, default: &str) {
        let key = (source.clone(), allocation(enrollment, default));
        *self.enrolled.entry(key).or_default() += 1;
    }

    /// Counts a registration.
    pub(super) fn register(
        &mut self,
        source: &Source,
        enrollment: &Value,
        state: &Value,
        default: &str,
    ) {
        let end = match text(state, "/status") {
            "assigned" => End::Hub(host(text(state, "/assignedHub"))),
            "failed" => End::Failed,
            "disabled" => End::Disabled,
            _ => End::Waiting,
        };
        let way = (source.clone(), allocation(enrollment, default), end);
        *self.ways.entry(way).or_default() += 1;
    }

    fn hub<'s>(&'s self, host: &'s str) -> &'s str {
        self.names.get(host).map_or(host, String::as_str)
    }

    /// What an end is called, behind the ends above it.
    fn end(&self, end: &End) -> Name {
        match end {
            End::Hub(host) => (0, self.hub(host).to_owned()),
            End::Waiting => (1, "On the way".to_owned()),
            End::Disabled => (2, "Disabled".to_owned()),
            End::Failed => (3, "Failed".to_owned()),
        }
    }

    /// The picture and its twin.
    pub(super) fn shown(&self) -> Markup {
        html! {
            @if self.enrolled.is_empty() {
                p.calm { "There is no enrollment yet, so that no device can register." }
            } @else {
                (self.picture())
                (self.table())
            }
        }
    }

    /// The ways with all groups but the greatest in one.
    fn joined(&self) -> BTreeMap<Way, usize> {
        let mut sizes: BTreeMap<&Source, usize> = BTreeMap::new();
        for (source, _) in self.enrolled.keys() {
            sizes.entry(source).or_default();
        }
        for ((source, _, _), count) in &self.ways {
            *sizes.entry(source).or_default() += count;
        }
        let mut order: Vec<(&Source, usize)> = sizes.into_iter().collect();
        order.sort_by_key(|(_, count)| Reverse(*count));
        let others = order.len().saturating_sub(BANDS_MAX);
        let own: Vec<&Source> = order.iter().take(BANDS_MAX).map(|(it, _)| *it).collect();
        let mut joined = BTreeMap::new();
        for ((source, allocation, end), count) in &self.ways {
            let source = match own.contains(&source) {
                true => source.clone(),
                false => Source::Others(others),
            };
            *joined.entry((source, allocation.clone(), end.clone())).or_default() += count;
        }
        joined
    }

    fn picture(&self) -> Markup {
        let ways = self.joined();
        let total: usize = ways.values().sum();
        let scale = |count: usize| LEAST.max(count * ALL / total.max(1));
        let mut left = Bars::new(LEFT);
        let mut middle = Bars::new(MIDDLE);
        let mut right = Bars::new(RIGHT);
        // Where nobody has registered yet is shown, too, while there is room.
        for (source, allocation) in self.enrolled.keys().take(BANDS_MAX) {
            left.have(source.name());
            middle.have((0, allocation.clone()));
        }
        for host in self.linked.keys() {
            right.have((0, self.hub(host).to_owned()));
        }
        for ((source, allocation, end), count) in &ways {
            left.add(source.name(), *count, scale(*count));
            middle.add((0, allocation.clone()), *count, scale(*count));
            right.add(self.end(end), *count, scale(*count));
        }
        for bars in [&mut left, &mut middle, &mut right] {
            bars.lay();
        }
        let bands: Vec<Markup> = ways
            .iter()
            .map(|((source, allocation, end), count)| {
                let (height, by) = (scale(*count), (0, allocation.clone()));
                let from = left.leave(&source.name(), height);
                let (to, on) = (middle.reach(&by, height), middle.leave(&by, height));
                let last = right.reach(&self.end(end), height);
                let is_bad = matches!(end, End::Failed | End::Disabled);
                html! {
                    (band((LEFT + BAR, from), (MIDDLE, to), height, is_bad))
                    (band((MIDDLE + BAR, on), (RIGHT, last), height, is_bad))
                }
            })
            .collect();
        let height = [&left, &middle, &right].iter().map(|it| it.bottom).max().unwrap_or(TOP);
        html! {
            figure {
                svg.flow viewBox={ "0 0 " (WIDTH) " " (height) } role="group" aria-label="Registrations from enrollments to hubs; the table below holds the same" {
                    @for (x, anchor, title) in [(LEFT + BAR, "end", "Enrollments"), (MIDDLE + BAR / 2, "middle", "Allocation"), (RIGHT, "start", "Hubs")] {
                        text.title x=(x) y="20" text-anchor=(anchor) { (title) }
                    }
                    @for it in &bands { (it) }
                    (left.shown(Side::Left))
                    (middle.shown(Side::Middle))
                    (right.shown(Side::Right))
                }
                figcaption { (total) " registrations. The height of a band is how many took that way." }
            }
        }
    }

    fn table(&self) -> Markup {
        let of = |source: &Source, allocation: &str, wanted: &dyn Fn(&End) -> bool| -> usize {
            let is = |(its, other, end): &&Way| its == source && other == allocation && wanted(end);
            self.ways.iter().filter(|(way, _)| is(way)).map(|(_, count)| count).sum()
        };
        html! {
            table {
                caption { "Registrations by enrollment" }
                thead { tr {
                    th scope="col" { "Enrollment" } th scope="col" { "Allocation" }
                    @for host in self.linked.keys() { th.number scope="col" { (self.hub(host)) } }
                    th.number scope="col" { "Elsewhere" } th.number scope="col" { "On the way" }
                    th.number scope="col" { "Disabled" } th.number scope="col" { "Failed" }
                } }
                tbody { @for ((source, allocation), count) in &self.enrolled { tr {
                    th scope="row" { (source.name().1) @if *count > 1 { " (" (count) ")" } }
                    td { (allocation) }
                    @for host in self.linked.keys() { td.number { (of(source, allocation, &|it| *it == End::Hub(host.clone()))) } }
                    td.number { (of(source, allocation, &|it| matches!(it, End::Hub(host) if !self.linked.contains_key(host)))) }
                    td.number { (of(source, allocation, &|it| *it == End::Waiting)) }
                    td.number { (of(source, allocation, &|it| *it == End::Disabled)) }
                    td.number { (of(source, allocation, &|it| *it == End::Failed)) }
                } } }
            }
            h3 { "Linked hubs" }
            @if self.linked.is_empty() { p.note { "No hub is linked, so that no device can be put anywhere." } }
            ul { @for (host, says) in &self.linked { li { strong { (self.hub(host)) } ", " (says) } } }
        }
    }
}

/// A host name without the port, which is that of the server.
pub(super) fn host(text: &str) -> String {
    text.split(':').next().unwrap_or("").to_ascii_lowercase()
}

/// By what the devices of an enrollment are put into hubs.
fn allocation(enrollment: &Value, default: &str) -> String {
    let own = text(enrollment, "/allocationPolicy");
    let is_own = !own.is_empty();
    let words = match if is_own { own } else { default }.to_ascii_lowercase().as_str() {
        "hashed" => "evenly weighted",
        "geolatency" => "lowest latency",
        "static" => "static",
        "custom" => "custom webhook",
        other => return other.to_owned(),
    };
    if is_own { words.to_owned() } else { format!("{words} (of the service)") }
}

impl Source {
    fn name(&self) -> Name {
        match self {
            Self::Individual => (0, "Individual enrollments".to_owned()),
            Self::Group(name) => (1, format!("Group {name}")),
            Self::Others(count) => (2, format!("{count} other groups")),
        }
    }
}

fn band(
    (x, y): (usize, usize),
    (to_x, to_y): (usize, usize),
    height: usize,
    is_bad: bool,
) -> Markup {
    let middle = x.midpoint(to_x);
    let (end, to_end) = (y + height, to_y + height);
    let path = format!(
        "M{x} {y}C{middle} {y} {middle} {to_y} {to_x} {to_y}V{to_end}C{middle} {to_end} {middle} {end} {x} {end}Z"
    );
    html! { path.band d=(path) data-bad=[is_bad.then_some("yes")] {} }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Middle,
    Right,
}

/// A column of bars.
struct Bars {
    x: usize,
    bars: BTreeMap<Name, Bar>,
    bottom: usize,
}

#[derive(Default)]
struct Bar {
    count: usize,
    height: usize,
    y: usize,
    /// How much of it has been left and reached by bands.
    left: usize,
    reached: usize,
}

impl Bars {
    const fn new(x: usize) -> Self {
        Self { x, bars: BTreeMap::new(), bottom: TOP }
    }

    fn have(&mut self, name: Name) {
        self.bars.entry(name).or_default();
    }

    fn add(&mut self, name: Name, count: usize, height: usize) {
        let bar = self.bars.entry(name).or_default();
        bar.count += count;
        bar.height += height;
    }

    fn lay(&mut self) {
        for bar in self.bars.values_mut() {
            bar.height = bar.height.max(LEAST);
            bar.y = self.bottom;
            self.bottom += bar.height + GAP;
        }
    }

    fn leave(&mut self, name: &Name, height: usize) -> usize {
        let Some(bar) = self.bars.get_mut(name) else { return TOP };
        bar.left += height;
        bar.y + bar.left - height
    }

    fn reach(&mut self, name: &Name, height: usize) -> usize {
        let Some(bar) = self.bars.get_mut(name) else { return TOP };
        bar.reached += height;
        bar.y + bar.reached - height
    }

    fn shown(&self, side: Side) -> Markup {
        let (x, anchor) = match side {
            Side::Left => (self.x - 8, "end"),
            Side::Middle => (self.x + BAR / 2, "middle"),
            Side::Right => (self.x + BAR + 8, "start"),
        };
        html! {
            @for ((rank, name), it) in &self.bars {
                @let is_bad = side == Side::Right && *rank > 1;
                @let middle = it.y + it.height / 2 + 5;
                @let y = if side == Side::Middle { it.y + it.height + 15 } else { middle };
                rect.bar x=(self.x) y=(it.y) width=(BAR) height=(it.height) data-empty=[(it.count == 0).then_some("yes")] data-bad=[is_bad.then_some("yes")] {}
                @let said = html! { text x=(x) y=(y) text-anchor=(anchor) { (name) ": " (it.count) } };
                @if name == "Failed" && side == Side::Right {
                    // A pointer finds the whole of it, and not its letters alone.
                    a href="#failures" { rect.hit x=(x) y=(y - 18) width="120" height="26" {} (said) }
                } @else { (said) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn registrations_are_counted_on_their_ways() {
        let service = json!({ "properties": { "iotHubs": [{ "name": "hub1.example.com", "allocationWeight": 2 }] } });
        let mut flow =
            Flow::new(&service, [("hub1.example.com".to_owned(), "hub1".to_owned())].into());
        let group = Source::Group("line".into());
        let enrollment = json!({ "allocationPolicy": "static" });
        flow.enroll(&group, &enrollment, "Hashed");
        flow.enroll(&Source::Individual, &json!({}), "Hashed");
        for state in [
            json!({ "status": "assigned", "assignedHub": "hub1.example.com:8443" }),
            json!({ "status": "assigned", "assignedHub": "hub10.example.com" }),
            json!({ "status": "failed" }),
            json!({ "status": "assigning" }),
        ] {
            flow.register(&group, &enrollment, &state, "Hashed");
        }
        let count = |end: End| flow.ways.get(&(group.clone(), "static".to_owned(), end)).copied();
        assert_eq!(count(End::Hub("hub1.example.com".into())), Some(1));
        assert_eq!(count(End::Hub("hub10.example.com".into())), Some(1));
        assert_eq!(
            (count(End::Failed), count(End::Waiting), count(End::Disabled)),
            (Some(1), Some(1), None)
        );
        let shown = flow.shown().into_string();
        assert!(
            shown.contains("Failed: 1")
                && shown.contains("hub1: 1")
                && shown.contains("evenly weighted (of the service)"),
            "{shown}"
        );
    }
}
