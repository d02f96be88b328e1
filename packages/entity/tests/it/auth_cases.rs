//! The rows of the auth matrix.

mod create;
mod member;
mod power;

use ruma::room_version_rules::RoomVersionRules;
use serde_json::{Value, json};

use crate::{
    auth_matrix::Case,
    world::{World, template, user},
};

pub(crate) fn all() -> Vec<Case> {
    let mut cases = general();
    cases.extend(member::cases());
    cases.extend(power::cases());
    cases
}

pub(crate) fn content_of_join_rule(rule: &str) -> Value {
    json!({ "join_rule": rule })
}

pub(crate) fn set_join_rule(world: &mut World, rule: &str) {
    world.force(
        "alice",
        template("m.room.join_rules", Some(""), &content_of_join_rule(rule)),
    );
}

pub(crate) fn set_power(world: &mut World, extra: &Value) {
    let content = world.power(extra);
    world.force("alice", template("m.room.power_levels", Some(""), &content));
}

pub(crate) fn has_creator_field(rules: &RoomVersionRules) -> bool {
    !rules.authorization.use_room_create_sender
}

const NOTHING: fn(&mut World) = |_| {};

#[expect(clippy::too_many_lines, reason = "a table")]
fn general() -> Vec<Case> {
    vec![
        Case {
            name: "3 m.federate: a foreign sender in a federated room",
            versions: 6..=12,
            before: |world| {
                world.force_member("@eve:there.org", "join");
            },
            event: |_| ("@eve:there.org", template("m.x", None, &json!({}))),
            verdict: Ok(()),
        },
        Case {
            name: "3 m.federate: a foreign sender in a room that is not federated",
            versions: 6..=12,
            before: |world| {
                *world =
                    World::created(&world.room.version.clone(), &json!({ "m.federate": false }));
                world.join("alice").unwrap();
                world.force_member("@eve:there.org", "join");
            },
            event: |_| ("@eve:there.org", template("m.x", None, &json!({}))),
            verdict: Err("room is not federated"),
        },
        Case {
            name: "5 sender joined: a member",
            versions: 6..=12,
            before: |world| {
                world.join("bob").unwrap();
            },
            event: |_| ("bob", template("m.room.message", None, &json!({}))),
            verdict: Ok(()),
        },
        Case {
            name: "5 sender joined: nobody",
            versions: 6..=12,
            before: NOTHING,
            event: |_| ("bob", template("m.room.message", None, &json!({}))),
            verdict: Err("sender's membership is not `join`"),
        },
        Case {
            name: "5 sender joined: somebody invited",
            versions: 6..=12,
            before: |world| {
                world.member("alice", "bob", "invite").unwrap();
            },
            event: |_| ("bob", template("m.room.message", None, &json!({}))),
            verdict: Err("sender's membership is not `join`"),
        },
        Case {
            name: "5 sender joined: somebody who left",
            versions: 6..=12,
            before: |world| {
                world.join("bob").unwrap();
                world.member("bob", "bob", "leave").unwrap();
            },
            event: |_| ("bob", template("m.room.message", None, &json!({}))),
            verdict: Err("sender's membership is not `join`"),
        },
        Case {
            name: "6 third_party_invite: with the power to invite",
            versions: 6..=12,
            before: |world| {
                world.join("bob").unwrap();
            },
            event: |_| {
                let content =
                    json!({ "display_name": "b", "public_key": "x", "key_validity_url": "x" });
                (
                    "bob",
                    template("m.room.third_party_invite", Some("token"), &content),
                )
            },
            verdict: Ok(()),
        },
        Case {
            name: "6 third_party_invite: without the power to invite",
            versions: 6..=12,
            before: |world| {
                world.join("bob").unwrap();
                set_power(world, &json!({ "invite": 1 }));
            },
            event: |_| {
                let content =
                    json!({ "display_name": "b", "public_key": "x", "key_validity_url": "x" });
                (
                    "bob",
                    template("m.room.third_party_invite", Some("token"), &content),
                )
            },
            verdict: Err("sender does not have enough power to send invites"),
        },
        Case {
            name: "7 required power: a message at events_default",
            versions: 6..=12,
            before: |world| {
                world.join("bob").unwrap();
                set_power(
                    world,
                    &json!({ "events_default": 5, "users": { "@bob:here.org": 5 } }),
                );
            },
            event: |_| ("bob", template("m.room.message", None, &json!({}))),
            verdict: Ok(()),
        },
        Case {
            name: "7 required power: a message below events_default",
            versions: 6..=12,
            before: |world| {
                world.join("bob").unwrap();
                set_power(
                    world,
                    &json!({ "events_default": 5, "users": { "@bob:here.org": 4 } }),
                );
            },
            event: |_| ("bob", template("m.room.message", None, &json!({}))),
            verdict: Err(
                "sender does not have enough power to send event of type `m.room.message`",
            ),
        },
        Case {
            name: "7 required power: state below the default of 50",
            versions: 6..=12,
            before: |world| {
                world.join("bob").unwrap();
            },
            event: |_| {
                (
                    "bob",
                    template("m.room.topic", Some(""), &json!({ "topic": "x" })),
                )
            },
            verdict: Err("sender does not have enough power to send event of type `m.room.topic`"),
        },
        Case {
            name: "7 required power: state at the default of 50",
            versions: 6..=12,
            before: |world| {
                world.join("bob").unwrap();
                set_power(world, &json!({ "users": { "@bob:here.org": 50 } }));
            },
            event: |_| {
                (
                    "bob",
                    template("m.room.topic", Some(""), &json!({ "topic": "x" })),
                )
            },
            verdict: Ok(()),
        },
        Case {
            name: "7 required power: a type with a level of its own",
            versions: 6..=12,
            before: |world| {
                world.join("bob").unwrap();
                set_power(world, &json!({ "events": { "m.x": 1 } }));
            },
            event: |_| ("bob", template("m.x", None, &json!({}))),
            verdict: Err("sender does not have enough power to send event of type `m.x`"),
        },
        Case {
            name: "7 required power: users_default counts for users without a level",
            versions: 6..=12,
            before: |world| {
                world.join("bob").unwrap();
                set_power(world, &json!({ "events_default": 5, "users_default": 5 }));
            },
            event: |_| ("bob", template("m.room.message", None, &json!({}))),
            verdict: Ok(()),
        },
        Case {
            name: "8 state_key of a user: one's own",
            versions: 6..=12,
            before: NOTHING,
            event: |_| {
                (
                    "alice",
                    template("m.x", Some(user("alice").as_str()), &json!({})),
                )
            },
            verdict: Ok(()),
        },
        Case {
            name: "8 state_key of a user: somebody else's",
            versions: 6..=12,
            before: NOTHING,
            event: |_| {
                (
                    "alice",
                    template("m.x", Some(user("bob").as_str()), &json!({})),
                )
            },
            verdict: Err("sender cannot send event with `state_key` matching another user's ID"),
        },
    ]
}
