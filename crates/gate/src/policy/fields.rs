//! What a condition can look at, by name: read when a policy is written, and where an expression puts the
//! name together, when it is decided.

use super::lacking::Lack;

/// Longest text of a field.
const FIELD_BYTES_MAX: usize = 1_024;

/// What a condition can look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    Type,
    Name,
    FullName,
    Id,
    Kind,
    Location,
    /// The identity on the resource, not the caller's.
    IdentityType,
    Tags,
    Tag(String),
    PrincipalId,
    PrincipalType,
    AppId,
    AuthType,
    /// The groups that the caller is in, directly or through others: all of them as one list, or each.
    Groups(Vec<Step>),
    /// The id of the resource whose own identity the caller is.
    CallerResource,
    /// The well-known name of the service whose own identity the caller is.
    CallerService,
    /// The write action that is asked for.
    Action,
    /// The path of the request.
    Endpoint,
    Protocol,
    /// By what kind of enrollment the device registers that the call is made for.
    EnrollmentType,
    /// `{type}/{path}`: a property of resources of that type.
    Property {
        kind: String,
        place: Place,
        path: Vec<Step>,
    },
}

/// A step of a property's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Member(String),
    /// `[*]`: every member of the list.
    All,
}

impl Step {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Member(a), Self::Member(b)) => a.eq_ignore_ascii_case(b),
            (Self::All, Self::All) => true,
            (Self::Member(_), Self::All) | (Self::All, Self::Member(_)) => false,
        }
    }
}

/// Where in a resource's body an alias leads. There is one place for each: a second one to look in would
/// let a caller choose which of two values is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// `sku`, `identity` and the like; and everything of what is no ARM resource.
    Top,
    Properties,
}

impl Field {
    /// The steps below its root: none where it is no path.
    pub(super) fn steps(&self) -> &[Step] {
        match self {
            Self::Groups(path) | Self::Property { path, .. } => path,
            Self::Type
            | Self::Name
            | Self::FullName
            | Self::Id
            | Self::Kind
            | Self::Location
            | Self::IdentityType
            | Self::Tags
            | Self::Tag(_)
            | Self::PrincipalId
            | Self::PrincipalType
            | Self::AppId
            | Self::AuthType
            | Self::CallerResource
            | Self::CallerService
            | Self::Action
            | Self::Endpoint
            | Self::Protocol
            | Self::EnrollmentType => &[],
        }
    }

    /// True where the field selects the members of a list, however many.
    pub(super) fn is_many(&self) -> bool {
        self.steps().contains(&Step::All)
    }

    /// True where `inner` leads on from the first `depth` steps of this field.
    pub(super) fn leads_to(&self, depth: usize, inner: &Self) -> bool {
        let is_same_root = match (self, inner) {
            (Self::Groups(_), Self::Groups(_)) => true,
            (Self::Property { kind: a, .. }, Self::Property { kind: b, .. }) => {
                a.eq_ignore_ascii_case(b)
            }
            (_, _) => false,
        };
        is_same_root
            && inner.steps().len() >= depth
            && self.steps().iter().zip(inner.steps()).take(depth).all(|(a, b)| a.is(b))
    }
}

/// Words in a property's path that name secrets: such a property has no alias.
const SECRET_WORDS: &[&str] = &[
    "authorizationpolicies",
    "symmetrickey",
    "primarykey",
    "secondarykey",
    "connectionstring",
    "sastoken",
];

/// Reads a field's name.
pub(super) fn parse(text: &str) -> Result<Field, Lack> {
    if text.len() > FIELD_BYTES_MAX {
        return Err(Lack::refused("a field's name is longer than 1,024 bytes"));
    }
    let lower = text.to_ascii_lowercase();
    Ok(match lower.as_str() {
        "type" => Field::Type,
        "name" => Field::Name,
        "fullname" => Field::FullName,
        "id" => Field::Id,
        "kind" => Field::Kind,
        "location" => Field::Location,
        "identity.type" => Field::IdentityType,
        "identity.principalid" => Field::PrincipalId,
        "identity.principaltype" => Field::PrincipalType,
        "identity.appid" => Field::AppId,
        "identity.authtype" => Field::AuthType,
        "identity.groups" => Field::Groups(Vec::new()),
        "identity.groups[*]" => Field::Groups(vec![Step::All]),
        "identity.resourceid" => Field::CallerResource,
        "identity.servicename" => Field::CallerService,
        "request.action" => Field::Action,
        "request.endpoint" => Field::Endpoint,
        "request.protocol" => Field::Protocol,
        "request.enrollmenttype" => Field::EnrollmentType,
        "tags" => Field::Tags,
        _ if lower.starts_with("tags.") || lower.starts_with("tags[") => match tag(text) {
            Some(name) => Field::Tag(name),
            None => return Err(Lack::refused("a tag is written `tags.name` or `tags['name']`")),
        },
        _ => return property(text),
    })
}

fn tag(text: &str) -> Option<String> {
    let rest = text.get(4..)?;
    let name = match rest.strip_prefix('.') {
        Some(name) => name,
        None => {
            let inner = rest.strip_prefix('[')?.strip_suffix(']')?;
            inner.strip_prefix('\'').and_then(|it| it.strip_suffix('\'')).unwrap_or(inner)
        }
    };
    (!name.is_empty() && name != "*").then(|| name.to_owned())
}

fn property(text: &str) -> Result<Field, Lack> {
    const KNOWN: &str = "type, name, id, location, tags.x, identity.principalId, request.action";
    let parts: Vec<&str> = text.split('/').collect();
    let Some((path, kind)) = parts
        .split_last()
        .filter(|(_, kind)| kind.len() >= 2 && kind.iter().all(|it| !it.is_empty()))
    else {
        return Err(Lack::refused(format!(
            "`{}` is not a field; fields are {KNOWN} and aliases such as `Microsoft.Devices/IotHubs/disableLocalAuth`",
            text.escape_debug()
        )));
    };
    let path = steps(path)?;
    let is_secret = |it: &Step| match it {
        Step::Member(name) => SECRET_WORDS.contains(&name.to_ascii_lowercase().as_str()),
        Step::All => false,
    };
    if path.iter().any(is_secret) {
        return Err(Lack::refused(
            "this property is secret: it has no alias, and policies never see it",
        ));
    }
    let kind = kind.join("/");
    let place = match path.first() {
        Some(Step::Member(first)) => place_of(&kind, first),
        Some(Step::All) | None => Place::Properties,
    };
    Ok(Field::Property { kind, place, path })
}

/// `a.b[*].c`, step by step.
fn steps(text: &str) -> Result<Vec<Step>, Lack> {
    let mut found = Vec::new();
    for part in text.split('.') {
        let name = part.trim_end_matches("[*]");
        let stars = (part.len() - name.len()) / "[*]".len();
        if name.is_empty() {
            return Err(Lack::refused("the alias has an empty step"));
        }
        if name.contains(['[', ']', '*']) {
            return Err(Lack::refused(
                "a step of an alias is a name, or a name and `[*]` for the members of a list",
            ));
        }
        found.push(Step::Member(name.to_owned()));
        found.extend((0..stars).map(|_| Step::All));
    }
    Ok(found)
}

/// Members that stand beside `properties` in every ARM resource that has them.
const TOP_MEMBERS: &[&str] = &[
    "sku",
    "identity",
    "kind",
    "location",
    "tags",
    "plan",
    "zones",
    "managedBy",
    "extendedLocation",
];

fn place_of(kind: &str, first: &str) -> Place {
    let is_data =
        model::OPERATIONS.iter().filter_map(|it| it.object).any(|it| it.eq_ignore_ascii_case(kind));
    match is_data || TOP_MEMBERS.iter().any(|it| it.eq_ignore_ascii_case(first)) {
        true => Place::Top,
        false => Place::Properties,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Step {
        Step::Member(name.into())
    }

    #[test]
    fn an_alias_is_read_step_by_step() {
        let found = parse("Microsoft.Devices/IotHubs/a.b[*].c[*][*]").unwrap();
        let path = [member("a"), member("b"), Step::All, member("c"), Step::All, Step::All];
        assert_eq!(found.steps(), path);
        assert!(found.is_many() && !parse("Microsoft.Devices/IotHubs/a.b").unwrap().is_many());
    }

    #[test]
    fn a_list_leads_to_what_is_below_its_members_and_to_nothing_else() {
        let list = parse("A.B/c/list[*]").unwrap();
        let leads = |to: &str| list.leads_to(2, &parse(to).unwrap());
        assert!(leads("a.b/C/LIST[*].p") && leads("A.B/c/list[*].q[*]") && leads("A.B/c/list[*]"));
        assert!(!leads("A.B/c/list") && !leads("A.B/c/list2[*]") && !leads("A.B/d/list[*]"));
        assert!(!leads("name"));
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for bad in [
            "",
            "colour",
            "tags.",
            "tags[*]",
            "tagsx",
            "a/b/",
            "a/b/c..d",
            "a/b/c[0]",
            "a/b/c[*]d",
            "a/b/[*]",
            "//x",
            "Microsoft.Devices/IotHubs/authorizationPolicies[*].primaryKey",
            "Microsoft.Devices/IotHubs/routing.endpoints[*].connectionString",
            &format!("a/b/{}", "x".repeat(FIELD_BYTES_MAX)),
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
