//! The ring on a network that follows a script.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use matryx_client::{
    federation::{Federation, FederationOptions},
    outbound::{Dns, DnsError, Limits, Outbound, OutboundError, Route, Service},
};
use matryx_entity::{clock::Clock, verify::Unverified};
use matryx_surrealdb::{Store, StoreConfig};
use parking_lot::Mutex;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedServerName,
    RoomVersionId, UInt,
    signatures::{Ed25519KeyPair, hash_and_sign_event},
};
use serde_json::json;

use super::{KeyRing, KeyRingOptions, OwnKeys, Queried, VerifyError};

#[derive(Debug)]
struct StillClock(AtomicU64);

impl Clock for StillClock {
    fn now(&self) -> MilliSecondsSinceUnixEpoch {
        let ms = self.0.load(Ordering::Relaxed);
        MilliSecondsSinceUnixEpoch(UInt::try_from(ms).unwrap())
    }
}

#[derive(Default)]
struct Script {
    answers: Mutex<HashMap<String, String>>,
    /// An address that never answers, as do those that begin with that word.
    silent: Mutex<Option<String>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock())
    }
}

impl Dns for Script {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, DnsError>> {
        async { Err(DnsError::NotFound(host.to_owned())) }.boxed()
    }

    fn service<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Service, DnsError>> {
        async { Err(DnsError::NotFound(name.to_owned())) }.boxed()
    }
}

impl Outbound for Script {
    fn exchange<'a>(
        &'a self,
        _: &'a Route,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, OutboundError>> {
        let url = request.uri().to_string();
        let url = url.split('?').next().unwrap().to_owned();
        let answer = self.answers.lock().get(&url).cloned();
        let is_silent =
            self.silent.lock().as_ref() == Some(&url) || url.starts_with("https://silent");
        self.asked.lock().push(url);
        async move {
            tokio::task::yield_now().await;
            if is_silent {
                std::future::pending::<()>().await;
            }
            answer
                .map(|answer| Response::new(Bytes::from(answer)))
                .ok_or(OutboundError::TimedOut(limits.time))
        }
        .boxed()
    }
}

struct World {
    network: Arc<Script>,
    clock: Arc<StillClock>,
    ring: KeyRing,
}

const HERE: &str = "here.test:1";
const THERE: &str = "there.test:1";
const NOTARY: &str = "notary.test:1";

const DIRECT: &str = "https://there.test:1/_matrix/key/v2/server";
const BY_NOTARY: &str = "https://notary.test:1/_matrix/key/v2/query/there.test:1";
const OF_NOTARY: &str = "https://notary.test:1/_matrix/key/v2/server";

fn name(name: &str) -> OwnedServerName {
    name.try_into().unwrap()
}

/// The keys of a server that starts now.
async fn keys_of(server: &str, store: &Store) -> OwnKeys {
    let document = Ed25519KeyPair::generate();
    let pair = Ed25519KeyPair::from_der(&document, "k".to_owned()).unwrap();
    OwnKeys::load(store, name(server), Arc::new(pair))
        .await
        .unwrap()
}

impl World {
    async fn new(notaries: &[&str]) -> (Self, Store) {
        let store = Store::open(&StoreConfig::new("mem://")).await.unwrap();
        let network = Arc::<Script>::default();
        let clock = Arc::new(StillClock(AtomicU64::new(1_800_000_000_000)));
        let document = Ed25519KeyPair::generate();
        let pair = Ed25519KeyPair::from_der(&document, "k".to_owned()).unwrap();
        let federation = Federation::new(FederationOptions {
            server_name: name(HERE),
            key: Arc::new(pair),
            outbound: network.clone(),
            dns: network.clone(),
            clock: clock.clone(),
        });
        let ring = KeyRing::new(KeyRingOptions {
            own: Arc::new(keys_of(HERE, &store).await),
            store: store.clone(),
            federation,
            clock: clock.clone(),
            notaries: notaries.iter().copied().map(name).collect(),
            banned: Vec::new(),
        });
        let world = Self {
            network,
            clock,
            ring,
        };
        (world, store)
    }

    /// Lets `server` answer with what `keys` publishes now.
    fn answer(&self, url: &str, answer: &CanonicalJsonObject) {
        let text = serde_json::to_string(answer).unwrap();
        self.network.answers.lock().insert(url.to_owned(), text);
    }

    fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap();
        self.clock.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Whether keys of the other server can be had.
    async fn has_keys(&self) -> bool {
        let queried = Queried {
            server_name: name(THERE),
            ids: Vec::new(),
            minimum_valid_until_ts: None,
        };
        !self.ring.query(vec![queried]).await.unwrap().is_empty()
    }
}

fn handed_on(keys: CanonicalJsonObject) -> CanonicalJsonObject {
    let list = CanonicalJsonValue::Array(vec![CanonicalJsonValue::Object(keys)]);
    CanonicalJsonObject::from([("server_keys".to_owned(), list)])
}

#[tokio::test]
async fn fetches_once_for_all_who_wait_and_then_knows() {
    let (world, store) = World::new(&[]).await;
    let there = keys_of(THERE, &store).await;
    world.answer(DIRECT, &there.published(world.clock.now()).unwrap());
    let (one, other) = tokio::join!(world.has_keys(), world.has_keys());
    assert!(one && other);
    assert!(world.has_keys().await);
    assert_eq!(world.network.asked(), [DIRECT]);
}

#[tokio::test]
async fn leaves_a_server_alone_that_gave_no_keys_ever_longer() {
    let (world, _store) = World::new(&[]).await;
    for pause in [30, 60, 120] {
        assert!(!world.has_keys().await);
        assert_eq!(world.network.asked(), [DIRECT]);
        world.advance(Duration::from_secs(pause - 1));
        assert!(!world.has_keys().await);
        assert_eq!(world.network.asked(), [""; 0]);
        world.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn asks_again_when_keys_have_expired() {
    let (world, store) = World::new(&[]).await;
    let there = keys_of(THERE, &store).await;
    world.answer(DIRECT, &there.published(world.clock.now()).unwrap());
    assert!(world.has_keys().await);
    world.network.asked();
    world.advance(Duration::from_hours(25));
    world.answer(DIRECT, &there.published(world.clock.now()).unwrap());
    assert!(world.has_keys().await);
    assert_eq!(world.network.asked(), [DIRECT]);
    assert!(world.has_keys().await);
    assert_eq!(world.network.asked(), [""; 0]);
}

#[tokio::test]
async fn who_is_no_stranger_does_not_wait_behind_strangers() {
    let (world, store) = World::new(&[]).await;
    let there = keys_of(THERE, &store).await;
    world.answer(DIRECT, &there.published(world.clock.now()).unwrap());
    assert!(world.has_keys().await);
    world.advance(Duration::from_hours(25));
    world.answer(DIRECT, &there.published(world.clock.now()).unwrap());
    let strangers = (0..300).map(|number| {
        let queried = Queried {
            server_name: name(&format!("silent{number}.test:1")),
            ids: Vec::new(),
            minimum_valid_until_ts: None,
        };
        world.ring.query(vec![queried])
    });
    world.network.asked();
    let strangers = futures_util::future::join_all(strangers);
    let known = async {
        // Until as many strangers are asked as ever will be.
        while world.network.asked.lock().len() < 64 {
            tokio::task::yield_now().await;
        }
        assert!(world.has_keys().await);
    };
    tokio::select! {
        _ = strangers => panic!("nobody answers"),
        () = known => {}
    }
    let asked = world.network.asked();
    assert_eq!(asked.iter().filter(|url| *url == DIRECT).count(), 1);
    assert_eq!(asked.len(), 65);
}

#[tokio::test]
async fn believes_a_notary_only_with_its_signature() {
    let (world, store) = World::new(&[NOTARY]).await;
    let there = keys_of(THERE, &store).await;
    let (notary, impostor) = (keys_of(NOTARY, &store).await, keys_of(NOTARY, &store).await);
    let now = world.clock.now();
    world.answer(OF_NOTARY, &notary.published(now).unwrap());
    let mut signed = there.published(now).unwrap();
    let mut forged = signed.clone();
    world.answer(BY_NOTARY, &handed_on(signed.clone()));
    assert!(!world.has_keys().await);
    assert_eq!(world.network.asked(), [DIRECT, OF_NOTARY, BY_NOTARY]);
    impostor.sign(&mut forged).unwrap();
    world.answer(BY_NOTARY, &handed_on(forged));
    world.advance(Duration::from_mins(2));
    assert!(!world.has_keys().await);
    // The notary's own keys are known by now.
    assert_eq!(world.network.asked(), [DIRECT, BY_NOTARY]);
    notary.sign(&mut signed).unwrap();
    world.answer(BY_NOTARY, &handed_on(signed));
    world.advance(Duration::from_mins(5));
    assert!(world.has_keys().await);
}

/// A message of a server, and the keys that the server tells.
async fn message(server: &str, store: &Store) -> (Unverified, OwnKeys) {
    let document = Ed25519KeyPair::generate();
    let pair = || Ed25519KeyPair::from_der(&document, "k".to_owned()).unwrap();
    let keys = OwnKeys::load(store, name(server), Arc::new(pair()));
    let event = json!({
        "type": "m.room.message",
        "room_id": "!a:b",
        "sender": format!("@a:{server}"),
        "content": {},
        "prev_events": [],
        "auth_events": [],
        "depth": 1,
        "origin_server_ts": 1_800_000_000_000_u64,
    });
    let mut event: CanonicalJsonObject = serde_json::from_value(event).unwrap();
    let rules = RoomVersionId::V11.rules().unwrap();
    hash_and_sign_event(server, &pair(), &mut event, &rules.redaction).unwrap();
    let text = serde_json::to_string(&event).unwrap();
    let event = Unverified::parse(&text, &RoomVersionId::V11).unwrap();
    (event, keys.await.unwrap())
}

#[tokio::test]
async fn a_server_that_is_slow_to_tell_its_keys_delays_no_other() {
    let (world, store) = World::new(&[]).await;
    let (good, keys) = message(THERE, &store).await;
    let (slow, _) = message("slow.test:1", &store).await;
    world.answer(DIRECT, &keys.published(world.clock.now()).unwrap());
    let url = "https://slow.test:1/_matrix/key/v2/server";
    *world.network.silent.lock() = Some(url.to_owned());
    let events = vec![slow.clone(), good.clone(), slow];
    let patience = Duration::from_millis(200);
    let verified = world.ring.verify_within(patience, events).await;
    let [one, other, last] = verified.as_slice() else {
        panic!("{verified:?}");
    };
    assert_eq!(other.as_ref().unwrap().event_id(), good.event_id());
    for away in [one, last] {
        assert!(
            matches!(away, Err(VerifyError::KeysAway { .. })),
            "{away:?}"
        );
    }
}
