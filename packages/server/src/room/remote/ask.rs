//! Whom to ask about a room, and who to ask next.

use std::time::Duration;

use matryx_client::{
    federation::FederationError,
    outbound::{Limits, OutboundError},
};
use matryx_entity::room_snapshot::RoomSnapshot;
use ruma::{OwnedServerName, RoomId, ServerName, UserId, api::error::ErrorKind};

use crate::room::{RoomError, Rooms, servers_in};

/// The most servers that are asked for one thing.
const MAX_SERVERS: usize = 12;

/// The most letters of what a server says no with.
const MAX_WORDS: usize = 300;

/// The bounds of a request for a small answer: there may be others to ask.
pub(super) const SHORT: Limits = Limits {
    time: Duration::from_secs(15),
    body: 1 << 20,
};

impl Rooms {
    /// The servers that may know a room, likeliest first, each once, without this one.
    pub(super) fn candidates(
        &self,
        room_id: &RoomId,
        via: &[OwnedServerName],
        witness: Option<&UserId>,
        room: Option<&RoomSnapshot>,
    ) -> Vec<OwnedServerName> {
        let mut servers: Vec<OwnedServerName> = Vec::new();
        let members = room.map(servers_in).unwrap_or_default();
        let members: Vec<&ServerName> = members
            .iter()
            .filter_map(|name| name.as_str().try_into().ok())
            .collect();
        let named = via
            .iter()
            .map(AsRef::as_ref)
            .chain(witness.map(UserId::server_name))
            .chain(room_id.server_name())
            .chain(members);
        for server in named {
            let is_new = !servers.iter().any(|known| *known == *server);
            if is_new && *server != *self.server_name() && servers.len() < MAX_SERVERS {
                servers.push(server.to_owned());
            }
        }
        servers
    }
}

/// Attempts to have something from one server after the other.
#[derive(Debug)]
pub(super) struct Attempts(RoomError);

impl Attempts {
    /// None yet: nobody knows the room.
    pub(super) fn at(room_id: &RoomId) -> Self {
        Self(RoomError::UnknownRoom(room_id.to_owned()))
    }

    /// Takes what came of asking a server: the end, or nothing if the next should be asked. What a
    /// server that knows the room refuses, the others need not be asked for.
    pub(super) fn note<T>(
        &mut self,
        server: &ServerName,
        attempt: Result<T, RoomError>,
    ) -> Option<Result<T, RoomError>> {
        let error = match attempt {
            Err(error) if others_may_help(&error) => error,
            end => return Some(end),
        };
        tracing::info!(%server, %error, "a server could not help with a room");
        let tells_little = matches!(error, RoomError::Unreachable(_));
        if !tells_little || matches!(self.0, RoomError::UnknownRoom(_)) {
            self.0 = error;
        }
        None
    }

    /// The most telling failure.
    pub(super) fn end<T>(self) -> Result<T, RoomError> {
        Err(self.0)
    }
}

/// Could another server do what this one did not?
fn others_may_help(error: &RoomError) -> bool {
    match error {
        RoomError::Refused(refusal) => {
            refusal.status >= 500
                || matches!(refusal.status, 404 | 429)
                || matches!(
                    refusal.kind,
                    ErrorKind::UnableToGrantJoin | ErrorKind::UnableToAuthorizeJoin
                )
        }
        RoomError::Unreachable(_) | RoomError::BadAnswer { .. } => true,
        _ => false,
    }
}

/// What another server said no with.
#[derive(Debug)]
pub struct Refusal {
    /// Who.
    pub server: OwnedServerName,
    /// The HTTP status.
    pub status: u16,
    /// The Matrix error.
    pub kind: ErrorKind,
    /// Its words.
    pub message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} says: {}", self.server, self.message)
    }
}

impl From<FederationError> for RoomError {
    fn from(error: FederationError) -> Self {
        match error {
            FederationError::Remote { server, source } => {
                let kind = source.error_kind().cloned().unwrap_or(ErrorKind::Unknown);
                let mut message = source.to_string();
                if let ruma::api::error::ErrorBody::Standard(body) = source.body {
                    message = body.message;
                }
                let message = message.chars().filter(|letter| !letter.is_control());
                let message = message.take(MAX_WORDS).collect();
                Self::Refused(Box::new(Refusal {
                    server,
                    status: source.status_code.as_u16(),
                    kind,
                    message,
                }))
            }
            FederationError::Malformed { server, source } => Self::BadAnswer {
                server,
                reason: source.to_string(),
            },
            FederationError::Unreachable {
                source: OutboundError::Crowded,
                ..
            } => Self::Crowded,
            unreachable => Self::Unreachable(Box::new(unreachable)),
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, server_name};

    use super::*;

    #[test]
    fn nobody_else_is_asked_when_there_is_no_room_for_the_answer() {
        let fails = |source| {
            let server = server_name!("other.test").to_owned();
            let error = FederationError::Unreachable { server, source };
            let mut attempts = Attempts::at(room_id!("!room:other.test"));
            attempts.note::<()>(server_name!("other.test"), Err(error.into()))
        };
        assert!(matches!(
            fails(OutboundError::Crowded),
            Some(Err(RoomError::Crowded))
        ));
        assert!(fails(OutboundError::TimedOut(Duration::ZERO)).is_none());
    }
}
