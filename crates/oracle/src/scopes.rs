//! Which place lies below which.

use crate::World;

/// The segments of a scope. Trailing and doubled slashes say nothing.
pub(crate) fn segments(scope: &str) -> Vec<&str> {
    scope.split('/').filter(|it| !it.is_empty()).collect()
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// True where both are one place.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (segments(a), segments(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same(a, b))
}

/// True where the segments of `outer` begin those of `inner`: management groups aside.
pub(crate) fn begins(outer: &str, inner: &str) -> bool {
    let (outer, inner) = (segments(outer), segments(inner));
    outer.len() <= inner.len() && outer.iter().zip(&inner).all(|(a, b)| same(a, b))
}

/// True where `inner` is `outer` or lies below it: the tenant, management groups, subscriptions, resource
/// groups, resources. Source: Azure RBAC documentation, "Understand scope for Azure RBAC".
pub(crate) fn is_at_or_below(world: &World, inner: &str, outer: &str) -> bool {
    if begins(outer, inner) {
        return true;
    }
    let Some(wanted) = management_group(outer).filter(|_| segments(outer).len() == 4) else {
        return false;
    };
    groups_above(world, inner).iter().any(|it| same(it, wanted))
}

/// The management group that a scope is, or that its path starts with.
pub(crate) fn management_group(scope: &str) -> Option<&str> {
    match segments(scope).as_slice() {
        [providers, namespace, kind, name, ..]
            if same(providers, "providers")
                && same(namespace, "Microsoft.Management")
                && same(kind, "managementGroups") =>
        {
            Some(*name)
        }
        _ => None,
    }
}

/// The management groups that a scope is in, from the nearest to the root.
fn groups_above(world: &World, scope: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = match segments(scope).as_slice() {
        [word, id, ..] if same(word, "subscriptions") => {
            let subscription = world.subscriptions.iter().find(|it| same(&it.id, id));
            let group = subscription.and_then(|it| it.management_group.clone());
            Some(group.unwrap_or_else(|| world.tenant.clone()))
        }
        _ => management_group(scope).map(str::to_owned),
    };
    while let Some(name) = next {
        let group = world.management_groups.iter().find(|it| same(&it.name, &name));
        next = group.and_then(|it| it.parent.clone());
        found.push(name);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_compare_by_whole_segments_and_without_regard_to_case() {
        assert!(begins("/", "/subscriptions/s1"));
        assert!(begins("/subscriptions/S1/", "/subscriptions/s1/resourceGroups/rg1"));
        assert!(!begins("/subscriptions/s1", "/subscriptions/s10"));
        assert!(!begins("/subscriptions/s1/resourceGroups/rg1", "/subscriptions/s1"));
        assert!(is_same("/Subscriptions/s1/", "/subscriptions/S1"));
    }
}
