//! Why an account's request is refused.

use matryx_client::{federation::FederationError, sync::SyncError};
use matryx_entity::{profile::ProfileLimit, push::edit::EditError, user_ids::InvalidUsername};
use matryx_surrealdb::StoreError;
use ruma::api::client::uiaa::UiaaInfo;
use thiserror::Error;

use super::rooms::RoomsFailed;
use crate::key_backup::KeyBackupError;

/// The reasons of the account domain.
#[derive(Debug, Error)]
pub enum UserError {
    /// Newcomers cannot register here.
    #[error("Registration is closed on this server")]
    RegistrationClosed,
    /// This server has no guests.
    #[error("Guest access is disabled on this server")]
    GuestsDisabled,
    /// The user name is not one that may be registered.
    #[error(transparent)]
    InvalidUsername(#[from] InvalidUsername),
    /// The user name is taken, or was once.
    #[error("This user name is already taken")]
    NameTaken,
    /// The user name is reserved for an application service, or outside of the caller's.
    #[error("{0}")]
    Exclusive(&'static str),
    /// The password is not acceptable.
    #[error("{0}")]
    WeakPassword(&'static str),
    /// The client has to prove more; carries what and how.
    #[error("User-interactive authentication is required")]
    Interactive(Box<UiaaInfo>),
    /// A session of user-interactive authentication was started for something else.
    #[error("The operation differs from the one that the authentication session was started for")]
    OperationChanged,
    /// User and password do not belong together.
    #[error("Invalid user name or password")]
    BadCredentials,
    /// The account is closed.
    #[error("This account has been deactivated")]
    Deactivated,
    /// The account is locked.
    #[error("This account has been locked")]
    Locked,
    /// A kind of login that this server does not have.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A required field is missing.
    #[error("Missing parameter: {0}")]
    MissingParam(&'static str),
    /// A field has a value that is not acceptable.
    #[error("{0}")]
    InvalidParam(&'static str),
    /// The caller has no access token where one is needed.
    #[error("Missing access token")]
    MissingToken,
    /// The refresh token is nobody's, or was replaced.
    #[error("Unrecognised refresh token")]
    UnknownToken,
    /// The `OpenID` token is nobody's, or has expired.
    #[error("Unrecognised OpenID token")]
    UnknownOpenId,
    /// The refresh token is too old.
    #[error("The refresh token has expired")]
    ExpiredToken,
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(&'static str),
    /// Something is longer than it may be.
    #[error("{0}")]
    TooLarge(&'static str),
    /// This type of account data has its own endpoint.
    #[error("Account data of the type {0} cannot be set through this endpoint")]
    ManagedType(String),
    /// The content is not a JSON object.
    #[error("The content must be a JSON object")]
    NotAnObject,
    /// The profile or the name of its field is too large.
    #[error(transparent)]
    Profile(#[from] ProfileLimit),
    /// The push rules stay as they are.
    #[error(transparent)]
    PushRules(#[from] EditError),
    /// More passwords wait to be hashed than the server can hash soon.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// A password could not be hashed.
    #[error("a password could not be hashed: {0}")]
    Hash(argon2::password_hash::Error),
    /// A thread of the hashing pool ended early.
    #[error("the password pool failed")]
    Pool(#[from] tokio::task::JoinError),
    /// A value could not be written as JSON.
    #[error("a value could not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// Another server that is needed for this does not help.
    #[error("{0}")]
    Elsewhere(#[source] Box<FederationError>),
    /// A follow-up in the user's rooms failed.
    #[error(transparent)]
    Rooms(#[from] RoomsFailed),
    /// The user's key backups could not be removed.
    #[error(transparent)]
    KeyBackup(#[from] KeyBackupError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sync engine failed.
    #[error(transparent)]
    Sync(#[from] SyncError),
}
