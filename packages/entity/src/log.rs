//! Entries of the commit log: every change that somebody else must see.
//!
//! An entry names what changed and holds just enough to know whom it concerns; the row itself is
//! read from its own table, or handed over in memory by the process that wrote it.

use ruma::{OwnedDeviceId, OwnedRoomId, OwnedServerName, OwnedTransactionId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{
    position::Position,
    room_no::RoomNo,
    stored::{Key, Stored},
};

/// An entry at its place in a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// Its position, which is also its key.
    #[serde(rename = "id")]
    pub at: Position,
    /// What changed.
    #[serde(flatten)]
    pub entry: LogEntry,
}

impl LogRow {
    /// The key of the entry at a position.
    pub fn key_of(at: Position) -> Key {
        Key(Vec::with_capacity(2)).at(at)
    }
}

impl Stored for LogRow {
    const TABLE: &'static str = "log";
    fn key(&self) -> Key {
        Self::key_of(self.at)
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "snake_case")]
pub enum LogEntry {
    /// An event got a place in a room's timeline.
    Event {
        /// The room.
        room: RoomNo,
        /// The event's place.
        pos: i64,
        /// The client's transaction that sent it, if a local client did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        txn: Option<ClientTransaction>,
        /// The user whose membership record was written in the same commit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<OwnedUserId>,
        /// It changed who is in an encrypted room: there is a [`crate::member_delta::MemberDelta`].
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shares: bool,
        /// It is of a user of this server and came from another one (which let the user in, or has
        /// what was lost here): the others of the room have it from there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        told: bool,
    },
    /// An event of another server came to this one by a handshake (join, leave, knock): it is for
    /// this one to tell the other servers of the room. Follows the event's own entry.
    Forward {
        /// The room.
        room: RoomNo,
        /// The event's place.
        pos: i64,
    },
    /// A membership that arrived without a place in a timeline (an invite or a knock of a room
    /// that this server is not in), or a membership record that changed without an event
    /// (forget).
    Member {
        /// The user.
        user: OwnedUserId,
        /// The room.
        room: RoomNo,
    },
    /// A stored event was redacted in place; its cached copies are stale.
    Redacted {
        /// The room.
        room: RoomNo,
        /// The place of the event that lost its content.
        pos: i64,
    },
    /// A read receipt moved.
    Receipt {
        /// The room.
        room: RoomNo,
        /// Whose receipt.
        user: OwnedUserId,
        /// `m.read` or `m.read.private`.
        kind: String,
        /// Thread id, `main`, or none for an unthreaded receipt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<String>,
    },
    /// Account data was set or removed.
    AccountData {
        /// Whose.
        user: OwnedUserId,
        /// The room it belongs to; none for global account data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<OwnedRoomId>,
        /// The event type.
        kind: String,
    },
    /// A user's device or cross-signing keys changed (or a device came or went). The user's
    /// [`crate::device_list::DeviceList`] was written in the same commit.
    Device {
        /// Whose.
        user: OwnedUserId,
        /// The devices.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        devices: Vec<OwnedDeviceId>,
        /// The cross-signing keys changed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cross_signing: bool,
    },
    /// A user signed keys of others, which only that user sees.
    Signed {
        /// Who signed.
        user: OwnedUserId,
        /// Whose keys.
        targets: Vec<OwnedUserId>,
    },
    /// A device's one-time or fallback keys changed: there are new ones, or some were claimed.
    OneTimeKeys {
        /// Whose.
        user: OwnedUserId,
        /// The device.
        device: OwnedDeviceId,
    },
    /// Messages for devices of a user of this server arrived, one for each device.
    ToDevice {
        /// For whom.
        user: OwnedUserId,
        /// For which devices.
        devices: Vec<OwnedDeviceId>,
    },
    /// A client's request to send messages to devices was carried out.
    SentToDevice {
        /// Which.
        txn: ClientTransaction,
    },
    /// A message for another server waits: a [`crate::queued_edu::QueuedEdu`].
    QueuedEdu {
        /// For which server.
        server: OwnedServerName,
    },
    /// Tokens of a user or one device were revoked: cached copies must go.
    Revoked {
        /// Whose.
        user: OwnedUserId,
        /// The device, or none for all of the user's devices.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<OwnedDeviceId>,
    },
    /// A user had themselves erased.
    Erased {
        /// Who.
        user: OwnedUserId,
    },
    /// A profile or the account itself changed (locked, deactivated, renamed).
    User {
        /// Whose.
        user: OwnedUserId,
    },
}

/// What makes a retried request the same request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClientTransaction {
    /// Who sent.
    pub user: OwnedUserId,
    /// From which device.
    pub device: OwnedDeviceId,
    /// The transaction id of the request's path.
    pub txn_id: OwnedTransactionId,
    /// The event type or `redact` marker of the request's path: ids are scoped to an endpoint.
    pub scope: String,
}
