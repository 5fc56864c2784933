//! What things are called. The same draws with other names make the same world under other names.

/// A book of names. Each has a namesake that it begins.
#[derive(Clone, Debug)]
pub struct Names {
    pub tenant: String,
    pub management_groups: [&'static str; 3],
    pub subscriptions: [&'static str; 2],
    pub resource_groups: [&'static str; 2],
    pub hubs: [&'static str; 2],
    /// Stands in front of the names of roles, assignments, policies and the like.
    pub prefix: &'static str,
    /// The first eight digits of every object id.
    pub ids: u32,
}

/// Azure's id of the built-in role Owner, which is the same everywhere.
pub(crate) const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

impl Names {
    pub fn usual() -> Self {
        Self {
            tenant: id(0x9999_0000, 0, 1),
            management_groups: ["plants", "north", "north1"],
            subscriptions: ["s1", "s10"],
            resource_groups: ["rg1", "rg10"],
            hubs: ["hub1", "hub10"],
            prefix: "",
            ids: 0xaaaa_0000,
        }
    }

    /// No name of the usual ones, and no namesakes either.
    pub fn other() -> Self {
        Self {
            tenant: id(0x1234_5678, 0, 9),
            management_groups: ["works", "east", "west"],
            subscriptions: ["zulu", "kilo"],
            resource_groups: ["tango", "oscar"],
            hubs: ["lima", "foxtrot"],
            prefix: "new-",
            ids: 0x0bad_cafe,
        }
    }

    pub(crate) fn principal(&self, number: usize) -> String {
        id(self.ids, 1, number)
    }

    pub(crate) fn application(&self, number: usize) -> String {
        id(self.ids, 2, number)
    }

    pub(crate) fn group(&self, number: usize) -> String {
        id(self.ids, 3, number)
    }

    pub(crate) fn role(&self, number: usize) -> String {
        id(self.ids, 4, number)
    }

    pub(crate) fn named(&self, kind: &str, number: usize) -> String {
        format!("{}{kind}{number}", self.prefix)
    }

    /// The root group first.
    pub(crate) fn management_group(&self, number: usize) -> String {
        let name = match number.checked_sub(1).and_then(|it| self.management_groups.get(it)) {
            Some(name) => name,
            None => self.tenant.as_str(),
        };
        format!("/providers/Microsoft.Management/managementGroups/{name}")
    }
}

fn id(first: u32, kind: usize, number: usize) -> String {
    format!("{first:08x}-0000-4000-8{kind:03x}-{number:012x}")
}
