//! The project's own commands: `cargo xtask COMMAND`.
//!
//! Every command that needs a server starts the real binary and talks to it over HTTP only.
#![expect(clippy::print_stdout, reason = "a command line talks to its terminal")]

mod bench;
mod cargo;
mod ci;
mod faults;
mod generate;
mod homeserver;
mod interop;
mod procfs;
mod store_remote;
mod tidy;
mod wire;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything that has to pass before a change lands.
    Ci,
    /// Check the rules of the house that compiler and linter cannot see.
    Tidy,
    /// Write the files that are made from the code.
    Gen(generate::Args),
    /// Measure the release binary over HTTP.
    Bench(bench::Args),
    /// Drive the binary with real Matrix clients.
    Interop(interop::Args),
    /// Run the store's tests against a real SurrealDB server (a long build).
    StoreRemote(store_remote::Args),
    /// Break the running binary and audit what it kept.
    Faults(faults::Args),
}

fn main() -> ExitCode {
    let outcome = match Xtask::parse().command {
        Command::Ci => ci::run(),
        Command::Tidy => tidy::run(),
        Command::Gen(args) => generate::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Interop(args) => interop::run(&args),
        Command::StoreRemote(args) => store_remote::run(&args),
        Command::Faults(args) => faults::run(&args),
    };
    if let Err(error) = outcome {
        // A backtrace of this command would say nothing about the server under test.
        println!("xtask: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Xtask::command().debug_assert();
    }
}
