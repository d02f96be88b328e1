//! A whole server in this process.

use std::{fs, path::Path, sync::Arc};

use axum::Router;
use http::Method;
use matryx_server::{
    api,
    app::App,
    config::{self, Config, Flag, Service, Sources},
    serve::{self, Started},
    telemetry::Telemetry,
};
use matryx_surrealdb::{Database, Store};
use serde_json::json;
use tempfile::TempDir;

use super::{Outgoing, TestClock, TestUser};

/// A server that is being configured.
pub(crate) struct ServerBuilder {
    flags: Vec<Flag>,
    folder: Arc<TempDir>,
    clock: Arc<TestClock>,
}

impl ServerBuilder {
    /// Sets a key of the configuration.
    pub(crate) fn set(mut self, key: &str, text: impl Into<String>) -> Self {
        self.flags.push(Flag {
            name: "--set",
            key: key.to_owned(),
            text: text.into(),
        });
        self
    }

    /// Registers an application service.
    pub(crate) fn appservice(self, name: &str, registration: &str) -> Self {
        let folder = self.folder.path().join("appservices");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.yaml")), registration).unwrap();
        self.set("appservice.dir", folder.to_str().unwrap())
    }

    /// A folder that lives as long as the server.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server, without listeners.
    pub(crate) async fn start(self) -> TestServer {
        let (config, clock) = (self.config(), Arc::clone(&self.clock));
        let telemetry = Telemetry::detached().unwrap();
        let started = serve::start(config, clock, telemetry);
        let started = Box::pin(started).await.unwrap();
        self.started(started)
    }

    /// Starts two processes of the server on one database, on disk.
    pub(crate) async fn start_twice(self) -> [TestServer; 2] {
        let folder = Arc::clone(&self.folder);
        let second = Self {
            flags: self.flags.clone(),
            folder: Arc::clone(&folder),
            clock: Arc::clone(&self.clock),
        };
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let url = format!("rocksdb://{}", path("database"));
        let first = self.set("database.url", url.clone());
        let second = second
            .set("database.url", url)
            .set("data_dir", path("second"));
        let mut database = first.config().store_config();
        let shared = Database::connect(&database).await.unwrap();
        let first = {
            let store = Store::open_on(shared.clone(), &database).await.unwrap();
            first.start_on(store).await
        };
        // Both have the same signing key.
        fs::create_dir_all(path("second")).unwrap();
        let key = first.app.data_dir.signing_key_file();
        let copy = Path::new(&path("second")).join(key.file_name().unwrap());
        fs::copy(&key, copy).unwrap();
        database.node = Some(2);
        let store = Store::open_on(shared, &database).await.unwrap();
        [first, second.start_on(store).await]
    }

    async fn start_on(self, store: Store) -> TestServer {
        let (config, clock) = (self.config(), Arc::clone(&self.clock));
        let telemetry = Telemetry::detached().unwrap();
        let started = serve::start_on(store, config, clock, telemetry);
        let started = Box::pin(started).await.unwrap();
        self.started(started)
    }

    fn config(&self) -> Config {
        let sources = Sources {
            flags: self.flags.clone(),
            ..Sources::default()
        };
        config::load(&sources).unwrap().config
    }

    fn started(self, started: Started) -> TestServer {
        let services = [Service::Client, Service::Federation, Service::Media];
        TestServer {
            router: api::router(started.app.clone(), &services),
            app: started.app,
            first_admin_token: started.first_admin_token,
            clock: self.clock,
            _folder: self.folder,
        }
    }
}

/// A server in this process, over a database in memory.
pub(crate) struct TestServer {
    /// What its requests share.
    pub(crate) app: App,
    /// Its router, as a listener has it.
    pub(crate) router: Router,
    /// The token with which the first administrator registers.
    pub(crate) first_admin_token: Option<String>,
    /// Its time.
    pub(crate) clock: Arc<TestClock>,
    _folder: Arc<TempDir>,
}

impl TestServer {
    /// A server with open registration, cheap password hashes and no rate limits.
    pub(crate) async fn start() -> Self {
        Self::configure().start().await
    }

    /// The same, to be changed before it starts.
    pub(crate) fn configure() -> ServerBuilder {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let builder = ServerBuilder {
            flags: Vec::new(),
            clock: Arc::default(),
            folder: Arc::new(folder),
        };
        builder
            .set("server_name", "test.example")
            .set("data_dir", data.to_str().unwrap())
            .set("database.url", "mem://")
            .set("registration.enabled", "true")
            .set("registration.flows", "m.login.dummy")
            .set("password.argon2.memory", "64 KiB")
            .set("password.argon2.iterations", "1")
            .set("rate_limit.enabled", "false")
    }

    /// A request.
    pub(crate) fn request(&self, method: Method, path: &str) -> Outgoing {
        Outgoing::new(self.router.clone(), method, path)
    }

    /// A GET request.
    pub(crate) fn get(&self, path: &str) -> Outgoing {
        self.request(Method::GET, path)
    }

    /// A POST request.
    pub(crate) fn post(&self, path: &str) -> Outgoing {
        self.request(Method::POST, path)
    }

    /// A PUT request.
    pub(crate) fn put(&self, path: &str) -> Outgoing {
        self.request(Method::PUT, path)
    }

    /// Registers somebody, with the password [`TestUser::PASSWORD`].
    pub(crate) async fn register(&self, name: &str) -> TestUser {
        let body = json!({
            "username": name,
            "password": TestUser::PASSWORD,
            "auth": { "type": "m.login.dummy" },
        });
        let answer = self
            .post("/_matrix/client/v3/register")
            .json(&body)
            .send()
            .await;
        TestUser::new(self.router.clone(), &answer.ok())
    }
}
