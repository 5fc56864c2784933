//! Role assignments as they are written.

use crate::facts::{Facts, Role, RoleAssignment, management_group};
use model::{Error, ObjectId, Scope};

/// Most role assignments in a subscription, with everything in it, and most at a management group.
/// Source: Azure RBAC documentation, "Troubleshoot Azure RBAC limits".
const IN_SUBSCRIPTION_MAX: usize = 4_000;
const AT_GROUP_MAX: usize = 500;

/// An assignment that somebody wants to write.
pub struct NewAssignment<'a> {
    pub name: &'a str,
    pub principal: ObjectId,
    pub role: &'a Role,
    pub scope: &'a Scope,
}

/// How the principal was told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrincipalGiven {
    ById,
    /// By an id that is too new for whoever answers to know it.
    Unseen,
    /// With its type, as clients do for what was made a moment ago: it need not be known yet.
    WithType,
}

impl NewAssignment<'_> {
    fn is(&self, it: &RoleAssignment) -> bool {
        it.role == self.role.id && it.principal == self.principal && it.scope.same_place(self.scope)
    }
}

/// Checks an assignment against those that there are.
///
/// # Errors
/// `PrincipalNotFound`, `RoleAssignmentScopeNotAssignableToRoleDefinition`,
/// `RoleAssignmentUpdateNotPermitted`, `RoleAssignmentExists`, `RoleAssignmentLimitExceeded`.
pub fn check_assignment(
    new: &NewAssignment<'_>,
    given: PrincipalGiven,
    facts: &Facts,
) -> Result<(), Error> {
    let NewAssignment { principal, role, scope, .. } = new;
    let refuse =
        |code: &'static str, message: String| Err(Error::Invalid { code, at: None, message });
    let is_known = match given {
        PrincipalGiven::WithType => true,
        PrincipalGiven::ById => facts.kind_of(*principal).is_some(),
        PrincipalGiven::Unseen => false,
    };
    if !is_known {
        return refuse(
            "PrincipalNotFound",
            format!(
                "Principal {principal} does not exist in the directory {}. Check that you have the correct principal ID \
                 (the object id, not the application id), or send `principalType` if it was created a moment ago.",
                facts.tenant
            ),
        );
    }
    if !role.is_builtin && !role.assignable_scopes.iter().any(|it| facts.contains(it, scope)) {
        let scopes: Vec<&str> = role.assignable_scopes.iter().map(Scope::as_str).collect();
        return refuse(
            "RoleAssignmentScopeNotAssignableToRoleDefinition",
            format!(
                "the role `{}` can be assigned at {} and below, not at `{scope}`",
                role.name,
                scopes.join(", ")
            ),
        );
    }
    let everything = || facts.role_assignments.iter();
    match everything().find(|it| it.name.eq_ignore_ascii_case(new.name)) {
        Some(it) if new.is(it) => return Ok(()),
        Some(_) => {
            return refuse(
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
                    .into(),
            );
        }
        None => {}
    }
    if everything().any(|it| new.is(it)) {
        return Err(Error::Conflict {
            code: "RoleAssignmentExists",
            message: "The role assignment already exists.".into(),
        });
    }
    match limit(scope) {
        Some((of, most)) if everything().filter(|it| of(&it.scope)).count() >= most => refuse(
            "RoleAssignmentLimitExceeded",
            format!("No more role assignments can be created; the limit is {most}"),
        ),
        Some(_) | None => Ok(()),
    }
}

type Belongs<'a> = Box<dyn Fn(&Scope) -> bool + 'a>;

/// Which assignments count together with one at this scope, and how many there may be.
fn limit(scope: &Scope) -> Option<(Belongs<'_>, usize)> {
    if management_group(scope).is_some() {
        return Some((Box::new(|it| it.same_place(scope)), AT_GROUP_MAX));
    }
    let own = scope.subscription_id()?;
    let is_in =
        move |it: &Scope| it.subscription_id().is_some_and(|it| it.eq_ignore_ascii_case(own));
    Some((Box::new(is_in), IN_SUBSCRIPTION_MAX))
}
