//! Marking how far a user has read: receipts for others and for the unread counts, and the
//! fully-read marker, which is account data of the room.
//!
//! Each only moves forward. What refers to an event that the room does not have is ignored, as a
//! client may be ahead of what was accepted.

use std::sync::Arc;

use matryx_client::sync::Attachment;
use matryx_entity::{
    account_data::AccountData, log::LogEntry, position::Position, receipt::Receipt,
    timeline::TimelineEvent,
};
use matryx_surrealdb::Plan;
use ruma::{
    EventId, OwnedEventId, RoomId,
    events::receipt::{ReceiptThread, ReceiptType},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

use super::{RoomError, Rooms, view::View};
use crate::caller::Requester;

/// The account data that holds the fully-read marker.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#fully-read-markers)
const FULLY_READ: &str = "m.fully_read";

/// How far the relation of an event is followed to the thread that it belongs to.
const MAX_RELATIONS: usize = 3;

/// How many users may move their markers at a time, about.
const TURNS: usize = 64;

/// One marker to move.
#[derive(Clone, Debug)]
pub enum ReadMark {
    /// A receipt, public or private, of the room or one of its threads.
    Receipt {
        /// `m.read` or `m.read.private`.
        kind: ReceiptType,
        /// The thread.
        thread: ReceiptThread,
        /// Up to here.
        event_id: OwnedEventId,
    },
    /// The fully-read marker.
    FullyRead(OwnedEventId),
}

impl ReadMark {
    /// The marker that the endpoint for receipts names.
    ///
    /// # Errors
    /// 400 for a kind that is none, and for a thread of the fully-read marker, which has none.
    pub fn named(
        kind: &str,
        thread: ReceiptThread,
        event_id: OwnedEventId,
    ) -> Result<Self, RoomError> {
        match kind {
            FULLY_READ if thread != ReceiptThread::Unthreaded => Err(RoomError::InvalidParam(
                "thread_id is not compatible with m.fully_read".to_owned(),
            )),
            FULLY_READ => Ok(Self::FullyRead(event_id)),
            "m.read" | "m.read.private" => Ok(Self::Receipt {
                kind: ReceiptType::from(kind),
                thread,
                event_id,
            }),
            _ => Err(RoomError::InvalidParam(format!(
                "`{kind}` is no receipt type"
            ))),
        }
    }

    /// A public receipt of the whole room.
    pub fn public(event_id: OwnedEventId) -> Self {
        Self::Receipt {
            kind: ReceiptType::Read,
            thread: ReceiptThread::Unthreaded,
            event_id,
        }
    }

    /// A private receipt of the whole room.
    pub fn private(event_id: OwnedEventId) -> Self {
        Self::Receipt {
            kind: ReceiptType::ReadPrivate,
            thread: ReceiptThread::Unthreaded,
            event_id,
        }
    }
}

/// Keeps two requests of one user from each seeing the marker before the other's move: whoever
/// holds the user's turn reads the marker, commits, and is sure that it did not move meanwhile.
/// An async mutex, since it is held over a commit.
#[derive(Debug)]
pub(super) struct ReadTurns(Vec<Mutex<()>>);

impl Default for ReadTurns {
    fn default() -> Self {
        Self((0..TURNS).map(|_| Mutex::default()).collect())
    }
}

impl ReadTurns {
    /// A turn for whatever has this name: a user of this server, or another server with all of its
    /// users.
    pub(super) async fn turn(&self, name: &[u8]) -> Option<MutexGuard<'_, ()>> {
        let sum = name.iter().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
        });
        match self.0.get(sum % TURNS) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }
}

impl Rooms {
    /// Moves a user's markers in a room. One commit, if any of them moves.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#receipts)
    ///
    /// # Errors
    /// 403 for somebody who is not in the room; 400 for a thread that the event is not part of.
    pub async fn mark_read(
        &self,
        reader: &Requester,
        room_id: &RoomId,
        marks: Vec<ReadMark>,
    ) -> Result<(), RoomError> {
        let _turn = self.inner.read_turns.turn(reader.user_id.as_bytes()).await;
        let view = self.joined_view(room_id, &reader.user_id).await?;
        let mut plan = Plan::new();
        for mark in marks {
            match mark {
                ReadMark::Receipt {
                    kind,
                    thread,
                    event_id,
                } => {
                    self.plan_receipt(&view, &mut plan, kind, &thread, &event_id)
                        .await?;
                }
                ReadMark::FullyRead(event_id) => {
                    self.plan_fully_read(&view, &mut plan, &event_id).await?;
                }
            }
        }
        if !plan.is_empty() {
            self.store().commit(plan).await?;
        }
        Ok(())
    }

    async fn plan_receipt(
        &self,
        view: &View,
        plan: &mut Plan,
        kind: ReceiptType,
        thread: &ReceiptThread,
        event_id: &EventId,
    ) -> Result<(), RoomError> {
        if !matches!(
            thread,
            ReceiptThread::Unthreaded | ReceiptThread::Main | ReceiptThread::Thread(_)
        ) {
            return Err(RoomError::InvalidParam(
                "thread_id must be `main` or an event id".to_owned(),
            ));
        }
        let room = &view.room;
        let Some(event) = self.event_by_id(room, event_id).await? else {
            return Ok(());
        };
        if !self.is_in_thread(view, &event, thread).await? {
            return Err(RoomError::InvalidParam(format!(
                "{event_id} is not related to the thread {}",
                thread.as_str().unwrap_or_default()
            )));
        }
        let receipt = Receipt {
            room: room.no,
            user: view.user.user.clone(),
            kind,
            thread: thread.as_str().map(str::to_owned),
            event_id: event_id.to_owned(),
            pos: event.pos,
            ts: self.clock().now(),
            at: Position::default(),
        };
        let receipts = self.sync().receipts(room.no).await?;
        let earlier = receipts.get(&receipt.user, &receipt.kind, receipt.thread.as_deref());
        if !receipt.advances(earlier.map(|earlier| &**earlier)) {
            return Ok(());
        }
        let entry = LogEntry::Receipt {
            room: room.no,
            user: receipt.user.clone(),
            kind: receipt.kind.to_string(),
            thread: receipt.thread.clone(),
        };
        let receipt = Arc::new(receipt);
        let at = plan.log_with(entry, Arc::new(Attachment::Receipt(Arc::clone(&receipt))));
        plan.put_stamped(&*receipt, at);
        Ok(())
    }

    async fn plan_fully_read(
        &self,
        view: &View,
        plan: &mut Plan,
        event_id: &EventId,
    ) -> Result<(), RoomError> {
        #[derive(Serialize, Deserialize)]
        struct Content {
            event_id: OwnedEventId,
        }
        let room = &view.room;
        let Some(event) = self.event_by_id(room, event_id).await? else {
            return Ok(());
        };
        let marked = view
            .user
            .account_data(Some(&room.room_id), FULLY_READ)
            .and_then(|data| serde_json::from_str::<Content>(&data.content).ok());
        if let Some(Content { event_id: marked }) = marked
            && let Some(marked) = self.event_by_id(room, &marked).await?
            && marked.pos >= event.pos
        {
            return Ok(());
        }
        let content = Content {
            event_id: event_id.to_owned(),
        };
        let content = serde_json::to_string(&content)
            .map_err(|error| RoomError::InvalidParam(error.to_string()))?;
        let data = Arc::new(AccountData {
            user: view.user.user.clone(),
            room: Some(room.room_id.clone()),
            kind: FULLY_READ.to_owned(),
            content,
            at: Position::default(),
        });
        let entry = LogEntry::AccountData {
            user: data.user.clone(),
            room: data.room.clone(),
            kind: data.kind.clone(),
        };
        let at = plan.log_with(entry, Arc::new(Attachment::AccountData(Arc::clone(&data))));
        plan.put_stamped(&*data, at);
        Ok(())
    }

    /// Does a receipt for this event make sense in a thread? In the thread's own events, its root,
    /// and what relates to them; in `main`, everything that is in no thread.
    async fn is_in_thread(
        &self,
        view: &View,
        event: &Arc<TimelineEvent>,
        thread: &ReceiptThread,
    ) -> Result<bool, RoomError> {
        let mut event = Arc::clone(event);
        for _ in 0..=MAX_RELATIONS {
            let relation = relation(&event);
            let in_thread = relation
                .as_ref()
                .filter(|relation| relation.is_thread)
                .map(|relation| &relation.event_id);
            match thread {
                ReceiptThread::Main if in_thread.is_some() => return Ok(false),
                ReceiptThread::Thread(root)
                    if event.pdu.event_id() == root || in_thread == Some(root) =>
                {
                    return Ok(true);
                }
                ReceiptThread::Main | ReceiptThread::Thread(_) => {}
                _ => return Ok(true),
            }
            let Some(relation) = relation else { break };
            match self.event_by_id(&view.room, &relation.event_id).await? {
                Some(related) => event = related,
                None => break,
            }
        }
        Ok(*thread == ReceiptThread::Main)
    }
}

struct Relation {
    event_id: OwnedEventId,
    is_thread: bool,
}

/// What an event relates to, if it does.
fn relation(event: &TimelineEvent) -> Option<Relation> {
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
    let RelatesTo { rel_type, event_id } = event.pdu.content_as::<Content>()?.relates_to;
    Some(Relation {
        is_thread: rel_type == "m.thread",
        event_id,
    })
}
