//! Forward extremities, kept few: each of them is one more state to resolve for every event that
//! comes in.

use matryx_entity::{build::EventTemplate, power::Power, room_no::RoomNo};
use matryx_surrealdb::StoreError;
use ruma::events::TimelineEventType;

use super::{
    RoomError, Rooms,
    decision::{Intent, policy_for},
    in_flight,
    pipeline::Draft,
};

/// How many forward extremities a room may have before they are merged; as many as Synapse allows.
const MAX_EXTREMITIES: usize = 10;

/// How many users are tried for one who may send the event that merges.
const MAX_SENDERS: usize = 10;

impl Rooms {
    /// Does a room have too many forward extremities?
    ///
    /// # Errors
    /// The room can't be read.
    pub async fn is_frayed(&self, room: RoomNo) -> Result<bool, RoomError> {
        let room = self.sync().room(room).await?;
        Ok(room.is_some_and(|room| room.extremities.len() > MAX_EXTREMITIES))
    }

    /// Refers to all forward extremities with an event that says nothing, if there are too many.
    ///
    /// # Errors
    /// The room can't be read or written to. Nobody here being allowed to speak is none.
    pub async fn merge_extremities(&self, room: RoomNo) -> Result<(), RoomError> {
        let turn = self.turn(room).await?;
        let Some(head) = turn.clone() else {
            return Err(RoomError::Busy);
        };
        if head.snapshot.extremities.len() <= MAX_EXTREMITIES {
            return Ok(());
        }
        if !in_flight::succeeded(head.outcome.clone()).await {
            return Err(StoreError::Conflict { room }.into());
        }
        let users: Vec<_> = head.snapshot.local_joined.iter().cloned().collect();
        for user in users.iter().take(MAX_SENDERS) {
            let template = EventTemplate {
                kind: TimelineEventType::from(matryx_entity::timeline::DUMMY),
                state_key: None,
                content: EventTemplate::content_of(&serde_json::json!({}))?,
                redacts: None,
            };
            let may_send = Power::of(&head.snapshot)
                .is_some_and(|power| power.may_send(user, &template.kind, None));
            let intent = Intent::new(user, template);
            if let Some(policy) = policy_for(&head.snapshot, &intent).filter(|_| may_send) {
                let sent = self.send_by_policy(policy, (head, turn), None, intent);
                return Box::pin(sent).await.map(drop);
            }
            let mut draft = Draft::new(self, head.clone());
            match draft.add(intent, None).await {
                Ok(_) => {
                    let landing = draft.take_off();
                    return Ok(draft.commit(turn, landing).await?);
                }
                Err(RoomError::Unauthorized(_)) => {}
                Err(error) => return Err(error),
            }
        }
        tracing::warn!(room = %head.snapshot.room_id, "nobody here may merge the room's branches");
        Ok(())
    }
}
