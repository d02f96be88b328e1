//! Rule 9: power levels.

use serde_json::{Value, json};

use super::set_power;
use crate::{
    auth_matrix::Case,
    world::{World, template},
};

/// bob is a member with power 60; `extra` is in the room's power levels too.
fn bob_has_60(world: &mut World, extra: &Value) {
    world.join("bob").unwrap();
    world.join("carol").unwrap();
    let mut content = json!({ "users": { "@bob:here.org": 60, "@carol:here.org": 60 } });
    let map = content.as_object_mut().unwrap();
    for (key, value) in extra.as_object().unwrap() {
        match (
            map.get_mut(key).and_then(Value::as_object_mut),
            value.as_object(),
        ) {
            (Some(known), Some(more)) => known.extend(more.clone()),
            _ => {
                map.insert(key.clone(), value.clone());
            }
        }
    }
    set_power(world, &content);
}

/// The room's power levels with one value changed.
fn changed(world: &World, path: &[&str], value: Option<Value>) -> Value {
    let mut content: Value = world
        .room
        .get(&"m.room.power_levels".into(), "")
        .map(|event| serde_json::from_str(event.pdu.content().get()).unwrap())
        .unwrap();
    let (last, parents) = path.split_last().unwrap();
    let mut at = &mut content;
    for key in parents {
        at = at
            .as_object_mut()
            .unwrap()
            .entry(*key)
            .or_insert_with(|| json!({}));
    }
    let map = at.as_object_mut().unwrap();
    match value {
        Some(value) => map.insert((*last).to_owned(), value),
        None => map.remove(*last),
    };
    content
}

macro_rules! case {
    (
        $name:literal; $versions:expr; $extra:expr; $sender:literal; $path:expr; $value:expr;
        $verdict:expr
    ) => {
        Case {
            name: $name,
            versions: $versions,
            before: |world| bob_has_60(world, &$extra),
            event: |world| {
                let content = changed(world, &$path, $value);
                ($sender, template("m.room.power_levels", Some(""), &content))
            },
            verdict: $verdict,
        }
    };
}

const NO_INT: &str = "unexpected format of `ban` field in `content` of `m.room.power_levels` event";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = formats();
    cases.extend(levels());
    cases.extend(maps());
    cases
}

fn formats() -> Vec<Case> {
    vec![
        case!("9.1 integers: an integer"; 6..=12; json!({}); "alice"; ["ban"]; Some(json!(50));
            Ok(())),
        case!("9.1 integers: a string before version 10"; 6..=9; json!({}); "alice"; ["ban"];
            Some(json!("50")); Ok(())),
        case!("9.1 integers: a string since version 10"; 10..=12; json!({}); "alice"; ["ban"];
            Some(json!("50")); Err(NO_INT)),
        case!("9.1 integers: a word"; 6..=12; json!({}); "alice"; ["ban"]; Some(json!("many"));
            Err(NO_INT)),
        case!("9.1 integers: null"; 6..=12; json!({}); "alice"; ["ban"]; Some(json!(null));
            Err(NO_INT)),
        case!("9.2 events and notifications: integers"; 6..=12; json!({}); "alice";
            ["events", "m.x"]; Some(json!(-5)); Ok(())),
        case!("9.2 events and notifications: a string since version 10"; 10..=12; json!({});
            "alice"; ["events", "m.x"]; Some(json!("5"));
            Err("unexpected format of `events` field")),
        case!("9.2 events and notifications: no object"; 6..=12; json!({}); "alice";
            ["notifications"]; Some(json!([])); Err("unexpected format of `notifications` field")),
        case!("9.3 users: user ids"; 6..=12; json!({}); "alice"; ["users", "@dan:here.org"];
            Some(json!(1)); Ok(())),
        case!("9.3 users: no user id"; 6..=12; json!({}); "alice"; ["users", "dan"];
            Some(json!(1)); Err("unexpected format of `users` field")),
        case!("9.3 users: a string since version 10"; 10..=12; json!({}); "alice";
            ["users", "@dan:here.org"]; Some(json!("1"));
            Err("unexpected format of `users` field")),
        case!("9.4 creators: in users before version 12"; 6..=11; json!({}); "alice";
            ["users", "@dan:here.org"]; Some(json!(1)); Ok(())),
        case!("9.4 creators: in users before version 12, below the sender"; 6..=11; json!({});
            "bob"; ["users", "@alice:here.org"]; Some(json!(99));
            Err("sender does not have enough power to change `@alice:here.org`'s  power level")),
        case!("9.4 creators: others in users in version 12"; 12..=12; json!({}); "alice";
            ["users", "@dan:here.org"]; Some(json!(1)); Ok(())),
        case!("9.4 creators: in users in version 12"; 12..=12; json!({}); "alice";
            ["users", "@alice:here.org"]; Some(json!(100));
            Err("creator user IDs are not allowed in the `users` field")),
        Case {
            name: "9.5 first power levels: anything from who may send them",
            versions: 6..=12,
            before: |world| {
                *world = World::created(&world.room.version.clone(), &json!({}));
                world.join("alice").unwrap();
            },
            event: |world| {
                let content = world.power(&json!({ "ban": 1000 }));
                ("alice", template("m.room.power_levels", Some(""), &content))
            },
            verdict: Ok(()),
        },
        Case {
            name: "9.5 first power levels: from a member without power",
            versions: 6..=12,
            before: |world| {
                *world = World::created(&world.room.version.clone(), &json!({}));
                world.join("alice").unwrap();
                world.force_member("bob", "join");
            },
            event: |_| ("bob", template("m.room.power_levels", Some(""), &json!({}))),
            verdict: Err(
                "sender does not have enough power to send event of type `m.room.power_levels`",
            ),
        },
    ]
}

fn levels() -> Vec<Case> {
    vec![
        case!("9.6 levels: up to one's own"; 6..=12; json!({ "ban": 60 }); "bob"; ["ban"];
            Some(json!(10)); Ok(())),
        case!("9.6 levels: added at one's own"; 6..=12; json!({}); "bob"; ["invite"];
            Some(json!(60)); Ok(())),
        case!("9.6 levels: removed, the default is below"; 6..=12; json!({ "ban": 55 }); "bob";
            ["ban"]; None; Ok(())),
        case!("9.6 levels: the old one is above"; 6..=12; json!({ "ban": 61 }); "bob"; ["ban"];
            Some(json!(10));
            Err("sender does not have enough power to change the power level of `ban`")),
        case!("9.6 levels: the new one is above"; 6..=12; json!({}); "bob"; ["kick"];
            Some(json!(61));
            Err("sender does not have enough power to change the power level of `kick`")),
        case!("9.6 levels: users_default above"; 6..=12; json!({}); "bob"; ["users_default"];
            Some(json!(61));
            Err("sender does not have enough power to change the power level of `users_default`")),
        case!("9.6 levels: events_default above"; 6..=12; json!({}); "bob"; ["events_default"];
            Some(json!(61));
            Err("sender does not have enough power to change the power level of `events_default`")),
        case!("9.6 levels: state_default above"; 6..=12; json!({}); "bob"; ["state_default"];
            Some(json!(61));
            Err("sender does not have enough power to change the power level of `state_default`")),
        case!("9.6 levels: redact above"; 6..=12; json!({}); "bob"; ["redact"]; Some(json!(61));
            Err("sender does not have enough power to change the power level of `redact`")),
        case!("9.6 levels: invite above"; 6..=12; json!({}); "bob"; ["invite"]; Some(json!(61));
            Err("sender does not have enough power to change the power level of `invite`")),
        case!("9.6 levels: the creator of a version 12 room may set any"; 12..=12; json!({});
            "alice"; ["ban"]; Some(json!(9_007_199_254_740_991_i64)); Ok(())),
    ]
}

fn maps() -> Vec<Case> {
    vec![
        case!("9.7 events: added at one's own"; 6..=12; json!({}); "bob"; ["events", "m.x"];
            Some(json!(60)); Ok(())),
        case!("9.7 events: added above"; 6..=12; json!({}); "bob"; ["events", "m.x"];
            Some(json!(61));
            Err("sender does not have enough power to change the `m.x` event type power level")),
        case!("9.7 events: changed from above"; 6..=12; json!({ "events": { "m.x": 61 } }); "bob";
            ["events", "m.x"]; Some(json!(1));
            Err("sender does not have enough power to change the `m.x` event type power level")),
        case!("9.7 events: removed from above"; 6..=12; json!({ "events": { "m.x": 61 } }); "bob";
            ["events", "m.x"]; None;
            Err("sender does not have enough power to change the `m.x` event type power level")),
        case!("9.8 notifications: added at one's own"; 6..=12; json!({}); "bob";
            ["notifications", "room"]; Some(json!(60)); Ok(())),
        case!("9.8 notifications: added above"; 6..=12; json!({}); "bob";
            ["notifications", "room"]; Some(json!(61));
            Err("sender does not have enough power to change the `room` notification power level")),
        case!("9.8 notifications: removed from above"; 6..=12;
            json!({ "notifications": { "room": 61 } }); "bob"; ["notifications", "room"]; None;
            Err("sender does not have enough power to change the `room` notification power level")),
        case!("9.9 users: promoted to one's own"; 6..=12; json!({}); "bob";
            ["users", "@dan:here.org"]; Some(json!(60)); Ok(())),
        case!("9.9 users: promoted above"; 6..=12; json!({}); "bob"; ["users", "@dan:here.org"];
            Some(json!(61));
            Err("sender does not have enough power to change `@dan:here.org`'s  power level")),
        case!("9.9 users: oneself demoted"; 6..=12; json!({}); "bob"; ["users", "@bob:here.org"];
            Some(json!(1)); Ok(())),
        case!("9.9 users: oneself promoted"; 6..=12; json!({}); "bob"; ["users", "@bob:here.org"];
            Some(json!(61));
            Err("sender does not have enough power to change `@bob:here.org`'s  power level")),
        case!("9.9 users: an equal demoted"; 6..=12; json!({}); "bob";
            ["users", "@carol:here.org"]; Some(json!(1));
            Err("sender does not have enough power to change `@carol:here.org`'s  power level")),
        case!("9.9 users: an equal removed"; 6..=12; json!({}); "bob";
            ["users", "@carol:here.org"]; None;
            Err("sender does not have enough power to change `@carol:here.org`'s  power level")),
        case!("9.9 users: a lesser one removed"; 6..=12;
            json!({ "users": { "@dan:here.org": 59 } }); "bob"; ["users", "@dan:here.org"]; None;
            Ok(())),
    ]
}
