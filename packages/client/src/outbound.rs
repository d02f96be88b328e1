//! Requests that leave this server: the one way out for all of them.
//!
//! Where a request goes is a [`Route`]; how it goes is an [`Outbound`], which is the network in the
//! server ([`HttpOutbound`]) and a script in tests. The address that is connected to is held
//! against the deny-list at that very moment, whatever led to it. Redirects are never followed
//! here.

mod connector;
mod dns;
mod guard;
mod http;
mod memory;
mod route;
mod tls;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use ::http::{Request, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use thiserror::Error;

pub use self::{
    dns::{Dns, DnsError, Service, SystemDns},
    guard::AddressGuard,
    http::{HttpOptions, HttpOutbound},
    memory::{Claim, MemoryLimits},
    route::{Host, Route, Target},
    tls::{TrustError, Trusted},
};

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first attempt to connect to the last byte of the answer.
    pub time: Duration,
    /// Bytes of the answer's body.
    pub body: usize,
}

/// Sends requests and brings back answers. One that is large has a [`Claim`] among its extensions.
pub trait Outbound: Send + Sync + 'static {
    /// Sends one request; its URI is absolute, with the route's authority.
    fn exchange<'a>(
        &'a self,
        route: &'a Route,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, OutboundError>>;
}

/// Why no answer came back.
#[derive(Clone, Debug, Error)]
pub enum OutboundError {
    /// The configuration does not let requests go there.
    #[error("requests to {0} are not allowed")]
    Denied(IpAddr),
    /// There is no address.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// Nobody listens there, or cannot be reached.
    #[error("cannot connect to {to}")]
    Connect {
        /// Where.
        to: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// Who listens there is not who they should be, or TLS fails in another way.
    #[error("no TLS with {name}")]
    Tls {
        /// The name that the certificate should be for.
        name: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// It took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is larger than allowed.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// Other large answers take up all memory that there is for them.
    #[error("too many large answers are being read or worked on")]
    Crowded,
    /// The connection broke or did not talk HTTP.
    #[error("the exchange failed")]
    Broken(#[source] Arc<dyn std::error::Error + Send + Sync>),
}
