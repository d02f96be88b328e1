//! `device_lists` against an oracle that looks at the whole state at every moment.

use std::{collections::BTreeSet, sync::Arc};

use matryx_entity::{
    device_lists::{DeviceLists, RoomWindow, SharedRoom, device_lists},
    member_delta::MemberDelta,
    position::Position,
    room_no::RoomNo,
};
use proptest::{collection::vec, prelude::*};
use ruma::{OwnedUserId, UserId};

use crate::world::user;

const USERS: usize = 4;
const ROOMS: usize = 3;

/// A room at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Room {
    encrypted: bool,
    joined: BTreeSet<OwnedUserId>,
}

impl SharedRoom for Room {
    fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    fn is_joined(&self, user: &UserId) -> bool {
        self.joined.contains(user)
    }

    fn joined(&self) -> Vec<OwnedUserId> {
        self.joined.iter().cloned().collect()
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// Each of these users comes into a room or leaves it: one in a plain event, several when the
    /// state is resolved anew.
    Move(usize, Vec<usize>),
    /// Encryption goes on or (by a resolution of the state) off.
    Switch(usize),
    /// Both in one event.
    Both(usize, usize),
    /// A user's keys change.
    Renew(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..ROOMS, 0..USERS).prop_map(|(room, user)| Step::Move(room, vec![user])),
        1 => (0..ROOMS, vec(0..USERS, 2..4)).prop_map(|(room, users)| Step::Move(room, users)),
        2 => (0..ROOMS).prop_map(Step::Switch),
        1 => (0..ROOMS, 0..USERS).prop_map(|(room, user)| Step::Both(room, user)),
        2 => (0..USERS).prop_map(Step::Renew),
    ]
}

fn name(number: usize) -> OwnedUserId {
    user(
        [
            "@reader:here.org",
            "@b:here.org",
            "@c:there.org",
            "@d:there.org",
        ][number],
    )
}

/// What is written down of a step: what it changed in a room, whose keys it changed.
type Written = (Option<(usize, MemberDelta)>, Option<OwnedUserId>);

/// All moments of a history, and what is written down of each step.
#[derive(Default)]
struct History {
    moments: Vec<Vec<Room>>,
    written: Vec<Written>,
}

impl History {
    fn new(steps: &[Step]) -> Self {
        let mut history = Self {
            moments: vec![vec![Room::default(); ROOMS]],
            written: Vec::new(),
        };
        for step in steps {
            history.take(step);
        }
        history
    }

    fn take(&mut self, step: &Step) {
        let (room, users, switches) = match step {
            Step::Move(room, users) => (*room, users.clone(), false),
            Step::Switch(room) => (*room, Vec::new(), true),
            Step::Both(room, user) => (*room, vec![*user], true),
            Step::Renew(user) => {
                let now = self.moments.last().unwrap().clone();
                self.moments.push(now);
                self.written.push((None, Some(name(*user))));
                return;
            }
        };
        let mut now = self.moments.last().unwrap().clone();
        let before = now[room].clone();
        let after = &mut now[room];
        for user in users.into_iter().map(name).collect::<BTreeSet<_>>() {
            if !after.joined.remove(&user) {
                after.joined.insert(user);
            }
        }
        after.encrypted ^= switches;
        let delta = delta(room, self.moments.len(), &before, after);
        self.moments.push(now);
        self.written.push((delta.map(|delta| (room, delta)), None));
    }
}

/// What is written down: of what was not encrypted before nothing but that it is, and who was there
/// when that ends.
fn delta(room: usize, pos: usize, before: &Room, after: &Room) -> Option<MemberDelta> {
    let difference = |one: &Room, other: &Room| -> Vec<OwnedUserId> {
        let named = one.joined.difference(&other.joined).cloned();
        named.filter(|_| before.encrypted).collect()
    };
    let left = if after.encrypted {
        difference(before, after)
    } else {
        before.joined.iter().cloned().collect()
    };
    (before.encrypted || after.encrypted).then(|| MemberDelta {
        room: RoomNo(i64::try_from(room).unwrap()),
        pos: i64::try_from(pos).unwrap(),
        at: Position::default(),
        joined: difference(after, before)
            .into_iter()
            .filter(|_| after.encrypted)
            .collect(),
        left,
        encrypted: (before.encrypted != after.encrypted).then_some(after.encrypted),
    })
}

/// The answer, by definition.
fn oracle(history: &History, since: usize, reader: &OwnedUserId) -> DeviceLists {
    let window = &history.moments[since..];
    let now = window.last().unwrap();
    let in_room = |room: &Room, user: &OwnedUserId| {
        room.encrypted && room.joined.contains(reader) && room.joined.contains(user)
    };
    let shares = |rooms: &Vec<Room>, user: &OwnedUserId| rooms.iter().any(|it| in_room(it, user));
    let mut lists = DeviceLists::default();
    for user in (0..USERS).map(name).filter(|user| user != reader) {
        let came_back = (0..ROOMS).any(|room| {
            let course: Vec<bool> = window.iter().map(|it| in_room(&it[room], &user)).collect();
            let first = course.iter().position(|shares| *shares);
            *course.last().unwrap() && first.is_some_and(|first| course[first..].contains(&false))
        });
        let renewed = history.written[since..]
            .iter()
            .any(|(_, renewed)| renewed.as_ref() == Some(&user));
        let in_reach = now
            .iter()
            .any(|room| room.joined.contains(reader) && room.joined.contains(&user));
        if !shares(now, &user) && window.iter().any(|moment| shares(moment, &user)) {
            lists.left.insert(user);
        } else if (shares(now, &user) && (!shares(&window[0], &user) || came_back))
            || (renewed && in_reach)
        {
            lists.changed.insert(user);
        }
    }
    let own = |(_, renewed): &(_, Option<OwnedUserId>)| renewed.as_ref() == Some(reader);
    if history.written[since..].iter().any(own) {
        lists.changed.insert(reader.clone());
    }
    lists
}

fn computed(history: &History, since: usize, reader: &OwnedUserId) -> DeviceLists {
    let now = history.moments.last().unwrap();
    let written = &history.written[since..];
    let windows: Vec<_> = (0..ROOMS)
        // A reader is asked about the rooms that they are in, or left within the window.
        .filter(|room| {
            let mut moments = history.moments[since..].iter();
            moments.any(|moment| moment[*room].joined.contains(reader))
        })
        .map(|number| RoomWindow {
            room: now[number].clone(),
            deltas: written
                .iter()
                .filter_map(|(delta, _)| delta.as_ref())
                .filter(|(room, _)| *room == number)
                .map(|(_, delta)| Arc::new(delta.clone()))
                .collect(),
        })
        .collect();
    let renewed = written.iter().filter_map(|(_, renewed)| renewed.clone());
    device_lists(reader, &windows, &renewed.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn every_window_of_every_history_is_as_the_whole_state_says(
        steps in vec(step(), 0..24),
        since in any::<prop::sample::Index>(),
    ) {
        let history = History::new(&steps);
        let since = since.index(history.moments.len());
        let reader = name(0);
        let lists = computed(&history, since, &reader);
        prop_assert!(lists.left.is_disjoint(&lists.changed));
        prop_assert_eq!(lists, oracle(&history, since, &reader));
    }
}
