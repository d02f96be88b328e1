//! What `device_lists` is computed from: the rooms of a reader, who came and went in them, and
//! whose keys changed. From memory where the log is remembered, otherwise from the tables.
//!
//! What is reported may be ahead of the moment that a response covers, and is reported again then;
//! it is never behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use matryx_entity::{
    device_list::DeviceList,
    device_lists::{DeviceLists, RoomWindow, SharedRoom, device_lists},
    key,
    key_signature::KeySignature,
    member::Member,
    member_delta::MemberDelta,
    position::Position,
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
    stored::Key,
    token::SyncToken,
};
use matryx_surrealdb::{KeyRange, StoreError};
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use super::{
    engine::SyncEngine, error::SyncError, follower::read_many, index::Change, user_view::UserView,
    v3::PATIENCE,
};

/// What the log says about keys and about who shares what, as far as it concerns one reader.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Whose keys changed, whoever they are.
    renewed: BTreeSet<OwnedUserId>,
    /// Whose keys the reader signed.
    signed: BTreeSet<OwnedUserId>,
    deltas: BTreeMap<RoomNo, Vec<Arc<MemberDelta>>>,
}

impl News {
    pub(crate) fn of(changes: &[(Position, Change)], reader: &UserView) -> Self {
        let mut news = Self::default();
        for (_, change) in changes {
            match change {
                Change::Device { user } => {
                    news.renewed.insert(user.clone());
                }
                Change::Signed { user, targets } if *user == reader.user => {
                    news.signed.extend(targets.iter().cloned());
                }
                Change::Event {
                    room,
                    delta: Some(delta),
                    ..
                } if reader.member(*room).is_some() => {
                    news.deltas
                        .entry(*room)
                        .or_default()
                        .push(Arc::clone(delta));
                }
                _ => {}
            }
        }
        news.deltas.retain(|room, deltas| {
            // Entries of several logs come one log after the other.
            deltas.sort_by_key(|delta| delta.pos);
            reader.membership(*room) == MembershipState::Join
                || deltas.iter().any(|delta| delta.left.contains(&reader.user))
        });
        news
    }

    fn is_empty(&self) -> bool {
        self.renewed.is_empty() && self.signed.is_empty() && self.deltas.is_empty()
    }
}

impl SyncEngine {
    /// Whose devices changed for a user since a moment, and whom the user no longer shares an
    /// encrypted room with. From memory if the moment is some thousand log entries ago at most;
    /// else a query for each room that moved on, and some for the users in these rooms.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3keyschanges)
    ///
    /// # Errors
    /// What had to be read could not be.
    pub async fn device_lists(
        &self,
        user: &UserId,
        since: &SyncToken,
    ) -> Result<DeviceLists, SyncError> {
        let reader = self.user(user).await?;
        let remembered = self.inner.index.read().changes_after(since);
        let news = remembered.map(|changes| News::of(&changes, &reader));
        self.device_lists_of(&reader, since, news).await
    }

    /// Like [`SyncEngine::device_lists`], for a view and what is remembered at its moment.
    pub(crate) async fn device_lists_of(
        &self,
        reader: &UserView,
        since: &SyncToken,
        remembered: Option<News>,
    ) -> Result<DeviceLists, SyncError> {
        let Some(news) = remembered else {
            return self.device_lists_from_tables(reader, since).await;
        };
        if news.is_empty() {
            return Ok(DeviceLists::default());
        }
        let mut rooms = self.rooms_of(reader).await?;
        for room in news.deltas.keys() {
            if reader.membership(*room) != MembershipState::Join {
                rooms.extend(self.room(*room).await?);
            }
        }
        // The rooms are as new as what is remembered of them, or older.
        self.reach(&rooms).await?;
        let remembered = self.inner.index.read().changes_after(since);
        let Some(changes) = remembered else {
            return self.device_lists_from_tables(reader, since).await;
        };
        let mut news = News::of(&changes, reader);
        let windows: Vec<_> = rooms
            .into_iter()
            .map(|room| {
                let mut deltas = news.deltas.remove(&room.no).unwrap_or_default();
                deltas.retain(|delta| delta.pos <= room.head);
                RoomWindow { room, deltas }
            })
            .collect();
        Ok(lists(reader, &windows, &news.renewed, &news.signed))
    }

    async fn device_lists_from_tables(
        &self,
        reader: &UserView,
        since: &SyncToken,
    ) -> Result<DeviceLists, SyncError> {
        let mut rooms = self.rooms_of(reader).await?;
        let left = |member: &&Arc<Member>| {
            member.membership != MembershipState::Join && !since.covers(member.since)
        };
        for member in reader.members.values().filter(left) {
            rooms.extend(self.room(member.room).await?);
        }
        let mut windows = Vec::with_capacity(rooms.len());
        for room in rooms {
            let deltas = self.deltas_since(&room, since).await?;
            windows.push(RoomWindow { room, deltas });
        }
        let renewed = self.renewed_since(reader, &windows, since).await?;
        let signatures = KeyRange::prefix(&key![reader.user.as_str()]);
        let signatures = self.inner.store.range::<KeySignature>(signatures).await?;
        let signed = signatures
            .into_iter()
            .filter(|signature| !since.covers(signature.at))
            .map(|signature| signature.target)
            .collect();
        Ok(lists(reader, &windows, &renewed, &signed))
    }

    /// The rooms that the reader is joined to.
    async fn rooms_of(&self, reader: &UserView) -> Result<Vec<Arc<RoomSnapshot>>, SyncError> {
        let mut rooms = Vec::new();
        for member in reader.joined() {
            rooms.extend(self.room(member.room).await?);
        }
        Ok(rooms)
    }

    /// Waits until all that the rooms show was applied: a room that was read from the database may
    /// be ahead.
    async fn reach(&self, rooms: &[Arc<RoomSnapshot>]) -> Result<(), SyncError> {
        let inner = &self.inner;
        let reached = async {
            loop {
                let progress = inner.progress.notified();
                {
                    let index = inner.index.read();
                    if rooms.iter().all(|room| is_covered(room, index.applied())) {
                        return;
                    }
                }
                progress.await;
            }
        };
        tokio::time::timeout(PATIENCE, reached)
            .await
            .or(Err(SyncError::Store(StoreError::Unavailable {
                reason: "the sync engine is behind the database".into(),
            })))
    }

    /// Who came and went in a room since a moment: one query, or none if nothing happened there.
    async fn deltas_since(
        &self,
        room: &RoomSnapshot,
        since: &SyncToken,
    ) -> Result<Vec<Arc<MemberDelta>>, SyncError> {
        if is_covered(room, since) {
            return Ok(Vec::new());
        }
        let known = |at: &Position| since.covers(*at);
        let recent = room.recent.iter().rev();
        let first = recent
            .filter(|event| event.at.get().is_some_and(known))
            .map(|event| event.pos + 1)
            .next();
        let range = KeyRange::inclusive(
            &key![room.no, first.unwrap_or_default()],
            &key![room.no, room.head],
        );
        let rows = self.inner.store.range::<MemberDelta>(range).await?;
        let news = rows.into_iter().filter(|delta| !since.covers(delta.at));
        Ok(news.map(Arc::new).collect())
    }

    /// Whose keys changed since a moment, of all who are in these rooms.
    async fn renewed_since(
        &self,
        reader: &UserView,
        windows: &[RoomWindow<Arc<RoomSnapshot>>],
        since: &SyncToken,
    ) -> Result<BTreeSet<OwnedUserId>, SyncError> {
        let mut users = BTreeSet::from([reader.user.clone()]);
        for window in windows {
            users.extend(SharedRoom::joined(&*window.room));
        }
        let keys: Vec<Key> = users.iter().map(|user| DeviceList::key_of(user)).collect();
        let rows = read_many::<DeviceList>(&self.inner.store, &keys).await?;
        let news = rows.into_iter().flatten();
        Ok(news
            .filter(|list| !since.covers(list.at))
            .map(|list| list.user)
            .collect())
    }
}

/// Is the newest event of a room at or before a moment?
fn is_covered(room: &RoomSnapshot, moment: &SyncToken) -> bool {
    let newest = room.recent.back().and_then(|event| event.at.get());
    newest.is_none_or(|at| moment.covers(*at))
}

fn lists(
    reader: &UserView,
    windows: &[RoomWindow<Arc<RoomSnapshot>>],
    renewed: &BTreeSet<OwnedUserId>,
    signed: &BTreeSet<OwnedUserId>,
) -> DeviceLists {
    let mut lists = device_lists(&reader.user, windows, renewed);
    let signed = signed.iter().filter(|user| !lists.left.contains(*user));
    lists.changed.extend(signed.cloned().collect::<Vec<_>>());
    lists
}
