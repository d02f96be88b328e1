//! Passwords and tokens are neither logged nor stored.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tracing_subscriber::{filter::Targets, fmt::MakeWriter, layer::SubscriberExt};

use crate::support::TestServer;

const SECOND_PASSWORD: &str = "the second password of alice";
const WRONG_PASSWORD: &str = "what alice did not choose";
const SHARED_SECRET: &str = "what tools know";

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn read_all(folder: &Path, into: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else {
            into.extend(fs::read(path).unwrap());
        }
    }
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    let needle = needle.as_bytes();
    haystack.windows(needle.len()).any(|bytes| bytes == needle)
}

async fn log_in(server: &TestServer, password: &str) -> crate::support::Answer {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": password,
        "refresh_token": true,
    });
    server
        .post("/_matrix/client/v3/login")
        .json(&body)
        .send()
        .await
}

#[tokio::test]
async fn passwords_and_tokens_are_neither_logged_nor_stored() {
    let log = Log::default();
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(log.clone());
    let targets: Targets = "info,matryx=trace,matryx_server=trace,matryx_client=trace"
        .parse()
        .unwrap();
    let subscriber = tracing_subscriber::registry().with(targets).with(layer);
    // While there is one subscriber only, `tracing` asks the thread that comes by a log line first
    // whether anybody listens, and believes it for all threads.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);

    let builder = TestServer::configure();
    let data = builder.folder().join("data");
    let server = builder
        // On disk, as by default.
        .set("database.url", "")
        .set("registration.shared_secret", SHARED_SECRET)
        .start()
        .await;
    let alice = server.register("alice").await;
    log_in(&server, WRONG_PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
    let change = json!({
        "new_password": SECOND_PASSWORD,
        "auth": {
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": "alice" },
            "password": crate::support::TestUser::PASSWORD,
        },
    });
    let path = "/_matrix/client/v3/account/password";
    alice.post(path).json(&change).send().await.ok();
    let session = log_in(&server, SECOND_PASSWORD).await.ok();
    let text = |session: &Value, field: &str| session[field].as_str().unwrap().to_owned();
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    let request = server.post("/_matrix/client/v3/refresh").json(&refresh);
    let refreshed = request.send().await.ok();
    let token = text(&refreshed, "access_token");
    let whoami = "/_matrix/client/v3/account/whoami";
    let request = server.get(whoami).query("access_token", &token);
    request.send().await.ok();
    server.get(whoami).token("nobodys token").send().await;
    let room = alice
        .create_room(json!({ "name": "the control sample" }))
        .await;
    server.app.store.close().await;

    let mut stored = Vec::new();
    read_all(&data, &mut stored);
    assert!(contains(&stored, "the control sample"));
    assert!(contains(&stored, &room));
    let logged = log.0.lock().unwrap().clone();
    let line = String::from_utf8(logged.clone()).unwrap();
    let line = line.lines().find(|line| line.contains("account/whoami"));
    let line = line.expect("a request has its line in the log");
    for part in [
        "@alice:test.example",
        "status=200",
        "ms=",
        "db_calls=",
        "db_ms=",
    ] {
        assert!(line.contains(part), "{line}");
    }
    for secret in [
        crate::support::TestUser::PASSWORD,
        SECOND_PASSWORD,
        WRONG_PASSWORD,
        SHARED_SECRET,
        "nobodys token",
        &alice.token,
        &text(&session, "access_token"),
        &text(&session, "refresh_token"),
        &token,
        &text(&refreshed, "refresh_token"),
    ] {
        assert!(!contains(&logged, secret), "logged: {secret}");
        assert!(!contains(&stored, secret), "stored: {secret}");
    }
}
