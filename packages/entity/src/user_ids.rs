//! Which user names may be registered here.

use ruma::{OwnedUserId, ServerName, UserId};

/// The longest user id, sigil and server name included, in bytes.
/// [Spec](https://spec.matrix.org/v1.19/appendices/#user-identifiers)
pub const MAX_USER_ID_BYTES: usize = 255;

/// Why a user name is refused: 400 `M_INVALID_USERNAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsername {
    /// It is empty.
    #[error("the user name is empty")]
    Empty,
    /// It has something else than lower-case letters, digits and `._=-/+`.
    #[error("a user name may only contain the characters a-z, 0-9, and ._=-/+")]
    Characters,
    /// It starts with an underscore, which is kept for application services.
    #[error("a user name can't start with an underscore")]
    Underscore,
    /// The user id would be longer than [`MAX_USER_ID_BYTES`].
    #[error("the user ID would be longer than {MAX_USER_ID_BYTES} bytes")]
    TooLong,
    /// It is a user id of another server, or none at all.
    #[error("that is not a user ID of this server")]
    NotOurs,
}

/// The user id for a name that somebody asks to register: a localpart, or a full id of this
/// server.
///
/// # Errors
/// The name is not one that may be registered.
pub fn new_user_id(name: &str, server: &ServerName) -> Result<OwnedUserId, InvalidUsername> {
    let localpart = localpart_of(name, server)?;
    if localpart.starts_with('_') {
        return Err(InvalidUsername::Underscore);
    }
    conforming(localpart, server)
}

/// The user id for a name that an application service registers: its own namespace decides about
/// a leading underscore.
///
/// # Errors
/// The name is not one that may be registered.
pub fn new_appservice_user_id(
    name: &str,
    server: &ServerName,
) -> Result<OwnedUserId, InvalidUsername> {
    conforming(localpart_of(name, server)?, server)
}

/// The user id that somebody means when logging in: a localpart or a full id, in any letter case
/// that historical names allow.
///
/// # Errors
/// It can't be the name of a user of this server.
pub fn local_user_id(name: &str, server: &ServerName) -> Result<OwnedUserId, InvalidUsername> {
    let localpart = localpart_of(name, server)?;
    if localpart.is_empty() {
        return Err(InvalidUsername::Empty);
    }
    checked(localpart, server)
}

fn localpart_of<'a>(name: &'a str, server: &ServerName) -> Result<&'a str, InvalidUsername> {
    let Some(rest) = name.strip_prefix('@') else {
        return Ok(name);
    };
    match rest.split_once(':') {
        Some((localpart, host)) if host == server.as_str() => Ok(localpart),
        _ => Err(InvalidUsername::NotOurs),
    }
}

fn conforming(localpart: &str, server: &ServerName) -> Result<OwnedUserId, InvalidUsername> {
    if localpart.is_empty() {
        return Err(InvalidUsername::Empty);
    }
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._=-/+".contains(&byte);
    if !localpart.bytes().all(allowed) {
        return Err(InvalidUsername::Characters);
    }
    checked(localpart, server)
}

fn checked(localpart: &str, server: &ServerName) -> Result<OwnedUserId, InvalidUsername> {
    let id = format!("@{localpart}:{server}");
    if id.len() > MAX_USER_ID_BYTES {
        return Err(InvalidUsername::TooLong);
    }
    match UserId::parse(id) {
        Ok(user) if user.server_name() == server => Ok(user),
        _ => Err(InvalidUsername::Characters),
    }
}
