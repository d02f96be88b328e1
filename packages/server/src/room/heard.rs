//! What users of other servers do in a room without an event: they type and read.

use std::{collections::HashMap, sync::Arc, time::Duration};

use matryx_client::sync::Attachment;
use matryx_entity::{
    log::LogEntry, position::Position, receipt::Receipt, room_snapshot::RoomSnapshot,
    timeline::TimelineEvent,
};
use matryx_surrealdb::Plan;
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, ServerName, UInt, UserId,
    api::federation::transactions::edu::ReceiptData, events::receipt::ReceiptType,
};

use super::{RoomError, Rooms};

/// How long a user of another server types without a further word. Servers repeat it more often.
const TYPING: Duration = Duration::from_mins(1);

/// The most events that one receipt names.
const MAX_NAMED: usize = 8;

impl Rooms {
    /// Notes that a user of another server types, or no longer does. Nothing is stored.
    pub fn receive_typing(&self, room: &RoomSnapshot, user: &UserId, types: bool) {
        let lasts = UInt::try_from(TYPING.as_millis()).unwrap_or_default();
        let until = MilliSecondsSinceUnixEpoch(self.clock().now().get().saturating_add(lasts));
        let until = types.then_some(until);
        self.sync().typing().set(room.no, user, until);
    }

    /// Moves the receipts of users of `origin` in a room. At most one query, and one commit if any
    /// of them moves. Receipts for events that are not here are ignored.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn receive_receipts(
        &self,
        room: &RoomSnapshot,
        origin: &ServerName,
        receipts: Vec<(OwnedUserId, ReceiptData)>,
    ) -> Result<(), RoomError> {
        let _turn = self.inner.read_turns.turn(origin.as_bytes()).await;
        let events = self.named_events(room, &receipts).await?;
        let known = self.sync().receipts(room.no).await?;
        let mut plan = Plan::new();
        for (
            user,
            ReceiptData {
                data, event_ids, ..
            },
        ) in receipts
        {
            let named = event_ids.iter().take(MAX_NAMED);
            let newest = named
                .filter_map(|id| events.get(id))
                .max_by_key(|it| it.pos);
            let Some(event) = newest else { continue };
            let receipt = Receipt {
                room: room.no,
                user,
                kind: ReceiptType::Read,
                thread: data.thread.as_str().map(str::to_owned),
                event_id: event.pdu.event_id().to_owned(),
                pos: event.pos,
                ts: data.ts.unwrap_or_else(|| self.clock().now()),
                at: Position::default(),
            };
            let earlier = known.get(&receipt.user, &receipt.kind, receipt.thread.as_deref());
            if !receipt.advances(earlier.map(|earlier| &**earlier)) {
                continue;
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
        }
        if !plan.is_empty() {
            self.store().commit(plan).await?;
        }
        Ok(())
    }

    async fn named_events(
        &self,
        room: &RoomSnapshot,
        receipts: &[(OwnedUserId, ReceiptData)],
    ) -> Result<HashMap<OwnedEventId, Arc<TimelineEvent>>, RoomError> {
        let recent = room.recent.iter();
        let recent: HashMap<&EventId, &Arc<TimelineEvent>> =
            recent.map(|event| (event.pdu.event_id(), event)).collect();
        let mut events = HashMap::new();
        let mut missing = Vec::new();
        let named = receipts
            .iter()
            .flat_map(|(_, data)| data.event_ids.iter().take(MAX_NAMED));
        for id in named {
            match recent.get(&**id) {
                Some(event) => {
                    events.insert(id.clone(), Arc::clone(event));
                }
                None => missing.push(id.clone()),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        for event in self.events_by_id(room, &missing).await? {
            events.insert(event.pdu.event_id().to_owned(), event);
        }
        Ok(events)
    }
}
