use std::sync::Arc;

use matryx_entity::{
    push::{PushEvent, PushOutcome, PushRules, edit},
    timeline::TimelineEvent,
};
use ruma::{
    RoomVersionId,
    push::{Action, NewPushRule, NewSimplePushRule, RuleKind, Ruleset},
};
use serde_json::{Value, json};

use crate::world::{World, template, user};

const SILENT: PushOutcome = PushOutcome {
    notify: false,
    highlight: false,
};
const NOTIFY: PushOutcome = PushOutcome {
    notify: true,
    highlight: false,
};
const LOUD: PushOutcome = PushOutcome {
    notify: true,
    highlight: true,
};

/// alice, bob, carol and dan in a room of version 11.
fn group() -> World {
    let mut world = World::new(&RoomVersionId::V11);
    for name in ["bob", "carol", "dan"] {
        world.join(name).unwrap();
    }
    world
}

fn outcome_for(world: &World, event: &TimelineEvent, name: &str, rules: &PushRules) -> PushOutcome {
    let prepared = PushEvent::new(&event.pdu, &world.room);
    let who = user(name);
    let outcome = prepared.outcome(&who, rules);
    // Shared or not, the outcome is what the user's own rules say.
    let actions = prepared.actions(&who, rules);
    assert_eq!(outcome.notify, actions.iter().any(Action::should_notify));
    assert_eq!(outcome.highlight, actions.iter().any(Action::is_highlight));
    outcome
}

fn by_default(world: &World, event: &TimelineEvent, name: &str) -> PushOutcome {
    outcome_for(world, event, name, &PushRules::server_default(&user(name)))
}

fn say(world: &mut World, sender: &str, content: &Value) -> Arc<TimelineEvent> {
    world
        .send(sender, template("m.room.message", None, content))
        .unwrap()
}

#[test]
fn the_servers_rules_do_what_the_spec_says() {
    let mut world = group();
    let plain = say(
        &mut world,
        "bob",
        &json!({ "msgtype": "m.text", "body": "hi carol" }),
    );
    assert_eq!(by_default(&world, &plain, "carol"), NOTIFY);
    assert_eq!(by_default(&world, &plain, "bob"), SILENT, "one's own");

    let mention = json!({ "body": "x", "m.mentions": { "user_ids": [user("carol")] } });
    let mention = say(&mut world, "bob", &mention);
    assert_eq!(by_default(&world, &mention, "carol"), LOUD);
    assert_eq!(by_default(&world, &mention, "dan"), NOTIFY);

    let room = json!({ "body": "x", "m.mentions": { "room": true } });
    let by_alice = say(&mut world, "alice", &room);
    assert_eq!(by_default(&world, &by_alice, "carol"), LOUD);
    let by_bob = say(&mut world, "bob", &room);
    assert_eq!(by_default(&world, &by_bob, "carol"), NOTIFY, "bob may not");

    let notice = say(
        &mut world,
        "bob",
        &json!({ "msgtype": "m.notice", "body": "x" }),
    );
    assert_eq!(by_default(&world, &notice, "carol"), SILENT);

    let edit =
        json!({ "body": "x", "m.relates_to": { "rel_type": "m.replace", "event_id": "$x" } });
    let edit = say(&mut world, "bob", &edit);
    assert_eq!(by_default(&world, &edit, "carol"), SILENT);

    let reaction = world
        .send(
            "bob",
            template("m.reaction", None, &json!({ "m.relates_to": {} })),
        )
        .unwrap();
    assert_eq!(by_default(&world, &reaction, "carol"), SILENT);

    let encrypted = world
        .send("bob", template("m.room.encrypted", None, &json!({})))
        .unwrap();
    assert_eq!(by_default(&world, &encrypted, "carol"), NOTIFY);

    let tombstone = json!({ "body": "x", "replacement_room": "!x:here.org" });
    let tombstone = world
        .state("alice", "m.room.tombstone", "", &tombstone)
        .unwrap();
    assert_eq!(by_default(&world, &tombstone, "carol"), LOUD);

    let topic = world
        .state("alice", "m.room.topic", "", &json!({ "topic": "x" }))
        .unwrap();
    assert_eq!(by_default(&world, &topic, "carol"), SILENT);

    let call = world
        .send("bob", template("m.call.invite", None, &json!({})))
        .unwrap();
    assert_eq!(by_default(&world, &call, "carol"), NOTIFY);
}

#[test]
fn an_invitation_notifies_the_invited() {
    let mut world = group();
    let invite = world.member("alice", "eve", "invite").unwrap();
    assert_eq!(by_default(&world, &invite, "eve"), NOTIFY);
    assert_eq!(by_default(&world, &invite, "carol"), SILENT);
}

#[test]
fn the_number_of_members_counts() {
    let rules: Ruleset = serde_json::from_value(json!({
        "override": [{
            "rule_id": "small", "default": false, "enabled": true,
            "conditions": [{ "kind": "room_member_count", "is": "<4" }],
            "actions": ["notify", { "set_tweak": "highlight" }],
        }],
    }))
    .unwrap();
    let mut world = World::new(&RoomVersionId::V12);
    world.join("bob").unwrap();
    for (name, expected) in [("carol", LOUD), ("dan", SILENT)] {
        world.join(name).unwrap();
        let event = say(&mut world, "alice", &json!({ "body": "x" }));
        let rules = PushRules::new(&user("bob"), rules.clone());
        assert_eq!(
            outcome_for(&world, &event, "bob", &rules),
            expected,
            "{name}"
        );
    }
}

/// A rule set with one override rule that is loud when these conditions hold.
fn loud_if(conditions: &Value) -> PushRules {
    let rules = json!({
        "override": [{
            "rule_id": "mine", "default": false, "enabled": true, "conditions": conditions,
            "actions": ["notify", { "set_tweak": "highlight" }],
        }],
    });
    PushRules::new(&user("bob"), serde_json::from_value(rules).unwrap())
}

#[test]
fn conditions_look_at_the_right_field() {
    let mut world = group();
    let content = json!({
        "body": "Lunch, Bob?", "n": 5, "b": true, "nothing": null, "a.b": { "c\\d": "deep" },
        "list": ["x", 1, null], "empty": {},
    });
    let event = say(&mut world, "alice", &content);
    let room_id = world.room.room_id.clone();
    let matched = |key: &str, pattern: &str| json!([{ "kind": "event_match", "key": key, "pattern": pattern }]);
    let is = |key: &str, value: Value| json!([{ "kind": "event_property_is", "key": key, "value": value }]);
    let contains = |key: &str, value: Value| json!([{ "kind": "event_property_contains", "key": key, "value": value }]);
    for (conditions, holds) in [
        (json!([]), true),
        (matched("type", "m.room.message"), true),
        (matched("type", "M.ROOM.*"), true),
        (matched("type", "message"), false),
        (matched("room_id", room_id.as_str()), true),
        (matched("room_id", "!x:here.org"), false),
        (matched("sender", "@alice:*"), true),
        (matched("content.body", "lunc?*"), true),
        (matched("content.body", "lunch"), true),
        (matched("content.body", "lun"), false),
        (matched("content.n", "5"), false),
        (matched("content.absent", "*"), false),
        (matched("content.a\\.b.c\\\\d", "deep"), true),
        (matched("content.a.b.c\\\\d", "deep"), false),
        (is("content.n", json!(5)), true),
        (is("content.n", json!("5")), false),
        (is("content.b", json!(true)), true),
        (is("content.nothing", json!(null)), true),
        (is("content.absent", json!(null)), false),
        (contains("content.list", json!(1)), true),
        (contains("content.list", json!("x")), true),
        (contains("content.list", json!(2)), false),
        (contains("content.n", json!(5)), false),
        (json!([{ "kind": "contains_display_name" }]), true),
        (json!([{ "kind": "org.example.unknown" }]), false),
        (
            json!([{ "kind": "sender_notification_permission", "key": "room" }]),
            true,
        ),
        (
            json!([{ "kind": "sender_notification_permission", "key": "org.example" }]),
            false,
        ),
    ] {
        let outcome = outcome_for(&world, &event, "bob", &loud_if(&conditions));
        assert_eq!(outcome == LOUD, holds, "{conditions}");
    }
}

#[test]
fn a_display_name_is_a_word_and_no_pattern() {
    let mut world = group();
    let name = json!([{ "kind": "contains_display_name" }]);
    for (display_name, body, found) in [
        ("Bobby", "hello bobby", true),
        ("Bobby", "hello bobbyx", false),
        ("B*", "hello bx", false),
        ("B*", "hello b*", true),
        ("", "hello", false),
    ] {
        let content = json!({ "membership": "join", "displayname": display_name });
        world
            .state("bob", "m.room.member", user("bob").as_str(), &content)
            .unwrap();
        let event = say(&mut world, "alice", &json!({ "body": body }));
        let outcome = outcome_for(&world, &event, "bob", &loud_if(&name));
        assert_eq!(outcome == LOUD, found, "{display_name:?} in {body:?}");
    }
}

#[test]
fn rules_go_by_priority_and_may_be_off() {
    let mut world = group();
    let event = say(&mut world, "alice", &json!({ "body": "lunch" }));
    let bob = user("bob");
    let mut rules = Ruleset::server_default(&bob);
    let room = NewPushRule::Room(NewSimplePushRule::new(world.room.room_id.clone(), vec![]));
    edit::insert(&mut rules, room, None, None).unwrap();
    assert_eq!(
        outcome_for(&world, &event, "bob", &PushRules::new(&bob, rules.clone())),
        SILENT
    );

    let lunch = json!({
        "rule_id": "word", "pattern": "lunch", "actions": ["notify", { "set_tweak": "highlight" }],
    });
    let lunch = NewPushRule::Content(serde_json::from_value(lunch).unwrap());
    edit::insert(&mut rules, lunch, None, None).unwrap();
    assert_eq!(
        outcome_for(&world, &event, "bob", &PushRules::new(&bob, rules.clone())),
        LOUD
    );

    edit::set_enabled(&mut rules, RuleKind::Content, "word", false).unwrap();
    assert_eq!(
        outcome_for(&world, &event, "bob", &PushRules::new(&bob, rules.clone())),
        SILENT
    );

    edit::remove(&mut rules, RuleKind::Room, world.room.room_id.as_str()).unwrap();
    assert_eq!(
        outcome_for(&world, &event, "bob", &PushRules::new(&bob, rules.clone())),
        NOTIFY
    );

    edit::set_actions(&mut rules, RuleKind::Underride, ".m.rule.message", vec![]).unwrap();
    assert_eq!(
        outcome_for(&world, &event, "bob", &PushRules::new(&bob, rules.clone())),
        SILENT
    );

    let sender = NewSimplePushRule::new(user("alice"), vec![Action::Notify]);
    edit::insert(&mut rules, NewPushRule::Sender(sender), None, None).unwrap();
    assert_eq!(
        outcome_for(&world, &event, "bob", &PushRules::new(&bob, rules.clone())),
        NOTIFY
    );

    edit::set_enabled(&mut rules, RuleKind::Override, ".m.rule.master", true).unwrap();
    assert_eq!(
        outcome_for(&world, &event, "bob", &PushRules::new(&bob, rules)),
        SILENT
    );
}

#[test]
fn a_hundred_users_get_their_own_outcomes() {
    let mut world = World::new(&RoomVersionId::V12);
    let names: Vec<String> = (0..100).map(|number| format!("user{number}")).collect();
    for name in &names {
        world.force_member(name, "join");
    }
    let mentioned =
        json!({ "body": "x", "m.mentions": { "user_ids": [user("user7"), user("user99")] } });
    let event = say(&mut world, "user3", &mentioned);
    let prepared = PushEvent::new(&event.pdu, &world.room);
    for name in &names {
        let who = user(name);
        let expected = match name.as_str() {
            "user3" => SILENT,
            "user7" | "user99" => LOUD,
            _ => NOTIFY,
        };
        let rules = PushRules::server_default(&who);
        assert_eq!(prepared.outcome(&who, &rules), expected, "{name}");
    }
}

#[test]
fn stored_rules_gain_what_the_server_gained() {
    let bob = user("bob");
    let content = json!({ "global": { "override": [
        { "rule_id": ".m.rule.master", "default": true, "enabled": true, "conditions": [], "actions": [] },
        { "rule_id": ".org.example.gone", "default": true, "enabled": true, "conditions": [], "actions": [] },
        { "rule_id": "mine", "default": false, "enabled": true, "conditions": [], "actions": [] },
    ] } });
    let rules = PushRules::from_account_data(&bob, &content.to_string());
    let ruleset = rules.ruleset();
    assert!(
        edit::lookup(&ruleset, RuleKind::Override, ".m.rule.master")
            .unwrap()
            .enabled()
    );
    edit::lookup(&ruleset, RuleKind::Override, "mine").unwrap();
    edit::lookup(&ruleset, RuleKind::Underride, ".m.rule.message").unwrap();
    edit::lookup(&ruleset, RuleKind::Override, ".org.example.gone").unwrap_err();

    let broken = PushRules::from_account_data(&bob, "{}");
    let default = serde_json::to_value(Ruleset::server_default(&bob)).unwrap();
    assert_eq!(serde_json::to_value(&*broken.ruleset()).unwrap(), default);
}
