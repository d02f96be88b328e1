//! `cargo xtask store-remote`: store and server against a real SurrealDB server.
//!
//! The database server is built from its crate, which takes long; so this is no part of
//! `cargo xtask ci`.

use crate::cargo::cargo;
use crate::faults::outage::{self, Outages};
use crate::homeserver::{executable, repository};
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;

/// Options of `cargo xtask store-remote`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only the store's tests whose name contains this, and no outages.
    filter: Option<String>,
    /// Leave out the store's tests.
    #[arg(long)]
    no_suite: bool,
    /// Take this database server for the outages instead of building it.
    #[arg(long)]
    surreal: Option<PathBuf>,
    #[command(flatten)]
    outages: Outages,
}

/// Builds the database server, runs the store's suite, each test with a server of its own, and
/// then takes the database away from a running homeserver.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !args.no_suite {
        suite(args.filter.as_deref())?;
    }
    if args.filter.is_some() {
        return Ok(());
    }
    let surreal = match &args.surreal {
        Some(given) => given.clone(),
        None => build()?,
    };
    outage::run(&args.outages, &surreal)
}

fn suite(filter: Option<&str>) -> Result<()> {
    let status = cargo()
        .current_dir(repository()?.join("tests/remote-store"))
        .args(["test", "--test", "conformance"])
        .args(filter)
        .args(["--", "--test-threads", "2"])
        .status()
        .context("running cargo test")?;
    if status.success() {
        Ok(())
    } else {
        bail!("the store does not do on a remote database what it must")
    }
}

/// Builds the database server together with the tests, so that it is the one which they have built:
/// alone it would have other features.
fn build() -> Result<PathBuf> {
    let mut build = cargo();
    build
        .current_dir(repository()?.join("tests/remote-store"))
        .args(["build", "--bins", "--tests"]);
    executable(&mut build, "surreal")
}
