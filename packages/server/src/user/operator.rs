//! What an operator does with accounts from the command line.

use matryx_entity::user::{User, UserKind};
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{OwnedUserId, UserId};

use super::{Proven, UserError, Users, register::Draft};
use matryx_entity::log::LogEntry;

/// An account that an operator makes.
#[derive(Clone, Default)]
pub struct NewUser {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
    /// Makes it an administrator.
    pub admin: bool,
    /// The display name; the user name if there is none.
    pub display_name: Option<String>,
}

/// A page of accounts.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The accounts, in the order of their ids.
    pub users: Vec<User>,
}

impl Users {
    /// Makes an account, whether registration is open or not.
    ///
    /// # Errors
    /// The name or the password is not acceptable, the name is taken, or the database is away.
    pub async fn create_user(&self, new: NewUser) -> Result<OwnedUserId, UserError> {
        let user_id = self.new_user_id(&new.username)?;
        let draft = Draft {
            kind: UserKind::Regular,
            password_hash: Some(self.inner.passwords.hash(new.password).await?),
            admin: new.admin,
            display_name: new.display_name,
            session: None,
        };
        let registered = self
            .commit_account(user_id, &draft, &Proven::default(), None)
            .await?;
        Ok(registered.user_id)
    }

    /// All accounts: one query over the whole table.
    ///
    /// # Errors
    /// The database is away.
    pub async fn list_users(&self) -> Result<Listed, UserError> {
        let users = self.inner.store.range::<User>(KeyRange::all()).await?;
        Ok(Listed { users })
    }

    /// Gives an account a new password and ends its sessions.
    ///
    /// # Errors
    /// The password is not acceptable, there is no such account, or the database is away.
    pub async fn reset_password(&self, user: &UserId, password: String) -> Result<(), UserError> {
        self.set_password(user, password).await?;
        self.log_out_everywhere(user).await
    }

    /// Makes an account an administrator, or an administrator an ordinary user.
    ///
    /// # Errors
    /// There is no such account, or the database is away.
    pub async fn set_admin(&self, user: &UserId, admin: bool) -> Result<(), UserError> {
        let _guard = self.lock(user).await;
        let account = self.lookup(user).await?;
        let mut account = account.ok_or(UserError::NotFound("There is no such user"))?;
        if account.deactivated.is_some() {
            return Err(UserError::Deactivated);
        }
        account.admin = admin;
        let mut plan = Plan::new();
        plan.put(&account);
        if admin {
            self.plan_admin(&mut plan).await?;
        }
        plan.log(LogEntry::User {
            user: user.to_owned(),
        });
        self.inner.store.commit(plan).await?;
        Ok(())
    }
}
