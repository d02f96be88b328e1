//! Unread counts, folded on read: nothing is written per event and user.
//!
//! A fold holds the events that notify one user in one room, as far as it has counted. A read
//! advances it over the events since, with the user's push rules, and leaves out what the user's
//! receipts cover. A cold fold looks at the newest [`MAX_LOOKED_AT`] events at most.

use std::{collections::BTreeMap, sync::Arc};

use matryx_entity::{
    event::EventRow, key, member::Member, position::Position, push::PushEvent, receipt::Receipt,
    room_snapshot::RoomSnapshot, timeline::TimelineEvent, visibility::Viewer,
};
use matryx_surrealdb::KeyRange;
use ruma::{OwnedEventId, events::room::member::MembershipState};
use serde::Deserialize;

use super::{cache::Weigh, engine::SyncEngine, error::SyncError, user_view::UserView};

/// How many unread events a fold remembers.
const MAX_FOLDED: usize = 1000;

/// How many events a cold fold looks at.
const MAX_LOOKED_AT: i64 = 1000;

/// The notifying events of one user in one room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fold {
    /// Up to which place events were looked at.
    counted_to: i64,
    /// Since when the rules hold that were applied: others make the fold start over.
    rules: Position,
    /// Oldest first.
    counted: Vec<Counted>,
}

#[derive(Clone, Debug)]
struct Counted {
    pos: i64,
    thread: Option<OwnedEventId>,
    highlight: bool,
}

impl Weigh for Fold {
    fn weigh(&self) -> u64 {
        (200 + self.counted.len() * 48) as u64
    }
}

/// How many unread events notify, and how many of these highlight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// `notification_count`.
    pub notifications: u64,
    /// `highlight_count`.
    pub highlights: u64,
}

/// The unread counts of one room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnreadCounts {
    /// Outside of threads.
    pub main: Unread,
    /// By the root of the thread.
    pub threads: BTreeMap<OwnedEventId, Unread>,
}

impl UnreadCounts {
    /// With all threads.
    pub fn total(&self) -> Unread {
        let mut total = self.main;
        for thread in self.threads.values() {
            total.notifications += thread.notifications;
            total.highlights += thread.highlights;
        }
        total
    }
}

/// How far a user has read a room.
struct Markers<'a> {
    /// What the join and unthreaded receipts cover, in every thread.
    all: i64,
    main: i64,
    threads: BTreeMap<&'a str, i64>,
}

impl<'a> Markers<'a> {
    fn new(member: &Member, receipts: impl Iterator<Item = &'a Arc<Receipt>>) -> Self {
        let joined_at = member
            .spans
            .iter()
            .rev()
            .find(|(_, membership)| *membership == MembershipState::Join)
            .map_or(member.pos, |(pos, _)| *pos);
        let mut markers = Self {
            all: joined_at,
            main: 0,
            threads: BTreeMap::new(),
        };
        for receipt in receipts {
            let marker = match receipt.thread.as_deref() {
                None => &mut markers.all,
                Some("main") => &mut markers.main,
                Some(root) => markers.threads.entry(root).or_default(),
            };
            *marker = receipt.pos.max(*marker);
        }
        markers
    }

    fn covers(&self, event: &Counted) -> bool {
        let marker = match &event.thread {
            None => self.main,
            Some(root) => self.threads.get(root.as_str()).copied().unwrap_or(0),
        };
        event.pos <= marker.max(self.all)
    }
}

impl SyncEngine {
    /// The unread counts of a joined user: from memory in the steady state.
    ///
    /// # Errors
    /// Receipts or events had to be read and could not be.
    pub async fn unread(
        &self,
        user: &UserView,
        room: &RoomSnapshot,
        member: &Member,
    ) -> Result<UnreadCounts, SyncError> {
        let receipts = self.receipts(room.no).await?;
        let markers = Markers::new(member, receipts.of(&user.user));
        let place = (user.user.clone(), room.no);
        let rules = user.account_data(None, "m.push_rules");
        let rules = rules.map(|data| data.at).unwrap_or_default();
        let known = self.inner.folds.get(&place);
        let known = known.filter(|fold| fold.rules == rules);
        if let Some(fold) = &known
            && fold.counted_to >= room.head
        {
            return Ok(fold.counts(&markers));
        }
        let mut fold = known.map_or_else(
            || Fold {
                counted_to: markers.all.max(room.head - MAX_LOOKED_AT),
                rules,
                counted: Vec::new(),
            },
            |fold| Fold::clone(&fold),
        );
        // What is read in every thread need not be looked at.
        fold.counted_to = fold.counted_to.max(markers.all);
        self.advance(&mut fold, user, room, member).await?;
        fold.forget_read(&markers);
        let counts = fold.counts(&markers);
        let counted_to = fold.counted_to;
        let keep = |known: &Fold| known.rules == rules && known.counted_to > counted_to;
        self.inner.folds.publish(&place, Arc::new(fold), keep);
        Ok(counts)
    }

    async fn advance(
        &self,
        fold: &mut Fold,
        user: &UserView,
        room: &RoomSnapshot,
        member: &Member,
    ) -> Result<(), SyncError> {
        let viewer = Viewer::new(&user.user, Some(member), room);
        let first = room.recent.front().map_or(room.head + 1, |event| event.pos);
        if fold.counted_to + 1 < first {
            let from = (fold.counted_to + 1).max(room.head - MAX_LOOKED_AT);
            let range = KeyRange::inclusive(&key![room.no, from], &key![room.no, first - 1]);
            for row in self.inner.store.range::<EventRow>(range).await? {
                let event = TimelineEvent::from_row(row, &room.room_id)?;
                fold.count(&event, user, room, &viewer);
            }
        }
        for event in &room.recent {
            if event.pos > fold.counted_to {
                fold.count(event, user, room, &viewer);
            }
        }
        fold.counted_to = fold.counted_to.max(room.head);
        Ok(())
    }
}

impl Fold {
    fn count(
        &mut self,
        event: &TimelineEvent,
        user: &UserView,
        room: &RoomSnapshot,
        viewer: &Viewer<'_>,
    ) {
        self.counted_to = event.pos;
        let sender = event.pdu.sender();
        if sender == user.user || user.ignored.contains(sender) || !viewer.sees(event) {
            return;
        }
        let outcome = PushEvent::new(&event.pdu, room).outcome(&user.user, &user.push_rules);
        if !outcome.notify {
            return;
        }
        if self.counted.len() == MAX_FOLDED {
            self.counted.remove(0);
        }
        self.counted.push(Counted {
            pos: event.pos,
            thread: thread_of(event),
            highlight: outcome.highlight,
        });
    }

    fn forget_read(&mut self, markers: &Markers<'_>) {
        self.counted.retain(|event| !markers.covers(event));
    }

    fn counts(&self, markers: &Markers<'_>) -> UnreadCounts {
        let mut counts = UnreadCounts::default();
        for event in self.counted.iter().filter(|event| !markers.covers(event)) {
            let unread = match &event.thread {
                None => &mut counts.main,
                Some(root) => counts.threads.entry(root.clone()).or_default(),
            };
            unread.notifications += 1;
            unread.highlights += u64::from(event.highlight);
        }
        counts
    }
}

/// The root of the thread that an event belongs to.
fn thread_of(event: &TimelineEvent) -> Option<OwnedEventId> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.relates_to")]
        relates_to: RelatesTo,
    }
    #[derive(Deserialize)]
    struct RelatesTo {
        rel_type: String,
        event_id: OwnedEventId,
    }
    // Most events relate to nothing; a look at the text is cheaper than a parse.
    if !event.pdu.content().get().contains("m.thread") {
        return None;
    }
    let relates_to = event.pdu.content_as::<Content>()?.relates_to;
    (relates_to.rel_type == "m.thread").then_some(relates_to.event_id)
}
