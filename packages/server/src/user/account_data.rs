//! Account data: what a user's clients keep on the server.

use std::sync::Arc;

use matryx_client::sync::Attachment;
use matryx_entity::{
    account_data::AccountData, log::LogEntry, position::Position, push::PushRules,
};
use matryx_surrealdb::Plan;
use ruma::serde::JsonObject;
use ruma::{RoomId, UserId};
use serde_json::json;

use super::{UserError, Users};
use crate::caller::Requester;

/// The type that the push rule endpoints manage.
pub(super) const PUSH_RULES: &str = "m.push_rules";
/// The type that the read marker endpoint manages.
const FULLY_READ: &str = "m.fully_read";
/// The longest type, in bytes; events have the same bound.
const MAX_KIND_BYTES: usize = 255;

/// Whose account data, and of which room.
#[derive(Clone, Copy, Debug)]
pub struct DataScope<'a> {
    /// The user named in the request.
    pub user: &'a UserId,
    /// The room; none for the account's own.
    pub room: Option<&'a RoomId>,
}

impl Users {
    /// Refuses a caller that names somebody else.
    pub(super) fn check_owner(requester: &Requester, user: &UserId) -> Result<(), UserError> {
        if requester.user_id == user {
            Ok(())
        } else {
            Err(UserError::Forbidden("This belongs to another user"))
        }
    }

    /// The content of one type of account data as JSON text; read from the cache.
    ///
    /// # Errors
    /// It is another user's, it is not set, or the database is away.
    pub async fn account_data(
        &self,
        requester: &Requester,
        scope: DataScope<'_>,
        kind: &str,
    ) -> Result<String, UserError> {
        Self::check_owner(requester, scope.user)?;
        let view = self.inner.sync.user(scope.user).await?;
        match view.account_data(scope.room, kind) {
            Some(data) => Ok(data.content.clone()),
            None if kind == PUSH_RULES && scope.room.is_none() => {
                let rules = PushRules::server_default(scope.user);
                Ok(json!({ "global": &*rules.ruleset() }).to_string())
            }
            None => Err(UserError::NotFound("There is no such account data")),
        }
    }

    /// Sets one type of account data: one commit.
    ///
    /// # Errors
    /// It is another user's, the type has its own endpoint, the content is not an object, or the
    /// database is away.
    pub async fn set_account_data(
        &self,
        requester: &Requester,
        scope: DataScope<'_>,
        kind: &str,
        content: String,
    ) -> Result<(), UserError> {
        Self::check_owner(requester, scope.user)?;
        if kind == PUSH_RULES || kind == FULLY_READ {
            return Err(UserError::ManagedType(kind.to_owned()));
        }
        if kind.len() > MAX_KIND_BYTES {
            return Err(UserError::InvalidParam("The type is too long"));
        }
        if serde_json::from_str::<JsonObject>(&content).is_err() {
            return Err(UserError::NotAnObject);
        }
        let _guard = self.lock(scope.user).await;
        self.write_account_data(scope, kind, content).await
    }

    /// Writes account data; the caller holds the user's lock where it read before.
    pub(super) async fn write_account_data(
        &self,
        scope: DataScope<'_>,
        kind: &str,
        content: String,
    ) -> Result<(), UserError> {
        let data = Arc::new(AccountData {
            user: scope.user.to_owned(),
            room: scope.room.map(ToOwned::to_owned),
            kind: kind.to_owned(),
            content,
            at: Position::default(),
        });
        let entry = LogEntry::AccountData {
            user: data.user.clone(),
            room: data.room.clone(),
            kind: data.kind.clone(),
        };
        let mut plan = Plan::new();
        let at = plan.log_with(entry, Arc::new(Attachment::AccountData(Arc::clone(&data))));
        plan.put_stamped(&*data, at);
        self.inner.store.commit(plan).await?;
        Ok(())
    }
}
