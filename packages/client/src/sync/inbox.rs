//! The messages that wait for one device.
//!
//! They lie in the order of their keys, which is that of each log. A device has the messages up to
//! some position of each log; its token says so. What its next token covers is removed, and nothing
//! before: who asks twice with the same token gets the same messages twice.

use std::sync::Arc;

use imbl::OrdMap;
use matryx_entity::{
    position::{NodeNo, Position},
    stored::Key,
    to_device::ToDeviceMessage,
    token::SyncToken,
};
use matryx_surrealdb::KeyRange;
use ruma::{OwnedDeviceId, OwnedUserId};

use super::{cache::Weigh, engine::SyncEngine, error::SyncError};

/// The most messages of one response.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging)
pub(crate) const MAX_PAGE: usize = 100;

/// The most messages of one device that are kept in memory; the rest is read when it is their turn.
const MAX_KEPT: usize = 400;

/// A device of a user.
pub(crate) type DeviceName = (OwnedUserId, OwnedDeviceId);

/// The messages for one device at one moment. Immutable; shares structure with the one before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox {
    /// By node and sequence number of their log entries.
    waiting: OrdMap<(NodeNo, u64), Arc<ToDeviceMessage>>,
    /// There may be more messages after the last one.
    is_cut: bool,
    bytes: u64,
}

/// Messages for one response.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) messages: Vec<Arc<ToDeviceMessage>>,
    /// The token of the response: up to where the device has its messages then.
    pub(crate) token: SyncToken,
}

impl Inbox {
    /// Adds a message, unless it is here.
    pub(crate) fn insert(&mut self, at: Position, message: Arc<ToDeviceMessage>) {
        let key = (at.node, at.seq);
        let is_after_the_last = self.waiting.get_max().is_none_or(|(last, _)| *last < key);
        if self.is_cut && is_after_the_last {
            return;
        }
        self.bytes += weight_of(&message);
        if let Some(known) = self.waiting.insert(key, message) {
            self.bytes -= weight_of(&known);
        }
        while self.waiting.len() > MAX_KEPT
            && let Some((last, _)) = self.waiting.get_max().cloned()
        {
            self.is_cut = true;
            self.take(last);
        }
    }

    /// What a device that has a token is given next, of what was committed at `now`. `next` is the
    /// moment of the response.
    pub(crate) fn page(&self, since: Option<&SyncToken>, now: &SyncToken, next: SyncToken) -> Page {
        let known = |node| since.map_or(0, |since| since.messages_seq(node));
        let mut wanted = self
            .waiting
            .iter()
            .filter(|((node, seq), _)| *seq > known(*node) && *seq <= now.seq(*node));
        let messages = wanted
            .by_ref()
            .take(MAX_PAGE)
            .map(|(_, message)| Arc::clone(message))
            .collect();
        let left: Vec<_> = wanted.map(|(key, _)| *key).collect();
        let last = self.waiting.get_max().map(|(last, _)| *last);
        let reach = next.positions().map(|Position { node, .. }| {
            let first_left = left.iter().find(|(other, _)| *other == node);
            let seq = match (first_left, last) {
                (Some((_, first)), _) => first.saturating_sub(1),
                (None, Some((last, _))) if self.is_cut && node > last => 0,
                (None, Some((last, seq))) if self.is_cut && node == last => seq,
                _ => now.seq(node),
            };
            let seq = seq.max(known(node));
            Position { node, seq }
        });
        let reach: Vec<Position> = reach.collect();
        Page {
            messages,
            token: next.with_messages(reach),
        }
    }

    /// The places of the messages that a device with this token has.
    fn had_by(&self, since: &SyncToken) -> Vec<(NodeNo, u64)> {
        let keys = self.waiting.keys().copied();
        keys.filter(|&(node, seq)| since.has_messages(Position { node, seq }))
            .collect()
    }

    /// Without the messages at these places; none if it must be read again.
    fn without(&self, places: &[(NodeNo, u64)]) -> Option<Self> {
        let mut next = self.clone();
        for place in places {
            next.take(*place);
        }
        (!next.is_cut || next.waiting.len() > MAX_PAGE).then_some(next)
    }

    fn take(&mut self, place: (NodeNo, u64)) {
        if let Some(message) = self.waiting.remove(&place) {
            self.bytes -= weight_of(&message);
        }
    }
}

impl SyncEngine {
    /// The messages for a device: one cache look-up, or one query on a miss.
    pub(crate) async fn inbox(&self, device: &DeviceName) -> Result<Arc<Inbox>, SyncError> {
        let load = || async {
            let prefix = ToDeviceMessage::prefix(&device.0, &device.1);
            let store = &self.inner.store;
            let messages: Vec<ToDeviceMessage> = store
                .first_of_range(KeyRange::prefix(&prefix), MAX_KEPT + 1)
                .await?;
            let mut inbox = Inbox::default();
            for message in messages {
                inbox.insert(message.at, Arc::new(message));
            }
            Ok::<_, SyncError>(Some(inbox))
        };
        let inbox = self.inner.inboxes.get_or_load(device, load).await?;
        Ok(inbox.unwrap_or_default())
    }

    /// Removes the messages that a device with this token has. What can't be removed now is so when
    /// the device asks again: it is not given to it any more in any case.
    pub(crate) async fn remove_had(
        &self,
        device: &DeviceName,
        since: &SyncToken,
    ) -> Result<(), SyncError> {
        loop {
            let places = self.inbox(device).await?.had_by(since);
            if places.is_empty() {
                return Ok(());
            }
            let keys: Vec<Key> = places.iter().map(|place| key_of(device, *place)).collect();
            if let Err(error) = self.inner.store.remove::<ToDeviceMessage>(&keys).await {
                tracing::warn!(%error, "messages that a device has are not removed");
                return Ok(());
            }
            self.inner
                .inboxes
                .update(device, |inbox| inbox.without(&places).map(Arc::new));
        }
    }
}

/// The key under which the log writer put a message.
fn key_of((user, device): &DeviceName, place: (NodeNo, u64)) -> Key {
    ToDeviceMessage::prefix(user, device).at(place.into())
}

fn weight_of(message: &ToDeviceMessage) -> u64 {
    (400 + message.content.len()) as u64
}

impl Weigh for Inbox {
    fn weigh(&self) -> u64 {
        200 + self.bytes
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn message(content: &str) -> Arc<ToDeviceMessage> {
        Arc::new(ToDeviceMessage {
            user: user_id!("@a:x").to_owned(),
            device_id: "D".into(),
            at: Position::default(),
            sender: user_id!("@b:x").to_owned(),
            kind: "m.test".to_owned(),
            content: content.to_owned(),
        })
    }

    fn inbox(places: impl IntoIterator<Item = (NodeNo, u64)>) -> Inbox {
        let mut inbox = Inbox::default();
        for (node, seq) in places {
            inbox.insert(Position { node, seq }, message(&format!("{node}.{seq}")));
        }
        inbox
    }

    fn token(positions: &[(NodeNo, u64)]) -> SyncToken {
        SyncToken::new(positions.iter().copied().map(Position::from))
    }

    fn contents(page: &Page) -> Vec<&str> {
        let messages = page.messages.iter();
        messages.map(|message| message.content.as_str()).collect()
    }

    /// Everything that a device gets, page by page.
    fn drain(inbox: &Inbox, now: &SyncToken) -> Vec<String> {
        let mut all = Vec::new();
        let mut since: Option<SyncToken> = None;
        loop {
            let page = inbox.page(since.as_ref(), now, now.clone());
            if page.messages.is_empty() {
                return all;
            }
            all.extend(contents(&page).into_iter().map(str::to_owned));
            since = Some(page.token);
        }
    }

    #[test]
    fn what_fits_is_told_at_once_and_the_token_says_nothing_of_it() {
        let inbox = inbox([(1, 3), (2, 1), (1, 5)]);
        let now = token(&[(1, 9), (2, 9)]);
        let page = inbox.page(None, &now, now.clone());
        assert_eq!(contents(&page), ["1.3", "1.5", "2.1"]);
        assert_eq!(page.token, now);
        let since = token(&[(1, 3)]);
        let page = inbox.page(Some(&since), &now, now.clone());
        assert_eq!(contents(&page), ["1.5", "2.1"]);
        let early = token(&[(1, 4), (2, 9)]);
        let page = inbox.page(None, &early, early.clone());
        assert_eq!(contents(&page), ["1.3", "2.1"], "the rest is not committed");
    }

    #[test]
    fn pages_go_through_all_logs_without_gap_or_repetition() {
        let places = (1..=150).flat_map(|seq| [(1, 2 * seq), (7, seq)]);
        let inbox = inbox(places);
        let now = token(&[(1, 400), (7, 200), (9, 5)]);
        let all = drain(&inbox, &now);
        let mut wanted: Vec<_> = (1..=150).map(|seq| format!("1.{}", 2 * seq)).collect();
        wanted.extend((1..=150).map(|seq| format!("7.{seq}")));
        assert_eq!(all, wanted);
        // The first page ends in the first log; nothing of the second is taken as given.
        let page = inbox.page(None, &now, now.clone());
        assert_eq!(page.token.messages_seq(1), 201);
        assert_eq!(page.token.messages_seq(7), 0);
        assert_eq!(page.token.messages_seq(9), 5);
    }

    #[test]
    fn only_so_many_are_kept_and_none_is_passed_over() {
        let count = MAX_KEPT as u64 + 50;
        let places = (1..=count).map(|seq| (2, seq)).chain([(3, 1)]);
        let mut inbox = inbox(places);
        assert_eq!((inbox.waiting.len(), inbox.is_cut), (MAX_KEPT, true));
        assert_eq!(
            inbox.bytes,
            inbox.waiting.values().map(|it| weight_of(it)).sum::<u64>()
        );
        let now = token(&[(1, 9), (2, count), (3, 1)]);
        assert_eq!(drain(&inbox, &now).len(), MAX_KEPT);
        let kept = SyncToken::new([(2, MAX_KEPT as u64).into()]);
        let page = inbox.page(Some(&kept), &now, now.clone());
        assert!(page.messages.is_empty());
        assert_eq!(page.token.messages_seq(2), MAX_KEPT as u64);
        assert_eq!(page.token.messages_seq(3), 0);
        // An earlier log's message has its place before those that are here.
        inbox.insert((1, 7).into(), message("1.7"));
        assert_eq!(inbox.waiting.len(), MAX_KEPT);
        let page = inbox.page(None, &now, now.clone());
        assert_eq!(contents(&page)[..2], ["1.7", "2.1"]);
    }

    #[test]
    fn what_a_device_has_is_removed_and_no_more() {
        let inbox = inbox((1..=250).map(|seq| (1, seq)));
        let now = token(&[(1, 250)]);
        let first = inbox.page(None, &now, now.clone());
        let had = inbox.had_by(&first.token);
        assert_eq!(had.len(), MAX_PAGE);
        let rest = inbox.without(&had).unwrap();
        let second = rest.page(Some(&first.token), &now, now.clone());
        assert_eq!(contents(&second)[0], "1.101");
        // An older token brings nothing back.
        let again = rest.page(None, &now, now.clone());
        assert_eq!(contents(&again), contents(&second));
        let none = rest.without(&rest.had_by(&now)).unwrap();
        assert_eq!((none.waiting.len(), none.bytes), (0, 0));
    }

    #[test]
    fn a_token_of_a_process_that_is_ahead_is_not_taken_back() {
        let inbox = inbox([(1, 3)]);
        let now = token(&[(1, 4), (2, 10)]);
        let since = token(&[(1, 3), (2, 60)]).with_messages([(1, 3).into(), (2, 20).into()]);
        let mut next = now.clone();
        next.merge(&since);
        let page = inbox.page(Some(&since), &now, next);
        assert!(page.messages.is_empty());
        assert_eq!((page.token.seq(2), page.token.messages_seq(2)), (60, 20));
        assert_eq!(page.token.messages_seq(1), 4);
    }
}
