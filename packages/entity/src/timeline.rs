//! An event at its place in a room, as the caches hold it.

use std::sync::{Arc, LazyLock, OnceLock};

use ruma::{RoomId, events::TimelineEventType};

use crate::{
    event::{EventRow, Past, StateChange},
    pdu::{MalformedPdu, Pdu},
    position::Position,
    stretch::{FIRST_POS, Seam, Stretch},
};

/// The type of an event that says nothing: it refers to others, so that a room has fewer ends. Named
/// as Synapse names it, so that each server hides those of the other.
pub const DUMMY: &str = "org.matrix.dummy_event";

static DUMMY_TYPE: LazyLock<TimelineEventType> = LazyLock::new(|| DUMMY.into());

/// A stored event in memory: the parsed PDU and what its row says about it.
///
/// Shared by reference between the room's state, its recent timeline and every response.
#[derive(Debug)]
pub struct TimelineEvent {
    /// The event itself.
    pub pdu: Arc<Pdu>,
    /// Its place in the room; see [`EventRow::pos`].
    pub pos: i64,
    /// When it was committed; empty until then.
    pub at: OnceLock<Position>,
    /// Failed the auth rules.
    pub rejected: bool,
    /// Passed at its place but not against the current state.
    pub soft_failed: bool,
    /// The place of the redaction that took its content.
    pub redacted_by: Option<i64>,
    /// The state group after it.
    pub group: i64,
    /// The state group of the room after it, where that is another.
    pub head_group: Option<i64>,
    /// The place of the state event that it replaced.
    pub replaces: Option<i64>,
    /// How it changed the current state, where that is not the simple case.
    pub delta: Option<Vec<StateChange>>,
    /// What held around it, if it was fetched as history.
    pub past: Option<Box<Past>>,
    /// What came right before it is not all here; see [`EventRow::seam`].
    pub seam: Option<Seam>,
}

impl TimelineEvent {
    /// An accepted event that is about to be committed at `pos`.
    pub fn new(pdu: impl Into<Arc<Pdu>>, pos: i64, group: i64, replaces: Option<i64>) -> Self {
        Self {
            pdu: pdu.into(),
            pos,
            at: OnceLock::new(),
            rejected: false,
            soft_failed: false,
            redacted_by: None,
            group,
            head_group: None,
            replaces,
            delta: None,
            past: None,
            seam: None,
        }
    }

    /// Parses a row.
    ///
    /// # Errors
    /// The stored JSON is not a PDU: the database is damaged.
    pub fn from_row(row: EventRow, room_id: &RoomId) -> Result<Arc<Self>, MalformedPdu> {
        let pdu = Pdu::parse(row.event_id, room_id, row.json, row.rejected)?;
        Ok(Arc::new(Self {
            pdu: Arc::new(pdu),
            pos: row.pos,
            at: OnceLock::from(row.at),
            rejected: row.rejected,
            soft_failed: row.soft_failed,
            redacted_by: row.redacted_by,
            group: row.group,
            head_group: row.head_group,
            replaces: row.replaces,
            delta: row.delta,
            past: row.past,
            seam: row.seam,
        }))
    }

    /// When it was committed; position zero (before everything) for an event that is still on its
    /// way to the database.
    pub fn at(&self) -> Position {
        self.at.get().copied().unwrap_or_default()
    }

    /// Notes the position that the commit got. The first call counts.
    pub fn set_at(&self, at: Position) {
        self.at.get_or_init(|| at);
    }

    /// The history between this event and the one at the place below, if there can be any.
    pub fn gap(&self) -> Option<Stretch> {
        self.seam?;
        Stretch::before(self.pos).filter(|stretch| stretch.next_pos() != FIRST_POS)
    }

    /// The place of what comes before this event.
    pub fn place_before(&self) -> i64 {
        self.gap().map_or(self.pos.saturating_sub(1), Stretch::top)
    }

    /// May it ever be shown to a client?
    pub fn is_shown(&self) -> bool {
        !self.rejected && !self.soft_failed && !self.is_dummy()
    }

    fn is_dummy(&self) -> bool {
        self.pdu.state_key().is_none() && *self.pdu.kind() == *DUMMY_TYPE
    }
}
