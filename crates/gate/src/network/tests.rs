//! Every cell: what is open or closed how, and who comes from where or as what.

use super::*;

fn rule(mask: &str, action: IpAction, part: Option<Part>) -> IpRule {
    let network = Network::parse(mask).unwrap();
    IpRule { name: format!("rule-{mask}"), mask: mask.into(), network, action, part }
}

/// Lists of which the first rule that holds an address decides, and the default last.
fn set(rules: &[(&str, IpAction)], otherwise: IpAction) -> RuleSet {
    let rules = rules.iter().map(|(mask, action)| rule(mask, *action, None)).collect();
    RuleSet { place: "networkRuleSets.ipRules", rules, otherwise, guards_events: false }
}

/// Selected networks: one, and nobody else.
fn selected() -> NetworkRules {
    let sets = vec![set(&[("10.1.0.0/16", IpAction::Accept)], IpAction::Reject)];
    NetworkRules { sets, ..NetworkRules::default() }
}

fn private() -> NetworkRules {
    NetworkRules { is_private: true, ..selected() }
}

fn at(address: &str) -> Visitor {
    Visitor::At { address: address.parse().unwrap(), is_private: false }
}

fn through_endpoint(address: &str) -> Visitor {
    Visitor::At { address: address.parse().unwrap(), is_private: true }
}

#[track_caller]
fn check(rules: &NetworkRules, visitor: Visitor, expected: bool) -> String {
    let reach = rules.reach(Part::Service, visitor);
    assert_eq!(reach.passes, expected, "{visitor:?} {reach:?}");
    reach.says
}

const SYSTEM: Visitor = Visitor::Hub(ShownBy::SystemIdentity);
const USER: Visitor = Visitor::Hub(ShownBy::UserIdentity);
const KEY: Visitor = Visitor::Hub(ShownBy::Key);

/// S3-14, S3-17: whoever is closed to a network is reached by a hub's system identity alone, and by that only with
/// the exception; where public access is on for everybody, by each of the three.
#[test]
fn a_hub_passes_by_the_exception_with_its_system_identity_alone() {
    let trusting = |rules: NetworkRules| NetworkRules { trusts_services: true, ..rules };
    for open in [NetworkRules::default(), trusting(NetworkRules::default())] {
        for visitor in [SYSTEM, USER, KEY] {
            check(&open, visitor, true);
        }
    }
    for closed in [selected(), private()] {
        let says = check(&closed, SYSTEM, false);
        assert!(says.contains("no exception for trusted services"), "{says}");
        for (visitor, who) in [(USER, "a user-assigned identity"), (KEY, "a key")] {
            let says = check(&closed, visitor, false);
            assert!(says.contains(who), "{says}");
            check(&trusting(closed.clone()), visitor, false);
        }
        check(&trusting(closed), SYSTEM, true);
    }
}

#[test]
fn an_address_comes_in_where_a_rule_names_it() {
    check(&NetworkRules::default(), at("192.0.2.1"), true);
    check(&selected(), at("10.1.255.1"), true);
    let says = check(&selected(), at("10.10.0.1"), false);
    assert!(says.contains("10.10.0.1") && says.contains("networkRuleSets.ipRules"), "{says}");
    check(&selected(), at("::ffff:10.1.2.3"), true);
    check(&selected(), at("fd00::1"), false);
    // The exception for services is not for addresses.
    check(&NetworkRules { trusts_services: true, ..selected() }, at("192.0.2.1"), false);
    let nobody = NetworkRules { sets: vec![set(&[], IpAction::Reject)], ..NetworkRules::default() };
    check(&nobody, at("10.1.0.1"), false);
    let everybody =
        NetworkRules { sets: vec![set(&[], IpAction::Accept)], ..NetworkRules::default() };
    assert!(everybody.is_open());
    check(&everybody, at("10.1.0.1"), true);
}

#[test]
fn with_public_access_off_no_address_counts() {
    let says = check(&private(), at("10.1.0.1"), false);
    assert!(says.contains("public network access is off"), "{says}");
    let without_rules = NetworkRules { is_private: true, ..NetworkRules::default() };
    assert!(!without_rules.is_open());
    check(&without_rules, at("10.1.0.1"), false);
}

#[test]
fn a_private_endpoint_leads_past_the_rules_where_one_is_approved() {
    for closed in [selected(), private()] {
        check(&closed, through_endpoint("192.0.2.1"), false);
        let approved = NetworkRules { has_private_endpoint: true, ..closed };
        check(&approved, through_endpoint("192.0.2.1"), true);
        check(&approved, at("192.0.2.1"), false);
    }
    // Whoever comes from there to what has none is somebody at an address.
    check(&selected(), through_endpoint("10.1.0.1"), true);
}

#[test]
fn the_first_rule_that_holds_an_address_decides() {
    use IpAction::{Accept, Reject};
    let check = |rules: &[(&str, IpAction)], address: &str, expected: bool| {
        let rules = NetworkRules { sets: vec![set(rules, Accept)], ..NetworkRules::default() };
        check(&rules, at(address), expected)
    };
    let one_out = [("10.1.2.3", Reject), ("10.1.0.0/16", Accept)];
    let says = check(&one_out, "10.1.2.3", false);
    assert!(says.contains("rule-10.1.2.3"), "{says}");
    check(&one_out, "10.1.2.4", true);
    check(&[one_out[1], one_out[0]], "10.1.2.3", true);
    check(&one_out, "192.0.2.1", true);
    check(&[("10.1.0.0/16", Accept), ("0.0.0.0/0", Reject)], "192.0.2.1", false);
    check(&[("10.1.0.0/16", Accept), ("0.0.0.0/0", Reject)], "10.1.0.1", true);
}

#[test]
fn of_several_lists_each_has_to_let_an_address_in() {
    let other = set(&[("10.1.2.0/24", IpAction::Reject)], IpAction::Accept);
    let both =
        NetworkRules { sets: vec![selected().sets.remove(0), other], ..NetworkRules::default() };
    check(&both, at("10.1.3.1"), true);
    check(&both, at("10.1.2.1"), false);
    check(&both, at("10.2.2.1"), false);
}

#[test]
fn a_rule_about_one_part_says_nothing_of_another() {
    let about = |part| {
        let mut rules = set(&[], IpAction::Accept);
        rules.rules.push(rule("10.0.0.0/8", IpAction::Reject, Some(part)));
        NetworkRules { sets: vec![rules], ..NetworkRules::default() }
    };
    let passes = |rules: &NetworkRules, part| rules.reach(part, at("10.1.0.1")).passes;
    assert!(!passes(&about(Part::Service), Part::Service));
    assert!(passes(&about(Part::Service), Part::Devices));
    assert!(!passes(&about(Part::Devices), Part::Devices));
    assert!(passes(&about(Part::Devices), Part::Service));
}

#[test]
fn the_built_in_endpoint_is_kept_only_where_the_list_says_so() {
    let mut rules = selected();
    let passes = |rules: &NetworkRules| rules.reach(Part::Events, at("192.0.2.1")).passes;
    assert!(passes(&rules));
    rules.sets[0].guards_events = true;
    assert!(!passes(&rules));
    rules.sets[0].guards_events = false;
    rules.is_private = true;
    assert!(!passes(&rules), "public access is off for all of a hub");
}

#[test]
fn what_decided_is_told_with_what_it_wants_and_what_was_there() {
    let two = NetworkRules {
        sets: vec![set(
            &[("10.1.0.0/16", IpAction::Accept), ("10.2.0.0/16", IpAction::Accept)],
            IpAction::Reject,
        )],
        ..NetworkRules::default()
    };
    let told: Vec<_> = two.reach(Part::Service, at("10.2.0.1")).conditions;
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].path, "properties.networkRuleSets.ipRules[1]");
    assert_eq!(
        (&told[1].expected, &told[1].actual),
        (&json!("10.2.0.0/16"), &Some(json!("10.2.0.1")))
    );
    assert_eq!((told[0].result, told[1].result), (false, true));
    let told = private().reach(Part::Service, at("10.1.0.1")).conditions;
    assert_eq!(told[0].path, "properties.publicNetworkAccess");
    assert_eq!((&told[0].expected, &told[0].actual), (&json!("Enabled"), &Some(json!("Disabled"))));
    let told = selected().reach(Part::Service, USER).conditions;
    assert_eq!((told[0].expression.as_str(), told[0].result), ("identity", false));
}
