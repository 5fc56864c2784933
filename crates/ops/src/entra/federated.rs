//! An application's federated credentials: which tokens of which other issuers sign it in.
//!
//! They are kept with the application and hold no secret. Whether a token fits one is decided in `gate`'s
//! authentication, by the letter; by whose keys, in [`super::issuers`].

use super::filters::{self, Forms, Listing};
use super::{Object, applications, entity, properties, shown};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use applications::Application;
use gate::Permit;
use model::{Error, ObjectId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Expect, tables};

/// Most federated credentials of an application, and the longest texts of one, in characters.
/// Source: Microsoft Graph, "federatedIdentityCredential resource type".
const CREDENTIALS_MAX: usize = 20;
const NAME_CHARS: std::ops::RangeInclusive<usize> = 3..=120;
const TEXT_CHARS_MAX: usize = 600;

const FORMS: Forms = Forms {
    set: "federatedIdentityCredentials",
    equals: &["id", "name", "issuer", "subject"],
    flags: &[],
    starts: &[],
    any: &[],
};

/// A federated credential as it is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct FederatedCredential {
    id: ObjectId,
    name: String,
    issuer: String,
    subject: String,
    audience: String,
    #[serde(default)]
    description: Option<String>,
}

impl FederatedCredential {
    fn shown(&self) -> Object {
        properties::object(json!({
            "id": self.id,
            "name": self.name,
            "issuer": self.issuer,
            "subject": self.subject,
            "audiences": [self.audience],
            "description": self.description,
        }))
    }

    pub(super) fn fact(&self) -> gate::facts::FederatedCredential {
        gate::facts::FederatedCredential {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            audience: self.audience.clone(),
        }
    }

    /// Takes what a body sets. The name is for ever: policies and scripts go by it.
    fn change(&mut self, body: &Value) -> Result<(), Error> {
        for (key, value) in properties::members(body)? {
            let text = || match value.as_str() {
                Some(text) if is_text(text) => Ok(text.to_owned()),
                _ => Err(Error::invalid(
                    shown(key),
                    format!("this is a text of 1 to {TEXT_CHARS_MAX} characters"),
                )),
            };
            match key.as_str() {
                "id" if *value == json!(self.id) => {}
                "name" if *value == json!(self.name) => {}
                "id" | "name" => {
                    return Err(Error::invalid(key, "this cannot be changed; leave it out"));
                }
                "issuer" => self.issuer = text()?,
                "subject" => self.subject = text()?,
                "audiences" => self.audience = audience(value)?,
                "description" if value.is_null() => self.description = None,
                "description" => self.description = Some(text()?),
                // Annotations describe; they set nothing.
                _ if key.contains('@') => {}
                _ => {
                    return Err(Error::invalid(
                        shown(key),
                        "there is no such property here; leave it out",
                    ));
                }
            }
        }
        match self.issuer.is_empty() || self.subject.is_empty() || self.audience.is_empty() {
            true => Err(Error::invalid(
                "body",
                "a federated credential has an `issuer`, a `subject` and one of `audiences`",
            )),
            false => Ok(()),
        }
    }
}

fn is_text(text: &str) -> bool {
    !text.is_empty()
        && text.chars().nth(TEXT_CHARS_MAX).is_none()
        && !text.chars().any(char::is_control)
}

fn audience(value: &Value) -> Result<String, Error> {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(one)]) if is_text(one) => Ok(one.clone()),
        _ => Err(Error::invalid(
            "audiences",
            "this is a list of one text, such as [\"api://AzureADTokenExchange\"]",
        )),
    }
}

fn name(body: &Value) -> Result<&str, Error> {
    let is_letter = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
    match model::json::member(body, "name").and_then(Value::as_str) {
        Some(name) if NAME_CHARS.contains(&name.len()) && name.bytes().all(is_letter) => Ok(name),
        _ => Err(Error::invalid(
            "name",
            format!(
                "this is a text of {} to {} letters, digits, `-` and `_`",
                NAME_CHARS.start(),
                NAME_CHARS.end()
            ),
        )),
    }
}

/// Lists an application's federated credentials.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let listing = Listing::read(input, &FORMS)?;
    let application = applications::required(env, input.param("id")).await?;
    let all = application.federated.iter().map(FederatedCredential::shown).collect();
    Ok(listing.answer(&env.settings.origin, &FORMS, all))
}

/// Shows one, by its id or its name.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let select = filters::selected(input)?;
    let application = applications::required(env, input.param("id")).await?;
    let at = place(&application, input.param("credential"))?;
    let found = application.federated.get(at).map(FederatedCredential::shown).unwrap_or_default();
    Ok(Reply::ok(entity(env, FORMS.set, filters::project(found, &select))))
}

/// Lets tokens of another issuer sign an application in.
///
/// # Errors
/// [`Error::Invalid`] where a text cannot be taken or there are [`CREDENTIALS_MAX`] already;
/// [`Error::Conflict`] where one has the name, or the issuer and the subject.
///
/// Source: Microsoft Graph, "application: Create federatedIdentityCredential".
pub(crate) async fn create(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut application = applications::required(env, input.param("id")).await?;
    if application.federated.len() >= CREDENTIALS_MAX {
        return Err(Error::invalid(
            "federatedIdentityCredentials",
            format!("an application has at most {CREDENTIALS_MAX}; delete some first"),
        ));
    }
    let mut credential = FederatedCredential {
        id: ObjectId(env.new_uuid()),
        name: name(&input.body)?.to_owned(),
        issuer: String::new(),
        subject: String::new(),
        audience: String::new(),
        description: None,
    };
    credential.change(&input.body)?;
    check_alone(&application, &credential)?;
    let answer = entity(env, FORMS.set, credential.shown());
    application.federated.push(credential);
    write(permit, env, &application).await?;
    Ok(Reply::created(answer))
}

/// Changes one.
pub(crate) async fn patch(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut application = applications::required(env, input.param("id")).await?;
    let at = place(&application, input.param("credential"))?;
    if let Some(mut changed) = application.federated.get(at).cloned() {
        changed.change(&input.body)?;
        check_alone(&application, &changed)?;
        application.federated.iter_mut().filter(|it| it.id == changed.id).for_each(|it| {
            it.clone_from(&changed);
        });
    }
    write(permit, env, &application).await?;
    Ok(Reply::empty(204))
}

/// Takes one away. The next sign-in by it fails; tokens that it got live on to their end.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut application = applications::required(env, input.param("id")).await?;
    let at = place(&application, input.param("credential"))?;
    application.federated.remove(at);
    write(permit, env, &application).await?;
    Ok(Reply::empty(204))
}

/// Where the credential of an id or a name stands.
fn place(application: &Application, named: &str) -> Result<usize, Error> {
    let id = ObjectId::parse(named);
    let is_it = |it: &FederatedCredential| Some(it.id) == id || it.name == named;
    application.federated.iter().position(is_it).ok_or_else(|| Error::NotFound {
        code: "Request_ResourceNotFound",
        message: format!(
            "the application has no federated credential with the id or name `{}`",
            shown(named)
        ),
    })
}

/// Two that the same token fits would make it a matter of chance which one signs in.
fn check_alone(application: &Application, credential: &FederatedCredential) -> Result<(), Error> {
    let is_like_it = |it: &&FederatedCredential| {
        it.id != credential.id
            && (it.name == credential.name
                || (it.issuer == credential.issuer && it.subject == credential.subject))
    };
    match application.federated.iter().find(is_like_it) {
        None => Ok(()),
        Some(other) => Err(Error::Conflict {
            code: "Request_MultipleObjectsWithSameKeyValue",
            message: format!(
                "the federated credential `{}` of the application has the same name, or the same issuer and subject",
                other.name
            ),
        }),
    }
}

async fn write(permit: &Permit, env: &Env, application: &Application) -> Result<(), Error> {
    let change =
        control::put(tables::APPLICATIONS, application.key(), Expect::Present, application)?;
    control::commit(permit, env, vec![change]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential() -> FederatedCredential {
        FederatedCredential {
            id: ObjectId(uuid::Uuid::nil()),
            name: "ci".into(),
            issuer: String::new(),
            subject: String::new(),
            audience: String::new(),
            description: None,
        }
    }

    fn body() -> Value {
        json!({
            "name": "ci", "issuer": "https://ci.example", "subject": "repo:a",
            "audiences": ["api://AzureADTokenExchange"],
        })
    }

    #[test]
    fn a_body_is_taken_whole_or_refused_by_name() {
        let check = |name: &str, value: Value, expected: bool| {
            let mut body = body();
            body[name] = value;
            let taken = credential().change(&body);
            assert_eq!(taken.is_ok(), expected, "{body}: {taken:?}");
        };
        check("description", Value::Null, true);
        check("@odata.type", json!("#microsoft.graph.federatedIdentityCredential"), true);
        check("subject", json!("a".repeat(TEXT_CHARS_MAX)), true);
        check("subject", json!("a".repeat(TEXT_CHARS_MAX + 1)), false);
        check("subject", json!(""), false);
        check("issuer", json!("https://ci.example\n"), false);
        check("issuer", Value::Null, false);
        check("audiences", json!([]), false);
        check("audiences", json!(["a", "b"]), false);
        check("audiences", json!("a"), false);
        check("name", json!("other"), false);
        check("id", json!("other"), false);
        check("claimsMatchingExpression", json!({ "value": "claims['sub'] matches '*'" }), false);
        assert!(credential().change(&json!({ "issuer": "https://ci.example" })).is_err());
    }

    #[test]
    fn a_name_is_short_and_plain() {
        let check = |given: Value, expected: bool| {
            assert_eq!(name(&json!({ "name": given })).is_ok(), expected, "{given}");
        };
        check(json!("ci-main_1"), true);
        check(json!("a".repeat(120)), true);
        check(json!("a".repeat(121)), false);
        check(json!("ab"), false);
        check(json!("a b c"), false);
        check(json!("../x"), false);
        check(Value::Null, false);
    }

    #[test]
    fn no_two_of_an_application_share_a_name_or_issuer_and_subject() {
        let mut one = credential();
        one.change(&body()).unwrap();
        let id = one.id;
        let mut application = Application::new(id, id, "pump", model::Timestamp::default());
        application.federated.push(one.clone());
        let check = |change: fn(&mut FederatedCredential), expected: bool| {
            let mut other = FederatedCredential { id: ObjectId(uuid::Uuid::max()), ..one.clone() };
            change(&mut other);
            assert_eq!(check_alone(&application, &other).is_ok(), expected, "{other:?}");
        };
        check(|it| it.name = "ci2".into(), false);
        check(|it| it.subject = "repo:b".into(), false);
        check(|it| (it.name, it.subject) = ("ci2".into(), "repo:A".into()), true);
        assert!(check_alone(&application, &one).is_ok());
    }
}
