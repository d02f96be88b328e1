//! What an access token is worth.

use futures_util::future::BoxFuture;
use matryx_entity::{
    access_token::AccessToken, device::Device, log::LogEntry, token_hash::TokenHash,
};
use matryx_surrealdb::{Plan, StoreError};
use ruma::{DeviceId, MilliSecondsSinceUnixEpoch, UserId};

use super::{UserError, Users, session, token_cache::CachedToken};
use crate::caller::{Condition, Identities, LookupError, Requester, TokenState};

/// How often a token is read again when something was revoked while it was read.
const ATTEMPTS: usize = 3;

/// What the database says of a token.
enum Found {
    Nothing,
    Deactivated,
    Token(CachedToken),
}

impl Users {
    /// What an access token is worth now. Reads nothing while the token is cached; three queries
    /// otherwise, and a commit when it is the first use of a refreshed token.
    ///
    /// # Errors
    /// The database is away.
    pub async fn authenticate(&self, token: &str) -> Result<TokenState, UserError> {
        let hash = TokenHash::of(token);
        if let Some(token) = self.inner.tokens.get(hash) {
            return Ok(state(token, self.now()));
        }
        let mut found = Found::Nothing;
        for _ in 0..ATTEMPTS {
            let epoch = self.inner.tokens.epoch();
            found = self.find_token(hash).await?;
            let Found::Token(token) = &found else {
                break;
            };
            self.inner.tokens.insert(hash, token.clone(), epoch);
            if self.inner.tokens.get(hash).is_some() {
                break;
            }
        }
        Ok(match found {
            Found::Nothing => TokenState::Unknown,
            Found::Deactivated => TokenState::Deactivated,
            Found::Token(token) => state(token, self.now()),
        })
    }

    async fn find_token(&self, hash: TokenHash) -> Result<Found, UserError> {
        let store = &self.inner.store;
        let key = AccessToken::key_of(hash);
        let Some(token) = store.get::<AccessToken>(&key).await? else {
            return Ok(Found::Nothing);
        };
        let Some(user) = self.lookup(&token.user).await? else {
            return Ok(Found::Nothing);
        };
        if user.deactivated.is_some() {
            return Ok(Found::Deactivated);
        }
        let device_key = Device::key_of(&token.user, &token.device_id);
        let Some(device) = store.get::<Device>(&device_key).await? else {
            return Ok(Found::Nothing);
        };
        let is_new = device.tokens.is_some_and(|pair| pair.access == hash);
        let is_old = device.previous.is_some_and(|pair| pair.access == hash);
        if is_new && device.previous.is_some() {
            self.drop_previous_tokens(&device, hash).await?;
        } else if !is_new && !is_old {
            return Ok(Found::Nothing);
        }
        Ok(Found::Token(CachedToken {
            requester: Requester {
                user_id: token.user,
                device_id: Some(token.device_id),
                appservice: None,
                is_guest: user.is_guest(),
            },
            locked: user.locked,
            suspended: user.suspended,
            expires_ts: token.expires_ts,
        }))
    }

    /// The client has the answer of its last refresh: the tokens before it end here.
    async fn drop_previous_tokens(
        &self,
        device: &Device,
        current: TokenHash,
    ) -> Result<(), UserError> {
        let _guard = self.lock(&device.user).await;
        let store = &self.inner.store;
        let key = Device::key_of(&device.user, &device.device_id);
        let Some(mut device) = store.get::<Device>(&key).await? else {
            return Ok(());
        };
        let still = device.tokens.is_some_and(|pair| pair.access == current);
        let Some(previous) = device.previous.take().filter(|_| still) else {
            return Ok(());
        };
        let mut plan = Plan::new();
        plan.put(&device);
        session::delete_pair(&mut plan, &previous);
        plan.log(LogEntry::Revoked {
            user: device.user.clone(),
            device: Some(device.device_id.clone()),
        });
        store.commit(plan).await?;
        Ok(())
    }
}

fn state(token: CachedToken, now: MilliSecondsSinceUnixEpoch) -> TokenState {
    if token.expires_ts.is_some_and(|expires| expires <= now) {
        return TokenState::Expired;
    }
    if token.locked {
        return TokenState::Locked(token.requester);
    }
    if token.suspended {
        return TokenState::Suspended(token.requester);
    }
    TokenState::Valid(token.requester)
}

impl Identities for Users {
    fn authenticate<'a>(
        &'a self,
        token: &'a str,
    ) -> BoxFuture<'a, Result<TokenState, LookupError>> {
        Box::pin(async move { Self::authenticate(self, token).await.map_err(lookup_error) })
    }

    fn condition<'a>(
        &'a self,
        user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<Condition, LookupError>> {
        Box::pin(async move {
            let user = self.lookup(user_id).await.map_err(lookup_error)?;
            Ok(match user {
                None => Condition::Missing,
                Some(user) if user.deactivated.is_some() => Condition::Deactivated,
                Some(user) if user.locked => Condition::Locked,
                Some(_) => Condition::Open,
            })
        })
    }

    fn knows_device<'a>(
        &'a self,
        user_id: &'a UserId,
        device_id: &'a DeviceId,
    ) -> BoxFuture<'a, Result<bool, LookupError>> {
        Box::pin(async move {
            let key = Device::key_of(user_id, device_id);
            let device = self.inner.store.get::<Device>(&key).await;
            Ok(device
                .map_err(|error| lookup_error(error.into()))?
                .is_some())
        })
    }
}

fn lookup_error(error: UserError) -> LookupError {
    match error {
        UserError::Store(StoreError::Unavailable { .. }) => {
            LookupError::Unavailable(Box::new(error))
        }
        error => LookupError::Failed(Box::new(error)),
    }
}
