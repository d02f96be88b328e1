//! The real binary as a child process: start, wait until it serves, stop, kill.

use crate::cargo::cargo;
use crate::wire::{Call, Wire};
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Longest wait for a start, on a slow disk and a debug build.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Longest wait for a graceful stop.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Pause between two questions whether the server serves.
const START_POLL: Duration = Duration::from_millis(5);

/// How to start the server: everything that stays the same over restarts.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    binary: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    settings: Vec<String>,
    appservice_dir: Option<PathBuf>,
    /// Where other servers reach it, over TLS.
    federation: Option<SocketAddr>,
}

impl Launch {
    /// A server that keeps its data and its log under `folder`, on a free port, open for
    /// registration and without rate limits.
    pub(crate) fn new(binary: &Path, folder: &Path) -> Result<Self> {
        let settings = [
            "rate_limit.enabled=false",
            "registration.enabled=true",
            REGISTRATION_FLOWS,
        ];
        Ok(Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            address: free_address()?,
            settings: settings.map(str::to_owned).to_vec(),
            appservice_dir: None,
            federation: None,
        })
    }

    /// Loads application services from `folder`.
    pub(crate) fn with_appservices(mut self, folder: &Path) -> Self {
        self.appservice_dir = Some(folder.to_owned());
        self
    }

    /// Also serves other servers, over TLS on another port, which is part of its name; trusts the
    /// authority of the tests' certificates, and reaches servers on this machine.
    pub(crate) fn with_federation(mut self) -> Result<Self> {
        self.federation = Some(free_address()?);
        let authority = fixture("ca.crt")?;
        self.settings
            .push(format!("tls.extra_ca_files={}", authority.display()));
        self.settings
            .push("federation.deny_ip_ranges=[]".to_owned());
        Ok(self)
    }

    /// The server's name.
    pub(crate) fn server_name(&self) -> String {
        match self.federation {
            Some(address) => address.to_string(),
            None => SERVER_NAME.to_owned(),
        }
    }

    /// Adds one `key=value` setting.
    pub(crate) fn with_setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Where the server writes its log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Starts the binary and returns once `/_matrix/client/versions` answers.
    pub(crate) async fn start(&self) -> Result<Homeserver> {
        let began = Instant::now();
        let mut server = self.spawn()?;
        match timeout(START_LIMIT, server.wait_until_ready()).await {
            Ok(Ok(())) => server.ready_ms = began.elapsed().as_millis(),
            Ok(Err(error)) => return Err(error.context(format!("no server\n{}", self.log_tail()))),
            Err(_elapsed) => bail!("not ready after {START_LIMIT:?}\n{}", self.log_tail()),
        }
        Ok(server)
    }

    /// Starts the binary and returns at once.
    pub(crate) fn spawn(&self) -> Result<Homeserver> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.binary);
        command
            .arg("serve")
            .args(["--server-name", &self.server_name()]);
        command.arg("--data-dir").arg(self.folder.join("data"));
        command.args([
            "--listen",
            &format!("client+admin+metrics={}", self.address),
        ]);
        if let Some(address) = self.federation {
            let (certificate, key) = (fixture("server.crt")?, fixture("server.key")?);
            let (certificate, key) = (certificate.display(), key.display());
            command.args([
                "--listen",
                &format!("federation={address},tls={certificate}:{key}"),
            ]);
        }
        if let Some(folder) = &self.appservice_dir {
            command.arg("--appservice-dir").arg(folder);
        }
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command
            // Where it is set for the sake of panics, the database's driver would take a backtrace
            // of every error that is none: more work than the rest of a commit.
            .env("RUST_LIB_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))?;
        let pid = child.id().context("the server has no process id")?;
        Ok(Homeserver {
            child,
            pid,
            address: self.address,
            ready_ms: 0,
        })
    }

    /// The end of the server's log, for an error message.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines
            .iter()
            .skip(lines.len().saturating_sub(LOG_TAIL_LINES));
        tail.map(|line| format!("  server: {line}"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// The name of a server under test that no other server reaches.
pub(crate) const SERVER_NAME: &str = "localhost";
/// Lets an account register without any interactive step.
const REGISTRATION_FLOWS: &str = "registration.flows=m.login.dummy";
const LOG_TAIL_LINES: usize = 30;

/// A running server. Dropping it kills the process.
pub(crate) struct Homeserver {
    child: Child,
    /// Its process id.
    pub(crate) pid: u32,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Time from the start of the process to its first answer.
    pub(crate) ready_ms: u128,
}

impl Homeserver {
    /// A new connection with an access token.
    pub(crate) async fn wire(&self, token: impl Into<String>) -> Result<Wire> {
        Wire::connect(self.address, Some(token.into())).await
    }

    /// A new connection without an access token.
    pub(crate) async fn anonymous(&self) -> Result<Wire> {
        Wire::connect(self.address, None).await
    }

    /// Ends the process at once, as a power cut would for it.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("killing the server")
    }

    /// Asks the process to stop and waits for its exit status.
    pub(crate) async fn stop(mut self) -> Result<ExitStatus> {
        let pid = self.pid.to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().await?;
        if !asked.success() {
            bail!("kill -TERM {pid} failed: {asked}");
        }
        let stopped = timeout(STOP_LIMIT, self.child.wait()).await;
        Ok(stopped.context("the server ignores SIGTERM")??)
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended before it served: {status}");
            }
            if let Ok(mut wire) = self.anonymous().await
                && let Ok(reply) = wire.send(Call::get("/_matrix/client/versions")).await
                && reply.status == 200
            {
                return Ok(());
            }
            sleep(START_POLL).await;
        }
    }
}

/// A file of the tests' certificates, which are for this machine's addresses.
fn fixture(name: &str) -> Result<PathBuf> {
    Ok(repository()?
        .join("packages/client/tests/fixtures")
        .join(name))
}

/// An address of this machine on which nobody listens.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")
        .context("no free port")?
        .local_addr()?)
}

/// The repository's root: the parent of this crate.
pub(crate) fn repository() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has no parent")?;
    Ok(root.to_owned())
}

/// Builds the binary in `profile` with cargo and returns its path, unless `given` names one.
pub(crate) fn binary(given: Option<&Path>, profile: Profile) -> Result<PathBuf> {
    if let Some(path) = given {
        return path
            .canonicalize()
            .with_context(|| format!("no binary at {}", path.display()));
    }
    let mut command = cargo();
    command
        .current_dir(repository()?)
        .args(["build", "--workspace", "--bin", "matryx"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    executable(&mut command, "matryx")
}

/// Runs a `cargo build` and returns the path of the binary of this name that it made.
pub(crate) fn executable(build: &mut std::process::Command, name: &str) -> Result<PathBuf> {
    let output = build
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo build")?;
    if !output.status.success() {
        bail!("cargo build failed");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let artifacts = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let mut executables = artifacts.filter_map(|message: serde_json::Value| {
        let is_it = message.pointer("/target/name")?.as_str()? == name;
        let path = message.get("executable")?.as_str()?;
        is_it.then(|| path.into())
    });
    executables.next().context("cargo named no executable")
}

/// Which build of the binary to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// What `cargo build` makes; CI has it already.
    Dev,
    /// What operators run.
    Release,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_address_can_be_bound() {
        assert!(TcpListener::bind(free_address().unwrap()).is_ok());
    }

    #[test]
    fn the_log_tail_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch::new(Path::new("/nonexistent"), folder.path()).unwrap();
        let lines: Vec<String> = (0..100).map(|line| format!("line {line}")).collect();
        std::fs::write(launch.log(), lines.join("\n")).unwrap();
        let tail = launch.log_tail();
        assert_eq!(tail.lines().count(), LOG_TAIL_LINES);
        assert!(tail.ends_with("line 99"), "{tail}");
    }
}
