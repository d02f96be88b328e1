//! `matryx config`

use std::process::ExitCode;

use super::{ConfigError, Loaded};
use crate::config::{example, explain, show};

/// What to look at.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Check the configuration without starting anything
    Check,
    /// Print every key with its value and what set it; secrets are left out
    Show,
    /// Print what there is to know about a key, or the keys of a section
    Explain {
        /// Name of the key, for example database.url
        key: String,
    },
    /// Print an example file with every key and its default
    Example,
}

pub(super) fn run(
    command: &Command,
    loaded: &dyn Fn() -> Result<Loaded, ConfigError>,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check => {
            let loaded = loaded()?;
            println!(
                "the configuration of {} is in order",
                loaded.config.server_name
            );
        }
        Command::Show => print!("{}", show(&loaded()?)),
        Command::Explain { key } => print!("{}", explain(key).map_err(anyhow::Error::msg)?),
        Command::Example => print!("{}", example()),
    }
    Ok(ExitCode::SUCCESS)
}
