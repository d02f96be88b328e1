//! A whole server in this process.

use std::{fs, path::Path, sync::Arc};

use axum::Router;
use http::Method;
use matryx_server::{
    api,
    app::App,
    config::{self, Flag, Service, Sources},
    serve,
    telemetry::Telemetry,
};
use serde_json::json;
use tempfile::TempDir;

use super::{Outgoing, TestClock, TestUser};

/// A server that is being configured.
pub(crate) struct ServerBuilder {
    flags: Vec<Flag>,
    folder: TempDir,
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
        let Self {
            flags,
            folder,
            clock,
        } = self;
        let sources = Sources {
            flags,
            ..Sources::default()
        };
        let config = config::load(&sources).unwrap().config;
        let telemetry = Telemetry::detached().unwrap();
        let started = serve::start(config, Arc::clone(&clock) as _, telemetry);
        let started = Box::pin(started).await.unwrap();
        let services = [Service::Client, Service::Federation, Service::Media];
        TestServer {
            router: api::router(started.app.clone(), &services),
            app: started.app,
            first_admin_token: started.first_admin_token,
            clock,
            _folder: folder,
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
    _folder: TempDir,
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
            folder,
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
