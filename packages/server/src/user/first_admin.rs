//! The one-time token with which the first administrator registers.

use matryx_entity::{registration_token::RegistrationToken, setup::Setup};
use matryx_surrealdb::{Plan, StoreError};

use super::{UserError, Users, secret};

impl Users {
    /// The token with which the first administrator registers: made at the first start, the same
    /// at every start until it is used, none once there has been an administrator. One query, and
    /// one commit at the first start.
    ///
    /// # Errors
    /// The database is away.
    pub async fn first_admin_token(&self) -> Result<Option<String>, UserError> {
        if let Some(setup) = self.setup().await? {
            return Ok(setup.first_admin_token);
        }
        let token = secret::token("");
        let mut plan = Plan::new();
        plan.create(&Setup {
            first_admin_token: Some(token.clone()),
        });
        plan.create(&RegistrationToken {
            token: token.clone(),
            uses_allowed: Some(1),
            expires_ts: None,
            admin: true,
        });
        match self.inner.store.commit(plan).await {
            Ok(_) => Ok(Some(token)),
            // Another process was faster.
            Err(StoreError::Exists { .. }) => {
                let setup = self.setup().await?;
                Ok(setup.and_then(|setup| setup.first_admin_token))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The token of the first administrator, while it waits to be used.
    pub(super) async fn awaited_admin_token(&self) -> Result<Option<String>, UserError> {
        let setup = self.setup().await?;
        Ok(setup.and_then(|setup| setup.first_admin_token))
    }

    /// Withdraws the token in the commit that makes an administrator.
    pub(super) async fn plan_admin(&self, plan: &mut Plan) -> Result<(), UserError> {
        let setup = self.setup().await?;
        if let Some(token) = setup
            .as_ref()
            .and_then(|setup| setup.first_admin_token.as_ref())
        {
            plan.delete::<RegistrationToken>(&RegistrationToken::key_of(token));
        }
        if setup.is_none_or(|setup| setup.first_admin_token.is_some()) {
            plan.put(&Setup {
                first_admin_token: None,
            });
        }
        Ok(())
    }

    async fn setup(&self) -> Result<Option<Setup>, UserError> {
        Ok(self.inner.store.get::<Setup>(&Setup::only()).await?)
    }
}
