//! Users: people of the directory, who sign in with a name and a password.
//!
//! A document per user holds the password as [`stretching`] makes it. Whether a shown one fits is decided in
//! `gate`'s authentication, by the facts that [`change_facts`] makes here; where a user has signed in is kept
//! by [`super::sign_ins`].

use super::filters::{self, Forms, Listing};
use super::stretching::{self, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PASSWORD_KINDS_MIN};
use super::{
    Object, applications, entity, groups, person_tokens, properties, room_for_one, sign_ins,
};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::{Error, ObjectId, PrincipalKind, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Expect, tables};

/// Most users in the tenant: a list with a filter reads them all.
pub(super) const USERS_MAX: u64 = 10_000;
/// Longest name to sign in with: 64 characters, `@`, 48 characters.
/// Source: Microsoft Entra, "UserPrincipalName population", "username policies".
const UPN_NAME_CHARS_MAX: usize = 64;
const UPN_DOMAIN_CHARS_MAX: usize = 48;

/// What only the server sets.
const READ_ONLY: &[&str] = &[
    "id",
    "createdDateTime",
    "deletedDateTime",
    "mail",
    "userType",
    "signInSessionsValidFromDateTime",
];
/// What [`User::change`] reads itself.
const OWN: &[&str] =
    &["accountEnabled", "displayName", "mailNickname", "passwordProfile", "userPrincipalName"];

const FORMS: Forms = Forms {
    set: "users",
    equals: &["id", "displayName", "mail", "mailNickname", "userPrincipalName"],
    flags: &["accountEnabled"],
    starts: &["displayName", "mailNickname", "userPrincipalName"],
    any: &[],
};

/// A user as it is kept. No `Debug`: a hash is not for logs either.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct User {
    object_id: ObjectId,
    pub(super) user_principal_name: String,
    pub(super) display_name: String,
    mail_nickname: String,
    account_enabled: bool,
    created_date_time: Timestamp,
    /// A PHC string.
    password: String,
    must_change_password: bool,
    /// What clients set and this server does not act on: see [`properties`].
    #[serde(default)]
    properties: Object,
}

impl User {
    fn key(&self) -> String {
        self.object_id.to_string()
    }

    /// As Graph shows it: everything but the password.
    fn shown(&self) -> Object {
        let mut all = Object::new();
        all.insert("id".into(), json!(self.object_id));
        all.insert("deletedDateTime".into(), Value::Null);
        all.insert("accountEnabled".into(), json!(self.account_enabled));
        all.insert("createdDateTime".into(), json!(self.created_date_time.rfc3339()));
        all.insert("displayName".into(), json!(self.display_name));
        all.insert("mail".into(), Value::Null);
        all.insert("mailNickname".into(), json!(self.mail_nickname));
        all.insert("userPrincipalName".into(), json!(self.user_principal_name));
        all.insert("userType".into(), json!("Member"));
        all.extend(properties::shown_with(defaults(), &self.properties));
        all
    }

    /// The same among objects of several kinds.
    fn described(&self) -> Object {
        let mut all = Object::new();
        all.insert("@odata.type".into(), "#microsoft.graph.user".into());
        all.extend(self.shown());
        all
    }

    /// Takes what a body sets, but for the password, which takes long.
    fn change(&mut self, body: &Value) -> Result<(), Error> {
        properties::check_read_only(body, &self.shown(), READ_ONLY)?;
        if let Some(is_enabled) = flag(body, "accountEnabled")? {
            self.account_enabled = is_enabled;
        }
        if let Some(name) = properties::display_name(body)? {
            self.display_name = name.to_owned();
        }
        if let Some(nickname) = groups::mail_nickname(body)? {
            self.mail_nickname = nickname.to_owned();
        }
        if let Some(upn) = user_principal_name(body)? {
            self.user_principal_name = upn.to_owned();
        }
        let elsewhere: Vec<&str> = READ_ONLY.iter().chain(OWN).copied().collect();
        properties::take(&mut self.properties, &defaults(), body, &elsewhere)
    }

    /// Takes the `passwordProfile` of a body. True where there is another password.
    async fn change_password(&mut self, body: &Value, env: &Env) -> Result<bool, Error> {
        let profile = match model::json::member(body, "passwordProfile") {
            None | Some(Value::Null) => return Ok(false),
            Some(profile @ Value::Object(_)) => profile,
            Some(_) => return Err(Error::invalid("passwordProfile", "this is a JSON object")),
        };
        if let Some(must) = flag(profile, "forceChangePasswordNextSignIn")? {
            self.must_change_password = must;
        }
        match model::json::member(profile, "password") {
            None | Some(Value::Null) => Ok(false),
            Some(Value::String(password)) if is_strong(password, &self.user_principal_name) => {
                self.password = stretching::kept(env, Secret::new(password.clone())).await?;
                Ok(true)
            }
            Some(_) => Err(Error::invalid(
                "passwordProfile.password",
                format!(
                    "the password does not comply with password complexity requirements: \
                     {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters of {PASSWORD_KINDS_MIN} of the kinds \
                     lower case, upper case, digit and other, without the name of the user"
                ),
            )),
        }
    }
}

/// Every property that is kept for clients. Source: Microsoft Graph, "user resource type".
fn defaults() -> Object {
    properties::object(json!({
        "businessPhones": [],
        "city": null,
        "companyName": null,
        "country": null,
        "department": null,
        "employeeId": null,
        "givenName": null,
        "jobTitle": null,
        "mobilePhone": null,
        "officeLocation": null,
        "onPremisesImmutableId": null,
        "preferredLanguage": null,
        "surname": null,
        "usageLocation": null,
    }))
}

fn flag(body: &Value, name: &'static str) -> Result<Option<bool>, Error> {
    match model::json::member(body, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(is)) => Ok(Some(*is)),
        Some(_) => Err(Error::invalid(name, "this is `true` or `false`")),
    }
}

/// `userPrincipalName`, where the body has one. Any domain is taken: nothing is sent to it.
fn user_principal_name(body: &Value) -> Result<Option<&str>, Error> {
    match model::json::member(body, "userPrincipalName") {
        None => Ok(None),
        Some(Value::String(name)) if is_upn(name) => Ok(Some(name)),
        Some(_) => Err(Error::invalid(
            "userPrincipalName",
            format!(
                "this is a name such as `ana@plant.example`: at most {UPN_NAME_CHARS_MAX} of the characters \
                 A-Z a-z 0-9 ' . - _ ! # ^ ~ before the `@`, and a domain of at most {UPN_DOMAIN_CHARS_MAX} behind it"
            ),
        )),
    }
}

fn is_upn(text: &str) -> bool {
    let Some((name, domain)) = text.split_once('@') else { return false };
    let is_in_name = |it: u8| it.is_ascii_alphanumeric() || b"'.-_!#^~".contains(&it);
    let is_label = |it: &str| {
        !it.is_empty()
            && !it.starts_with('-')
            && !it.ends_with('-')
            && it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
    };
    (1..=UPN_NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(is_in_name)
        && !name.starts_with('.')
        && !name.ends_with('.')
        && (1..=UPN_DOMAIN_CHARS_MAX).contains(&domain.len())
        && domain.split('.').all(is_label)
}

/// Source: Microsoft Entra, "Password policies that only apply to cloud user accounts".
fn is_strong(password: &str, upn: &str) -> bool {
    let has = |is: fn(char) -> bool| usize::from(password.chars().any(is));
    let kinds = has(|it| it.is_ascii_lowercase())
        + has(|it| it.is_ascii_uppercase())
        + has(|it| it.is_ascii_digit())
        + has(|it| !it.is_ascii_alphanumeric());
    let name = upn.split('@').next().unwrap_or("").to_ascii_lowercase();
    (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&password.chars().count())
        && kinds >= PASSWORD_KINDS_MIN
        && !password.to_ascii_lowercase().contains(&name)
        && !password.chars().any(char::is_control)
}

/// Lists users.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let listing = Listing::read(input, &FORMS)?;
    let all: Vec<(String, User)> = control::all(env, tables::USERS, "").await?;
    let shown = all.iter().map(|(_, it)| it.shown()).collect();
    Ok(listing.answer(&env.settings.origin, &FORMS, shown))
}

/// Shows a user by object id or name.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let select = filters::selected(input)?;
    let user = required(env, input.param("id")).await?;
    Ok(Reply::ok(entity(env, FORMS.set, filters::project(user.shown(), &select))))
}

/// Shows the user who asks.
///
/// # Errors
/// [`Error::Invalid`] where the caller is no user.
pub(crate) async fn get_me(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let select = filters::selected(input)?;
    let caller = permit.caller();
    match caller.object_id.filter(|_| caller.kind == PrincipalKind::User) {
        Some(id) => {
            let user = required(env, &id.to_string()).await?;
            Ok(Reply::ok(entity(env, FORMS.set, filters::project(user.shown(), &select))))
        }
        None => Err(refused("/me request is only valid with delegated authentication flow.")),
    }
}

/// Makes a user, who can sign in from the next call on.
///
/// # Errors
/// [`Error::Invalid`] where a property is missing or cannot be taken, or another user has the name.
pub(crate) async fn create(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    room_for_one(env, tables::USERS, USERS_MAX, "users").await?;
    let missing = |name: &'static str| Error::invalid(name, "this is required");
    let body = &input.body;
    let name = properties::display_name(body)?.ok_or_else(|| missing("displayName"))?;
    let nickname = groups::mail_nickname(body)?.ok_or_else(|| missing("mailNickname"))?;
    let upn = user_principal_name(body)?.ok_or_else(|| missing("userPrincipalName"))?;
    let is_enabled = flag(body, "accountEnabled")?.ok_or_else(|| missing("accountEnabled"))?;
    let mut user = User {
        object_id: ObjectId(env.new_uuid()),
        user_principal_name: upn.to_owned(),
        display_name: name.to_owned(),
        mail_nickname: nickname.to_owned(),
        account_enabled: is_enabled,
        created_date_time: env.now(),
        password: String::new(),
        must_change_password: false,
        properties: Object::new(),
    };
    user.change(body)?;
    check_name_is_free(env, &user)?;
    if !user.change_password(body, env).await? {
        return Err(missing("passwordProfile.password"));
    }
    let change = control::put(tables::USERS, user.key(), Expect::Absent, &user)?;
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::created(entity(env, FORMS.set, user.shown())))
}

/// Changes a user. `accountEnabled: false` binds from the next call on, also for tokens that are out; another
/// password ends every sign-in.
pub(crate) async fn patch(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut user = required(env, input.param("id")).await?;
    user.change(&input.body)?;
    check_name_is_free(env, &user)?;
    let has_new_password = user.change_password(&input.body, env).await?;
    let mut changes = vec![control::put(tables::USERS, user.key(), Expect::Present, &user)?];
    if has_new_password {
        changes.extend(sign_ins::change_to_none(env, user.object_id).await?);
        env.tries.forget(user.object_id);
    }
    control::commit(permit, env, changes).await?;
    Ok(Reply::empty(204))
}

/// Sets another password for the person who has shown the one before, and ends every sign-in.
///
/// # Errors
/// [`Error::Invalid`] where the new one is too weak or is the one before.
pub(crate) async fn change_own_password(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let (id, _) = person_tokens::who(permit.caller())?;
    let mut user = required(env, &id.to_string()).await?;
    let wanted = input.required_text(&["new_password"])?;
    if input.text(&["password"]) == Some(wanted) {
        return Err(refused("The new password is the one before; choose another one."));
    }
    let profile = json!({ "password": wanted, "forceChangePasswordNextSignIn": false });
    user.change_password(&json!({ "passwordProfile": profile }), env).await?;
    let mut changes = vec![control::put(tables::USERS, user.key(), Expect::Present, &user)?];
    changes.extend(sign_ins::change_to_none(env, id).await?);
    control::commit(permit, env, changes).await?;
    env.tries.forget(id);
    Ok(Reply::ok(json!({ "changed": true })))
}

/// Deletes a user with every sign-in. Role assignments stay, orphaned.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let user = required(env, input.param("id")).await?;
    let mut changes = vec![control::delete(tables::USERS, user.key(), Expect::Present)];
    changes.extend(sign_ins::change_to_none(env, user.object_id).await?);
    control::commit(permit, env, changes).await?;
    env.tries.forget(user.object_id);
    Ok(Reply::empty(204))
}

/// Ends every sign-in of a user; access tokens that are out live on to their end.
///
/// Source: Microsoft Graph, "user: revokeSignInSessions".
pub(crate) async fn revoke(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let user = required(env, input.param("id")).await?;
    let changes = sign_ins::change_to_none(env, user.object_id).await?;
    control::commit(permit, env, changes).await?;
    let context = super::context(&env.settings.origin, "Edm.Boolean");
    Ok(Reply::ok(json!({ "@odata.context": context, "value": true })))
}

/// Two users with one name could not be told apart at sign-in. Only for calls that change facts: they are
/// alone, so the facts say what the documents say.
fn check_name_is_free(env: &Env, user: &User) -> Result<(), Error> {
    let facts = env.facts.load();
    match facts.people.named(&user.user_principal_name) {
        Some(other) if other.id != user.object_id => Err(refused(
            "Another object with the same value for property userPrincipalName already exists.",
        )),
        Some(_) | None => Ok(()),
    }
}

fn refused(message: &str) -> Error {
    Error::Invalid { code: "Request_BadRequest", at: None, message: message.to_owned() }
}

/// The user of an object id.
pub(super) async fn find(env: &Env, id: ObjectId) -> Result<Option<User>, Error> {
    Ok(control::get(env, tables::USERS, &id.to_string()).await?.map(|(it, _)| it))
}

/// The user of an object id or a name.
async fn required(env: &Env, id: &str) -> Result<User, Error> {
    let facts = env.facts.load();
    let found = ObjectId::parse(id).or_else(|| facts.people.named(id).map(|it| it.id));
    let user = match found {
        Some(id) => find(env, id).await?,
        None => None,
    };
    user.ok_or_else(|| applications::not_found(id))
}

/// A user among objects of several kinds.
pub(super) async fn described(env: &Env, id: ObjectId) -> Result<Option<Object>, Error> {
    Ok(find(env, id).await?.map(|it| it.described()))
}

/// Brings a user's document into the facts, or takes it out.
pub(crate) fn change_facts(
    facts: &mut gate::Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        facts.remove_person(ObjectId::parse(key).ok_or("its key is not an object id")?);
        return Ok(());
    };
    let user: User = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    facts.put_person(gate::facts::Person {
        id: user.object_id,
        upn: user.user_principal_name,
        is_enabled: user.account_enabled,
        password: Secret::new(user.password),
        must_change: user.must_change_password,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_to_sign_in_with_has_a_name_and_a_domain() {
        let check = |name: &str, expected: bool| assert_eq!(is_upn(name), expected, "{name}");
        check("ana@plant.example", true);
        check("A.na-1_!#^~'@plant", true);
        check(&format!("{}@x", "a".repeat(UPN_NAME_CHARS_MAX)), true);
        check(&format!("{}@x", "a".repeat(UPN_NAME_CHARS_MAX + 1)), false);
        check(&format!("a@{}", "x".repeat(UPN_DOMAIN_CHARS_MAX)), true);
        check(&format!("a@{}", "x".repeat(UPN_DOMAIN_CHARS_MAX + 1)), false);
        for wrong in
            ["", "ana", "@x", "ana@", "a@b@c", "a b@x", ".a@x", "a.@x", "a@x..y", "a@-x", "ä@x"]
        {
            check(wrong, false);
        }
    }

    #[test]
    fn a_password_is_long_mixed_and_not_the_name() {
        let check = |password: &str, expected: bool| {
            assert_eq!(is_strong(password, "ana@plant.example"), expected, "{password}");
        };
        check("Abcdefg1", true);
        check("abcdef1!", true);
        check("ABCDEF1ä", true);
        check("Abcdef1", false);
        check("abcdefg1", false);
        check("Abcdefgh", false);
        check("xANA-bcd1", false);
        check("Abcdefg1\n", false);
        check(&format!("Aa1{}", "x".repeat(PASSWORD_CHARS_MAX - 3)), true);
        check(&format!("Aa1{}", "x".repeat(PASSWORD_CHARS_MAX - 2)), false);
    }
}
