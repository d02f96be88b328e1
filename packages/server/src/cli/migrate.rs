//! `matryx migrate`

use std::process::ExitCode;

use matryx_surrealdb::{
    Database,
    migrate::{self, MigrationState},
};

use super::{Loaded, block_on};
use crate::data_dir::DataDir;

/// What to do with the schema of the database. A server that keeps its database in its own folder
/// must be stopped.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(super) enum Command {
    /// List the migrations and whether they are applied
    Status,
    /// Print what `up` would apply
    Plan,
    /// Apply what is missing; make a backup first
    Up,
    /// Compare the database with what the migrations make of a new one
    Verify,
}

pub(super) fn run(command: Command, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let config = &loaded.config;
    // A database in the data folder belongs to who holds the folder's lock.
    let embedded = config.database.url.is_none();
    let _lock = embedded
        .then(|| DataDir::open(&config.data_dir))
        .transpose()?;
    block_on(async {
        let database = Database::connect(&config.store_config()).await?;
        let outcome = act(command, &database).await;
        database.close().await;
        outcome
    })
}

async fn act(command: Command, database: &Database) -> anyhow::Result<ExitCode> {
    match command {
        Command::Status => return status(database).await,
        Command::Plan => {
            for (name, text) in migrate::plan(database).await? {
                println!("-- {name}\n{text}");
            }
        }
        Command::Up => {
            let applied = migrate::up(database).await?;
            for name in &applied {
                println!("applied {name}");
            }
            if applied.is_empty() {
                println!("nothing to apply");
            }
        }
        Command::Verify => {
            let differences = migrate::verify(database).await?;
            for difference in &differences {
                println!("{difference}");
            }
            if !differences.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
            println!("the database is as the migrations make it");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(database: &Database) -> anyhow::Result<ExitCode> {
    let status = migrate::status(database).await?;
    for migration in &status.migrations {
        let state = match migration.state {
            MigrationState::Applied => "applied",
            MigrationState::Pending => "pending",
            MigrationState::Changed => "CHANGED",
            MigrationState::Unknown => "UNKNOWN",
        };
        println!("{state:8} {}", migration.name);
    }
    match status.problem() {
        Some(problem) if !status.is_fresh() => {
            println!("{problem}");
            Ok(ExitCode::FAILURE)
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
