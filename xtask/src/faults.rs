//! `cargo xtask faults`: breaks the running binary and audits what it kept.

mod audit;
mod cell;
mod check;
mod crew;
mod kill9;
mod ledger;
pub(crate) mod outage;
mod random;
mod sessions;
mod timeline;
mod writers;

use anyhow::Result;

/// Options of `cargo xtask faults`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    fault: Fault,
}

#[derive(clap::Subcommand)]
enum Fault {
    /// Kill the process while clients write, restart it, audit everything it acknowledged.
    Kill9(kill9::Args),
}

/// Runs the fault until its end.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.fault {
        Fault::Kill9(args) => kill9::run(args),
    }
}
