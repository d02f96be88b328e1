//! `device_lists` of the engine: random histories against the whole state at every moment, by every
//! way in which the engine learns of commits, after restarts, and when the log is not remembered.

use std::collections::BTreeSet;

use matryx_client::sync::FollowerMode;
use matryx_entity::{
    device_list::{DeviceList, DeviceListState},
    device_lists::DeviceLists,
    log::LogEntry,
    position::Position,
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
    token::SyncToken,
};
use matryx_surrealdb::Plan;
use ruma::{
    OwnedUserId, UserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::json;

use crate::{
    random::Dice,
    world::{World, user},
};

/// What everybody knows at one moment.
struct Moment {
    rooms: Vec<RoomSnapshot>,
    token: SyncToken,
    /// Whose keys changed with the step that led here.
    renewed: Option<OwnedUserId>,
}

fn remote(name: &str) -> OwnedUserId {
    UserId::parse(format!("@{name}:elsewhere.test")).unwrap()
}

async fn moment(world: &World, renewed: Option<OwnedUserId>) -> Moment {
    Moment {
        rooms: world
            .rooms
            .values()
            .map(|room| room.snapshot.clone())
            .collect(),
        token: settled(world).await,
        renewed,
    }
}

/// The moment at which everything committed is applied.
async fn settled(world: &World) -> SyncToken {
    let watermarks = world.store.watermarks().borrow().clone();
    for (node, seq) in watermarks.iter() {
        while !world.engine.now().covers(Position { node, seq }) {
            tokio::task::yield_now().await;
        }
    }
    world.engine.now()
}

async fn renew(world: &World, user: &UserId) {
    let mut plan = Plan::new();
    let at = plan.log(LogEntry::Device {
        user: user.to_owned(),
        devices: Vec::new(),
        cross_signing: false,
    });
    let list = DeviceList {
        user: user.to_owned(),
        at: Position::default(),
        stream_id: 1,
        state: DeviceListState::Local,
    };
    plan.put_stamped(&list, at);
    world.store.commit(plan).await.unwrap();
}

/// Things that concern nobody here.
async fn bustle(world: &World, count: usize) {
    let mut plan = Plan::new();
    for _ in 0..count {
        let user = remote("nobody");
        plan.log(LogEntry::User { user });
    }
    world.store.commit(plan).await.unwrap();
}

fn in_room(room: &RoomSnapshot, one: &UserId, other: &UserId) -> bool {
    let encrypted = room.get(&StateEventType::RoomEncryption, "").is_some();
    encrypted && room.is_joined(one) && room.is_joined(other)
}

/// The answer, by definition.
fn oracle(window: &[Moment], users: &[OwnedUserId], reader: &UserId) -> DeviceLists {
    let now = window.last().unwrap();
    let shares = |moment: &Moment, user: &UserId| {
        let mut rooms = moment.rooms.iter();
        rooms.any(|room| in_room(room, reader, user))
    };
    let renewed: BTreeSet<_> = window[1..]
        .iter()
        .filter_map(|moment| moment.renewed.clone())
        .collect();
    let mut lists = DeviceLists::default();
    for user in users.iter().filter(|user| *user != reader) {
        let came_back = (0..now.rooms.len()).any(|room| {
            let course = window
                .iter()
                .map(|it| in_room(&it.rooms[room], reader, user));
            let mut since_first = course.skip_while(|shares| !shares);
            in_room(&now.rooms[room], reader, user) && since_first.any(|shares| !shares)
        });
        let in_reach = now
            .rooms
            .iter()
            .any(|room| room.is_joined(reader) && room.is_joined(user));
        if !shares(now, user) && window.iter().any(|moment| shares(moment, user)) {
            lists.left.insert(user.clone());
        } else if (shares(now, user) && (!shares(&window[0], user) || came_back))
            || (renewed.contains(user) && in_reach)
        {
            lists.changed.insert(user.clone());
        }
    }
    if renewed.contains(reader) {
        lists.changed.insert(reader.to_owned());
    }
    lists
}

#[tokio::test]
async fn every_window_is_as_the_whole_state_says_by_every_way_of_following() {
    for (mode, seed) in [
        (FollowerMode::Both, 0x5eed_0011),
        (FollowerMode::Log, 0x5eed_0012),
        (FollowerMode::HandOver, 0x5eed_0013),
    ] {
        play(mode, seed).await;
    }
}

async fn play(mode: FollowerMode, seed: u64) {
    let mut dice = Dice(seed);
    let readers = ["a", "b"].map(user);
    let users: Vec<OwnedUserId> = readers
        .iter()
        .cloned()
        .chain([remote("c"), remote("d")])
        .collect();
    let mut world = World::with(mode).await;
    let mut rooms: Vec<RoomNo> = Vec::new();
    for reader in [&readers[0], &readers[0], &readers[1]] {
        rooms.push(world.room(reader, "shared").await);
    }
    let mut history = vec![moment(&world, None).await];
    for _ in 0..160 {
        let room = rooms[dice.roll(rooms.len())];
        let who = users[dice.roll(users.len())].clone();
        let mut renewed = None;
        let snapshot = &world.rooms[&room].snapshot;
        match dice.roll(8) {
            0 => {
                renew(&world, &who).await;
                renewed = Some(who);
            }
            1 if snapshot.get(&StateEventType::RoomEncryption, "").is_none() => {
                let content = json!({"algorithm": "m.megolm.v1.aes-sha2"});
                world
                    .set(room, &readers[0], "m.room.encryption", content)
                    .await;
            }
            2 => {
                let ban = MembershipState::Ban;
                world.membership(room, &readers[0], &who, ban).await;
            }
            3 => drop(world.say(room, &who, "hello").await),
            _ if snapshot.is_joined(&who) => drop(world.leave(room, &who).await),
            _ => drop(world.join(room, &who).await),
        }
        history.push(moment(&world, renewed).await);
        match dice.roll(60) {
            // What changed lately is recalled from the log.
            0 => {
                world.restart(mode).await;
                settled(&world).await;
            }
            // Too much happened elsewhere: the tables answer.
            1 => {
                for _ in 0..9 {
                    bustle(&world, 1000).await;
                }
                settled(&world).await;
            }
            _ => {}
        }
        let since = dice.roll(history.len());
        for reader in &readers {
            let lists = world
                .engine
                .device_lists(reader, &history[since].token)
                .await;
            let expected = oracle(&history[since..], &users, reader);
            assert_eq!(
                lists.unwrap(),
                expected,
                "{mode:?} {since} {}",
                history.len()
            );
        }
    }
}

#[tokio::test]
async fn a_sync_tells_what_changed_and_wakes_for_it() {
    let (alice, bob) = (user("alice"), remote("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let first = world.initial(&alice).await;
    assert!(first.device_lists.is_empty());
    world.join(room, &bob).await;
    let content = json!({"algorithm": "m.megolm.v1.aes-sha2"});
    world.set(room, &alice, "m.room.encryption", content).await;
    let second = world.since(&alice, &first).await;
    assert_eq!(second.device_lists.changed, std::slice::from_ref(&bob));
    assert!(world.since(&alice, &second).await.device_lists.is_empty());

    let waiting = crate::world::request(&alice, Some(&second), |request| {
        request.timeout = std::time::Duration::from_secs(20);
    });
    let (response, ()) = tokio::join!(world.engine.sync(&waiting), renew(&world, &bob));
    assert_eq!(
        response.unwrap().device_lists.changed,
        std::slice::from_ref(&bob)
    );

    world.leave(room, &bob).await;
    let third = world.since(&alice, &second).await;
    assert_eq!(third.device_lists.left, std::slice::from_ref(&bob));
    assert!(third.device_lists.changed.is_empty());
    // The same question gets the same answer.
    let again = world.since(&alice, &second).await;
    assert_eq!(again.device_lists.left, std::slice::from_ref(&bob));
    renew(&world, &bob).await;
    let fourth = world.since(&alice, &third).await;
    assert!(fourth.device_lists.is_empty());
}
