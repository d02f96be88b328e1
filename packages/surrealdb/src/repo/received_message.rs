//! Which messages of other servers came lately.

use surrealdb_types::{Number, Value};

use crate::{database::variables, error::StoreError, store::Store};

const FORGET: &str = "DELETE received_message WHERE received_ts < $before RETURN NONE";

impl Store {
    /// Forgets the messages that came before a time, in milliseconds: goes through all of them.
    ///
    /// # Errors
    /// The database is away.
    pub async fn forget_received_messages(&self, before: i64) -> Result<(), StoreError> {
        let before = Value::Number(Number::Int(before));
        let forget = self
            .database()
            .query(FORGET, variables([("before", before)]));
        forget.await.map(drop)
    }
}
