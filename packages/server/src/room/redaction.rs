//! What a redaction does to the event that it names.

use std::sync::Arc;

use matryx_entity::{
    event::{EventPointer, EventRow},
    key,
    pdu::Pdu,
    redact,
    room_no::RoomNo,
    room_versions,
    timeline::TimelineEvent,
};
use ruma::{EventId, events::TimelineEventType};

use super::{RoomError, Rooms, pipeline::Draft};

impl Rooms {
    /// The stored event with this id, if it has a place in this room. Two point reads.
    pub(super) async fn event_in(
        &self,
        room: RoomNo,
        event_id: &EventId,
    ) -> Result<Option<EventRow>, RoomError> {
        let pointer = self
            .store()
            .get::<EventPointer>(&key![event_id.as_str()])
            .await?;
        match pointer.filter(|pointer| pointer.room == room) {
            Some(pointer) => Ok(self.store().get(&key![pointer.room, pointer.pos]).await?),
            None => Ok(None),
        }
    }
}

impl Draft<'_> {
    /// The target of a redaction that takes effect, in its redacted form: the row to store and
    /// the copy for the caches. `None` for any other event, for a target that is unknown, in
    /// another room or redacted already, and for a redaction that its sender may not make.
    pub(super) async fn redact_target(
        &self,
        pdu: &Pdu,
        pos: i64,
    ) -> Result<Option<(EventRow, Arc<TimelineEvent>)>, RoomError> {
        if *pdu.kind() != TimelineEventType::RoomRedaction {
            return Ok(None);
        }
        let Some(target) = pdu.redacts() else {
            return Ok(None);
        };
        let snapshot = &self.head.snapshot;
        let row = self.rooms.event_in(snapshot.no, target).await?;
        let Some(row) = row.filter(|row| row.redacted_by.is_none()) else {
            return Ok(None);
        };
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
        Ok(Some((row, copy)))
    }
}
