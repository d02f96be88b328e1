//! Stages of user-interactive authentication that are passed on a web page of this server, for
//! clients that do not know them.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#fallback)

use matryx_entity::uia_session::UiaSession;
use matryx_surrealdb::Plan;
use ruma::api::client::uiaa::AuthType;

use super::{UserError, Users};

/// A stage that has a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebStage {
    /// Accepting the terms of service.
    Terms,
    /// Giving a registration token.
    RegistrationToken,
}

impl WebStage {
    fn of(stage: &AuthType) -> Option<Self> {
        match stage {
            AuthType::Terms => Some(Self::Terms),
            AuthType::RegistrationToken => Some(Self::RegistrationToken),
            _ => None,
        }
    }
}

impl Users {
    /// The stage of this name, if a session that is under way can pass it on a page: one query.
    ///
    /// # Errors
    /// There is no page for this stage, or the session is unknown or has expired.
    pub async fn web_stage(&self, session: &str, stage: &AuthType) -> Result<WebStage, UserError> {
        let (stage, _) = self.stage_of_session(session, stage).await?;
        Ok(stage)
    }

    /// Passes a stage for a session: false if this is no valid registration token. Two queries at
    /// most, and a commit.
    ///
    /// # Errors
    /// As [`Users::web_stage`].
    pub async fn pass_web_stage(
        &self,
        session: &str,
        stage: &AuthType,
        token: &str,
    ) -> Result<bool, UserError> {
        let (kind, mut session) = self.stage_of_session(session, stage).await?;
        if kind == WebStage::RegistrationToken {
            if self.find_grant(token).await?.is_none() {
                return Ok(false);
            }
            session.registration_token = Some(token.to_owned());
        }
        if !session.completed.iter().any(|done| done == stage.as_str()) {
            session.completed.push(stage.as_str().to_owned());
        }
        let mut plan = Plan::new();
        plan.put(&session);
        self.inner.store.commit(plan).await?;
        Ok(true)
    }

    async fn stage_of_session(
        &self,
        session: &str,
        stage: &AuthType,
    ) -> Result<(WebStage, UiaSession), UserError> {
        let kind = WebStage::of(stage);
        let kind = kind.ok_or(UserError::NotFound("There is no page for this stage"))?;
        let session = self.find_session(session).await?;
        let session = session.ok_or(UserError::InvalidParam(
            "The authentication session is unknown or has expired",
        ))?;
        Ok((kind, session))
    }
}
