//! Events in the form that one reader gets them.

use std::{collections::HashMap, sync::Arc};

use matryx_entity::{
    client_event::{self, Form, Unsigned},
    timeline::TimelineEvent,
};
use ruma::{DeviceId, serde::Raw};

use super::{RoomError, Rooms, view::View};

impl Rooms {
    /// Events as this user's device gets them, in the same order. One query if one of them
    /// replaced a state event, or was redacted, that is not at hand.
    pub(super) async fn render<T>(
        &self,
        view: &View,
        device: Option<&DeviceId>,
        events: &[Arc<TimelineEvent>],
    ) -> Result<Vec<Raw<T>>, RoomError> {
        let mut referred = self.referred(view, events).await?;
        let viewer = view.viewer();
        for event in referred.values_mut() {
            *event = self.sync().form_for(&viewer, &view.room, event)?;
        }
        let now = self.clock().now();
        let rendered = events.iter().map(|event| {
            let event = self.sync().form_for(&viewer, &view.room, event)?;
            let find =
                |pos: Option<i64>| pos.and_then(|pos| referred.get(&pos)).map(|event| &**event);
            let transaction_id =
                self.sync()
                    .transaction_id(event.pdu.event_id(), &view.user.user, device);
            let unsigned = Unsigned {
                now,
                transaction_id: transaction_id.as_deref(),
                membership: Some(&viewer.membership_at(&event)),
                replaced: find(event.replaces).filter(|replaced| viewer.sees(replaced)),
                redacted_because: find(event.redacted_by),
            };
            Ok(client_event::to_raw(&event, Form::Full, &unsigned))
        });
        rendered.collect()
    }

    /// State events, of which nobody asks what they replaced.
    pub(super) fn render_state<'a, T>(
        &self,
        events: impl IntoIterator<Item = &'a Arc<TimelineEvent>>,
    ) -> Vec<Raw<T>> {
        let unsigned = Unsigned::at(self.clock().now());
        let events = events.into_iter();
        events
            .map(|event| client_event::to_raw(event, Form::Full, &unsigned))
            .collect()
    }

    /// The events that these replaced or were redacted by, by place.
    async fn referred(
        &self,
        view: &View,
        events: &[Arc<TimelineEvent>],
    ) -> Result<HashMap<i64, Arc<TimelineEvent>>, RoomError> {
        let mut places: Vec<i64> = events
            .iter()
            .flat_map(|event| [event.replaces, event.redacted_by])
            .flatten()
            .collect();
        places.sort_unstable();
        places.dedup();
        let mut at_hand: HashMap<i64, Arc<TimelineEvent>> = HashMap::new();
        for event in events {
            if places.binary_search(&event.pos).is_ok() {
                at_hand.insert(event.pos, Arc::clone(event));
            }
        }
        places.retain(|pos| !at_hand.contains_key(pos));
        if !places.is_empty() {
            at_hand.extend(self.events_at(&view.room, places).await?);
        }
        Ok(at_hand)
    }
}
