//! What can go wrong with keys.

use std::sync::Arc;

use matryx_client::federation::FederationError;
use matryx_entity::{
    server_keys::ServerKeysError,
    verify::{UntrustedPdu, Unverified},
};
use matryx_surrealdb::StoreError;
use ruma::{
    OwnedEventId, OwnedServerName, api::federation::authentication::XMatrixVerificationError,
};
use thiserror::Error;

/// Why the keys of a server can't be had.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The server, or the notary, did not give any.
    #[error("no keys of {server} from {from}")]
    Fetch {
        /// Whose keys.
        server: OwnedServerName,
        /// Who was asked.
        from: OwnedServerName,
        /// Why.
        #[source]
        source: Box<FederationError>,
    },
    /// What it gave can't be believed.
    #[error("the keys of {server} from {from} cannot be used")]
    Unusable {
        /// Whose keys.
        server: OwnedServerName,
        /// Who was asked.
        from: OwnedServerName,
        /// Why.
        #[source]
        source: ServerKeysError,
    },
    /// Nobody gave any in time.
    #[error("fetching the keys of {0} took too long")]
    TooSlow(OwnedServerName),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an event is not verified.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// A server that must have signed it has no key that it signed with and that is valid for it.
    #[error("no valid key of {server} for {event_id}")]
    NoKeys {
        /// The event.
        event_id: OwnedEventId,
        /// The server.
        server: OwnedServerName,
    },
    /// A server that must have signed it does not tell its keys now. Another attempt may find one
    /// that is valid for it.
    #[error("the keys of {server} can't be had now")]
    KeysAway {
        /// The event.
        event: Box<Unverified>,
        /// The server.
        server: OwnedServerName,
    },
    /// The event can't be believed, ever.
    #[error("{event_id} cannot be believed")]
    Untrusted {
        /// The event.
        event_id: OwnedEventId,
        /// Why.
        #[source]
        source: UntrustedPdu,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server stops.
    #[error("verification was interrupted")]
    Interrupted(#[source] Arc<tokio::task::JoinError>),
}

/// Why a request does not prove who sent it.
#[derive(Debug, Error)]
pub enum RequestProofError {
    /// The server's key is not known, and can't be had in time.
    #[error("No valid key with this id is known of {0}")]
    NoKey(OwnedServerName),
    /// The signature is wrong.
    #[error("The request is not signed by {server}")]
    Signature {
        /// The server that it claims to be.
        server: OwnedServerName,
        /// Why.
        #[source]
        source: XMatrixVerificationError,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
