//! Proving who one is without a token: passwords and application services.

use matryx_entity::{user::User, user_ids};
use ruma::{OwnedUserId, UserId, api::client::uiaa::UserIdentifier};

use super::{UserError, Users};
use crate::appservice::Appservice;

/// How a client names the account that it wants.
#[derive(Clone, Debug)]
pub enum LoginName {
    /// A user name or a full user id.
    User(String),
    /// An address, such as an e-mail address. No account of this server has one.
    Address,
}

impl LoginName {
    /// From the fields of a request: the identifier, or the name in the older field.
    ///
    /// # Errors
    /// There is neither, or the identifier is of an unknown type.
    pub fn new(
        identifier: Option<UserIdentifier>,
        user: Option<String>,
    ) -> Result<Self, UserError> {
        match (identifier, user) {
            (Some(UserIdentifier::Matrix(id)), _) => Ok(Self::User(id.user)),
            (
                Some(
                    UserIdentifier::Email(_)
                    | UserIdentifier::Msisdn(_)
                    | UserIdentifier::PhoneNumber(_),
                ),
                _,
            ) => Ok(Self::Address),
            (Some(_), _) => Err(UserError::Unsupported("Unknown login identifier type")),
            (None, Some(user)) => Ok(Self::User(user)),
            (None, None) => Err(UserError::MissingParam("identifier")),
        }
    }
}

impl Users {
    /// The account that a name and a password prove. Takes the same time whether the account
    /// exists or not: one or two queries and one hash.
    ///
    /// # Errors
    /// Name and password do not belong together, the account is deactivated, or too many
    /// passwords wait to be hashed.
    pub async fn check_password(
        &self,
        name: &LoginName,
        password: String,
    ) -> Result<User, UserError> {
        let user = self.find_by_name(name).await?;
        let hash = user.as_ref().and_then(|user| user.password_hash.clone());
        let correct = self.inner.passwords.verify(password, hash).await?;
        match user {
            Some(user) if user.deactivated.is_some() => Err(UserError::Deactivated),
            Some(user) if correct => Ok(user),
            _ => Err(UserError::BadCredentials),
        }
    }

    /// The user id that a name stands for, if it can be one of this server.
    pub fn named(&self, name: &LoginName) -> Option<OwnedUserId> {
        match name {
            LoginName::User(name) => user_ids::local_user_id(name, self.server_name()).ok(),
            LoginName::Address => None,
        }
    }

    /// As it is written, or else in lower case, which is how names are registered.
    async fn find_by_name(&self, name: &LoginName) -> Result<Option<User>, UserError> {
        let Some(user_id) = self.named(name) else {
            return Ok(None);
        };
        if let Some(user) = self.lookup(&user_id).await? {
            return Ok(Some(user));
        }
        let lower = user_id.localpart().to_lowercase();
        if lower == user_id.localpart() {
            return Ok(None);
        }
        match UserId::parse(format!("@{lower}:{}", self.server_name())) {
            Ok(user_id) => self.lookup(&user_id).await,
            Err(_) => Ok(None),
        }
    }

    /// The account that an application service logs in: one query.
    ///
    /// # Errors
    /// The user is not in the application service's namespace, has no account, or is deactivated.
    pub async fn check_appservice(
        &self,
        appservice: &Appservice,
        name: &LoginName,
    ) -> Result<User, UserError> {
        const FOREIGN: UserError =
            UserError::Forbidden("The user is not in the application service's namespace");
        let user_id = self.named(name).ok_or(FOREIGN)?;
        if !appservice.owns_user(&user_id) {
            return Err(FOREIGN);
        }
        let user = self.lookup(&user_id).await?;
        let user = user.ok_or(UserError::BadCredentials)?;
        if user.deactivated.is_some() {
            return Err(UserError::Deactivated);
        }
        Ok(user)
    }

    /// Sets a new password; the caller has proved who it is.
    ///
    /// # Errors
    /// The password is not acceptable, or there is no such account.
    pub async fn set_password(&self, user: &UserId, password: String) -> Result<(), UserError> {
        let hash = self.inner.passwords.hash(password).await?;
        self.change(user, |user| user.password_hash = Some(hash))
            .await
    }

    /// Changes an account that is not deactivated: one query and one commit.
    pub(super) async fn change(
        &self,
        user: &UserId,
        edit: impl FnOnce(&mut User),
    ) -> Result<(), UserError> {
        let _guard = self.lock(user).await;
        let account = self.lookup(user).await?;
        let mut account = account.ok_or(UserError::NotFound("There is no such user"))?;
        if account.deactivated.is_some() {
            return Err(UserError::Deactivated);
        }
        edit(&mut account);
        let mut plan = matryx_surrealdb::Plan::new();
        plan.put(&account);
        plan.log(matryx_entity::log::LogEntry::User {
            user: user.to_owned(),
        });
        self.inner.store.commit(plan).await?;
        Ok(())
    }
}
