//! A network that follows a script, and notes what is asked of it.

use std::{collections::HashMap, io, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use matryx_client::outbound::{
    Dns, DnsError, Host, Limits, Outbound, OutboundError, Route, Service, Target,
};
use matryx_entity::clock::Clock;
use parking_lot::Mutex;
use ruma::{MilliSecondsSinceUnixEpoch, UInt};

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct StillClock(Mutex<u64>);

impl Default for StillClock {
    fn default() -> Self {
        Self(Mutex::new(1_800_000_000_000))
    }
}

impl StillClock {
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock() += u64::try_from(by.as_millis()).unwrap();
    }
}

impl Clock for StillClock {
    fn now(&self) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(UInt::try_from(*self.0.lock()).unwrap())
    }
}

/// What a host answers.
pub(crate) type Reply = Result<Response<Bytes>, OutboundError>;

/// The network. What the script does not have is refused or not found.
#[derive(Default)]
pub(crate) struct Script {
    replies: Mutex<HashMap<String, Reply>>,
    services: Mutex<HashMap<String, Result<Service, DnsError>>>,
    /// What was asked, in order.
    log: Mutex<Vec<String>>,
    /// The route and the request of every exchange.
    pub(crate) exchanges: Mutex<Vec<(Route, Request<Bytes>)>>,
}

impl Script {
    /// A reply to requests for this URL.
    pub(crate) fn reply(&self, url: &str, reply: Reply) {
        self.replies.lock().insert(url.to_owned(), reply);
    }

    /// The well-known file of a host.
    pub(crate) fn well_known(&self, host: &str, file: &str) {
        let url = format!("https://{host}/.well-known/matrix/server");
        self.reply(&url, Ok(answer(200, file)));
    }

    /// The servers of a service.
    pub(crate) fn service(&self, name: &str, targets: &[(&str, u16)]) {
        let targets = targets.iter().map(|(host, port)| target(host, *port));
        let service = Service {
            targets: targets.collect(),
            ttl: Duration::from_mins(10),
        };
        self.services.lock().insert(name.to_owned(), Ok(service));
    }

    /// Name servers that give no answer for a service.
    pub(crate) fn no_name_server(&self, name: &str) {
        let error = DnsError::Unavailable {
            name: name.to_owned(),
            source: Arc::new(io::ErrorKind::TimedOut.into()),
        };
        self.services.lock().insert(name.to_owned(), Err(error));
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock())
    }
}

pub(crate) fn target(host: &str, port: u16) -> Target {
    Target {
        host: Host::parse(host),
        port,
    }
}

pub(crate) fn answer(status: u16, body: &str) -> Response<Bytes> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Response::builder().status(status).body(body).unwrap()
}

pub(crate) fn refused() -> OutboundError {
    OutboundError::Connect {
        to: "somewhere".to_owned(),
        source: Arc::new(io::ErrorKind::ConnectionRefused.into()),
    }
}

impl Dns for Script {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, DnsError>> {
        async { Err(DnsError::NotFound(host.to_owned())) }.boxed()
    }

    fn service<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Service, DnsError>> {
        self.log.lock().push(name.to_owned());
        let found = self.services.lock().get(name).cloned();
        let nothing = Service {
            targets: Vec::new(),
            ttl: Duration::from_mins(5),
        };
        async { found.unwrap_or(Ok(nothing)) }.boxed()
    }
}

impl Outbound for Script {
    fn exchange<'a>(
        &'a self,
        route: &'a Route,
        request: Request<Bytes>,
        _: Limits,
    ) -> BoxFuture<'a, Reply> {
        let url = request.uri().to_string();
        self.log.lock().push(url.clone());
        self.exchanges.lock().push((route.clone(), request));
        let reply = self.replies.lock().get(&url).cloned();
        async move {
            // Others get a turn, as on a real network.
            tokio::task::yield_now().await;
            reply.unwrap_or_else(|| Err(refused()))
        }
        .boxed()
    }
}
