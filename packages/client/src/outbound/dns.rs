//! Names: addresses and services of hosts.

mod message;
mod query;
mod system;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use thiserror::Error;

pub use self::system::SystemDns;
use super::Target;

/// What an SRV lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Where the service is, best first; empty when there is no such service.
    pub targets: Vec<Target>,
    /// For how long that holds.
    pub ttl: Duration,
}

/// Looks names up.
pub trait Dns: Send + Sync + 'static {
    /// The addresses of a host; at least one.
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, DnsError>>;

    /// The servers of a service, such as `_matrix-fed._tcp.example.org`.
    fn service<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Service, DnsError>>;
}

/// Why a name could not be looked up.
#[derive(Clone, Debug, Error)]
pub enum DnsError {
    /// There is no such name, or it has no address.
    #[error("{0} has no address")]
    NotFound(String),
    /// It is no name that can be asked for.
    #[error("{0} is no host name")]
    NotAName(String),
    /// No name server gave an answer.
    #[error("the name servers do not answer for {name}")]
    Unavailable {
        /// The name.
        name: String,
        /// What became of the last question.
        #[source]
        source: Arc<io::Error>,
    },
}
