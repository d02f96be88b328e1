//! Registration tokens: whether one is valid, and claiming a use of it.

use matryx_entity::registration_token::{RegistrationToken, RegistrationTokenUse};
use matryx_surrealdb::{KeyRange, Plan};
use subtle::{Choice, ConstantTimeEq};

use super::{UserError, Users, secret};

/// What a valid token allows.
#[derive(Clone, Debug)]
pub(super) enum Grant {
    /// One of the configuration's tokens: any number of accounts.
    Configured,
    /// A stored one.
    Stored(RegistrationToken),
}

impl Users {
    /// Could this token register an account now?
    ///
    /// # Errors
    /// The database is away.
    pub async fn is_registration_token_valid(&self, token: &str) -> Result<bool, UserError> {
        Ok(self.find_grant(token).await?.is_some())
    }

    /// Makes a token that registers so many accounts; none for any number.
    ///
    /// # Errors
    /// The database is away.
    pub async fn create_registration_token(
        &self,
        uses_allowed: Option<u32>,
    ) -> Result<String, UserError> {
        let token = secret::token("");
        let mut plan = Plan::new();
        plan.create(&RegistrationToken {
            token: token.clone(),
            uses_allowed,
            expires_ts: None,
            admin: false,
        });
        self.inner.store.commit(plan).await?;
        Ok(token)
    }

    /// What a token grants now; at most two queries. While registration is closed, only the token
    /// of the first administrator grants anything.
    pub(super) async fn find_grant(&self, token: &str) -> Result<Option<Grant>, UserError> {
        let open = self.inner.config.registration.enabled;
        if open && self.is_configured(token) {
            return Ok(Some(Grant::Configured));
        }
        if token.is_empty() || token.chars().count() > RegistrationToken::MAX_CHARS {
            return Ok(None);
        }
        let key = RegistrationToken::key_of(token);
        let stored = self.inner.store.get::<RegistrationToken>(&key).await?;
        let Some(stored) = stored.filter(|stored| stored.is_current(self.now())) else {
            return Ok(None);
        };
        let allowed = open || stored.admin;
        let free = self.next_use(&stored).await?.is_some();
        Ok((allowed && free).then_some(Grant::Stored(stored)))
    }

    /// The number of the next use: none when all are taken, zero when they are not counted.
    pub(super) async fn next_use(
        &self,
        token: &RegistrationToken,
    ) -> Result<Option<u32>, UserError> {
        let Some(allowed) = token.uses_allowed else {
            return Ok(Some(0));
        };
        let range = KeyRange::prefix(&RegistrationTokenUse::prefix_of(&token.token));
        let uses = self
            .inner
            .store
            .range::<RegistrationTokenUse>(range)
            .await?;
        let next = uses.last().map_or(1, |last| last.number.saturating_add(1));
        Ok((next <= allowed).then_some(next))
    }

    fn is_configured(&self, token: &str) -> bool {
        let tokens = &self.inner.config.registration.tokens;
        // All of them, in constant time.
        let equal = tokens.iter().fold(Choice::from(0), |equal, configured| {
            equal | configured.expose().as_bytes().ct_eq(token.as_bytes())
        });
        bool::from(equal)
    }
}
