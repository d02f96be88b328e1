//! Where a page of the room directory begins.
//!
//! A token names the room at the edge of the page by what the directory is sorted by, so that a
//! page follows the one before even when rooms came and went meanwhile.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::OwnedRoomId;

/// The longest token.
const MAX_TOKEN: usize = 512;

/// A place in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// How many members the room had.
    pub(super) joined: u64,
    /// The room.
    pub(super) room_id: OwnedRoomId,
}

/// On which side of a place a page lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DirectoryToken {
    /// It begins with the room after it.
    After(Place),
    /// It ends with the room before it.
    Before(Place),
}

impl DirectoryToken {
    /// Reads a token; `None` for a text that is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_TOKEN {
            return None;
        }
        let (side, body) = text.split_at_checked(1)?;
        let body = String::from_utf8(URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        let (joined, room_id) = body.split_once(' ')?;
        let place = Place {
            joined: joined.parse().ok()?,
            room_id: room_id.try_into().ok()?,
        };
        match side {
            "n" => Some(Self::After(place)),
            "p" => Some(Self::Before(place)),
            _ => None,
        }
    }
}

impl fmt::Display for DirectoryToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (side, place) = match self {
            Self::After(place) => ('n', place),
            Self::Before(place) => ('p', place),
        };
        let body = format!("{} {}", place.joined, place.room_id);
        write!(formatter, "{side}{}", URL_SAFE_NO_PAD.encode(body))
    }
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;

    #[test]
    fn a_token_survives_its_text() {
        let place = Place {
            joined: 7,
            room_id: room_id!("!r:x").to_owned(),
        };
        for token in [
            DirectoryToken::After(place.clone()),
            DirectoryToken::Before(place),
        ] {
            assert_eq!(DirectoryToken::parse(&token.to_string()), Some(token));
        }
    }

    #[test]
    fn refuses_what_is_no_token() {
        for text in ["", "n", "é", "x", "nAAAA", "n!!", &"n".repeat(1_000)] {
            assert_eq!(DirectoryToken::parse(text), None, "{text}");
        }
    }
}
