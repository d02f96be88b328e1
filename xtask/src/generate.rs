//! `cargo xtask gen`: writes the files that are made from the code.
//!
//! Each of them is the subject of a test whose name ends in `fresh`: run as it is, the test fails
//! when the file differs from the code; with `UPDATE_GENERATED` set it writes the file. So there is
//! no second way to make them, and plain `cargo test` keeps them honest.

use crate::cargo::cargo;
use crate::homeserver::repository;
use anyhow::{Context as _, Result, bail};

/// Options of `cargo xtask gen`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when a file is not what the code makes.
    #[arg(long)]
    check: bool,
}

/// Writes or checks the generated files.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = cargo();
    command
        .current_dir(repository()?)
        .args(["test", "--quiet", "--workspace", "fresh"]);
    if args.check {
        command.env_remove("UPDATE_GENERATED");
    } else {
        command.env("UPDATE_GENERATED", "1");
    }
    let status = command.status().context("running cargo test")?;
    if status.success() {
        Ok(())
    } else {
        bail!("generated files are not fresh, or a test of one failed")
    }
}
