//! Why something in a room did not happen.

use matryx_client::{federation::FederationError, sync::SyncError};
use matryx_entity::{
    auth::AuthError, build::BuildError, canonical::CanonicalError, format::FormatError,
    pdu::MalformedPdu, redact::RedactError, resolve::ResolveError,
    room_versions::UnsupportedRoomVersion,
};
use matryx_surrealdb::StoreError;
use ruma::{OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedServerName, OwnedUserId};

use super::Refusal;

/// A reason, for the edge to turn into a status and an errcode.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// This server does not know the room, or the caller may not know that it does.
    #[error("Unknown room {0}")]
    UnknownRoom(OwnedRoomId),
    /// The caller is not in the room.
    #[error("You are not in the room {0}")]
    NotInRoom(OwnedRoomId),
    /// The event does not exist or the caller may not see it.
    #[error("Event {0} was not found")]
    UnknownEvent(OwnedEventId),
    /// The room has no such state.
    #[error("The room has no such state event")]
    NoSuchState,
    /// No event that the caller may see is on the wanted side of a moment.
    #[error("No event was found in this direction")]
    NoEventNear,
    /// The alias leads nowhere.
    #[error("Room alias {0} was not found")]
    UnknownAlias(OwnedRoomAliasId),
    /// The alias is in use.
    #[error("Room alias {0} already exists")]
    AliasTaken(OwnedRoomAliasId),
    /// The alias that somebody wants to make exists.
    #[error("Room alias {0} already exists.")]
    AliasExists(OwnedRoomAliasId),
    /// The alias belongs to an application service.
    #[error("Room alias {0} is reserved by an application service")]
    AliasReserved(OwnedRoomAliasId),
    /// An alias that an event refers to does not lead to the room.
    #[error("{0} does not lead to this room")]
    BadAlias(String),
    /// The invited user has no account here.
    #[error("User {0} does not exist")]
    UnknownUser(OwnedUserId),
    /// The invited user's account is deactivated.
    #[error("User {0} is deactivated")]
    DeactivatedUser(OwnedUserId),
    /// The invited user wants no invites.
    #[error("User {0} does not want to be invited")]
    InviteBlocked(OwnedUserId),
    /// Another server that is needed for this can't be reached.
    #[error("{0}")]
    Unreachable(#[source] Box<FederationError>),
    /// Too many large rooms are being entered already.
    #[error("The server is busy entering other large rooms; try again in a few minutes")]
    Crowded,
    /// Another server that is needed for this refuses it.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Another server that is needed for this does not answer as it should.
    #[error("{server} gave an answer that can't be used: {reason}")]
    BadAnswer {
        /// The server.
        server: OwnedServerName,
        /// What is wrong with its answer.
        reason: String,
    },
    /// The auth rules of the room's version say no.
    #[error("{0}")]
    Unauthorized(#[from] AuthError),
    /// The auth rules refuse an event that a new room was to start with.
    #[error("the room can't be created like this: {0}")]
    InvalidRoomState(#[source] AuthError),
    /// Something other than the auth rules says no.
    #[error("{0}")]
    Forbidden(String),
    /// The caller is a guest, and the room does not let guests in.
    #[error("Guests may not join this room")]
    NoGuests,
    /// A restricted room, and nobody of this server may let the caller in.
    #[error("No user of this server may let you into the room")]
    UnableToGrantJoin,
    /// An invite by a third-party identifier, and no identity server to ask.
    #[error("Invites by third-party identifier need an identity server")]
    NoIdentityServer,
    /// The user forgets a room that it has not left.
    #[error("You can't forget a room that you are in")]
    StillInRoom,
    /// A parameter has a value that can't be.
    #[error("{0}")]
    InvalidParam(String),
    /// The body has the wrong shape.
    #[error("{0}")]
    BadJson(String),
    /// Events of this room version can't be handled.
    #[error(transparent)]
    UnsupportedVersion(#[from] UnsupportedRoomVersion),
    /// The event can't be built from what the caller gave.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A stored event can't be redacted.
    #[error(transparent)]
    Redact(#[from] RedactError),
    /// A stored event is damaged.
    #[error(transparent)]
    Malformed(#[from] MalformedPdu),
    /// States of the room can't be resolved.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The database lacks what it must have.
    #[error("the database is damaged: {0}")]
    Damaged(&'static str),
    /// The sync engine's caches could not be filled.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Other processes write to the room faster than this one can.
    #[error("the room is busy")]
    Busy,
    /// The work was stopped because the server shuts down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl RoomError {
    /// Is it about everything here, and not about one room: the database is away, or the server
    /// stops?
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::ShuttingDown
                | Self::Store(StoreError::Unavailable { .. })
                | Self::Sync(SyncError::Store(StoreError::Unavailable { .. }))
        )
    }
}

impl From<CanonicalError> for RoomError {
    fn from(error: CanonicalError) -> Self {
        Self::Build(error.into())
    }
}

impl From<FormatError> for RoomError {
    fn from(error: FormatError) -> Self {
        Self::Build(error.into())
    }
}
