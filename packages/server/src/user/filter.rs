//! Filters that clients upload.

use matryx_entity::filter::Filter;
use matryx_surrealdb::Plan;
use ruma::{UserId, api::client::filter::FilterDefinition};

use super::{UserError, Users};
use crate::caller::Requester;

/// The largest filter as JSON, in bytes.
const MAX_FILTER_BYTES: usize = 65_536;

impl Users {
    /// Stores a filter: one commit. The same filter gets the same id.
    ///
    /// # Errors
    /// It is for another user, it is too large, or the database is away.
    pub async fn create_filter(
        &self,
        requester: &Requester,
        user: &UserId,
        filter: &FilterDefinition,
    ) -> Result<String, UserError> {
        Self::check_owner(requester, user)?;
        let json = serde_json::to_string(filter)?;
        if json.len() > MAX_FILTER_BYTES {
            return Err(UserError::TooLarge("The filter is too large"));
        }
        let filter = Filter::new(user.to_owned(), json);
        let mut plan = Plan::new();
        plan.put(&filter);
        self.inner.store.commit(plan).await?;
        Ok(filter.filter_id)
    }

    /// A stored filter: one query.
    ///
    /// # Errors
    /// It is another user's, there is none, or the database is away.
    pub async fn filter(
        &self,
        requester: &Requester,
        user: &UserId,
        filter_id: &str,
    ) -> Result<FilterDefinition, UserError> {
        Self::check_owner(requester, user)?;
        let key = Filter::key_of(user, filter_id);
        let filter = self.inner.store.get::<Filter>(&key).await?;
        let filter = filter.ok_or(UserError::NotFound("There is no such filter"))?;
        Ok(serde_json::from_str(&filter.json)?)
    }
}
