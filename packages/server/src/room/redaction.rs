//! What a redaction does to the event that it names.

use std::sync::Arc;

use matryx_client::sync::Attachment;
use matryx_entity::{
    early_redaction::EarlyRedaction,
    event::{EventPointer, EventRow, aside_place, is_aside},
    key,
    log::LogEntry,
    pdu::Pdu,
    redact,
    room_no::RoomNo,
    room_versions,
    timeline::TimelineEvent,
};
use matryx_surrealdb::KeyRange;
use ruma::{EventId, events::TimelineEventType};

use super::{RoomError, Rooms, pipeline::Draft};

/// How many redactions of an event that comes after them are looked at.
const MAX_EARLY: usize = 1_000;

/// The target of a redaction that takes effect, in its redacted form.
pub(super) struct Redacted {
    row: EventRow,
    copy: Arc<TimelineEvent>,
    was_aside: bool,
}

impl Rooms {
    /// The stored event with this id, if it has a place in this room, and whether it lay aside
    /// before. Two point reads.
    pub(super) async fn event_in(
        &self,
        room: RoomNo,
        event_id: &EventId,
    ) -> Result<Option<(EventRow, bool)>, RoomError> {
        let pointer = self
            .store()
            .get::<EventPointer>(&key![event_id.as_str()])
            .await?;
        let Some(pointer) = pointer.filter(|pointer| pointer.room == room) else {
            return Ok(None);
        };
        let row = self.store().get(&key![pointer.room, pointer.pos]).await?;
        Ok(row.map(|row| (row, pointer.was_aside)))
    }
}

impl Draft<'_> {
    /// What a redaction takes the content of. `None` for any other event, for a target in another
    /// room or redacted already, and for a redaction that its sender may not make. Of a target that
    /// has no place yet it is remembered.
    pub(super) async fn redact_target(
        &mut self,
        pdu: &Pdu,
        pos: i64,
    ) -> Result<Option<Redacted>, RoomError> {
        if *pdu.kind() != TimelineEventType::RoomRedaction {
            return Ok(None);
        }
        let Some(target) = pdu.redacts() else {
            return Ok(None);
        };
        let snapshot = &self.head.snapshot;
        let room = snapshot.no;
        let found = self.rooms.event_in(room, target).await?;
        if found.as_ref().is_none_or(|(row, _)| is_aside(row.pos)) {
            self.plan.put(&EarlyRedaction {
                room,
                target: target.to_owned(),
                pos,
            });
        }
        let Some((row, was_aside)) = found.filter(|(row, _)| row.redacted_by.is_none()) else {
            return Ok(None);
        };
        let snapshot = &self.head.snapshot;
        let original = TimelineEvent::from_row(row.clone(), &snapshot.room_id)?;
        if !redact::may_redact(pdu, &original.pdu, snapshot) {
            return Ok(None);
        }
        let rules = room_versions::rules(&snapshot.version)?;
        let json = redact::redacted_json(&row.json, rules)?;
        let row = EventRow {
            json,
            redacted_by: Some(pos),
            ..row
        };
        let copy = TimelineEvent::from_row(row.clone(), &snapshot.room_id)?;
        Ok(Some(Redacted {
            row,
            copy,
            was_aside,
        }))
    }

    /// Takes the content of an event that was redacted before it came. One query, two if it was.
    pub(super) async fn redact_late(&self, event: &mut TimelineEvent) -> Result<(), RoomError> {
        let snapshot = &self.head.snapshot;
        let of_event = KeyRange::prefix(&key![snapshot.no, event.pdu.event_id().as_str()]);
        let early: Vec<EarlyRedaction> = self.rooms.store().range(of_event).await?;
        if early.is_empty() {
            return Ok(());
        }
        let places = early.iter().take(MAX_EARLY).map(|redaction| redaction.pos);
        let redactions = self.rooms.events_at(snapshot, places).await?;
        let effective = redactions
            .into_values()
            .filter(|redaction| !redaction.rejected && !redaction.soft_failed)
            .find(|redaction| redact::may_redact(&redaction.pdu, &event.pdu, snapshot));
        if let Some(redaction) = effective {
            event.redacted_by = Some(redaction.pos);
            let rules = room_versions::rules(&snapshot.version)?;
            *event = redact::redacted_copy(event, rules)?;
        }
        Ok(())
    }

    /// Takes the content of a redacted event, wherever it is kept.
    pub(super) fn write_redacted(&mut self, redacted: Redacted) {
        let Redacted {
            row,
            copy,
            was_aside,
        } = redacted;
        self.head.snapshot.replace_event(&copy);
        let entry = LogEntry::Redacted {
            room: row.room,
            pos: row.pos,
        };
        let attachment = Attachment::Redacted(copy);
        self.plan.log_with(entry, Arc::new(attachment));
        self.plan.put(&row);
        if was_aside {
            self.plan.put(&EventRow {
                pos: aside_place(&row.event_id),
                ..row
            });
        }
    }
}
