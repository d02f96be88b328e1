//! Whose devices a client must look at anew, and whose it may forget: `device_lists`.
//!
//! A pure function of what happened in a window of time, which ends now: the same for `/sync`, for
//! `/keys/changes`, for every device of a user, and for every retry.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#tracking-the-device-list-for-a-user)
//!
//! Two users *share* at a moment when both are joined to a room that is encrypted then.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use ruma::{
    OwnedUserId, UserId,
    events::{StateEventType, room::member::MembershipState},
};

use crate::{
    member_delta::MemberDelta,
    room_snapshot::{RoomSnapshot, membership_of},
};

/// The answer. Nobody is in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceLists {
    /// Whose devices or cross-signing keys changed, or who began to share with the reader.
    pub changed: BTreeSet<OwnedUserId>,
    /// Who shared with the reader at some time of the window and does not any more.
    pub left: BTreeSet<OwnedUserId>,
}

/// A room as it is now.
pub trait SharedRoom {
    /// Is it encrypted?
    fn is_encrypted(&self) -> bool;
    /// Is the user joined to it?
    fn is_joined(&self, user: &UserId) -> bool;
    /// All who are joined to it.
    fn joined(&self) -> Vec<OwnedUserId>;
}

impl<R: SharedRoom> SharedRoom for Arc<R> {
    fn is_encrypted(&self) -> bool {
        R::is_encrypted(self)
    }

    fn is_joined(&self, user: &UserId) -> bool {
        R::is_joined(self, user)
    }

    fn joined(&self) -> Vec<OwnedUserId> {
        R::joined(self)
    }
}

impl SharedRoom for RoomSnapshot {
    fn is_encrypted(&self) -> bool {
        self.get(&StateEventType::RoomEncryption, "").is_some()
    }

    fn is_joined(&self, user: &UserId) -> bool {
        Self::is_joined(self, user)
    }

    fn joined(&self) -> Vec<OwnedUserId> {
        self.slots(&StateEventType::RoomMember)
            .filter(|(_, event)| membership_of(event) == MembershipState::Join)
            .filter_map(|(user, _)| user.try_into().ok())
            .collect()
    }
}

/// A room and what happened in it within the window.
#[derive(Clone, Debug)]
pub struct RoomWindow<R> {
    /// The room after all of it.
    pub room: R,
    /// What happened, oldest first. What is from before the room was encrypted is not needed.
    pub deltas: Vec<Arc<MemberDelta>>,
}

/// The device lists of `reader` for a window.
///
/// `rooms` are all rooms that the reader is joined to, and those that they left within the window.
/// `renewed` are the users whose devices or keys changed within the window; those count who are
/// the reader or in a room with them.
pub fn device_lists<R: SharedRoom>(
    reader: &UserId,
    rooms: &[RoomWindow<R>],
    renewed: &BTreeSet<OwnedUserId>,
) -> DeviceLists {
    let courses: Vec<Course<'_, R>> = rooms
        .iter()
        .filter_map(|window| Course::new(window, reader))
        .collect();
    let candidates: BTreeSet<OwnedUserId> = courses
        .iter()
        .flat_map(Course::candidates)
        .filter(|user| user != reader)
        .collect();
    let mut lists = DeviceLists::default();
    for user in candidates {
        let mut sharing = Sharing::default();
        for course in &courses {
            sharing.join(course.sharing(&user));
        }
        if sharing.ever && !sharing.now {
            lists.left.insert(user);
        } else if sharing.now && (!sharing.before || sharing.interrupted) {
            lists.changed.insert(user);
        }
    }
    for user in renewed {
        let is_in_reach = || {
            rooms
                .iter()
                .any(|window| window.room.is_joined(reader) && window.room.is_joined(user))
        };
        if user == reader || (!lists.left.contains(user) && is_in_reach()) {
            lists.changed.insert(user.clone());
        }
    }
    lists
}

/// When two users shared.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four facts of which none follows from another"
)]
struct Sharing {
    /// When the window began.
    before: bool,
    /// At some moment of it.
    ever: bool,
    /// Now.
    now: bool,
    /// Now and earlier, but not in between.
    interrupted: bool,
}

impl Sharing {
    fn join(&mut self, other: Self) {
        self.before |= other.before;
        self.ever |= other.ever;
        self.now |= other.now;
        self.interrupted |= other.interrupted;
    }
}

/// A room's way through the window: after each of its deltas, could the reader share there?
struct Course<'a, R> {
    window: &'a RoomWindow<R>,
    /// One more than there are deltas: the first is before all of them.
    open: Vec<bool>,
    /// The users whom deltas name, with the numbers of these deltas.
    named: HashMap<&'a UserId, Vec<usize>>,
    /// The deltas that end the encryption: they name all who were there.
    ends: Vec<usize>,
}

impl<'a, R: SharedRoom> Course<'a, R> {
    /// None if the reader could at no time share there.
    fn new(window: &'a RoomWindow<R>, reader: &UserId) -> Option<Self> {
        let mut named: HashMap<&UserId, Vec<usize>> = HashMap::new();
        for (number, delta) in window.deltas.iter().enumerate() {
            for user in delta.joined.iter().chain(&delta.left) {
                named.entry(user).or_default().push(number);
            }
        }
        let ends = window.deltas.iter().enumerate();
        let ends = ends.filter(|(_, delta)| delta.encrypted == Some(false));
        let mut course = Self {
            window,
            open: Vec::new(),
            named,
            ends: ends.map(|(number, _)| number).collect(),
        };
        let is_in = course.presence(reader);
        let is_encrypted = course.encryption();
        let both = is_in.iter().zip(&is_encrypted);
        course.open = both.map(|(one, other)| *one && *other).collect();
        course.open.contains(&true).then_some(course)
    }

    /// Was the user joined, before and after each delta? As far as the room was encrypted.
    fn presence(&self, user: &UserId) -> Vec<bool> {
        let end = self.window.deltas.len();
        let mut is_in = vec![self.window.room.is_joined(user); end + 1];
        let mut numbers = self.ends.clone();
        numbers.extend(self.named.get(user).into_iter().flatten());
        numbers.sort_unstable();
        for number in numbers.into_iter().rev() {
            // Who leaves had been there; who comes, or is not named at the end, had not.
            let was_in = self
                .window
                .deltas
                .get(number)
                .is_some_and(|delta| delta.left.iter().any(|left| left == user));
            is_in
                .iter_mut()
                .take(number + 1)
                .for_each(|it| *it = was_in);
        }
        is_in
    }

    fn encryption(&self) -> Vec<bool> {
        let end = self.window.deltas.len();
        let mut is_encrypted = vec![self.window.room.is_encrypted(); end + 1];
        for (number, delta) in self.window.deltas.iter().enumerate().rev() {
            if let Some(encrypted) = delta.encrypted {
                let before = is_encrypted.iter_mut().take(number + 1);
                before.for_each(|it| *it = !encrypted);
            }
        }
        is_encrypted
    }

    /// Those whose sharing with the reader may have changed here.
    fn candidates(&self) -> Vec<OwnedUserId> {
        let mut users: Vec<OwnedUserId> =
            self.named.keys().map(|user| (*user).to_owned()).collect();
        if self.open.contains(&false) {
            users.extend(self.window.room.joined());
        }
        users
    }

    fn sharing(&self, user: &UserId) -> Sharing {
        let is_in = self.presence(user);
        let shares: Vec<bool> = self
            .open
            .iter()
            .zip(is_in)
            .map(|(open, is_in)| *open && is_in)
            .collect();
        let now = shares.last().copied().unwrap_or_default();
        // A share, a gap, and a share at the end.
        let mut earlier = shares.iter().skip_while(|shares| !**shares);
        Sharing {
            before: shares.first().copied().unwrap_or_default(),
            ever: shares.contains(&true),
            now,
            interrupted: now && earlier.any(|shares| !*shares),
        }
    }
}
