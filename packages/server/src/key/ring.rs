//! The key ring: the keys of all servers, and what is verified with them.
//!
//! Keys come from memory, from the database, or from the network; what is missing is fetched once
//! however many wait for it, and not again for a while when that fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use matryx_client::{Flights, federation::Federation};
use matryx_entity::{
    clock::Clock,
    server_keys::ServerKeys,
    verify::{Unverified, Verified},
};
use matryx_surrealdb::{Plan, Store, StoreError};
use metrics::{counter, gauge};
use quick_cache::sync::Cache;
use ruma::{
    OwnedServerName, ServerName,
    api::federation::authentication::XMatrix,
    serde::Base64,
    signatures::{PublicKeyMap, PublicKeySet},
};
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, timeout, timeout_at},
};

use super::{
    error::{KeyError, RequestProofError, VerifyError},
    loose,
    own::OwnKeys,
    want::{Attempt, Want},
};

/// The most servers whose keys are held in memory.
const MAX_SERVERS: usize = 10_000;
/// The most servers that are asked for keys at once: of those whose keys were known once, and of
/// strangers.
const MAX_FETCHES: usize = 64;
const MAX_STRANGERS: usize = 64;
/// The longest that a request waits for its sender's key.
const REQUEST_PATIENCE: Duration = Duration::from_millis(9500);
/// The longest that the keys of one server are asked for, of it and of notaries.
const FETCH_PATIENCE: Duration = Duration::from_secs(9);
/// How many events are verified in one go, off the threads that serve requests.
const CHUNK: usize = 64;

/// What a key ring is made of.
pub struct KeyRingOptions {
    /// Our own keys.
    pub own: Arc<OwnKeys>,
    /// Where keys are kept.
    pub store: Store,
    /// The way to other servers.
    pub federation: Federation,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Servers that are asked for the keys of servers that can't be reached.
    pub notaries: Vec<OwnedServerName>,
    /// Public keys that nothing is believed of.
    pub banned: Vec<Base64>,
}

/// The keys of all servers. Cheap to clone.
#[derive(Clone)]
pub struct KeyRing(Arc<Inner>);

/// What the clones share.
pub(super) struct Inner {
    pub(super) own: Arc<OwnKeys>,
    pub(super) store: Store,
    pub(super) federation: Federation,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) notaries: Vec<OwnedServerName>,
    banned: BTreeSet<Vec<u8>>,
    known: Cache<OwnedServerName, Arc<ServerKeys>>,
    attempts: Cache<OwnedServerName, Attempt>,
    /// Bounds fetches, so that made-up servers by the thousand don't use up sockets, and that those
    /// who are no strangers don't wait behind them.
    places: Semaphore,
    strangers: Semaphore,
    flights: Flights<OwnedServerName, Option<Arc<ServerKeys>>>,
}

impl KeyRing {
    /// A ring that holds nothing in memory yet.
    pub fn new(options: KeyRingOptions) -> Self {
        let banned = options.banned.into_iter().map(Base64::into_inner);
        Self(Arc::new(Inner {
            own: options.own,
            store: options.store,
            federation: options.federation,
            clock: options.clock,
            notaries: options.notaries,
            banned: banned.collect(),
            known: Cache::new(MAX_SERVERS),
            attempts: Cache::new(MAX_SERVERS),
            places: Semaphore::new(MAX_FETCHES),
            strangers: Semaphore::new(MAX_STRANGERS),
            flights: Flights::default(),
        }))
    }

    /// Our own keys.
    pub fn own(&self) -> &OwnKeys {
        &self.0.own
    }

    /// Sets the process's metrics to what the ring is now.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float, and these stay far below 2^52"
    )]
    pub fn record_metrics(&self) {
        gauge!("matryx_cache_entries", "cache" => "server_keys").set(self.0.known.len() as f64);
    }

    /// Verifies one event.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify(&self, event: Unverified) -> Result<Verified, VerifyError> {
        let keys = self.keys_of(std::slice::from_ref(&event), None).await?;
        self.0.verify(event, &keys)
    }

    /// Verifies events: one look-up of keys for each server that signed any, all at once; the
    /// results are in the order of the events.
    pub async fn verify_all(&self, events: Vec<Unverified>) -> Vec<Result<Verified, VerifyError>> {
        self.verify_by(events, None).await
    }

    /// The same, with the keys that are there in time: a server that is slow to tell its own delays
    /// the events of no other.
    pub async fn verify_within(
        &self,
        patience: Duration,
        events: Vec<Unverified>,
    ) -> Vec<Result<Verified, VerifyError>> {
        let deadline = Instant::now() + patience;
        self.verify_by(events, Some(deadline)).await
    }

    async fn verify_by(
        &self,
        events: Vec<Unverified>,
        deadline: Option<Instant>,
    ) -> Vec<Result<Verified, VerifyError>> {
        let count = events.len();
        let keys = match self.keys_of(&events, deadline).await {
            Ok(keys) => Arc::new(keys),
            Err(error) => {
                let error = || VerifyError::Store(StoreError::clone(&error));
                return std::iter::repeat_with(|| Err(error()))
                    .take(count)
                    .collect();
            }
        };
        if count <= 1 {
            let verify = |event| self.0.verify(event, &keys);
            return events.into_iter().map(verify).collect();
        }
        let mut events = events.into_iter();
        let chunks = std::iter::from_fn(|| {
            let chunk: Vec<_> = events.by_ref().take(CHUNK).collect();
            (!chunk.is_empty()).then_some(chunk)
        });
        let verify = |chunk: Vec<Unverified>| {
            let (inner, keys) = (Arc::clone(&self.0), Arc::clone(&keys));
            let count = chunk.len();
            let verified = spawn_blocking(move || {
                let verify = |event| inner.verify(event, &keys);
                chunk.into_iter().map(verify).collect::<Vec<_>>()
            });
            async move { verified.await.map_err(|error| (count, Arc::new(error))) }
        };
        let threads = available_parallelism().map_or(1, usize::from);
        let mut verified = Vec::with_capacity(count);
        let mut chunks = stream::iter(chunks.map(verify)).buffered(threads);
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => verified.extend(chunk),
                Err((count, error)) => {
                    let error = || Err(VerifyError::Interrupted(Arc::clone(&error)));
                    verified.extend(std::iter::repeat_with(error).take(count));
                }
            }
        }
        verified
    }

    /// Checks that a request with this header was signed by the server that the header names.
    ///
    /// # Errors
    /// See [`RequestProofError`]. Takes at most ten seconds, also when the server is away.
    pub async fn verify_request<B: AsRef<[u8]>>(
        &self,
        header: &XMatrix,
        request: &http::Request<B>,
    ) -> Result<(), RequestProofError> {
        let id = header.key.to_string();
        let at = self.0.clock.now();
        let want = Want {
            ids: vec![id.clone()],
            at,
        };
        let lookup = self.0.lookup(&header.origin, std::slice::from_ref(&want));
        let known = match timeout(REQUEST_PATIENCE, lookup).await {
            Ok(found) => found?.keys,
            Err(_elapsed) => None,
        };
        let no_key = || RequestProofError::NoKey(header.origin.clone());
        let known = known.ok_or_else(no_key)?;
        let keys = self.0.usable(&known, &want);
        if keys.is_empty() {
            return Err(no_key());
        }
        let own_name = self.0.own.server_name();
        let all = PublicKeyMap::from([(header.origin.to_string(), keys)]);
        let Err(source) = header.verify_http_request(request, own_name, &all) else {
            return Ok(());
        };
        let mut keys = all.values().flat_map(PublicKeySet::values);
        if loose::can_be(&source)
            && keys.any(|key| loose::is_signed(header, request, own_name, key))
        {
            return Ok(());
        }
        Err(RequestProofError::Signature {
            server: header.origin.clone(),
            source,
        })
    }

    /// The keys of a server that are valid until `at`, to hand them on.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub(super) async fn published(
        &self,
        server: &ServerName,
        want: &Want,
    ) -> Result<Option<Arc<ServerKeys>>, StoreError> {
        let found = self.0.lookup(server, std::slice::from_ref(want)).await?;
        Ok(found.keys)
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// The keys of everybody who must have signed one of these events, as far as they can be had
    /// before the deadline.
    async fn keys_of(
        &self,
        events: &[Unverified],
        deadline: Option<Instant>,
    ) -> Result<KeysByServer, StoreError> {
        let mut wants: BTreeMap<OwnedServerName, Vec<Want>> = BTreeMap::new();
        for event in events {
            for (server, ids) in event.signers() {
                wants.entry(server.clone()).or_default().push(Want {
                    ids: ids.clone(),
                    at: event.origin_server_ts(),
                });
            }
        }
        let lookups = wants.into_iter().map(async |(server, wants)| {
            let lookup = self.0.lookup(&server, &wants);
            let found = match deadline {
                Some(deadline) => timeout_at(deadline, lookup).await,
                None => Ok(lookup.await),
            };
            let found = match found {
                Ok(found) => found?,
                Err(_elapsed) => Found {
                    keys: self.0.load(&server).await?,
                    is_current: false,
                },
            };
            Ok::<_, StoreError>((server, found))
        });
        let lookups = stream::iter(lookups).buffer_unordered(MAX_FETCHES);
        lookups.try_collect().await
    }
}

/// What a look-up of a server's keys came to.
struct Found {
    keys: Option<Arc<ServerKeys>>,
    /// Is it what the server says now? If not, another attempt may find more.
    is_current: bool,
}

type KeysByServer = BTreeMap<OwnedServerName, Found>;

impl Inner {
    fn verify(&self, event: Unverified, keys: &KeysByServer) -> Result<Verified, VerifyError> {
        let mut public = PublicKeyMap::new();
        for (server, ids) in event.signers() {
            let want = Want {
                ids: ids.clone(),
                at: event.origin_server_ts(),
            };
            let found = keys.get(server);
            let known = found.and_then(|found| found.keys.as_ref());
            let known = known.map(|known| self.usable(known, &want));
            if let Some(keys) = known.filter(|keys| !keys.is_empty()) {
                public.insert(server.to_string(), keys);
                continue;
            }
            let server = server.clone();
            let is_open = want.can_be_met(self.clock.now());
            return Err(if is_open && found.is_none_or(|found| !found.is_current) {
                let event = Box::new(event);
                VerifyError::KeysAway { event, server }
            } else {
                let event_id = event.event_id().to_owned();
                VerifyError::NoKeys { event_id, server }
            });
        }
        let event_id = event.event_id().to_owned();
        event
            .verify(&public)
            .map_err(|source| VerifyError::Untrusted { event_id, source })
    }

    /// The wanted keys that are valid and not banned.
    fn usable(&self, known: &ServerKeys, want: &Want) -> PublicKeySet {
        let ids = want.ids.iter();
        let keys = ids.filter_map(|id| Some((id.clone(), known.lookup(id, want.at)?.clone())));
        keys.filter(|(_, key)| !self.banned.contains(key.as_bytes()))
            .collect()
    }

    /// The keys of a server; fetched if those that are known do not do and others may.
    async fn lookup(
        self: &Arc<Self>,
        server: &ServerName,
        wants: &[Want],
    ) -> Result<Found, StoreError> {
        let now = self.clock.now();
        if server == self.own.server_name() {
            let own = self.own.known(now);
            return Ok(Found {
                keys: own.ok().map(Arc::new),
                is_current: true,
            });
        }
        let server = server.to_owned();
        let known = self.load(&server).await?;
        let is_met = |want: &Want| known.as_ref().is_some_and(|known| want.is_met_by(known));
        let is_open = |want: &Want| !is_met(want) && want.can_be_met(now);
        let last = self.attempts.get(&server);
        let may_ask = last.is_none_or(|attempt| attempt.is_over(now));
        if !wants.iter().any(is_open) || !may_ask {
            return Ok(Found {
                keys: known,
                is_current: last.is_some_and(|attempt| attempt.failures == 0),
            });
        }
        let fetch = || {
            let (inner, server) = (Arc::clone(self), server.clone());
            let is_stranger = known.is_none();
            async move { inner.fetch_and_keep(&server, is_stranger).await }.boxed()
        };
        let fetched = self.flights.join(&server, fetch).await;
        Ok(Found {
            is_current: fetched.is_some(),
            keys: fetched.or(known),
        })
    }

    async fn fetch_and_keep(
        &self,
        server: &OwnedServerName,
        is_stranger: bool,
    ) -> Option<Arc<ServerKeys>> {
        let places = if is_stranger {
            &self.strangers
        } else {
            &self.places
        };
        let _place = places.acquire().await.ok()?;
        let fetched = match timeout(FETCH_PATIENCE, self.fetch(server)).await {
            Ok(Ok(keys)) => self.keep(keys).await,
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(KeyError::TooSlow(server.clone())),
        };
        let before = self.attempts.get(server);
        let failures = match &fetched {
            Ok(_) => 0,
            Err(_) => before.map_or(1, |attempt| attempt.failures.saturating_add(1)),
        };
        let at = self.clock.now();
        self.attempts
            .insert(server.clone(), Attempt { at, failures });
        match fetched {
            Ok(keys) => Some(keys),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::info!(error, %server, "cannot fetch the keys of a server");
                None
            }
        }
    }

    /// What is known of a server's keys: from memory, or with one query.
    pub(super) async fn load(
        &self,
        server: &OwnedServerName,
    ) -> Result<Option<Arc<ServerKeys>>, StoreError> {
        let known = self.known.get(server);
        let outcome = if known.is_some() { "hit" } else { "miss" };
        counter!("matryx_cache_requests_total", "cache" => "server_keys", "outcome" => outcome)
            .increment(1);
        if known.is_some() {
            return Ok(known);
        }
        let stored = self.store.get(&ServerKeys::key_of(server)).await?;
        let stored: Option<Arc<ServerKeys>> = stored.map(Arc::new);
        if let Some(stored) = &stored {
            self.known.insert(server.clone(), Arc::clone(stored));
        }
        Ok(stored)
    }

    /// Keeps newly fetched keys, together with what was known before.
    pub(super) async fn keep(&self, keys: ServerKeys) -> Result<Arc<ServerKeys>, KeyError> {
        let server = keys.server_name.clone();
        let keys = match self.load(&server).await? {
            Some(known) => keys.with_older(&known),
            None => keys,
        };
        let mut plan = Plan::new();
        plan.put(&keys);
        self.store.commit(plan).await?;
        let keys = Arc::new(keys);
        self.known.insert(server, Arc::clone(&keys));
        Ok(keys)
    }
}
