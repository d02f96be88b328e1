//! A server that says whatever a test wants: its own name, key and certificate, and scripted
//! answers.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Bytes, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use matryx_entity::canonical::loose_text;
use matryx_server::signing_key::SigningKey;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedServerName, RoomVersionId, ServerName,
    api::federation::authentication::{XMatrix, XMatrixSigningInput},
    room_version_rules::RoomVersionRules,
    signatures::{self, KeyPair},
};
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::pair::{Peer, fixture};
use crate::support::{Answer, TestUser, encode};

/// A question that was put to a stranger.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The endpoint: what follows `/_matrix/federation/v1/`, or the same of policy servers, up to
    /// the next slash.
    pub(super) what: String,
    /// The path and the query.
    pub(super) target: String,
    /// The body; null when there is none.
    pub(super) body: Value,
}

impl Asked {
    /// Does the path or the query name this event?
    pub(super) fn is_about(&self, event_id: &str) -> bool {
        self.target.contains(event_id.trim_start_matches('$'))
    }
}

type Script = Arc<dyn Fn(&Asked) -> Option<Value> + Send + Sync>;

#[derive(Default)]
struct Scripts {
    /// What it tells of its keys.
    published: Mutex<Option<Value>>,
    answers: Mutex<HashMap<String, Script>>,
    asked: Mutex<Vec<Asked>>,
}

/// A server that says whatever a test wants.
pub(super) struct Stranger {
    pub(super) name: OwnedServerName,
    pub(super) key: SigningKey,
    scripts: Arc<Scripts>,
    closing: CancellationToken,
    folder: TempDir,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Stranger {
    /// A server that publishes its key and knows nothing else.
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate(&folder.path().join("key")).unwrap();
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let name = ServerName::parse(format!("localhost:{port}")).unwrap();
        let scripts = Arc::new(Scripts::default());
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        *scripts.published.lock().unwrap() = Some(published(&name, &[&key]));
        let serving = serve(socket, Arc::clone(&scripts), tasks.clone());
        let closed = closing.clone();
        tasks.spawn(async move { closed.run_until_cancelled_owned(serving).await });
        Self {
            name,
            key,
            scripts,
            closing,
            folder,
        }
    }

    /// Answers an endpoint from now on; 404 where the script has nothing to say, 400 where it says
    /// an error.
    pub(super) fn answer(
        &self,
        what: &str,
        script: impl Fn(&Asked) -> Option<Value> + Send + Sync + 'static,
    ) {
        let mut answers = self.scripts.answers.lock().unwrap();
        answers.insert(what.to_owned(), Arc::new(script));
    }

    /// Tells these keys from now on; nothing if there are none.
    pub(super) fn publish(&self, keys: &[&SigningKey]) {
        let published = (!keys.is_empty()).then(|| published(&self.name, keys));
        *self.scripts.published.lock().unwrap() = published;
    }

    /// Another key.
    pub(super) fn new_key(&self) -> SigningKey {
        let files = std::fs::read_dir(self.folder.path()).unwrap().count();
        let file = self.folder.path().join(format!("key {files}"));
        SigningKey::generate(&file).unwrap()
    }

    /// What was asked of an endpoint.
    pub(super) fn asked(&self, what: &str) -> Vec<Asked> {
        let asked = self.scripts.asked.lock().unwrap();
        let asked = asked.iter().filter(|asked| asked.what == what);
        asked.cloned().collect()
    }

    pub(super) fn header(
        &self,
        method: &Method,
        uri: &str,
        body: &[u8],
        to: &ServerName,
    ) -> String {
        let request = http::Request::builder().method(method).uri(uri);
        let request = request.body(body).unwrap();
        let input = XMatrixSigningInput::new(self.name.clone(), to.to_owned(), &self.key.pair);
        if let Ok(header) = XMatrix::sign_http_request(&request, input) {
            return header.to_string();
        }
        // As servers do that don't mind which numbers there are.
        let content = loose_text(body).unwrap();
        let origin = &self.name;
        let signed = format!(
            r#"{{"content":{content},"destination":"{to}","method":"{method}","origin":"{origin}","uri":"{uri}"}}"#
        );
        let signature = self.key.pair.sign(signed.as_bytes());
        let (id, signature) = (signature.id(), signature.base64());
        format!(r#"X-Matrix origin="{origin}",destination="{to}",key="{id}",sig="{signature}""#)
    }

    /// A signed GET request.
    pub(super) async fn get(&self, peer: &Peer, path: &str) -> Answer {
        let header = self.header(&Method::GET, path, b"", &peer.name);
        let request = peer.server.get(path).header("authorization", &header);
        request.send().await
    }

    /// A signed PUT request.
    pub(super) async fn put(&self, peer: &Peer, path: &str, body: &Value) -> Answer {
        let text = body.to_string();
        let header = self.header(&Method::PUT, path, text.as_bytes(), &peer.name);
        let request = peer.server.put(path).header("authorization", &header);
        request.json(body).send().await
    }
}

/// What the server publishes of itself.
fn published(name: &ServerName, keys: &[&SigningKey]) -> Value {
    let told = keys.iter().map(|key| {
        let told = json!({ "key": key.public_base64() });
        (key.id().clone(), told)
    });
    let mut told = json!({
        "server_name": name,
        "valid_until_ts": 4_000_000_000_000_u64,
        "verify_keys": told.collect::<serde_json::Map<_, _>>(),
        "old_verify_keys": {},
    });
    for key in keys {
        let mut signed: CanonicalJsonObject = serde_json::from_value(told).unwrap();
        signatures::sign_json(name.as_str(), &key.pair, &mut signed).unwrap();
        told = CanonicalJsonValue::from(signed).into();
    }
    told
}

async fn serve(socket: TcpListener, scripts: Arc<Scripts>, tasks: TaskTracker) {
    let chain = CertificateDer::pem_file_iter(fixture("server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        let (acceptor, scripts) = (acceptor.clone(), Arc::clone(&scripts));
        tasks.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(|request| {
                let scripts = Arc::clone(&scripts);
                async move { Ok::<_, Infallible>(respond(&scripts, request).await) }
            });
            let builder = Builder::new(TokioExecutor::new());
            let served = builder.serve_connection(TokioIo::new(stream), service);
            served.await.ok();
        });
    }
}

async fn respond(
    scripts: &Scripts,
    request: http::Request<hyper::body::Incoming>,
) -> Response<Full<Bytes>> {
    let target = request.uri().path_and_query().unwrap().to_string();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let answer = if target.starts_with("/_matrix/key/v2/server") {
        scripts.published.lock().unwrap().clone()
    } else {
        let of_policy = target.strip_prefix("/_matrix/policy/v");
        let rest = of_policy.or(target.strip_prefix("/_matrix/federation/v"));
        let what = rest.unwrap_or_default().split(['/', '?']).nth(1);
        let asked = Asked {
            what: what.unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
            target,
        };
        scripts.asked.lock().unwrap().push(asked.clone());
        let script = scripts.answers.lock().unwrap().get(&asked.what).cloned();
        script.and_then(|script| script(&asked))
    };
    let (status, answer) = match answer {
        Some(answer) if answer["errcode"].is_string() => (StatusCode::BAD_REQUEST, answer),
        Some(answer) => (StatusCode::OK, answer),
        None => (
            StatusCode::NOT_FOUND,
            json!({ "errcode": "M_NOT_FOUND", "error": "not here" }),
        ),
    };
    let response = Response::builder().status(status);
    let response = response.header("content-type", "application/json");
    response
        .body(Full::new(Bytes::from(answer.to_string())))
        .unwrap()
}

/// A room of a real server, which eve of a stranger has joined.
pub(super) struct Visit {
    pub(super) here: Peer,
    pub(super) there: Stranger,
    pub(super) alice: TestUser,
    pub(super) eve: String,
    pub(super) room: String,
    /// The id of eve's join.
    pub(super) join: String,
    /// What the stranger was told when it joined.
    pub(super) told: Value,
    pub(super) rules: RoomVersionRules,
}

impl Visit {
    pub(super) async fn new(version: &str) -> Self {
        let (here, there) = tokio::join!(Peer::start(), Stranger::start());
        let alice = here.server.register("alice").await;
        let rules = RoomVersionId::try_from(version).unwrap().rules().unwrap();
        let mut visit = Self {
            eve: format!("@eve:{}", there.name),
            room: String::new(),
            join: String::new(),
            told: Value::Null,
            here,
            there,
            alice,
            rules,
        };
        visit.enter(version).await;
        visit
    }

    /// Goes on in another new room.
    pub(super) async fn enter(&mut self, version: &str) {
        let body = json!({ "preset": "public_chat", "room_version": version });
        self.room = self.alice.create_room(body).await;
        let (room, eve) = (encode(&self.room), encode(&self.eve));
        let path = format!("/_matrix/federation/v1/make_join/{room}/{eve}?ver={version}");
        let template = self.there.get(&self.here, &path).await.ok();
        let (id, event) = self.sign(&template["event"]);
        let path = format!("/_matrix/federation/v2/send_join/{room}/{}", encode(&id));
        self.told = self.there.put(&self.here, &path, &event).await.ok();
        self.join = id;
    }

    /// Signs an event as the stranger; its id, and the whole event.
    pub(super) fn sign(&self, event: &Value) -> (String, Value) {
        self.sign_with(&self.there.key, event)
    }

    /// The same with another key than the stranger's own.
    pub(super) fn sign_with(&self, key: &SigningKey, event: &Value) -> (String, Value) {
        let mut object: CanonicalJsonObject = serde_json::from_value(event.clone()).unwrap();
        object.remove("signatures");
        let (name, key) = (self.there.name.as_str(), &key.pair);
        signatures::hash_and_sign_event(name, key, &mut object, &self.rules.redaction).unwrap();
        let event = CanonicalJsonValue::from(object).into();
        (self.id_of(&event), event)
    }

    pub(super) fn id_of(&self, event: &Value) -> String {
        let object: CanonicalJsonObject = serde_json::from_value(event.clone()).unwrap();
        let hash = signatures::reference_hash(&object, &self.rules).unwrap();
        format!("${hash}")
    }

    /// The id of a state event that the stranger was told of.
    pub(super) fn told_id(&self, kind: &str) -> String {
        let mut state = self.told["state"].as_array().unwrap().iter();
        self.id_of(state.find(|event| event["type"] == kind).unwrap())
    }

    /// An event of eve on top of others, by the authority of what was told.
    pub(super) fn event(
        &self,
        prev: &[&str],
        depth: u64,
        kind: &str,
        state_key: Option<&str>,
        content: &Value,
    ) -> (String, Value) {
        let mut auth = vec![self.join.clone(), self.told_id("m.room.power_levels")];
        if !self.rules.authorization.room_create_event_id_as_room_id {
            auth.push(self.told_id("m.room.create"));
        }
        if kind == "m.room.member" {
            auth.push(self.told_id("m.room.join_rules"));
        }
        let now = u64::from(self.here.server.app.clock.now().get());
        let mut event = json!({
            "type": kind,
            "room_id": self.room,
            "sender": self.eve,
            "content": content,
            "prev_events": prev,
            "auth_events": auth,
            "depth": depth,
            "origin_server_ts": now + depth,
        });
        if let Some(state_key) = state_key {
            event["state_key"] = json!(state_key);
        }
        self.sign(&event)
    }

    /// A message of eve.
    pub(super) fn message(&self, body: &str, prev: &[&str], depth: u64) -> (String, Value) {
        let content = json!({ "msgtype": "m.text", "body": body });
        self.event(prev, depth, "m.room.message", None, &content)
    }

    /// `count` messages in a row, the first one on top of `prev`.
    pub(super) fn chain(&self, prev: &str, count: u64) -> Vec<(String, Value)> {
        let mut chain: Vec<(String, Value)> = Vec::new();
        for nth in 0..count {
            let prev = chain.last().map_or(prev, |(id, _)| id.as_str());
            chain.push(self.message(&format!("message {nth}"), &[prev], 20 + nth));
        }
        chain
    }

    /// Sends events to the real server.
    pub(super) async fn transaction(&self, id: &str, pdus: &Value) -> Value {
        let body = json!({
            "origin": self.there.name,
            "origin_server_ts": 1,
            "pdus": pdus,
        });
        let path = format!("/_matrix/federation/v1/send/{id}");
        self.there.put(&self.here, &path, &body).await.ok()
    }

    /// What alice is shown after `since`, once the last of it is a message with this text.
    pub(super) async fn bodies_until(&self, since: &Value, last: &str) -> Vec<String> {
        let mut since = since["next_batch"].as_str().unwrap().to_owned();
        let mut bodies: Vec<String> = Vec::new();
        for _ in 0..20 {
            let sync = self.alice.get("/_matrix/client/v3/sync");
            let sync = sync.query("timeout", "5000").query("since", &since);
            let sync = sync.send().await.ok();
            let events = &sync["rooms"]["join"][&self.room]["timeline"]["events"];
            let events = events.as_array().into_iter().flatten();
            bodies.extend(events.map(|event| {
                let body = event["content"]["body"].as_str();
                body.unwrap_or(event["type"].as_str().unwrap()).to_owned()
            }));
            if bodies.iter().any(|body| body == last) {
                return bodies;
            }
            sync["next_batch"].as_str().unwrap().clone_into(&mut since);
        }
        panic!("{last} did not come, but {bodies:?}");
    }
}
