//! The binary itself, as an operator starts it.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::TestUser;

/// Longer than anything here takes; a bound for tests that fail.
const PATIENCE: Duration = Duration::from_mins(1);

/// What all servers are started with.
const SETTINGS: [&str; 6] = [
    "listen=client+admin+metrics=127.0.0.1:0",
    "registration.enabled=true",
    "registration.flows=m.login.dummy",
    "password.argon2.memory=64 KiB",
    "password.argon2.iterations=1",
    "rate_limit.enabled=false",
];

/// How the binary is to be started.
pub(crate) struct Launch {
    folder: PathBuf,
    settings: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
    umask: &'static str,
}

impl Launch {
    /// A server called `test.example` whose data folder and log are in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        let launch = Self {
            folder: folder.to_owned(),
            settings: SETTINGS.map(str::to_owned).to_vec(),
            environment: Vec::new(),
            umask: "022",
        };
        launch.set("server_name=test.example")
    }

    /// Sets a key of the configuration; the last setting of a key counts.
    pub(crate) fn set(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn environment(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Starts it with another mask for the modes of new files.
    pub(crate) fn umask(mut self, umask: &'static str) -> Self {
        self.umask = umask;
        self
    }

    /// The data folder.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// All that the server has logged, over all its starts.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }

    fn command(&self) -> Command {
        // A write beyond a limit of file sizes must fail and not kill.
        let mut command = Command::new("sh");
        let script = r#"trap "" XFSZ; umask "$0"; exec "$@""#;
        command.args(["-c", script, self.umask]);
        command.envs(self.environment.iter().copied());
        command.arg(env!("CARGO_BIN_EXE_matryx"));
        command.arg("serve").arg("--data-dir").arg(self.data_dir());
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts it and waits until it says that it serves.
    pub(crate) async fn start(&self) -> Process {
        let log = self.folder.join("log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = timeout(PATIENCE, async {
            while let Some(line) = told.next_line().await.unwrap() {
                if let Some(rest) = line.trim().strip_prefix("http://") {
                    return rest.split_whitespace().next().unwrap().parse().unwrap();
                }
            }
            panic!("the server does not serve: {}", self.log());
        });
        let site = Site {
            address: address.await.unwrap(),
            client: Client::builder().build().unwrap(),
        };
        Process { site, child }
    }

    /// Starts it in the belief that it cannot start; what it says to that.
    pub(crate) async fn fail(&self) -> String {
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = timeout(PATIENCE, command.output()).await;
        let Output { status, stderr, .. } = ended.unwrap().unwrap();
        assert_eq!(status.code(), Some(1), "{status}");
        String::from_utf8(stderr).unwrap()
    }
}

/// A running server, as its clients know it.
#[derive(Clone)]
pub(crate) struct Site {
    address: SocketAddr,
    client: Client,
}

impl Site {
    /// A GET request.
    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("http://{}{path}", self.address))
    }

    /// A POST request.
    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("http://{}{path}", self.address))
    }

    /// A PUT request.
    pub(crate) fn put(&self, path: &str) -> RequestBuilder {
        self.client.put(format!("http://{}{path}", self.address))
    }

    /// Registers somebody and gives the access token.
    pub(crate) async fn register(&self, name: &str) -> String {
        let body = json!({
            "username": name,
            "password": TestUser::PASSWORD,
            "auth": { "type": "m.login.dummy" },
        });
        let request = self.post("/_matrix/client/v3/register").json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

/// A running server; killed when dropped.
pub(crate) struct Process {
    /// Where it serves.
    pub(crate) site: Site,
    child: Child,
}

impl Process {
    /// Asks it to stop and waits for the end.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().unwrap().to_string();
        let asked = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(asked.await.unwrap().success());
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }

    /// Lets it make files as large as this and no larger, as if the disk were full then.
    pub(crate) async fn limit_files(&self, bytes: &str) {
        let id = self.child.id().unwrap().to_string();
        let limit = format!("--fsize={bytes}:unlimited");
        let set = Command::new("prlimit")
            .args(["--pid", &id, &limit])
            .status();
        assert!(set.await.unwrap().success());
    }

    /// Ends it at once.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
