//! The schema's history: applies the migrations that are part of this program, and tells how a
//! database relates to them.
//!
//! Every migration runs in one transaction together with the row that notes it, so that a crash
//! leaves it either applied or not. A migration that has been applied must never be edited: its
//! checksum is kept and compared.

mod document;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use surrealdb_types::{RecordId, Value, Variables};

use crate::{
    codec,
    config::StoreConfig,
    database::{Database, variables},
    error::StoreError,
};

pub use self::document::{described, document, undescribed};

/// One step of the schema.
struct Migration {
    number: u32,
    name: &'static str,
    /// The file.
    source: &'static str,
    /// The file within its transaction.
    text: &'static str,
}

/// The steps that this program knows, in order.
const MIGRATIONS: &[Migration] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// The texts of all steps.
#[cfg(test)]
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    MIGRATIONS.iter().map(|migration| migration.text)
}

/// The table of what was applied; the only one that is defined outside of a migration.
const DEFINE: &str = "
    DEFINE TABLE IF NOT EXISTS migration TYPE NORMAL SCHEMAFULL PERMISSIONS NONE;
    DEFINE FIELD IF NOT EXISTS number ON migration TYPE int;
    DEFINE FIELD IF NOT EXISTS name ON migration TYPE string;
    DEFINE FIELD IF NOT EXISTS checksum ON migration TYPE string;
    DEFINE FIELD IF NOT EXISTS applied_at ON migration TYPE datetime VALUE time::now() READONLY;
";

/// What a database and this program say about one migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationState {
    /// Applied as it is.
    Applied,
    /// Not applied yet.
    Pending,
    /// Applied, but with another text than this program has.
    Changed,
    /// Applied, but unknown to this program: the database is newer.
    Unknown,
}

/// One line of [`SchemaStatus`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number.
    pub number: u32,
    /// The name of its file, without the ending.
    pub name: String,
    /// How it stands.
    pub state: MigrationState,
}

/// How a database relates to this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaStatus {
    /// Every migration that either of them knows, in order.
    pub migrations: Vec<MigrationStatus>,
}

impl SchemaStatus {
    /// Whether nothing was ever applied.
    pub fn is_fresh(&self) -> bool {
        self.migrations
            .iter()
            .all(|migration| migration.state == MigrationState::Pending)
    }

    /// What stands in the way of serving from this database, if anything does.
    pub fn problem(&self) -> Option<SchemaProblem> {
        let first = |state| {
            self.migrations
                .iter()
                .find(|migration| migration.state == state)
        };
        if let Some(newer) = first(MigrationState::Unknown) {
            return Some(SchemaProblem::Newer {
                name: newer.name.clone(),
            });
        }
        if let Some(changed) = first(MigrationState::Changed) {
            return Some(SchemaProblem::Changed {
                name: changed.name.clone(),
            });
        }
        let pending = first(MigrationState::Pending)?;
        Some(SchemaProblem::Pending {
            name: pending.name.clone(),
        })
    }
}

/// Why a database cannot be served from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaProblem {
    /// It lacks migrations.
    #[error("the database lacks migration {name}; make a backup, then run `matryx migrate up`")]
    Pending {
        /// The first that is missing.
        name: String,
    },
    /// It had another text of a migration applied than this program has.
    #[error(
        "migration {name} was applied with another text than this program has; run \
         `matryx migrate verify` to see how the database differs, then install the version of \
         matryx that made it or restore a backup"
    )]
    Changed {
        /// The first that differs.
        name: String,
    },
    /// A newer version of this program made it.
    #[error(
        "the database has migration {name}, which this version of matryx does not know; install \
         the newer version that made it (`matryx migrate status` lists the migrations)"
    )]
    Newer {
        /// The first that is unknown.
        name: String,
    },
    /// It has no number of this process's configuration, or another process took it.
    #[error("process number {node} is in use by another process; configure another one")]
    NodeTaken {
        /// The number.
        node: u16,
    },
}

/// A difference between the schema of a database and the one that the migrations make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaDifference {
    /// A definition is missing.
    Missing(String),
    /// A definition is there that no migration makes.
    Extra(String),
}

impl fmt::Display for SchemaDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(definition) => write!(f, "missing: {definition}"),
            Self::Extra(definition) => write!(f, "not by a migration: {definition}"),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    number: u32,
    name: String,
    checksum: String,
}

/// How the database stands. Writes nothing.
///
/// # Errors
/// The database is away.
pub async fn status(database: &Database) -> Result<SchemaStatus, StoreError> {
    let applied = applied(database).await?;
    let mut migrations: Vec<MigrationStatus> = MIGRATIONS
        .iter()
        .map(|migration| MigrationStatus {
            number: migration.number,
            name: migration.name.to_owned(),
            state: match applied.get(&migration.number) {
                None => MigrationState::Pending,
                Some(record) if record.checksum == checksum(migration.source) => {
                    MigrationState::Applied
                }
                Some(_) => MigrationState::Changed,
            },
        })
        .collect();
    let known = |number| {
        MIGRATIONS
            .iter()
            .any(|migration| migration.number == number)
    };
    migrations.extend(
        applied
            .into_values()
            .filter(|record| !known(record.number))
            .map(|record| MigrationStatus {
                number: record.number,
                name: record.name,
                state: MigrationState::Unknown,
            }),
    );
    migrations.sort_by_key(|migration| migration.number);
    Ok(SchemaStatus { migrations })
}

/// The migrations that [`up`] would apply: their names and texts. Writes nothing.
///
/// # Errors
/// The database is away.
pub async fn plan(database: &Database) -> Result<Vec<(&'static str, &'static str)>, StoreError> {
    let applied = applied(database).await?;
    let pending = MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains_key(&migration.number));
    Ok(pending
        .map(|migration| (migration.name, migration.source))
        .collect())
}

/// Applies what is pending, each migration in one transaction; the names of what it applied.
///
/// # Errors
/// [`StoreError::Schema`] if the database is newer than this program or was made by another text;
/// or the database is away.
pub async fn up(database: &Database) -> Result<Vec<&'static str>, StoreError> {
    match status(database).await?.problem() {
        None => return Ok(Vec::new()),
        Some(SchemaProblem::Pending { .. }) => {}
        Some(problem) => return Err(StoreError::Schema(problem)),
    }
    database.query(DEFINE, Variables::new()).await?;
    let applied = applied(database).await?;
    let mut names = Vec::new();
    for migration in MIGRATIONS
        .iter()
        .filter(|one| !applied.contains_key(&one.number))
    {
        let record = Record {
            number: migration.number,
            name: migration.name.to_owned(),
            checksum: checksum(migration.source),
        };
        let row = codec::to_value(&record).map_err(|source| StoreError::Unencodable {
            table: "migration",
            source: source.into(),
        })?;
        let id = Value::RecordId(RecordId::new("migration", i64::from(migration.number)));
        database
            .query(migration.text, variables([("id", id), ("record", row)]))
            .await?;
        names.push(migration.name);
    }
    Ok(names)
}

/// How the schema of the database differs from the one that the migrations make in a new
/// database, table by table, field by field. Empty when it is right. Writes nothing.
///
/// # Errors
/// The database is away.
pub async fn verify(database: &Database) -> Result<Vec<SchemaDifference>, StoreError> {
    let model = Database::connect(&StoreConfig::new("mem://")).await?;
    up(&model).await?;
    let (expected, found) = (definitions(&model).await?, definitions(database).await?);
    model.close().await;
    let missing = expected.iter().filter(|one| !found.contains(one)).cloned();
    let extra = found.iter().filter(|one| !expected.contains(one)).cloned();
    Ok(missing
        .map(SchemaDifference::Missing)
        .chain(extra.map(SchemaDifference::Extra))
        .collect())
}

/// The names of the database's tables, in order.
///
/// # Errors
/// The database is away.
pub async fn tables(database: &Database) -> Result<Vec<String>, StoreError> {
    let mut response = database.query("INFO FOR DB", Variables::new()).await?;
    Ok(field(response.take(0)?, "tables").into_keys().collect())
}

async fn definitions(database: &Database) -> Result<Vec<String>, StoreError> {
    let mut definitions = Vec::new();
    let mut response = database.query("INFO FOR DB", Variables::new()).await?;
    let tables = field(response.take(0)?, "tables");
    for (table, definition) in tables {
        definitions.extend(definition.into_string().ok());
        let table = variables([("table", Value::String(table))]);
        let mut response = database.query("INFO FOR TABLE $table", table).await?;
        let info = response.take(0)?;
        for part in ["fields", "indexes", "events"] {
            definitions.extend(
                field(info.clone(), part)
                    .into_values()
                    .filter_map(|one| one.into_string().ok()),
            );
        }
    }
    Ok(definitions)
}

fn field(value: Value, name: &str) -> BTreeMap<String, Value> {
    match value {
        Value::Object(object) => match object.into_inner().remove(name) {
            Some(Value::Object(object)) => object.into_inner(),
            _ => BTreeMap::new(),
        },
        _ => BTreeMap::new(),
    }
}

async fn applied(database: &Database) -> Result<BTreeMap<u32, Record>, StoreError> {
    if !tables(database)
        .await?
        .iter()
        .any(|table| table == "migration")
    {
        return Ok(BTreeMap::new());
    }
    let mut response = database
        .query("SELECT * FROM migration", Variables::new())
        .await?;
    let records: Vec<Record> = response.rows(0, "migration")?;
    Ok(records
        .into_iter()
        .map(|record| (record.number, record))
        .collect())
}

fn checksum(source: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(source)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _written = write!(hex, "{byte:02x}");
            hex
        })
}
