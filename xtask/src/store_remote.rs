//! `cargo xtask store-remote`: the store's conformance suite against a real SurrealDB server.
//!
//! The server is built from its crate, which takes long; so this is no part of `cargo xtask ci`.

use crate::cargo::cargo;
use crate::homeserver::repository;
use anyhow::{Context as _, Result, bail};

/// Options of `cargo xtask store-remote`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only the tests whose name contains this.
    filter: Option<String>,
}

/// Builds the server and runs the suite, each test with a server of its own.
pub(crate) fn run(args: &Args) -> Result<()> {
    let status = cargo()
        .current_dir(repository()?.join("tests/remote-store"))
        .args(["test", "--test", "conformance"])
        .args(&args.filter)
        .args(["--", "--test-threads", "2"])
        .status()
        .context("running cargo test")?;
    if status.success() {
        Ok(())
    } else {
        bail!("the store does not do on a remote database what it must")
    }
}
