//! Rule 4: membership.

use matryx_entity::build::EventTemplate;
use ruma::{CanonicalJsonObject, serde::Base64, signatures};
use serde_json::{Value, json};

use super::{NOTHING, set_join_rule, set_power};
use crate::{
    auth_matrix::Case,
    world::{World, key_pair, template, user},
};

fn member(target: &str, membership: &str) -> EventTemplate {
    with(target, &json!({ "membership": membership }))
}

fn with(target: &str, content: &Value) -> EventTemplate {
    template("m.room.member", Some(user(target).as_str()), content)
}

/// A join that alice vouches for.
fn authorised(by: &str) -> EventTemplate {
    let content = json!({
        "membership": "join",
        "join_authorised_via_users_server": user(by),
    });
    with("bob", &content)
}

/// alice invites by third party; `token` and `mxid` are what is signed.
fn third_party(token: &str, mxid: &str) -> EventTemplate {
    let mut signed: CanonicalJsonObject =
        serde_json::from_value(json!({ "mxid": user(mxid), "token": token })).unwrap();
    signatures::sign_json("identity.org", &key_pair(), &mut signed).unwrap();
    let content = json!({
        "membership": "invite",
        "third_party_invite": { "display_name": "b", "signed": signed },
    });
    with("bob", &content)
}

fn put_third_party_invite(world: &mut World, public_key: &str) {
    let content = json!({
        "display_name": "b", "key_validity_url": "https://identity.org", "public_key": public_key,
    });
    world.force(
        "alice",
        template("m.room.third_party_invite", Some("token"), &content),
    );
}

fn our_public_key() -> String {
    Base64::<ruma::serde::base64::Standard, _>::new(key_pair().public_key()).encode()
}

/// A row whose event is an own membership change of bob.
macro_rules! case {
    ($name:literal; $versions:expr; $before:expr; $sender:literal; $event:expr; $verdict:expr) => {
        Case {
            name: $name,
            versions: $versions,
            before: $before,
            event: |_| ($sender, $event),
            verdict: $verdict,
        }
    };
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = shape();
    cases.extend(join());
    cases.extend(restricted());
    cases.extend(invite());
    cases.extend(third_party_invite());
    cases.extend(leave());
    cases.extend(ban());
    cases.extend(knock());
    cases
}

fn shape() -> Vec<Case> {
    vec![
        case!("4.1 state_key: a user's"; 6..=12; NOTHING; "bob"; member("bob", "join"); Ok(())),
        case!("4.1 state_key: no user's"; 6..=12; NOTHING; "bob";
            template("m.room.member", Some("bob"), &json!({ "membership": "join" }));
            Err("invalid `state_key` field in `m.room.member` event")),
        case!("4.8 membership: known"; 6..=12; NOTHING; "bob"; member("bob", "join"); Ok(())),
        case!("4.8 membership: unknown"; 6..=12; NOTHING; "bob"; member("bob", "dance");
            Err("unknown membership")),
    ]
}

fn join() -> Vec<Case> {
    vec![
        case!("4.3.1 first join: the creator's"; 6..=12;
            |world| *world = World::created(&world.room.version.clone(), &json!({})); "alice";
            member("alice", "join"); Ok(())),
        case!("4.3.1 first join: somebody else's"; 6..=12;
            |world| *world = World::created(&world.room.version.clone(), &json!({})); "bob";
            member("bob", "join"); Err("no `m.room.join_rules` event in current state")),
        case!("4.3.2 own join: one's own"; 6..=12; NOTHING; "bob"; member("bob", "join"); Ok(())),
        case!("4.3.2 own join: somebody else's"; 6..=12; NOTHING; "alice"; member("bob", "join");
            Err("sender of join event must match target user")),
        case!("4.3.3 banned: not"; 6..=12; NOTHING; "bob"; member("bob", "join"); Ok(())),
        case!("4.3.3 banned: yes"; 6..=12;
            |world| { world.member("alice", "bob", "ban").unwrap(); }; "bob";
            member("bob", "join"); Err("banned user cannot join room")),
        case!("4.3.4 invite rule: invited"; 6..=12;
            |world| { set_join_rule(world, "invite");
                world.member("alice", "bob", "invite").unwrap(); }; "bob"; member("bob", "join");
            Ok(())),
        case!("4.3.4 invite rule: joined already"; 6..=12;
            |world| { world.join("bob").unwrap(); set_join_rule(world, "invite"); }; "bob";
            member("bob", "join"); Ok(())),
        case!("4.3.4 invite rule: not invited"; 6..=12; |world| set_join_rule(world, "invite");
            "bob"; member("bob", "join"); Err("cannot join a room that is not `public`")),
        case!("4.3.4 invite rule: left after an invite"; 6..=12;
            |world| { set_join_rule(world, "invite");
                world.member("alice", "bob", "invite").unwrap();
                world.member("bob", "bob", "leave").unwrap(); }; "bob"; member("bob", "join");
            Err("cannot join a room that is not `public`")),
        case!("4.3.4 knock rule: invited"; 7..=12;
            |world| { set_join_rule(world, "knock");
                world.member("alice", "bob", "invite").unwrap(); }; "bob"; member("bob", "join");
            Ok(())),
        case!("4.3.4 knock rule: knocked"; 7..=12;
            |world| { set_join_rule(world, "knock");
                world.member("bob", "bob", "knock").unwrap(); }; "bob"; member("bob", "join");
            Err("cannot join a room that is not `public`")),
        case!("4.3.6 public rule: anybody"; 6..=12; NOTHING; "@eve:there.org";
            member("@eve:there.org", "join"); Ok(())),
        case!("4.3.6 public rule: private instead"; 6..=12;
            |world| set_join_rule(world, "private"); "bob"; member("bob", "join");
            Err("cannot join a room that is not `public`")),
        case!("4.3.6 public rule: knock is unknown in version 6, even when invited"; 6..=6;
            |world| { world.force_member("bob", "invite"); set_join_rule(world, "knock"); }; "bob";
            member("bob", "join"); Err("cannot join a room that is not `public`")),
    ]
}

fn restricted() -> Vec<Case> {
    vec![
        case!("4.3.5 restricted: authorised by a member"; 8..=12;
            |world| set_join_rule(world, "restricted"); "bob"; authorised("alice"); Ok(())),
        case!("4.3.5 restricted: invited"; 8..=12;
            |world| { set_join_rule(world, "restricted");
                world.member("alice", "bob", "invite").unwrap(); }; "bob"; member("bob", "join");
            Ok(())),
        case!("4.3.5 restricted: not authorised"; 8..=12;
            |world| set_join_rule(world, "restricted"); "bob"; member("bob", "join");
            Err("cannot join restricted room without `join_authorised_via_users_server`")),
        case!("4.3.5 restricted: authorised by somebody outside"; 8..=12;
            |world| set_join_rule(world, "restricted"); "bob"; authorised("carol");
            Err("`join_authorised_via_users_server` is not joined")),
        case!("4.3.5 restricted: authorised by somebody without power"; 8..=12;
            |world| { world.join("carol").unwrap(); set_power(world, &json!({ "invite": 1 }));
                set_join_rule(world, "restricted"); }; "bob"; authorised("carol");
            Err("`join_authorised_via_users_server` does not have enough power")),
        case!("4.3.5 knock_restricted: authorised by a member"; 10..=12;
            |world| set_join_rule(world, "knock_restricted"); "bob"; authorised("alice"); Ok(())),
        case!("4.3.5 knock_restricted: not authorised"; 10..=12;
            |world| set_join_rule(world, "knock_restricted"); "bob"; member("bob", "join");
            Err("cannot join restricted room without `join_authorised_via_users_server`")),
        case!("4.3.6 public rule: restricted is unknown before version 8"; 6..=7;
            |world| set_join_rule(world, "restricted"); "bob"; authorised("alice");
            Err("cannot join a room that is not `public`")),
        case!("4.3.6 public rule: knock_restricted is unknown before version 10"; 8..=9;
            |world| set_join_rule(world, "knock_restricted"); "bob"; authorised("alice");
            Err("cannot join a room that is not `public`")),
    ]
}

fn invite() -> Vec<Case> {
    vec![
        case!("4.4.2 inviter joined: yes"; 6..=12; NOTHING; "alice"; member("bob", "invite");
            Ok(())),
        case!("4.4.2 inviter joined: no"; 6..=12; NOTHING; "carol"; member("bob", "invite");
            Err("cannot invite user if sender is not joined")),
        case!("4.4.3 invitee: outside"; 6..=12; NOTHING; "alice"; member("bob", "invite"); Ok(())),
        case!("4.4.3 invitee: knocks"; 7..=12;
            |world| { set_join_rule(world, "knock");
                world.member("bob", "bob", "knock").unwrap(); }; "alice"; member("bob", "invite");
            Ok(())),
        case!("4.4.3 invitee: joined"; 6..=12; |world| { world.join("bob").unwrap(); }; "alice";
            member("bob", "invite"); Err("cannot invite user that is joined or banned")),
        case!("4.4.3 invitee: banned"; 6..=12;
            |world| { world.member("alice", "bob", "ban").unwrap(); }; "alice";
            member("bob", "invite"); Err("cannot invite user that is joined or banned")),
        case!("4.4.4 invite power: the default is 0"; 6..=12;
            |world| { world.join("carol").unwrap(); }; "carol"; member("bob", "invite"); Ok(())),
        case!("4.4.4 invite power: at the level"; 6..=12;
            |world| { world.join("carol").unwrap();
                set_power(world, &json!({ "invite": 7, "users": { "@carol:here.org": 7 } })); };
            "carol"; member("bob", "invite"); Ok(())),
        case!("4.4.4 invite power: below the level"; 6..=12;
            |world| { world.join("carol").unwrap();
                set_power(world, &json!({ "invite": 7, "users": { "@carol:here.org": 6 } })); };
            "carol"; member("bob", "invite"); Err("sender does not have enough power to invite")),
    ]
}

fn third_party_invite() -> Vec<Case> {
    vec![
        case!("4.4.1 third party: signed"; 6..=12;
            |world| put_third_party_invite(world, &our_public_key()); "alice";
            third_party("token", "bob"); Ok(())),
        case!("4.4.1 third party: banned"; 6..=12;
            |world| { put_third_party_invite(world, &our_public_key());
                world.member("alice", "bob", "ban").unwrap(); }; "alice";
            third_party("token", "bob"); Err("cannot invite user that is banned")),
        case!("4.4.1 third party: for another user"; 6..=12;
            |world| put_third_party_invite(world, &our_public_key()); "alice";
            third_party("token", "carol");
            Err("third-party invite mxid does not match target user")),
        case!("4.4.1 third party: another token"; 6..=12;
            |world| put_third_party_invite(world, &our_public_key()); "alice";
            third_party("other", "bob");
            Err("no `m.room.third_party_invite` in room state matches the token")),
        case!("4.4.1 third party: by another sender"; 6..=12;
            |world| { world.join("carol").unwrap(); put_third_party_invite(world, &our_public_key()); };
            "carol"; third_party("token", "bob");
            Err("sender of `m.room.third_party_invite` does not match sender of `m.room.member`")),
        case!("4.4.1 third party: another key"; 6..=12;
            |world| put_third_party_invite(world, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
            "alice"; third_party("token", "bob");
            Err("no signature on third-party invite matches a public key")),
    ]
}

fn leave() -> Vec<Case> {
    vec![
        case!("4.5.1 own leave: joined"; 6..=12; |world| { world.join("bob").unwrap(); }; "bob";
            member("bob", "leave"); Ok(())),
        case!("4.5.1 own leave: invited"; 6..=12;
            |world| { world.member("alice", "bob", "invite").unwrap(); }; "bob";
            member("bob", "leave"); Ok(())),
        case!("4.5.1 own leave: knocking"; 7..=12;
            |world| { set_join_rule(world, "knock");
                world.member("bob", "bob", "knock").unwrap(); }; "bob"; member("bob", "leave");
            Ok(())),
        case!("4.5.1 own leave: knocking is nothing in version 6"; 6..=6;
            |world| { world.force_member("bob", "knock"); }; "bob"; member("bob", "leave");
            Err("cannot leave if not joined, invited or knocked")),
        case!("4.5.1 own leave: outside"; 6..=12; NOTHING; "bob"; member("bob", "leave");
            Err("cannot leave if not joined, invited or knocked")),
        case!("4.5.1 own leave: banned"; 6..=12;
            |world| { world.member("alice", "bob", "ban").unwrap(); }; "bob";
            member("bob", "leave"); Err("cannot leave if not joined, invited or knocked")),
        case!("4.5.2 kicker joined: yes"; 6..=12; |world| { world.join("bob").unwrap(); }; "alice";
            member("bob", "leave"); Ok(())),
        case!("4.5.2 kicker joined: no"; 6..=12; |world| { world.join("bob").unwrap(); }; "carol";
            member("bob", "leave"); Err("cannot kick if sender is not joined")),
        case!("4.5.3 unban: with the power to ban"; 6..=12;
            |world| { world.join("carol").unwrap();
                set_power(world, &json!({ "users": { "@carol:here.org": 50 } }));
                world.member("alice", "bob", "ban").unwrap(); }; "carol"; member("bob", "leave");
            Ok(())),
        case!("4.5.3 unban: with the power to kick only"; 6..=12;
            |world| { world.join("carol").unwrap();
                set_power(world, &json!({ "kick": 10, "users": { "@carol:here.org": 49 } }));
                world.member("alice", "bob", "ban").unwrap(); }; "carol"; member("bob", "leave");
            Err("sender does not have enough power to unban")),
        case!("4.5.4 kick: below the level"; 6..=12;
            |world| { world.join("bob").unwrap(); world.join("carol").unwrap();
                set_power(world, &json!({ "users": { "@carol:here.org": 49 } })); }; "carol";
            member("bob", "leave"); Err("sender does not have enough power to kick target user")),
        case!("4.5.4 kick: at the level"; 6..=12;
            |world| { world.join("bob").unwrap(); world.join("carol").unwrap();
                set_power(world, &json!({ "users": { "@carol:here.org": 50 } })); }; "carol";
            member("bob", "leave"); Ok(())),
        case!("4.5.4 kick: an equal"; 6..=12;
            |world| { world.join("bob").unwrap(); world.join("carol").unwrap();
                set_power(world, &json!({ "users": { "@carol:here.org": 50, "@bob:here.org": 50 } })); };
            "carol"; member("bob", "leave");
            Err("sender does not have enough power to kick target user")),
        case!("4.5.4 kick: the creator of a version 12 room has infinite power"; 12..=12;
            |world| { world.join("carol").unwrap();
                set_power(world, &json!({ "users": { "@carol:here.org": 9_007_199_254_740_991_i64 } })); };
            "carol"; member("alice", "leave");
            Err("sender does not have enough power to kick target user")),
    ]
}

fn ban() -> Vec<Case> {
    vec![
        case!("4.6.1 banner joined: yes"; 6..=12; NOTHING; "alice"; member("bob", "ban"); Ok(())),
        case!("4.6.1 banner joined: no"; 6..=12; NOTHING; "carol"; member("bob", "ban");
            Err("cannot ban if sender is not joined")),
        case!("4.6.2 ban: at the level"; 6..=12;
            |world| { world.join("carol").unwrap();
                set_power(world, &json!({ "ban": 20, "users": { "@carol:here.org": 20 } })); };
            "carol"; member("bob", "ban"); Ok(())),
        case!("4.6.2 ban: below the level"; 6..=12;
            |world| { world.join("carol").unwrap();
                set_power(world, &json!({ "ban": 20, "users": { "@carol:here.org": 19 } })); };
            "carol"; member("bob", "ban");
            Err("sender does not have enough power to ban target user")),
        case!("4.6.2 ban: an equal"; 6..=12;
            |world| { world.join("carol").unwrap();
                set_power(world, &json!({ "users": { "@carol:here.org": 60, "@bob:here.org": 60 } })); };
            "carol"; member("bob", "ban");
            Err("sender does not have enough power to ban target user")),
    ]
}

fn knock() -> Vec<Case> {
    vec![
        case!("4.7 knock: the rule is knock"; 7..=12; |world| set_join_rule(world, "knock"); "bob";
            member("bob", "knock"); Ok(())),
        case!("4.7 knock: again"; 7..=12;
            |world| { set_join_rule(world, "knock");
                world.member("bob", "bob", "knock").unwrap(); }; "bob"; member("bob", "knock");
            Ok(())),
        case!("4.7 knock: the rule is knock_restricted"; 10..=12;
            |world| set_join_rule(world, "knock_restricted"); "bob"; member("bob", "knock");
            Ok(())),
        case!("4.7 knock: knock_restricted is unknown before version 10"; 7..=9;
            |world| set_join_rule(world, "knock_restricted"); "bob"; member("bob", "knock");
            Err("join rule is not set to knock")),
        case!("4.7 knock: the rule is another"; 7..=12; NOTHING; "bob"; member("bob", "knock");
            Err("join rule is not set to knock")),
        case!("4.7 knock: for somebody else"; 7..=12; |world| set_join_rule(world, "knock");
            "alice"; member("bob", "knock"); Err("cannot make another user knock")),
        case!("4.7 knock: banned"; 7..=12;
            |world| { set_join_rule(world, "knock");
                world.member("alice", "bob", "ban").unwrap(); }; "bob"; member("bob", "knock");
            Err("cannot knock if user is banned")),
        case!("4.7 knock: invited"; 7..=12;
            |world| { set_join_rule(world, "knock");
                world.member("alice", "bob", "invite").unwrap(); }; "bob"; member("bob", "knock");
            Err("cannot knock if user is banned, invited or joined")),
        case!("4.7 knock: joined"; 7..=12;
            |world| { world.join("bob").unwrap(); set_join_rule(world, "knock"); }; "bob";
            member("bob", "knock"); Err("cannot knock if user is banned, invited or joined")),
        case!("4.8 membership: knock is unknown in version 6"; 6..=6;
            |world| set_join_rule(world, "knock"); "bob"; member("bob", "knock");
            Err("unknown membership")),
    ]
}
