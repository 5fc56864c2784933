//! Makes a failing case small enough to read.

use oracle::{Request, World};

/// Drops whatever can be dropped while `fails` stays true, until nothing more can.
pub fn shrink(
    mut world: World,
    mut request: Request,
    fails: impl Fn(&World, &Request) -> bool,
) -> (World, Request) {
    loop {
        let smaller = requests_without(&request)
            .into_iter()
            .map(|it| (world.clone(), it))
            .chain(worlds_without(&world).into_iter().map(|it| (it, request.clone())))
            .find(|(world, request)| fails(world, request));
        match smaller {
            Some(found) => (world, request) = found,
            None => return (world, request),
        }
    }
}

fn requests_without(request: &Request) -> Vec<Request> {
    let mut found = Vec::new();
    each(request, |it| &mut it.objects, &mut found);
    each(request, |it| &mut it.linked, &mut found);
    if request.view.is_some() {
        found.push(Request { view: None, ..request.clone() });
    }
    found
}

fn worlds_without(world: &World) -> Vec<World> {
    let mut found = Vec::new();
    each(world, |it| &mut it.policy_assignments, &mut found);
    each(world, |it| &mut it.definitions, &mut found);
    each(world, |it| &mut it.exemptions, &mut found);
    each(world, |it| &mut it.deny_assignments, &mut found);
    each(world, |it| &mut it.role_assignments, &mut found);
    each(world, |it| &mut it.locks, &mut found);
    each(world, |it| &mut it.hubs, &mut found);
    each(world, |it| &mut it.subscriptions, &mut found);
    for at in 0..world.groups.len() {
        each(world, |it| &mut it.groups[at].members, &mut found);
    }
    each(world, |it| &mut it.groups, &mut found);
    for at in 0..world.roles.len() {
        each(world, |it| &mut it.roles[at].permissions, &mut found);
        for block in 0..world.roles[at].permissions.len() {
            each(world, |it| &mut it.roles[at].permissions[block].actions, &mut found);
            each(world, |it| &mut it.roles[at].permissions[block].not_actions, &mut found);
            each(world, |it| &mut it.roles[at].permissions[block].data_actions, &mut found);
            each(world, |it| &mut it.roles[at].permissions[block].not_data_actions, &mut found);
        }
    }
    each(world, |it| &mut it.roles, &mut found);
    for at in 0..world.definitions.len() {
        each(world, |it| &mut it.definitions[at].rules, &mut found);
    }
    for at in 0..world.policy_assignments.len() {
        each(world, |it| &mut it.policy_assignments[at].not_scopes, &mut found);
    }
    found
}

/// The whole without one of the things in a list, for each of them.
fn each<W: Clone, T>(whole: &W, list: impl Fn(&mut W) -> &mut Vec<T>, found: &mut Vec<W>) {
    let count = list(&mut whole.clone()).len();
    for at in 0..count {
        let mut smaller = whole.clone();
        list(&mut smaller).remove(at);
        found.push(smaller);
    }
}
