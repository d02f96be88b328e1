//! Removing records of an embedded engine without the query language, which makes it dear.
//!
//! For each row that a DELETE removes, the database looks through the fields of all tables for
//! references to it, one range read on another thread for every table, and then for edges of the
//! graph. With fifty tables that is one to two milliseconds of processor time, thirty times what the
//! row cost to create. No table here has references or edges. So rows that go for themselves, with
//! nothing written beside, go by the step of a DELETE that is left without them. Tables with an index
//! are left to the query language, which keeps it.

use std::time::Duration;

use futures_util::FutureExt;
use matryx_entity::stored::{Key, KeyPart};
use surrealdb_datastore::{
    Transaction, TransactionType,
    catalog::providers::{DatabaseProvider, TableProvider},
    storage_error,
    val::{Array, RecordIdKey, TableName, Value as Part},
};
use surrealdb_types::{Array as Values, Value};
use tokio::{task::consume_budget, time::Instant};

use crate::{
    codec,
    database::{Database, variables},
    error::StoreError,
    failure::Failure,
};

/// A record by its table and key.
pub(crate) type RecordName = (&'static str, Key);

/// The tables with an index.
const INDEXED: [&str; 1] = ["alias"];

/// How often a removal is tried again that conflicts with a commit.
const CONFLICT_TRIES: u32 = 8;

const REMOVE: &str = "DELETE $ids RETURN NONE";

/// The records as a value that a query removes.
pub(crate) fn ids(records: &[RecordName]) -> Value {
    let ids = records
        .iter()
        .map(|(table, key)| Value::RecordId(codec::record_id(table, key)));
    Value::Array(Values::from(ids.collect::<Vec<_>>()))
}

impl Database {
    /// Removes records, in one transaction.
    pub(crate) async fn remove(&self, records: &[RecordName]) -> Result<(), StoreError> {
        let is_indexed = |(table, _): &RecordName| INDEXED.contains(table);
        if !self.is_embedded() || records.iter().any(is_indexed) {
            let ids = variables([("ids", ids(records))]);
            return self.query(REMOVE, ids).await.map(drop);
        }
        let mut tries = 0;
        loop {
            match self.try_remove(records).boxed().await {
                Err(Failure::Conflict) if tries < CONFLICT_TRIES => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(1 << tries.min(6))).await;
                }
                result => return result.map_err(StoreError::from),
            }
        }
    }

    /// Removes records of an embedded engine once.
    async fn try_remove(&self, records: &[RecordName]) -> Result<(), Failure> {
        let started = Instant::now();
        let (datastore, [namespace, database]) = self.datastore()?;
        let failed = |error| match storage_error(&error) {
            Some(error) if error.is_retryable() => Failure::Conflict,
            _ => Failure::Unavailable(format!("{error:#}").into()),
        };
        let write = datastore.transaction(TransactionType::Write);
        let transaction = write.await.map_err(failed)?;
        let removals = async {
            let inside = transaction.expect_db_by_name(namespace, database);
            let inside = inside.await.map_err(failed)?;
            for (table, key) in records {
                let (table, key) = (TableName::from(*table), stored_key(key));
                let (namespace, database) = (inside.namespace_id, inside.database_id);
                let removal = transaction.del_record(namespace, database, &table, &key);
                removal.await.map_err(failed)?;
                consume_budget().await;
            }
            Ok(())
        };
        let result = match removals.await {
            Ok(()) => transaction.commit().await.map_err(failed),
            Err(failure) => {
                undo(&transaction).await;
                Err(failure)
            }
        };
        Self::note_query(started);
        result
    }
}

/// Gives a transaction up, which ends it in any case.
async fn undo(transaction: &Transaction) {
    if let Err(error) = transaction.cancel().await {
        tracing::debug!(%error, "a transaction could not be undone");
    }
}

/// The key as the engine has it.
fn stored_key(key: &Key) -> RecordIdKey {
    match key.0.as_slice() {
        [KeyPart::Int(number)] => RecordIdKey::Number(*number),
        [KeyPart::Text(text)] => RecordIdKey::String(text.as_str().into()),
        parts => RecordIdKey::Array(Array::from(parts.iter().map(part).collect::<Vec<_>>())),
    }
}

fn part(part: &KeyPart) -> Part {
    match part {
        KeyPart::Int(number) => Part::from(*number),
        KeyPart::Text(text) => Part::from(text.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate;

    #[test]
    fn knows_every_table_whose_rows_others_depend_on() {
        let mut indexed = Vec::new();
        for text in migrate::texts() {
            let lines = text.lines().filter(|line| !line.starts_with("--"));
            let text = lines.collect::<Vec<_>>().join("\n");
            for statement in text.split(';') {
                let words: Vec<&str> = statement.split_whitespace().collect();
                if let Some(at) = words.iter().position(|word| *word == "INDEX") {
                    assert_eq!(words[at + 2], "ON");
                    indexed.push(words[at + 3].to_owned());
                }
                for dear in ["EVENT", "REFERENCE", "RELATION", "CHANGEFEED", "AS"] {
                    let is_there = words.contains(&dear) && words.contains(&"DEFINE");
                    assert!(!is_there, "a removal would have to see to: {statement}");
                }
            }
        }
        assert_eq!(indexed, INDEXED);
    }
}
