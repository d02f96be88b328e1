//! Why one try of a query failed, as far as the writer has to know.

use std::sync::Arc;

use surrealdb::IndexedResults;
use surrealdb_types::{AlreadyExistsError, ErrorDetails, QueryError};

use crate::error::StoreError;

/// How the database says that its storage fails, be it full or broken. The kind of such an error
/// is that of any other, and a COMMIT says so in the midst of its message.
const STORAGE: &str = "There was a problem with a transaction: ";

/// Why one try of a query failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another transaction committed to the same keys first; nothing was written.
    Conflict,
    /// A record to create is there already; nothing was written. The record's id.
    Exists(String),
    /// The query threw, as its text says; nothing was written.
    Thrown,
    /// The log has moved on since the transaction was made up; nothing was written.
    Moved,
    /// Something that no driver says.
    Other(StoreError),
    /// No answer: what the query did is unknown.
    Unavailable(Arc<str>),
    /// The database refused; nothing was written.
    Refused(Arc<surrealdb::Error>),
}

impl Failure {
    /// The failure that explains a response: statements that merely were not run because of it
    /// are passed over.
    pub(crate) fn of_statements(results: &mut IndexedResults) -> Option<Self> {
        let mut found: Option<Self> = None;
        for error in results.take_errors().into_values() {
            let failure = Self::from(error);
            let better = match (&found, &failure) {
                (None, _)
                | (
                    Some(Self::Refused(_)),
                    Self::Conflict | Self::Exists(_) | Self::Thrown | Self::Unavailable(_),
                ) => true,
                (Some(Self::Refused(old)), Self::Refused(_)) => is_consequence(old),
                _ => false,
            };
            if better {
                found = Some(failure);
            }
        }
        found
    }
}

fn is_consequence(error: &surrealdb::Error) -> bool {
    matches!(
        error.details(),
        ErrorDetails::Query(Some(QueryError::NotExecuted | QueryError::Cancelled))
    )
}

impl From<surrealdb::Error> for Failure {
    fn from(error: surrealdb::Error) -> Self {
        match error.details() {
            ErrorDetails::Query(Some(QueryError::TransactionConflict)) => Self::Conflict,
            ErrorDetails::AlreadyExists(Some(AlreadyExistsError::Record { id })) => {
                Self::Exists(id.clone())
            }
            ErrorDetails::Thrown => Self::Thrown,
            ErrorDetails::Connection(_) => Self::Unavailable(error.message().into()),
            _ if error.message().contains(STORAGE) => Self::Unavailable(error.message().into()),
            _ => Self::Refused(Arc::new(error)),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Conflict => Self::Unavailable {
                reason: "too many conflicts".into(),
            },
            Failure::Moved => Self::Unavailable {
                reason: "the log has moved on".into(),
            },
            Failure::Thrown => Self::Unavailable {
                reason: "the query gave up".into(),
            },
            Failure::Exists(id) => Self::Unavailable {
                reason: format!("{id} exists already").into(),
            },
            Failure::Other(error) => error,
            Failure::Unavailable(reason) => Self::Unavailable { reason },
            Failure::Refused(error) => Self::Driver(error),
        }
    }
}
