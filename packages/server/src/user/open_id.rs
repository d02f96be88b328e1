//! `OpenID` tokens: how users show others who they are.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#openid)

use std::time::Duration;

use matryx_entity::open_id_token::OpenIdToken;
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{OwnedUserId, UserId};

use super::{UserError, Users, later, secret};
use crate::caller::Requester;

/// How long a token is valid, as Synapse.
const LIFETIME: Duration = Duration::from_hours(1);

/// A token that was given out.
#[derive(Clone, Debug)]
pub struct IssuedOpenId {
    /// Its text, which is stored nowhere.
    pub token: String,
    /// For how long it is valid.
    pub expires_in: Duration,
}

impl Users {
    /// Gives out a token for the caller.
    ///
    /// # Errors
    /// It is for somebody else, or the database is away.
    pub async fn issue_open_id(
        &self,
        requester: &Requester,
        user: &UserId,
    ) -> Result<IssuedOpenId, UserError> {
        if requester.user_id != user {
            return Err(UserError::Forbidden(
                "You cannot request tokens for other users",
            ));
        }
        let expires_ts = later(self.now(), LIFETIME);
        let token = OpenIdToken::text(expires_ts, &secret::token(""));
        let id = OpenIdToken::id_of(&token).ok_or(UserError::UnknownOpenId)?;
        let mut plan = Plan::new();
        plan.create(&OpenIdToken {
            id,
            user: user.to_owned(),
            expires_ts,
        });
        self.inner.store.commit(plan).await?;
        Ok(IssuedOpenId {
            token,
            expires_in: LIFETIME,
        })
    }

    /// Whose token it is. Two queries.
    ///
    /// # Errors
    /// It is nobody's, has expired, or the account was closed since.
    pub async fn open_id_holder(&self, token: &str) -> Result<OwnedUserId, UserError> {
        let id = OpenIdToken::id_of(token).ok_or(UserError::UnknownOpenId)?;
        let key = OpenIdToken::key_of(&id);
        let stored = self.inner.store.get::<OpenIdToken>(&key).await?;
        let stored = stored.filter(|stored| stored.expires_ts > self.now());
        let user = stored.ok_or(UserError::UnknownOpenId)?.user;
        let account = self.lookup(&user).await?;
        if account.is_none_or(|account| account.deactivated.is_some()) {
            return Err(UserError::UnknownOpenId);
        }
        Ok(user)
    }

    pub(super) async fn drop_expired_open_ids(&self) -> Result<(), UserError> {
        const BATCH: usize = 500;
        let end = OpenIdToken::key_of_expiry(self.now());
        let range = KeyRange::until(&OpenIdToken::first_key(), &end);
        let expired = self.inner.store.range::<OpenIdToken>(range).await?;
        for batch in expired.chunks(BATCH) {
            let mut plan = Plan::new();
            for token in batch {
                plan.delete::<OpenIdToken>(&OpenIdToken::key_of(&token.id));
            }
            self.inner.store.commit(plan).await?;
        }
        Ok(())
    }
}
