//! A server that is none: it notes what it is sent and answers as the test says. Its users enter
//! rooms of a real server by its signature.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, put},
};
use http::{HeaderMap, Method};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use matryx_server::signing_key::SigningKey;
use parking_lot::Mutex;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedServerName, RoomVersionId, ServerName,
    api::federation::authentication::{XMatrix, XMatrixSigningInput},
    signatures,
};
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::pair::{Peer, fixture, free_address};
use crate::support::encode;

/// Longer than anything here takes; a bound for tests that fail.
const PATIENCE: Duration = Duration::from_secs(30);

/// The version of the rooms that a partner's users enter.
pub(super) const ROOM_VERSION: RoomVersionId = RoomVersionId::V11;

/// A server whose rooms a partner's users enter.
pub(super) trait Home {
    fn name(&self) -> &ServerName;

    /// A signed request, which must succeed.
    async fn ask(&self, method: Method, path: &str, header: &str, body: Option<&Value>) -> Value;
}

impl Home for Peer {
    fn name(&self) -> &ServerName {
        &self.name
    }

    async fn ask(&self, method: Method, path: &str, header: &str, body: Option<&Value>) -> Value {
        let request = self.server.request(method, path);
        let request = request.header("authorization", header);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        request.send().await.ok()
    }
}

/// What a partner answers to a transaction.
#[derive(Clone)]
pub(super) enum Verdict {
    /// It takes everything.
    Fine,
    /// Nothing, ever.
    Silence,
    /// An error.
    Error(StatusCode, Value),
    /// An error for messages to devices; it takes everything else.
    NoMessages(StatusCode, Value),
}

/// What a partner was sent.
struct Inbox {
    verdict: Mutex<Verdict>,
    transactions: Mutex<Vec<(String, Value)>>,
    /// How many transactions came, whatever was answered to them.
    attempts: Mutex<usize>,
    came: Notify,
    keys: Value,
    /// The list of devices of any of its users.
    devices: Mutex<Option<Value>>,
    /// How often it was asked for one.
    asked: Mutex<usize>,
}

pub(super) struct Partner {
    pub(super) name: OwnedServerName,
    key: SigningKey,
    address: SocketAddr,
    inbox: Arc<Inbox>,
    tasks: Option<JoinSet<()>>,
}

impl Partner {
    /// A partner that listens.
    pub(super) async fn start() -> Self {
        let address = free_address();
        let name = format!("localhost:{}", address.port());
        let name = OwnedServerName::try_from(name).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate(&folder.path().join("key")).unwrap();
        let inbox = Inbox {
            verdict: Mutex::new(Verdict::Fine),
            transactions: Mutex::default(),
            attempts: Mutex::default(),
            came: Notify::new(),
            keys: published(&name, &key),
            devices: Mutex::default(),
            asked: Mutex::default(),
        };
        let mut partner = Self {
            name,
            key,
            address,
            inbox: Arc::new(inbox),
            tasks: None,
        };
        partner.listen().await;
        partner
    }

    /// Listens (again).
    pub(super) async fn listen(&mut self) {
        let chain = CertificateDer::pem_file_iter(fixture("server.crt")).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let router = Router::new()
            .route("/_matrix/key/v2/server", get(keys))
            .route("/_matrix/federation/v1/send/{txn}", put(receive))
            .route("/_matrix/federation/v1/user/devices/{user}", get(devices))
            .with_state(Arc::clone(&self.inbox));
        let socket = TcpListener::bind(self.address).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let (acceptor, router) = (acceptor.clone(), router.clone());
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = TowerToHyperService::new(router);
                    let builder = Builder::new(TokioExecutor::new()).http1_only();
                    // Whoever hangs up has a reason.
                    drop(
                        builder
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        self.tasks = Some(tasks);
    }

    /// Goes away, with all connections.
    pub(super) async fn vanish(&mut self) {
        if let Some(mut tasks) = self.tasks.take() {
            tasks.shutdown().await;
        }
    }

    /// From now on answers this.
    pub(super) fn answer(&self, verdict: Verdict) {
        *self.inbox.verdict.lock() = verdict;
    }

    /// From now on tells this list of devices; fails without one.
    pub(super) fn tell_devices(&self, list: Option<Value>) {
        *self.inbox.devices.lock() = list;
    }

    /// How often it was asked for a list of devices.
    pub(super) fn asked_for_devices(&self) -> usize {
        *self.inbox.asked.lock()
    }

    /// The transactions that it took, each with its id.
    pub(super) fn transactions(&self) -> Vec<(String, Value)> {
        self.inbox.transactions.lock().clone()
    }

    /// Forgets what it took.
    pub(super) fn forget(&self) {
        self.inbox.transactions.lock().clear();
    }

    /// How many transactions came, whatever was answered to them.
    pub(super) fn attempts(&self) -> usize {
        *self.inbox.attempts.lock()
    }

    /// All events that it took.
    pub(super) fn pdus(&self) -> Vec<Value> {
        self.items("pdus")
    }

    /// All ephemeral messages that it took.
    pub(super) fn edus(&self) -> Vec<Value> {
        self.items("edus")
    }

    fn items(&self, kind: &str) -> Vec<Value> {
        let transactions = self.inbox.transactions.lock();
        let lists = transactions
            .iter()
            .filter_map(|(_, it)| it[kind].as_array());
        lists.flatten().cloned().collect()
    }

    /// The texts of the messages that it took.
    pub(super) fn texts(&self) -> Vec<String> {
        let pdus = self.pdus();
        let texts = pdus
            .iter()
            .filter_map(|pdu| pdu["content"]["body"].as_str());
        texts.map(str::to_owned).collect()
    }

    /// Waits until something holds that depends on what it was sent.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let came = self.inbox.came.notified();
                if holds(self) {
                    return;
                }
                came.await;
            }
        };
        let outcome = timeout(PATIENCE, wait).await;
        assert!(
            outcome.is_ok(),
            "{what}: {} attempts, {:?}",
            self.attempts(),
            self.texts()
        );
    }

    /// Waits until it took a message.
    pub(super) async fn until_text(&self, text: &str) {
        self.until(text, |it| it.texts().iter().any(|told| told == text))
            .await;
    }

    async fn ask(
        &self,
        home: &impl Home,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Value {
        let bytes = body.map(ToString::to_string).unwrap_or_default();
        let header = self.sign_request(&method, path, &bytes, home.name());
        home.ask(method, path, &header, body).await
    }

    /// Signs a request.
    pub(super) fn sign_request(
        &self,
        method: &Method,
        path: &str,
        body: &str,
        destination: &ServerName,
    ) -> String {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.body(body.as_bytes()).unwrap();
        let (origin, destination) = (self.name.clone(), destination.to_owned());
        let input = XMatrixSigningInput::new(origin, destination, &self.key.pair);
        let header = XMatrix::sign_http_request(&request, input).unwrap();
        header.to_string()
    }

    /// A user of this server.
    pub(super) fn user(&self, name: &str) -> String {
        format!("@{name}:{}", self.name)
    }

    /// A request that shows that it lives, and changes nothing.
    pub(super) async fn show_life(&self, home: &impl Home) {
        self.send(home, "life", json!([]), json!([])).await;
    }

    /// Sends a transaction.
    pub(super) async fn send(
        &self,
        home: &impl Home,
        txn: &str,
        pdus: Value,
        edus: Value,
    ) -> Value {
        let path = format!("/_matrix/federation/v1/send/{txn}");
        let body = json!({
            "origin": self.name,
            "origin_server_ts": 1,
            "pdus": pdus,
            "edus": edus,
        });
        self.ask(home, Method::PUT, &path, Some(&body)).await
    }

    /// A user of this server joins a room.
    pub(super) async fn join(&self, home: &impl Home, room: &str, user: &str) {
        let query = format!("?ver={ROOM_VERSION}");
        self.shake_hands(home, room, user, ("join", &query)).await;
    }

    /// A user of this server leaves a room.
    pub(super) async fn leave(&self, home: &impl Home, room: &str, user: &str) {
        self.shake_hands(home, room, user, ("leave", "")).await;
    }

    async fn shake_hands(
        &self,
        home: &impl Home,
        room: &str,
        user: &str,
        (what, query): (&str, &str),
    ) {
        let (room, user) = (encode(room), encode(user));
        let path = format!("/_matrix/federation/v1/make_{what}/{room}/{user}{query}");
        let template = self.ask(home, Method::GET, &path, None).await;
        let (id, event) = self.sign(&template["event"]);
        let path = format!("/_matrix/federation/v2/send_{what}/{room}/{}", encode(&id));
        self.ask(home, Method::PUT, &path, Some(&event)).await;
    }

    /// Signs an event: its id and its text.
    pub(super) fn sign(&self, event: &Value) -> (String, Value) {
        let rules = ROOM_VERSION.rules().unwrap();
        let mut object: CanonicalJsonObject = serde_json::from_value(event.clone()).unwrap();
        let name = self.name.as_str();
        signatures::hash_and_sign_event(name, &self.key.pair, &mut object, &rules.redaction)
            .unwrap();
        let hash = signatures::reference_hash(&object, &rules).unwrap();
        (format!("${hash}"), CanonicalJsonValue::from(object).into())
    }
}

/// The keys of a server, signed by themselves.
fn published(name: &ServerName, key: &SigningKey) -> Value {
    let keys = json!({
        "server_name": name,
        "valid_until_ts": 1_800_600_000_000_u64,
        "verify_keys": { key.id(): { "key": key.public_base64() } },
        "old_verify_keys": {},
    });
    let mut object: CanonicalJsonObject = serde_json::from_value(keys).unwrap();
    signatures::sign_json(name.as_str(), &key.pair, &mut object).unwrap();
    CanonicalJsonValue::from(object).into()
}

async fn keys(State(inbox): State<Arc<Inbox>>) -> Response {
    inbox.keys.to_string().into_response()
}

async fn devices(State(inbox): State<Arc<Inbox>>) -> Response {
    *inbox.asked.lock() += 1;
    inbox.came.notify_waiters();
    let list = inbox.devices.lock().clone();
    match list {
        Some(list) => list.to_string().into_response(),
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}

async fn receive(
    State(inbox): State<Arc<Inbox>>,
    Path(txn): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let header = headers["authorization"].to_str().unwrap();
    assert!(header.starts_with("X-Matrix"), "{header}");
    *inbox.attempts.lock() += 1;
    let verdict = inbox.verdict.lock().clone();
    let verdict = match verdict {
        Verdict::NoMessages(status, error) if body.contains("m.direct_to_device") => {
            Verdict::Error(status, error)
        }
        Verdict::NoMessages(..) => Verdict::Fine,
        verdict => verdict,
    };
    if matches!(verdict, Verdict::Fine) {
        let body: Value = serde_json::from_str(&body).unwrap();
        inbox.transactions.lock().push((txn, body));
    }
    inbox.came.notify_waiters();
    match verdict {
        Verdict::Fine => json!({ "pdus": {} }).to_string().into_response(),
        Verdict::Silence => std::future::pending().await,
        Verdict::Error(status, body) | Verdict::NoMessages(status, body) => {
            (status, body.to_string()).into_response()
        }
    }
}
