//! `matryx signing-key`

use std::process::ExitCode;

use super::{Loaded, block_on};
use crate::{
    clock::SystemClock,
    data_dir::DataDir,
    serve::{Rotated, rotate_signing_key},
    signing_key::SigningKey,
};

/// What to do with the key that the server signs with.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(super) enum Command {
    /// Print the key's id and its public half
    Show,
    /// Make a new key; the old one stays published as expired. The server must be stopped
    Rotate,
}

pub(super) fn run(command: Command, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let config = &loaded.config;
    match command {
        Command::Show => {
            let key = SigningKey::load(&DataDir::signing_key_in(&config.data_dir))?;
            println!("{} {}", key.id(), key.public_base64());
        }
        Command::Rotate => {
            let rotate = async { Ok(rotate_signing_key(config, &SystemClock).await?) };
            let Rotated { old, new } = block_on(rotate)?;
            println!("{new} takes the place of {old}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
