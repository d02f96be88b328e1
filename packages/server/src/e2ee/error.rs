//! Why a request about keys is refused.

use matryx_entity::signed_object::KeyFault;
use matryx_surrealdb::StoreError;
use ruma::IdParseError;
use thiserror::Error;

use super::remote::RemoteError;
use crate::user::UserError;

/// The reasons of the domain of end-to-end encryption.
#[derive(Debug, Error)]
pub enum E2eeError {
    /// An application service that acts as no device has no keys.
    #[error("Keys belong to a device, and the request names none")]
    NoDevice,
    /// A key is not acceptable.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// A field has a value that is not acceptable.
    #[error("{0}")]
    InvalidParam(&'static str),
    /// A one-time key of that id exists with another value.
    #[error("Another one-time key has the ID {0} already")]
    KeyExists(String),
    /// There is more than the server takes.
    #[error("{0}")]
    TooLarge(&'static str),
    /// Cross-signing keys need a master key.
    #[error("There is no master key")]
    NoMasterKey,
    /// A cross-signing key has the name of a device.
    #[error("A device of the user has the ID of this key")]
    KeyIdInUse,
    /// A user of another server was asked for.
    #[error("A user is of another server")]
    Elsewhere,
    /// This server has no such user.
    #[error("There is no such user")]
    NoSuchUser,
    /// The user has no dehydrated device, or one of another name.
    #[error("There is no such dehydrated device")]
    NoDehydratedDevice,
    /// Something has not the form that it must have.
    #[error("{0}")]
    Malformed(#[source] serde_json::Error),
    /// What is stored of keys is not what this program writes.
    #[error("a stored key can't be read")]
    Damaged(#[source] KeyFault),
    /// What is stored as the id of a key is none.
    #[error("a stored key has no proper ID")]
    KeyId(#[source] IdParseError),
    /// A value could not be read or written as JSON.
    #[error("a value could not be read or written as JSON")]
    Json(#[source] serde_json::Error),
    /// The account refuses.
    #[error(transparent)]
    User(#[from] UserError),
    /// The lists of other servers' users can't be read.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}
