use matryx_entity::push::edit::{self, EditError, MAX_PATTERN_BYTES, MAX_RULES};
use ruma::{
    OwnedRoomId,
    push::{NewPushRule, NewSimplePushRule, RuleKind, Ruleset},
};
use serde_json::json;

use crate::world::user;

fn content_rule(id: &str) -> NewPushRule {
    let rule = json!({ "rule_id": id, "pattern": "x", "actions": [] });
    NewPushRule::Content(serde_json::from_value(rule).unwrap())
}

fn override_rule(id: &str) -> NewPushRule {
    let rule = json!({ "rule_id": id, "conditions": [], "actions": [] });
    NewPushRule::Override(serde_json::from_value(rule).unwrap())
}

fn content_order(rules: &Ruleset) -> Vec<&str> {
    rules
        .content
        .iter()
        .map(|rule| rule.rule_id.as_str())
        .collect()
}

#[test]
fn places_rules_next_to_others() {
    let mut rules = Ruleset::server_default(&user("bob"));
    for id in ["a", "b", "c"] {
        edit::insert(&mut rules, content_rule(id), None, None).unwrap();
    }
    assert_eq!(
        content_order(&rules),
        ["c", "b", "a"],
        "the newest comes first"
    );
    edit::insert(&mut rules, content_rule("d"), Some("b"), None).unwrap();
    assert_eq!(content_order(&rules), ["c", "b", "d", "a"]);
    edit::insert(&mut rules, content_rule("e"), None, Some("b")).unwrap();
    assert_eq!(content_order(&rules), ["c", "e", "b", "d", "a"]);
    // Replaced in place.
    edit::insert(&mut rules, content_rule("b"), None, None).unwrap();
    assert_eq!(content_order(&rules), ["c", "e", "b", "d", "a"]);
    // Moved behind the last one; stays off when it was.
    edit::set_enabled(&mut rules, RuleKind::Content, "c", false).unwrap();
    edit::insert(&mut rules, content_rule("c"), Some("a"), None).unwrap();
    assert_eq!(content_order(&rules), ["e", "b", "d", "a", "c"]);
    assert!(
        !edit::lookup(&rules, RuleKind::Content, "c")
            .unwrap()
            .enabled()
    );
    edit::insert(&mut rules, content_rule("c"), None, Some("e")).unwrap();
    assert_eq!(content_order(&rules), ["c", "e", "b", "d", "a"]);
}

#[test]
fn the_master_rule_stays_first() {
    let mut rules = Ruleset::server_default(&user("bob"));
    edit::insert(&mut rules, override_rule("mine"), None, None).unwrap();
    let ids: Vec<_> = rules
        .override_
        .iter()
        .take(2)
        .map(|rule| rule.rule_id.clone())
        .collect();
    assert_eq!(ids, [".m.rule.master", "mine"]);
    // Not even a rule set without it is a panic.
    let mut empty = Ruleset::new();
    edit::insert(&mut empty, override_rule("mine"), None, None).unwrap();
    assert_eq!(empty.override_.len(), 1);
}

#[test]
fn a_failed_edit_changes_nothing() {
    let bob = user("bob");
    let mut rules = Ruleset::server_default(&bob);
    edit::insert(&mut rules, content_rule("a"), None, None).unwrap();
    edit::insert(&mut rules, content_rule("b"), None, None).unwrap();
    let before = serde_json::to_value(&rules).unwrap();
    let insert = |rules: &mut Ruleset, id: &str, after, before| {
        edit::insert(rules, content_rule(id), after, before).unwrap_err()
    };
    for (id, after, before) in [
        (".mine", None, None),
        ("a/b", None, None),
        ("a\\b", None, None),
        ("", None, None),
        ("x", Some(".m.rule.master"), None),
        ("x", None, Some(".m.rule.master")),
        ("x", Some("a"), Some("b")),
    ] {
        let error = insert(&mut rules, id, after, before);
        assert!(
            matches!(error, EditError::InvalidRule(_)),
            "{id:?}: {error:?}"
        );
    }
    for (after, before) in [
        (Some("none"), None),
        (None, Some("none")),
        (Some("a"), Some("none")),
    ] {
        assert!(matches!(
            insert(&mut rules, "x", after, before),
            EditError::NoSuchNeighbour
        ));
        assert!(matches!(
            insert(&mut rules, "a", after, before),
            EditError::NoSuchNeighbour
        ));
    }
    assert!(matches!(
        edit::remove(&mut rules, RuleKind::Override, ".m.rule.master"),
        Err(EditError::ServerDefault)
    ));
    for kind in [
        RuleKind::Content,
        RuleKind::Room,
        RuleKind::from("org.example"),
    ] {
        assert!(matches!(
            edit::remove(&mut rules, kind.clone(), "x"),
            Err(EditError::NotFound)
        ));
        assert!(matches!(
            edit::set_enabled(&mut rules, kind.clone(), "x", true),
            Err(EditError::NotFound)
        ));
        assert!(matches!(
            edit::set_actions(&mut rules, kind.clone(), "x", vec![]),
            Err(EditError::NotFound)
        ));
        assert!(matches!(
            edit::lookup(&rules, kind, "x"),
            Err(EditError::NotFound)
        ));
    }
    assert_eq!(serde_json::to_value(&rules).unwrap(), before);
}

#[test]
fn the_number_and_size_of_rules_is_bounded() {
    let mut rules = Ruleset::new();
    for number in 0..MAX_RULES {
        let room: OwnedRoomId = format!("!{number}:here.org").try_into().unwrap();
        let rule = NewSimplePushRule::new(room, vec![]);
        edit::insert(&mut rules, NewPushRule::Room(rule), None, None).unwrap();
    }
    assert!(matches!(
        edit::insert(&mut rules, content_rule("more"), None, None),
        Err(EditError::TooMany)
    ));
    // A known rule may still be replaced.
    let known = NewSimplePushRule::new("!0:here.org".try_into().unwrap(), vec![]);
    edit::insert(&mut rules, NewPushRule::Room(known), None, None).unwrap();

    let mut rules = Ruleset::new();
    for (bytes, fits) in [(MAX_PATTERN_BYTES, true), (MAX_PATTERN_BYTES + 1, false)] {
        let pattern = "x".repeat(bytes);
        let content = json!({ "rule_id": "c", "pattern": pattern, "actions": [] });
        let content = NewPushRule::Content(serde_json::from_value(content).unwrap());
        assert_eq!(edit::insert(&mut rules, content, None, None).is_ok(), fits);
        let conditions = json!([{ "kind": "event_match", "key": "type", "pattern": pattern }]);
        let over = json!({ "rule_id": "o", "conditions": conditions, "actions": [] });
        let over = NewPushRule::Underride(serde_json::from_value(over).unwrap());
        assert_eq!(edit::insert(&mut rules, over, None, None).is_ok(), fits);
    }
}
