//! From a server's name to where it is.
//!
//! Every step that fails leads to the next one, and the last one always gives a route; whether a
//! server is there shows when it is connected to, and who is there is told by its certificate.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names)

use std::{fmt, sync::Arc, time::Duration};

use futures_util::FutureExt;
use matryx_entity::{clock::Clock, server_keys::later};
use metrics::counter;
use quick_cache::sync::Cache;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName};

use super::well_known::{self, Delegation, WellKnownError};
use crate::{
    Flights,
    outbound::{Dns, Host, Outbound, Route, Target},
};

/// The port of a server that names none.
const DEFAULT_PORT: u16 = 8448;

/// The most servers whose place is remembered.
const MAX_SERVERS: usize = 8192;

/// How long a route holds that nothing else bounds.
const LIFETIME: Duration = Duration::from_hours(1);
/// The shortest time that a route holds, whatever its records say.
const MIN_LIFETIME: Duration = Duration::from_mins(1);
/// How long it holds that a host has no well-known file.
const ABSENT: Duration = Duration::from_hours(1);
/// How soon a step is tried again that failed for the moment.
const RETRY: Duration = Duration::from_mins(5);
/// How long a well-known file counts that can't be fetched any more.
const STALE: Duration = Duration::from_hours(48);

/// What was found out on the way to a server.
#[derive(Clone, Debug)]
pub enum Step {
    /// The name is an address.
    Address,
    /// The name has a port.
    Port,
    /// The well-known file names another server.
    Delegated(OwnedServerName),
    /// The well-known file can't be fetched, but could be before.
    StillDelegated(OwnedServerName, WellKnownError),
    /// There is no well-known file.
    NotDelegated(WellKnownError),
    /// An SRV record names these.
    Service(String, Vec<Target>),
    /// There is no such SRV record, or it can't be asked for.
    NoService(String, Option<String>),
    /// The default port.
    DefaultPort,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => write!(formatter, "the name is an address"),
            Self::Port => write!(formatter, "the name has a port"),
            Self::Delegated(server) => write!(formatter, "well-known: {server}"),
            Self::StillDelegated(server, why) => {
                write!(formatter, "well-known: {server} as before ({why})")
            }
            Self::NotDelegated(why) => write!(formatter, "no well-known: {why}"),
            Self::Service(name, targets) => {
                write!(formatter, "SRV {name}:")?;
                targets
                    .iter()
                    .try_for_each(|target| write!(formatter, " {target}"))
            }
            Self::NoService(name, None) => write!(formatter, "no SRV {name}"),
            Self::NoService(name, Some(why)) => write!(formatter, "no SRV {name}: {why}"),
            Self::DefaultPort => write!(formatter, "port {DEFAULT_PORT}"),
        }
    }
}

/// Where a server is.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// The way to it.
    pub route: Route,
    /// How it was found.
    pub steps: Vec<Step>,
    /// Until when that holds.
    pub until: MilliSecondsSinceUnixEpoch,
    /// The well-known file that led there, and when it was fetched.
    delegation: Option<(Delegation, MilliSecondsSinceUnixEpoch)>,
}

/// Finds servers, and remembers where they are. Cheap to clone.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    outbound: Arc<dyn Outbound>,
    dns: Arc<dyn Dns>,
    clock: Arc<dyn Clock>,
    known: Cache<OwnedServerName, Arc<Resolution>>,
    flights: Flights<OwnedServerName, Arc<Resolution>>,
}

impl Resolver {
    /// A resolver that knows nothing yet.
    pub fn new(outbound: Arc<dyn Outbound>, dns: Arc<dyn Dns>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            outbound,
            dns,
            clock,
            known: Cache::new(MAX_SERVERS),
            flights: Flights::default(),
        }))
    }

    /// Where a server is: remembered, or found once for all who ask meanwhile.
    pub async fn resolve(&self, server: &ServerName) -> Arc<Resolution> {
        let known = self.0.known.get(server);
        let current = known
            .as_ref()
            .filter(|known| self.0.clock.now() < known.until);
        let outcome = if current.is_some() { "hit" } else { "miss" };
        counter!("matryx_cache_requests_total", "cache" => "servers", "outcome" => outcome)
            .increment(1);
        if let Some(known) = current {
            return Arc::clone(known);
        }
        let start = || {
            let (inner, server) = (Arc::clone(&self.0), server.to_owned());
            let find = async move {
                let found = Search::new(&inner).run(&server, known.as_deref()).await;
                let found = Arc::new(found);
                inner.known.insert(server, Arc::clone(&found));
                found
            };
            find.boxed()
        };
        self.0.flights.join(&server.to_owned(), start).await
    }

    /// How many servers are remembered.
    pub(super) fn count(&self) -> usize {
        self.0.known.len()
    }
}

/// One run through the steps.
struct Search<'a> {
    resolver: &'a Inner,
    now: MilliSecondsSinceUnixEpoch,
    steps: Vec<Step>,
    lifetime: Duration,
    delegation: Option<(Delegation, MilliSecondsSinceUnixEpoch)>,
}

impl<'a> Search<'a> {
    fn new(resolver: &'a Inner) -> Self {
        Self {
            resolver,
            now: resolver.clock.now(),
            steps: Vec::new(),
            lifetime: LIFETIME,
            delegation: None,
        }
    }

    async fn run(mut self, server: &ServerName, before: Option<&Resolution>) -> Resolution {
        // 1 and 2
        let route = match self.explicit(server) {
            Some(route) => route,
            None => self.named(server, before).await,
        };
        let lifetime = self.lifetime.max(MIN_LIFETIME);
        Resolution {
            route,
            steps: self.steps,
            until: later(self.now, lifetime),
            delegation: self.delegation,
        }
    }

    /// 1, 2, 3.1 and 3.2: the name itself says where the server is.
    fn explicit(&mut self, server: &ServerName) -> Option<Route> {
        let host = Host::parse(server.host());
        let port = server.port();
        match (&host, port) {
            (Host::Ip(_), _) => self.steps.push(Step::Address),
            (Host::Name(_), Some(_)) => self.steps.push(Step::Port),
            (Host::Name(_), None) => return None,
        }
        let port = port.unwrap_or(DEFAULT_PORT);
        Some(Route::direct(server.as_str(), host, port))
    }

    /// 3 to 6: a name without a port.
    async fn named(&mut self, server: &ServerName, before: Option<&Resolution>) -> Route {
        // 3
        let Some(delegated) = self.delegated(server, before).await else {
            return self.service(server.host()).await;
        };
        match self.explicit(&delegated) {
            Some(route) => route,
            None => self.service(delegated.host()).await,
        }
    }

    async fn delegated(
        &mut self,
        server: &ServerName,
        before: Option<&Resolution>,
    ) -> Option<OwnedServerName> {
        let fetched = well_known::fetch(&*self.resolver.outbound, server.host(), self.now).await;
        let error = match fetched {
            Ok(delegation) => {
                let server = delegation.server.clone();
                self.steps.push(Step::Delegated(server.clone()));
                self.lifetime = delegation.lifetime;
                self.delegation = Some((delegation, self.now));
                return Some(server);
            }
            Err(error) => error,
        };
        let is_transient = error.is_transient();
        self.lifetime = if is_transient { RETRY } else { ABSENT };
        let old = before.and_then(|before| before.delegation.clone());
        if let Some((delegation, fetched_at)) = old
            && is_transient
            && self.now < later(fetched_at, STALE)
        {
            let server = delegation.server.clone();
            self.steps.push(Step::StillDelegated(server.clone(), error));
            self.delegation = Some((delegation, fetched_at));
            return Some(server);
        }
        self.steps.push(Step::NotDelegated(error));
        None
    }

    /// 3.3 to 3.5, and 4 to 6: SRV records, or the default port.
    async fn service(&mut self, host: &str) -> Route {
        let names = ["_matrix-fed._tcp", "_matrix._tcp"].map(|kind| format!("{kind}.{host}"));
        let [new, old] = names.each_ref().map(|name| self.resolver.dns.service(name));
        let (new, old) = tokio::join!(new, old);
        for (name, found) in names.into_iter().zip([new, old]) {
            match found {
                Ok(service) if !service.targets.is_empty() => {
                    self.steps
                        .push(Step::Service(name, service.targets.clone()));
                    self.lifetime = self.lifetime.min(service.ttl);
                    return Route {
                        authority: host.to_owned(),
                        name: Host::parse(host),
                        targets: service.targets,
                    };
                }
                Ok(service) => {
                    self.lifetime = self.lifetime.min(service.ttl);
                    self.steps.push(Step::NoService(name, None));
                }
                Err(error) => {
                    self.lifetime = self.lifetime.min(RETRY);
                    self.steps
                        .push(Step::NoService(name, Some(error.to_string())));
                }
            }
        }
        self.steps.push(Step::DefaultPort);
        Route::direct(host, Host::parse(host), DEFAULT_PORT)
    }
}
