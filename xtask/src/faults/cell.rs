//! Values that one writer overwrites again and again.
//!
//! After a restart a cell must hold what was acknowledged last or, if that had no answer yet, what
//! was asked last; never anything older.

use super::ledger::{Account, Ledger};
use super::writers::{Stop, call};
use crate::wire::{Call, Wire, segment};
use serde_json::{Value, json};

/// The state event and account data type that the cells use.
const CELL: &str = "org.matryx.audit.cell";

/// One value of the server, as far as one writer knows it.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) place: Place,
    /// Who writes it and reads it again.
    pub(crate) owner: Account,
    pub(crate) acknowledged: Option<String>,
    pub(crate) asked: Option<String>,
}

/// Where a [`Cell`] is kept.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Global account data of the owner.
    AccountData,
    /// The owner's display name.
    DisplayName,
    /// State of a room.
    State { room_id: String },
    /// A membership; its values are the spec's words.
    Membership { room_id: String, user_id: String },
    /// The owner's public read receipt; its values are event ids.
    Receipt { room_id: String },
    /// The owner's fully read marker; its values are event ids.
    FullyRead { room_id: String },
}

impl Cell {
    /// A cell that nobody has written yet.
    pub(crate) fn new(place: Place, owner: Account) -> Self {
        Self {
            place,
            owner,
            acknowledged: None,
            asked: None,
        }
    }

    /// Writes `value` with `request`, and notes first the attempt and then the answer.
    async fn write(&mut self, wire: &mut Wire, value: String, request: Call) -> Result<(), Stop> {
        self.asked = Some(value);
        call(wire, request).await?;
        self.acknowledged.clone_from(&self.asked);
        Ok(())
    }

    /// Whether the server may hold `found`.
    pub(crate) fn may_hold(&self, found: Option<&str>) -> bool {
        found.is_some()
            && [&self.acknowledged, &self.asked]
                .map(Option::as_deref)
                .contains(&found)
    }

    /// What the server holds now.
    pub(crate) async fn read(&self, wire: &mut Wire) -> Result<Option<String>, Stop> {
        let answer = call(wire, Call::get(self.path())).await?;
        let user_id = &self.owner.user_id;
        let found = match &self.place {
            Place::AccountData | Place::State { .. } => answer.get("value"),
            Place::DisplayName => answer.get("displayname"),
            Place::Membership { .. } => answer.get("membership"),
            Place::FullyRead { .. } => answer.get("event_id"),
            Place::Receipt { room_id } => return Ok(receipt(&answer, room_id, user_id)),
        };
        Ok(found.and_then(Value::as_str).map(str::to_owned))
    }

    /// Where it is read; the first two are written there as well.
    fn path(&self) -> String {
        let user_id = segment(&self.owner.user_id);
        let client = "/_matrix/client/v3";
        match &self.place {
            Place::AccountData => format!("{client}/user/{user_id}/account_data/{CELL}"),
            Place::State { room_id } => {
                format!("{client}/rooms/{}/state/{CELL}/", segment(room_id))
            }
            Place::DisplayName => format!("{client}/profile/{user_id}/displayname"),
            Place::Membership { room_id, user_id } => {
                let (room_id, user_id) = (segment(room_id), segment(user_id));
                format!("{client}/rooms/{room_id}/state/m.room.member/{user_id}")
            }
            Place::FullyRead { room_id } => {
                let room_id = segment(room_id);
                format!("{client}/user/{user_id}/rooms/{room_id}/account_data/m.fully_read")
            }
            Place::Receipt { room_id } => {
                let filter = json!({ "room": { "rooms": [room_id] } }).to_string();
                format!("{client}/sync?filter={}", segment(&filter))
            }
        }
    }
}

/// The event that a user's public receipt of the main timeline or of no thread points to.
fn receipt(sync: &Value, room_id: &str, user_id: &str) -> Option<String> {
    let room = sync.get("rooms")?.get("join")?.get(room_id)?;
    let ephemeral = room.pointer("/ephemeral/events")?.as_array()?;
    let receipts = ephemeral
        .iter()
        .filter(|event| event.get("type").and_then(Value::as_str) == Some("m.receipt"))
        .filter_map(|event| event.get("content")?.as_object());
    let mut found = receipts.flatten().filter(|(_, kinds)| {
        kinds
            .get("m.read")
            .and_then(|users| users.get(user_id))
            .is_some()
    });
    found.next().map(|(event_id, _)| event_id.clone())
}

/// Counts up in a cell until the server is gone.
pub(crate) async fn count(
    wire: &mut Wire,
    ledger: &mut Ledger,
    place: Place,
    owner: Account,
) -> Result<(), Stop> {
    let mut cell = Cell::new(place, owner);
    let name = if matches!(cell.place, Place::DisplayName) {
        "displayname"
    } else {
        "value"
    };
    let mut ended = Ok(());
    for n in 0.. {
        let value = n.to_string();
        let request = Call::put(cell.path(), &json!({ name: value }));
        ended = cell.write(wire, value, request).await;
        if ended.is_err() {
            break;
        }
    }
    ledger.cells.push(cell);
    ended
}

/// Invites, bans and unbans `victim` in turn until the server is gone.
pub(crate) async fn moderate(
    wire: &mut Wire,
    ledger: &mut Ledger,
    room_id: &str,
    owner: Account,
    victim: &Account,
) -> Result<(), Stop> {
    let user_id = victim.user_id.clone();
    let place = Place::Membership {
        room_id: room_id.to_owned(),
        user_id: user_id.clone(),
    };
    let mut cell = Cell::new(place, owner);
    let mut ended = Ok(());
    let turns = [("invite", "invite"), ("ban", "ban"), ("unban", "leave")];
    for (action, membership) in turns.into_iter().cycle() {
        let path = format!("/_matrix/client/v3/rooms/{}/{action}", segment(room_id));
        let request = Call::post(path, &json!({ "user_id": user_id }));
        ended = cell.write(wire, membership.to_owned(), request).await;
        if ended.is_err() {
            break;
        }
    }
    ledger.cells.push(cell);
    ended
}

/// Leaves a public room and joins it again until the server is gone.
pub(crate) async fn come_and_go(
    wire: &mut Wire,
    ledger: &mut Ledger,
    room_id: &str,
    owner: Account,
) -> Result<(), Stop> {
    let place = Place::Membership {
        room_id: room_id.to_owned(),
        user_id: owner.user_id.clone(),
    };
    let mut cell = Cell::new(place, owner);
    let mut ended = Ok(());
    for (action, membership) in [("leave", "leave"), ("join", "join")].into_iter().cycle() {
        let path = format!("/_matrix/client/v3/rooms/{}/{action}", segment(room_id));
        let request = Call::post(path, &json!({}));
        ended = cell.write(wire, membership.to_owned(), request).await;
        if ended.is_err() {
            break;
        }
    }
    ledger.cells.push(cell);
    ended
}

/// The receipt and the fully read marker of one reader of a room.
pub(crate) struct Marks {
    receipt: Cell,
    fully_read: Cell,
}

impl Marks {
    /// The marks of `owner`, before anything was read.
    pub(crate) fn new(room_id: &str, owner: &Account) -> Self {
        let room_id = room_id.to_owned();
        let receipt = Place::Receipt {
            room_id: room_id.clone(),
        };
        Self {
            receipt: Cell::new(receipt, owner.clone()),
            fully_read: Cell::new(Place::FullyRead { room_id }, owner.clone()),
        }
    }

    /// Marks a message as read in either way.
    pub(crate) async fn read(
        &mut self,
        wire: &mut Wire,
        room_id: &str,
        event_id: &str,
    ) -> Result<(), Stop> {
        let room = format!("/_matrix/client/v3/rooms/{}", segment(room_id));
        let path = format!("{room}/receipt/m.read/{}", segment(event_id));
        let request = Call::post(path, &json!({}));
        self.receipt
            .write(wire, event_id.to_owned(), request)
            .await?;
        let marker = json!({ "m.fully_read": event_id });
        let request = Call::post(format!("{room}/read_markers"), &marker);
        self.fully_read
            .write(wire, event_id.to_owned(), request)
            .await
    }

    /// Both, for the ledger.
    pub(crate) fn into_cells(self) -> [Cell; 2] {
        [self.receipt, self.fully_read]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(acknowledged: Option<&str>, asked: Option<&str>) -> Cell {
        let owner = Account {
            localpart: "a".to_owned(),
            user_id: "@a:localhost".to_owned(),
            token: String::new(),
        };
        let mut cell = Cell::new(Place::AccountData, owner);
        cell.acknowledged = acknowledged.map(str::to_owned);
        cell.asked = asked.map(str::to_owned);
        cell
    }

    #[test]
    fn a_cell_may_hold_the_last_answered_and_the_last_asked_value_only() {
        let cell = cell(Some("7"), Some("8"));
        assert!(cell.may_hold(Some("7")));
        assert!(cell.may_hold(Some("8")));
        assert!(!cell.may_hold(Some("6")));
        assert!(!cell.may_hold(None));
    }

    #[test]
    fn an_unanswered_cell_does_not_excuse_an_empty_one() {
        assert!(!cell(None, Some("0")).may_hold(None));
    }

    #[test]
    fn a_receipt_is_found_among_others() {
        let content = json!({
            "$one": { "m.read": { "@b:localhost": { "ts": 1 } } },
            "$two": { "m.read.private": { "@a:localhost": { "ts": 1 } } },
            "$three": { "m.read": { "@a:localhost": { "ts": 1 } } },
        });
        let events = json!([{ "type": "m.typing", "content": {} }, { "type": "m.receipt", "content": content }]);
        let sync = json!({ "rooms": { "join": { "!r": { "ephemeral": { "events": events } } } } });
        assert_eq!(
            receipt(&sync, "!r", "@a:localhost").as_deref(),
            Some("$three")
        );
        assert_eq!(receipt(&sync, "!r", "@c:localhost"), None);
    }
}
