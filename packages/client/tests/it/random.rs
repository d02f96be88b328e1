//! Random commits against a model that looks at the whole history each time.

use std::collections::{BTreeMap, BTreeSet};

use matryx_client::sync::FollowerMode;
use matryx_entity::{room_no::RoomNo, room_snapshot::membership_of};
use ruma::{
    OwnedUserId, api::client::sync::sync_events::v3::Response,
    events::room::member::MembershipState,
};
use serde_json::json;

use crate::{
    response::{ids, slots, value},
    world::{World, filter, user},
};

/// A small generator, so that a failure can be repeated.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

/// What a client knows after a chain of responses.
#[derive(Default)]
struct Client {
    since: Option<Response>,
    /// Per room the events that it has seen.
    seen: BTreeMap<String, Vec<String>>,
    /// Per joined room the state as the client computes it.
    state: BTreeMap<String, BTreeMap<(String, String), String>>,
}

impl Client {
    fn take(&mut self, response: Response) {
        for (room_id, room) in &response.rooms.join {
            let full = room.timeline.limited;
            let room_id = room_id.to_string();
            let seen = self.seen.entry(room_id.clone()).or_default();
            if full {
                seen.clear();
            }
            for id in ids(&room.timeline.events) {
                assert!(!seen.contains(&id), "{id} came twice");
                seen.push(id);
            }
            let state = self.state.entry(room_id).or_default();
            if let ruma::api::client::sync::sync_events::v3::State::Before(events) = &room.state {
                events
                    .events
                    .iter()
                    .for_each(|event| set(state, &value(event)));
            }
            for event in &room.timeline.events {
                let event = value(event);
                if event.get("state_key").is_some() {
                    set(state, &event);
                }
            }
        }
        let gone = response.rooms.leave.keys();
        for room_id in gone.chain(response.rooms.invite.keys()) {
            self.seen.remove(room_id.as_str());
            self.state.remove(room_id.as_str());
        }
        self.since = Some(response);
    }
}

fn set(state: &mut BTreeMap<(String, String), String>, event: &serde_json::Value) {
    let text = |field: &str| event[field].as_str().unwrap().to_owned();
    state.insert((text("type"), text("state_key")), text("event_id"));
}

#[tokio::test]
async fn a_thousand_commits_leave_every_client_with_the_rooms_as_they_are() {
    for (mode, seed) in [
        (FollowerMode::Both, 0x5eed_0001),
        (FollowerMode::Log, 0x5eed_0002),
        (FollowerMode::HandOver, 0x5eed_0003),
    ] {
        play(mode, seed, 350).await;
    }
}

async fn play(mode: FollowerMode, seed: u64, commits: usize) {
    let mut dice = Dice(seed);
    let users: Vec<OwnedUserId> = ["a", "b", "c", "d"].map(user).to_vec();
    let mut world = World::with(mode).await;
    let mut rooms = Vec::new();
    for user in &users {
        rooms.push(world.room(user, "shared").await);
    }
    let mut clients: Vec<Client> = users.iter().map(|_| Client::default()).collect();
    for _ in 0..commits {
        let room = rooms[dice.roll(rooms.len())];
        act(&mut world, room, &users, &mut dice).await;
        if dice.roll(6) == 0 {
            let nth = dice.roll(users.len());
            sync(&world, &users[nth], &mut clients[nth], &mut dice).await;
        }
        if dice.roll(150) == 0 {
            world.restart(mode).await;
        }
    }
    for (user, client) in users.iter().zip(&mut clients) {
        sync(&world, user, client, &mut dice).await;
        compare(&world, user, client);
    }
}

async fn sync(world: &World, user: &OwnedUserId, client: &mut Client, dice: &mut Dice) {
    let watermarks = world.store.watermarks().borrow().clone();
    for (node, seq) in watermarks.iter() {
        let at = matryx_entity::position::Position { node, seq };
        while !world.engine.now().covers(at) {
            tokio::task::yield_now().await;
        }
    }
    let limit = [1, 3, 10, 100][dice.roll(4)];
    let limited = filter(json!({"room": {"timeline": {"limit": limit}}}));
    let response = world
        .ask(user, client.since.as_ref(), |request| {
            request.filter = limited;
        })
        .await;
    client.take(response);
}

async fn act(world: &mut World, room: RoomNo, users: &[OwnedUserId], dice: &mut Dice) {
    let actor = &users[dice.roll(users.len())];
    let target = &users[dice.roll(users.len())];
    let is_joined = world.rooms[&room].snapshot.is_joined(actor);
    match dice.roll(10) {
        0 if is_joined => drop(world.leave(room, actor).await),
        0..3 if !is_joined => drop(world.join(room, actor).await),
        1 if is_joined && !world.rooms[&room].snapshot.is_joined(target) => {
            let invite = MembershipState::Invite;
            world.membership(room, actor, target, invite).await;
        }
        2 if is_joined => {
            let name = json!({"name": dice.roll(1000)});
            world.set(room, actor, "m.room.name", name).await;
        }
        3 if is_joined && actor != target => {
            let ban = MembershipState::Ban;
            world.membership(room, actor, target, ban).await;
        }
        _ if is_joined => drop(world.say(room, actor, "x").await),
        _ => {}
    }
}

/// The client's joined rooms have the state that they have; what it has seen of their timeline
/// ends as the room ends, without a hole.
fn compare(world: &World, user: &OwnedUserId, client: &Client) {
    let mut expected = BTreeSet::new();
    for room in world.rooms.values() {
        let snapshot = &room.snapshot;
        if !snapshot.is_joined(user) {
            continue;
        }
        let room_id = snapshot.room_id.to_string();
        expected.insert(room_id.clone());
        let state: BTreeMap<_, _> = snapshot
            .state()
            .map(|event| {
                let pdu = &event.pdu;
                let slot = (pdu.kind().to_string(), pdu.state_key().unwrap().to_owned());
                (slot, pdu.event_id().to_string())
            })
            .collect();
        assert_eq!(
            client.state[&room_id], state,
            "state of {room_id} for {user}"
        );
        let all: Vec<_> = room
            .events
            .iter()
            .map(|event| event.pdu.event_id().to_string())
            .collect();
        let seen = &client.seen[&room_id];
        assert!(all.ends_with(seen), "timeline of {room_id} for {user}");
        assert!(!seen.is_empty());
        let joins = room.events.iter().filter(|event| {
            event.pdu.state_key() == Some(user.as_str())
                && membership_of(event) == MembershipState::Join
        });
        assert!(joins.count() > 0);
    }
    let known: BTreeSet<_> = client.state.keys().cloned().collect();
    assert_eq!(known, expected, "rooms of {user}");
}

#[tokio::test]
async fn two_devices_with_different_tokens_see_the_same() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let old = world.initial(&alice).await;
    world.say(room, &bob, "1").await;
    let new = world.since(&alice, &old).await;
    world.say(room, &bob, "2").await;
    let by_old = world.since(&alice, &old).await;
    let by_new = world.since(&alice, &new).await;
    let events = |response: &Response| {
        let joined = crate::response::joined(&world, response, room);
        assert!(slots(&joined.state).is_empty());
        ids(&joined.timeline.events)
    };
    assert_eq!(events(&by_old)[1..], events(&by_new));
    assert_eq!(by_old.next_batch, by_new.next_batch);
}
