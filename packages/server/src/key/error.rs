//! What can go wrong with keys.

use matryx_client::federation::FederationError;
use matryx_entity::{server_keys::ServerKeysError, verify::UntrustedPdu};
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
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an event is not verified.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// No key that is valid for the event is known of a server that must have signed it. Another
    /// attempt may find one.
    #[error("no valid key of {server} for {event_id}")]
    NoKeys {
        /// The event.
        event_id: OwnedEventId,
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
    Interrupted(#[source] tokio::task::JoinError),
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
