//! A template's resources in the order in which they can be made.

use crate::evaluate::{CalledBy, Context, Copying, Evaluator};
use crate::order::{Names, in_order, speaks_of, written_dependencies};
use crate::read::Reading;
use crate::settle::{Settling, settle};
use crate::{
    Known, NotATemplate, OUTPUTS_MAX, SHOWN_BYTES_MAX, Stop, Surroundings, VARIABLES_MAX, nested,
    parameters,
};
use expression::Steps;
use model::Scope;
use model::json::{member, text};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// What belongs to the template and not to the resource.
const OF_THE_TEMPLATE: &[&str] = &[
    "apiVersion",
    "comments",
    "condition",
    "copy",
    "dependsOn",
    "existing",
    "import",
    "metadata",
    "name",
    "resourceGroup",
    "resources",
    "scope",
    "subscriptionId",
    "type",
];

/// A resource of a template, one for each copy.
#[derive(Clone, Debug)]
pub struct Planned {
    pub id: String,
    pub kind: String,
    pub name: String,
    pub api_version: String,
    /// Where it deploys to, of a nested deployment.
    pub deploys_to: Option<Scope>,
    /// The places in the plan of those that come before it.
    pub depends_on: BTreeSet<usize>,
    pub(crate) symbol: Option<String>,
    /// The name of the loop that made it.
    pub(crate) of_loop: Option<String>,
    /// Shared by all copies; without its children.
    pub(crate) written: Arc<Value>,
    pub(crate) copies: Vec<Copying>,
}

/// An output as it is shown.
#[derive(Clone, PartialEq, Debug)]
pub struct Output {
    pub name: String,
    pub kind: String,
    /// None of a secure one.
    pub value: Option<Value>,
}

/// What a template comes to.
#[derive(Clone, Debug)]
pub struct Plan {
    context: Context,
    /// In an order in which everything stands behind what it depends on.
    pub resources: Vec<Planned>,
    /// The parameters as a deployment shows them: those that are secure without values.
    pub parameters: Value,
    /// The texts in secure parameters: nothing that is shown may hold one.
    pub secrets: Vec<String>,
    outputs: Map<String, Value>,
}

impl Plan {
    /// Settles everything but the bodies of resources and the outputs. `new_guid` makes ids where defaults ask for
    /// them.
    ///
    /// # Errors
    /// The sentence for whoever wrote the template or its parameters.
    pub fn new(
        template: &Value,
        given: &Value,
        around: Surroundings,
        new_guid: &dyn Fn() -> Uuid,
    ) -> Result<Self, NotATemplate> {
        nested::check_shape(template)?;
        let declared = section(template, "parameters")?;
        let given = parameters::given(&declared, given)?;
        let is_secure = |it: &Value| parameters::kind(it).is_some_and(|(_, is_secure)| is_secure);
        let is_quiet = declared.values().any(is_secure);
        let variables = section(template, "variables")?;
        if variables.len() > VARIABLES_MAX {
            return Err(NotATemplate(format!(
                "the template has more than {VARIABLES_MAX} variables"
            )));
        }
        let outputs = section(template, "outputs")?;
        if outputs.len() > OUTPUTS_MAX {
            return Err(NotATemplate(format!("the template has more than {OUTPUTS_MAX} outputs")));
        }
        let blank = Context {
            around,
            parameters: BTreeMap::new(),
            variables: BTreeMap::new(),
            resources: CalledBy::default(),
            is_quiet,
        };
        let steps = Steps::default();
        let settling = Settling {
            parameters: &declared,
            given: &given,
            variables: &variables,
            new_guid,
            settled: RefCell::default(),
            under_way: RefCell::default(),
        };
        let (values, variables) = settle(&blank, &steps, &settling)?;
        let (mut shown, mut secrets) = (Map::new(), Vec::new());
        for (name, it) in &declared {
            let value = values.get(&name.to_ascii_lowercase()).unwrap_or(&Value::Null);
            let kind = text(it, &["type"]).unwrap_or("object");
            shown.insert(
                name.clone(),
                match is_secure(it) {
                    true => {
                        texts_in(value, &mut secrets);
                        json!({ "type": kind })
                    }
                    false => json!({ "type": kind, "value": value }),
                },
            );
        }
        let shown = Value::Object(shown);
        check_size("the parameters", &shown)?;
        let context = Context { parameters: values, variables, ..blank };
        let mut plan = Self { context, resources: Vec::new(), parameters: shown, secrets, outputs };
        plan.read_resources(template, &steps)?;
        plan.order(&steps)?;
        Ok(plan)
    }

    /// Finds every resource, its copies and children, and what each is called.
    fn read_resources(&mut self, template: &Value, steps: &Steps) -> Result<(), NotATemplate> {
        let mut reading = Reading::default();
        {
            let at = Evaluator::new(&self.context, steps);
            match member(template, "resources") {
                None | Some(Value::Null) => {}
                Some(Value::Array(all)) => {
                    for (index, it) in all.iter().enumerate() {
                        let place = format!("resources[{index}]");
                        reading
                            .read(&at, it, None, None)
                            .map_err(|it| it.at(&place).before_it_runs())?;
                    }
                }
                Some(Value::Object(all)) => {
                    for (symbol, it) in all {
                        let place = format!("resources.{symbol}");
                        reading
                            .read(&at, it, Some(symbol), None)
                            .map_err(|it| it.at(&place).before_it_runs())?;
                    }
                }
                Some(_) => return Err(NotATemplate("`resources` is a list or an object".into())),
            }
        }
        let mut seen = BTreeSet::new();
        for it in &reading.all {
            if !seen.insert(it.id.to_ascii_lowercase()) {
                return Err(NotATemplate(format!(
                    "the resource `{}` is defined more than once",
                    it.id
                )));
            }
        }
        self.context.resources = reading.called;
        self.resources = reading.all;
        Ok(())
    }

    /// Works out who depends on whom, and puts them in order.
    fn order(&mut self, steps: &Steps) -> Result<(), NotATemplate> {
        let names = Names::of(&self.resources);
        let mut depends = Vec::with_capacity(self.resources.len());
        for (index, it) in self.resources.iter().enumerate() {
            let at = Evaluator::with(&self.context, steps, &it.copies, None);
            let refused = |stop: Stop| stop.at(&it.id).before_it_runs();
            let mut on = BTreeSet::new();
            for word in written_dependencies(&at, &it.written).map_err(refused)? {
                let found = names.find(&word);
                // A resource that a condition has left out is none.
                if found.is_empty() && self.context.resource(&word).is_none() {
                    return Err(NotATemplate(format!(
                        "{}: the resource `{}` is not defined in the template",
                        it.id,
                        word.escape_debug()
                    )));
                }
                steps.spend(found.len())?;
                on.extend(found);
            }
            let mut spoken = Vec::new();
            speaks_of(&at, &it.written, &mut spoken).map_err(refused)?;
            for word in spoken {
                // What is no resource of the template is there already, or is not: it is asked for in time.
                on.extend(names.find(&word));
            }
            if let Some((above, _)) =
                it.id.rsplit_once('/').and_then(|(above, _)| above.rsplit_once('/'))
            {
                on.extend(names.find(above));
            }
            on.remove(&index);
            depends.push(on);
        }
        let order = in_order(&depends).map_err(|cycle| {
            let ids =
                cycle.iter().filter_map(|it| self.resources.get(*it)).map(|it| it.id.as_str());
            NotATemplate(format!(
                "circular dependency: {}",
                ids.collect::<Vec<_>>().join(" depends on ")
            ))
        })?;
        let places: BTreeMap<usize, usize> =
            order.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        let mut all: Vec<Option<Planned>> =
            std::mem::take(&mut self.resources).into_iter().map(Some).collect();
        for old in order {
            let (Some(found), Some(on)) =
                (all.get_mut(old).and_then(Option::take), depends.get(old))
            else {
                continue;
            };
            let depends_on = on.iter().filter_map(|it| places.get(it).copied()).collect();
            self.resources.push(Planned { depends_on, ..found });
        }
        Ok(())
    }

    /// The body that the call for a resource sends. `steps` are those that are left to the whole plan.
    ///
    /// # Errors
    /// [`Stop::Needs`] where something is to be fetched first.
    pub fn body(&self, resource: &Planned, known: &Known, steps: &Steps) -> Result<Value, Stop> {
        let at = Evaluator::with(&self.context, steps, &resource.copies, Some(known));
        let mut body = Map::new();
        for (name, it) in resource.written.as_object().into_iter().flatten() {
            let is_own = !OF_THE_TEMPLATE.iter().any(|it| it.eq_ignore_ascii_case(name));
            if is_own && !(resource.deploys_to.is_some() && name.eq_ignore_ascii_case("properties"))
            {
                body.insert(name.clone(), at.value(it).map_err(|it| it.at(name))?);
            }
        }
        if resource.deploys_to.is_some() {
            body.insert("properties".into(), nested::properties(&at, &resource.written)?);
        }
        Ok(Value::Object(body))
    }

    /// The outputs, once every resource is there.
    ///
    /// # Errors
    /// As [`Self::body`].
    pub fn outputs(&self, known: &Known, steps: &Steps) -> Result<Vec<Output>, Stop> {
        let at = Evaluator::with(&self.context, steps, &[], Some(known));
        let mut all = Vec::new();
        for (name, it) in &self.outputs {
            let place = format!("outputs.{name}");
            if !nested::condition(&at, it).map_err(|it| it.at(&place))? {
                continue;
            }
            let Some((kind, is_secure)) = parameters::kind(it) else {
                return Err(Stop::Fault("it has no `type` that there is".into()).at(&place));
            };
            let value = match (member(it, "copy"), member(it, "value")) {
                (Some(copy), _) => {
                    let input = member(copy, "input").unwrap_or(&Value::Null);
                    let count = at.count(copy).map_err(|it| it.at(&place))?;
                    let items = (0..count).map(|index| at.within("", index).value(input));
                    Value::Array(items.collect::<Result<_, _>>().map_err(|it| it.at(&place))?)
                }
                (None, Some(value)) => at.value(value).map_err(|it| it.at(&place))?,
                (None, None) => return Err(Stop::Fault("it has no `value`".into()).at(&place)),
            };
            if !kind.fits(&value) && !value.is_null() {
                return Err(Stop::Fault("the value is not of its type".into()).at(&place));
            }
            let kind = text(it, &["type"]).unwrap_or("object").to_owned();
            all.push(Output { name: name.clone(), kind, value: (!is_secure).then_some(value) });
        }
        let bytes: usize =
            all.iter().filter_map(|it| it.value.as_ref()).map(|it| it.to_string().len()).sum();
        match bytes <= SHOWN_BYTES_MAX {
            true => Ok(all),
            false => {
                Err(Stop::Fault(format!("the outputs have more than {SHOWN_BYTES_MAX} bytes")))
            }
        }
    }
}

fn check_size(what: &str, value: &Value) -> Result<(), NotATemplate> {
    match value.to_string().len() <= SHOWN_BYTES_MAX {
        true => Ok(()),
        false => Err(NotATemplate(format!("{what} have more than {SHOWN_BYTES_MAX} bytes"))),
    }
}

fn section(template: &Value, name: &str) -> Result<Map<String, Value>, NotATemplate> {
    match member(template, name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(it)) => Ok(it.clone()),
        Some(_) => Err(NotATemplate(format!("`{name}` is an object"))),
    }
}

/// Every text in a secure value that is long enough to be told from a word.
fn texts_in(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::String(it) if it.len() > 2 => all.push(it.clone()),
        Value::Array(items) => items.iter().for_each(|it| texts_in(it, all)),
        Value::Object(members) => members.values().for_each(|it| texts_in(it, all)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
