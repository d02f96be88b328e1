//! The command line: what an operator can ask of the binary.
//!
//! Every command reads the same configuration in the same way; a flag of the configuration can stand
//! before or behind the command.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its terminal"
)]

mod config;
mod doctor;
mod federation;
mod migrate;
mod serve;
mod signing_key;
mod user;

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::config::{ConfigError, Flag, Loaded, Sources, load};

/// Stack of a worker thread: debug builds recurse deeply while they parse a query.
const STACK_BYTES: usize = 10 << 20;

/// A Matrix homeserver. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "matryx", version)]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (also without any command)
    Serve,
    /// Look at and bring up the schema of the database
    #[command(subcommand)]
    Migrate(migrate::Command),
    /// Make and change accounts
    #[command(subcommand)]
    User(user::Command),
    /// Look at other servers
    #[command(subcommand)]
    Federation(federation::Command),
    /// Look at and change the key that the server signs with
    #[command(subcommand)]
    SigningKey(signing_key::Command),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Look for what keeps the server from running well, and say how to mend it
    Doctor,
}

/// The flags that set configuration.
#[derive(Debug, Args)]
struct Settings {
    /// Configuration file (TOML); also `MATRYX_CONFIG`
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Name of the homeserver: the part after the colon in user ids
    #[arg(long, value_name = "NAME", global = true)]
    server_name: Option<String>,
    /// Folder for all that the server keeps
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<String>,
    /// Address to listen on, as often as needed: WHAT is client, federation, media, admin or
    /// metrics, joined by +
    #[arg(long, value_name = "WHAT=IP:PORT[,tls=CERT:KEY]", global = true, action = ArgAction::Append)]
    listen: Vec<String>,
    /// File with certificates of authorities to trust besides the system's, as often as needed
    #[arg(long, value_name = "FILE", global = true, action = ArgAction::Append)]
    extra_ca: Vec<String>,
    /// Folder with the registrations of application services
    #[arg(long, value_name = "DIR", global = true)]
    appservice_dir: Option<String>,
    /// Secret for registration at /_synapse/admin/v1/register
    #[arg(long, value_name = "SECRET", global = true)]
    registration_shared_secret: Option<String>,
    /// Sets any key of the configuration, as often as needed
    #[arg(long, value_name = "KEY=VALUE", global = true, action = ArgAction::Append)]
    set: Vec<String>,
}

impl Settings {
    fn sources(self) -> anyhow::Result<Sources> {
        let mut flags = Vec::new();
        let mut add = |name, key: &str, text: Option<String>| {
            flags.extend(text.map(|text| Flag {
                name,
                key: key.to_owned(),
                text,
            }));
        };
        for pair in self.set {
            let (key, text) = pair
                .split_once('=')
                .with_context(|| format!("--set {pair}: write --set key=value"))?;
            add("--set", key, Some(text.to_owned()));
        }
        add("--server-name", "server_name", self.server_name);
        add("--data-dir", "data_dir", self.data_dir);
        add("--listen", "listen", list(&self.listen));
        add("--extra-ca", "tls.extra_ca_files", list(&self.extra_ca));
        add("--appservice-dir", "appservice.dir", self.appservice_dir);
        let secret = self.registration_shared_secret;
        add(
            "--registration-shared-secret",
            "registration.shared_secret",
            secret,
        );
        let environment = env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
            .collect();
        Ok(Sources {
            file: self.config,
            environment,
            flags,
        })
    }
}

/// Several values as one list, whatever letters they hold.
fn list(values: &[String]) -> Option<String> {
    let values = values
        .iter()
        .cloned()
        .map(toml::Value::String)
        .collect::<Vec<_>>();
    (!values.is_empty()).then(|| toml::Value::Array(values).to_string())
}

/// Runs what the operator asked for and tells of failure on standard error.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = cli.settings.sources().and_then(|sources| {
        let loaded = || load(&sources);
        match cli.command.unwrap_or(Command::Serve) {
            Command::Serve => serve::run(loaded()?),
            Command::Migrate(command) => migrate::run(command, &loaded()?),
            Command::User(command) => user::run(command, loaded()?),
            Command::Federation(command) => federation::run(&command, &loaded()?),
            Command::SigningKey(command) => signing_key::run(command, &loaded()?),
            Command::Config(command) => config::run(&command, &loaded),
            Command::Doctor => doctor::run(loaded()),
        }
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("matryx: {error:#}");
        ExitCode::FAILURE
    })
}

/// Runs a future to its end on the process's runtime.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(future)
}

#[cfg(test)]
mod tests;
