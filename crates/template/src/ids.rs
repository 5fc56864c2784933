//! Resource ids from types and names.

use model::Scope;

/// The segments of a type, `Microsoft.Devices/IotHubs`: a trailing `/` is passed over, as templates have one.
pub(crate) fn segments(kind: &str) -> Vec<&str> {
    kind.split('/').filter(|it| !it.is_empty()).collect()
}

/// The id of a resource below a place: a type has a word for each part of a name.
///
/// # Errors
/// Says what does not fit.
pub(crate) fn id(above: &Scope, kind: &str, name: &str) -> Result<String, String> {
    let (kinds, names) = (segments(kind), segments(name));
    let Some((namespace, words)) = kinds.split_first().filter(|(_, it)| !it.is_empty()) else {
        return Err(format!("the type `{kind}` is not of the form `Microsoft.Devices/IotHubs`"));
    };
    if words.len() != names.len() {
        return Err(format!(
            "the type `{kind}` and the name `{name}` do not have the same number of segments: a name has one for \
             each word of the type behind `{namespace}`"
        ));
    }
    let pairs: Vec<String> = words.iter().zip(&names).map(|(a, b)| format!("{a}/{b}")).collect();
    let path = pairs.join("/");
    let is = |namespace_of: &str, word: &str| {
        namespace.eq_ignore_ascii_case(namespace_of)
            && words.first().is_some_and(|it| it.eq_ignore_ascii_case(word))
    };
    let id = match above.subscription_scope() {
        Some(subscription) if is("Microsoft.Resources", "resourceGroups") => {
            format!("{subscription}/{path}")
        }
        _ if is("Microsoft.Resources", "subscriptions") => format!("/{path}"),
        _ if is("Microsoft.Management", "managementGroups") => {
            format!("/providers/{namespace}/{path}")
        }
        _ if above.is_root() => format!("/providers/{namespace}/{path}"),
        _ => format!("{above}/providers/{namespace}/{path}"),
    };
    Scope::parse(&id).map(|_| id).map_err(|it| it.to_string())
}

/// A scope as a template writes it: an id, or a type and a name by turns below the place that is deployed to.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn scope(above: &Scope, text: &str) -> Result<Scope, String> {
    if text.starts_with('/') {
        return Scope::parse(text).map_err(|it| it.to_string());
    }
    let all = segments(text);
    let words: Vec<&str> = all.iter().skip(1).step_by(2).copied().collect();
    let names: Vec<&str> = all.iter().skip(2).step_by(2).copied().collect();
    let kind = format!("{}/{}", all.first().copied().unwrap_or(""), words.join("/"));
    let id = id(above, &kind, &names.join("/"))?;
    Scope::parse(&id).map_err(|it| it.to_string())
}
