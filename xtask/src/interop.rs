//! `cargo xtask interop`: drives the running binary with real Matrix clients.
//!
//! The clients and their pinned versions are in `tests/interop`. Each script prints one line per
//! check, `ok NAME` or `not ok NAME: REASON`, and is killed at its time limit.

use crate::homeserver::{self, Launch, Profile, repository};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// Longest time that one client's script may take.
const SCRIPT_LIMIT: Duration = Duration::from_mins(2);

/// Options of `cargo xtask interop`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Test this binary instead of building the dev one.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Run only this client.
    #[arg(long, value_enum)]
    only: Option<Client>,
}

/// A client that drives the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Client {
    /// matrix-js-sdk, from npm.
    JsSdk,
    /// matrix-nio, from `PyPI`.
    Nio,
}

impl Client {
    const ALL: [Self; 2] = [Self::JsSdk, Self::Nio];

    fn name(self) -> &'static str {
        match self {
            Self::JsSdk => "matrix-js-sdk",
            Self::Nio => "matrix-nio",
        }
    }

    /// Installs the pinned version, where it is not there yet.
    async fn install(self, folder: &Path) -> Result<()> {
        match self {
            Self::JsSdk => {
                let installed = modified(&folder.join("node_modules/.package-lock.json"));
                if installed < modified(&folder.join("package-lock.json")) {
                    step(
                        Command::new("npm")
                            .args(["ci", "--silent"])
                            .current_dir(folder),
                    )
                    .await?;
                }
            }
            Self::Nio => {
                let pip = folder.join(".venv/bin/pip");
                if !folder.join(".venv/bin/python").exists() {
                    let venv = ["-m", "venv", ".venv"];
                    step(Command::new("python3").args(venv).current_dir(folder)).await?;
                }
                let install = ["install", "--quiet", "--disable-pip-version-check"];
                let mut command = Command::new(pip);
                command
                    .args(install)
                    .args(["-r", "requirements.txt"])
                    .current_dir(folder);
                step(&mut command).await?;
            }
        }
        Ok(())
    }

    fn script(self, folder: &Path) -> Command {
        let (program, script) = match self {
            Self::JsSdk => (PathBuf::from("node"), "js_sdk.mjs"),
            Self::Nio => (folder.join(".venv/bin/python"), "nio_client.py"),
        };
        let mut command = Command::new(program);
        command.arg(script).current_dir(folder);
        command
    }
}

/// Runs the clients against one server and prints the closing line.
pub(crate) fn run(args: &Args) -> Result<()> {
    let binary = homeserver::binary(args.binary.as_deref(), Profile::Dev)?;
    let folder = tempfile::Builder::new()
        .prefix("matryx-interop-")
        .tempdir()?;
    let launch = Launch::new(&binary, folder.path())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tally = runtime.block_on(drive(args, &launch))?;
    if tally.failed > 0 {
        println!("{}", launch.log_tail());
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 && tally.passed > 0 {
        Ok(())
    } else {
        bail!("a client failed")
    }
}

async fn drive(args: &Args, launch: &Launch) -> Result<Tally> {
    let scripts = repository()?.join("tests/interop");
    let server = launch.start().await?;
    let url = format!("http://{}", server.address);
    let mut tally = Tally::default();
    for client in Client::ALL
        .into_iter()
        .filter(|client| args.only.is_none_or(|o| o == *client))
    {
        client
            .install(&scripts)
            .await
            .with_context(|| format!("installing {}", client.name()))?;
        let mut command = client.script(&scripts);
        command
            .env("MATRYX_URL", &url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let finished = timeout(SCRIPT_LIMIT, script(client, command, &mut tally)).await;
        let ended = finished.unwrap_or_else(|_elapsed| {
            Ok(Some(format!("it was still running after {SCRIPT_LIMIT:?}")))
        });
        if let Some(reason) = ended? {
            tally.line(client, &format!("not ok the script ends: {reason}"));
        }
    }
    server.stop().await?;
    Ok(tally)
}

/// Runs one script to its end; returns why it ended badly, if it did.
async fn script(client: Client, mut command: Command, tally: &mut Tally) -> Result<Option<String>> {
    let mut child = command
        .kill_on_drop(true)
        .spawn()
        .context("starting the client's script")?;
    let stdout = child.stdout.take().context("the script has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let (before, failed) = (tally.passed, tally.failed);
    while let Some(line) = lines.next_line().await? {
        tally.line(client, &line);
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

/// Checks counted over all clients.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    fn line(&mut self, client: Client, line: &str) {
        if line.starts_with("ok ") {
            self.passed += 1;
        } else if line.starts_with("not ok ") {
            self.failed += 1;
        }
        println!("{}: {line}", client.name());
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
            tally.line(Client::Nio, line);
        }
        assert_eq!((tally.passed, tally.failed), (1, 1));
    }
}
