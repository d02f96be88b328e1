//! Ephemeral messages for one server: only the newest of each kind counts, and there is room for so
//! many and no more. They live in memory.

use std::collections::{BTreeMap, btree_map::Entry};

use matryx_client::sync::PresenceStatus;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId,
    api::federation::transactions::edu::{
        Edu, PresenceContent, ReceiptContent, ReceiptData, ReceiptMap, TypingContent,
    },
    events::receipt::{Receipt, ReceiptThread},
    serde::Raw,
};

use super::presence::update;

/// The most ephemeral messages of a transaction.
/// [Spec](https://spec.matrix.org/v1.19/server-server-api/#transactions)
const MAX_EDUS: usize = 100;

/// The most users who type, and the most receipts, that wait for one server.
const MAX_TYPING: usize = 256;
const MAX_RECEIPTS: usize = 1024;

/// The most users whose presence waits for one server.
const MAX_PRESENCE: usize = 1024;

/// The most users of one message about presence.
const MAX_PUSH: usize = 50;

/// Which receipt: of whom, where, in which thread.
type Slot = (OwnedRoomId, OwnedUserId, Option<String>);

/// A receipt on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadUpTo {
    pub(super) event_id: OwnedEventId,
    pub(super) ts: MilliSecondsSinceUnixEpoch,
}

/// What waits for one server.
#[derive(Debug, Default)]
pub(super) struct Ephemeral {
    typing: BTreeMap<(OwnedRoomId, OwnedUserId), bool>,
    receipts: BTreeMap<Slot, ReadUpTo>,
    presence: BTreeMap<OwnedUserId, PresenceStatus>,
    /// Receipts of the transaction that is on its way.
    leaving: BTreeMap<Slot, ReadUpTo>,
}

impl Ephemeral {
    pub(super) fn is_empty(&self) -> bool {
        self.typing.is_empty() && self.receipts.is_empty() && self.presence.is_empty()
    }

    pub(super) fn set_typing(&mut self, room: OwnedRoomId, user: OwnedUserId, types: bool) {
        let is_full = self.typing.len() >= MAX_TYPING;
        match self.typing.entry((room, user)) {
            Entry::Occupied(mut slot) => {
                slot.insert(types);
            }
            Entry::Vacant(slot) if !is_full => {
                slot.insert(types);
            }
            Entry::Vacant(_) => {}
        }
    }

    pub(super) fn set_receipt(&mut self, slot: Slot, read: ReadUpTo) {
        let is_full = self.receipts.len() >= MAX_RECEIPTS;
        match self.receipts.entry(slot) {
            Entry::Occupied(mut slot) => {
                slot.insert(read);
            }
            Entry::Vacant(slot) if !is_full => {
                slot.insert(read);
            }
            Entry::Vacant(_) => {}
        }
    }

    pub(super) fn set_presence(&mut self, user: OwnedUserId, status: PresenceStatus) {
        if self.presence.len() < MAX_PRESENCE || self.presence.contains_key(&user) {
            self.presence.insert(user, status);
        }
    }

    /// What goes with the next transaction, which leaves now.
    pub(super) fn take(&mut self, now: MilliSecondsSinceUnixEpoch) -> Vec<Raw<Edu>> {
        let mut edus = Vec::new();
        while edus.len() < MAX_EDUS
            && let Some(((room, user), types)) = self.typing.pop_first()
        {
            edus.push(Edu::Typing(TypingContent::new(room, user, types)));
        }
        while edus.len() < MAX_EDUS && !self.receipts.is_empty() {
            edus.push(Edu::Receipt(self.take_receipts()));
        }
        while edus.len() < MAX_EDUS && !self.presence.is_empty() {
            let users = std::iter::from_fn(|| self.presence.pop_first()).take(MAX_PUSH);
            let push = users
                .map(|(user, status)| update(user, status, now))
                .collect();
            edus.push(Edu::Presence(PresenceContent::new(push)));
        }
        edus.iter().filter_map(|edu| Raw::new(edu).ok()).collect()
    }

    /// As many receipts as one message can say: one for each user and room.
    fn take_receipts(&mut self) -> ReceiptContent {
        let mut rooms: BTreeMap<OwnedRoomId, ReceiptMap> = BTreeMap::new();
        let mut later = BTreeMap::new();
        for (slot, read) in std::mem::take(&mut self.receipts) {
            let (room, user, thread) = &slot;
            let map = rooms.entry(room.clone());
            let users = &mut map.or_insert_with(|| ReceiptMap::new(BTreeMap::new())).read;
            if let Entry::Vacant(place) = users.entry(user.clone()) {
                let mut data = Receipt::new(read.ts);
                // A thread that has no id any more can't have been stored.
                data.thread = ReceiptThread::try_from(thread.clone()).unwrap_or_default();
                place.insert(ReceiptData::new(data, vec![read.event_id.clone()]));
                self.leaving.insert(slot, read);
            } else {
                later.insert(slot, read);
            }
        }
        self.receipts = later;
        ReceiptContent::new(rooms)
    }

    /// The transaction arrived.
    pub(super) fn arrived(&mut self) {
        self.leaving.clear();
    }

    /// The transaction did not arrive: receipts are worth another attempt, what is over soon is not.
    pub(super) fn put_back(&mut self) {
        for (slot, read) in std::mem::take(&mut self.leaving) {
            self.receipts.entry(slot).or_insert(read);
        }
        self.typing.clear();
        self.presence.clear();
    }
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, room_id, uint, user_id};
    use serde_json::{Value, json};

    use super::*;

    fn now() -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(uint!(9))
    }

    fn read(event: &str) -> ReadUpTo {
        ReadUpTo {
            event_id: event.try_into().unwrap(),
            ts: MilliSecondsSinceUnixEpoch(uint!(5)),
        }
    }

    fn slot(user: &str, thread: Option<&str>) -> Slot {
        (
            room_id!("!r:x").to_owned(),
            user.try_into().unwrap(),
            thread.map(str::to_owned),
        )
    }

    fn texts(edus: &[Raw<Edu>]) -> Vec<Value> {
        let texts = edus.iter().map(|edu| edu.json().get());
        texts
            .map(|text| serde_json::from_str(text).unwrap())
            .collect()
    }

    #[test]
    fn the_newest_word_counts() {
        let mut ephemeral = Ephemeral::default();
        let (room, user) = (room_id!("!r:x"), user_id!("@a:x"));
        ephemeral.set_typing(room.to_owned(), user.to_owned(), true);
        ephemeral.set_typing(room.to_owned(), user.to_owned(), false);
        ephemeral.set_receipt(slot("@a:x", None), read("$one"));
        ephemeral.set_receipt(slot("@a:x", None), read("$two"));
        let edus = texts(&ephemeral.take(now()));
        assert_eq!(
            edus,
            [
                json!({ "edu_type": "m.typing", "content": {
                    "room_id": room, "user_id": user, "typing": false,
                }}),
                json!({ "edu_type": "m.receipt", "content": {
                    (room.as_str()): { "m.read": { (user.as_str()): {
                        "data": { "ts": 5 }, "event_ids": [event_id!("$two")],
                    }}},
                }}),
            ]
        );
        assert!(ephemeral.is_empty() && ephemeral.take(now()).is_empty());
    }

    #[test]
    fn threads_of_one_user_go_in_messages_of_their_own() {
        let mut ephemeral = Ephemeral::default();
        for thread in [None, Some("main"), Some("$root")] {
            ephemeral.set_receipt(slot("@a:x", thread), read("$one"));
        }
        ephemeral.set_receipt(slot("@b:x", Some("main")), read("$two"));
        let edus = texts(&ephemeral.take(now()));
        assert_eq!(edus.len(), 3);
        let first = &edus[0]["content"]["!r:x"]["m.read"];
        assert_eq!(first.as_object().unwrap().len(), 2, "{first}");
        assert_eq!(first["@b:x"]["data"]["thread_id"], "main");
    }

    #[test]
    fn receipts_come_back_from_a_failure_unless_there_is_news() {
        let mut ephemeral = Ephemeral::default();
        ephemeral.set_typing(slot("@a:x", None).0, slot("@a:x", None).1, true);
        ephemeral.set_receipt(slot("@a:x", None), read("$one"));
        ephemeral.set_receipt(slot("@b:x", None), read("$one"));
        assert_eq!(ephemeral.take(now()).len(), 2);
        ephemeral.set_receipt(slot("@a:x", None), read("$two"));
        ephemeral.put_back();
        let edus = ephemeral.take(now());
        let [receipts] = &texts(&edus)[..] else {
            panic!("{edus:?}")
        };
        let receipts = &receipts["content"]["!r:x"]["m.read"];
        assert_eq!(receipts["@a:x"]["event_ids"], json!(["$two"]));
        assert_eq!(receipts["@b:x"]["event_ids"], json!(["$one"]));
        ephemeral.arrived();
        ephemeral.put_back();
        assert!(ephemeral.is_empty());
    }

    #[test]
    fn there_is_a_most_of_everything() {
        let mut ephemeral = Ephemeral::default();
        for number in 0..5000 {
            let user = format!("@u{number}:x");
            let (room, user, _) = slot(&user, None);
            ephemeral.set_typing(room.clone(), user.clone(), true);
            ephemeral.set_receipt((room, user, None), read("$one"));
        }
        assert_eq!(ephemeral.typing.len(), MAX_TYPING);
        assert_eq!(ephemeral.receipts.len(), MAX_RECEIPTS);
        assert_eq!(ephemeral.take(now()).len(), MAX_EDUS);
        assert!(!ephemeral.is_empty(), "the rest waits for its turn");
    }
}
