//! Talking to other homeservers: finding them, and typed requests that are signed as ours.
//!
//! [`Federation::send`] takes any request of Ruma's federation API. Where a server is follows the
//! specification's order of steps ([`Resolver`]); the network itself is [`crate::outbound`].

mod request;
mod resolve;
mod well_known;

pub use self::{
    request::{DEFAULT_LIMITS, Federation, FederationError, FederationOptions, ServerAuth},
    resolve::{Resolution, Resolver, Step},
    well_known::{Delegation, WellKnownError},
};
