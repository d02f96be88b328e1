//! Signing keys: the server's own, and those of other servers.
//!
//! [`OwnKeys`] is what this server signs with and publishes; the [`KeyRing`] fetches, keeps and
//! applies what others publish. Nothing that another server signed is believed but through the
//! ring.

mod error;
mod fetch;
mod loose;
mod notary;
mod own;
mod ring;
mod want;

pub use self::{
    error::{KeyError, RequestProofError, VerifyError},
    notary::{MAX_QUERIED, Queried},
    own::OwnKeys,
    ring::{KeyRing, KeyRingOptions},
};

#[cfg(test)]
mod tests;
