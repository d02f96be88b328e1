//! Events as the response carries them.

use std::{collections::HashMap, sync::Arc};

use matryx_entity::{
    client_event::{Form, Unsigned, to_federation_raw, to_raw},
    member::Member,
    room_snapshot::RoomSnapshot,
    timeline::TimelineEvent,
    token::PageToken,
    visibility::Viewer,
};
use ruma::{
    api::client::{
        filter::EventFormat,
        sync::sync_events::v3::{State, StateEvents, Timeline},
    },
    serde::Raw,
};

use super::{timeline::Found, view::View};
use crate::sync::{error::SyncError, fields::select_fields};

impl View<'_> {
    /// The timeline with what each event's `unsigned` says to this reader.
    pub(super) async fn render_timeline(
        &self,
        room: &RoomSnapshot,
        member: &Member,
        found: &Found,
    ) -> Result<Timeline, SyncError> {
        let mut timeline = Timeline::new();
        timeline.limited = found.limited;
        timeline.prev_batch = Some(found.prev_batch());
        let mentioned: Vec<i64> = found
            .events
            .iter()
            .flat_map(|event| [event.replaces, event.redacted_by])
            .flatten()
            .collect();
        let mut others = if mentioned.is_empty() {
            HashMap::new()
        } else {
            self.engine.events_at(room, &mentioned).await?
        };
        let viewer = Viewer::new(&self.user.user, Some(member), room);
        for other in others.values_mut() {
            *other = self.engine.form_for(&viewer, room, other)?;
        }
        let events = found.events.iter().map(|event| {
            let event = self.engine.form_for(&viewer, room, event)?;
            Ok(self.render_event(&viewer, &event, &others))
        });
        timeline.events = events.collect::<Result<_, SyncError>>()?;
        Ok(timeline)
    }

    /// State events in the form that the request wants.
    pub(super) fn render_state(&self, events: &[Arc<TimelineEvent>]) -> State {
        let unsigned = Unsigned::at(self.clock);
        let events: Vec<_> = events
            .iter()
            .map(|event| self.in_format(event, &unsigned))
            .collect();
        let events = StateEvents::with_events(events);
        if self.request.use_state_after {
            State::After(events)
        } else {
            State::Before(events)
        }
    }

    /// The `prev_batch` of a room without new events.
    pub(super) fn after_newest(&self, room: &RoomSnapshot) -> String {
        let mut recent = room.recent.iter().rev();
        let newest = recent.find(|event| self.now.covers(event.at()));
        PageToken::Gap(newest.map_or(room.head, |event| event.pos)).to_string()
    }

    fn render_event<T>(
        &self,
        viewer: &Viewer<'_>,
        event: &TimelineEvent,
        others: &HashMap<i64, Arc<TimelineEvent>>,
    ) -> Raw<T> {
        let transaction_id = self.inner().transactions.id_for(
            event.pdu.event_id(),
            &self.user.user,
            self.request.device_id.as_deref(),
        );
        let other = |pos: Option<i64>| others.get(&pos?).map(AsRef::as_ref);
        let membership = viewer.membership_at(event);
        let unsigned = Unsigned {
            now: self.clock,
            transaction_id: transaction_id.as_deref(),
            membership: Some(&membership),
            replaced: other(event.replaces).filter(|replaced| viewer.sees(replaced)),
            redacted_because: other(event.redacted_by),
        };
        self.in_format(event, &unsigned)
    }

    fn in_format<T>(&self, event: &TimelineEvent, unsigned: &Unsigned<'_>) -> Raw<T> {
        if self.filter().event_format == EventFormat::Federation {
            return to_federation_raw(event);
        }
        let raw = to_raw(event, Form::Sync, unsigned);
        match &self.filter().event_fields {
            Some(fields) => select_fields(raw, fields),
            None => raw,
        }
    }
}
