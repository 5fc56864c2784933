//! Names in a query: which documents' members they are, whatever their casing, and what stands before them.
//!
//! Clients write `DeviceId IN [...]` as well as `deviceId`: the names that the hub itself gives to members of
//! a document compare without regard to case. Those below `tags`, `desired` and `reported` are their author's
//! and compare exactly.

use super::{Path, Source, Step};

/// The members of twins and of jobs that the hub names.
pub(super) const OWN: &[&str] = &[
    "deviceId",
    "moduleId",
    "etag",
    "deviceEtag",
    "status",
    "statusReason",
    "statusUpdateTime",
    "connectionState",
    "lastActivityTime",
    "cloudToDeviceMessageCount",
    "authenticationType",
    "x509Thumbprint",
    "modelId",
    "version",
    "tags",
    "properties",
    "capabilities",
    "configurations",
    "deviceScope",
    "parentScopes",
    "jobId",
    "jobType",
    "startTimeUtc",
    "endTimeUtc",
    "createdDateTimeUtc",
    "lastUpdatedDateTimeUtc",
    "outcome",
    "error",
];

/// Those in one of these.
pub(super) const INNER: &[(&str, &[&str])] = &[
    ("properties", &["desired", "reported"]),
    ("capabilities", &["iotEdge"]),
    ("x509Thumbprint", &["primaryThumbprint", "secondaryThumbprint"]),
];

/// A path as it is in the documents of a source: without the source's name or alias before it.
pub(super) fn resolved(steps: &[Step], source: Source, alias: Option<&str>) -> Path {
    let short: &[&str] = &["devices"];
    let long: &[&str] = match source {
        Source::Devices => short,
        Source::Modules => &["devices", "modules"],
        Source::Jobs => &["devices", "jobs"],
    };
    let alias = alias.map(|it| [it]);
    let before = [Some(long), Some(short), alias.as_ref().map(<[&str; 1]>::as_slice)];
    let rest = before.into_iter().flatten().find_map(|it| behind(steps, it)).unwrap_or(steps);
    let mut steps = rest.to_vec();
    if let Some(own) = canonical(&mut steps, 0, OWN)
        && let Some((_, inner)) = INNER.iter().find(|(name, _)| *name == own)
    {
        canonical(&mut steps, 1, inner);
    }
    Path(steps.into())
}

/// The steps behind these names, where they begin with them and there are any.
fn behind<'a>(steps: &'a [Step], names: &[&str]) -> Option<&'a [Step]> {
    let (first, rest) = steps.split_at_checked(names.len())?;
    let begins = first.iter().zip(names).all(|(step, name)| is_named(step, name));
    (begins && !rest.is_empty()).then_some(rest)
}

pub(super) fn is_named(step: &Step, name: &str) -> bool {
    matches!(step, Step::Name(it) if it.eq_ignore_ascii_case(name))
}

/// Gives a step the casing of the one of `names` that it is.
pub(super) fn canonical(
    steps: &mut [Step],
    at: usize,
    names: &[&'static str],
) -> Option<&'static str> {
    let step = steps.get_mut(at)?;
    let name = names.iter().find(|it| is_named(step, it))?;
    *step = Step::Name((*name).into());
    Some(name)
}
