//! What can go wrong in the store, as far as a caller can act on it.
//!
//! "Not found" is not an error but `None`. Errors are cheap to clone, because one failed
//! transaction answers every plan of its batch.

use std::sync::Arc;

use matryx_entity::{room_no::RoomNo, stored::Key};

use crate::{codec::CodecError, migrate::SchemaProblem};

/// Why a read or a commit failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or the writer's queue is full. Nothing of the plan can be
    /// relied on: it is normally not committed, but a commit whose answer was lost may be.
    #[error("the database is unavailable: {reason}")]
    Unavailable {
        /// What happened.
        reason: Arc<str>,
    },
    /// A record that the plan creates is there already.
    #[error("{table} {key:?} exists already")]
    Exists {
        /// Its table.
        table: &'static str,
        /// Its key.
        key: Key,
    },
    /// The plan was built on one of the same room that failed.
    #[error("an earlier change to room {room:?} failed")]
    Conflict {
        /// The room.
        room: RoomNo,
    },
    /// What the database holds is not what this program writes.
    #[error("table {table} holds a record that cannot be read")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// What is wrong.
        #[source]
        source: Arc<CodecError>,
    },
    /// A record cannot be written as a row.
    #[error("a record of table {table} cannot be written")]
    Unencodable {
        /// The table.
        table: &'static str,
        /// What is wrong.
        #[source]
        source: Arc<CodecError>,
    },
    /// The database does not have the schema of this program. The message names the command that
    /// mends it.
    #[error(transparent)]
    Schema(SchemaProblem),
    /// The database refused a query, which is a defect of this program or of the database.
    #[error("the database refused a query")]
    Driver(#[source] Arc<surrealdb::Error>),
}
