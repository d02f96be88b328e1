//! Which servers are to know of the devices of which users of this one: those that share a room.
//!
//! A server that comes to share a room with a user is introduced to their list; from then on it is
//! told of every change.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use matryx_entity::{
    room_snapshot::{RoomSnapshot, membership_of},
    timeline::TimelineEvent,
};
use ruma::{
    OwnedServerName, OwnedUserId, ServerName, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};

use super::{SenderError, Shared};

/// How many other rooms of a user are looked at for servers that know their list already.
const MAX_ROOMS: usize = 100;

impl Shared {
    /// The servers that share a room with a user of this one.
    pub(super) async fn servers_with(
        &self,
        user: &UserId,
    ) -> Result<BTreeSet<OwnedServerName>, SenderError> {
        let mut servers = BTreeSet::new();
        let view = self.deps.sync.user(user).await?;
        for member in view.joined() {
            let Some(room) = self.deps.sync.room(member.room).await? else {
                continue;
            };
            for server in room.joined_servers.keys() {
                if !servers.contains(server) && self.takes_part(&room, server) {
                    servers.insert(server.clone());
                }
            }
        }
        Ok(servers)
    }

    fn takes_part(&self, room: &RoomSnapshot, server: &ServerName) -> bool {
        *server != self.server_name && self.acls.allows(room, server)
    }

    /// Whose lists which servers are to be told of because of an event: it let a user of this
    /// server into a room, or the first one of another.
    pub(super) async fn introductions(
        &self,
        room: &RoomSnapshot,
        event: &TimelineEvent,
    ) -> Result<BTreeMap<OwnedServerName, BTreeSet<OwnedUserId>>, SenderError> {
        let mut told: BTreeMap<OwnedServerName, BTreeSet<OwnedUserId>> = BTreeMap::new();
        for (user, is_by_resolution) in self.arrivals(room, event).await? {
            if user.server_name() == self.server_name {
                let others = self.rooms_before(room, event, &user).await?;
                for server in room.joined_servers.keys() {
                    let is_known = others.iter().any(|room| {
                        room.joined_servers.contains_key(server) && self.takes_part(room, server)
                    });
                    if !is_known && self.takes_part(room, server) {
                        told.entry(server.clone()).or_default().insert(user.clone());
                    }
                }
                continue;
            }
            let server = user.server_name();
            let places = room.joined_servers.get(server);
            let first = places.and_then(|places| places.get_min().copied());
            let is_new = first.is_some_and(|first| is_by_resolution || first >= event.pos);
            if is_new && self.takes_part(room, server) {
                let users = room.local_joined.iter().cloned();
                told.entry(server.to_owned()).or_default().extend(users);
            }
        }
        Ok(told)
    }

    /// Other rooms that a user of this server was in before an event, as far as they are in memory.
    /// A server that has come into one of them since has been introduced there.
    async fn rooms_before(
        &self,
        room: &RoomSnapshot,
        event: &TimelineEvent,
        user: &UserId,
    ) -> Result<Vec<Arc<RoomSnapshot>>, SenderError> {
        let at = event.at();
        let view = self.deps.sync.user(user).await?;
        let before = view.joined().filter(|member| {
            let since = member.since;
            member.room != room.no && since.node == at.node && since.seq < at.seq
        });
        let rooms = before.filter_map(|member| self.deps.sync.cached_room(member.room));
        Ok(rooms.take(MAX_ROOMS).collect())
    }

    /// Who came into a room with an event; and whether that is what a resolution of the room's state
    /// came to.
    async fn arrivals(
        &self,
        room: &RoomSnapshot,
        event: &TimelineEvent,
    ) -> Result<Vec<(OwnedUserId, bool)>, SenderError> {
        let mut users = Vec::new();
        if event.pos <= 0 {
            return Ok(users);
        }
        let of_members = |kind: &StateEventType| *kind == StateEventType::RoomMember;
        let delta = event.delta.iter().flatten();
        for change in delta.filter(|change| of_members(&change.kind.as_str().into())) {
            let user = OwnedUserId::try_from(change.state_key.as_str());
            users.extend(user.ok().map(|user| (user, true)));
        }
        let is_join = *event.pdu.kind() == TimelineEventType::RoomMember
            && event.is_shown()
            && membership_of(event) == MembershipState::Join;
        if is_join && let Some(user) = event.pdu.state_key() {
            let before = match event.replaces {
                Some(place) => self.event_at(room, place).await?,
                None => None,
            };
            let was_in = before.is_some_and(|it| membership_of(&it) == MembershipState::Join);
            let user = OwnedUserId::try_from(user).ok().filter(|_| !was_in);
            users.extend(user.map(|user| (user, false)));
        }
        users.retain(|(user, _)| room.is_joined(user));
        Ok(users)
    }

    /// Whose lists a server is to be told of that may have missed who came into a room since a
    /// place.
    pub(super) fn introductions_since<'a>(
        &self,
        room: &'a RoomSnapshot,
        server: &ServerName,
        since: i64,
    ) -> impl Iterator<Item = &'a OwnedUserId> {
        let places = room.joined_servers.get(server);
        let places = places.filter(|_| self.takes_part(room, server));
        let first = places.and_then(|places| places.get_min().copied());
        let came_later = move |user: &&OwnedUserId| {
            let held = room.get(&StateEventType::RoomMember, user.as_str());
            held.is_none_or(|held| held.pos >= since)
        };
        let locals = room.local_joined.iter().filter(move |_| first.is_some());
        locals.filter(move |user| first.is_some_and(|first| first >= since) || came_later(user))
    }
}
