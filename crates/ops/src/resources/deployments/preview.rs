//! What a deployment would come to, without making anything: every resource's body, and what the gates say to it.

use super::road::{Refused, Road, detail, scrub};
use super::{Asked, NESTING_MAX, Place, deployer};
use crate::env::Env;
use crate::input::{Input, Reply};
use expression::{STEPS_MAX, Steps};
use gate::Permit;
use model::json::{member, set};
use model::trace::{Caller, Object};
use model::{Error, Scope};
use serde_json::{Value, json};
use std::pin::Pin;
use template::{Known, Plan};

/// A resource as a deployment would leave it.
pub(super) struct Foreseen {
    pub(super) id: String,
    pub(super) api_version: String,
    /// What policy and locks would see of it: without secrets. None where it is not known before the deployment runs.
    pub(super) object: Option<Object>,
}

/// Everything that a template would make, nested ones included, and what stands against it.
#[derive(Default)]
pub(super) struct Preview {
    pub(super) resources: Vec<Foreseen>,
    pub(super) refused: Vec<Value>,
    secrets: Vec<String>,
}

/// Looks at a template with the eyes of who asks.
///
/// # Errors
/// `InvalidTemplate`, and what else `PUT` would not accept.
pub(super) async fn preview(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<(Place, Plan, Preview), Error> {
    let facts = env.facts.load();
    let place = Place::of(input, &facts)?;
    super::check_name(&place.name)?;
    let asked = Asked::read(&input.body, &place.above)?;
    let plan = asked.plan(&place, &facts, env)?;
    let deployer = deployer(permit, &place, env.now())?;
    let road = Road {
        env,
        deployer: &deployer,
        correlation_id: &input.correlation_id,
        address: &input.channel.address,
    };
    let mut found = Preview { secrets: plan.secrets.clone(), ..Preview::default() };
    let mut looking =
        Looking { road, caller: permit.caller(), steps_left: STEPS_MAX, found: &mut found };
    looking.at(&plan, 0).await;
    let secrets = std::mem::take(&mut found.secrets);
    found.refused.iter_mut().for_each(|it| scrub(it, &secrets));
    Ok((place, plan, found))
}

struct Looking<'a> {
    road: Road<'a>,
    caller: &'a Caller,
    steps_left: usize,
    found: &'a mut Preview,
}

impl Looking<'_> {
    /// Boxed: templates are nested.
    fn at<'b>(
        &'b mut self,
        plan: &'b Plan,
        depth: usize,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>> {
        Box::pin(async move {
            let mut known = Known::new();
            for resource in &plan.resources {
                if let Err(refused) = self.one(plan, resource, &mut known, depth).await {
                    self.found.refused.push(detail(&refused, &resource.id));
                }
            }
        })
    }

    async fn one(
        &mut self,
        plan: &Plan,
        resource: &template::Planned,
        known: &mut Known,
        depth: usize,
    ) -> Result<(), Refused> {
        let left = &mut self.steps_left;
        let evaluated = self
            .road
            .evaluated(known, |known| {
                let steps = Steps::of(*left);
                let found = plan.body(resource, known, &steps);
                *left = steps.left();
                found
            })
            .await;
        let (id, api_version) = (resource.id.clone(), resource.api_version.clone());
        let body = match evaluated {
            Ok(it) => it,
            // What it speaks of is still to be made: what it will be is known by then.
            Err(it) if it.status == 404 && !resource.depends_on.is_empty() => {
                self.found.resources.push(Foreseen { id, api_version, object: None });
                return Ok(());
            }
            Err(it) => return Err(it),
        };
        let nested = resource.deploys_to.as_ref().map(|_| body.clone());
        let (object, judgement) = self.road.judged((&id, &api_version), body, self.caller).await?;
        if let Some(denial) = judgement.denial {
            let error = Error::Denied(Box::new(denial));
            return Err(Refused {
                tracking: None,
                ..Refused::of(&error, judgement.trace.id, self.road.env)
            });
        }
        self.found.resources.push(Foreseen { id: id.clone(), api_version, object });
        match nested {
            Some(body) => self.within(&id, &body, depth + 1).await,
            None => Ok(()),
        }
    }

    /// Looks at a nested template.
    async fn within(&mut self, id: &str, body: &Value, depth: usize) -> Result<(), Refused> {
        if depth >= NESTING_MAX {
            let told = format!("deployments are nested at most {NESTING_MAX} deep");
            return Err(Refused::own("DeploymentsTooDeep", told));
        }
        let env = self.road.env;
        let refused =
            |it: Error| Refused { tracking: None, ..Refused::of(&it, env.new_tracking_id(), env) };
        let own = Scope::parse(id).map_err(|it| Refused::own("InvalidTemplate", it.to_string()))?;
        let facts = env.facts.load();
        let above = match (own.resource_group_scope(), own.subscription_scope()) {
            (Some(it), _) | (None, Some(it)) => it,
            (None, None) => Scope::root(),
        };
        // A group that an outer template makes is not there yet.
        let above = facts.containers.get(&above.key()).cloned().unwrap_or(above);
        let place = Place { above, name: own.name().to_owned() };
        let asked = Asked::read(body, &place.above).map_err(refused)?;
        let plan = asked.plan(&place, &facts, env).map_err(refused)?;
        self.found.secrets.extend_from_slice(&plan.secrets);
        self.at(&plan, depth).await;
        Ok(())
    }
}

/// `POST .../validate`: what `PUT` would accept, and what the gates would say to each resource.
///
/// # Errors
/// `InvalidTemplate`. What a gate refuses is answered as `InvalidTemplateDeployment`, each with its resource.
pub(crate) async fn validate(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (place, plan, preview) = preview(permit, input, env).await?;
    if !preview.refused.is_empty() {
        return Ok(Reply::with(400, Some(json!({ "error": refusal(preview.refused) }))));
    }
    let resources: Vec<Value> = preview.resources.iter().map(|it| json!({ "id": it.id })).collect();
    let properties = member(&input.body, "properties").unwrap_or(&Value::Null);
    let mut shown = json!({
        "id": place.id(),
        "name": place.name,
        "type": template::DEPLOYMENTS,
        "properties": {
            "mode": member(properties, "mode").cloned().unwrap_or(json!("Incremental")),
            "provisioningState": "Succeeded",
            "timestamp": env.now().rfc3339(),
            "duration": "PT0S",
            "correlationId": input.correlation_id,
            "parameters": plan.parameters,
            "providers": super::providers(&plan),
            "dependencies": [],
        },
    });
    if let Some(properties) = shown.get_mut("properties") {
        set(properties, "validatedResources", resources);
    }
    Ok(Reply::ok(shown))
}

/// The error of a template that would be refused.
pub(super) fn refusal(details: Vec<Value>) -> Value {
    let first = details.first().map_or("", super::sentence).to_owned();
    json!({
        "code": "InvalidTemplateDeployment",
        "message": format!("the template deployment would be refused; the first reason of {}: {first}", details.len()),
        "details": details,
    })
}
