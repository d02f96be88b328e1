//! Who calls: the identities that the HTTP edge proves.
//!
//! A handler names the identity it needs by its request type; only the extractor makes these
//! values, so code that holds one need not ask again.

use std::{net::IpAddr, sync::Arc};

use futures_util::future::BoxFuture;
use matryx_entity::log::ClientTransaction;
use ruma::{
    DeviceId, OwnedDeviceId, OwnedServerName, OwnedTransactionId, OwnedUserId, RoomId, ServerName,
    UserId,
};
use thiserror::Error;

use crate::appservice::Appservice;

/// A local user who proved an access token, or a user that an application service acts as.
#[derive(Clone, Debug)]
pub struct Requester {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device that the token belongs to. None for application services that name no device.
    pub device_id: Option<OwnedDeviceId>,
    /// The application service that acts as this user, if one does.
    pub appservice: Option<Arc<Appservice>>,
    /// Is this a guest account?
    pub is_guest: bool,
}

impl Requester {
    /// What makes a retried request of this caller the same request: ids are scoped to the
    /// device, the room and the endpoint.
    pub fn transaction(
        &self,
        txn_id: OwnedTransactionId,
        room_id: &RoomId,
        endpoint: impl std::fmt::Display,
    ) -> ClientTransaction {
        self.transaction_of(txn_id, format!("{room_id} {endpoint}"))
    }

    /// The same for an endpoint that is about no room: ids are scoped to the device and the endpoint.
    pub fn transaction_of(&self, txn_id: OwnedTransactionId, scope: String) -> ClientTransaction {
        ClientTransaction {
            user: self.user_id.clone(),
            device: self.device_id.clone().unwrap_or_else(|| "".into()),
            txn_id,
            scope,
        }
    }
}

/// Another server that proved to have signed a request to this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(OwnedServerName);

impl Origin {
    /// For the extractor only, which has checked the signature.
    pub(crate) fn proven(server_name: OwnedServerName) -> Self {
        Self(server_name)
    }

    /// Its name; never our own.
    pub fn server_name(&self) -> &ServerName {
        &self.0
    }
}

/// From where a request came.
#[derive(Clone, Debug)]
pub struct Remote {
    /// The client's address: the peer's, or what a trusted proxy says.
    pub ip: IpAddr,
    /// The client's `User-Agent`, cut to a bounded length.
    pub user_agent: Option<String>,
}

/// What a presented access token turned out to be.
#[derive(Clone, Debug)]
pub enum TokenState {
    /// It belongs to this user and device.
    Valid(Requester),
    /// It was valid and has expired: the client may refresh it or log in again and keep its device.
    Expired,
    /// The same, and the account is suspended: it may read, but hardly write.
    Suspended(Requester),
    /// The account is locked; everything but logging out is refused.
    Locked(Requester),
    /// The account was deactivated.
    Deactivated,
    /// Nobody's.
    Unknown,
}

/// In what condition an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is none.
    Missing,
    /// It can be used.
    Open,
    /// It is locked.
    Locked,
    /// It was deactivated.
    Deactivated,
}

/// Looks up who a token and an asserted identity belong to.
pub trait Identities: Send + Sync + 'static {
    /// What an access token is worth now.
    fn authenticate<'a>(&'a self, token: &'a str)
    -> BoxFuture<'a, Result<TokenState, LookupError>>;

    /// In what condition is this local user's account?
    fn condition<'a>(
        &'a self,
        user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<Condition, LookupError>>;

    /// Does this user have this device?
    fn knows_device<'a>(
        &'a self,
        user_id: &'a UserId,
        device_id: &'a DeviceId,
    ) -> BoxFuture<'a, Result<bool, LookupError>>;
}

/// Why an identity could not be looked up.
#[derive(Debug, Error)]
pub enum LookupError {
    /// The database is away.
    #[error("identities are unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The lookup failed.
    #[error("identities could not be looked up")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
