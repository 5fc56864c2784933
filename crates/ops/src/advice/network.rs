//! What would let a call in that network rules have kept out: the caller's address in the list that refused it, public
//! access, a private endpoint connection.

use super::{Fix, quoted, still_refused, then};
use crate::env::Env;
use crate::network::show;
use gate::Facts;
use gate::network::{IpAction, IpRule, NetworkRules, Part, RuleSet, Visitor};
use model::trace::{FindingKind, FindingResult, Gate, Trace};
use model::{Network, Scope};
use serde_json::{Value, json};

pub(super) fn fixes(trace: &Trace, facts: &Facts, env: &Env) -> Vec<Fix> {
    let denied = trace
        .step(Gate::Resource)
        .into_iter()
        .flat_map(|it| &it.findings)
        .any(|it| it.kind == FindingKind::Network && it.result == FindingResult::Deny);
    let scope = trace.scope();
    let (Some(rules), true) = (facts.network_rules(&scope), denied) else { return Vec::new() };
    let proposals = match rules.is_private {
        true => [connection(trace, rules, &scope), Some(public(rules, &scope))],
        false => [address(trace, rules, &scope), None],
    };
    let tried = proposals.into_iter().flatten().filter_map(|it| {
        let changed = facts.with_network_rules(&scope, it.changed)?;
        let helps = still_refused(trace, &changed, env) != Some(Gate::Resource);
        helps.then(|| Fix {
            says: it.says,
            command: it.command,
            then: then(trace, &changed, env),
            warning: it.warning,
        })
    });
    tried.collect()
}

struct Proposal {
    says: String,
    command: String,
    changed: NetworkRules,
    warning: Option<String>,
}

fn update(scope: &Scope) -> String {
    format!("az resource update --ids {}", quoted(scope.as_str()))
}

fn public(rules: &NetworkRules, scope: &Scope) -> Proposal {
    Proposal {
        says: format!("switch the public network access of `{}` on again", scope.name()),
        command: format!("{} --set properties.publicNetworkAccess=Enabled", update(scope)),
        changed: NetworkRules { is_private: false, ..rules.clone() },
        warning: Some("it can be reached from every network that its rules let in then".into()),
    }
}

/// For who comes from where the operator says that private endpoints lead from.
fn connection(trace: &Trace, rules: &NetworkRules, scope: &Scope) -> Option<Proposal> {
    let helps = trace.call.channel.is_private && !rules.has_private_endpoint;
    let state = json!({ "status": "Approved", "description": "" });
    let body = json!({ "properties": { "privateLinkServiceConnectionState": state } });
    let url = format!("{scope}/privateEndpointConnections/private?api-version=2021-07-02");
    helps.then(|| Proposal {
        says: format!("give `{}` a private endpoint connection", scope.name()),
        command: format!(
            "az rest --method put --url {} --body {}",
            quoted(&url),
            quoted(&body.to_string())
        ),
        changed: NetworkRules { has_private_endpoint: true, ..rules.clone() },
        warning: None,
    })
}

/// The caller's address, alone, in the first list that refuses it.
fn address(trace: &Trace, rules: &NetworkRules, scope: &Scope) -> Option<Proposal> {
    let text = &trace.call.channel.address;
    let part = Part::of(crate::questions::row_of(trace)?)?;
    let visitor = Visitor::At { address: text.parse().ok()?, is_private: false };
    let refuses = |it: &RuleSet| {
        !NetworkRules { sets: vec![it.clone()], ..NetworkRules::default() }
            .reach(part, visitor)
            .passes
    };
    let mut changed = rules.clone();
    let set = changed.sets.iter_mut().find(|it| refuses(it))?;
    let rule = IpRule {
        name: format!("let-in-{text}"),
        mask: text.clone(),
        network: Network::parse(text).ok()?,
        action: IpAction::Accept,
        part: None,
    };
    // Where one rejects the address, one that accepts it has to stand before.
    set.rules.insert(0, rule.clone());
    let command = match set.otherwise {
        IpAction::Reject => format!(
            "{} --add properties.{} filterName={} action=Allow ipMask={text}",
            update(scope),
            set.place,
            rule.name,
        ),
        IpAction::Accept => {
            let all: Vec<Value> =
                set.rules.iter().map(|it| show(it, ["Accept", "Reject"])).collect();
            let value = format!("properties.{}={}", set.place, Value::Array(all));
            format!("{} --set {}", update(scope), quoted(&value))
        }
    };
    Some(Proposal {
        says: format!("let {text} in, by a rule of `{}`", set.place),
        command,
        changed,
        warning: None,
    })
}
