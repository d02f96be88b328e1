//! `cargo xtask interop`: drives the running binary with real Matrix clients and a real Synapse.
//!
//! They and their pinned versions are in `tests/interop` and `tests/rust-sdk`. Each script prints
//! one line per check, `ok NAME` or `not ok NAME: REASON`, and is killed at its time limit.

use crate::cargo::cargo;
use crate::homeserver::{self, Launch, Profile, executable, repository};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// Longest time that one client's script may take.
const CLIENT_LIMIT: Duration = Duration::from_mins(2);
/// Longest time that the script may take that goes through rooms shared with another server.
const SERVER_LIMIT: Duration = Duration::from_mins(10);

/// The version of the rooms that are shared with another server, where there is not time for all.
const USUAL_VERSION: &str = "12";

/// Options of `cargo xtask interop`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Test this binary instead of building the dev one.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Run only this one, with rooms of all versions where it is another server.
    #[arg(long, value_enum)]
    only: Option<Peer>,
}

/// What the server is tried with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Peer {
    /// matrix-js-sdk, from npm.
    JsSdk,
    /// matrix-nio, from `PyPI`.
    Nio,
    /// Synapse, from `PyPI`, with which the server shares rooms.
    Synapse,
    /// matrix-js-sdk with its Rust crypto, on one server, on two and with Synapse.
    Encryption,
    /// The Rust SDK in the same casts: a long build, so only where it is asked for.
    RustSdk,
}

impl Peer {
    /// Those that are run where none is named.
    const USUAL: [Self; 4] = [Self::JsSdk, Self::Nio, Self::Synapse, Self::Encryption];

    fn name(self) -> &'static str {
        match self {
            Self::JsSdk => "matrix-js-sdk",
            Self::Nio => "matrix-nio",
            Self::Synapse => "Synapse",
            Self::Encryption => "encryption",
            Self::RustSdk => "matrix-rust-sdk",
        }
    }

    /// Longest time that its script may take.
    fn limit(self) -> Duration {
        match self {
            Self::JsSdk | Self::Nio => CLIENT_LIMIT,
            Self::Synapse | Self::Encryption | Self::RustSdk => SERVER_LIMIT,
        }
    }

    /// Whether it is a client, which is told of a server that runs.
    fn is_client(self) -> bool {
        matches!(self, Self::JsSdk | Self::Nio)
    }

    /// Installs the pinned version, where it is not there yet.
    async fn install(self, folder: &Path) -> Result<()> {
        match self {
            Self::JsSdk => install_node(folder).await?,
            Self::Nio => install_python(folder, ".venv", "requirements.txt").await?,
            // What cargo builds of the Rust SDK is pinned in its own folder.
            Self::Synapse | Self::RustSdk => {
                install_python(folder, ".synapse", "synapse/requirements.txt").await?;
            }
            Self::Encryption => {
                install_node(folder).await?;
                install_python(folder, ".synapse", "synapse/requirements.txt").await?;
            }
        }
        Ok(())
    }

    /// How its script is started: a client's for a server at this address, which it is told in
    /// the environment.
    fn script(self, folder: &Path, binary: &Path, url: &str) -> Command {
        let (program, script) = match self {
            Self::JsSdk => (PathBuf::from("node"), "js_sdk.mjs"),
            Self::Nio => (folder.join(".venv/bin/python"), "nio_client.py"),
            Self::Synapse => (folder.join(".synapse/bin/python"), "synapse/main.py"),
            Self::Encryption | Self::RustSdk => {
                (folder.join(".synapse/bin/python"), "synapse/encryption.py")
            }
        };
        let mut command = Command::new(program);
        command.arg(script).current_dir(folder);
        if self.is_client() {
            command.env("MATRYX_URL", url);
        } else {
            command.arg("--binary").arg(binary);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

/// Installs what the lock file pins.
async fn install_node(folder: &Path) -> Result<()> {
    let installed = modified(&folder.join("node_modules/.package-lock.json"));
    if installed < modified(&folder.join("package-lock.json")) {
        let mut command = Command::new("npm");
        step(command.args(["ci", "--silent"]).current_dir(folder)).await?;
    }
    Ok(())
}

/// Builds the people who use the Rust SDK.
fn rust_sdk() -> Result<PathBuf> {
    let mut build = cargo();
    build
        .current_dir(repository()?.join("tests/rust-sdk"))
        .args(["build", "--locked"]);
    executable(&mut build, "matryx-rust-sdk")
}

/// Installs what a file of requirements pins, into an environment of its own.
async fn install_python(folder: &Path, environment: &str, requirements: &str) -> Result<()> {
    let programs = folder.join(environment).join("bin");
    if !programs.join("python").exists() {
        let arguments = ["-m", "venv", environment];
        step(Command::new("python3").args(arguments).current_dir(folder)).await?;
    }
    let install = ["install", "--quiet", "--disable-pip-version-check", "-r"];
    let mut command = Command::new(programs.join("pip"));
    command.args(install).arg(requirements).current_dir(folder);
    step(&mut command).await
}

/// Runs the scripts, those of clients against one server, and prints the closing line.
pub(crate) fn run(args: &Args) -> Result<()> {
    let binary = homeserver::binary(args.binary.as_deref(), Profile::Dev)?;
    let folder = tempfile::Builder::new()
        .prefix("matryx-interop-")
        .tempdir()?;
    let launch = Launch::new(&binary, folder.path())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tally = runtime.block_on(drive(args, &launch, &binary))?;
    if tally.failed > 0 {
        println!("{}", launch.log_tail());
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 && tally.passed > 0 {
        Ok(())
    } else {
        bail!("something failed")
    }
}

async fn drive(args: &Args, launch: &Launch, binary: &Path) -> Result<Tally> {
    let scripts = repository()?.join("tests/interop");
    let server = launch.start().await?;
    let url = format!("http://{}", server.address);
    let mut tally = Tally::default();
    let usual = Peer::USUAL.to_vec();
    for peer in args.only.map_or(usual, |only| vec![only]) {
        peer.install(&scripts)
            .await
            .with_context(|| format!("installing {}", peer.name()))?;
        let mut command = peer.script(&scripts, binary, &url);
        if peer == Peer::Synapse && args.only.is_none() {
            command.args(["--versions", USUAL_VERSION]);
        }
        if peer == Peer::RustSdk {
            command.arg("--program").arg(rust_sdk()?);
        }
        let limit = peer.limit();
        let finished = timeout(limit, script(peer, command, &mut tally)).await;
        let ended = finished
            .unwrap_or_else(|_elapsed| Ok(Some(format!("it was still running after {limit:?}"))));
        if let Some(reason) = ended? {
            tally.line(peer, &format!("not ok the script ends: {reason}"));
        }
    }
    server.stop().await?;
    Ok(tally)
}

/// Runs one script to its end; returns why it ended badly, if it did.
async fn script(peer: Peer, mut command: Command, tally: &mut Tally) -> Result<Option<String>> {
    let mut child = command
        .kill_on_drop(true)
        .spawn()
        .context("starting the script")?;
    let stdout = child.stdout.take().context("the script has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let (before, failed) = (tally.passed, tally.failed);
    while let Some(line) = lines.next_line().await? {
        tally.line(peer, &line);
    }
    let status = child.wait().await?;
    Ok(if !status.success() && tally.failed == failed {
        Some(format!("it ended with {status}"))
    } else if tally.passed == before && tally.failed == failed {
        Some("it checked nothing".to_owned())
    } else {
        None
    })
}

/// Checks counted over all scripts.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    fn line(&mut self, peer: Peer, line: &str) {
        if line.starts_with("ok ") {
            self.passed += 1;
        } else if line.starts_with("not ok ") {
            self.failed += 1;
        }
        println!("{}: {line}", peer.name());
    }
}

/// When a file was written last; `None`, which is before everything, where it is not there.
fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
}

/// Runs one installation step; what it needs is in its own words on the terminal.
async fn step(command: &mut Command) -> Result<()> {
    let shown = format!("{:?}", command.as_std());
    let status = command
        .status()
        .await
        .with_context(|| format!("running {shown}"))?;
    if status.success() {
        Ok(())
    } else {
        bail!("{shown} ended with {status}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_checks_and_nothing_else() {
        let mut tally = Tally::default();
        for line in [
            "ok login",
            "a word in between",
            "not ok join: refused",
            "okay",
        ] {
            tally.line(Peer::Nio, line);
        }
        assert_eq!((tally.passed, tally.failed), (1, 1));
    }
}
