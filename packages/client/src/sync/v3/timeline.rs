//! The `timeline` of one room: the newest events of the window that the user may see and wants.

use std::sync::Arc;

use matryx_entity::{
    event::EventRow,
    filter_match::passes_event,
    key,
    member::Member,
    room_snapshot::RoomSnapshot,
    timeline::TimelineEvent,
    token::{PageToken, SyncToken},
    visibility::Viewer,
};
use matryx_surrealdb::KeyRange;
use ruma::events::TimelineEventType;

use super::view::View;
use crate::sync::error::SyncError;

/// How many older events one query reads.
const PAGE: i64 = 100;

/// How many queries are made for one timeline at most: enough for any limit unless almost all of
/// the events are hidden or filtered out.
const MAX_PAGES: usize = 10;

/// What was found of one room.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The timeline, oldest first.
    pub(super) events: Vec<Arc<TimelineEvent>>,
    /// Whether events between the client's token and the first one are left out.
    pub(super) limited: bool,
    /// The place of the newest event that the response reflects.
    pub(super) last: i64,
    /// The events of the window, also those left out, oldest first; from the client's token on
    /// only if `whole`.
    pub(super) window: Vec<Arc<TimelineEvent>>,
    /// Whether `window` is all of it.
    pub(super) whole: bool,
}

/// Which stretch of a room's events.
#[derive(Clone, Copy)]
pub(super) struct Stretch<'a> {
    /// After this moment; none for an unlimited stretch.
    pub(super) from: Option<&'a SyncToken>,
    /// Up to this place.
    pub(super) to: i64,
}

impl Found {
    /// The place before the first event, where `/messages` goes on.
    pub(super) fn prev_batch(&self) -> String {
        self.events
            .first()
            .map_or(PageToken::Gap(self.last), |event| {
                PageToken::Gap(event.place_before())
            })
            .to_string()
    }

    pub(super) fn has(&self, pos: i64) -> bool {
        // Sorted by place, and short.
        self.events
            .binary_search_by_key(&pos, |event| event.pos)
            .is_ok()
    }
}

impl View<'_> {
    /// Finds the timeline: from memory if the recent events reach back far enough, otherwise with
    /// range reads from the newest event down.
    pub(super) async fn timeline(
        &self,
        room: &RoomSnapshot,
        member: &Member,
        stretch: Stretch<'_>,
    ) -> Result<Found, SyncError> {
        let mut walk = Walk {
            view: self,
            viewer: Viewer::new(&self.user.user, Some(member), room),
            stretch,
            limit: self.request.timeline_limit(),
            found: Found::default(),
            more: false,
            is_cut: false,
            reached: false,
            oldest: room.head + 1,
        };
        for event in room.recent.iter().rev() {
            walk.look_at(event);
        }
        let mut pages = 0;
        while walk.wants_older() && pages < MAX_PAGES {
            pages += 1;
            let last = walk.oldest - 1;
            let first = (last - PAGE + 1).max(1);
            let range = KeyRange::inclusive(&key![room.no, first], &key![room.no, last]);
            let rows: Vec<EventRow> = self.inner().store.range(range).await?;
            walk.oldest = first;
            for row in rows.into_iter().rev() {
                walk.look_at(&TimelineEvent::from_row(row, &room.room_id)?);
            }
        }
        Ok(walk.finish())
    }
}

/// A walk from the newest event to older ones.
struct Walk<'a> {
    view: &'a View<'a>,
    viewer: Viewer<'a>,
    stretch: Stretch<'a>,
    limit: usize,
    /// Newest first while walking.
    found: Found,
    /// There is an event too many, or history may be missing before the oldest one.
    more: bool,
    /// What is older is on the other side of a gap, which a client has to ask for first.
    is_cut: bool,
    /// An event from before the stretch was seen.
    reached: bool,
    /// The oldest place that was looked at.
    oldest: i64,
}

impl Walk<'_> {
    fn look_at(&mut self, event: &Arc<TimelineEvent>) {
        self.oldest = self.oldest.min(event.pos);
        let at = event.at();
        if event.pos > self.stretch.to || !self.view.now.covers(at) {
            return;
        }
        if self.found.last == 0 {
            self.found.last = event.pos;
        }
        if self.stretch.from.is_some_and(|from| from.covers(at)) {
            self.reached = true;
            return;
        }
        if !event.is_shown() {
            return;
        }
        self.found.window.push(Arc::clone(event));
        let wanted = (self.is_own_membership(event) || self.viewer.sees(event))
            && !self.view.ignores(event)
            && passes_event(&self.view.filter().room.timeline, event);
        if wanted && !self.is_cut && self.found.events.len() < self.limit {
            self.found.events.push(Arc::clone(event));
        } else if wanted {
            self.more = true;
        }
        if event.gap().is_some() {
            (self.is_cut, self.more) = (true, true);
        }
    }

    /// What happens to the user's own membership concerns them, also when they are outside: a ban
    /// that is lifted, say.
    fn is_own_membership(&self, event: &TimelineEvent) -> bool {
        *event.pdu.kind() == TimelineEventType::RoomMember
            && event.pdu.state_key() == Some(self.view.user.user.as_str())
    }

    fn wants_older(&self) -> bool {
        !self.more && !self.reached && self.oldest > 1
    }

    fn finish(mut self) -> Found {
        let at_start = self.oldest <= 1;
        self.found.whole = self.reached || at_start;
        self.found.limited = self.more || !self.found.whole;
        if self.stretch.from.is_none() && !self.found.limited {
            // A room that was joined over federation begins in the middle.
            let first = self.found.window.last();
            let begins = first.is_none_or(|event| {
                event.pos == 1 && *event.pdu.kind() != TimelineEventType::RoomCreate
            });
            self.found.limited = begins && self.limit > 0 && self.found.last > 0;
        }
        self.found.events.reverse();
        self.found.window.reverse();
        self.found
    }
}
